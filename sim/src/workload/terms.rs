//! What a trader says of an order beside its price and quantity: instructions, triggers, ends, lists, quotes. Not all of it goes together,
//! and what does not is refused.

use gateways::fix::initiator::{field, timestamp};
use protocol::time::NANOS_PER_MILLI;
use protocol::{Side, UnixNanos};

use super::setup;
use crate::rng::Rng;

/// Fields of a NewOrderSingle(D): tags and values.
pub(super) type Fields = Vec<(u32, String)>;

/// Draws the terms of a limit order that may rest.
pub(super) fn draw(rng: &mut Rng, side: Side, now: UnixNanos) -> Fields {
    let number = |rng: &mut Rng, max| rng.within(1..=max).to_string();
    match rng.below(8) {
        0 => vec![(18, "6".to_owned())],
        1 => vec![(18, if side == Side::Buy { "9" } else { "0" }.to_owned())],
        2 => vec![(111, number(rng, 10))],
        3 => vec![(110, number(rng, 10))],
        4 => vec![(2964, rng.pick(&["1", "2", "3", "100", "101", "102"]).to_owned())],
        5 | 6 => trigger(rng, side),
        _ => {
            let end = now.plus(rng.within(1..=2_000) * NANOS_PER_MILLI);
            vec![(126, timestamp(end))]
        }
    }
}

/// Fires when the last trade, or the best price, comes to a price.
fn trigger(rng: &mut Rng, side: Side) -> Fields {
    let (watched, direction) = (rng.pick(&["1", "2", "3"]), rng.pick(&["U", "D"]));
    // The best price is that of the other side.
    let watched = match (watched, side) {
        ("2", _) => "2",
        (_, Side::Buy) => "1",
        (_, Side::Sell) => "3",
    };
    let price = rng.within(96..=104).to_string();
    let fixed = [(1100, "4"), (1101, "1"), (1107, watched), (1109, direction)];
    let fixed = fixed.into_iter().map(|(tag, value)| (tag, value.to_owned()));
    fixed.chain([(1102, price)]).collect()
}

/// A NewOrderList(E) of two orders to sell: one rests above the market, the other fires below it, and either cancels the other.
pub(super) fn list(rng: &mut Rng, ids: &[String; 3], time: &str) -> Vec<u8> {
    let [list, take, stop] = ids;
    let mut body = Vec::new();
    for (tag, value) in [(66, list.as_str()), (394, "3"), (1385, "1"), (68, "2"), (73, "2")] {
        field(&mut body, tag, value);
    }
    let qty = rng.within(1..=20).to_string();
    let (above, below) = (rng.within(101..=105).to_string(), rng.within(95..=99).to_string());
    for (place, (id, price)) in [(take, &above), (stop, &below)].into_iter().enumerate() {
        field(&mut body, 11, id);
        field(&mut body, 67, (place + 1).to_string());
        for (tag, value) in [(55, setup::SYMBOL), (54, "2"), (60, time), (38, &qty), (40, "2"), (44, price)] {
            field(&mut body, tag, value);
        }
        if place == 1 {
            for (tag, value) in [(1100, "4"), (1101, "1"), (1102, below.as_str()), (1107, "2"), (1109, "D")] {
                field(&mut body, tag, value);
            }
        }
    }
    body
}

/// A MassQuote(i) with up to three quotes of the same names each time. A side without a quantity is withdrawn; a bid that is not below its
/// offer is refused.
pub(super) fn quotes(rng: &mut Rng, id: &str) -> Vec<u8> {
    let count = rng.within(1..=3);
    let mut body = Vec::new();
    for (tag, value) in [(117, id), (296, "1"), (302, "1")] {
        field(&mut body, tag, value);
    }
    field(&mut body, 304, count.to_string());
    field(&mut body, 295, count.to_string());
    for entry in 1..=count {
        field(&mut body, 299, entry.to_string());
        field(&mut body, 55, setup::SYMBOL);
        let (bid, offer) = (rng.within(95..=101), rng.within(100..=105));
        let (bid_qty, offer_qty) = (rng.below(10), rng.below(10));
        for (tag, value) in [(132, bid), (134, bid_qty), (133, offer), (135, offer_qty)] {
            field(&mut body, tag, value.to_string());
        }
    }
    body
}
