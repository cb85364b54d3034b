//! The operator's end of the admin socket: one question, one answer, blocking.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use protocol::time::NANOS_PER_SECOND;

use crate::admin::{Answer, LINE_BYTES_MAX, Request, SocketPath};
use crate::clock::{Clock, pause};
use crate::fault::NodeFault;

/// A node that has not answered for this long is not going to.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two questions about the same.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A connection to the node on one folder.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the node on `dir`.
    ///
    /// # Errors
    /// [`NodeFault::NotRunning`] if none answers there.
    pub(crate) fn connect(dir: &Path) -> Result<Self, NodeFault> {
        let not_running = |source| NodeFault::NotRunning { dir: dir.to_owned(), source };
        let socket = SocketPath::in_dir(dir).map_err(not_running)?;
        let stream = UnixStream::connect(&socket.path).map_err(not_running)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(not_running)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`NodeFault::Admin`] with what the node says instead of an answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, NodeFault> {
        let mut line =
            serde_json::to_string(request).map_err(|error| NodeFault::Internal(error.to_string()))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(unanswered)?;
        let mut answer = String::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut self.stream).take(limit).read_line(&mut answer).map_err(unanswered)?;
        if answer.is_empty() {
            return Err(NodeFault::Unanswered("the connection was closed".to_owned()));
        }
        match serde_json::from_str(&answer) {
            Ok(Answer::Error { message }) => Err(NodeFault::Admin(message)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(NodeFault::Admin(format!("an answer that is none: {error}"))),
        }
    }

    /// Asks again and again, until `question` has an answer.
    ///
    /// # Errors
    /// What `question` says; [`NodeFault::Unanswered`] with `waits` after `timeout_s`.
    pub(crate) fn ask_until<T>(
        &mut self,
        timeout_s: u64,
        waits: &str,
        question: impl Fn(&mut Self) -> Result<Option<T>, NodeFault>,
    ) -> Result<T, NodeFault> {
        let clock = Clock::start();
        loop {
            if let Some(answer) = question(self)? {
                return Ok(answer);
            }
            if clock.mono().0 > timeout_s.saturating_mul(NANOS_PER_SECOND) {
                return Err(NodeFault::Unanswered(waits.to_owned()));
            }
            pause(ASK_AGAIN);
        }
    }
}

fn unanswered(error: io::Error) -> NodeFault {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        return NodeFault::Unanswered(format!("none in {} s", ANSWER_TIMEOUT.as_secs()));
    }
    NodeFault::Unanswered(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_answer_nothing_is_known() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fault = Client { stream: BufReader::new(ours) }.ask(&Request::Status).unwrap_err().to_string();
        assert!(fault.contains("none in 30 s") && fault.contains("may still be executed"), "{fault}");
    }

    #[test]
    fn a_node_that_ends_between_two_questions_has_not_answered() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let fault = Client { stream: BufReader::new(ours) }.ask(&Request::Members).unwrap_err();
        assert!(matches!(&fault, NodeFault::Unanswered(why) if why.contains("pipe")), "{fault}");
    }
}
