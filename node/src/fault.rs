//! Why a command of `sicil` ends without success, and the exit code that scripts and service managers see.
//! The codes are part of the interface: docs/OPERATIONS.md lists them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::text_file::FileFault;

/// One line for the operator, and a code for scripts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeFault {
    /// Part of what was asked for was refused; each refusal has been printed.
    #[error("{refused} of {total} items were refused")]
    Refused {
        /// Items refused.
        refused: usize,
        /// Items in the file.
        total: usize,
    },
    /// Some of what was asked for does not exist.
    #[error("{missing} of {asked} do not exist")]
    NotFound {
        /// How many.
        missing: usize,
        /// Ids that were asked for.
        asked: usize,
    },
    /// The ledger gave no answer.
    #[error("{0}")]
    Ledger(#[from] client::ClientFault),
    /// The same, of a transfer whose id was made here: who tries again under another id pays twice.
    #[error("transfer {id}: {fault} To try again, say --id {id}: it is executed once.")]
    Transfer {
        /// Its id.
        id: u128,
        /// Why.
        fault: client::ClientFault,
    },
    /// The same, of an exchange whose transfers' ids were made here.
    #[error("exchange: {fault} To try again, say --ids {ids}: it is executed once.")]
    Exchange {
        /// Ids of its transfers.
        ids: String,
        /// Why.
        fault: client::ClientFault,
    },
    /// A node gave no market data.
    #[error("{0}")]
    Market(#[from] client::MarketFault),
    /// A configuration or a definitions file is wrong.
    #[error("{0}")]
    File(#[from] FileFault),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Another process holds the folder.
    #[error("{0}")]
    Locked(String),
    /// The folder cannot be used.
    #[error("{0}")]
    Folder(String),
    /// Another process listens there.
    #[error("cannot listen on {address} ({listener}): {source}")]
    Listen {
        /// Key of `[listen]`.
        listener: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Of the operating system.
        source: io::Error,
    },
    /// The operating system's limit of open files leaves none to clients.
    #[error(
        "a limit of {limit} open files (ulimit -n) leaves none to clients: the node itself needs {reserve}"
    )]
    Descriptors {
        /// In effect.
        limit: u64,
        /// Kept for the node.
        reserve: u64,
    },
    /// The folder holds something else.
    #[error("{} is not a data folder of sicil: it is not empty and has no meta file", .0.display())]
    Foreign(PathBuf),
    /// Recovery cannot judge the journal, or refuses it.
    #[error("recovery of {}: {report}", .dir.display())]
    Recovery {
        /// The data folder.
        dir: PathBuf,
        /// What was found, and what an operator can do.
        report: String,
    },
    /// Entries of the journal are missing or in doubt. Among others a start brings them back.
    #[error("recovery of {}: {report}", .dir.display())]
    Damaged {
        /// The data folder.
        dir: PathBuf,
        /// What was found.
        report: String,
    },
    /// No node answers in the folder.
    #[error("no node is running on {}: {source}", .dir.display())]
    NotRunning {
        /// The data folder.
        dir: PathBuf,
        /// Of the operating system.
        source: io::Error,
    },
    /// The node answered something else than its protocol says, or refused the caller.
    #[error("the node says: {0}")]
    Admin(String),
    /// The node took a question and did not answer it.
    #[error(
        "no answer from the node ({0}): commands may still be executed; applying a file again does nothing twice"
    )]
    Unanswered(String),
    /// A file or socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with its path.
        what: String,
        /// Of the operating system.
        source: io::Error,
    },
    /// The node could not begin or go on for a reason of its own.
    #[error("{0}")]
    Internal(String),
}

impl NodeFault {
    /// An I/O error with what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The node answered another question than was asked.
    pub(crate) fn crossed() -> Self {
        Self::Admin("an answer to something else".to_owned())
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused { .. } | Self::NotFound { .. } => 1,
            Self::File(_) | Self::Usage(_) => 2,
            Self::Locked(_) => 3,
            Self::Listen { .. } => 4,
            Self::Foreign(_) => 5,
            Self::Recovery { .. } | Self::Damaged { .. } => 6,
            Self::NotRunning { .. } => 7,
            Self::Admin(_)
            | Self::Unanswered(_)
            | Self::Ledger(_)
            | Self::Market(_)
            | Self::Transfer { .. }
            | Self::Exchange { .. } => 8,
            Self::Io { .. } | Self::Folder(_) | Self::Descriptors { .. } => 9,
            Self::Internal(_) => 70,
        })
    }
}
