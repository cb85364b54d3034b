//! Gateway processes: which one runs, and how far its commands have been executed.
//!
//! Such a process outlives leaders. What it has not heard of again it sends again, to whoever leads, so that a command may
//! arrive more than once: each has a number ([`GatewayNumber`]), and only the next one counts. A gateway inside a node
//! needs none of this, because its commands cannot outlive its term.

use std::collections::BTreeMap;

use protocol::commands::GatewayStart;
use protocol::record::GatewayNumber;
use protocol::{GatewayId, RejectReason, SessionEnd};

use crate::broken::{Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;

/// A gateway process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// Drawn by the process; another one is another process.
    pub(crate) instance: u64,
    /// The number of the next command.
    pub(crate) next: u64,
}

/// Every gateway process that ever began, by id.
pub(crate) type Gateways = BTreeMap<GatewayId, Gateway>;

impl Engine {
    /// Takes the number of a command, if it is the next one of its gateway.
    pub(crate) fn admit(&mut self, from: GatewayNumber) -> Result<(), RejectReason> {
        let gateway = self.gateways.get_mut(&from.gateway).ok_or(RejectReason::StaleGeneration)?;
        if from.number < gateway.next {
            return Err(RejectReason::AlreadyExecuted);
        }
        if from.number > gateway.next {
            // One before it was lost with its leader. Both come again, in order.
            return Err(RejectReason::SequenceGap);
        }
        gateway.next = gateway.next.saturating_add(1);
        Ok(())
    }

    /// A process began under this id. Its connections are new, so those of the process before are no more.
    pub(crate) fn start_gateway(
        &mut self,
        start: &GatewayStart,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let GatewayStart { gateway, instance } = *start;
        ensure_field(gateway.is_process(), "gateway")?;
        let runs = self.gateways.get(&gateway).map(|running| running.instance);
        ensure(runs != Some(instance), RejectReason::Exists)?;
        self.sessions.close_all_of(gateway, SessionEnd::Lost, effects);
        self.gateways.insert(gateway, Gateway { instance, next: 1 });
        Ok(())
    }

    /// The lease of a process has ended. It may come back: its numbers go on, and its clients log on again.
    pub(crate) fn gateway_down(
        &mut self,
        gateway: GatewayId,
        instance: u64,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let runs = self.gateways.get(&gateway).map(|running| running.instance);
        ensure(runs == Some(instance), RejectReason::StaleGeneration)?;
        self.sessions.close_all_of(gateway, SessionEnd::Lost, effects);
        Ok(())
    }
}
