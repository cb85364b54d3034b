//! What an operator defines before anybody trades: two assets, a market, accounts, a session for each client, money.

use protocol::commands::{
    CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineMarket, DefineSession, Genesis,
    SetFeeSchedule, SetLedgerLimits, roles,
};
use protocol::limits::{
    CORRECTED_TRANSFERS_DEFAULT, CORRECTION_WINDOW_DEFAULT_MS, ID_AHEAD_MAX_MS, ID_WINDOW_MAX_MS,
    PENDING_TRANSFERS_DEFAULT, TRANSFER_IDS_DEFAULT,
};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, FeeTier, TransferRow};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterId, Command,
    FeeGroupId, FirmId, MarketId, PriceTicks, QtyLots, Seq, SessionId, SessionProtocol, Strictness, Text,
    TransferId, UnixNanos,
};

/// Symbol of the one market.
pub const SYMBOL: &str = "AAA-BBB";
const BASE: AssetId = AssetId(1);
const QUOTE: AssetId = AssetId(2);
const FEES: AccountId = AccountId(910);
const TAXES: AccountId = AccountId(911);

/// CompID of the acceptor.
pub const OUR_COMP_ID: &str = "SICIL";

/// The first record.
#[must_use]
pub fn genesis() -> Genesis {
    Genesis { cluster: ClusterId(0x51c1_15e1), operator: ActorId(1), operator_uid: 0, demo: false }
}

/// The world outside, in `asset`.
#[must_use]
pub fn external(asset: AssetId) -> AccountId {
    AccountId(900 + u128::from(asset.0))
}

/// A client's account in `asset`.
#[must_use]
pub fn account(trader: usize, asset: AssetId) -> AccountId {
    AccountId(1_000 + 10 * trader as u128 + u128::from(asset.0))
}

/// A client's session.
#[must_use]
pub fn session(trader: usize) -> SessionId {
    SessionId(101 + trader as u32)
}

/// A client's CompID.
#[must_use]
pub fn comp_id(trader: usize) -> String {
    format!("CLIENT{trader}")
}

/// The id of a transfer that is made at this time.
#[must_use]
pub fn transfer_id(at: UnixNanos, number: u64) -> TransferId {
    TransferId::at_ms(at.0 / NANOS_PER_MILLI, number.into())
}

/// A plain transfer.
#[must_use]
pub fn transfer(
    id: TransferId,
    (debit_account, credit_account): (AccountId, AccountId),
    amount: Amount,
    ledger: AssetId,
) -> TransferRow {
    TransferRow { id, debit_account, credit_account, amount, ledger, code: 1, ..TransferRow::default() }
}

/// Everything, in an order in which each command finds what it names, begun `at` this time.
#[must_use]
pub fn commands(traders: usize, at: UnixNanos) -> Vec<Command> {
    let mut commands = vec![ledger_limits().into()];
    for (asset, code) in [(BASE, "AAA"), (QUOTE, "BBB")] {
        // Whole units, so that prices and quantities read the same in FIX and in events.
        commands.push(DefineAsset { asset, code: Text::truncated(code), scale: 0 }.into());
        commands.push(open(external(asset), ClientId(0), asset, AccountClass::External));
    }
    let house = [(FEES, AccountClass::Fee), (TAXES, AccountClass::Suspense)];
    let accounts = house.map(|(account, class)| row(account, ClientId(0), QUOTE, class));
    commands.push(CreateAccounts { accounts: accounts.to_vec() }.into());
    commands.push(market().into());
    commands.push(fees().into());
    for trader in 0..traders {
        let client = ClientId(trader as u64 + 1);
        let actor = ActorId(101 + trader as u32);
        commands.push(DefineActor { actor, roles: roles::TRADER }.into());
        for asset in [BASE, QUOTE] {
            commands.push(open(account(trader, asset), client, asset, AccountClass::Client));
            let id = transfer_id(at, trader as u64 * 10 + u64::from(asset.0));
            let from_outside = (external(asset), account(trader, asset));
            let row = transfer(id, from_outside, Amount(1_000_000), asset);
            commands.push(CreateTransfers { transfers: vec![row] }.into());
        }
        commands.push(trading_session(trader, actor, client).into());
    }
    commands
}

fn open(account: AccountId, client: ClientId, asset: AssetId, class: AccountClass) -> Command {
    CreateAccounts { accounts: vec![row(account, client, asset, class)] }.into()
}

fn row(account: AccountId, client: ClientId, asset: AssetId, class: AccountClass) -> AccountRow {
    let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
    let settles = if class == AccountClass::Client { SETTLEMENT } else { 0 };
    AccountRow {
        id: account,
        owner: client,
        ledger: asset,
        code: 1,
        flags: limited | settles,
        class: class.code().into(),
        ..AccountRow::default()
    }
}

/// Wide enough for wall clocks that are set: what is tried again is still remembered, and nothing lies too far ahead.
fn ledger_limits() -> SetLedgerLimits {
    SetLedgerLimits {
        id_window_ms: ID_WINDOW_MAX_MS,
        id_ahead_ms: ID_AHEAD_MAX_MS,
        transfer_ids_max: TRANSFER_IDS_DEFAULT,
        pending_transfers_max: PENDING_TRANSFERS_DEFAULT,
        correction_window_ms: CORRECTION_WINDOW_DEFAULT_MS,
        corrected_transfers_max: CORRECTED_TRANSFERS_DEFAULT,
    }
}

fn market() -> DefineMarket {
    DefineMarket {
        market: MarketId(1),
        symbol: Text::truncated(SYMBOL),
        base: BASE,
        quote: QUOTE,
        lot_base_minor: Amount(1),
        tick_quote_minor: Amount(1),
        price_ticks_min: PriceTicks(1),
        price_ticks_max: PriceTicks(10_000),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000),
        market_qty_lots_max: QtyLots(1_000),
        notional_min: Amount(1),
        notional_max: Amount(10_000_000),
        client_orders_max: 200,
        maker_fee_ppm: 1_000,
        taker_fee_ppm: 20_000,
        fee_account: FEES,
        tax_account: TAXES,
    }
}

/// Who rests is paid for it.
fn fees() -> SetFeeSchedule {
    let tier = FeeTier { volume_min: Amount(0), maker_ppm: 1_000, maker_is_paid: true, taker_ppm: 20_000 };
    SetFeeSchedule {
        market: MarketId(1),
        fee_group: FeeGroupId(0),
        effective_seq: Seq::ZERO,
        tiers: vec![tier],
        tax_ppm: 180_000,
    }
}

fn trading_session(trader: usize, actor: ActorId, client: ClientId) -> DefineSession {
    DefineSession {
        session: session(trader),
        actor,
        firm: FirmId(7),
        protocol: SessionProtocol::Fix,
        client_comp_id: Text::truncated(&comp_id(trader)),
        our_comp_id: Text::truncated(OUR_COMP_ID),
        clients: vec![client],
        reset_on_logon: true,
        heartbeat_s_min: 1,
        heartbeat_s_max: 60,
        strictness: Strictness::Strict,
        cancel_on_disconnect: [CancelOnDisconnect::Never, CancelOnDisconnect::OnLoss][trader % 2],
        cancel_window_ms: 50,
    }
}
