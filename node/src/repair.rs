//! A node whose journal is damaged: connected to the others and alive, but not ready, until what is missing has come from
//! them. Then its start goes on.

use std::path::Path;
use std::time::Duration;

use journal::FileDisk;
use journal::classify::Verdict;
use protocol::NodeId;
use protocol::time::NANOS_PER_MILLI;
use replicas::{Outbound, Repair, RepairStatus};

use crate::clock::Clock;
use crate::config::Config;
use crate::fault::NodeFault;
use crate::folder;
use crate::outside::Outside;
use crate::peers::Peers;
use crate::sockets::Sockets;

/// Messages of other nodes that are taken in one turn.
const MESSAGES_PER_TURN: usize = 256;
/// Longest sleep: what comes in between waits so long.
const SLEEP_NANOS_MAX: u64 = 5 * NANOS_PER_MILLI;

/// Brings back from the others what the journal of `disk` in `dir` has lost, however long it takes; it can be opened then.
///
/// # Errors
/// [`NodeFault::Recovery`] if it cannot be repaired from entries of others, or the disk fails.
pub(crate) fn run(
    disk: FileDisk,
    dir: &Path,
    config: &Config,
    (peers, sockets): (&mut Peers, &mut Sockets),
    outside: &Outside,
    clock: Clock,
) -> Result<FileDisk, NodeFault> {
    let node = NodeId(config.node_id.value);
    let others = config.peers.iter().map(|peer| peer.id).filter(|id| *id != node).collect();
    let refused = |report: String| NodeFault::Recovery { dir: dir.to_owned(), report };
    let opened = Repair::open(disk, folder::journal_options(config)?, config.profile.value.raft(), others);
    let mut repair = opened.map_err(|fault| refused(fault.to_string()))?;
    let found = repair.status().identity;
    if found.node != node || config.cluster.is_some_and(|cluster| cluster != found.cluster) {
        return Err(NodeFault::Usage(format!(
            "{} holds node {} of cluster {:032x}, the configuration names another",
            dir.display(),
            found.node,
            found.cluster.0
        )));
    }
    let mut said = String::new();
    loop {
        let mut worked = false;
        peers.take_unreachable();
        for _ in 0..MESSAGES_PER_TURN {
            let Some((from, bytes)) = peers.receive() else { break };
            worked = true;
            if let Err(fault) = repair.receive_from(from, &bytes) {
                tracing::debug!(%fault, from = from.0, "a message of another node was not taken");
            }
        }
        let now = clock.now().mono;
        worked |= repair.step(now).map_err(|fault| refused(fault.to_string()))?;
        for Outbound { to, lane, bytes } in repair.take_outbound() {
            // What finds no room is lost, and asked for again.
            peers.send(to, lane, bytes);
        }
        let status = repair.status();
        let text = describe(&status);
        if text != said {
            tracing::warn!("{text}");
            outside.say(&text);
            said = text;
        }
        if repair.is_done() {
            tracing::warn!(
                entries_fetched = status.entries_fetched,
                "the journal is repaired, and the start goes on"
            );
            return Ok(repair.into_disk());
        }
        if !worked {
            let nanos = repair.next_deadline().since(now).min(SLEEP_NANOS_MAX);
            sockets.wait(Duration::from_nanos(nanos)).map_err(NodeFault::io("waiting"))?;
        }
    }
}

/// What is damaged, what is missing, and what it waits for: a line that changes when the outcome does.
fn describe(status: &RepairStatus) -> String {
    let blocks = match &status.findings.verdict {
        Verdict::Repair(blocks) => format!("blocks {} to {} are damaged", blocks.start(), blocks.end()),
        Verdict::Suspect { from_block, .. } => format!("block {from_block} is in doubt"),
        Verdict::Unrepaired { .. } => "a repair has not come to its end".to_owned(),
        Verdict::Clean | Verdict::Torn => "nothing is damaged".to_owned(),
    };
    let from = status.findings.log.last_index.next();
    let entries = match status.lost.end {
        Some((to, _)) if to < from => "no entries are missing".to_owned(),
        Some((to, term)) => format!("entries {from} to {to} of term {term} are missing"),
        None => format!("an unknown number of entries from {from} on is missing"),
    };
    let waits = match status.row {
        Some((row, to)) => format!("{}, up to entry {to}", row.name().trim_start_matches("repair: ")),
        None => format!("waits: {}", status.wait),
    };
    format!("the journal is being repaired: {blocks}, {entries}; {waits}")
}
