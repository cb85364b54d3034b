//! The outbox as it is found on a disk that nothing is written to: of a replica that is not opened yet and can still say what its
//! sessions were sent.

use protocol::{OutSeq, Seq, SessionEpoch, SessionId};

use super::index::OutboxIndex;
use super::{FILE_BYTES, OutputsRead, file_numbers, load, read_event, read_outputs};
use crate::disk::{Disk, DiskFault};

/// Outputs that can be read.
pub struct FoundOutputs {
    index: OutboxIndex,
}

impl FoundOutputs {
    /// Indexes what follows from commands up to `through`, as [`super::Outbox::open`] would keep it, and changes nothing.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn look<D: Disk>(disk: &mut D, through: Seq) -> Result<Self, DiskFault> {
        let mut index = OutboxIndex::default();
        for number in file_numbers(disk)? {
            load(disk, number, through, &mut index)?;
        }
        Ok(Self { index })
    }

    /// As [`super::Outbox::read`].
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn read<D: Disk>(
        &self,
        disk: &mut D,
        (session, epoch): (SessionId, SessionEpoch),
        from: OutSeq,
        to: OutSeq,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<OutputsRead>, DiskFault> {
        let places = self.index.places(session, epoch, from, to, bytes_max);
        let read = |place, out: &mut Vec<u8>| read_event(disk, place, FILE_BYTES, out);
        read_outputs((session, epoch), &places, bytes_max, out, read)
    }
}
