//! Machines whose logs are damaged: their turns, and the atlas that says which machines may be.
//!
//! A cluster survives damage to the same entry on fewer than half of its replicas. The atlas is stricter where it is simpler: so
//! many machines have a damaged journal at a time, and the next one only when one of them is whole again. In some worlds all may
//! have: there nothing may be given up that others hold, and who cannot decide waits until somebody brings bytes back.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use journal::classify::Verdict;
use protocol::{Index, MonoNanos, NodeId};
use replicas::{RepairRow, Timing};

use crate::disk::SimDisk;
use crate::knobs::Knobs;
use crate::machine::Turn;
use crate::network::{self, Carried};
use crate::trace::Trace;

/// Which machines have damaged journals.
#[derive(Clone, Debug, Default)]
pub struct Atlas(Rc<RefCell<Damages>>);

#[derive(Debug, Default)]
struct Damages {
    places: BTreeSet<usize>,
    at_once_max: usize,
    survived_max: usize,
    is_beyond: bool,
}

impl Atlas {
    /// Of a cluster with these knobs.
    #[must_use]
    pub fn new(knobs: &Knobs) -> Self {
        let survived_max = (knobs.nodes - 1) / 2;
        let at_once_max = if knobs.rots_beyond { knobs.nodes } else { survived_max };
        Self(Rc::new(RefCell::new(Damages { at_once_max, survived_max, ..Damages::default() })))
    }

    /// Whether the journal of the machine at `place` may be damaged; it counts as damaged then.
    #[must_use]
    pub fn may_damage(&self, place: usize) -> bool {
        let damages = &mut *self.0.borrow_mut();
        let may = damages.places.contains(&place) || damages.places.len() < damages.at_once_max;
        if may {
            damages.places.insert(place);
            damages.is_beyond |= damages.places.len() > damages.survived_max;
        }
        may
    }

    /// It is whole.
    pub fn is_whole(&self, place: usize) {
        self.0.borrow_mut().places.remove(&place);
    }

    /// Whether there were ever more at a time than a cluster survives.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.0.borrow().is_beyond
    }
}

/// A process that repairs its log.
pub struct Repairing {
    repair: replicas::Repair<SimDisk>,
    node: NodeId,
    nodes: usize,
    row: Option<RepairRow>,
}

impl Repairing {
    /// Begins.
    ///
    /// # Errors
    /// [`replicas::StartFault`], if it cannot be repaired from what others have.
    pub fn open(
        place: usize,
        nodes: usize,
        disk: SimDisk,
        options: journal::Options,
    ) -> Result<Self, replicas::StartFault> {
        let others =
            (0..nodes).filter(|other| *other != place).map(|other| network::node_at(other, nodes, 0));
        let repair = replicas::Repair::open(disk, options, Timing::LAN, others.collect())?;
        let node = network::node_at(place, nodes, 0);
        Ok(Self { repair, node, nodes, row: None })
    }

    /// A turn; messages for the others are appended to `messages`.
    pub fn turn(
        &mut self,
        now: MonoNanos,
        disk: &SimDisk,
        trace: &Trace,
        messages: &mut Vec<Carried>,
    ) -> Turn {
        let worked = self.repair.step(now);
        disk.boundary();
        match worked {
            Err(fault) if !disk.is_dead() => Turn::Aborted(fault),
            Err(_) => Turn::Killed,
            Ok(_) if disk.is_dead() => Turn::Killed,
            Ok(worked) => {
                messages.extend(network::carried(self.node, self.nodes, self.repair.take_outbound()));
                let row = self.repair.status().row.map(|(row, _)| row);
                if let Some(row) = row.filter(|row| self.row != Some(*row)) {
                    trace.sometimes(row.name());
                }
                self.row = row;
                if worked { Turn::Worked } else { Turn::Idle }
            }
        }
    }

    /// Takes a message; those of Raft are nothing to it.
    pub fn take(&mut self, message: &Carried) -> Result<(), replicas::ReceiveFault> {
        Ok(self.repair.receive_from(message.from_node, message.bytes())?)
    }

    /// When there is something to do although nothing comes.
    #[must_use]
    pub fn next_deadline(&self) -> MonoNanos {
        self.repair.next_deadline()
    }

    /// Whether the log can be opened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.repair.is_done()
    }

    /// The entry that the log has to reach, once a repair was begun.
    #[must_use]
    pub fn reach(&self) -> Option<Index> {
        let verdict = self.repair.status().findings.verdict;
        if let Verdict::Unrepaired { reach, .. } = verdict { Some(reach) } else { None }
    }

    /// Where it stands, for a report.
    #[must_use]
    pub fn standing(&self) -> String {
        let status = self.repair.status();
        format!(
            "repairing: {:?} lost {:?} log {} row {:?} wait {:?} heard {:?}",
            status.findings.verdict,
            status.lost,
            status.log.last_index,
            status.row,
            status.wait,
            status.heard
        )
    }
}
