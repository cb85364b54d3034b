//! Commands of sessions. Their numbers are the session's and outlive connections, so that the engine knows what comes again; who waits
//! for an answer is found by them.

use std::collections::{BTreeMap, VecDeque};

use protocol::limits::REQUEST_WINDOW;
use protocol::{RequestNumber, SessionId};

use crate::ConnectionId;

/// Numbers of commands lie below: above, a number in the journal is a connection's, and in its lower half the client's.
const COMMANDS_END: u64 = 1 << 32;

/// The numbers of all sessions' commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Above all that the engine has answered; a session that is not here begins with 1.
    next: BTreeMap<SessionId, RequestNumber>,
    /// Who waits, with the number of the request on its connection. The same command may come again while it is under way: the engine
    /// answers each time, in the order in which they came.
    waiting: BTreeMap<(SessionId, RequestNumber), VecDeque<(ConnectionId, RequestNumber)>>,
}

impl Commands {
    /// The number of the session's next command.
    pub(crate) fn next(&self, session: SessionId) -> RequestNumber {
        self.next.get(&session).copied().unwrap_or(RequestNumber(1))
    }

    /// The engine has answered all numbers below this, or never will.
    pub(crate) fn set_next(&mut self, session: SessionId, next: RequestNumber) {
        self.next.insert(session, next);
    }

    /// Whether a command may have this number: one that is far ahead would put all others out of the window in which the engine knows
    /// repetitions.
    pub(crate) fn admits(&self, session: SessionId, number: RequestNumber) -> bool {
        let end = self.next(session).0.saturating_add(REQUEST_WINDOW).min(COMMANDS_END);
        (1..end).contains(&number.0)
    }

    /// The command was handed over.
    pub(crate) fn wait(
        &mut self,
        session: SessionId,
        number: RequestNumber,
        connection: ConnectionId,
        seq_no: RequestNumber,
    ) {
        self.waiting.entry((session, number)).or_default().push_back((connection, seq_no));
    }

    /// The engine has answered this number.
    pub(crate) fn replied(&mut self, session: SessionId, number: RequestNumber) {
        if number.0 < COMMANDS_END && number >= self.next(session) {
            self.set_next(session, RequestNumber(number.0 + 1));
        }
    }

    /// Who waits for the answer that has come.
    pub(crate) fn take(
        &mut self,
        session: SessionId,
        number: RequestNumber,
    ) -> Option<(ConnectionId, RequestNumber)> {
        let waiting = self.waiting.get_mut(&(session, number))?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&(session, number));
        }
        first
    }

    /// Nobody waits any more.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }
}
