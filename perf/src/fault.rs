//! Why a measurement has no figure.

use std::fmt;
use std::path::PathBuf;

/// What ends `perf` with a code other than zero.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A file could not be read.
    Read { path: PathBuf, error: std::io::Error },
    /// A file is not of the format it should have.
    Format { path: PathBuf, line: Option<usize>, what: &'static str },
    /// The arguments ask for something that cannot be built.
    Arguments(&'static str),
    /// A socket or a file failed.
    Io { what: String, error: std::io::Error },
    /// The FIX session did not go as it must.
    Fix(String),
    /// The engine stopped, or answered otherwise than it must.
    Engine(String),
    /// The client of the binary protocol has no answer.
    Client(client::ClientFault),
    /// A node process, or a command to one, did not do what it must.
    Cluster(String),
    /// The work came out other than it must.
    Differs { what: &'static str, expected: u64, found: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Format { path, line: Some(line), what } => write!(f, "{}:{line}: {what}", path.display()),
            Self::Format { path, line: None, what } => write!(f, "{}: {what}", path.display()),
            Self::Arguments(what) => f.write_str(what),
            Self::Io { what, error } => write!(f, "{what}: {error}"),
            Self::Fix(what) | Self::Engine(what) | Self::Cluster(what) => f.write_str(what),
            Self::Client(fault) => write!(f, "{fault}"),
            Self::Differs { what, expected, found } => {
                write!(f, "{what} differs: expected {expected}, found {found}")
            }
        }
    }
}

impl From<client::ClientFault> for Fault {
    fn from(fault: client::ClientFault) -> Self {
        Self::Client(fault)
    }
}

impl Fault {
    /// Of the operating system, with what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// `Ok` where a result is what it must be.
pub(crate) fn agree(what: &'static str, expected: u64, found: u64) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Differs { what, expected, found }) }
}
