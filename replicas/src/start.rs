//! From a disk to a running replica: create a cluster's first one, or recover one.

use engine::Engine;
use journal::{Disk, Identity, Journal, Refusal};
use protocol::commands::Genesis;
use protocol::hash::Hash;
use protocol::{Index, MonoNanos, NodeId};
use raft::RawNode;
use raft::prelude::ConfState;

use crate::apply::Apply;
use crate::log::Log;
use crate::outbox_memory::Outbox;
use crate::raft_config::raft_config;
use crate::{Replica, StartFault, Timing};

/// What a replica is told at each start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The voters of a new cluster, in rank order: the first is the likeliest leader. Later membership is in the log.
    pub voters: Vec<NodeId>,
    /// Pace.
    pub timing: Timing,
}

impl<D: Disk> Replica<D> {
    /// Makes a new cluster on a blank disk; `genesis` becomes its first record.
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn create(
        disk: D,
        identity: Identity,
        journal_options: journal::Options,
        options: &Options,
        genesis: Genesis,
    ) -> Result<Self, StartFault> {
        let journal = Journal::create(disk, identity, journal_options)?;
        let mut replica = Self::start(journal, options)?;
        replica.genesis = Some(genesis);
        Ok(replica)
    }

    /// Recovers a replica. What is durable is applied by the turns that follow, before [`Replica::serving`].
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn open(disk: D, journal_options: journal::Options, options: &Options) -> Result<Self, StartFault> {
        let opened = Journal::open(disk, journal_options)?;
        Self::start(opened.journal, options)
    }

    fn start(journal: Journal<D>, options: &Options) -> Result<Self, StartFault> {
        let node = journal.identity().node;
        let applied = Index(0);
        let mut conf_state = ConfState::default();
        conf_state.set_voters(options.voters.iter().map(|voter| voter.0).collect());
        let rank = options.voters.iter().position(|voter| *voter == node).unwrap_or(options.voters.len());
        let config = raft_config(node, rank, options.timing, applied.0);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut raft = RawNode::new(&config, Log::new(journal, conf_state), &logger)?;
        if options.voters == [node] {
            // Nobody else could be leading: no need to wait for silence.
            raft.campaign()?;
        }
        Ok(Self {
            raft,
            sequencer: sequencer::Sequencer::new(),
            apply: Apply::new(Engine::new(), applied, Hash::ZERO),
            outbox: Outbox::default(),
            timing: options.timing,
            next_tick: MonoNanos(0),
            genesis: None,
            persisting: std::collections::VecDeque::new(),
            messages: Vec::new(),
            term_started: None,
            term_applied: None,
            in_flight: std::collections::VecDeque::new(),
            latencies: crate::StageLatencies::default(),
            last_pulse: MonoNanos(0),
            last_spare_retry: MonoNanos(0),
        })
    }
}

impl From<Refusal> for StartFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
