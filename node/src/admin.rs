//! The operator's way in: a Unix socket in the data folder, one JSON object a line, each answered by one line.
//!
//! Who may: the operating system's user that the genesis record names, checked by the kernel's word for the peer. What
//! it asks for happens as [`protocol::SessionId::OPERATOR`], journaled like everybody's commands. A command travels as
//! its kind, its version and the bytes of its body, so that what the operator's program encoded is what is journaled.

pub(crate) mod client;
pub(crate) mod server;

use std::path::{Path, PathBuf};

use protocol::Command;
use protocol::wire::{self, WireFault};
use serde::{Deserialize, Serialize};

use crate::members::{Members, Order};
use crate::plan::{Effect, Outcome};
use crate::reads::Freshness;
use crate::repair_report::RepairReport;
use crate::status::{Report, SessionReport};

/// Commands in one line.
pub(crate) const COMMANDS_PER_LINE_MAX: usize = 256;
/// Bytes of a line: that many commands of a record's size in hexadecimal, and room for the rest.
pub(crate) const LINE_BYTES_MAX: usize =
    COMMANDS_PER_LINE_MAX * (2 * protocol::limits::RECORD_BYTES_MAX + 64);

const SOCKET_NAME: &str = "admin.sock";
/// Bytes of a path that a Unix socket's address holds.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// What an operator asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How the node is.
    Status,
    /// The assets that exist.
    Assets,
    /// What commands would change, without submitting them.
    Plan {
        /// In order.
        commands: Vec<Body>,
    },
    /// Execute commands in order.
    Submit {
        /// In order.
        commands: Vec<Body>,
    },
    /// Wait until the node's state is new enough: what is asked next on this connection is answered from it or a later one.
    Fresh {
        /// How new.
        freshness: Freshness,
    },
    /// Hash of the whole engine state: stops the engine for as long as it takes.
    StateHash,
    /// Who belongs to the cluster.
    Members,
    /// Move the lead, or change the membership.
    Order {
        /// What.
        order: Order,
    },
    /// Where the engine halted.
    Halt,
    /// Pass over the record at which it halted.
    Skip {
        /// Of a SKIP entry, signed, in hexadecimal.
        payload: String,
    },
}

/// What the node answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// To [`Request::Status`].
    Status {
        /// The node.
        report: Box<Report>,
        /// Its client sessions.
        sessions: Vec<SessionReport>,
    },
    /// To [`Request::Status`] while the journal is being repaired.
    Repair {
        /// How far it is.
        report: Box<RepairReport>,
    },
    /// To [`Request::Assets`].
    Assets {
        /// All of them.
        assets: Vec<AssetLine>,
    },
    /// To [`Request::Plan`].
    Plan {
        /// One for each command.
        effects: Vec<Effect>,
    },
    /// To [`Request::Submit`].
    Submitted {
        /// One for each command.
        outcomes: Vec<Outcome>,
    },
    /// To [`Request::Fresh`].
    Fresh {
        /// The seq that is applied.
        seq_applied: u64,
    },
    /// To [`Request::StateHash`].
    StateHash {
        /// The seq at which it holds.
        seq: u64,
        /// In hexadecimal.
        hash: String,
    },
    /// To [`Request::Members`].
    Members {
        /// As this node knows them.
        members: Box<Members>,
    },
    /// To [`Request::Order`]: it is under way.
    Ordered,
    /// To [`Request::Halt`].
    Halt {
        /// `None` = it runs.
        halt: Option<HaltLine>,
        /// The last seq whose effects are here.
        seq_applied: u64,
    },
    /// To [`Request::Skip`]: it is in the log, and counts when it is committed.
    SkipProposed,
    /// To anything, instead.
    Error {
        /// For the operator.
        message: String,
    },
}

/// Where and why the engine halted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaltLine {
    /// The cluster, in hexadecimal: a decision is for one.
    pub(crate) cluster: String,
    /// Seq of what stands there.
    pub(crate) seq: u64,
    /// Its hash in hexadecimal, if it is a record that operators may pass over.
    pub(crate) record_hash: Option<String>,
    /// For people.
    pub(crate) why: String,
}

/// One asset.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetLine {
    /// Such as `BTC`.
    pub(crate) code: String,
    /// Its id.
    pub(crate) id: u32,
    /// Its decimals.
    pub(crate) scale: u8,
}

/// A command's body as it will stand in the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    kind: u16,
    version: u16,
    /// In hexadecimal.
    body: String,
}

impl Body {
    /// Of `command`.
    pub(crate) fn of(command: &Command) -> Self {
        let mut bytes = Vec::new();
        wire::encode(command, &mut bytes);
        Self { kind: command.kind(), version: command.version(), body: hex(&bytes) }
    }

    /// The command.
    ///
    /// # Errors
    /// [`WireFault`] if this node does not know it.
    pub(crate) fn command(&self) -> Result<Command, WireFault> {
        let bytes = unhex(&self.body).ok_or(WireFault::Malformed { kind: self.kind })?;
        wire::decode(self.kind, self.version, &bytes)
    }
}

/// Where the socket of the node on `dir` is reached.
///
/// A socket's address holds little more than a hundred bytes. A longer path is reached through the folder's descriptor,
/// which therefore has to stay open while the path is used.
pub(crate) struct SocketPath {
    /// To bind or to connect to.
    pub(crate) path: PathBuf,
    /// Keeps `path` valid.
    _folder: Option<std::fs::File>,
}

impl SocketPath {
    /// In `dir`.
    ///
    /// # Errors
    /// If the folder cannot be opened.
    pub(crate) fn in_dir(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join(SOCKET_NAME);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = std::fs::File::open(dir)?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&folder);
        let path = PathBuf::from(format!("/proc/self/fd/{descriptor}")).join(SOCKET_NAME);
        Ok(Self { path, _folder: Some(folder) })
    }
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        write!(out, "{byte:02x}").unwrap_or_default();
        out
    })
}

/// The bytes of as many pairs of digits.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[h, l]| Some(digit(*h)? << 4 | digit(*l)?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::AssetId;
    use protocol::commands::{DefineActor, DefineAsset};

    #[test]
    fn commands_travel_unchanged() {
        let asset = DefineAsset { asset: AssetId(7), code: protocol::Text::new("XAU").unwrap(), scale: 4 };
        for command in [Command::from(asset), DefineActor { actor: protocol::ActorId(9), roles: 5 }.into()] {
            let line =
                serde_json::to_string(&Request::Submit { commands: vec![Body::of(&command)] }).unwrap();
            let Request::Submit { commands } = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            assert_eq!(commands[0].command(), Ok(command));
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for body in ["0", "zz", "00ff", ""] {
            let body = Body { kind: 17, version: 1, body: body.to_owned() };
            assert_eq!(body.command(), Err(WireFault::Malformed { kind: 17 }));
        }
        assert_eq!(unhex("00fF10"), Some(vec![0, 255, 16]));
    }
}
