//! Where gateways hand over commands. A trait, because the sequencer's ring takes them in the node, a connection to
//! the cluster takes them in a gateway process of its own, and a list takes them in tests.

use crate::record::{EncodedCommand, RecordHeader};
use crate::{Command, MonoNanos};

/// Takes commands in order.
pub trait Submit {
    /// Takes one command that arrived at `received`, or refuses it without a trace.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken. A numbered session keeps its message and is not read from until there is room;
    /// an unnumbered request is answered BUSY.
    fn submit(&mut self, header: &RecordHeader, received: MonoNanos, command: &Command) -> Result<(), Full>;

    /// Takes one command that is bytes already, as [`Self::submit`] does; they are copied once. It has no part of what is
    /// kept for cancels and administration ([`Command::has_reserved_room`]).
    ///
    /// # Errors
    /// [`Full`]: nothing was taken.
    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        received: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full>;
}

/// There is no room now; the same command may be submitted again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;
