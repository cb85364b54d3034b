//! From a disk to a running replica: create a cluster's first one, or recover one.

use journal::outbox::Outbox;
use journal::{Disk, Identity, Journal};
use protocol::commands::Genesis;
use protocol::{MonoNanos, Seq, Term};
use raft::RawNode;

use crate::apply::Apply;
use crate::cluster_clock::ClusterClock;
use crate::divergence::{self, Divergence};
use crate::elections::ElectionWatch;
use crate::handover::Handover;
use crate::log::Log;
use crate::membership::Membership;
use crate::paths::Paths;
use crate::raft_config::raft_config;
use crate::raft_log::RaftLog;
use crate::snapshots::{self, Base};
use crate::states::States;
use crate::transfer::{OutputsFetch, Transfers};
use crate::{Replica, SnapshotPolicy, StartFault, Timing};

/// What a replica is told at each start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pace.
    pub timing: Timing,
    /// How often snapshots are due.
    pub snapshots: SnapshotPolicy,
    /// The first record of a log that has none, also where making the cluster was interrupted. Its cluster is the
    /// journal's.
    pub genesis: Genesis,
}

impl<D: Disk> Replica<D> {
    /// Makes a new cluster, or a further replica of one, on a blank disk: its voters are the founders in `identity`, in this life
    /// and every later one, until the log says otherwise. `beside` is another handle of the same
    /// disk, for what is not on the request's path: snapshots and the outbox.
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn create(
        disk: D,
        beside: D,
        identity: Identity,
        journal_options: journal::Options,
        options: &Options,
    ) -> Result<Self, StartFault> {
        let journal = Journal::create(disk, identity, journal_options)?;
        let outbox = Outbox::open(beside, Seq::ZERO)?;
        Self::start(Base::beginning(), journal, outbox, options, journal_options.nonce_seed)
    }

    /// Recovers a replica. What is durable is applied by the turns that follow, before [`Replica::serving`].
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn open(
        disk: D,
        beside: D,
        journal_options: journal::Options,
        options: &Options,
    ) -> Result<Self, StartFault> {
        let mut beside = beside;
        let kept = divergence::load(&mut beside)?;
        let (mut base, journal, outbox) = Base::recover(disk, beside, journal_options)?;
        let parts = std::mem::take(&mut base.parts);
        let mut replica = Self::start(base, journal, outbox, options, journal_options.nonce_seed)?;
        replica.apply.know_outvoted(kept.outvoted.iter().map(|outvoted| (outvoted.seq, outvoted.recorded)));
        replica.divergence = Divergence::new(kept);
        replica.find_states(&parts)?;
        Ok(replica)
    }

    fn start(
        base: Base,
        journal: Journal<D>,
        mut outbox: Outbox<D>,
        options: &Options,
        life: u64,
    ) -> Result<Self, StartFault> {
        let node = journal.identity().node;
        let genesis = Genesis { cluster: journal.identity().cluster, ..options.genesis.clone() };
        // Where the journal reaches back to them, it produces them again.
        let outputs = if base.is_incomplete {
            OutputsFetch::begin(&base, &mut outbox, node)
        } else {
            OutputsFetch::default()
        };
        let founders = journal.identity().founders;
        let membership = base.membership.unwrap_or_else(|| Membership::of_founders(founders.nodes()));
        let replayed_bytes = journal.block_bytes_from(base.index.next());
        let is_alone = membership.conf_state().voters == [node.0];
        let config = raft_config(node, options.timing, base.index.0);
        let raft_log = RaftLog::default();
        let next_seq = base.engine.seq_applied().next();
        let log = Log::new(journal, membership, base.index, next_seq);
        let raft = RawNode::new(&config, log, &raft_log.logger())?;
        let term_at_start = Term(raft.raft.term);
        Ok(Self {
            raft,
            sequencer: sequencer::Sequencer::new(),
            apply: Apply::new(base.engine, base.index, base.effect_hash),
            handed_out: base.index,
            recorded_to: Seq::ZERO,
            writing_since: None,
            outbox,
            outputs_were_missing: base.outputs_were_missing.filter(|_| outputs.next().is_none()),
            outbox_damage: base.outbox_damage,
            outbox_fault: None,
            snapshot_policy: options.snapshots,
            snapshots: snapshots::Progress {
                newest: (base.index.0 > 0).then_some(base.index),
                replayed_bytes,
                fault: base.damaged,
                ..snapshots::Progress::default()
            },
            timing: options.timing,
            next_tick: MonoNanos(0),
            stands_alone: is_alone,
            genesis,
            persisting: std::collections::VecDeque::new(),
            messages: Vec::new(),
            term_started: None,
            in_flight: std::collections::VecDeque::new(),
            latencies: crate::StageLatencies::default(),
            last_pulse: MonoNanos(0),
            last_room_check: MonoNanos(0),
            last_hint: MonoNanos(0),
            hinted_blocks: 0,
            last_block: (0, MonoNanos(0)),
            transfers: Transfers { outputs, ..Transfers::default() },
            elections: ElectionWatch::new(term_at_start),
            raft_log,
            answers: crate::repair::Answers::default(),
            reads: crate::reads::Reads::new(node, life),
            divergence: Divergence::new(journal::divergence::Divergence::default()),
            states: States::default(),
            clock: ClusterClock::new(node, life),
            handover: Handover::default(),
            paths: Paths::default(),
        })
    }
}
