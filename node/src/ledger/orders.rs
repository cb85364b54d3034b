//! Currency exchange and standing orders from the command line.

use clap::Args;
use client::TransferIds;
use protocol::binary::{AttemptState, ExchangeState, QuoteState, StandingOrderState};
use protocol::commands::{CancelStandingOrder, DefineStandingOrder, ExchangeCurrency, QuoteExchange};
use protocol::{
    AccountId, Amount, AssetId, ClientId, DayRule, LedgerRefusal, QuoteId, Schedule, Seq, StandingOrderId,
    Text, TransferId, UnixNanos,
};
use serde::Serialize;

use super::access::Access;
use super::all_found;
use super::proposals::{Order, execute};
use super::settings::{date, one_of};
use crate::fault::NodeFault;
use crate::{folder, instant};

/// Quotes or orders that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

#[derive(Args)]
pub(crate) struct QuoteArgs {
    #[command(flatten)]
    order: Order,
    /// Its id.
    #[arg(long, value_name = "QUOTE")]
    id: u128,
    /// For this client alone.
    #[arg(long, value_name = "CLIENT", default_value_t = 0)]
    client: u64,
    /// Id of the asset that clients sell.
    #[arg(long, value_name = "ASSET")]
    sell_ledger: u32,
    /// Id of the asset that clients buy.
    #[arg(long, value_name = "ASSET")]
    buy_ledger: u32,
    /// Minor units that a minor unit sold buys, such as 0.0243.
    #[arg(long)]
    rate: String,
    /// Receives what is sold.
    #[arg(long, value_name = "ACCOUNT")]
    sell_liquidity: u128,
    /// Pays what is bought.
    #[arg(long, value_name = "ACCOUNT")]
    buy_liquidity: u128,
    /// Receives what rounding leaves.
    #[arg(long, value_name = "ACCOUNT")]
    rounding: u128,
    /// What may be sold on it, all together.
    #[arg(long, value_name = "UNITS")]
    sell_amount_max: u128,
    /// When it ends, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    valid_until: String,
    /// Where the rate is from.
    #[arg(long)]
    source: String,
}

#[derive(Args)]
pub(crate) struct ExchangeArgs {
    #[command(flatten)]
    access: Access,
    /// The quote.
    #[arg(long, value_name = "QUOTE")]
    quote: u128,
    /// Pays.
    #[arg(long, value_name = "ACCOUNT")]
    sell_account: u128,
    /// Is paid.
    #[arg(long, value_name = "ACCOUNT")]
    buy_account: u128,
    /// How much is sold, in minor units.
    #[arg(long, value_name = "UNITS")]
    amount: u128,
    /// Less than this bought is refused.
    #[arg(long, value_name = "UNITS", default_value_t = 0)]
    buy_min: u128,
    /// Code of its transfers.
    #[arg(long, default_value_t = 1)]
    code: u16,
    /// Ids of its three transfers, if they were chosen before: sold, bought, rounding.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', num_args = 1)]
    ids: Vec<u128>,
}

#[derive(Args)]
pub(crate) struct StandingOrderArgs {
    #[command(flatten)]
    access: Access,
    /// Its id.
    #[arg(long, value_name = "ORDER")]
    id: u64,
    /// Pays.
    #[arg(long, value_name = "ACCOUNT")]
    debit: u128,
    /// Is paid.
    #[arg(long, value_name = "ACCOUNT")]
    credit: u128,
    /// How much, in minor units.
    #[arg(long, value_name = "UNITS")]
    amount: u128,
    /// Id of the asset.
    #[arg(long, value_name = "ASSET")]
    ledger: u32,
    /// Code of its transfers.
    #[arg(long, default_value_t = 1)]
    code: u16,
    /// once, daily, weekly, monthly or monthend.
    #[arg(long)]
    schedule: String,
    /// Its first date.
    #[arg(long, value_name = "DATE")]
    first_date: String,
    /// No date is later.
    #[arg(long, value_name = "DATE")]
    last_date: Option<String>,
    /// Local time of the day, such as 09:30.
    #[arg(long, value_name = "HH:MM", default_value = "00:00")]
    at: String,
    /// On a day that is no business day: execute, next, previous or skip.
    #[arg(long, default_value = "execute")]
    day_rule: String,
    /// On how many further days what is refused is attempted again.
    #[arg(long, default_value_t = 0)]
    retry_days: u8,
    /// Of its transfers: free for the client.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    user_data_128: u128,
}

#[derive(Args)]
pub(crate) struct AttemptsArgs {
    #[command(flatten)]
    access: Access,
    /// The order, whether it still stands or not.
    #[arg(value_name = "ORDER")]
    order: u64,
    /// From this seq on.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from_seq: u64,
    /// At most so many.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

/// Offers a rate.
pub(super) fn quote(args: &QuoteArgs) -> Result<(), NodeFault> {
    let (rate_mantissa, rate_scale) = rate(&args.rate)?;
    let valid_until = instant::of_option("--valid-until", &args.valid_until)?;
    let source = Text::new(&args.source)
        .map_err(|fault| NodeFault::Usage(format!("--source has more than {} bytes", fault.max)))?;
    let command = QuoteExchange {
        quote: QuoteId(args.id),
        client: ClientId(args.client),
        sell_ledger: AssetId(args.sell_ledger),
        buy_ledger: AssetId(args.buy_ledger),
        rate_mantissa,
        rate_scale,
        sell_liquidity: AccountId(args.sell_liquidity),
        buy_liquidity: AccountId(args.buy_liquidity),
        rounding: AccountId(args.rounding),
        sell_amount_max: Amount(args.sell_amount_max),
        valid_until_ns: valid_until.0,
        source,
    };
    args.order.give(&mut args.order.access.client()?, command)
}

/// Shows quotes.
pub(super) fn quotes(access: &Access) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some(QuoteId(0)));
    while let Some(first) = from {
        let page = client.quotes(first, PAGE_ROWS, access.freshness())?;
        lines.extend(page.quotes.iter().map(QuoteLine::of));
        from = page.next;
    }
    access.show(&lines, QuoteLine::HEAD)
}

/// Exchanges on a quote.
pub(super) fn exchange(args: &ExchangeArgs) -> Result<(), NodeFault> {
    let mut client = args.access.client()?;
    let mut made = TransferIds::new(u64::from_le_bytes(folder::random()?));
    let [sell_transfer, buy_transfer, rounding_transfer] = match args.ids[..] {
        [] => [(); 3].map(|()| made.next(client.now())),
        [sold, bought, rounding] => [sold, bought, rounding].map(TransferId),
        _ => return Err(NodeFault::Usage("--ids are three".to_owned())),
    };
    let command = ExchangeCurrency {
        quote: QuoteId(args.quote),
        sell_account: AccountId(args.sell_account),
        buy_account: AccountId(args.buy_account),
        sell_amount: Amount(args.amount),
        buy_amount_min: Amount(args.buy_min),
        sell_transfer,
        buy_transfer,
        rounding_transfer,
        code: args.code,
    };
    let done = execute(&args.access, &mut client, command);
    if let Err(NodeFault::Ledger(fault)) = done {
        let ids = format!("{sell_transfer},{buy_transfer},{rounding_transfer}");
        return Err(NodeFault::Exchange { ids, fault });
    }
    done
}

/// Shows the exchanges that transfers belong to.
pub(super) fn exchanges(access: &Access, transfers: &[u128]) -> Result<(), NodeFault> {
    let ids: Vec<TransferId> = transfers.iter().copied().map(TransferId).collect();
    let (_, found) = access.client()?.lookup_exchanges(&ids, access.freshness())?;
    access.show(&found.iter().map(ExchangeLine::of).collect::<Vec<_>>(), ExchangeLine::HEAD)?;
    all_found(ids.len() - found.len(), ids.len())
}

/// Has a transfer execute itself.
pub(super) fn define(args: &StandingOrderArgs) -> Result<(), NodeFault> {
    let command = DefineStandingOrder {
        order: StandingOrderId(args.id),
        debit_account: AccountId(args.debit),
        credit_account: AccountId(args.credit),
        amount: Amount(args.amount),
        ledger: AssetId(args.ledger),
        code: args.code,
        schedule: one_of("--schedule", &args.schedule, Schedule::ALL, Schedule::name)?,
        first_date: date("--first-date", &args.first_date)?,
        last_date: args.last_date.as_deref().map_or(Ok(0), |text| date("--last-date", text))?,
        time_of_day_s: time_of_day(&args.at)?,
        day_rule: one_of("--day-rule", &args.day_rule, DayRule::ALL, DayRule::name)?,
        retry_days: args.retry_days,
        user_data_128: args.user_data_128,
    };
    execute(&args.access, &mut args.access.client()?, command)
}

/// Ends a standing order.
pub(super) fn cancel(access: &Access, order: u64) -> Result<(), NodeFault> {
    execute(access, &mut access.client()?, CancelStandingOrder { order: StandingOrderId(order) })
}

/// Shows standing orders.
pub(super) fn list(access: &Access) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some(StandingOrderId(0)));
    while let Some(first) = from {
        let page = client.standing_orders(first, PAGE_ROWS, access.freshness())?;
        lines.extend(page.orders.iter().map(OrderLine::of));
        from = page.next;
    }
    access.show(&lines, OrderLine::HEAD)
}

/// Shows what came of a standing order.
pub(super) fn attempts(args: &AttemptsArgs) -> Result<(), NodeFault> {
    let (access, order) = (&args.access, StandingOrderId(args.order));
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some((Seq(args.from_seq), 0)));
    while let Some(place) = from.filter(|_| lines.len() < args.limit) {
        let page = client.standing_order_attempts(order, place, PAGE_ROWS, access.freshness())?;
        lines.extend(page.attempts.iter().map(AttemptLine::of));
        from = page.next;
    }
    lines.truncate(args.limit);
    access.show(&lines, AttemptLine::HEAD)
}

/// A decimal as mantissa and scale.
fn rate(text: &str) -> Result<(u64, u8), NodeFault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let is_number = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = digits.parse().ok().filter(|_| is_number);
    let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= 18);
    mantissa.zip(scale).ok_or_else(|| NodeFault::Usage(format!("--rate {text:?} is no rate such as 0.0243")))
}

/// Seconds behind midnight.
fn time_of_day(text: &str) -> Result<u32, NodeFault> {
    let read = || {
        let (hours, minutes) = text.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)
    };
    read().ok_or_else(|| NodeFault::Usage(format!("--at {text:?} is no time of the day such as 09:30")))
}

/// Mantissa and scale as a decimal.
fn decimal(mantissa: u64, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{mantissa:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[derive(Serialize)]
struct ExchangeLine {
    seq: u64,
    time: String,
    quote: String,
    rate: String,
    source: String,
    sell_account: String,
    sell_amount: String,
    buy_account: String,
    buy_amount: String,
    rounding_account: String,
    rounding_amount: String,
}

impl ExchangeLine {
    const HEAD: &[&str] = &[
        "seq",
        "time",
        "quote",
        "rate",
        "source",
        "sell_account",
        "sell_amount",
        "buy_account",
        "buy_amount",
        "rounding_account",
        "rounding_amount",
    ];

    fn of(state: &ExchangeState) -> Self {
        Self {
            seq: state.seq.0,
            time: instant::write(state.time),
            quote: state.quote.to_string(),
            rate: decimal(state.rate_mantissa, state.rate_scale),
            source: state.source.to_string(),
            sell_account: state.sell_account.to_string(),
            sell_amount: state.sell_amount.0.to_string(),
            buy_account: state.buy_account.to_string(),
            buy_amount: state.buy_amount.0.to_string(),
            rounding_account: state.rounding_account.to_string(),
            rounding_amount: state.rounding_amount.0.to_string(),
        }
    }
}

#[derive(Serialize)]
struct QuoteLine {
    quote: String,
    client: u64,
    sell_ledger: u32,
    buy_ledger: u32,
    rate: String,
    sell_amount_max: String,
    left: String,
    valid_until: String,
    source: String,
}

impl QuoteLine {
    const HEAD: &[&str] = &[
        "quote",
        "client",
        "sell_ledger",
        "buy_ledger",
        "rate",
        "sell_amount_max",
        "left",
        "valid_until",
        "source",
    ];

    fn of(state: &QuoteState) -> Self {
        Self {
            quote: state.quote.to_string(),
            client: state.client.0,
            sell_ledger: state.sell_ledger.0,
            buy_ledger: state.buy_ledger.0,
            rate: decimal(state.rate_mantissa, state.rate_scale),
            sell_amount_max: state.sell_amount_max.0.to_string(),
            left: state.left.0.to_string(),
            valid_until: instant::write(UnixNanos(state.valid_until_ns)),
            source: state.source.to_string(),
        }
    }
}

#[derive(Serialize)]
struct OrderLine {
    order: u64,
    debit_account: String,
    credit_account: String,
    amount: String,
    ledger: u32,
    code: u16,
    schedule: &'static str,
    day_rule: &'static str,
    retry_days: u8,
    last_date: String,
    next_due: String,
}

impl OrderLine {
    const HEAD: &[&str] = &[
        "order",
        "debit_account",
        "credit_account",
        "amount",
        "ledger",
        "code",
        "schedule",
        "day_rule",
        "retry_days",
        "last_date",
        "next_due",
    ];

    fn of(state: &StandingOrderState) -> Self {
        let last = state.last_date;
        Self {
            order: state.order.0,
            debit_account: state.debit_account.to_string(),
            credit_account: state.credit_account.to_string(),
            amount: state.amount.0.to_string(),
            ledger: state.ledger.0,
            code: state.code,
            schedule: state.schedule.name(),
            day_rule: state.day_rule.name(),
            retry_days: state.retry_days,
            last_date: if last == 0 { String::new() } else { instant::write_date(last) },
            next_due: instant::write(state.next_due),
        }
    }
}

#[derive(Serialize)]
struct AttemptLine {
    seq: u64,
    time: String,
    date: String,
    attempt: u8,
    result: &'static str,
    transfer: String,
    retried: bool,
    next_due: String,
}

impl AttemptLine {
    const HEAD: &[&str] = &["seq", "time", "date", "attempt", "result", "transfer", "retried", "next_due"];

    fn of(state: &AttemptState) -> Self {
        let due = state.next_due;
        Self {
            seq: state.seq.0,
            time: instant::write(state.time),
            date: instant::write_date(state.occurrence),
            attempt: state.attempt,
            result: state.refusal.map_or("Executed", LedgerRefusal::name),
            transfer: if state.transfer.0 == 0 { String::new() } else { state.transfer.to_string() },
            retried: state.retried,
            next_due: if due.0 == 0 { String::new() } else { instant::write(due) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_or_refused() {
        assert_eq!(
            (rate("0.0243").unwrap(), rate("34").unwrap(), rate("1.50").unwrap()),
            ((243, 4), (34, 0), (150, 2))
        );
        assert_eq!((time_of_day("00:00").unwrap(), time_of_day("23:59").unwrap()), (0, 86_340));
        for text in ["", ".5", "-1", "1,5", "1.2.3", "1e5", "18446744073709551616", "0.0000000000000000001"] {
            assert!(matches!(rate(text), Err(NodeFault::Usage(_))), "{text}");
        }
        for text in ["", "9:30", "24:00", "12:60", "12", "12:3o", "12:30:00"] {
            assert!(matches!(time_of_day(text), Err(NodeFault::Usage(_))), "{text}");
        }
    }
}
