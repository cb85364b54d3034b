//! What many worlds together must have seen, or that they are green proves nothing: every row of the repair table, every way
//! through the Raft loop, and the faults that lead there.

use std::collections::BTreeMap;

use replicas::{Path, RepairRow};

/// How often each thing was seen.
pub type Counts = BTreeMap<&'static str, u64>;

/// Worlds from which on something that was never seen is a failure.
pub const SEEDS_MIN: u64 = 1_000;

/// What a client that pays has to come to, whatever dies.
const PAYMENTS: [&str; 17] = [
    "transfer posted",
    "transfer voided",
    "transfer expired",
    "transfer expired under another reign than it was reserved",
    "too late for what had expired",
    "whole chain posted",
    "whole chain voided",
    "whole chain settled under another reign than it was reserved",
    "chain refused in the middle",
    "chain refused at its end",
    "batch found executed after its answer was lost",
    "batch sent twice",
    "standing order executed",
    "standing order refused",
    "standing order cancelled",
    "standing order executed under another reign than it was defined",
    "standing order executed when somebody led again",
];

/// What becomes of the bank's days around that.
const DAYS: [&str; 15] = [
    "calendar set",
    "calendar set anew",
    "day closed",
    "day closed while transfers were pending",
    "day closed under another reign than it was asked for",
    "day found closed after its answer was lost",
    "closing of a wrong day refused",
    "transfer taken with a value date",
    "value date refused",
    "transfer expired on a later day than it was reserved",
    "whole chain settled on a later day than it was reserved",
    "standing order executed on a later day than it was defined",
    "standing order executed on another day than its date",
    "standing order executed by another calendar than it was defined",
    "standing order ended by another calendar",
];

/// What becomes of orders with terms, and of a market with phases.
const EXCHANGE: [&str; 6] = [
    "order fired",
    "order expired",
    "orders cancelled at once",
    "quotes acknowledged",
    "auction carried out",
    "market paused for its price",
];

const ALONE: [&str; 13] = [
    "process killed",
    "power lost",
    "started on a torn tail",
    "crash asked for at a torn tail",
    "segment rolled",
    "snapshot taken",
    "bit rot in the journal",
    "start refused over decayed bytes",
    "lied about a sync",
    "bit rot in the outbox",
    "read failed",
    "trade",
    "full batch sent",
];

const CLUSTER: [&str; 25] = [
    "began to reign",
    "leadership lost by a living process",
    "log truncated on conflict",
    "request sent again after an unknown outcome",
    "partition",
    "one-way cut",
    "way clogged",
    "leader paused",
    "message lost",
    "message doubled",
    "snapshot taken",
    "log begun anew behind a snapshot",
    "minority gone for good",
    "disk of a minority hangs for good",
    "memory of a replica gone wrong",
    "quarantined by a majority",
    "machine replaced",
    "bit rot in the journal",
    "log damaged among others",
    "log repaired",
    "stood still until bytes were brought back",
    "read answered by another",
    "lead given away",
    "trade",
    "full batch sent",
];

/// Seen in one of some hundred worlds: fewer than [`SEEDS_MIN`] may leave them out.
pub const RARE: [RepairRow; 2] = [RepairRow::LeaderEndsBefore, RepairRow::NackQuorum];

/// What worlds of one replica come to so seldom that fifty of them may not: an answer is lost there only if the process dies between
/// the sync and the answer. Of clusters it is demanded in every run.
pub const RARE_ALONE: [&str; 3] = [
    "batch found executed after its answer was lost",
    "day found closed after its answer was lost",
    "standing order executed when somebody led again",
];

/// What worlds of so many replicas can see.
#[must_use]
pub fn to_see(nodes: usize) -> Vec<&'static str> {
    if nodes == 1 {
        return ALONE.into_iter().chain(PAYMENTS).chain(DAYS).chain(EXCHANGE).collect();
    }
    let (rows, paths) = (RepairRow::ALL.map(RepairRow::name), Path::ALL.map(Path::name));
    CLUSTER.into_iter().chain(PAYMENTS).chain(DAYS).chain(EXCHANGE).chain(rows).chain(paths).collect()
}

/// What of it was never seen.
#[must_use]
pub fn never_seen(counts: &Counts, nodes: usize) -> Vec<&'static str> {
    to_see(nodes).into_iter().filter(|what| !counts.contains_key(what)).collect()
}
