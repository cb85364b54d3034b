//! What ends market data. Nothing is lost by it: they begin again with the orders of an engine.

use protocol::Seq;

/// Why market data go on no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarketFault {
    /// A record that is not behind the last one.
    #[error("market data were fed seq {found} behind {last}")]
    OutOfOrder {
        /// The last one.
        last: Seq,
        /// What came.
        found: Seq,
    },
    /// What was kept is of another log.
    #[error("other effects up to seq {seq} than were known")]
    OtherLog {
        /// Where.
        seq: Seq,
    },
    /// Events that do not follow from what was fed before.
    #[error("market data cannot follow seq {seq}: {what}")]
    Unexplained {
        /// The record.
        seq: Seq,
        /// What does not fit.
        what: &'static str,
    },
}
