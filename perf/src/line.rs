//! One FIX connection from the client's side: a socket around [`Initiator`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, Message, Phase, Settings};
use protocol::{MonoNanos, UnixNanos};

use crate::clock::{Stopwatch, unix_ns};
use crate::fault::Fault;

const OUR_COMP_ID: &str = "SICIL";
/// A blocked read ends after this long, so that heartbeats are sent and silence is found out.
const READ_WAIT: Duration = Duration::from_secs(1);

/// Whether a read waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Blocks until something comes: as cheap as the floor that it is compared with.
    Block,
    /// Returns at once: the next message to send is due at its own time.
    Poll,
}

/// A logged-on session.
pub(crate) struct Line {
    stream: TcpStream,
    wait: Wait,
    pub(crate) initiator: Initiator,
    started: Stopwatch,
    started_unix_ns: u64,
    out: Vec<u8>,
    inbound: Vec<u8>,
}

impl Line {
    /// Connects and logs on with ResetSeqNumFlag(141)=Y.
    pub(crate) fn open(address: SocketAddr, comp_id: &str, wait: Wait) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).map_err(Fault::io(format!("connecting to {address}")))?;
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(READ_WAIT)));
        prepared.map_err(Fault::io("preparing the socket"))?;
        // A closed loop reuses what it has; only the demo and tests need resends of what was sent long ago.
        let settings = Settings { sent_max: 1, ..Settings::new(comp_id, OUR_COMP_ID) };
        let mut line = Self {
            stream,
            wait: Wait::Block,
            initiator: Initiator::new(settings),
            started: Stopwatch::start(),
            started_unix_ns: unix_ns(),
            out: Vec::new(),
            inbound: vec![0; 1 << 18],
        };
        line.initiator.connect(LogonStyle::Reset, line.now());
        while line.initiator.phase() == Phase::LogonSent {
            line.turn()?;
        }
        if line.initiator.phase() != Phase::Active {
            let said = line.initiator.take_received();
            let text = said.last().map(|message| message.text(58)).unwrap_or_default();
            return Err(Fault::Fix(format!("the Logon was refused: {text}")));
        }
        line.initiator.take_received();
        line.stream.set_nonblocking(wait == Wait::Poll).map_err(Fault::io("preparing the socket"))?;
        line.wait = wait;
        Ok(line)
    }

    /// Nanoseconds since the connection was made.
    pub(crate) fn mono_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Clocks {
        let mono_ns = self.mono_ns();
        Clocks { mono: MonoNanos(mono_ns), wall: UnixNanos(self.started_unix_ns + mono_ns) }
    }

    /// Sends what is to be sent and takes what has come; waits for something to come if it is a [`Wait::Block`].
    pub(crate) fn turn(&mut self) -> Result<(), Fault> {
        self.flush()?;
        let read = self.stream.read(&mut self.inbound);
        let now = self.now();
        match read {
            Ok(0) => return Err(Fault::Fix("the node closed the connection".to_owned())),
            Ok(len) => {
                let bytes = self.inbound.get(..len).unwrap_or_default();
                self.initiator.receive(bytes, now).map_err(|fault| Fault::Fix(fault.to_string()))?;
            }
            Err(error) if nothing_yet(&error) => {
                if self.wait == Wait::Poll {
                    std::thread::yield_now();
                }
            }
            Err(error) => return Err(Fault::io("reading from the node")(error)),
        }
        self.initiator.tick(now).map_err(|fault| Fault::Fix(fault.to_string()))
    }

    /// Takes turns until something has been received.
    pub(crate) fn wait_received(&mut self) -> Result<Vec<Message>, Fault> {
        loop {
            let received = self.initiator.take_received();
            if !received.is_empty() {
                return Ok(received);
            }
            self.turn()?;
        }
    }

    /// Logs out and waits for the answer.
    pub(crate) fn close(mut self) -> Result<(), Fault> {
        self.initiator.logout(self.now());
        while self.initiator.phase() == Phase::LogoutSent {
            self.turn()?;
            self.initiator.take_received();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.initiator.take_output(&mut self.out);
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => {
                    self.out.drain(..written);
                }
                // A node that does not read is read from first: both sides may be waiting for the other.
                Err(error) if nothing_yet(&error) => return Ok(()),
                Err(error) => return Err(Fault::io("writing to the node")(error)),
            }
        }
        Ok(())
    }
}

fn nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
