//! One replica and its turn: [`Replica::step`] reads from top to bottom as the way of a batch.

use std::collections::VecDeque;

use journal::outbox::{Damage, Outbox};
use journal::{Disk, Mark, Progress, Space};
use protocol::commands::{Genesis, Pulse, TermStart};
use protocol::event::{Event, OutputNumber};
use protocol::frame::Frame;
use protocol::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_ENTRIES_MAX};
use protocol::mutant::{Mutant, planted};
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{Command, Index, MonoNanos, OutSeq, Seq, SessionEpoch, SessionId, Term, UnixNanos};
use raft::prelude::{ConfChangeV2, Entry, EntryType, Message};
use raft::{RawNode, Ready, StateRole};
use sequencer::{Place, Sequencer};

use crate::apply::Apply;
use crate::cluster_clock::ClusterClock;
use crate::divergence::Divergence;
use crate::elections::ElectionWatch;
use crate::handover::Handover;
use crate::log::Log;
use crate::paths::{Path, Paths};
use crate::raft_log::{RaftLine, RaftLog};
use crate::reads::Reads;
use crate::repair::Answers;
use crate::snapshots::{self, SnapshotPolicy};
use crate::states::States;
use crate::status::{Role, StageLatencies, Status};
use crate::transfer::Transfers;
use crate::{OutboxFault, ReplicaFault, Timing, message};

/// The two clocks at one moment, as the caller read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For timeouts.
    pub mono: MonoNanos,
    /// For the record, as far as a majority agrees with it.
    pub wall: UnixNanos,
}

/// One replica: sequencer, Raft over the journal, engine, outbox.
pub struct Replica<D: Disk> {
    pub(crate) raft: RawNode<Log<D>>,
    pub(crate) sequencer: Sequencer,
    pub(crate) apply: Apply,
    /// Last committed entry that Raft has handed out. The engine is behind it while it is halted, or runs again.
    pub(crate) handed_out: Index,
    /// The last seq that a proposer of an entry that was handed out had applied.
    pub(crate) recorded_to: Seq,
    pub(crate) outbox: Outbox<D>,
    pub(crate) outputs_were_missing: Option<OutputNumber>,
    pub(crate) outbox_damage: Vec<Damage>,
    /// Why outputs could not be read last.
    pub(crate) outbox_fault: Option<OutboxFault>,
    pub(crate) snapshot_policy: SnapshotPolicy,
    pub(crate) snapshots: snapshots::Progress,
    pub(crate) timing: Timing,
    pub(crate) next_tick: MonoNanos,
    /// The only voter, who has not stood for election in this life.
    pub(crate) stands_alone: bool,
    /// The first record of a log that has none.
    pub(crate) genesis: Genesis,
    /// Readies whose bytes are on their way to the disk, oldest first.
    pub(crate) persisting: VecDeque<Persisting>,
    /// For other replicas; the caller carries them.
    pub(crate) messages: Vec<Message>,
    /// The term in which this replica has submitted its first record.
    pub(crate) term_started: Option<Term>,
    /// Batches of our term that are not applied yet, oldest first.
    pub(crate) in_flight: VecDeque<InFlight>,
    /// When the write was given to the disk that it has not answered yet.
    pub(crate) writing_since: Option<MonoNanos>,
    pub(crate) latencies: StageLatencies,
    pub(crate) last_pulse: MonoNanos,
    pub(crate) last_room_check: MonoNanos,
    pub(crate) last_hint: MonoNanos,
    /// Blocks that were durable at the last hint.
    pub(crate) hinted_blocks: u64,
    /// Blocks that are durable, and since when.
    pub(crate) last_block: (u64, MonoNanos),
    /// Snapshots on their way, from us and to us.
    pub(crate) transfers: Transfers,
    pub(crate) elections: ElectionWatch,
    pub(crate) raft_log: RaftLog,
    /// Questions how far a linearizable read has to look.
    pub(crate) reads: Reads,
    /// What is known of the effects of others …
    pub(crate) divergence: Divergence,
    /// … and of their states.
    pub(crate) states: States,
    /// What is asked by others whose logs are damaged.
    pub(crate) answers: Answers,
    /// What time it is, by a majority.
    pub(crate) clock: ClusterClock,
    /// What hinders us, if we lead.
    pub(crate) handover: Handover,
    pub(crate) paths: Paths,
}

/// A Ready that Raft may count as persisted once `position` is durable; what waits for that goes out then.
pub(crate) struct Persisting {
    number: u64,
    position: Mark,
    messages: Vec<Message>,
}

/// When a batch of ours reached its stages.
pub(crate) struct InFlight {
    index: Index,
    frame_bytes: usize,
    sequenced: MonoNanos,
    durable: Option<MonoNanos>,
}

/// Catch-up ticks after a pause: never a burst that looks like silence of the others.
const CATCH_UP_TICKS_MAX: u64 = 3;
/// Readies handled in one turn.
const READIES_PER_TURN: usize = 8;
/// Outputs that wait in memory for a turn without other work, at most.
const OUTBOX_FLUSH_BYTES: usize = 256 << 10;
/// Outputs that wait in memory for a disk without room before the engine waits too: a quarter of what the outbox bears.
const OUTBOX_HELD_BYTES: usize = 64 << 20;
/// Between two looks whether a full disk has room again.
pub(crate) const ROOM_CHECK_NANOS: u64 = NANOS_PER_SECOND;
/// Between two syncs of the hint how far the journal is durable: what a device that lies about a write can hide.
const HINT_NANOS: u64 = 100 * NANOS_PER_MILLI;
/// Without a new block for so long nobody waits for the disk, and the turn may wait for the hint's sync. Under load that would hold up
/// orders ten times a second, and heartbeats for as long as a busy disk takes, while each block tells of the one before it anyway.
const QUIET_NANOS: u64 = 20 * NANOS_PER_MILLI;
/// Between two pulses.
const PULSE_INTERVAL_NANOS: u64 = 10 * NANOS_PER_MILLI;

impl<D: Disk> Replica<D> {
    /// One bounded turn. Events that follow from commands of our own term are appended to `events`, in order: nothing
    /// else may leave the process. Returns whether there was anything to do.
    ///
    /// # Errors
    /// [`ReplicaFault`]: the process must end; what was not acknowledged is decided by recovery.
    pub fn step(&mut self, now: Now, events: &mut Vec<Event>) -> Result<bool, ReplicaFault> {
        self.watch_elections();
        let now = self.step_clock(now);
        self.handover.turn(now.mono, self.writing_since.is_some());
        let mut worked = self.finish_writes(now)? | self.has_clock_waiting();
        worked |= self.catch_up(now, events)?;
        self.stand_alone()?;
        self.tick(now.mono);
        self.watch_elections();
        self.lead(now);
        worked |= self.propose(now)?;
        self.step_reads();
        for _ in 0..READIES_PER_TURN {
            if !self.raft.has_ready() {
                break;
            }
            self.handle_ready(now, events)?;
            worked = true;
        }
        self.step_divergence()?;
        self.mark_verified();
        worked |= self.serve_transfers();
        worked |= self.answer_repairs();
        self.step_fetch(now, events)?;
        self.step_outputs();
        worked |= self.step_journal(now.mono)?.submitted;
        self.raft.store().take_fault()?;
        self.watch_lead(now.mono)?;
        self.keep_house(now.mono, !worked)?;
        Ok(worked)
    }

    /// What reached the disk counts from here on: for Raft, and for the messages that waited for it.
    fn finish_writes(&mut self, now: Now) -> Result<bool, ReplicaFault> {
        let progress = self.step_journal(now.mono)?;
        while let Some(persisted) = self
            .persisting
            .pop_front_if(|p| p.position <= progress.durable || planted(Mutant::PersistedBeforeDurable))
        {
            self.messages.extend(persisted.messages);
            self.raft.on_persist_ready(persisted.number);
        }
        let durable_index = progress.durable_index;
        for batch in self.in_flight.iter_mut().filter(|b| b.durable.is_none() && b.index <= durable_index) {
            batch.durable = Some(now.mono);
            self.latencies.sequenced_to_durable_ns.push(now.mono.since(batch.sequenced));
        }
        Ok(progress.completed)
    }

    /// Takes what the disk has finished, gives it what has gathered.
    fn step_journal(&mut self, now: MonoNanos) -> Result<Progress, ReplicaFault> {
        let progress = self.raft.store().step_journal()?;
        if progress.submitted {
            self.writing_since = Some(now);
            self.handover.submitted();
        } else if progress.completed {
            self.writing_since = None;
        }
        Ok(progress)
    }

    /// What nobody waits for: outputs go to the disk, the durable hint too, and a full disk is asked again.
    fn keep_house(&mut self, now: MonoNanos, is_idle: bool) -> Result<(), ReplicaFault> {
        let mut journal = self.raft.store().journal();
        let is_full = journal.spare_fault().is_some() || self.outbox.fault().is_some();
        if is_full && now.since(self.last_room_check) >= ROOM_CHECK_NANOS {
            self.last_room_check = now;
            journal.retry_spares();
            self.outbox.flush();
        } else if self.outbox.fault().is_none()
            && (is_idle || self.outbox.pending_bytes() >= OUTBOX_FLUSH_BYTES)
        {
            self.outbox.flush();
        }
        let blocks = journal.stats().blocks;
        if self.last_block.0 != blocks {
            self.last_block = (blocks, now);
        }
        let is_quiet = is_idle
            && !journal.in_flight()
            && !journal.gathered()
            && now.since(self.last_block.1) >= QUIET_NANOS;
        if is_quiet && blocks != self.hinted_blocks && now.since(self.last_hint) >= HINT_NANOS {
            (self.last_hint, self.hinted_blocks) = (now, blocks);
            journal.sync_hint().map_err(ReplicaFault::Journal)?;
        }
        Ok(())
    }

    /// Whether Raft has handed out everything that it knows to be committed. Who stands for election before looks through all the
    /// rest for changes of the membership, in one piece: after a start that is the log behind the newest snapshot.
    fn has_handed_out(&self) -> bool {
        let log = &self.raft.raft.raft_log;
        log.applied >= log.committed
    }

    /// Where nobody else could be leading there is no silence to wait for.
    fn stand_alone(&mut self) -> Result<(), ReplicaFault> {
        if self.stands_alone && self.has_handed_out() {
            self.stands_alone = false;
            self.raft.campaign()?;
        }
        Ok(())
    }

    fn tick(&mut self, now: MonoNanos) {
        let tick_nanos = self.timing.tick_ms * NANOS_PER_MILLI;
        for _ in 0..CATCH_UP_TICKS_MAX {
            if now < self.next_tick {
                return;
            }
            // Raft draws a timeout at every change of its role; what it has drawn counts here alone, and is not what counts.
            self.raft.raft.set_randomized_election_timeout(self.election_timeout_ticks());
            if self.raft.raft.state != StateRole::Leader && !(self.has_handed_out() && self.clock.is_fit()) {
                // It waits where the lease of a leader is over, so that it votes, and nobody's time to stand has come.
                let elapsed = &mut self.raft.raft.election_elapsed;
                *elapsed = self.timing.election_ticks.min(*elapsed);
            }
            self.raft.tick();
            self.transfers.ticks += 1;
            self.watch_receivers();
            self.next_tick = self.next_tick.plus(tick_nanos);
        }
        if self.next_tick <= now {
            self.paths.take(Path::TicksLeftOut);
        }
        self.next_tick = self.next_tick.max(now.plus(tick_nanos));
    }

    /// Begins and ends our terms at the sequencer, and pulses when a timer is due and nothing else comes.
    fn lead(&mut self, now: Now) {
        let leads = self.raft.raft.state == StateRole::Leader && self.raft.raft.apply_to_current_term();
        let term = Term(self.raft.raft.term);
        if leads && self.doubt_is_fresh() {
            return;
        }
        if !leads || self.apply.halted().is_some() || self.apply.doubt().is_some() || !self.is_caught_up() {
            if !planted(Mutant::TermNotEnded) && self.term_started.take().is_some() {
                self.paths.take(Path::TermEnded);
                self.sequencer.end_term();
                self.in_flight.clear();
            }
            return;
        }
        if self.term_started.is_some() && planted(Mutant::TermNotEnded) {
            self.term_started = Some(term);
        }
        if self.term_started != Some(term) {
            self.paths.take(Path::TermBegun);
            self.sequencer.end_term();
            self.sequencer.begin_term(self.apply.seq(), self.apply.time());
            self.term_started = Some(term);
            self.snapshots.marking = false;
            if self.apply.engine().genesis().is_none() {
                self.submit_first(now, self.genesis.clone());
            }
            let node = protocol::NodeId(self.raft.raft.id);
            self.submit_first(now, TermStart { term, node });
        }
        let timer_due = self.apply.engine().next_timer().is_some_and(|at| at <= now.wall);
        if timer_due
            && !planted(Mutant::PulseForgotten)
            && self.sequencer.waiting() == 0
            && now.mono.since(self.last_pulse) >= PULSE_INTERVAL_NANOS
        {
            self.paths.take(Path::Pulsed);
            self.last_pulse = now.mono;
            self.submit_own(now, Pulse {});
        }
        if self.serving() {
            self.mark_checkpoint(now);
        }
    }

    fn submit_first(&mut self, now: Now, command: impl Into<Command>) {
        assert!(self.submit_own(now, command), "a term begins with an empty queue");
    }

    /// Returns whether there was room for it.
    pub(crate) fn submit_own(&mut self, now: Now, command: impl Into<Command>) -> bool {
        let header = RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() };
        self.sequencer.submit(&header, now.mono, &command.into()).is_ok()
    }

    /// Closes a batch at once when the disk is idle; otherwise it gathers while the write before it is in flight.
    fn propose(&mut self, now: Now) -> Result<bool, ReplicaFault> {
        // While the lead moves, Raft drops proposals: what has come waits for the outcome. It drops those of a leader that was
        // removed meanwhile, too: that one leads nobody any more.
        let is_member = self.raft.raft.prs().get(self.raft.raft.id).is_some();
        let is_held = self.apply.doubt().is_some() || self.raft.raft.lead_transferee.is_some() || !is_member;
        if self.term_started.is_none() || is_held || !self.has_room() {
            if self.sequencer.waiting() > 0 {
                self.paths.take(Path::ProposalsHeld);
            }
            return Ok(false);
        }
        if self.sequencer.waiting() > 0 && self.raft.store().is_writing() {
            self.paths.take(Path::ProposalsGathered);
        }
        let mut proposed = false;
        while self.may_be_in_flight() && (!self.raft.store().is_writing() || self.sequencer.has_full_batch())
        {
            let place = Place {
                index: Index(self.raft.raft.raft_log.last_index()).next(),
                term: Term(self.raft.raft.term),
                engine_version: engine::ENGINE_VERSION,
                applied_seq: self.apply.seq(),
                effect_hash: self.apply.effect_hash(),
            };
            let Some(batch) = self.sequencer.close_batch(now.mono, now.wall, &place) else { break };
            self.latencies.gateway_to_sequenced_ns.extend(batch.received.iter().map(|r| now.mono.since(*r)));
            let (index, frame_bytes) = (place.index, batch.frame.len());
            self.in_flight.push_back(InFlight { index, frame_bytes, sequenced: now.mono, durable: None });
            // A leader that is applied to its term, transfers to nobody and keeps its uncommitted bytes below the limit
            // (IN_FLIGHT_BYTES_MAX against 32 MiB) drops no proposal.
            self.raft.propose(Vec::new(), batch.frame)?;
            proposed = true;
            // On the last segment a batch has to be in the journal before the next one can know that there is room.
            if !self.sequencer.has_full_batch() || self.raft.store().journal().spares_ready() == 0 {
                break;
            }
        }
        Ok(proposed)
    }

    /// Whether the next batch may be proposed beside those that are not applied yet.
    fn may_be_in_flight(&self) -> bool {
        let frame_bytes: usize = self.in_flight.iter().map(|batch| batch.frame_bytes).sum();
        let next_bytes = self.sequencer.next_frame_bytes().unwrap_or(0);
        self.in_flight.len() < IN_FLIGHT_ENTRIES_MAX && frame_bytes + next_bytes <= IN_FLIGHT_BYTES_MAX
    }

    pub(crate) fn handle_ready(&mut self, now: Now, events: &mut Vec<Event>) -> Result<(), ReplicaFault> {
        let mut ready = self.raft.ready();
        self.raft.store().take_fault()?;
        let last_index = self.raft.store().journal().last_index().0;
        self.paths.take_ready(&ready, last_index, self.persisting.len());
        self.messages.append(&mut ready.take_messages());
        let installed = if ready.snapshot().get_metadata().index > 0 { Some(self.install()?) } else { None };
        self.store_ready(&mut ready)?;
        self.reads.confirm(&ready.take_read_states());
        let committed = ready.take_committed_entries();
        if planted(Mutant::AnswersBeforeDurable) {
            self.messages.append(&mut ready.take_persisted_messages());
        }
        self.persisting.push_back(Persisting {
            number: ready.number(),
            position: self.raft.store().appended(),
            messages: ready.take_persisted_messages(),
        });
        let number = ready.number();
        self.raft.advance_append_async(ready);
        if let Some(index) = installed {
            // It is durable already; what answers to the leader still waits for the term.
            self.raft.on_persist_ready(number);
            self.raft.advance_apply_to(index.0);
        }
        for entry in &committed {
            let frame = frame_of(entry)?;
            self.hand_out(entry, frame.as_ref())?;
            // The engine may be halted or wait, or have begun again because of this very entry.
            if self.apply.index().next() == self.handed_out && self.outbox_takes() {
                self.apply_entry(now, entry, frame.as_ref(), events)?;
            }
        }
        if !committed.is_empty() {
            self.tell_applied();
        }
        Ok(())
    }

    /// What an entry means for this replica, wherever its engine is: membership, and what operators pass over.
    fn hand_out(&mut self, entry: &Entry, frame: Option<&Frame<'_>>) -> Result<(), ReplicaFault> {
        self.handed_out = Index(entry.index);
        if entry.get_entry_type() != EntryType::EntryNormal {
            self.paths.take(Path::MembersChanged);
            let change: ConfChangeV2 =
                protobuf::Message::parse_from_bytes(&entry.data).map_err(raft::Error::from)?;
            let conf_state = self.raft.apply_conf_change(&change)?;
            self.raft.mut_store().change_membership(conf_state, &change);
        }
        frame.map_or(Ok(()), |frame| self.consider_skip(frame))
    }

    /// Raft has handed out what it had, and membership in it is in force: it counts as applied, wherever the engine is. A
    /// halted engine must not keep the cluster from electing a leader. What it has not taken is read from the journal.
    pub(crate) fn tell_applied(&mut self) {
        if self.handed_out.0 > self.raft.raft.raft_log.applied {
            self.raft.advance_apply_to(self.handed_out.0);
        }
        self.raft.mut_store().applied(self.handed_out);
    }

    /// Hands entries, term and vote to the journal; they leave with its next write.
    fn store_ready(&mut self, ready: &mut Ready) -> Result<(), ReplicaFault> {
        let entries = ready.take_entries();
        let log = self.raft.mut_store();
        for entry in entries {
            log.append(entry)?;
        }
        // Behind the entries: what is committed may be what has just taken the place of a conflicting tail.
        if let Some(hard_state) = ready.hs() {
            log.set_hard_state(hard_state);
        }
        Ok(())
    }

    pub(crate) fn apply_entry(
        &mut self,
        now: Now,
        entry: &Entry,
        frame: Option<&Frame<'_>>,
        events: &mut Vec<Event>,
    ) -> Result<(), ReplicaFault> {
        let index = Index(entry.index);
        let before = events.len();
        self.apply.apply(index, &entry.data, frame, &mut self.outbox, events)?;
        if self.apply.take_checkpoint() {
            self.reach_checkpoint(index, Term(entry.term));
        }
        if self.term_started != Some(Term(entry.term)) && !planted(Mutant::FollowerSpeaks) {
            // Of another term: its outputs are in the outbox, for those who ask.
            events.truncate(before);
        }
        while let Some(batch) = self.in_flight.pop_front_if(|b| b.index <= index) {
            let durable = batch.durable.unwrap_or(now.mono);
            self.latencies.durable_to_applied_ns.push(now.mono.since(durable));
        }
        Ok(())
    }
}

/// The frame of an entry that is one: not of a term's empty entry, nor of a membership change.
pub(crate) fn frame_of(entry: &Entry) -> Result<Option<Frame<'_>>, ReplicaFault> {
    if entry.get_entry_type() != EntryType::EntryNormal || entry.data.is_empty() {
        return Ok(None);
    }
    let index = Index(entry.index);
    Frame::read(&entry.data).map(Some).map_err(|fault| ReplicaFault::Frame { index, fault })
}

/// Events that stand one behind the other.
fn events_in(mut bytes: &[u8]) -> Result<Vec<Event>, OutboxFault> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (event, len) = Event::read(bytes).map_err(OutboxFault::Damaged)?;
        events.push(event);
        bytes = &bytes[len..];
    }
    Ok(events)
}

impl<D: Disk> Replica<D> {
    /// Where gateways submit; what is submitted while not [`Replica::serving`] is dropped with the term.
    pub fn sequencer(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }

    /// Whether commands are taken: we lead, our term's first record is applied, the disk has room.
    #[must_use]
    pub fn serving(&self) -> bool {
        let begun = self.term_started == Some(self.apply.engine().term());
        let runs = self.apply.halted().is_none() && self.apply.doubt().is_none();
        begun && runs && self.is_caught_up() && self.has_room()
    }

    /// The state at the last applied entry.
    #[must_use]
    pub fn engine(&self) -> &engine::Engine {
        self.apply.engine()
    }

    /// Outputs of a session from `from` to `to`, in order, as far as they are kept and fit `bytes_max` (but at least one).
    ///
    /// # Errors
    /// [`OutboxFault`]: they are kept and cannot be read. Whoever asked must not be told that there are none.
    pub fn read_outbox(
        &mut self,
        session: SessionId,
        epoch: SessionEpoch,
        from: OutSeq,
        to: OutSeq,
        bytes_max: usize,
    ) -> Result<Vec<Event>, OutboxFault> {
        let mut bytes = Vec::new();
        let read = self.outbox.read(session, epoch, from, to, bytes_max, &mut bytes);
        let events = read.map_err(OutboxFault::from).and_then(|_| events_in(&bytes));
        if let Err(fault) = &events {
            self.note_unreadable(fault.clone());
        }
        events
    }

    /// An output that is kept cannot be read; one that is still to come from elsewhere is no fault.
    pub(crate) fn note_unreadable(&mut self, fault: OutboxFault) {
        if self.transfers.outputs.next().is_none() {
            self.outbox_fault = Some(fault);
        }
    }

    /// Whether the outputs of further entries can be kept, in memory if need be. If not, the engine waits: an output that is
    /// left out could be asked for.
    pub(crate) fn outbox_takes(&self) -> bool {
        self.outbox.fault().is_none() || self.outbox.pending_bytes() < OUTBOX_HELD_BYTES
    }

    pub(crate) fn has_room(&self) -> bool {
        self.raft.store().journal().accepts() && self.outbox.fault().is_none()
    }

    /// When there is something to do although nothing comes.
    #[must_use]
    pub fn next_deadline(&self) -> MonoNanos {
        self.next_tick
    }

    /// Takes a message of another replica, authenticated as its `from`.
    ///
    /// # Errors
    /// What Raft refuses; the replica is unchanged.
    pub fn receive(&mut self, message: Message) -> Result<(), raft::Error> {
        use raft::prelude::MessageType;
        let kind = message.get_msg_type();
        if kind == MessageType::MsgSnapshot {
            return self.take_offer(protocol::NodeId(message.from), message);
        }
        if kind == MessageType::MsgPropose {
            // Followers do not propose: a client's command enters through the leader's sequencer, or not at all.
            return Ok(());
        }
        let is_hindered = !self.clock.is_fit() || self.is_full() || self.outbox_fault.is_some();
        if kind == MessageType::MsgTimeoutNow && is_hindered {
            // Who gives the lead away leads on when nobody takes it, and offers it to the next.
            return Ok(());
        }
        if message::is_read(kind) && !self.takes_read(&message) {
            return Ok(());
        }
        self.raft.step(message)
    }

    /// Messages for other replicas.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// What Raft has said of itself since the last call.
    pub fn take_raft_log(&mut self) -> VecDeque<RaftLine> {
        self.raft_log.take()
    }

    /// Latencies since the last call.
    pub fn take_latencies(&mut self) -> StageLatencies {
        std::mem::take(&mut self.latencies)
    }

    /// Ways through the loop since the last call.
    pub fn take_paths(&mut self) -> Paths {
        std::mem::take(&mut self.paths)
    }

    /// What this replica tells of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        let serving = self.serving();
        let read_only = match self.raft.store().journal().space() {
            Space::ReadOnly(fault) => Some(fault),
            Space::Open => self.outbox.fault().cloned(),
        };
        let raft = &self.raft.raft;
        let log = self.raft.store();
        let journal = log.journal();
        let role = match raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        };
        Status {
            cluster: journal.identity().cluster,
            node: protocol::NodeId(raft.id),
            role,
            elections: self.elections.counts(),
            serving,
            term: Term(raft.term),
            index_last: journal.last_index(),
            index_durable: journal.durable_index(),
            writing_since: self.writing_since,
            index_committed: Index(raft.raft_log.committed),
            index_applied: self.apply.index(),
            seq_committed: log.last_seq_at(Index(raft.raft_log.committed)).unwrap_or(self.apply.seq()),
            seq_applied: self.apply.seq(),
            time_applied: self.apply.time(),
            effect_hash: self.apply.effect_hash(),
            seq_verified: self.seq_verified(),
            halted: self.halt(),
            queue_records: self.sequencer.waiting(),
            journal: journal.stats(),
            read_only,
            spares_ready: journal.spares_ready(),
            snapshot_index: self.snapshots.newest,
            snapshot_fault: self.snapshots.fault.clone(),
            outputs_were_missing: self.outputs_were_missing,
            outputs_to_come: self.transfers.outputs.next(),
            outbox_damage: self.outbox_damage.clone(),
            outbox_fault: self.outbox_fault.clone(),
            clock: self.clock.status(),
        }
    }

    /// Gives the disk back: for the simulator, which starts the next process on it.
    pub fn into_disk(self) -> D {
        let Self { raft, .. } = self;
        raft.raft.r.raft_log.store.into_disk()
    }
}
