//! What ends a view. None of it is about the ledger: the journal has everything, and a view is built anew from it.

use std::io::ErrorKind;

use protocol::Seq;

use crate::pack::Damaged;

/// Why a view goes on no more. What was committed stays readable; the feed is opened again, or its file is thrown away.
#[derive(Debug, thiserror::Error)]
pub enum ViewFault {
    /// The file or the disk below it.
    #[error("the view's file: {0}")]
    Storage(Box<redb::Error>),
    /// Something in the file is not what was written. It is not to be believed: the view begins anew.
    #[error("the view's file is damaged: {what}")]
    Damaged {
        /// What was read.
        what: &'static str,
    },
    /// A record that is not the next.
    #[error("the view was fed seq {found} behind {last}")]
    OutOfOrder {
        /// The last one.
        last: Seq,
        /// What came.
        found: Seq,
    },
    /// Events that do not follow from what was fed before: this is not the log that the view has followed.
    #[error("the view cannot follow seq {seq}: {what}")]
    Unexplained {
        /// The record.
        seq: Seq,
        /// What does not fit.
        what: &'static str,
    },
}

impl From<Damaged> for ViewFault {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged { what: "a block" }
    }
}

macro_rules! storage {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for ViewFault {
            fn from(error: redb::$error) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        }
    )*};
}

storage! { DatabaseError TransactionError TableError StorageError CommitError SetDurabilityError }

impl ViewFault {
    /// Whether the file is to be thrown away: it is not what was written, or of another log. What the disk could not do may go better
    /// next time.
    #[must_use]
    pub fn is_in_the_file(&self) -> bool {
        use redb::Error;
        match self {
            Self::Damaged { .. } | Self::Unexplained { .. } => true,
            Self::OutOfOrder { .. } => false,
            Self::Storage(error) => {
                if let Error::Io(error) = &**error {
                    return matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
                }
                matches!(
                    **error,
                    Error::Corrupted(_)
                        | Error::UpgradeRequired(_)
                        | Error::RepairAborted
                        | Error::TableTypeMismatch { .. }
                        | Error::TableIsMultimap(_)
                        | Error::TypeDefinitionChanged { .. }
                )
            }
        }
    }
}
