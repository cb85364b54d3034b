//! Maker and checker: a sensitive command is proposed by one actor, shown as a difference, and executed when another approves it.
//!
//! Corrections always are sensitive; which other commands are is a command too ([`SetApprovals`]). Once any is, it is one of them, and so is whatever
//! makes an actor or lets one speak: who could make a second one alone would agree with himself. A proposal is refused at its
//! approval when what it changes has changed since: nobody approves a difference that they were not shown.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{
    Approve, BustTrade, CorrectTrade, CorrectTransfers, DefineActor, DefineSession, Propose, Reject,
    SetActorKey, SetApprovals, SetFeeGroup, SetMarketPhase, SetTradeGroup,
};
use protocol::limits::{APPROVAL_KINDS_MAX, PROPOSAL_EXPIRES_IN_MAX_S, PROPOSALS_MAX, PROPOSED_BYTES_MAX};
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    ActorId, Command, ProposalEnd, ProposalId, ProposedCommand, RejectReason, Text, UnixNanos, events,
};

use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::{Engine, role_needed};
use crate::orders::{rules, schedule};

/// Actors who may configure and have a key, at least, while anything needs approval: one proposes, another approves.
const ADMINISTRATORS_MIN: usize = 2;
/// What is sensitive as soon as anything is.
const ALWAYS_SENSITIVE: [u16; 4] =
    [SetApprovals::KIND, DefineActor::KIND, SetActorKey::KIND, DefineSession::KIND];

/// What changes what has happened is never done by one alone.
const CORRECTIONS: [u16; 3] = [CorrectTransfers::KIND, BustTrade::KIND, CorrectTrade::KIND];

/// A note.
pub(crate) type Note = Text<{ protocol::limits::NOTE_BYTES_MAX }>;

/// A command that waits for another actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) actor: ActorId,
    pub(crate) command: ProposedCommand,
    /// The command that would set what was in force when it was made.
    pub(crate) before: Option<ProposedCommand>,
    pub(crate) expires_at: UnixNanos,
    pub(crate) note: Note,
}

impl Proposal {
    /// The roles of which its command takes one.
    fn role(&self) -> Result<u32, Stop> {
        role_needed(self.command.kind).ok_or_else(|| RejectReason::NotProposable.into())
    }
}

/// Open proposals, and what needs one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approvals {
    pub(crate) kinds: BTreeSet<u16>,
    pub(crate) open: BTreeMap<ProposalId, Proposal>,
    /// They expire in this order.
    deadlines: BTreeSet<(UnixNanos, ProposalId)>,
}

impl Approvals {
    /// Refuses a command of a kind that has to be proposed.
    pub(crate) fn may_execute(&self, kind: u16) -> Result<(), Stop> {
        let is_sensitive = self.kinds.contains(&kind)
            || CORRECTIONS.contains(&kind)
            || (self.are_in_force() && ALWAYS_SENSITIVE.contains(&kind));
        ensure(!is_sensitive, RejectReason::ApprovalNeeded)
    }

    /// Whether anything has to be proposed.
    fn are_in_force(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Actors who may configure and have a key, at least.
    pub(crate) fn administrators_min(&self) -> usize {
        if self.are_in_force() { ADMINISTRATORS_MIN } else { 0 }
    }

    /// The next proposal to expire.
    pub(crate) fn next_deadline(&self) -> Option<(UnixNanos, ProposalId)> {
        self.deadlines.first().copied()
    }

    /// A proposal that may be ended: that its turn to expire has not come lengthens no time.
    fn at(&self, id: ProposalId, time: UnixNanos) -> Result<&Proposal, Stop> {
        let open = self.open.get(&id).filter(|proposal| time < proposal.expires_at);
        open.ok_or_else(|| RejectReason::UnknownProposal.into())
    }

    /// Opens a proposal whose id is new.
    pub(crate) fn add(&mut self, id: ProposalId, proposal: Proposal) {
        self.deadlines.insert((proposal.expires_at, id));
        self.open.insert(id, proposal);
    }

    fn end(
        &mut self,
        id: ProposalId,
        end: ProposalEnd,
        actor: ActorId,
        note: Note,
        effects: &mut Effects<'_>,
    ) {
        if let Some(proposal) = self.open.remove(&id) {
            self.deadlines.remove(&(proposal.expires_at, id));
            effects.push(events::ProposalEnded { proposal: id, end, actor, note });
        }
    }

    /// A proposal that nobody approved in time is open no more.
    pub(crate) fn expire(&mut self, id: ProposalId, effects: &mut Effects<'_>) {
        if let Some(proposal) = self.open.get(&id) {
            self.end(id, ProposalEnd::Expired, proposal.actor, Text::EMPTY, effects);
        }
    }
}

impl Engine {
    /// Keeps a command for another actor's approval.
    pub(crate) fn propose(
        &mut self,
        actor: ActorId,
        command: &Propose,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let Propose { command: proposed, expires_in_s, note } = command;
        ensure_field(proposed.body.len() <= PROPOSED_BYTES_MAX, "command")?;
        let wanted = proposed.command().map_err(|_| RejectReason::Malformed)?;
        let role = role_needed(wanted.kind()).ok_or(RejectReason::NotProposable)?;
        self.registry.entitle(actor, role)?;
        ensure_field((1..=PROPOSAL_EXPIRES_IN_MAX_S).contains(expires_in_s), "expires_in_s")?;
        ensure(self.approvals.open.len() < PROPOSALS_MAX, RejectReason::TableFull)?;
        let expires_at = effects.time.plus(u64::from(*expires_in_s).saturating_mul(NANOS_PER_SECOND));
        let before = self.in_force(&wanted);
        let proposal = ProposalId(effects.seq.0);
        effects.push(events::Proposed {
            proposal,
            actor,
            command: proposed.clone(),
            before: before.clone(),
            expires_at_ns: expires_at.0,
            note: *note,
        });
        let proposed = Proposal { actor, command: proposed.clone(), before, expires_at, note: *note };
        self.approvals.add(proposal, proposed);
        Ok(())
    }

    /// Executes what somebody else proposed. If it is refused, the proposal stays open.
    pub(crate) fn approve(
        &mut self,
        session_row: u32,
        actor: ActorId,
        command: &Approve,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let Approve { proposal: id } = *command;
        let proposal = self.approvals.at(id, effects.time)?;
        let wanted = proposal.command.command().map_err(|_| RejectReason::Malformed)?;
        let role = proposal.role()?;
        self.registry.entitle(actor, role)?;
        ensure(actor != proposal.actor, RejectReason::OwnProposal)?;
        // Who made it may have lost the role since.
        self.registry.entitle(proposal.actor, role)?;
        ensure(self.in_force(&wanted) == proposal.before, RejectReason::ProposalStale)?;
        self.execute_command(session_row, actor, &wanted, effects)?;
        self.approvals.end(id, ProposalEnd::Approved, actor, Text::EMPTY, effects);
        Ok(())
    }

    /// Ends a proposal without executing it.
    pub(crate) fn reject(
        &mut self,
        actor: ActorId,
        command: &Reject,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let Reject { proposal: id, note } = *command;
        let proposal = self.approvals.at(id, effects.time)?;
        let end = if proposal.actor == actor {
            ProposalEnd::Withdrawn
        } else {
            self.registry.entitle(actor, proposal.role()?)?;
            ProposalEnd::Rejected
        };
        self.approvals.end(id, end, actor, note, effects);
        Ok(())
    }

    /// Sets what has to be proposed.
    pub(crate) fn set_approvals(
        &mut self,
        command: &SetApprovals,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let kinds: BTreeSet<u16> = command.kinds.iter().copied().collect();
        let is_ascending = kinds.iter().eq(&command.kinds);
        ensure_field(is_ascending && kinds.len() <= APPROVAL_KINDS_MAX, "kinds")?;
        ensure_field(kinds.iter().all(|&kind| role_needed(kind).is_some()), "kinds")?;
        ensure(kinds != self.approvals.kinds, RejectReason::Exists)?;
        // Otherwise nothing sensitive could ever be changed again, this least of all.
        ensure(
            kinds.is_empty() || self.registry.administrators() >= ADMINISTRATORS_MIN,
            RejectReason::TooFewApprovers,
        )?;
        self.approvals.kinds = kinds;
        effects.push(events::ApprovalsSet { kinds: command.kinds.clone() });
        Ok(())
    }

    /// The command that would set what is in force where `command` sets something; `None` where it is new, or nothing is set.
    fn in_force(&self, command: &Command) -> Option<ProposedCommand> {
        let before: Command = if let Command::DefineActor(define) = command {
            let roles = self.registry.actors.get(&define.actor)?.roles;
            DefineActor { actor: define.actor, roles }.into()
        } else if let Command::SetActorKey(set) = command {
            let key = self.registry.actors.get(&set.actor)?.key;
            SetActorKey { actor: set.actor, key }.into()
        } else if let Command::DefineMarket(define) = command {
            let row = self.markets.row(define.market)?;
            self.markets.rows.at(row).definition.clone().into()
        } else if let Command::SetMarketPhase(set) = command {
            let row = self.markets.row(set.market)?;
            SetMarketPhase { market: set.market, phase: self.markets.rows.at(row).phase }.into()
        } else if let Command::SetFeeSchedule(set) = command {
            self.markets.fee_schedule_before(set, self.seq)?.into()
        } else if let Command::SetFeeGroup(set) = command {
            SetFeeGroup { client: set.client, fee_group: self.markets.fees.group(set.client) }.into()
        } else if let Command::DefineSession(define) = command {
            let row = self.sessions.row(define.session)?;
            self.sessions.rows.at(row).definition.clone().into()
        } else if let Command::SetLedgerLimits(_) = command {
            self.ledger.limits.clone().into()
        } else if let Command::SetOverdraft(set) = command {
            self.ledger.row(set.account)?;
            self.ledger.overdrafts.get(set.account).into()
        } else if let Command::SetCalendar(_) = command {
            self.ledger.calendar.definition()?.clone().into()
        } else if let Command::SetAccountCode(set) = command {
            self.ledger.chart.entry(set.ledger, set.code)?.clone().into()
        } else if let Command::CorrectTransfers(correct) = command {
            self.ledger.corrected_so_far(correct)?.into()
        } else if let Command::UpdateAccount(update) = command {
            let row = self.ledger.row(update.account)?;
            self.ledger.accounts.as_updated(row).into()
        } else if let Command::RemoveMonitor(remove) = command {
            self.ledger.monitors.get(remove.monitor)?.clone().into()
        } else if let Command::SetTradingRules(set) = command {
            rules::in_force(self.markets.rows.at(self.markets.row(set.market)?)).into()
        } else if let Command::SetMarketSchedule(set) = command {
            schedule::in_force(self.markets.rows.at(self.markets.row(set.market)?)).into()
        } else if let &Command::SetTradeGroup(SetTradeGroup { client, .. }) = command {
            SetTradeGroup { client, trade_group: self.trade_group(client) }.into()
        } else if let Command::SetApprovals(_) = command {
            SetApprovals { kinds: self.approvals.kinds.iter().copied().collect() }.into()
        } else {
            return None;
        };
        Some(ProposedCommand::new(&before))
    }

    /// What is open can be read, was made before, and has its deadline.
    pub(crate) fn check_approvals(&self) -> Result<(), Broken> {
        let Approvals { open, deadlines, .. } = &self.approvals;
        let is_sound = |(id, proposal): (&ProposalId, &Proposal)| {
            id.0 <= self.seq.0
                && proposal.command.command().is_ok()
                && proposal.role().is_ok()
                && deadlines.contains(&(proposal.expires_at, *id))
        };
        let can_be_approved = self.registry.administrators() >= self.approvals.administrators_min();
        let is_sound = open.len() == deadlines.len() && open.iter().all(is_sound) && can_be_approved;
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "proposals" }) }
    }
}
