//! Commands with the usual values, for tests that care about one field.

use protocol::commands::{
    CreateAccounts, CreateTransfers, DefineAsset, DefineMarket, DefineSession, Genesis, NewOrder,
    ReplaceOrder, SessionLogon,
};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, TransferRow};
use protocol::terms::RareTerms;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterId, FirmId,
    MarketId, PriceTicks, QtyLots, SessionId, SessionProtocol, Side, Strictness, Text, TransferId,
};

use crate::world::START;

pub(crate) const OPERATOR_ACTOR: ActorId = ActorId(1);

pub(crate) fn genesis() -> Genesis {
    Genesis { cluster: ClusterId(0xC1), operator: OPERATOR_ACTOR, operator_uid: 1000, demo: false }
}

pub(crate) fn asset(id: u32, code: &str, scale: u8) -> DefineAsset {
    DefineAsset { asset: AssetId(id), code: Text::new(code).unwrap(), scale }
}

/// Base asset 1, quote asset 2, fee account 2; one minor unit each in a lot and a tick.
pub(crate) fn market(id: u32) -> DefineMarket {
    DefineMarket {
        market: MarketId(id),
        symbol: Text::new(format!("M{id}")).unwrap(),
        base: AssetId(1),
        quote: AssetId(2),
        lot_base_minor: Amount(1),
        tick_quote_minor: Amount(1),
        price_ticks_min: PriceTicks(1),
        price_ticks_max: PriceTicks(1_000_000),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000_000),
        market_qty_lots_max: QtyLots(1_000_000),
        notional_min: Amount(1),
        notional_max: Amount(1_000_000_000_000),
        client_orders_max: 1_000,
        maker_fee_ppm: 1_000,
        taker_fee_ppm: 2_000,
        fee_account: AccountId(2),
        tax_account: AccountId(0),
    }
}

/// An account that may not be overdrawn unless it is external; orders settle through a client's.
pub(crate) fn account(id: u128, client: u64, asset: u32, class: AccountClass) -> CreateAccounts {
    let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
    let settles = if class == AccountClass::Client { SETTLEMENT } else { 0 };
    let row = AccountRow {
        owner: ClientId(client),
        flags: limited | settles,
        class: class.code().into(),
        ..account_row(id, asset)
    };
    CreateAccounts { accounts: vec![row] }
}

pub(crate) fn session(id: u32, protocol: SessionProtocol, client: u64) -> DefineSession {
    DefineSession {
        session: SessionId(id),
        actor: OPERATOR_ACTOR,
        firm: FirmId(1),
        protocol,
        client_comp_id: Text::new(format!("CLIENT{id}")).unwrap(),
        our_comp_id: Text::new("SICIL").unwrap(),
        clients: vec![ClientId(client)],
        reset_on_logon: true,
        heartbeat_s_min: 5,
        heartbeat_s_max: 60,
        strictness: Strictness::Strict,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    }
}

pub(crate) fn logon(msg_seq_num: u64) -> SessionLogon {
    SessionLogon { connection: 1, msg_seq_num, heartbeat_s: 30, reset: false, next_expected: 0 }
}

pub(crate) fn limit(cl_ord_id: &str, side: Side, qty: u64, price: u64) -> NewOrder {
    let cl_ord_id = Text::new(cl_ord_id).unwrap();
    NewOrder::limit(cl_ord_id, MarketId(1), side, PriceTicks(price), QtyLots(qty))
}

pub(crate) fn replace(cl_ord_id: &str, orig: &str, side: Side, qty: u64, price: u64) -> ReplaceOrder {
    ReplaceOrder {
        cl_ord_id: Text::new(cl_ord_id).unwrap(),
        orig_cl_ord_id: Text::new(orig).unwrap(),
        order: None,
        market: MarketId(1),
        side,
        price_ticks: PriceTicks(price),
        qty_lots: QtyLots(qty),
        poss_resend: false,
        terms: RareTerms::NONE,
    }
}

/// An account of the house that may not be overdrawn.
pub(crate) fn account_row(id: u128, ledger: u32) -> AccountRow {
    AccountRow {
        id: AccountId(id),
        ledger: AssetId(ledger),
        code: 1,
        flags: DEBITS_MUST_NOT_EXCEED_CREDITS,
        class: AccountClass::House.code().into(),
        ..AccountRow::default()
    }
}

/// An id of that time, in Unix milliseconds.
pub(crate) fn transfer_id(ms: u64, number: u64) -> TransferId {
    TransferId::at_ms(ms, number.into())
}

/// Money from `external` for `account`; the number makes the id, with the time at which worlds begin.
pub(crate) fn deposit(
    number: u64,
    external: u128,
    account: u128,
    ledger: u32,
    amount: u128,
) -> CreateTransfers {
    let id = transfer_id(START / 1_000_000, number);
    let row = TransferRow { ledger: AssetId(ledger), ..transfer_row(id, external, account, amount) };
    CreateTransfers { transfers: vec![row] }
}

/// A transfer in ledger 2 with code 1.
pub(crate) fn transfer_row(id: TransferId, debit: u128, credit: u128, amount: u128) -> TransferRow {
    TransferRow {
        id,
        debit_account: AccountId(debit),
        credit_account: AccountId(credit),
        amount: Amount(amount),
        ledger: AssetId(2),
        code: 1,
        ..TransferRow::default()
    }
}
