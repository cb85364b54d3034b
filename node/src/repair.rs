//! A node whose journal is damaged, or has lost the snapshot that it begins with: connected to the others and alive, but not ready, until what is missing has come from
//! them. Then its start goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::FileDisk;
use protocol::NodeId;
use protocol::time::NANOS_PER_MILLI;
use replicas::{Outbound, Repair};
use tokio::sync::watch;

use crate::admin::server::{self, Desk};
use crate::clock::Clock;
use crate::config::Config;
use crate::fault::NodeFault;
use crate::folder;
use crate::outside::Outside;
use crate::peers::Peers;
use crate::repair_report::RepairReport;
use crate::sockets::Sockets;
use crate::status::Fixed;

/// Messages of other nodes that are taken in one turn.
const MESSAGES_PER_TURN: usize = 256;
/// Longest sleep: what comes in between waits so long.
const SLEEP_NANOS_MAX: u64 = 5 * NANOS_PER_MILLI;
/// Between two reports to operators.
const PUBLISH_NANOS: u64 = 50 * NANOS_PER_MILLI;

/// Brings back from the others what the journal of `disk` in `dir` has lost, however long it takes; it can be opened then. Also says
/// what was damaged, and what has come.
///
/// # Errors
/// [`NodeFault::Recovery`] if it cannot be repaired from entries of others, or the disk fails.
pub(crate) fn run(
    disk: FileDisk,
    dir: &Path,
    config: &Config,
    (peers, sockets): (&mut Peers, &mut Sockets),
    (outside, fixed): (&Outside, &Fixed),
    clock: Clock,
) -> Result<(FileDisk, String), NodeFault> {
    let node = NodeId(config.node_id.value);
    let others = config.peers.iter().map(|peer| peer.id).filter(|id| *id != node).collect();
    let refused = |report: String| NodeFault::Recovery { dir: dir.to_owned(), report };
    let opened = Repair::open(disk, folder::journal_options(config)?, config.profile.value.raft(), others);
    let mut repair = opened.map_err(|fault| refused(fault.to_string()))?;
    let report = |repair: &Repair<FileDisk>, peers: &Peers| {
        Arc::new(RepairReport::new(&repair.status(), repair.others(), &peers.report(), fixed))
    };
    let (published, shown) = watch::channel(report(&repair, peers));
    let admin = server::bind(dir).map_err(NodeFault::io("admin socket"))?;
    let desk = outside.answer_meanwhile(admin, Desk::Repair(shown));
    let (mut said, mut published_at) = (String::new(), None);
    loop {
        let mut worked = false;
        peers.take_unreachable();
        peers.call_back(clock.now().mono);
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
        if published_at.is_none_or(|at| now.since(at) > PUBLISH_NANOS) || repair.is_done() {
            published_at = Some(now);
            peers.meet_members(repair.others());
            let report = report(&repair, peers);
            let line = report.line();
            published.send_replace(report);
            if line != said {
                tracing::warn!("{line}");
                outside.say(&line);
                said = line;
            }
        }
        if repair.is_done() {
            let outcome = report(&repair, peers).outcome();
            tracing::warn!(outcome, "the journal is repaired, and the start goes on");
            desk.abort();
            return Ok((repair.into_disk(), outcome));
        }
        if !worked {
            let nanos = repair.next_deadline().since(now).min(SLEEP_NANOS_MAX);
            sockets.wait(Duration::from_nanos(nanos)).map_err(NodeFault::io("waiting"))?;
        }
    }
}
