//! What a FIX client may say of an order beside its price and quantity, against the process.

use gateways::fix::initiator::{LogonStyle, Message, NewOrder, timestamp};
use protocol::time::NANOS_PER_SECOND;
use protocol::{OrderType, Side, TimeInForce, UnixNanos};

use crate::folder::Folder;
use crate::process::Node;
use crate::trading::Client;

fn order<'a>(cl_ord_id: &'a str, side: Side, time_in_force: TimeInForce, price: &'a str) -> NewOrder<'a> {
    let (symbol, order_type) = ("BTC-TRY", OrderType::Limit);
    NewOrder { cl_ord_id, symbol, side, order_type, time_in_force, price, qty: "0.1" }
}

fn fields(report: &Message) -> [String; 4] {
    [39, 44, 151, 58].map(|tag| report.text(tag))
}

/// ExecType of the first report on an order.
fn answer(client: &mut Client, cl_ord_id: &str) -> String {
    let is_it = |message: &&Message| message.kind() == b"8" && message.text(11) == cl_ord_id;
    client.until(|client| client.received().iter().any(|message| is_it(&message)));
    client.received().iter().find(is_it).unwrap().text(150)
}

/// So many seconds from now, to the millisecond.
fn in_seconds(now: UnixNanos, seconds: u64) -> String {
    timestamp(now.plus(seconds * NANOS_PER_SECOND))
}

#[test]
fn an_order_ends_at_its_time_though_nothing_else_happens() {
    let folder = Folder::new("terms-date");
    let node = Node::start(&folder.data(), &folder.config("demo = true"));
    let mut client = Client::new("CLIENT1");
    client.log_on(&node, LogonStyle::Reset);
    // However long the way to the sequencer is, one of these ends later than the order gets there.
    for seconds in [1, 4, 16, 64, 256] {
        let id = format!("till-{seconds}");
        let end = in_seconds(client.now().wall, seconds);
        let order = order(&id, Side::Sell, TimeInForce::GoodTillDate, "4200000");
        client.session.new_order_with(&order, &[(126, &end)], client.now());
        if answer(&mut client, &id) == "8" {
            let late = client.report(&id, "8");
            assert_eq!((late.text(103), late.text(39)), ("4".to_owned(), "8".to_owned()));
            continue;
        }
        let stands = client.report(&id, "0");
        assert_eq!(fields(&stands), ["0", "4200000", "0.1", ""]);
        let ended = client.report(&id, "C");
        assert_eq!(fields(&ended), ["C", "4200000", "0", "its time had come"]);
        assert!(ended.text(60) >= end, "{} is before {end}", ended.text(60));
        assert_eq!(node.stop().code(), Some(0));
        return;
    }
    panic!("every end was over before its order came");
}

#[test]
fn orders_keep_from_taking_and_from_trading_with_their_own() {
    let folder = Folder::new("terms-post-only");
    let node = Node::start(&folder.data(), &folder.config("demo = true"));
    let (mut seller, mut buyer) = (Client::new("CLIENT1"), Client::new("CLIENT2"));
    seller.log_on(&node, LogonStyle::Reset);
    buyer.log_on(&node, LogonStyle::Reset);
    let limit = |id, side| order(id, side, TimeInForce::GoodTillCancel, "4200000");
    seller.session.new_order(&limit("rest", Side::Sell), seller.now());
    seller.report("rest", "0");

    buyer.session.new_order_with(&limit("not-taking", Side::Buy), &[(18, "6")], buyer.now());
    let refused = buyer.report("not-taking", "8");
    assert_eq!(fields(&refused), ["8", "4200000", "0", "must not take liquidity, and would"]);
    buyer.session.new_order_with(&limit("sliding", Side::Buy), &[(18, "9")], buyer.now());
    let slid = buyer.report("sliding", "0");
    assert_eq!((slid.text(39), slid.text(44)), ("0".to_owned(), "4199999".to_owned()));

    seller.session.new_order_with(&limit("own", Side::Buy), &[(2964, "1")], seller.now());
    seller.report("own", "0");
    let prevented = seller.report("own", "C");
    let why = "would have traded with an order of its own trade group";
    assert_eq!(fields(&prevented), ["C", "4200000", "0", why]);
    // The resting order is still there for others.
    buyer.session.new_order(&limit("take", Side::Buy), buyer.now());
    buyer.report("take", "F");
    assert_eq!(seller.report("rest", "F").text(39), "2");
    assert_eq!(node.stop().code(), Some(0));
}
