//! The messages of market data as JSON: fields under the names that they have in the protocol. What JavaScript would round, which is
//! integers of 64 bits and more, stands in quotes.

use std::fmt::Write;

use protocol::binary::market::{
    GetAggregateTrades, GetCandles, GetMarkets, GetStatus, GetTickers, GetTrades, MarketMessage, Subscribe,
    Unsubscribe,
};
use protocol::binary::{
    CandleInterval, FRAMING_BYTES, Fields, Fixed, HEADERS_BYTES, MarketChannel, MarketRejectReason,
    MessageLayout, OrderChangeKind, SubscriptionEnd, TailLayout, TerminationCode, TickerWindow, TradeStatus,
};
use protocol::limits::MARKET_DATA_ROWS_MAX;
use protocol::{MarketId, MarketPhase, PhaseCause, ReferencePrice, Seq, Side, TradeId, UnixNanos};
use serde::Deserialize;
use views::market::{Interval, Window};

/// A message of market data as one line; empty for what is none.
pub(crate) fn render(message: &[u8]) -> String {
    let mut line = String::with_capacity(message.len() * 4);
    write(message, &mut line).unwrap_or_default();
    line
}

/// The same of a message that is not written yet.
pub(crate) fn message(message: &MarketMessage<'_>) -> String {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    render(&bytes)
}

/// A row of a message as one line.
pub(crate) fn row<R: Fixed>(row: &R) -> String {
    let (mut bytes, mut line) = (Vec::new(), String::new());
    row.put(&mut bytes);
    write_row(R::FIELDS, &mut &bytes[..], &mut line).unwrap_or_default();
    line
}

fn write(message: &[u8], line: &mut String) -> Option<()> {
    let template = u16::from_le_bytes(*message.get(FRAMING_BYTES + 2..)?.first_chunk()?);
    let layout: &MessageLayout = MarketMessage::LAYOUTS.iter().find(|layout| layout.template == template)?;
    let mut rest = message.get(HEADERS_BYTES..)?;
    line.push_str("{\"type\":\"");
    line.push_str(layout.name);
    line.push('"');
    for field in layout.fields {
        line.push(',');
        write_field(field, &mut rest, line)?;
    }
    for (name, tail) in layout.tails {
        write!(line, ",\"{name}\":").ok()?;
        match tail {
            TailLayout::Group { fields, .. } => write_rows(fields, &mut rest, line)?,
            TailLayout::Text | TailLayout::Enclosed => {
                let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
                let (text, behind) = rest.split_at_checked(length)?;
                rest = behind;
                line.push_str(&serde_json::to_string(std::str::from_utf8(text).ok()?).ok()?);
            }
        }
    }
    line.push('}');
    Some(())
}

fn write_rows(fields: Fields, rest: &mut &[u8], line: &mut String) -> Option<()> {
    let _row_bytes: [u8; 2] = take(rest)?;
    let count = u16::from_le_bytes(take(rest)?);
    line.push('[');
    for row in 0..count {
        if row > 0 {
            line.push(',');
        }
        write_row(fields, rest, line)?;
    }
    line.push(']');
    Some(())
}

fn write_row(fields: Fields, rest: &mut &[u8], line: &mut String) -> Option<()> {
    line.push('{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        write_field(field, rest, line)?;
    }
    line.push('}');
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*bytes)
}

fn write_field(
    (name, kind, bytes): &(&'static str, &'static str, usize),
    rest: &mut &[u8],
    line: &mut String,
) -> Option<()> {
    write!(line, "\"{name}\":").ok()?;
    match *kind {
        "u8" => write!(line, "{}", u8::from_le_bytes(take(rest)?)).ok()?,
        "u16" => write!(line, "{}", u16::from_le_bytes(take(rest)?)).ok()?,
        "u32" => write!(line, "{}", u32::from_le_bytes(take(rest)?)).ok()?,
        "u64" | "nanos" => write!(line, "\"{}\"", u64::from_le_bytes(take(rest)?)).ok()?,
        "u128" => write!(line, "\"{}\"", u128::from_le_bytes(take(rest)?)).ok()?,
        "Flag" => line.push_str(if take(rest)? == [0] { "false" } else { "true" }),
        text if text.starts_with("text") => {
            let (text, behind) = rest.split_at_checked(*bytes)?;
            *rest = behind;
            let text = std::str::from_utf8(text).ok()?.trim_end_matches('\0');
            line.push_str(&serde_json::to_string(text).ok()?);
        }
        list => {
            let [code] = take(rest)?;
            write!(line, "\"{}\"", name_of(list, code)?).ok()?;
        }
    }
    Some(())
}

/// What a code is called.
fn name_of(list: &str, code: u8) -> Option<&'static str> {
    match list {
        "Side" => Side::from_code(code).map(Side::name),
        "MarketChannel" => MarketChannel::from_code(code).map(channel_name),
        "OrderChangeKind" => OrderChangeKind::from_code(code).map(OrderChangeKind::name),
        "MarketRejectReason" => MarketRejectReason::from_code(code).map(MarketRejectReason::name),
        "SubscriptionEnd" => SubscriptionEnd::from_code(code).map(SubscriptionEnd::name),
        "TerminationCode" => TerminationCode::from_code(code).map(TerminationCode::name),
        "TickerWindow" => TickerWindow::from_code(code).map(|window| Window::from_wire(window).name()),
        "TradeStatus" => TradeStatus::from_code(code).map(TradeStatus::name),
        "MarketPhase" => MarketPhase::from_code(code).map(MarketPhase::name),
        "ReferencePrice" => ReferencePrice::from_code(code).map(ReferencePrice::name),
        // Of a list in which one may be absent.
        "PhaseCause" if code == 0 => Some("None"),
        "PhaseCause" => PhaseCause::from_code(code).map(PhaseCause::name),
        "CandleInterval" => {
            CandleInterval::from_code(code).map(|interval| Interval::from_wire(interval).name())
        }
        _ => None,
    }
}

pub(crate) const fn channel_name(channel: MarketChannel) -> &'static str {
    match channel {
        MarketChannel::Top => "top",
        MarketChannel::Depth5 => "depth5",
        MarketChannel::Depth10 => "depth10",
        MarketChannel::Depth20 => "depth20",
        MarketChannel::Levels => "levels",
        MarketChannel::Orders => "orders",
        MarketChannel::Trades => "trades",
        MarketChannel::AggregateTrades => "aggregate_trades",
        MarketChannel::Ticker => "ticker",
        MarketChannel::Candles => "candles",
        MarketChannel::Status => "status",
    }
}

/// A number, in quotes or not.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Bare(u64),
    #[serde(borrow)]
    Quoted(&'a str),
}

impl Number<'_> {
    fn value(self, field: &str) -> Result<u64, String> {
        match self {
            Self::Bare(value) => Ok(value),
            Self::Quoted(text) => text.parse().map_err(|_| format!("{field} is no number")),
        }
    }
}

fn value(number: Option<Number<'_>>, field: &str) -> Result<u64, String> {
    number.map_or(Ok(0), |number| number.value(field))
}

/// What readers ask for.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Asked<'a> {
    Subscribe {
        number: u32,
        #[serde(default)]
        market: u32,
        channel: &'a str,
        window: Option<&'a str>,
        interval: Option<&'a str>,
        since: Option<Number<'a>>,
    },
    Unsubscribe {
        number: u32,
    },
    GetCandles {
        number: u32,
        market: u32,
        interval: &'a str,
        #[serde(default)]
        utc_offset_s: u32,
        #[serde(default)]
        behind_utc: bool,
        from: Option<Number<'a>>,
        to: Option<Number<'a>>,
    },
    GetTrades {
        number: u32,
        market: u32,
        from_trade: Option<Number<'a>>,
        from_time: Option<Number<'a>>,
        limit: Option<u32>,
    },
    GetAggregateTrades {
        number: u32,
        market: u32,
        from_trade: Option<Number<'a>>,
        from_time: Option<Number<'a>>,
        limit: Option<u32>,
    },
    GetTickers {
        number: u32,
        window: &'a str,
        #[serde(default)]
        market: u32,
    },
    GetMarkets {
        number: u32,
    },
    GetStatus {
        number: u32,
        #[serde(default)]
        market: u32,
    },
}

/// Reads a request.
///
/// # Errors
/// Why it is none.
pub(super) fn request(text: &str) -> Result<MarketMessage<'static>, String> {
    let asked: Asked<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(match asked {
        Asked::Subscribe { number, market, channel, window, interval, since } => Subscribe {
            number,
            market: MarketId(market),
            channel: channel_of(channel)?,
            window: window.map(window_of).transpose()?,
            interval: interval.map(interval_of).transpose()?,
            since: Seq(value(since, "since")?),
        }
        .into(),
        Asked::Unsubscribe { number } => Unsubscribe { number }.into(),
        Asked::GetCandles { number, market, interval, utc_offset_s, behind_utc, from, to } => GetCandles {
            number,
            market: MarketId(market),
            interval: interval_of(interval)?,
            utc_offset_s,
            behind_utc,
            from: UnixNanos(value(from, "from")?),
            to: UnixNanos(to.map_or(Ok(u64::MAX), |to| to.value("to"))?),
        }
        .into(),
        Asked::GetTrades { number, market, from_trade, from_time, limit } => GetTrades {
            number,
            market: MarketId(market),
            from_trade: TradeId(value(from_trade, "from_trade")?),
            from_time: UnixNanos(value(from_time, "from_time")?),
            limit: limit.or(u32::try_from(MARKET_DATA_ROWS_MAX).ok()).unwrap_or(0),
        }
        .into(),
        Asked::GetAggregateTrades { number, market, from_trade, from_time, limit } => GetAggregateTrades {
            number,
            market: MarketId(market),
            from_trade: TradeId(value(from_trade, "from_trade")?),
            from_time: UnixNanos(value(from_time, "from_time")?),
            limit: limit.or(u32::try_from(MARKET_DATA_ROWS_MAX).ok()).unwrap_or(0),
        }
        .into(),
        Asked::GetTickers { number, window, market } => {
            GetTickers { number, window: window_of(window)?, market: MarketId(market) }.into()
        }
        Asked::GetMarkets { number } => GetMarkets { number }.into(),
        Asked::GetStatus { number, market } => GetStatus { number, market: MarketId(market) }.into(),
    })
}

/// The channel of this name.
///
/// # Errors
/// For people.
pub(crate) fn channel_of(name: &str) -> Result<MarketChannel, String> {
    let found = MarketChannel::ALL.iter().find(|channel| channel_name(**channel) == name);
    found.copied().ok_or_else(|| format!("{name:?} is no channel"))
}

/// The window of this name.
///
/// # Errors
/// For people.
pub(crate) fn window_of(name: &str) -> Result<TickerWindow, String> {
    let found = Window::ALL.into_iter().find(|window| window.name() == name);
    found.map(Window::on_the_wire).ok_or_else(|| format!("{name:?} is no window: 5m, 1h, 4h or 1d"))
}

/// The interval of this name.
///
/// # Errors
/// For people.
pub(crate) fn interval_of(name: &str) -> Result<CandleInterval, String> {
    let found = Interval::from_name(name).map(Interval::on_the_wire);
    found.ok_or_else(|| format!("{name:?} is no interval, such as 1m, 4h or 1M"))
}

#[cfg(test)]
mod tests {
    use protocol::PriceTicks;
    use protocol::binary::market::{DepthPacket, Level, MarketReject, MarketsPage};
    use protocol::binary::{Rows, Words};

    use super::*;

    fn written(message: impl Into<MarketMessage<'static>>) -> String {
        let mut bytes = Vec::new();
        message.into().write(&mut bytes);
        render(&bytes)
    }

    #[test]
    fn messages_have_the_fields_of_the_protocol() {
        let (side, price_ticks) = (Side::Sell, PriceTicks(u64::MAX));
        let mut level = Vec::new();
        Level { side, price_ticks, lots: 1 << 70, orders: 2 }.put(&mut level);
        let level: &'static [u8] = level.leak();
        let packet = DepthPacket {
            number: 7,
            market: MarketId(1),
            seq: Seq(9),
            time: UnixNanos(8),
            changed: Seq(5),
            book_checksum: 4,
            levels: Rows::new(level).unwrap(),
        };
        assert_eq!(
            written(packet),
            r#"{"type":"DepthPacket","number":7,"market":1,"seq":"9","time":"8","changed":"5","book_checksum":4,"levels":[{"side":"Sell","price_ticks":"18446744073709551615","lots":"1180591620717411303424","orders":2}]}"#
        );
        let reject = MarketReject {
            number: 0,
            ref_template_id: 0,
            reason: MarketRejectReason::Malformed,
            text: Words::new("\"x\""),
        };
        assert_eq!(
            written(reject),
            r#"{"type":"MarketReject","number":0,"ref_template_id":0,"reason":"Malformed","text":"\"x\""}"#
        );
    }

    /// Each of a list with codes has to be known here by name.
    #[test]
    fn whatever_can_be_sent_is_json() {
        for layout in MarketMessage::LAYOUTS {
            let fields = layout.fields.iter().map(|(_, kind, bytes)| (*kind, *bytes));
            let rows = layout.tails.iter().flat_map(|(_, tail)| match tail {
                TailLayout::Group { fields, .. } => *fields,
                TailLayout::Text | TailLayout::Enclosed => &[],
            });
            for (kind, bytes) in fields.chain(rows.map(|(_, kind, bytes)| (*kind, *bytes))) {
                let is_plain = kind.starts_with(['u', 'n', 't']) || kind == "Flag";
                let is_listed = (0..=u8::MAX).any(|code| name_of(kind, code).is_some());
                assert!(is_plain || is_listed, "{kind} of {bytes} bytes in {}", layout.name);
            }
        }
        let page = MarketsPage {
            number: 1,
            seq: Seq(1),
            began: Seq(1),
            began_time: UnixNanos(1),
            markets: Rows::default(),
        };
        let value: serde_json::Value = serde_json::from_str(&written(page)).unwrap();
        assert_eq!(value["markets"], serde_json::json!([]));
        assert_eq!(render(b"no message at all"), "");
    }

    #[test]
    fn requests_are_read_or_it_is_said_why_not() {
        let subscribe = Subscribe {
            number: 1,
            market: MarketId(2),
            channel: MarketChannel::Candles,
            window: None,
            interval: Some(CandleInterval::Month),
            since: Seq(0),
        };
        let text = r#"{"op":"subscribe","number":1,"market":2,"channel":"candles","interval":"1M"}"#;
        assert_eq!(request(text), Ok(subscribe.into()));
        let trades = |from_trade: &str| {
            request(&format!(r#"{{"op":"get_trades","number":1,"market":2,"from_trade":{from_trade}}}"#))
        };
        let asked = GetTrades {
            number: 1,
            market: MarketId(2),
            from_trade: TradeId(u64::MAX),
            from_time: UnixNanos(0),
            limit: 4_096,
        };
        assert_eq!(trades("18446744073709551615"), Ok(asked.into()));
        assert_eq!(trades("\"18446744073709551615\""), Ok(asked.into()));
        for (text, why) in [
            ("", "EOF"),
            ("[]", "missing field `op`"),
            ("1", "invalid type"),
            ("{}", "missing field `op`"),
            (r#"{"op":"buy"}"#, "unknown variant"),
            (r#"{"op":"get_markets"}"#, "missing field `number`"),
            (r#"{"op":"get_markets","number":1,"more":1}"#, "unknown field `more`"),
            (r#"{"op":"get_markets","number":-1}"#, "invalid value"),
            (r#"{"op":"get_markets","number":4294967296}"#, "invalid value"),
            (r#"{"op":"subscribe","number":1,"market":2,"channel":"l2"}"#, "no channel"),
            (r#"{"op":"get_tickers","number":1,"window":"2d"}"#, "no window"),
            (r#"{"op":"get_candles","number":1,"market":2,"interval":"1y"}"#, "no interval"),
            (r#"{"op":"get_trades","number":1,"market":2,"from_trade":"x"}"#, "from_trade is no number"),
        ] {
            let said = request(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
