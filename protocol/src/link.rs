//! What a gateway process and a node of the cluster say to each other: one message each way at a time, as bytes.
//!
//! A gateway is connected to every node and watches: the node that leads says so, at once or as soon as it does. The gateway says
//! hello to it, and the leader welcomes it with how far its commands have
//! been executed and with a place in the stream of events ([`Cursor`]); from there on the gateway sends commands, and the leader
//! sends what followed from them, each event once. After a change of leader the gateway greets the next one with the place that it
//! has come to, and sends again what was not executed. Numbers are little endian; the first byte is the kind.

use crate::bytes::Field;
use crate::event::{Event, EventFault};
use crate::limits::LINK_MESSAGE_BYTES_MAX;
use crate::record::{Record, RecordFault};
use crate::{NodeId, OutSeq, Seq, SessionEpoch, SessionId, Term};

/// Of these messages.
pub const LINK_VERSION: u16 = 1;
/// Bytes of a message of events beside them.
pub const EVENTS_HEADER_BYTES: usize = 21;

/// A place in the events that concern one gateway. The same on every replica, because the journal says what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything that follows from commands up to this one has passed, …
    pub through: Seq,
    /// … and so many events behind it.
    pub plus: u32,
}

/// From a gateway.
#[derive(Clone, Copy, Debug)]
pub enum FromGateway<'a> {
    /// The first message of a connection: the node is to say when it leads.
    Watch,
    /// To the leader, before all else.
    Hello {
        /// Drawn by the process at its start.
        instance: u64,
        /// The place that it has come to; `None` before its first welcome.
        resume: Option<Cursor>,
    },
    /// A command of a FIX session, with its number among those of the process: from 1, without gaps.
    Command {
        /// Its number.
        number: u64,
        /// The command, without extensions.
        record: Record<'a>,
    },
    /// Asks for outputs that a session was sent.
    Read {
        /// Given back with the answer.
        read: u64,
        /// Whose.
        session: SessionId,
        /// Of which epoch.
        epoch: SessionEpoch,
        /// First number.
        from: OutSeq,
        /// Last number.
        to: OutSeq,
    },
    /// The gateway lives; answered by events, of which there may be none.
    Alive,
}

/// From a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromCluster<'a> {
    /// This node leads, and takes commands. Of two that say so the one of the higher term is right.
    Leads {
        /// Since when.
        term: Term,
    },
    /// This node does not lead. The last message of a connection.
    Elsewhere {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// The gateway may go on.
    Welcome {
        /// The number of its last command that was executed.
        executed: u64,
        /// The events go on behind this place.
        cursor: Cursor,
    },
    /// Another process runs under this id. The last message of a connection.
    Superseded,
    /// What followed since the gateway's place is not known here any more: it has to begin anew. The last message of a
    /// connection.
    TooFarBehind,
    /// What is defined, as the events that said so; they have no place in the stream.
    Definitions {
        /// One behind the other.
        events: &'a [u8],
    },
    /// What followed for the gateway's sessions, in order.
    Events {
        /// The place behind them.
        cursor: Cursor,
        /// The number of the gateway's last command that was executed.
        executed: u64,
        /// One behind the other.
        events: &'a [u8],
    },
    /// The answer to a read: the outputs from the first on that fit; none says that nothing is kept of the range.
    Outputs {
        /// As asked.
        read: u64,
        /// One behind the other.
        events: &'a [u8],
    },
    /// The answer to a read of outputs that are kept and cannot be read.
    Unreadable {
        /// As asked.
        read: u64,
    },
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// The length is that of no message of its kind, or above the limit.
    Length(usize),
    /// A kind that this end does not send, or not now.
    Kind(u8),
    /// Of a later version of these messages.
    Version(u16),
    /// A field has a value that it cannot have.
    Field(&'static str),
    /// The record of a command.
    Record(RecordFault),
    /// An event.
    Event(EventFault),
}

impl core::fmt::Display for LinkFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "{bytes} bytes are no such message"),
            Self::Kind(kind) => write!(f, "kind {kind} is not expected here"),
            Self::Version(version) => {
                write!(f, "version {version}, this program speaks {LINK_VERSION}")
            }
            Self::Field(field) => write!(f, "field {field} is out of range"),
            Self::Record(fault) => write!(f, "a command: {fault:?}"),
            Self::Event(fault) => write!(f, "an event: {fault:?}"),
        }
    }
}

impl core::error::Error for LinkFault {}

const HELLO: u8 = 1;
const COMMAND: u8 = 2;
const READ: u8 = 3;
const ALIVE: u8 = 4;
const WATCH: u8 = 5;
const ELSEWHERE: u8 = 64;
const WELCOME: u8 = 65;
const SUPERSEDED: u8 = 66;
const TOO_FAR_BEHIND: u8 = 67;
const DEFINITIONS: u8 = 68;
const EVENTS: u8 = 69;
const OUTPUTS: u8 = 70;
const UNREADABLE: u8 = 71;
const LEADS: u8 = 72;

impl Cursor {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.through.0.to_le_bytes());
        out.extend_from_slice(&self.plus.to_le_bytes());
    }

    fn read(bytes: &[u8], at: usize) -> Self {
        Self { through: Seq(bytes.u64_at(at)), plus: bytes.u32_at(at.saturating_add(8)) }
    }
}

fn whole(bytes: &[u8], expected: usize) -> Result<(), LinkFault> {
    if bytes.len() == expected { Ok(()) } else { Err(LinkFault::Length(bytes.len())) }
}

fn at_least(bytes: &[u8], expected: usize) -> Result<&[u8], LinkFault> {
    bytes.get(expected..).ok_or(LinkFault::Length(bytes.len()))
}

fn kind_of(bytes: &[u8]) -> Result<u8, LinkFault> {
    match bytes.first() {
        Some(kind) if bytes.len() <= LINK_MESSAGE_BYTES_MAX => Ok(*kind),
        _ => Err(LinkFault::Length(bytes.len())),
    }
}

impl<'a> FromGateway<'a> {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Watch => {
                out.push(WATCH);
                out.extend_from_slice(&LINK_VERSION.to_le_bytes());
            }
            Self::Hello { instance, resume } => {
                out.push(HELLO);
                out.extend_from_slice(&LINK_VERSION.to_le_bytes());
                out.extend_from_slice(&instance.to_le_bytes());
                out.push(u8::from(resume.is_some()));
                resume.unwrap_or_default().write(out);
            }
            Self::Command { number, record } => {
                out.push(COMMAND);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(record.bytes);
            }
            Self::Read { read, session, epoch, from, to } => {
                out.push(READ);
                out.extend_from_slice(&read.to_le_bytes());
                out.extend_from_slice(&session.0.to_le_bytes());
                out.extend_from_slice(&epoch.0.to_le_bytes());
                out.extend_from_slice(&from.0.to_le_bytes());
                out.extend_from_slice(&to.0.to_le_bytes());
            }
            Self::Alive => out.push(ALIVE),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`LinkFault`] for anything that [`Self::write`] does not write.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LinkFault> {
        match kind_of(bytes)? {
            WATCH => {
                of_our_version(bytes)?;
                whole(bytes, 3).map(|()| Self::Watch)
            }
            HELLO => hello(bytes),
            COMMAND => {
                let rest = at_least(bytes, 9)?;
                let record = Record::read(rest).map_err(LinkFault::Record)?;
                whole(rest, record.bytes.len())?;
                let header = &record.header;
                let is_bare = header.correlation.is_none()
                    && header.causation.is_none()
                    && header.signature.is_none()
                    && header.gateway.is_none();
                if !is_bare {
                    return Err(LinkFault::Field("record"));
                }
                Ok(Self::Command { number: bytes.u64_at(1), record })
            }
            READ => {
                whole(bytes, 33)?;
                Ok(Self::Read {
                    read: bytes.u64_at(1),
                    session: SessionId(bytes.u32_at(9)),
                    epoch: SessionEpoch(bytes.u32_at(13)),
                    from: OutSeq(bytes.u64_at(17)),
                    to: OutSeq(bytes.u64_at(25)),
                })
            }
            ALIVE => whole(bytes, 1).map(|()| Self::Alive),
            kind => Err(LinkFault::Kind(kind)),
        }
    }
}

/// What a later version has in its first messages nobody here knows.
fn of_our_version(bytes: &[u8]) -> Result<(), LinkFault> {
    at_least(bytes, 3)?;
    let version = bytes.u16_at(1);
    if version == LINK_VERSION { Ok(()) } else { Err(LinkFault::Version(version)) }
}

fn hello(bytes: &[u8]) -> Result<FromGateway<'_>, LinkFault> {
    of_our_version(bytes)?;
    whole(bytes, 24)?;
    let cursor = Cursor::read(bytes, 12);
    let resume = match bytes.get(11) {
        Some(0) if cursor == Cursor::default() => None,
        Some(1) => Some(cursor),
        _ => return Err(LinkFault::Field("resume")),
    };
    Ok(FromGateway::Hello { instance: bytes.u64_at(3), resume })
}

impl<'a> FromCluster<'a> {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leads { term } => {
                out.push(LEADS);
                out.extend_from_slice(&term.0.to_le_bytes());
            }
            Self::Elsewhere { leader } => {
                out.push(ELSEWHERE);
                out.extend_from_slice(&leader.unwrap_or_default().0.to_le_bytes());
            }
            Self::Welcome { executed, cursor } => {
                out.push(WELCOME);
                out.extend_from_slice(&executed.to_le_bytes());
                cursor.write(out);
            }
            Self::Superseded => out.push(SUPERSEDED),
            Self::TooFarBehind => out.push(TOO_FAR_BEHIND),
            Self::Definitions { events } => {
                out.push(DEFINITIONS);
                out.extend_from_slice(events);
            }
            Self::Events { cursor, executed, events } => {
                out.push(EVENTS);
                cursor.write(out);
                out.extend_from_slice(&executed.to_le_bytes());
                out.extend_from_slice(events);
            }
            Self::Outputs { read, events } => {
                out.push(OUTPUTS);
                out.extend_from_slice(&read.to_le_bytes());
                out.extend_from_slice(events);
            }
            Self::Unreadable { read } => {
                out.push(UNREADABLE);
                out.extend_from_slice(&read.to_le_bytes());
            }
        }
    }

    /// Reads a message. Its events are read by [`events`].
    ///
    /// # Errors
    /// [`LinkFault`] for anything that [`Self::write`] does not write.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LinkFault> {
        match kind_of(bytes)? {
            LEADS => whole(bytes, 9).map(|()| Self::Leads { term: Term(bytes.u64_at(1)) }),
            ELSEWHERE => {
                whole(bytes, 9)?;
                let leader = NodeId(bytes.u64_at(1));
                Ok(Self::Elsewhere { leader: (leader.0 != 0).then_some(leader) })
            }
            WELCOME => {
                whole(bytes, 21)?;
                Ok(Self::Welcome { executed: bytes.u64_at(1), cursor: Cursor::read(bytes, 9) })
            }
            SUPERSEDED => whole(bytes, 1).map(|()| Self::Superseded),
            TOO_FAR_BEHIND => whole(bytes, 1).map(|()| Self::TooFarBehind),
            DEFINITIONS => Ok(Self::Definitions { events: at_least(bytes, 1)? }),
            EVENTS => {
                let events = at_least(bytes, EVENTS_HEADER_BYTES)?;
                Ok(Self::Events { cursor: Cursor::read(bytes, 1), executed: bytes.u64_at(13), events })
            }
            OUTPUTS => Ok(Self::Outputs { events: at_least(bytes, 9)?, read: bytes.u64_at(1) }),
            UNREADABLE => whole(bytes, 9).map(|()| Self::Unreadable { read: bytes.u64_at(1) }),
            kind => Err(LinkFault::Kind(kind)),
        }
    }
}

/// The events of a message, which stand one behind the other.
///
/// # Errors
/// [`LinkFault::Event`] for anything else.
pub fn events(mut bytes: &[u8]) -> Result<Vec<Event>, LinkFault> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (event, length) = Event::read(bytes).map_err(LinkFault::Event)?;
        events.push(event);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(events)
}
