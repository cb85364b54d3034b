//! The demo's tables.

use hdrhistogram::Histogram;
use protocol::money::format_decimal;
use serde_json::Value;

use super::child::replay;
use super::trader::Record;
use super::{CLIENTS, DemoFault, title};

/// Levels of each side of a book that are shown.
const LEVELS_SHOWN: usize = 3;

/// The state at `seq`, by re-running the engine over the journal's files.
pub(super) fn replayed_state(folder: &str, seq: u64) -> Result<Value, DemoFault> {
    let audited = replay(&["state", folder, "--at", &seq.to_string(), "--json"])?;
    if !audited.status.success() {
        let text = format!("sicil replay state: {}\n{}{}", audited.status, audited.out, audited.err);
        return Err(DemoFault::Check(text));
    }
    serde_json::from_str(&audited.out)
        .map_err(|error| DemoFault::Node(format!("sicil replay state: {error}")))
}

/// What the clients measured, from the moment at which a request was meant to leave to its first report.
pub(super) fn latencies(records: &[Record], full_per_s: u64) {
    title(format!(
        "Latency and throughput, as the clients measured them; {full_per_s} requests/s at full speed"
    ));
    println!(
        "{:<24} {:>9} {:>8} {:>8} {:>8} {:>9}",
        "", "requests", "p50 us", "p99 us", "p99.9 us", "max us"
    );
    for (play, name) in ["calm", "full speed", "calm, after the kill"].into_iter().enumerate() {
        let parts: Vec<&Histogram<u64>> =
            records.iter().filter_map(|record| record.latencies.get(play)).collect();
        let Some((first, rest)) = parts.split_first() else { continue };
        let mut all = (*first).clone();
        // Made alike, so that adding cannot fail.
        let added = rest.iter().try_for_each(|part| all.add(*part));
        if added.is_ok() {
            let at = |quantile| all.value_at_quantile(quantile);
            println!(
                "{name:<24} {:>9} {:>8} {:>8} {:>8} {:>9}",
                all.len(),
                at(0.5),
                at(0.99),
                at(0.999),
                all.max()
            );
        }
    }
    let sum = |of: fn(&Record) -> u64| records.iter().map(of).sum::<u64>();
    println!("{} fills reported, {} orders refused", sum(|r| r.fills), sum(|r| r.refused));
}

/// What the node measured inside.
pub(super) fn stages(status: &Value) {
    let Some(stages) = status.pointer("/report/latency").and_then(Value::as_array) else { return };
    for stage in stages {
        let number = |key: &str| stage.get(key).and_then(Value::as_u64).unwrap_or(0);
        let name = stage.get("stage").and_then(Value::as_str).unwrap_or_default();
        println!(
            "{:<24} {:>9} {:>8} {:>8} {:>8}",
            format!("inside: {name}"),
            number("count"),
            number("p50_us"),
            number("p99_us"),
            number("p999_us")
        );
    }
}

/// Books and balances.
pub(super) fn state(state: &Value) {
    title(format!("Books and balances at seq {}", whole(state, "seq")));
    let assets = Assets::of(state);
    for market in rows(state, "markets") {
        book(market, &assets);
    }
    println!("{:<10}{}", "", assets.0.iter().map(|asset| format!("{:>28}", asset.code)).collect::<String>());
    for client in 1..=CLIENTS {
        let owner = u128::try_from(client).unwrap_or(0);
        let cells = assets.0.iter().map(|asset| {
            let balance = sum(state, asset.id, |account| whole(account, "client") == owner);
            format!("{:>28}", format_decimal(balance.unsigned_abs(), asset.scale))
        });
        println!("{:<10}{}", format!("CLIENT{client}"), cells.collect::<String>());
    }
    let cells = assets.0.iter().map(|asset| {
        let fees =
            sum(state, asset.id, |account| account.get("class").and_then(Value::as_str) == Some("Fee"));
        format!("{:>28}", format_decimal(fees.unsigned_abs(), asset.scale))
    });
    println!("{:<10}{}", "fees", cells.collect::<String>());
}

/// The first asset whose debits and credits are not the same over all accounts, the outside world's among them.
pub(super) fn unbalanced(state: &Value) -> Option<String> {
    let assets = Assets::of(state);
    let first = assets.0.iter().find(|asset| sum(state, asset.id, |_| true) != 0);
    first.map(|asset| asset.code.clone())
}

struct Asset {
    id: u128,
    code: String,
    scale: u8,
}

struct Assets(Vec<Asset>);

impl Assets {
    fn of(state: &Value) -> Self {
        let asset = |row: &Value| Asset {
            id: whole(row, "asset"),
            code: row.get("code").and_then(Value::as_str).unwrap_or_default().to_owned(),
            scale: u8::try_from(whole(row, "scale")).unwrap_or(0),
        };
        Self(rows(state, "assets").map(asset).collect())
    }

    fn scale(&self, id: u128) -> u8 {
        self.0.iter().find(|asset| asset.id == id).map_or(0, |asset| asset.scale)
    }
}

/// The best levels of both sides, prices and quantities as people write them.
fn book(market: &Value, assets: &Assets) {
    let Some(definition) = market.get("definition") else { return };
    let (base, quote) = (assets.scale(whole(definition, "base")), assets.scale(whole(definition, "quote")));
    let lot = whole(definition, "lot_base_minor").max(1);
    let symbol = market.get("symbol").and_then(Value::as_str).unwrap_or_default();
    println!("{symbol}: {} orders", whole(market, "orders"));
    let cells = |level: Option<&Value>| {
        let Some(level) = level else { return (String::new(), String::new()) };
        let qty = whole(level, "lots").saturating_mul(lot);
        // A tick is what a lot costs; a price is what one whole unit of base costs.
        let one = 10_u128.saturating_pow(u32::from(base));
        let price = whole(level, "price_ticks")
            .saturating_mul(whole(definition, "tick_quote_minor"))
            .saturating_mul(one)
            / lot;
        (format_decimal(qty, base), format_decimal(price, quote))
    };
    let (mut bids, mut asks) = (rows(market, "bids"), rows(market, "asks"));
    for _ in 0..LEVELS_SHOWN {
        let ((bid_qty, bid), (ask_qty, ask)) = (cells(bids.next()), cells(asks.next()));
        println!("{bid_qty:>14} at {bid:>10}  |  {ask:<10} for {ask_qty}");
    }
}

/// Sum of the balances in an asset, of the accounts that `pick` is after.
fn sum(state: &Value, asset: u128, pick: impl Fn(&Value) -> bool) -> i128 {
    let accounts = rows(state, "accounts").filter(|row| whole(row, "asset") == asset && pick(row));
    let side = |row, key| i128::try_from(whole(row, key)).unwrap_or(i128::MAX);
    accounts.map(|row| side(row, "credits").saturating_sub(side(row, "debits"))).sum()
}

fn rows<'v>(state: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    state.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A whole number, which is a text where it is too large for every reader of JSON.
fn whole(row: &Value, key: &str) -> u128 {
    match row.get(key) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(value) => value.as_u64().map_or(0, u128::from),
        None => 0,
    }
}
