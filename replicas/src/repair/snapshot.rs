//! What is lost is in no log any more, because the logs of all who have it begin behind a snapshot; or the log is whole, and the only
//! snapshot that it begins with has decayed. A snapshot of another replica takes the place of both.
//!
//! ```text
//! ask ─> offered ─> pieces, under an unfinished name ─> verified ─> the log begins anew behind it ─> entries up to the target, if
//!                                                      └─> it gets its name, where our log has its last entry
//! ```
//! Up to the last step nothing has changed but a file that a start removes; then [`journal::Damaged::begin_anew`] says what a crash leaves.
//!
//! Why nothing is forgotten that this replica has acknowledged or voted for. It takes no part before the log is whole again, that is
//! before it ends with the target or with the snapshot, whichever is later. Let E be the last entry that it ever acknowledged.
//!
//! * *The target is in a log of the source* (a holder of the named end, a confirmed leader, the longest of all): that log has every
//!   committed entry up to E, as `decide.rs` shows. The snapshot is that very replica's, and its log goes on from it; so
//!   the snapshot and the entries behind it are that log.
//! * *The snapshot ends behind the target, or at it*: it holds committed entries. E is not behind the target where that is the named
//!   end; where it is the end of a leader's or of the longest log, no committed entry that we acknowledged is behind it. So whatever we acknowledged and was committed is in the
//!   snapshot, and what we acknowledged at a place up to there and is another entry was never committed, nor can be.
//! * *The log is whole* and has the snapshot's last entry: nothing of the log changes. If it has another entry there, ours was never committed, nor was
//!   what follows it. If it ends before, E is in the snapshot.
//!
//! With every acknowledged entry that was committed in the log again, a vote that depends on the log is as good as before. Term and vote
//! themselves are in `meta`, which nothing here writes; where `meta` is lost nobody is repaired.
//!
//! Outputs of what only the snapshot holds are not here then: as after every start behind which some are missing they come from other members, and
//! whoever asks for them waits.

use std::collections::BTreeSet;

use journal::meta::MetaView;
use journal::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use journal::{Damaged, Disk, DiskCause, DiskFault, Identity, ReadFault};
use protocol::{Index, MonoNanos, NodeId};

use super::{Fetch, Repair};
use crate::message::repair::{AboutRepair, End};
use crate::message::transfer::{self, Transfer};
use crate::message::{Envelope, MessageFault};
use crate::peers::{Lane, Outbound};
use crate::repair::decide::{Plan, RepairRow};
use crate::snapshots::Base;
use crate::transfer::{Download, Manifest};
use crate::{ReplicaFault, StartFault};

/// How many times the patience for one answer the source of a snapshot may be silent before another one is asked.
const SILENT_TIMES: u64 = 4;

/// A snapshot that is wanted, or on its way.
#[derive(Default)]
pub(super) struct SnapshotFetch {
    /// The log is whole, and none that it goes on from is here.
    lacks_state: bool,
    /// That one is here now.
    is_placed: bool,
    /// Which of those who may have one is asked.
    turn: usize,
    /// Who was asked for one, and when.
    asked: Option<(NodeId, MonoNanos)>,
    download: Option<Download>,
    /// When something came last of what is on its way.
    heard: MonoNanos,
}

/// A snapshot that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// Of whom.
    pub source: NodeId,
    /// The last entry in it.
    pub index: Index,
    /// Bytes that are still to come.
    pub missing_bytes: u64,
}

/// From which entry on a damaged log is wanted: behind the older of two snapshots, if one of them can be read.
pub(super) fn needed_from<D: Disk>(disk: &mut D) -> Result<Index, StartFault> {
    let Some(meta) = MetaView::load(disk)?.and_then(|view| view.meta) else { return Ok(Index(0)) };
    let kept = snapshot_file::kept(disk, &meta.identity)?;
    let serves = kept.iter().any(|kept| Base::read(disk, &kept.file).is_ok());
    Ok(if serves { snapshot_file::needed_from(&kept) } else { Index(0) })
}

/// Whether a log that is whole has no state that it goes on from.
fn lacks_state<D: Disk>(damaged: &mut Damaged<D>) -> Result<bool, StartFault> {
    if !damaged.is_whole() || damaged.first_index() <= Index(1) {
        return Ok(false);
    }
    let owner = damaged.identity();
    for kept in snapshot_file::kept(damaged.disk_mut(), &owner)? {
        match Base::read(damaged.disk_mut(), &kept.file) {
            Ok(base) if base.fits(damaged.readable()).is_ok() => return Ok(false),
            Ok(_) => {}
            Err(SnapshotFault::Disk(fault)) => return Err(fault.into()),
            // A decayed one is no state to go on from, and another is fetched.
            Err(_) => {}
        }
    }
    Ok(true)
}

impl SnapshotFetch {
    pub(super) fn of<D: Disk>(damaged: &mut Damaged<D>) -> Result<Self, StartFault> {
        snapshot_file::remove_unfinished(damaged.disk_mut())?;
        Ok(Self { lacks_state: lacks_state(damaged)?, ..Self::default() })
    }

    /// Whether a snapshot alone is missing.
    pub(super) fn is_wanted(&self) -> bool {
        self.lacks_state
    }

    /// Whether the one that a whole log lacked is here.
    pub(super) fn is_placed(&self) -> bool {
        self.is_placed
    }

    pub(super) fn status(&self) -> Option<SnapshotStatus> {
        let (download, (source, _)) = (self.download.as_ref()?, self.asked?);
        let (index, missing_bytes) = (download.index, download.missing_bytes());
        Some(SnapshotStatus { source, index, missing_bytes })
    }
}

impl<D: Disk> Repair<D> {
    /// Who may have a snapshot that serves; nobody while entries may do.
    fn snapshot_sources(&self) -> Vec<NodeId> {
        if self.snapshot.lacks_state {
            return self.known.nodes();
        }
        let behind = &self.fetch.behind;
        match &self.plan {
            Some(plan) if plan.sources.iter().all(|source| behind.contains(source)) => plan.sources.clone(),
            Some(_) | None => Vec::new(),
        }
    }

    /// Brings the fetch of a snapshot forward, if one is needed; returns whether there was anything to do.
    pub(super) fn step_snapshot(&mut self) -> Result<bool, ReplicaFault> {
        let is_over =
            self.is_done() || (self.snapshot.download.is_none() && self.snapshot_sources().is_empty());
        if is_over || self.damaged().is_writing() {
            return Ok(false);
        }
        let (now, patience) = (self.now, self.patience());
        let Some(download) = &mut self.snapshot.download else {
            self.ask_snapshot();
            return Ok(false);
        };
        if download.is_complete() {
            // The log may have to be opened again first.
            let is_idle = self.damaged().is_idle();
            if is_idle {
                self.adopt()?;
            }
            return Ok(is_idle);
        }
        if now.since(self.snapshot.heard) > SILENT_TIMES * patience {
            self.give_up_snapshot();
            return Ok(true);
        }
        let (index, Some((source, _))) = (download.index, self.snapshot.asked) else { return Ok(false) };
        for offset in download.due(now.0, patience) {
            self.send_transfer(source, &Transfer::AskPiece { index, offset });
        }
        Ok(false)
    }

    /// Asks one after the other, each as long as its answer may take; who has none takes one, and is asked again.
    fn ask_snapshot(&mut self) {
        let sources = self.snapshot_sources();
        let waits = self.snapshot.asked.is_some_and(|(_, at)| self.now.since(at) <= self.patience());
        if waits || sources.is_empty() {
            return;
        }
        let source = sources[self.snapshot.turn % sources.len()];
        self.snapshot.turn += 1;
        self.snapshot.asked = Some((source, self.now));
        let from = self.needs_from();
        self.send(source, &AboutRepair::AskSnapshot { from });
    }

    /// The last entry of a snapshot that serves is not before this one.
    fn needs_from(&self) -> Index {
        let damaged = self.damaged();
        match &self.plan {
            Some(Plan { row: RepairRow::SnapshotAdopted, target, .. }) => target.0,
            _ if self.snapshot.lacks_state => Index(damaged.first_index().0 - 1),
            _ => damaged.commit().min(damaged.log_end().last_index).next(),
        }
    }

    /// What was on its way is given up; where one is still needed, somebody else is asked.
    pub(super) fn give_up_snapshot(&mut self) {
        if let Some(download) = self.snapshot.download.take() {
            download.give_up(self.damaged_mut().disk_mut());
        }
        self.snapshot.asked = None;
    }

    pub(super) fn take_offer(&mut self, from: NodeId, last: End, manifest: Manifest) {
        let is_asked = self.snapshot.asked.is_some_and(|(source, _)| source == from);
        let is_needed = self.snapshot_sources().contains(&from) && last.0 >= self.needs_from();
        if !is_asked || !is_needed || self.snapshot.download.is_some() {
            return;
        }
        let epoch = self.damaged().identity().epoch;
        if self.snapshot.lacks_state {
            let log = self.damaged().log_end();
            let (target, sources) = ((log.last_index, log.last_term), vec![from]);
            self.plan = Some(Plan { row: RepairRow::StateFetched, target, sources });
        }
        self.snapshot.download = Some(Download::new(epoch, last, manifest));
        self.snapshot.heard = self.now;
    }

    /// Takes a piece, the word that there is none, or a question for outputs. What does not fit is as if it had been lost.
    pub(super) fn take_transfer(&mut self, envelope: Envelope, bytes: &[u8]) -> Result<(), MessageFault> {
        if !transfer::is_for_repair(bytes) {
            return Ok(());
        }
        let message = transfer::decode(envelope, bytes)?;
        if let Transfer::AskOutputs(range) = message {
            self.take_outputs_question(envelope.from, range);
            return Ok(());
        }
        let (Some(download), Some((source, _))) = (&mut self.snapshot.download, self.snapshot.asked) else {
            return Ok(());
        };
        let wanted = download.index;
        let Some(damaged) = &mut self.damaged else { unreachable!("taken only to be opened again") };
        match message {
            _ if source != envelope.from || damaged.is_writing() => {}
            Transfer::Piece { index, offset, bytes } if index == wanted => {
                match download.take_piece(damaged.disk_mut(), offset, &bytes) {
                    Ok(true) => (self.snapshot.heard, self.fetch.idle_rounds) = (self.now, 0),
                    Ok(false) => {}
                    // It is asked for again, until there is room.
                    Err(DiskFault { cause: DiskCause::NoSpace, .. }) => self.give_up_snapshot(),
                    Err(fault) => self.fault = Some(fault.into()),
                }
            }
            Transfer::Gone { index } if index == wanted => self.give_up_snapshot(),
            Transfer::AskPiece { .. }
            | Transfer::AskOutputs(_)
            | Transfer::Piece { .. }
            | Transfer::Outputs { .. }
            | Transfer::Unfit { .. }
            | Transfer::Gone { .. } => {}
        }
        Ok(())
    }

    /// All pieces are here: what they make up is verified, and takes the place of what is missing.
    fn adopt(&mut self) -> Result<(), ReplicaFault> {
        let owner = self.damaged().identity();
        let (Some(download), Some((source, _))) = (&self.snapshot.download, self.snapshot.asked) else {
            return Ok(());
        };
        let Some(damaged) = &mut self.damaged else { unreachable!("taken only to be opened again") };
        let (base, header) = match download.verify(damaged.disk_mut(), owner) {
            Ok(whole) => whole,
            Err(SnapshotFault::Disk(fault)) => return Err(ReadFault::Disk(fault).into()),
            Err(_) => {
                let index = download.index;
                self.send_transfer(source, &Transfer::Unfit { index });
                self.give_up_snapshot();
                return Ok(());
            }
        };
        if self.snapshot.lacks_state && base.fits(damaged.readable()).is_ok() {
            let named = snapshot_file::give_name(damaged.disk_mut(), &header);
            named.map_err(ReadFault::Disk)?;
            self.snapshot.download = None;
            self.snapshot.is_placed = true;
            self.adopted = Some((source, header.index));
            return Ok(());
        }
        if damaged.reach().is_some() {
            self.look_again()?;
        }
        if let Some(membership) = &base.membership {
            self.known.take_membership(membership);
        }
        self.begin_anew(source, &header)
    }

    fn begin_anew(&mut self, source: NodeId, header: &SnapshotHeader) -> Result<(), ReplicaFault> {
        let last = (header.index, header.term);
        let target = self.plan.as_ref().map(|plan| plan.target);
        // Not of another history than ours, where that cannot be; nor where it is not known how far the log has to come.
        let Some(target) = target.filter(|_| header.index > self.damaged().commit()) else {
            self.give_up_snapshot();
            return Ok(());
        };
        // Of a whole log that has another entry there nothing is left to reach.
        let is_covered = self.snapshot.lacks_state || target.0 <= last.0;
        let reach = if is_covered { last } else { target };
        self.damaged_mut().begin_anew(header, reach).map_err(ReadFault::Disk)?;
        self.adopted = Some((source, header.index));
        self.snapshot = SnapshotFetch::default();
        self.fetch = Fetch { source: self.fetch.source, behind: BTreeSet::new(), ..Fetch::default() };
        if let Some(plan) = &mut self.plan {
            plan.target = reach;
        }
        Ok(())
    }

    pub(super) fn send_transfer(&mut self, to: NodeId, message: &Transfer) {
        let Identity { epoch, node, .. } = self.damaged().identity();
        let bytes = transfer::encode(Envelope { epoch, from: node, to }, message);
        self.outbound.push(Outbound { to, lane: Lane::Bulk, bytes });
    }
}
