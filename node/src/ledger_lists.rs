//! What is set in the ledger, as its clients are told: the chart of accounts, lines, monitors, quotes, standing orders, proposals, and its totals; a page at a time, and of each page
//! what the session may read.

use engine::Engine;
use engine::views::{ProposalView, TotalView};
use gateways::binary::{Acceptor, Answer, Query, Read, Scope, TotalKey};
use protocol::binary::{
    AccountCodeState, BusinessRejectReason, Enclosed, MonitorState, OverdraftState, Proposal, ProposalState,
    QuoteState, StandingOrderState, TotalState, enclose,
};
use protocol::commands::{DefineMonitor, DefineStandingOrder, SetOverdraft};
use protocol::{
    AccountId, Amount, AssetId, MonitorId, MonoNanos, ProposalId, ProposedCommand, QuoteId, StandingOrderId,
};

use crate::ledger_clients::refused;

/// Answers with what is set and listed in the engine. Returns how many rows were looked at, at most.
pub(crate) fn answer_list(acceptor: &mut Acceptor, read: &Read, engine: &Engine, now: MonoNanos) -> usize {
    let seq = engine.seq_applied();
    match &read.query {
        Query::Overdrafts(ids) => {
            let found = overdrafts(engine, &read.scope, ids);
            acceptor.answer(read, seq, &Answer::Overdrafts(&found), now);
            1 + ids.len()
        }
        &Query::Monitors { from, limit } => {
            let (monitors, next) = &monitors(engine, &read.scope, from, limit);
            let answer = Answer::Monitors { monitors, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        &Query::AccountCodes { from, limit } => {
            let (codes, next) = &account_codes(engine, &read.scope, from, limit);
            let answer = Answer::AccountCodes { codes, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        &Query::Quotes { from, limit } => {
            let (quotes, next) = &quotes(engine, &read.scope, from, limit);
            let answer = Answer::Quotes { quotes, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        &Query::StandingOrders { from, limit } => {
            let (orders, next) = &standing_orders(engine, &read.scope, from, limit);
            let answer = Answer::StandingOrders { orders, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        &Query::Totals { ledger, from, limit } => {
            let (totals, next) = &totals(engine, &read.scope, (ledger, from), limit);
            let answer = Answer::Totals { totals, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        &Query::Proposals { from, limit } => {
            let (proposals, next) = &proposals(engine, &read.scope, from, limit);
            let answer = Answer::Proposals { proposals, next: *next };
            acceptor.answer(read, seq, &answer, now);
            1 + limit
        }
        Query::Accounts(_)
        | Query::Transfers(_)
        | Query::AccountTransfers(_)
        | Query::BalanceAt { .. }
        | Query::Corrections { .. }
        | Query::ValueBalanceAt { .. }
        | Query::Calendar
        | Query::Proposal(_)
        | Query::Exchanges(_)
        | Query::Attempts { .. }
        | Query::Triggers { .. } => 0,
    }
}

/// Whether an account is there for who asks.
fn sees(engine: &Engine, scope: &Scope, account: AccountId) -> bool {
    engine.account(account).is_some_and(|found| scope.has(found.client))
}

/// The lines of those accounts that exist.
fn overdrafts(engine: &Engine, scope: &Scope, ids: &[AccountId]) -> Vec<OverdraftState> {
    let found = ids.iter().filter(|id| sees(engine, scope, **id));
    found
        .map(|id| {
            let SetOverdraft { account, agreed, temporary, temporary_until_ns, interest_code } =
                engine.overdraft(*id);
            OverdraftState { account, agreed, temporary, temporary_until_ns, interest_code }
        })
        .collect()
}

/// A page of quotes that the session's clients may use, and where the next one begins.
fn quotes(engine: &Engine, scope: &Scope, from: QuoteId, limit: usize) -> (Vec<QuoteState>, Option<QuoteId>) {
    let mut open = engine.quotes_from(from);
    let seen = open.by_ref().take(limit).filter(|(quote, _)| quote.client.0 == 0 || scope.has(quote.client));
    let found = seen.map(|(quote, left)| QuoteState::new(quote, left)).collect();
    (found, open.next().map(|(next, _)| next.quote))
}

/// A page of standing orders from or to accounts that the session sees, and where the next one begins.
fn standing_orders(
    engine: &Engine,
    scope: &Scope,
    from: StandingOrderId,
    limit: usize,
) -> (Vec<StandingOrderState>, Option<StandingOrderId>) {
    let mut defined = engine.standing_orders_from(from);
    let is_seen = |order: &DefineStandingOrder| {
        sees(engine, scope, order.debit_account) || sees(engine, scope, order.credit_account)
    };
    let seen = defined.by_ref().take(limit).filter(|(order, _)| is_seen(order));
    let found = seen.map(|(order, due)| StandingOrderState::new(order, due)).collect();
    (found, defined.next().map(|(next, _)| next.order))
}

/// A page of the totals, of one ledger or of all, and where the next one begins. They tell of everybody's money, and are the bank's.
fn totals(
    engine: &Engine,
    scope: &Scope,
    (ledger, from): (Option<AssetId>, TotalKey),
    limit: usize,
) -> (Vec<TotalState>, Option<TotalKey>) {
    if *scope != Scope::Everything {
        return (Vec::new(), None);
    }
    let is_meant = |total: &TotalView| ledger.is_none_or(|ledger| total.ledger == ledger);
    let mut kept = engine.totals_from(from).take_while(is_meant);
    let sum = |sum: Option<Amount>| sum.unwrap_or(Amount(u128::MAX));
    let found = kept.by_ref().take(limit).filter(|total| total.accounts > 0).map(|total| TotalState {
        ledger: total.ledger,
        code: total.code,
        class: Some(total.class),
        accounts: total.accounts,
        debits_pending: sum(total.debits_pending),
        debits_posted: sum(total.debits_posted),
        credits_pending: sum(total.credits_pending),
        credits_posted: sum(total.credits_posted),
    });
    let found = found.collect();
    (found, kept.next().map(|next| (next.ledger, next.code, next.class)))
}

/// A page of open proposals, and where the next one begins.
fn proposals(
    engine: &Engine,
    scope: &Scope,
    from: ProposalId,
    limit: usize,
) -> (Vec<ProposalState>, Option<ProposalId>) {
    if *scope != Scope::Everything {
        return (Vec::new(), None);
    }
    let mut open = engine.proposals_from(from);
    let found = open.by_ref().take(limit).map(|view| ProposalState {
        proposal: view.proposal,
        actor: view.actor,
        kind: view.command.kind,
        expires_at: view.expires_at,
    });
    let found = found.collect();
    (found, open.next().map(|next| next.proposal))
}

/// What a proposal would change, if it is open. Returns how many rows that was.
pub(crate) fn answer_proposal(
    acceptor: &mut Acceptor,
    read: &Read,
    engine: &Engine,
    id: ProposalId,
    now: MonoNanos,
) -> usize {
    let seq = engine.seq_applied();
    let is_meant = |view: &ProposalView<'_>| view.proposal == id && read.scope == Scope::Everything;
    let Some(view) = engine.proposals_from(id).next().filter(is_meant) else {
        let answer = refused(BusinessRejectReason::UnknownProposal, "proposal");
        acceptor.answer(read, seq, &answer, now);
        return 1;
    };
    // A command that no message carries is told by its kind.
    let carry = |proposed: Option<&ProposedCommand>| {
        let mut bytes = Vec::new();
        if let Some(Ok(command)) = proposed.map(ProposedCommand::command) {
            enclose(command, &mut bytes);
        }
        bytes
    };
    let (command, before) = (carry(Some(view.command)), carry(view.before));
    let answer = Answer::Proposal(Proposal {
        client_seq_no: read.seq_no,
        journal_seq: seq,
        proposal: view.proposal,
        actor: view.actor,
        kind: view.command.kind,
        expires_at: view.expires_at,
        note: view.note,
        command: Enclosed::new(&command).unwrap_or_default(),
        before: Enclosed::new(&before).unwrap_or_default(),
    });
    acceptor.answer(read, seq, &answer, now);
    1
}

/// A page of the chart of accounts, and where the next one begins: it is the bank's.
fn account_codes(
    engine: &Engine,
    scope: &Scope,
    from: (u16, AssetId),
    limit: usize,
) -> (Vec<AccountCodeState>, Option<(u16, AssetId)>) {
    if *scope != Scope::Everything {
        return (Vec::new(), None);
    }
    let mut set = engine.account_codes_from(from);
    let found = set.by_ref().take(limit).map(AccountCodeState::from).collect();
    (found, set.next().map(|next| (next.code, next.ledger)))
}

/// A page of monitors, and where the next one begins.
fn monitors(
    engine: &Engine,
    scope: &Scope,
    from: MonitorId,
    limit: usize,
) -> (Vec<MonitorState>, Option<MonitorId>) {
    let mut defined = engine.monitors_from(from);
    let page = defined.by_ref().take(limit);
    let seen = page.filter(|monitor| *scope == Scope::Everything || sees(engine, scope, monitor.account));
    let found = seen.map(|definition| {
        let &DefineMonitor { monitor, account, ledger, code, class, field, operator, value, negative } =
            definition;
        MonitorState { monitor, account, ledger, code, class, field, operator, value, negative }
    });
    let found = found.collect();
    (found, defined.next().map(|next| next.monitor))
}
