//! Where a transfer with an id was created, and what became of it if it was pending.

use protocol::{Seq, TransferId};

use super::movement::Place;
use super::run::Entry;
use crate::pack::{Damaged, Unpack, fold_u64, put_u64, put_u128, unfold_u64};

/// One step in a transfer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) id: TransferId,
    pub(crate) place: Place,
    pub(crate) stage: Stage,
}

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Created,
    Posted,
    Voided,
    Expired,
    /// Another transfer corrected it.
    Corrected,
}

impl Entry for Fate {
    const RUNS: &'static str = "ids";
    type Key = (TransferId, Place);
    type Carry = ();

    fn key(&self) -> (TransferId, Place) {
        (self.id, self.place)
    }

    fn key_bytes((id, place): (TransferId, Place)) -> impl AsRef<[u8]> {
        let mut bytes = [0; 28];
        let (of_id, of_place) = bytes.split_at_mut(16);
        let (of_seq, of_step) = of_place.split_at_mut(8);
        of_id.copy_from_slice(&id.0.to_be_bytes());
        of_seq.copy_from_slice(&place.seq.0.to_be_bytes());
        of_step.copy_from_slice(&place.step.to_be_bytes());
        bytes
    }

    fn scale(&self) -> u128 {
        self.id.0
    }

    fn goes_on(&self, _: &Self) -> bool {
        false
    }

    fn add_to(&self, (): &mut ()) {}

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let (id, seq) = before.map_or((0, 0), |before| (before.id.0, before.place.seq.0));
        put_u128(out, self.id.0.wrapping_sub(id));
        put_u64(out, fold_u64(self.place.seq.0.wrapping_sub(seq)));
        let stage = match self.stage {
            Stage::Created => 0,
            Stage::Posted => 1,
            Stage::Voided => 2,
            Stage::Expired => 3,
            Stage::Corrected => 4,
        };
        put_u64(out, (u64::from(self.place.step) << 3) | stage);
    }

    fn unpack(before: Option<&Self>, from: &mut Unpack<'_>) -> Result<Self, Damaged> {
        let (id, seq) = before.map_or((0, 0), |before| (before.id.0, before.place.seq.0));
        let id = TransferId(id.wrapping_add(from.u128()?));
        let seq = Seq(seq.wrapping_add(unfold_u64(from.u64()?)));
        let last = from.u64()?;
        let stage = match last & 7 {
            0 => Stage::Created,
            1 => Stage::Posted,
            2 => Stage::Voided,
            3 => Stage::Expired,
            4 => Stage::Corrected,
            _ => return Err(Damaged),
        };
        let step = u32::try_from(last >> 3).map_err(|_| Damaged)?;
        Ok(Self { id, place: Place { seq, step }, stage })
    }

    fn pack_carry((): &(), _: &mut Vec<u8>) {}

    fn unpack_carry(_: &mut Unpack<'_>) -> Result<(), Damaged> {
        Ok(())
    }
}
