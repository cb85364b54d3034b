//! The standard streams, whose reader may leave at any time.

use std::fmt::Display;
use std::io::{BufWriter, ErrorKind, Stdout, Write, stderr, stdout};

use serde_json::Value;

/// What is printed could not be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutFault {
    /// The reader has left; the exit code as far as it is known.
    #[error("nobody reads the output")]
    Closed(u8),
    /// Anything else, such as a full disk.
    #[error("the output: {0}")]
    Io(std::io::Error),
}

/// The standard output, buffered.
pub(crate) struct Out {
    stream: BufWriter<Stdout>,
    /// The exit code if the reader leaves.
    pub(crate) code: u8,
}

impl Out {
    pub(crate) fn stdout() -> Self {
        Self { stream: BufWriter::with_capacity(64 << 10, stdout()), code: crate::EXIT_CLEAN }
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), OutFault> {
        let written = writeln!(self.stream, "{line}");
        self.judge(written)
    }

    /// Prints a JSON value on a line.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), OutFault> {
        let written = serde_json::to_writer(&mut self.stream, value).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.stream.write_all(b"\n"));
        self.judge(written)
    }

    pub(crate) fn flush(&mut self) -> Result<(), OutFault> {
        let flushed = self.stream.flush();
        self.judge(flushed)
    }

    fn judge(&self, written: std::io::Result<()>) -> Result<(), OutFault> {
        written.map_err(|error| match error.kind() == ErrorKind::BrokenPipe {
            true => OutFault::Closed(self.code),
            false => OutFault::Io(error),
        })
    }
}

/// A line on the standard error; where nobody listens there, nothing is left to be done about it.
pub(crate) fn complain(line: &str) {
    writeln!(stderr(), "sicil-replay: {line}").unwrap_or_default();
}
