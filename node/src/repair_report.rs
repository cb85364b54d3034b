//! What a node tells of itself while its journal is being repaired: to operators, to `/ready` and to the log.

use std::fmt;
use std::process;

use journal::classify::Verdict;
use replicas::{RepairStatus, SnapshotStatus};
use serde::{Deserialize, Serialize};

use crate::fault::NodeFault;
use crate::peers::PeerReport;
use crate::status::Fixed;

/// A node whose journal is being repaired, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepairReport {
    version: String,
    pid: u32,
    fix: String,
    http: String,
    cluster: String,
    node: u64,
    /// Always `repair`.
    role: String,
    /// Never.
    serving: bool,
    term: u64,
    /// What is wrong with the journal.
    damage: String,
    /// The last entry that is here, linked to all before it.
    index_last: u64,
    missing: Option<Missing>,
    /// The row of the repair table that is carried out, and the entry that the log has to reach.
    row: Option<String>,
    target: Option<u64>,
    entries_fetched: u64,
    snapshot: Option<Coming>,
    /// The snapshot that has taken the place of what was lost.
    adopted: Option<Adopted>,
    /// What it waits for, if no row applies.
    waits_for: Option<String>,
    /// Whom it asks.
    asks: Vec<Asked>,
}

/// Entries that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    from: u64,
    /// `None`: nothing says how many.
    to: Option<u64>,
    term: Option<u64>,
}

/// A snapshot that is being fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coming {
    node: u64,
    index: u64,
    missing_bytes: u64,
}

/// A snapshot of another node that the log, or the state, goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adopted {
    node: u64,
    index: u64,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    node: u64,
    address: Option<String>,
    connected: bool,
    /// It has answered the last round of questions.
    answers: bool,
}

impl RepairReport {
    /// Of `status`; `others` are whom it asks, `peers` the connections.
    pub(crate) fn new<'a>(
        status: &RepairStatus,
        others: impl Iterator<Item = (protocol::NodeId, Option<&'a str>)>,
        peers: &[PeerReport],
        fixed: &Fixed,
    ) -> Self {
        let asks = others.map(|(node, address)| {
            let peer = peers.iter().find(|peer| peer.node == node);
            Asked {
                node: node.0,
                address: peer.map(|peer| peer.address.as_str()).or(address).map(ToOwned::to_owned),
                connected: peer.is_some_and(|peer| peer.connected),
                answers: status.heard.contains(&node),
            }
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            fix: fixed.fix.clone(),
            http: fixed.http.clone(),
            cluster: format!("{:032x}", status.identity.cluster.0),
            node: status.identity.node.0,
            role: "repair".to_owned(),
            serving: false,
            term: status.term.0,
            damage: damage(status),
            index_last: status.log.last_index.0,
            missing: Missing::of(status),
            row: status.row.map(|(row, _)| row.name().trim_start_matches("repair: ").to_owned()),
            target: status.row.map(|(_, target)| target.0),
            entries_fetched: status.entries_fetched,
            snapshot: status.snapshot.as_ref().map(|SnapshotStatus { source, index, missing_bytes }| {
                Coming { node: source.0, index: index.0, missing_bytes: *missing_bytes }
            }),
            adopted: status.adopted.map(|(source, index)| Adopted { node: source.0, index: index.0 }),
            waits_for: status.row.is_none().then(|| status.wait.to_string()),
            asks: asks.collect(),
        }
    }

    /// What is damaged, what is missing, and what it waits for: a line that changes when the outcome does.
    pub(crate) fn line(&self) -> String {
        let outcome = match (&self.row, &self.waits_for) {
            (Some(row), _) => format!("{row}, up to entry {}", self.target.unwrap_or_default()),
            (None, waits) => format!("waits: {}", waits.as_deref().unwrap_or("nothing")),
        };
        let missing = self.missing.as_ref().map_or("no entries are missing".to_owned(), ToString::to_string);
        format!("the journal is being repaired: {}, {missing}; {outcome}", self.damage)
    }

    /// What was damaged, and what has come from others, once it is done.
    pub(crate) fn outcome(&self) -> String {
        let Self { damage, entries_fetched, .. } = self;
        let adopted = self.adopted.as_ref().map_or(String::new(), |Adopted { node, index }| {
            format!("a snapshot behind entry {index} was adopted from node {node}, ")
        });
        format!("{damage}: {adopted}{entries_fetched} entries were fetched from other nodes")
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String, NodeFault> {
        let line = serde_json::to_string(self).map_err(|error| NodeFault::Internal(error.to_string()))?;
        Ok(line + "\n")
    }
}

fn damage(status: &RepairStatus) -> String {
    match &status.findings.verdict {
        Verdict::Repair(blocks) => format!("blocks {} to {} are damaged", blocks.start(), blocks.end()),
        Verdict::Suspect { from_block, .. } => format!("block {from_block} is in doubt"),
        Verdict::Unrepaired { .. } => "a repair has not come to its end".to_owned(),
        Verdict::Clean | Verdict::Torn => {
            "the snapshot that the log begins with is damaged or gone".to_owned()
        }
    }
}

impl Missing {
    fn of(status: &RepairStatus) -> Option<Self> {
        let from = status.findings.log.last_index.next();
        match status.lost.end {
            Some((to, _)) if to < from => None,
            Some((to, term)) => Some(Self { from: from.0, to: Some(to.0), term: Some(term.0) }),
            None => Some(Self { from: from.0, to: None, term: None }),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to, self.term) {
            (Some(to), Some(term)) => write!(f, "entries {} to {to} of term {term} are missing", self.from),
            _ => write!(f, "an unknown number of entries from {} on is missing", self.from),
        }
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, cluster, version, pid, term, .. } = self;
        writeln!(f, "node      {node} of cluster {cluster}, version {version}, pid {pid}")?;
        writeln!(f, "role      {}, term {term}, not serving", self.role)?;
        writeln!(f, "listens   fix {}, http {}", self.fix, self.http)?;
        writeln!(f, "damage    {}", self.damage)?;
        if let Some(missing) = &self.missing {
            writeln!(f, "missing   {missing}")?;
        }
        writeln!(f, "log       whole up to entry {}, {} fetched", self.index_last, self.entries_fetched)?;
        if let (Some(row), Some(target)) = (&self.row, self.target) {
            writeln!(f, "repair    {row}, up to entry {target}")?;
        }
        if let Some(Coming { node, index, missing_bytes }) = &self.snapshot {
            writeln!(f, "snapshot  behind entry {index}, from node {node}, {missing_bytes} bytes to come")?;
        }
        if let Some(waits_for) = &self.waits_for {
            writeln!(f, "waits     {waits_for}")?;
        }
        for Asked { node, address, connected, answers } in &self.asks {
            let connected = if *connected { "connected" } else { "not connected" };
            let answers = if *answers { "answers" } else { "does not answer" };
            let address = address.as_deref().unwrap_or("no address");
            writeln!(f, "asks      node {node} at {address}: {connected}, {answers}")?;
        }
        Ok(())
    }
}
