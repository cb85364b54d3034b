//! A definitions file (`sicil apply FILE.toml`) as the commands that it stands for.
//!
//! People write codes and decimal numbers (`tick = "0.01"`, `amount = "100.00 TRY"`), the journal counts minor units,
//! lots and ticks. The translation is exact or refused: nothing is rounded. Items are put into the order in which one
//! may refer to another, whatever their order in the file.

pub(crate) mod chart;
mod clients;
pub(crate) mod fees;
pub(crate) mod rules;
pub(crate) mod schedule;

use std::collections::BTreeMap;
use std::path::Path;

use engine::Engine;
use protocol::commands::{
    CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineMarket, DefineSession, SetActorKey,
    SetMarketPhase, roles,
};
use protocol::money::{DecimalFault, parse_decimal};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, TransferRow};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, Command, FirmId,
    MarketId, MarketPhase, PriceTicks, QtyLots, Seq, SessionId, SessionProtocol, Strictness, Text,
    TransferId, UnixNanos,
};
use serde::Deserialize;
use toml::Spanned;

use self::chart::{AccountCodeEntry, account_code};
use self::clients::ClientEntry;
use self::fees::{FeesEntry, FeesOf};
use self::rules::{RulesEntry, trading_rules};
use self::schedule::{ScheduleEntry, market_schedule};
use crate::text_file::{FileFault, Place, read_text, wrong_toml};

/// The file of the demonstration, part of the program.
pub(crate) const DEMO: &str = include_str!("demo_definitions.toml");

/// Code of the transfers that open balances.
const OPENING_CODE: u16 = 1;
/// The ids of opening balances count in steps of so many milliseconds.
const OPENING_STEP_MS: u64 = 60_000;
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// One thing that the file defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// As people call it: `market BTC-TRY`.
    pub(crate) label: String,
    /// What makes it so.
    pub(crate) command: Command,
    /// The seq from which on another item of the file takes its place.
    pub(crate) until: Option<Seq>,
}

impl Item {
    /// The command as it is submitted now. An opening balance gets its id, in which two who apply a file at the same time agree.
    pub(crate) fn command_at(&self, now: UnixNanos) -> Command {
        let mut command = self.command.clone();
        if let Command::CreateTransfers(batch) = &mut command {
            let now_ms = now.0 / NANOS_PER_MILLI;
            for row in &mut batch.transfers {
                row.id = TransferId::at_ms(now_ms - now_ms % OPENING_STEP_MS, row.credit_account.0);
            }
        }
        command
    }

    /// Whether another item of the file has taken its place, for whoever submits it next.
    pub(crate) fn is_over(&self, seq_applied: Seq) -> bool {
        self.until.is_some_and(|until| until <= seq_applied.next())
    }

    /// Whether it is an opening balance of an account that has one: money has come in, however much, and once is enough.
    pub(crate) fn is_opened(&self, engine: &Engine) -> bool {
        let Command::CreateTransfers(batch) = &self.command else { return false };
        batch.transfers.iter().all(|row| has_money(engine, row.credit_account))
    }
}

/// Whether anything has ever come into an account, or is about to.
pub(crate) fn has_money(engine: &Engine, account: AccountId) -> bool {
    engine.account(account).is_some_and(|view| (view.credits.0, view.credits_pending.0) != (0, 0))
}

/// Assets by code: those of the node, and those that the file adds.
pub(crate) type Assets = BTreeMap<String, Asset>;

/// What a translation needs to know of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// Its id.
    pub(crate) id: AssetId,
    /// Its decimals.
    pub(crate) scale: u8,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    actor: Vec<Spanned<ActorEntry>>,
    #[serde(default)]
    asset: Vec<Spanned<AssetEntry>>,
    #[serde(default)]
    account_code: Vec<Spanned<AccountCodeEntry>>,
    #[serde(default)]
    account: Vec<Spanned<AccountEntry>>,
    #[serde(default)]
    market: Vec<Spanned<MarketEntry>>,
    #[serde(default)]
    client: Vec<Spanned<ClientEntry>>,
    #[serde(default)]
    session: Vec<Spanned<SessionEntry>>,
    #[serde(default)]
    opening_balance: Vec<Spanned<OpeningBalanceEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorEntry {
    id: u32,
    roles: Vec<String>,
    /// As `sicil key` prints it; `none` takes it back; absent leaves it as it is.
    public_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetEntry {
    id: u32,
    code: String,
    scale: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountEntry {
    id: u64,
    #[serde(default)]
    client: u64,
    asset: String,
    class: String,
    code: u16,
    #[serde(default)]
    settlement: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarketEntry {
    id: u32,
    symbol: String,
    base: String,
    quote: String,
    lot: String,
    tick: String,
    price_min: String,
    price_max: String,
    qty_min: String,
    qty_max: String,
    market_qty_max: String,
    notional_min: String,
    notional_max: String,
    client_orders_max: u32,
    maker_fee_ppm: u32,
    taker_fee_ppm: u32,
    fee_account: u64,
    /// 0 = no fee is taxed.
    #[serde(default)]
    tax_account: u64,
    phase: Option<String>,
    rules: Option<RulesEntry>,
    schedule: Option<ScheduleEntry>,
    #[serde(default)]
    fees: Vec<Spanned<FeesEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionEntry {
    id: u32,
    actor: u32,
    #[serde(default)]
    firm: u32,
    #[serde(default = "fix")]
    protocol: String,
    #[serde(default)]
    client_comp_id: String,
    #[serde(default)]
    our_comp_id: String,
    #[serde(default)]
    clients: Vec<u64>,
    #[serde(default)]
    reset_on_logon: bool,
    #[serde(default)]
    heartbeat_s_min: u16,
    #[serde(default)]
    heartbeat_s_max: u16,
    #[serde(default = "strict")]
    strictness: String,
    #[serde(default = "never")]
    cancel_on_disconnect: String,
    #[serde(default)]
    cancel_window_ms: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningBalanceEntry {
    account: u64,
    from: u64,
    amount: String,
}

fn fix() -> String {
    "fix".to_owned()
}

fn strict() -> String {
    "strict".to_owned()
}

fn never() -> String {
    "never".to_owned()
}

/// Why an entry means nothing: the field, and what is wrong with it.
pub(crate) type EntryFault = String;

/// A field of a definition and its value, as text.
pub(crate) type Field = (&'static str, String);

/// Reads a definitions file.
///
/// # Errors
/// [`FileFault`] with the line of the first entry that means nothing.
pub(crate) fn load(path: &Path, known: Assets) -> Result<Vec<Item>, FileFault> {
    translate(path, &read_text(path, FILE_BYTES_MAX)?, known)
}

/// Translates the text of a definitions file; `path` is for faults, `known` are the assets that exist already.
///
/// # Errors
/// As [`load`].
pub(crate) fn translate(path: &Path, text: &str, known: Assets) -> Result<Vec<Item>, FileFault> {
    let file: File = toml::from_str(text).map_err(|error| wrong_toml(path, text, &error))?;
    let mut out = Translation { path, text, assets: known, items: Vec::new() };
    out.each(&file.actor, |_, entry| actor(entry))?;
    out.each(&file.asset, |assets, entry| Ok(vec![asset(assets, entry)?]))?;
    out.each(&file.account_code, |assets, entry| Ok(vec![account_code(assets, entry)?]))?;
    out.each(&file.account, |assets, entry| Ok(vec![account(assets, entry)?]))?;
    out.each(&file.market, |assets, entry| market(assets, entry))?;
    for market in file.market.iter().map(Spanned::get_ref) {
        out.each(&market.fees, |assets, entry| Ok(vec![market_fees(assets, market, entry)?]))?;
    }
    out.each(&file.client, |_, entry| Ok(clients::client(entry)))?;
    out.each(&file.session, |_, entry| Ok(vec![session(entry)?]))?;
    out.each(&file.opening_balance, |assets, entry| Ok(vec![opening_balance(assets, entry)?]))?;
    Ok(out.items)
}

struct Translation<'a> {
    path: &'a Path,
    text: &'a str,
    assets: Assets,
    items: Vec<Item>,
}

impl Translation<'_> {
    fn each<E>(
        &mut self,
        entries: &[Spanned<E>],
        translate: impl Fn(&mut Assets, &E) -> Result<Vec<Item>, EntryFault>,
    ) -> Result<(), FileFault> {
        for entry in entries {
            let items = translate(&mut self.assets, entry.get_ref()).map_err(|reason| FileFault::Wrong {
                path: self.path.to_owned(),
                place: Place::of(self.text, entry.span().start),
                reason,
            })?;
            self.items.extend(items);
        }
        Ok(())
    }
}

fn item(label: String, command: impl Into<Command>) -> Item {
    Item { label, command: command.into(), until: None }
}

fn actor(entry: &ActorEntry) -> Result<Vec<Item>, EntryFault> {
    let mut bits = 0;
    for role in &entry.roles {
        bits |= match role.as_str() {
            "admin" => roles::ADMIN,
            "cashier" => roles::CASHIER,
            "trader" => roles::TRADER,
            "payer" => roles::PAYER,
            "price_source" => roles::PRICE_SOURCE,
            other => {
                return Err(format!(
                    "roles: {other:?} is not one of admin, cashier, trader, payer, price_source"
                ));
            }
        };
    }
    let actor = ActorId(entry.id);
    let mut items = vec![item(format!("actor {actor}"), DefineActor { actor, roles: bits })];
    if let Some(text) = &entry.public_key {
        let key = match text.as_str() {
            "none" => None,
            text => Some(text.parse().map_err(|_| "public_key: 64 hexadecimal digits, or none".to_owned())?),
        };
        items.push(item(format!("key of actor {actor}"), SetActorKey { actor, key }));
    }
    Ok(items)
}

fn asset(assets: &mut Assets, entry: &AssetEntry) -> Result<Item, EntryFault> {
    let asset = AssetId(entry.id);
    let code = text("code", &entry.code)?;
    if assets.get(&entry.code).is_some_and(|known| known.id != asset) {
        return Err(format!("code: {:?} is another asset's", entry.code));
    }
    // The scale of an asset that exists already stands: the node refuses another one.
    assets.entry(entry.code.clone()).or_insert(Asset { id: asset, scale: entry.scale });
    Ok(item(format!("asset {}", entry.code), DefineAsset { asset, code, scale: entry.scale }))
}

fn account(assets: &Assets, entry: &AccountEntry) -> Result<Item, EntryFault> {
    let class = match entry.class.as_str() {
        "client" => AccountClass::Client,
        "house" => AccountClass::House,
        "fee" => AccountClass::Fee,
        "external" => AccountClass::External,
        "liquidity" => AccountClass::Liquidity,
        "suspense" => AccountClass::Suspense,
        other => {
            return Err(format!(
                "class: {other:?} is not one of client, house, fee, external, liquidity, suspense"
            ));
        }
    };
    // The world outside owes what has come in from it; nobody else may be overdrawn.
    let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
    let settles = if entry.settlement { SETTLEMENT } else { 0 };
    let row = AccountRow {
        id: AccountId(u128::from(entry.id)),
        owner: ClientId(entry.client),
        ledger: find("asset", assets, &entry.asset)?.id,
        code: entry.code,
        flags: limited | settles,
        class: class.code().into(),
        ..AccountRow::default()
    };
    Ok(item(format!("account {}", row.id), CreateAccounts { accounts: vec![row] }))
}

fn market(assets: &Assets, entry: &MarketEntry) -> Result<Vec<Item>, EntryFault> {
    let base = find("base", assets, &entry.base)?;
    let quote = find("quote", assets, &entry.quote)?;
    let prices = |field, price: &str| units_of(field, price, &entry.tick).map(PriceTicks);
    let quantities = |field, quantity: &str| units_of(field, quantity, &entry.lot).map(QtyLots);
    let lot_base_minor = decimal("lot", &entry.lot, base.scale)?;
    let market = MarketId(entry.id);
    let definition = DefineMarket {
        market,
        symbol: text("symbol", &entry.symbol)?,
        base: base.id,
        quote: quote.id,
        lot_base_minor,
        tick_quote_minor: tick_quote_minor(&entry.tick, lot_base_minor, base.scale, quote.scale)?,
        price_ticks_min: prices("price_min", &entry.price_min)?,
        price_ticks_max: prices("price_max", &entry.price_max)?,
        qty_lots_min: quantities("qty_min", &entry.qty_min)?,
        qty_lots_max: quantities("qty_max", &entry.qty_max)?,
        market_qty_lots_max: quantities("market_qty_max", &entry.market_qty_max)?,
        notional_min: decimal("notional_min", &entry.notional_min, quote.scale)?,
        notional_max: decimal("notional_max", &entry.notional_max, quote.scale)?,
        client_orders_max: entry.client_orders_max,
        maker_fee_ppm: entry.maker_fee_ppm,
        taker_fee_ppm: entry.taker_fee_ppm,
        fee_account: AccountId(u128::from(entry.fee_account)),
        tax_account: AccountId(u128::from(entry.tax_account)),
    };
    let mut items = vec![item(format!("market {}", entry.symbol), definition)];
    if let Some(phase) = &entry.phase {
        let phase = phase_named("phase", phase)?;
        items.push(item(format!("phase of market {}", entry.symbol), SetMarketPhase { market, phase }));
    }
    if let Some(rules) = &entry.rules {
        let position = rules.client_position_max.as_ref();
        let position = position.map(|lots| quantities("rules.client_position_max", lots)).transpose()?;
        let rules = trading_rules(market, rules, position.unwrap_or(QtyLots(0)))?;
        items.push(item(format!("rules of market {}", entry.symbol), rules));
    }
    if let Some(schedule) = &entry.schedule {
        let schedule = market_schedule(market, schedule)?;
        items.push(item(format!("schedule of market {}", entry.symbol), schedule));
    }
    Ok(items)
}

fn market_fees(assets: &Assets, market: &MarketEntry, entry: &FeesEntry) -> Result<Item, EntryFault> {
    let scale = find("quote", assets, &market.quote)?.scale;
    let (id, symbol) = (MarketId(market.id), market.symbol.as_str());
    fees::fee_schedule(&FeesOf { market: id, symbol, scale, all: &market.fees }, entry)
}

/// A phase by its name in such a file; `field` is named where there is none.
pub(crate) fn phase_named(field: &str, name: &str) -> Result<MarketPhase, EntryFault> {
    Ok(match name {
        "trading" => MarketPhase::Trading,
        "cancel_only" => MarketPhase::CancelOnly,
        "halt" => MarketPhase::Halt,
        "pre_open" => MarketPhase::PreOpen,
        "auction" => MarketPhase::Auction,
        "post_only" => MarketPhase::PostOnly,
        "closed" => MarketPhase::Closed,
        other => {
            let phases = "trading, cancel_only, halt, pre_open, auction, post_only, closed";
            return Err(format!("{field}: {other:?} is not one of {phases}"));
        }
    })
}

fn session(entry: &SessionEntry) -> Result<Item, EntryFault> {
    let session = SessionId(entry.id);
    let protocol = match entry.protocol.as_str() {
        "fix" => SessionProtocol::Fix,
        "request" => SessionProtocol::Request,
        other => return Err(format!("protocol: {other:?} is not one of fix, request")),
    };
    let strictness = match entry.strictness.as_str() {
        "strict" => Strictness::Strict,
        "lenient" => Strictness::Lenient,
        other => return Err(format!("strictness: {other:?} is not one of strict, lenient")),
    };
    let cancel_on_disconnect = match entry.cancel_on_disconnect.as_str() {
        "never" => CancelOnDisconnect::Never,
        "on_loss" => CancelOnDisconnect::OnLoss,
        "on_loss_or_logout" => CancelOnDisconnect::OnLossOrLogout,
        other => {
            return Err(format!(
                "cancel_on_disconnect: {other:?} is not one of never, on_loss, on_loss_or_logout"
            ));
        }
    };
    // Only FIX has CompIDs.
    let comp_id = |field, id: &str| match protocol {
        SessionProtocol::Request if id.is_empty() => Ok(Text::EMPTY),
        SessionProtocol::Request | SessionProtocol::Fix => text(field, id),
    };
    let command = DefineSession {
        session,
        actor: ActorId(entry.actor),
        firm: FirmId(entry.firm),
        protocol,
        client_comp_id: comp_id("client_comp_id", &entry.client_comp_id)?,
        our_comp_id: comp_id("our_comp_id", &entry.our_comp_id)?,
        clients: entry.clients.iter().copied().map(ClientId).collect(),
        reset_on_logon: entry.reset_on_logon,
        heartbeat_s_min: entry.heartbeat_s_min,
        heartbeat_s_max: entry.heartbeat_s_max,
        strictness,
        cancel_on_disconnect,
        cancel_window_ms: entry.cancel_window_ms,
    };
    Ok(item(format!("session {session}"), command))
}

fn opening_balance(assets: &Assets, entry: &OpeningBalanceEntry) -> Result<Item, EntryFault> {
    let (number, code) = entry.amount.split_once(' ').ok_or_else(|| {
        format!("amount: {:?} is not a number and an asset, as \"100.00 TRY\"", entry.amount)
    })?;
    let asset = find("amount", assets, code)?;
    let row = TransferRow {
        debit_account: AccountId(u128::from(entry.from)),
        credit_account: AccountId(u128::from(entry.account)),
        amount: decimal("amount", number, asset.scale)?,
        ledger: asset.id,
        code: OPENING_CODE,
        ..TransferRow::default()
    };
    let label = format!("opening balance of account {}", row.credit_account);
    Ok(item(label, CreateTransfers { transfers: vec![row] }))
}

fn find(field: &str, assets: &Assets, code: &str) -> Result<Asset, EntryFault> {
    assets.get(code).copied().ok_or_else(|| format!("{field}: there is no asset {code:?}"))
}

fn text<const N: usize>(field: &str, value: &str) -> Result<Text<N>, EntryFault> {
    let graphic = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
    let fits =
        Text::new(value).map_err(|long| format!("{field}: {} bytes, {} allowed", long.found, long.max))?;
    if graphic { Ok(fits) } else { Err(format!("{field}: {value:?} is empty or not printable ASCII")) }
}

fn decimal(field: &str, number: &str, scale: u8) -> Result<Amount, EntryFault> {
    parse_decimal(number.as_bytes(), scale).map(Amount).map_err(|fault| decimal_fault(field, number, fault))
}

fn decimal_fault(field: &str, number: &str, fault: DecimalFault) -> EntryFault {
    match fault {
        DecimalFault::NotADecimal => format!("{field}: {number:?} is not a decimal number"),
        DecimalFault::TooFine => format!("{field}: {number:?} has more decimals than the asset"),
        DecimalFault::TooLarge => format!("{field}: {number:?} is too large"),
    }
}

/// How many times `unit` (a tick, a lot) goes into `number`, exactly.
fn units_of(field: &str, number: &str, unit: &str) -> Result<u64, EntryFault> {
    let scale = decimals(number).max(decimals(unit));
    let (number_units, unit_units) = (decimal(field, number, scale)?.0, decimal(field, unit, scale)?.0);
    match number_units.checked_rem(unit_units) {
        Some(0) => {
            u64::try_from(number_units / unit_units).map_err(|_| format!("{field}: {number:?} is too large"))
        }
        Some(_) => Err(format!("{field}: {number:?} is not a multiple of {unit:?}")),
        None => Err(format!("{field}: the unit is 0")),
    }
}

/// Minor units of quote that one lot costs at a price of one tick: tick × lot, exactly.
fn tick_quote_minor(
    tick: &str,
    lot_base_minor: Amount,
    base_scale: u8,
    quote_scale: u8,
) -> Result<Amount, EntryFault> {
    let too_large = || format!("tick: {tick:?} × lot is too large");
    let tick_scale = decimals(tick);
    let tick_units = decimal("tick", tick, tick_scale)?.0;
    let product = power_of_ten(quote_scale)
        .and_then(|p| p.checked_mul(tick_units)?.checked_mul(lot_base_minor.0))
        .ok_or_else(too_large)?;
    let divisor = power_of_ten(tick_scale.saturating_add(base_scale)).ok_or_else(too_large)?;
    if product % divisor != 0 || product == 0 {
        return Err(format!("tick: {tick:?} × lot is not a whole number of minor units of quote"));
    }
    Ok(Amount(product / divisor))
}

fn power_of_ten(exponent: u8) -> Option<u128> {
    10_u128.checked_pow(u32::from(exponent))
}

/// Decimals as they are written, without superfluous zeros; more than any asset has count as one too many.
fn decimals(number: &str) -> u8 {
    let written = number.split_once('.').map_or("", |(_, decimals)| decimals.trim_end_matches('0'));
    u8::try_from(written.len()).unwrap_or(u8::MAX).min(19)
}

/// What a demo begins with and has not got yet, as it is submitted now. Commands are executed in order, so the last opening balance
/// tells of all; what operators changed since stays as it is.
pub(crate) fn missing(demo: &[Item], engine: &Engine, now: UnixNanos) -> Vec<Command> {
    if demo.last().is_none_or(|last| last.is_opened(engine)) {
        return Vec::new();
    }
    // A start that was killed in between has applied a part.
    demo.iter().filter(|item| !item.is_opened(engine)).map(|item| item.command_at(now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Item>, String> {
        translate(Path::new("d.toml"), text, Assets::new()).map_err(|fault| fault.to_string())
    }

    fn demo_market(symbol: &str) -> DefineMarket {
        let markets = read(DEMO).unwrap().into_iter().filter_map(|item| {
            let Command::DefineMarket(market) = item.command else { return None };
            Some(market)
        });
        markets.into_iter().find(|market| market.symbol.as_bytes() == symbol.as_bytes()).unwrap()
    }

    #[test]
    fn the_demo_file_means_what_it_says() {
        let market = demo_market("BTC-TRY");
        // One satoshi is 10^-8 BTC; a lot of 0.00001 BTC at 1 TRY costs 0.00001 TRY, in millionths of a lira.
        assert_eq!((market.lot_base_minor, market.tick_quote_minor), (Amount(1_000), Amount(10)));
        let market = demo_market("USDT-TRY");
        assert_eq!((market.lot_base_minor, market.tick_quote_minor), (Amount(1_000_000), Amount(1_000)));
        let items = read(DEMO).unwrap();
        let sessions: Vec<_> = items
            .iter()
            .filter_map(|item| {
                if let Command::DefineSession(session) = &item.command { Some(session) } else { None }
            })
            .collect();
        let (ledger, sessions): (Vec<_>, Vec<_>) =
            sessions.into_iter().partition(|session| session.protocol == SessionProtocol::Request);
        assert_eq!((ledger.len(), sessions.len()), (1, 8));
        let key = items.iter().find_map(|item| {
            if let Command::SetActorKey(set) = &item.command {
                set.key.map(|key| (set.actor, key))
            } else {
                None
            }
        });
        let demo = client::Credentials::demo();
        assert_eq!((ledger[0].session, key), (demo.session, Some((ledger[0].actor, demo.key.public()))));
        for (n, session) in (1..).zip(sessions) {
            assert_eq!(session.client_comp_id.to_string(), format!("CLIENT{n}"));
            assert_eq!(session.our_comp_id.to_string(), "SICIL");
            assert_eq!(session.clients, [ClientId(n)]);
            assert!(session.reset_on_logon);
        }
    }

    #[test]
    fn ids_of_the_demo_are_unique() {
        let mut accounts: Vec<_> = read(DEMO)
            .unwrap()
            .iter()
            .filter_map(|item| {
                if let Command::CreateAccounts(batch) = &item.command {
                    Some(batch.accounts[0].id)
                } else {
                    None
                }
            })
            .collect();
        let all = accounts.len();
        accounts.sort_unstable();
        accounts.dedup();
        assert_eq!(accounts.len(), all);
    }

    /// The demonstration's file, with such a table behind its last market.
    fn with_table(table: &str) -> String {
        let (before, market) = DEMO.rsplit_once("[[market]]").unwrap();
        let (market, behind) = market.split_once("\n\n").unwrap();
        format!("{before}[[market]]{market}\n\n{table}\n\n{behind}")
    }

    fn with_schedule(line: &str) -> String {
        with_table(&format!("[market.schedule]\n{line}"))
    }

    /// The demonstration's first market alone, with such fees behind it.
    fn with_fees(lines: &str) -> String {
        let (before, _) = DEMO.split_once("[[market]]\nid = 2").unwrap();
        format!("{}\n[[market.fees]]\n{lines}", before.trim_end())
    }

    #[test]
    fn a_fault_names_its_line_and_field() {
        let assets = "[[asset]]\nid = 1\ncode = \"A\"\nscale = 2\n";
        let fees_at = format!("d.toml:{}:1:", with_fees("").lines().count());
        for (text, place, reason) in [
            (format!("{assets}colour = 1"), "d.toml:5:1:", "unknown field"),
            (
                format!("{assets}[[opening_balance]]\naccount=1\nfrom=2\namount=\"1.001 A\""),
                "d.toml:5:1:",
                "more decimals",
            ),
            (
                format!("{assets}[[opening_balance]]\naccount=1\nfrom=2\namount=\"1 B\""),
                "d.toml:5:1:",
                "no asset \"B\"",
            ),
            (format!("{assets}[[asset]]\nid = 2\ncode = \"A\"\nscale = 2\n"), "d.toml:5:1:", "another asset"),
            ("[[actor]]\nid = 1\nroles = [\"king\"]".to_owned(), "d.toml:1:1:", "roles"),
            (
                with_fees(
                    "group = 1\ntiers = [{ volume_min = \"0.0000001\", maker_ppm = 1, taker_ppm = 2 }]",
                ),
                &fees_at,
                "fees.volume_min",
            ),
            (with_fees("group = 1\ntiers = [{ maker_ppm = 1, taker_ppm = -2 }]"), "d.toml:", "-2"),
            (with_fees("[[market.fees]]"), &fees_at, "group 0 has two schedules from 0 on"),
            (
                with_fees("effective_seq = 5\n[[market.fees]]\neffective_seq = 5"),
                &fees_at,
                "group 0 has two schedules from 5 on",
            ),
            (with_fees("rebate_ppm = 5"), "d.toml:", "unknown field `rebate_ppm`"),
            ("[[client]]\nid = 1\nfees = 2".to_owned(), "d.toml:3:1:", "unknown field"),
            (with_schedule("utc_offset = \"3h\""), "d.toml:", "schedule.utc_offset"),
            (with_schedule("holidays = [\"2026-02-30\"]"), "d.toml:", "schedule.holidays"),
            (with_schedule("short_days = [\"soon\"]"), "d.toml:", "schedule.short_days"),
            (
                with_schedule("phases = [{days=[\"monday\"],at=\"09:00\",phase=\"halt\"}]"),
                "d.toml:",
                "schedule.days",
            ),
            (
                with_schedule("phases = [{days=[\"mon\"],at=\"9:00\",phase=\"halt\"}]"),
                "d.toml:",
                "schedule.at",
            ),
            (
                with_schedule("phases = [{days=[\"mon\"],at=\"09:00\",phase=\"open\"}]"),
                "d.toml:",
                "schedule.phase",
            ),
        ] {
            let said = read(&text).unwrap_err();
            assert!(said.starts_with(place) && said.contains(reason), "{text}: {said}");
        }
    }

    #[test]
    fn prices_and_quantities_are_whole_units() {
        assert_eq!(units_of("price_min", "12.50", "0.25"), Ok(50));
        assert_eq!(units_of("price_min", "1000", "0.001"), Ok(1_000_000));
        assert!(units_of("price_min", "12.51", "0.25").is_err());
        assert!(units_of("price_min", "12", "0").is_err());
        assert_eq!(tick_quote_minor("0.01", Amount(100), 2, 2), Ok(Amount(1)));
        assert!(tick_quote_minor("0.01", Amount(10), 2, 2).is_err(), "a tenth of a minor unit");
        assert_eq!(tick_quote_minor("0.000001", Amount(10_u128.pow(15)), 18, 18), Ok(Amount(1_000_000_000)));
    }
}
