//! What Raft says of itself, and this replica of its lead: kept as text until the caller takes it, who has a log to write it to.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer};

/// Lines that wait to be taken; the oldest ones go when there are more.
const LINES_MAX: usize = 256;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftLine {
    /// Something that Raft warns of.
    pub is_warning: bool,
    /// With its numbers; never what is in an entry.
    pub text: String,
}

/// The lines that wait, shared with Raft's logger.
#[derive(Clone, Default)]
pub(crate) struct RaftLog(Arc<Mutex<VecDeque<RaftLine>>>);

impl RaftLog {
    /// For Raft to write to.
    pub(crate) fn logger(&self) -> Logger {
        Logger::root(self.clone(), slog::o!())
    }

    /// Adds a line that warns of something.
    pub(crate) fn warn(&self, text: String) {
        self.push(RaftLine { is_warning: true, text });
    }

    fn push(&self, line: RaftLine) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(crate) fn take(&self) -> VecDeque<RaftLine> {
        // No holder leaves it half changed.
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drain for RaftLog {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        // Below that is what happens for every message.
        if !record.level().is_at_least(Level::Info) {
            return Ok(());
        }
        let mut text = Text(record.msg().to_string());
        // Writing to a String cannot fail.
        record.kv().serialize(record, &mut text).unwrap_or_default();
        values.serialize(record, &mut text).unwrap_or_default();
        self.push(RaftLine { is_warning: record.level().is_at_least(Level::Warning), text: text.0 });
        Ok(())
    }
}

struct Text(String);

impl Serializer for Text {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_with_their_numbers_and_not_without_bound() {
        let log = RaftLog::default();
        let logger = log.logger();
        slog::info!(logger, "became leader"; "term" => 7);
        slog::debug!(logger, "a message");
        slog::warn!(logger, "odd");
        let lines: Vec<_> = log.take().into();
        let line = |text: &str, is_warning| RaftLine { is_warning, text: text.to_owned() };
        assert_eq!(lines, [line("became leader term=7", false), line("odd", true)]);
        for number in 0..=LINES_MAX {
            slog::info!(logger, "line"; "number" => number);
        }
        let lines = log.take();
        assert_eq!((lines.len(), &lines[0].text[..]), (LINES_MAX, "line number=1"));
        assert!(log.take().is_empty());
    }
}
