//! Sessions: who speaks, which of it has been executed, and what number the next output carries.
//!
//! A FIX session numbers what it sends without gaps ([`fix`]); a request session may repeat a request inside a window and
//! gets the first reply again ([`requests`]). Both remember the ClOrdIDs of the day ([`cl_ord_ids`]).

pub(crate) mod cl_ord_ids;
mod fix;
pub(crate) mod requests;

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{DefineSession, Genesis};
use protocol::event::OutputNumber;
use protocol::limits::{CANCEL_ALL_AFTER_MS, OUTBOX_PER_SESSION_MAX, SESSION_CLIENTS_MAX, SESSIONS_MAX};
use protocol::mutant::{Mutant, planted};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    CancelOnDisconnect, ClientId, EventBody, Field, FirmId, GatewayId, Generation, OutSeq, RejectReason,
    SessionEnd, SessionEpoch, SessionId, SessionProtocol, Strictness, Text, UnixNanos, events,
};

use crate::broken::{Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;
use crate::index::{Index, hash_u64};
use crate::markets::Place;
use crate::registry::Registry;
use crate::rows::Rows;

use cl_ord_ids::ClOrdIds;
use requests::RequestWindow;

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) definition: DefineSession,
    /// Those of the definition in order: each new order asks for one.
    clients: Vec<ClientId>,
    pub(crate) epoch: SessionEpoch,
    pub(crate) generation: Generation,
    /// Whose connection it is, or was.
    pub(crate) gateway: GatewayId,
    pub(crate) next_in: u64,
    pub(crate) next_out: u64,
    pub(crate) connected: bool,
    pub(crate) heartbeat_s: u32,
    pub(crate) last_heard: UnixNanos,
    /// A ResendRequest is under way up to this number; 0 = none.
    pub(crate) pending_gap: u64,
    /// When its live orders are cancelled, unless it comes back before.
    pub(crate) cancel_at: Option<UnixNanos>,
    /// Whether all of them are meant then, but those that say no; else only those that say yes.
    pub(crate) cancels_all: bool,
    /// When all its live orders are cancelled, unless it says again that it is there.
    pub(crate) cancel_all_at: Option<UnixNanos>,
    /// Live orders that say that they are cancelled when the connection ends.
    pub(crate) volatile_orders: u32,
    /// Whether its orders are pulled in some market when too much of them is filled.
    pub(crate) is_protected: bool,
    pub(crate) requests: RequestWindow,
    pub(crate) ids: ClOrdIds,
    /// The newest of its live orders.
    pub(crate) orders: Place,
}

impl Session {
    pub(crate) fn new(definition: DefineSession) -> Self {
        Self {
            clients: in_order(&definition.clients),
            definition,
            epoch: SessionEpoch(1),
            generation: Generation(0),
            gateway: GatewayId::IN_NODE,
            next_in: 1,
            next_out: 1,
            connected: false,
            heartbeat_s: 0,
            last_heard: UnixNanos(0),
            pending_gap: 0,
            cancel_at: None,
            cancels_all: false,
            cancel_all_at: None,
            volatile_orders: 0,
            is_protected: false,
            requests: RequestWindow::default(),
            ids: ClOrdIds::default(),
            orders: Place::NONE,
        }
    }

    pub(crate) fn is_fix(&self) -> bool {
        self.definition.protocol == SessionProtocol::Fix
    }

    /// Whether it may trade for a client.
    pub(crate) fn is_for(&self, client: ClientId) -> bool {
        self.clients.binary_search(&client).is_ok()
    }

    /// The first output of this epoch that a resend may still get.
    pub(crate) fn floor(&self) -> OutSeq {
        if planted(Mutant::FloorRaisedEarly) {
            return OutSeq(self.next_out.saturating_sub(10).max(1));
        }
        OutSeq(self.next_out.saturating_sub(OUTBOX_PER_SESSION_MAX).max(1))
    }

    /// Sends an output under the next number.
    #[inline]
    pub(crate) fn send(&mut self, effects: &mut Effects<'_>, body: impl Into<EventBody>) {
        let out_seq = OutSeq(self.next_out);
        self.next_out = self.next_out.saturating_add(1);
        let number = OutputNumber { session: self.definition.session, epoch: self.epoch, out_seq };
        effects.send(number, body);
    }

    /// Tells gateways that a record was dropped.
    pub(crate) fn drop_record(
        &self,
        request: protocol::RequestNumber,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) {
        effects.push(events::Dropped { session: self.definition.session, request, reason });
    }

    /// Numbers start at 1 again.
    pub(crate) fn restart_numbers(&mut self) {
        self.epoch = SessionEpoch(self.epoch.0.saturating_add(1));
        self.next_in = 1;
        self.next_out = 1;
        self.pending_gap = 0;
    }
}

/// All sessions and their timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) rows: Rows<Session>,
    by_id: Index,
    /// (deadline, session) of every `cancel_at`: they fire in this order.
    timers: BTreeSet<(UnixNanos, SessionId)>,
    /// Likewise of every `cancel_all_at`.
    dead_man_timers: BTreeSet<(UnixNanos, SessionId)>,
    comp_ids: BTreeMap<CompIds, SessionId>,
    /// Seed of the hashes of what clients choose; follows from the cluster's id, which they do not know.
    pub(crate) hash_seed: u64,
}

type CompId = Text<{ protocol::limits::COMP_ID_BYTES_MAX }>;
type CompIds = (CompId, CompId);

impl Sessions {
    pub(crate) fn row(&self, session: SessionId) -> Option<u32> {
        self.by_id.find(hash_u64(u64::from(session.0)), |row| self.rows.at(row).definition.session == session)
    }

    /// The operator's session: it exists from genesis on and is not defined by a command.
    pub(crate) fn begin(&mut self, genesis: &Genesis) {
        self.seed(genesis);
        self.add(Session::new(DefineSession {
            session: SessionId::OPERATOR,
            actor: genesis.operator,
            firm: FirmId(0),
            protocol: SessionProtocol::Request,
            client_comp_id: Text::EMPTY,
            our_comp_id: Text::EMPTY,
            clients: Vec::new(),
            reset_on_logon: false,
            heartbeat_s_min: 0,
            heartbeat_s_max: 0,
            strictness: Strictness::Strict,
            cancel_on_disconnect: CancelOnDisconnect::Never,
            cancel_window_ms: 0,
        }));
    }

    /// Derives the seed of the hashes; before any session exists.
    pub(crate) fn seed(&mut self, genesis: &Genesis) {
        let cluster = genesis.cluster.0.to_le_bytes();
        self.hash_seed = cluster.u64_at(0) ^ cluster.u64_at(8);
    }

    /// Adds a session whose id and CompIDs are not taken.
    pub(crate) fn add(&mut self, session: Session) -> u32 {
        let id = session.definition.session;
        if session.is_fix() {
            self.comp_ids.insert(comp_ids(&session.definition), id);
        }
        if let Some(deadline) = session.cancel_at {
            self.timers.insert((deadline, id));
        }
        if let Some(deadline) = session.cancel_all_at {
            self.dead_man_timers.insert((deadline, id));
        }
        let row = self.rows.push(session);
        self.by_id.insert(hash_u64(u64::from(id.0)), row);
        row
    }

    /// Whether another session has these CompIDs.
    pub(crate) fn comp_ids_taken(&self, definition: &DefineSession) -> bool {
        definition.protocol == SessionProtocol::Fix
            && self.comp_ids.get(&comp_ids(definition)).is_some_and(|&session| session != definition.session)
    }

    pub(crate) fn define(
        &mut self,
        command: &DefineSession,
        registry: &Registry,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let row = self.row(command.session);
        if let Some(row) = row {
            let before = &self.rows.at(row).definition;
            ensure(before != command, RejectReason::Exists)?;
            if let Some(field) = immutable_difference(before, command) {
                return Err(refuse_field(RejectReason::ExistsWithDifferent, field));
            }
        }
        check_fields(command)?;
        ensure_field(!self.comp_ids_taken(command), "client_comp_id")?;
        ensure(row.is_some() || self.rows.len() < SESSIONS_MAX, RejectReason::TableFull)?;
        ensure(registry.actors.contains_key(&command.actor), RejectReason::UnknownActor)?;
        match row {
            Some(row) => {
                let session = self.rows.at_mut(row);
                session.definition = command.clone();
                session.clients = in_order(&command.clients);
                if command.cancel_on_disconnect == CancelOnDisconnect::Never {
                    self.rows.at_mut(row).cancels_all = false;
                    if self.rows.at(row).volatile_orders == 0 {
                        self.disarm(row);
                    }
                }
            }
            None => {
                self.add(Session::new(command.clone()));
            }
        }
        effects.push(events::SessionDefined { definition: command.clone() });
        Ok(())
    }

    /// Ends a session's connection, which starts its cancel-on-disconnect window.
    pub(crate) fn close(&mut self, row: u32, end: SessionEnd, effects: &mut Effects<'_>) {
        let session = self.rows.at_mut(row);
        session.connected = false;
        session.pending_gap = 0;
        let definition = &session.definition;
        effects.push(events::SessionClosed {
            session: definition.session,
            generation: session.generation,
            end,
        });
        let cancels = match definition.cancel_on_disconnect {
            CancelOnDisconnect::Never => false,
            CancelOnDisconnect::OnLoss => end != SessionEnd::Logout,
            CancelOnDisconnect::OnLossOrLogout => true,
        };
        session.cancels_all = cancels;
        if cancels || session.volatile_orders > 0 {
            let window_ns = u64::from(definition.cancel_window_ms).saturating_mul(NANOS_PER_MILLI);
            let deadline = effects.time.plus(window_ns);
            session.cancel_at = Some(deadline);
            self.timers.insert((deadline, session.definition.session));
        }
    }

    /// The session is back, or its timer fired.
    pub(crate) fn disarm(&mut self, row: u32) {
        let session = self.rows.at_mut(row);
        if let Some(deadline) = session.cancel_at.take() {
            self.timers.remove(&(deadline, session.definition.session));
        }
    }

    /// All live orders of a session are cancelled after so long, unless it says so again before; 0 = no more.
    pub(crate) fn cancel_all_after(
        &mut self,
        row: u32,
        timeout_ms: u32,
        time: UnixNanos,
    ) -> Result<(), Stop> {
        let is_in_range = timeout_ms == 0 || CANCEL_ALL_AFTER_MS.contains(&timeout_ms);
        ensure_field(is_in_range, "timeout_ms")?;
        self.disarm_dead_man(row);
        if timeout_ms > 0 {
            let deadline = time.plus(u64::from(timeout_ms).saturating_mul(NANOS_PER_MILLI));
            let session = self.rows.at_mut(row);
            session.cancel_all_at = Some(deadline);
            self.dead_man_timers.insert((deadline, session.definition.session));
        }
        Ok(())
    }

    /// The session needs not say any more that it is there, or its timer fired.
    pub(crate) fn disarm_dead_man(&mut self, row: u32) {
        let session = self.rows.at_mut(row);
        if let Some(deadline) = session.cancel_all_at.take() {
            self.dead_man_timers.remove(&(deadline, session.definition.session));
        }
    }

    /// When the next session that has not said that it is there loses its orders.
    pub(crate) fn next_dead_man(&self) -> Option<(UnixNanos, SessionId)> {
        self.dead_man_timers.first().copied()
    }

    /// When the next timer fires.
    pub(crate) fn next_timer(&self) -> Option<(UnixNanos, SessionId)> {
        self.timers.first().copied()
    }

    /// How many sessions' timers are armed, of both kinds.
    pub(crate) fn timers(&self) -> (usize, usize) {
        (self.timers.len(), self.dead_man_timers.len())
    }

    pub(crate) fn has_dead_man_timer(&self, deadline: UnixNanos, session: SessionId) -> bool {
        self.dead_man_timers.contains(&(deadline, session))
    }

    pub(crate) fn has_timer(&self, deadline: UnixNanos, session: SessionId) -> bool {
        self.timers.contains(&(deadline, session))
    }

    /// The client for whom a session acts where an order names one or none; whether it may is another question.
    pub(crate) fn client(&self, row: u32, named: Option<ClientId>) -> Option<ClientId> {
        named.or_else(|| self.rows.at(row).definition.clients.first().copied())
    }

    /// Closes every connection of a gateway, because that is no more: of those inside nodes when a term begins.
    pub(crate) fn close_all_of(&mut self, gateway: GatewayId, end: SessionEnd, effects: &mut Effects<'_>) {
        let mut connected: Vec<(SessionId, u32)> = self
            .rows
            .numbers()
            .filter(|&row| self.rows.at(row).connected && self.rows.at(row).gateway == gateway)
            .map(|row| (self.rows.at(row).definition.session, row))
            .collect();
        connected.sort_unstable();
        for (_, row) in connected {
            self.close(row, end, effects);
        }
    }

    /// An operator sets a session's numbers back to 1.
    pub(crate) fn reset(&mut self, session: SessionId, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let row = self.row(session).ok_or(RejectReason::UnknownSession)?;
        ensure(self.rows.at(row).is_fix(), RejectReason::WrongSessionKind)?;
        if self.rows.at(row).connected {
            self.close(row, SessionEnd::Reset, effects);
        }
        let session = self.rows.at_mut(row);
        session.generation = Generation(session.generation.0.saturating_add(1));
        session.restart_numbers();
        Ok(())
    }
}

fn in_order(clients: &[ClientId]) -> Vec<ClientId> {
    let mut clients = clients.to_vec();
    clients.sort_unstable();
    clients
}

fn comp_ids(definition: &DefineSession) -> CompIds {
    (definition.client_comp_id, definition.our_comp_id)
}

/// The first field that never changes and differs.
fn immutable_difference(before: &DefineSession, after: &DefineSession) -> Option<&'static str> {
    [
        (before.actor != after.actor, "actor"),
        (before.firm != after.firm, "firm"),
        (before.protocol != after.protocol, "protocol"),
        (before.client_comp_id != after.client_comp_id, "client_comp_id"),
        (before.our_comp_id != after.our_comp_id, "our_comp_id"),
    ]
    .into_iter()
    .find_map(|(differs, field)| differs.then_some(field))
}

fn check_fields(command: &DefineSession) -> Result<(), Stop> {
    let is_fix = command.protocol == SessionProtocol::Fix;
    ensure_field(command.session >= SessionId::CLIENTS_FROM, "session")?;
    ensure_field(!is_fix || !command.client_comp_id.is_empty(), "client_comp_id")?;
    ensure_field(!is_fix || !command.our_comp_id.is_empty(), "our_comp_id")?;
    ensure_field(command.clients.len() <= SESSION_CLIENTS_MAX, "clients")?;
    ensure_field(command.heartbeat_s_min <= command.heartbeat_s_max, "heartbeat_s_max")
}
