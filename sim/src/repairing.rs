//! Machines whose logs are damaged: their turns, and the atlas that says which machines may be.
//!
//! A cluster survives damage to the same entry on fewer than half of its replicas. The atlas is stricter where it is simpler: so many
//! machines have a damaged journal at a time, and the next one only when one of them is whole again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use protocol::{MonoNanos, NodeId};
use replicas::{RepairRow, Timing};

use crate::disk::SimDisk;
use crate::machine::Turn;
use crate::network::{self, Carried};
use crate::trace::Trace;

/// Which machines have damaged journals.
#[derive(Clone, Debug)]
pub struct Atlas {
    damaged: Rc<RefCell<BTreeSet<usize>>>,
    damaged_max: usize,
}

impl Atlas {
    /// Of a cluster of so many replicas.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { damaged: Rc::default(), damaged_max: if nodes > 1 { (nodes - 1) / 2 } else { 1 } }
    }

    /// Whether the journal of the machine at `place` may be damaged; it counts as damaged then.
    #[must_use]
    pub fn may_damage(&self, place: usize) -> bool {
        let mut damaged = self.damaged.borrow_mut();
        let may = damaged.contains(&place) || damaged.len() < self.damaged_max;
        if may {
            damaged.insert(place);
        }
        may
    }

    /// Whether no machine is damaged.
    #[must_use]
    pub fn all_whole(&self) -> bool {
        self.damaged.borrow().is_empty()
    }

    /// It is whole.
    pub fn is_whole(&self, place: usize) {
        self.damaged.borrow_mut().remove(&place);
    }
}

/// A process that repairs its log.
pub struct Repairing {
    repair: replicas::Repair<SimDisk>,
    place: usize,
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
        let others = (0..nodes).filter(|other| *other != place).map(|other| NodeId(other as u64 + 1));
        let repair = replicas::Repair::open(disk, options, Timing::LAN, others.collect())?;
        Ok(Self { repair, place, row: None })
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
            Err(fault) if !disk.is_dead() => return Turn::Aborted(fault),
            Err(_) => return Turn::Killed,
            Ok(_) if disk.is_dead() => return Turn::Killed,
            Ok(worked) => {
                messages.extend(network::carried(self.place, self.repair.take_outbound()));
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
        Ok(self.repair.receive_from(NodeId(message.from as u64 + 1), message.bytes())?)
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
