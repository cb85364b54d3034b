//! A replica whose log is damaged, before Raft: it is reachable and takes no part. It neither votes nor acknowledges nor ticks,
//! until exactly what is missing is there again; then it is opened as any other.
//!
//! ```text
//! Damaged ─> asks all others where they stand ─> a row of the table applies (decide.rs) ─> entries, each held against the
//!        chain ─> durable up to the target ─> Replica::open
//! ```
//! Where all who hold the target have logs that begin behind what is missing, a snapshot of one of them takes its place (`snapshot.rs`, which
//! says why that forgets nothing); so it does where the log is whole and has lost the only snapshot that it begins with.
//!
//! All messages may be lost, doubled or late: answers belong to a round, entries are taken only where they link, and what the log has to
//! reach is on the disk before the first entry is. So a crash, a source that has changed its mind, or a leader that has lost its lead
//! leaves a log that is still damaged, and the next round looks again. An entry that links and is not what has to be there, because
//! a tail was replaced in what is lost, is found out by the next one: the log goes back to where a holder of the target agrees.

mod answer;
mod decide;
mod members;
mod outputs;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use journal::survey::{Findings, LogEnd, LostEnd};
use journal::{Damaged, Disk, Identity, ReadFault};
use protocol::time::NANOS_PER_MILLI;
use protocol::{Index, MonoNanos, NodeId, Term};

use crate::message::repair::{self as wire, AboutRepair, ENDS_MAX, End, NoEntries, Standing};
use crate::message::{Envelope, MessageFault};
use crate::peers::{Lane, Outbound};
use crate::replica::ROOM_CHECK_NANOS;
use crate::{ReplicaFault, StartFault, Timing};

pub(crate) use answer::Answers;
use decide::{Plan, Situation, decide, leader};
pub use decide::{RepairRow, RepairWait};
use members::Known;
use outputs::OutputsGiven;
use snapshot::SnapshotFetch;
pub use snapshot::SnapshotStatus;

/// Our own entries that are taken in one step.
const OWN_PER_STEP: usize = 256;
/// Questions of others that wait.
const QUESTIONS_MAX: usize = 64;
/// Rounds without an entry after which it is said to wait.
const WAITING_ROUNDS: u64 = 3;
/// Rounds without an entry after which another target is looked for.
const IDLE_ROUNDS_MAX: u64 = 8;

/// A replica with a damaged log.
pub struct Repair<D: Disk> {
    /// Taken only to be opened again.
    damaged: Option<Damaged<D>>,
    journal_options: journal::Options,
    timing: Timing,
    known: Known,
    /// Unlike those of earlier processes, so that their late answers are none to ours.
    round: u64,
    round_ends: MonoNanos,
    now: MonoNanos,
    /// When it was looked last whether a full disk has room again.
    last_room_check: MonoNanos,
    /// Ends that were asked for in this round.
    ends: Vec<End>,
    /// Of damaged others, as far as they are known.
    ends_of_others: BTreeMap<NodeId, End>,
    standings: BTreeMap<NodeId, Standing>,
    confirmed: Option<(NodeId, Term, End)>,
    plan: Option<Plan>,
    wait: RepairWait,
    fetch: Fetch,
    snapshot: SnapshotFetch,
    questions: VecDeque<(NodeId, AboutRepair)>,
    outputs: OutputsGiven,
    outbound: Vec<Outbound>,
    entries_fetched: u64,
    /// How far the log has come since its target was chosen.
    furthest: Index,
    adopted: Option<(NodeId, Index)>,
    /// Of the disk, met while a message was taken.
    fault: Option<ReadFault>,
}

/// The question for entries that is under way.
#[derive(Default)]
struct Fetch {
    /// Of whom, what the entry in front of those asked for is, and when.
    asked: Option<(NodeId, Index, MonoNanos)>,
    /// The entry up to which the two logs may agree; none: the end of ours.
    back_to: Option<Index>,
    /// How far the next step back goes.
    step: u64,
    /// Which of the sources is asked.
    source: usize,
    /// Those whose logs begin behind what comes next.
    behind: BTreeSet<NodeId>,
    /// The lowest entry that is known to be another one elsewhere.
    differs: Option<Index>,
    idle_rounds: u64,
}

/// What a replica with a damaged log tells of itself.
#[derive(Clone, Debug)]
pub struct RepairStatus {
    /// Whose it is.
    pub identity: Identity,
    /// The newest term that it has seen.
    pub term: Term,
    /// How the log was found.
    pub findings: Findings,
    /// What is missing.
    pub lost: LostEnd,
    /// End of what is here.
    pub log: LogEnd,
    /// The row that is carried out, and the entry that the log has to reach.
    pub row: Option<(RepairRow, Index)>,
    /// What it waits for, where no row applies.
    pub wait: RepairWait,
    /// Others that have answered in this round.
    pub heard: Vec<NodeId>,
    /// Entries that came from others.
    pub entries_fetched: u64,
    /// The snapshot that is being fetched.
    pub snapshot: Option<SnapshotStatus>,
    /// The one that was adopted: of whom, and the last entry in it.
    pub adopted: Option<(NodeId, Index)>,
}

impl<D: Disk> Repair<D> {
    /// Opens the damaged log of `disk`, or one that is whole and whose state is missing. `peers` are other replicas that can be
    /// reached; [`Self::others`] tells of further ones.
    ///
    /// # Errors
    /// [`StartFault::Refused`]: with [`journal::Refusal::NothingInDoubt`] nothing is missing, others cannot be repaired.
    pub fn open(
        mut disk: D,
        journal_options: journal::Options,
        timing: Timing,
        peers: Vec<NodeId>,
    ) -> Result<Self, StartFault> {
        let from = snapshot::needed_from(&mut disk)?;
        let mut damaged = Damaged::open_as_found(disk, journal_options, from)?;
        let snapshot = SnapshotFetch::of(&mut damaged)?;
        let known = Known::of(peers, &mut damaged)?;
        if damaged.is_whole() && !snapshot.is_wanted() {
            return Err(journal::Refusal::NothingInDoubt.into());
        }
        Ok(Self {
            damaged: Some(damaged),
            journal_options,
            timing,
            known,
            round: journal_options.nonce_seed & (u64::MAX >> 1),
            round_ends: MonoNanos(0),
            now: MonoNanos(0),
            last_room_check: MonoNanos(0),
            ends: Vec::new(),
            ends_of_others: BTreeMap::new(),
            standings: BTreeMap::new(),
            confirmed: None,
            plan: None,
            wait: RepairWait::Peers,
            fetch: Fetch::default(),
            snapshot,
            questions: VecDeque::new(),
            outputs: OutputsGiven::default(),
            outbound: Vec::new(),
            entries_fetched: 0,
            furthest: Index(0),
            adopted: None,
            fault: None,
        })
    }

    fn damaged(&self) -> &Damaged<D> {
        let Some(damaged) = &self.damaged else { unreachable!("taken only to be opened again") };
        damaged
    }

    fn damaged_mut(&mut self) -> &mut Damaged<D> {
        let Some(damaged) = &mut self.damaged else { unreachable!("taken only to be opened again") };
        damaged
    }

    /// One bounded turn. Returns whether there was anything to do.
    ///
    /// # Errors
    /// [`ReplicaFault`]: the process must end; the next one goes on.
    pub fn step(&mut self, now: MonoNanos) -> Result<bool, ReplicaFault> {
        self.now = now;
        if let Some(fault) = self.fault.take() {
            return Err(fault.into());
        }
        self.look_for_room();
        let progress = self.damaged_mut().step().map_err(ReplicaFault::Journal)?;
        let mut worked = progress.completed || progress.submitted || self.answer_questions();
        worked |= self.give_outputs();
        if now >= self.round_ends {
            self.next_round()?;
            worked = true;
        }
        worked |= self.choose()?;
        if self.damaged().reach().is_some() {
            let taken = self.damaged_mut().take_own(OWN_PER_STEP).map_err(ReadFault::Disk)?;
            self.has_progressed(taken);
            worked |= taken > 0;
        }
        self.ask_entries()?;
        worked |= self.step_snapshot()?;
        Ok(worked || !self.outbound.is_empty())
    }

    /// A segment that could not be made is asked for again: what was taken may wait for it, and nothing else would ask.
    fn look_for_room(&mut self) {
        let (now, is_due) = (self.now, self.now.since(self.last_room_check) >= ROOM_CHECK_NANOS);
        if is_due && self.damaged().lacks_room().is_some() {
            self.last_room_check = now;
            self.damaged_mut().retry_spares();
        }
    }

    /// Whether everything is there and durable: the log can be opened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.damaged().is_done() || self.snapshot.is_placed()
    }

    /// Whether entries wait for the disk, or it writes.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.damaged().is_writing()
    }

    /// When there is something to do although nothing comes.
    #[must_use]
    pub fn next_deadline(&self) -> MonoNanos {
        self.round_ends
    }

    /// Messages for other replicas.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        std::mem::take(&mut self.outbound)
    }

    /// Takes a message that came on a connection which is authenticated as `from`'s. Those of Raft are as if they had been lost.
    ///
    /// # Errors
    /// [`MessageFault`].
    pub fn receive_from(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let Identity { epoch, node, .. } = self.damaged().identity();
        let envelope = Envelope { epoch, from, to: node };
        if !wire::is_about_repair(bytes) {
            return self.take_transfer(envelope, bytes);
        }
        match wire::decode(envelope, bytes)? {
            question if question.is_question() => {
                if self.questions.len() < QUESTIONS_MAX {
                    self.questions.push_back((from, question));
                }
            }
            AboutRepair::Standing { round, standing } if round == self.round && self.known.contains(from) => {
                match standing.lost.filter(|_| !standing.is_intact) {
                    Some(end) => self.ends_of_others.insert(from, end),
                    None => self.ends_of_others.remove(&from),
                };
                self.standings.insert(from, standing);
            }
            AboutRepair::Confirmed { round, term, last } if round == self.round => {
                self.confirmed = Some((from, term, last));
            }
            AboutRepair::Entries { from: first, frames } => self.take_entries(from, first, &frames),
            AboutRepair::NoEntries { from: first, why, end } => self.go_back_to(from, first, why, end),
            AboutRepair::Snapshot { last, manifest } => self.take_offer(from, last, manifest),
            AboutRepair::Standing { .. }
            | AboutRepair::Confirmed { .. }
            | AboutRepair::AskStanding { .. }
            | AboutRepair::AskEntries { .. }
            | AboutRepair::AskSnapshot { .. } => {}
        }
        Ok(())
    }

    /// What this replica tells of itself.
    #[must_use]
    pub fn status(&self) -> RepairStatus {
        let damaged = self.damaged();
        let lacks_room = damaged.lacks_room().is_some();
        let goes_on = !lacks_room && self.fetch.idle_rounds <= WAITING_ROUNDS;
        let plan = self.plan.as_ref().filter(|_| goes_on);
        RepairStatus {
            identity: damaged.identity(),
            term: damaged.hard_state().term,
            findings: damaged.findings().clone(),
            lost: *damaged.lost(),
            log: *damaged.log_end(),
            row: plan.map(|plan| (plan.row, plan.target.0)),
            wait: if lacks_room { RepairWait::Room } else { self.wait },
            heard: self.standings.keys().copied().collect(),
            entries_fetched: self.entries_fetched,
            snapshot: self.snapshot.status(),
            adopted: self.adopted,
        }
    }

    /// Ends it, and gives the disk back.
    pub fn into_disk(mut self) -> D {
        let Some(damaged) = self.damaged.take() else { unreachable!("taken only to be opened again") };
        damaged.into_disk()
    }

    fn send(&mut self, to: NodeId, message: &AboutRepair) {
        let Identity { epoch, node, .. } = self.damaged().identity();
        let bytes = wire::encode(Envelope { epoch, from: node, to }, message);
        let is_bulky = matches!(message, AboutRepair::Entries { .. });
        self.outbound.push(Outbound { to, lane: if is_bulky { Lane::Bulk } else { Lane::Control }, bytes });
    }

    fn patience(&self) -> u64 {
        self.timing.election_ticks as u64 * self.timing.tick_ms * NANOS_PER_MILLI
    }

    /// The end that has to be reached.
    fn wanted(&self) -> Option<End> {
        let target = self.plan.as_ref().map(|plan| plan.target);
        self.damaged().reach().or(target).or(self.damaged().lost().end)
    }

    /// What came of the last round is forgotten, and everybody is asked where he stands now.
    fn next_round(&mut self) -> Result<(), ReplicaFault> {
        self.look_for_another_target()?;
        self.wait = self.waits_for();
        self.fetch.idle_rounds += 1;
        self.round += 1;
        self.round_ends = self.now.plus(self.patience());
        self.standings.clear();
        self.confirmed = None;
        let ours = self.wanted().into_iter().chain(self.damaged().lost().end);
        self.ends = ours.chain(self.ends_of_others.values().copied()).collect();
        self.ends.truncate(ENDS_MAX);
        // A plan that has come to nothing gives way to what is answered now.
        if self.damaged().reach().is_none() && self.fetch.idle_rounds > IDLE_ROUNDS_MAX {
            self.give_up_plan();
        }
        let question = AboutRepair::AskStanding { round: self.round, ends: self.ends.clone() };
        for peer in self.known.nodes() {
            self.send(peer, &question);
        }
        Ok(())
    }

    /// What the round that ends now has left it waiting for.
    fn waits_for(&self) -> RepairWait {
        if self.round_ends == MonoNanos(0) || self.standings.is_empty() {
            return RepairWait::Peers;
        }
        if self.snapshot.is_wanted() {
            return RepairWait::State;
        }
        match decide(&self.situation()) {
            Err(wait) if self.damaged().reach().is_none() => wait,
            // A part has come, and nobody has the rest.
            Ok(_) | Err(_) => RepairWait::Holder,
        }
    }

    fn situation(&self) -> Situation<'_> {
        let damaged = self.damaged();
        let log = damaged.log_end();
        Situation {
            node: damaged.identity().node,
            end: (log.last_index, log.last_term),
            term: damaged.hard_state().term,
            lost: *damaged.lost(),
            ends: &self.ends,
            standings: &self.standings,
            prefixes: self.prefixes(),
            confirmed: self.confirmed,
        }
    }

    fn prefixes(&self) -> BTreeSet<NodeId> {
        let damaged = self.damaged();
        let is_prefix = |standing: &Standing| damaged.term(standing.last.0) == Some(standing.last.1);
        let prefixes = self.standings.iter().filter(|(_, standing)| is_prefix(standing));
        prefixes.map(|(node, _)| *node).collect()
    }

    /// Whether the log has come to the end that it has to reach: nothing is taken or given up behind that any more.
    fn has_all(&self) -> bool {
        let LogEnd { last_index, last_term, .. } = *self.damaged().log_end();
        self.damaged().reach() == Some((last_index, last_term))
    }

    /// Looks whether a row of the table applies; one whose outcome needs nothing from others is carried out.
    fn choose(&mut self) -> Result<bool, ReplicaFault> {
        // Of a whole log nothing has to be decided.
        if self.damaged().is_whole() {
            return Ok(false);
        }
        if self.damaged().reach().is_some() || self.plan.is_some() {
            self.refresh_sources();
            return Ok(false);
        }
        let plan = match decide(&self.situation()) {
            Ok(plan) => plan,
            Err(_) => match self.take_parts()? {
                Some(plan) => plan,
                None => return Ok(false),
            },
        };
        self.fetch = Fetch::default();
        let log = *self.damaged().log_end();
        let target = plan.target;
        let is_here = target == (log.last_index, log.last_term);
        self.plan = Some(plan);
        if is_here || (self.damaged().lost().end == Some(target) && self.own_links()?) {
            self.damaged_mut().begin(log.last_index, target)?;
        }
        Ok(true)
    }

    fn own_links(&mut self) -> Result<bool, ReplicaFault> {
        Ok(self.damaged_mut().own_links().map_err(ReadFault::Disk)?)
    }

    /// Nobody holds the named end in what he can read: he may be damaged himself, behind or in front. Who has entries that
    /// link serves, and so do our own; the chain says in the end whether they were the right ones.
    fn take_parts(&mut self) -> Result<Option<Plan>, ReplicaFault> {
        let (lost, last) = (*self.damaged().lost(), self.damaged().log_end().last_index);
        let Some(target) = lost.end.filter(|_| lost.was_durable) else { return Ok(None) };
        let everybody_answered = self.standings.len() == self.known.count();
        let has_more = |standing: &Standing| !standing.is_intact && standing.last.0 > last;
        let has_part = self.standings.values().any(has_more);
        if !everybody_answered || !(has_part || self.own_links()?) {
            return Ok(None);
        }
        let sources = self.partial_sources();
        Ok(Some(Plan { row: RepairRow::LostFetched, target, sources }))
    }

    /// Those whose logs go on behind ours.
    fn partial_sources(&self) -> Vec<NodeId> {
        let last = self.damaged().log_end().last_index;
        let goes_on = |(_, standing): &(&NodeId, &Standing)| standing.last.0 > last;
        self.standings.iter().filter(goes_on).map(|(node, _)| *node).collect()
    }

    /// Whoever holds the target now, or has at least a part of what comes next.
    fn refresh_sources(&mut self) {
        let reach = self.damaged().reach();
        let target = reach.or(self.plan.as_ref().map(|plan| plan.target));
        let mut sources = target.map(|target| self.situation().holders(target)).unwrap_or_default();
        if sources.is_empty() && reach.is_some() && self.standings.len() == self.known.count() {
            sources = self.partial_sources();
        }
        let Some(plan) = &mut self.plan else { return };
        if !sources.is_empty() && plan.sources != sources {
            plan.sources = sources;
        }
    }

    /// Nothing has come for a while, and nobody holds the target: it was a leader's who has lost the lead, say. A confirmed leader of
    /// a newer term decides again.
    fn look_for_another_target(&mut self) -> Result<(), ReplicaFault> {
        let Some(reach) = self.damaged().reach() else { return Ok(()) };
        let is_held = !self.situation().holders(reach).is_empty();
        if self.fetch.idle_rounds < IDLE_ROUNDS_MAX || is_held || !self.damaged().is_idle() {
            return Ok(());
        }
        let lost = LostEnd { end: Some(reach), was_durable: true, ..*self.damaged().lost() };
        let situation = Situation { lost, ..self.situation() };
        if leader(&situation).is_none_or(|plan| plan.target == reach) {
            return Ok(());
        }
        self.look_again()?;
        self.give_up_plan();
        Ok(())
    }

    fn give_up_plan(&mut self) {
        self.plan = None;
        self.furthest = Index(0);
        self.fetch = Fetch::default();
        self.give_up_snapshot();
    }

    /// The log is opened once more, as after a crash: what it has to reach can be another entry then.
    fn look_again(&mut self) -> Result<(), ReplicaFault> {
        let Some(damaged) = self.damaged.take() else { unreachable!("taken only here") };
        let mut disk = damaged.into_disk();
        let again = |fault| ReplicaFault::Repair(Box::new(fault));
        let from = snapshot::needed_from(&mut disk).map_err(again)?;
        let opened = Damaged::open(disk, self.journal_options, from);
        self.damaged = Some(opened.map_err(|refusal| again(refusal.into()))?);
        Ok(())
    }

    fn has_progressed(&mut self, entries: usize) {
        if entries > 0 {
            // What was taken before, given up again and is taken once more is none.
            let last = self.damaged().log_end().last_index;
            let is_further = last > self.furthest;
            let idle_rounds = if is_further { 0 } else { self.fetch.idle_rounds };
            self.furthest = self.furthest.max(last);
            self.fetch = Fetch { source: self.fetch.source, idle_rounds, ..Fetch::default() };
            self.give_up_snapshot();
        }
    }

    /// Asks a source for what comes next, one question at a time; one that does not answer in time is followed by the next.
    fn ask_entries(&mut self) -> Result<(), ReplicaFault> {
        let patience = self.patience();
        let Some(plan) = self.plan.as_ref().filter(|_| !self.damaged().is_whole()) else { return Ok(()) };
        let waits = self.fetch.asked.is_some_and(|(_, _, at)| self.now.since(at) <= patience);
        let has_entries = plan.sources.iter().any(|source| !self.fetch.behind.contains(source));
        if !has_entries || waits || self.damaged().is_writing() || self.has_all() {
            return Ok(());
        }
        if self.fetch.asked.take().is_some() {
            self.fetch.source += 1;
        }
        while self.fetch.behind.contains(&plan.sources[self.fetch.source % plan.sources.len()]) {
            self.fetch.source += 1;
        }
        let source = plan.sources[self.fetch.source % plan.sources.len()];
        let before = self.fetch.back_to.unwrap_or(self.damaged().log_end().last_index);
        let chain_before = self.damaged_mut().chain(before)?;
        self.fetch.asked = Some((source, before, self.now));
        self.send(source, &AboutRepair::AskEntries { from: before.next(), chain_before });
        Ok(())
    }

    /// Whether an answer is one to the question that is under way; it is closed then.
    fn is_asked(&mut self, from: NodeId, first: Index) -> Option<Index> {
        let (source, before, _) = self.fetch.asked?;
        if source != from || before.next() != first {
            return None;
        }
        self.fetch.asked = None;
        if self.has_all() {
            return None;
        }
        // Since it was asked our own may have been taken.
        (before <= self.damaged().log_end().last_index).then_some(before)
    }

    /// Entries that go on from where both logs agree. What does not fit is as if it had been lost; so is a disk that fails, which
    /// the next step finds.
    fn take_entries(&mut self, from: NodeId, first: Index, mut frames: &[u8]) {
        let Some(before) = self.is_asked(from, first) else { return };
        let Some(target) = self.plan.as_ref().map(|plan| plan.target) else { return };
        let is_target = self.damaged().term(before).map(|term| (before, term)) == Some(target);
        if frames.is_empty() && !is_target {
            self.fetch.source += 1;
            return;
        }
        let damaged = self.damaged_mut();
        let went_back = match damaged.reach() {
            None => damaged.begin(before, target),
            Some(_) => damaged.go_back(before),
        };
        if let Err(fault) = went_back {
            self.fault = Some(fault);
            return;
        }
        let mut taken = 0;
        while let Ok(frame) = protocol::frame::Frame::read(frames) {
            let (entry, rest) = frames.split_at(frame.bytes.len());
            if self.damaged_mut().take(entry).is_err() {
                break;
            }
            let commit = self.damaged().commit();
            self.known.take_entry(entry, commit);
            (frames, taken) = (rest, taken + 1);
        }
        self.entries_fetched += taken as u64;
        self.has_progressed(taken);
        self.fetch.back_to = None;
        if taken == 0 {
            self.fetch.source += 1;
        }
    }

    /// The source has another entry there, or none: the two logs agree further back, if at all. `end` is where the source's log
    /// ends, or begins.
    fn go_back_to(&mut self, from: NodeId, first: Index, why: NoEntries, end: Index) {
        let Some(before) = self.is_asked(from, first) else { return };
        let damaged = self.damaged();
        let last = damaged.log_end().last_index;
        let lowest = damaged.commit().min(last).max(Index(damaged.first_index().0 - 1));
        if why == NoEntries::Behind {
            // A step back may have gone too far: where that log begins, both may still agree.
            let is_left =
                end > before && end <= last && self.fetch.differs.is_none_or(|differs| end < differs);
            if is_left {
                self.fetch.back_to = Some(end);
            } else {
                self.ask_another();
                self.fetch.behind.insert(from);
                self.fetch.idle_rounds = 0;
            }
            return;
        }
        if why == NoEntries::Differs {
            self.fetch.differs = Some(self.fetch.differs.map_or(before, |differs| differs.min(before)));
        }
        if before <= lowest {
            // Its history is another where that cannot be.
            self.ask_another();
            return;
        }
        let step = self.fetch.step.max(1);
        let next = Index(before.0.saturating_sub(step));
        let next = if why == NoEntries::NotHeld { next.min(end) } else { next };
        self.fetch.back_to = Some(next.max(lowest));
        self.fetch.step = 2 * step;
    }

    fn ask_another(&mut self) {
        self.fetch = Fetch {
            source: self.fetch.source + 1,
            idle_rounds: self.fetch.idle_rounds,
            behind: std::mem::take(&mut self.fetch.behind),
            ..Fetch::default()
        };
    }
}
