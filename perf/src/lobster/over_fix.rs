//! The same flow through a node, over one FIX session: every row is a request, sent when the one before is answered, so
//! that what a row meets is what the rows before it left behind.
//!
//! The market of perf/lobster.toml has to exist (`sicil apply --data DIR perf/lobster.toml`). The book is left empty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gateways::fix::initiator::{Message, NewOrder, OrderRef};
use protocol::money::{format_decimal, parse_decimal};
use protocol::{OrderId, OrderType, Side, TimeInForce};

use super::{Counts, Row, RowKind};
use crate::fault::Fault;
use crate::line::{Line, Wait};

/// Decimals of a dollar in the file, and of the market's tick.
const PRICE_SCALE: u8 = 4;
/// The session of perf/lobster.toml.
const COMP_ID: &str = "LOBSTER";
const SYMBOL: &str = "AAPL-USD";

/// Replays the flow; returns the counts and how many requests a second were answered.
pub(super) fn replay(address: SocketAddr, seeds: &[Row], rows: &[Row]) -> Result<(Counts, f64), Fault> {
    let mut flow = Flow::open(address)?;
    for seed in seeds {
        flow.submit(seed, 's')?;
    }
    for row in rows {
        match row.kind {
            RowKind::Submit => flow.submit(row, 'o')?,
            RowKind::PartialCancel => flow.reduce(row)?,
            RowKind::Delete => flow.delete(row)?,
            RowKind::Execute => flow.execute(row)?,
            RowKind::Other => {}
        }
    }
    let per_s = flow.requests_per_s();
    flow.cancel_all()?;
    let crossed = flow.crossed.len();
    let counts = Counts { crossing: u64::try_from(crossed).unwrap_or(u64::MAX), ..flow.counts };
    flow.line.close()?;
    Ok((counts, per_s))
}

/// A submitted order under its current ClOrdID. Whether it still rests, the node knows.
struct Submitted {
    cl_ord_id: String,
    side: Side,
    price: String,
    /// OrderQty(38): what is filled included.
    qty: u64,
}

struct Flow {
    line: Line,
    started_ns: u64,
    /// Makes the ClOrdIDs of this run different from those of every other of the day.
    run: String,
    requests: u64,
    orders: BTreeMap<OrderId, Submitted>,
    /// ClOrdIDs of the orders that traded on entry.
    crossed: BTreeSet<String>,
    counts: Counts,
}

impl Flow {
    fn open(address: SocketAddr) -> Result<Self, Fault> {
        let line = Line::open(address, COMP_ID, Wait::Block)?;
        Ok(Self {
            started_ns: line.mono_ns(),
            run: format!("{:x}", line.now().wall.0 / 1_000),
            line,
            requests: 0,
            orders: BTreeMap::new(),
            crossed: BTreeSet::new(),
            counts: Counts::default(),
        })
    }

    fn requests_per_s(&self) -> f64 {
        let nanos = std::time::Duration::from_nanos(self.line.mono_ns() - self.started_ns);
        self.requests as f64 / nanos.as_secs_f64()
    }

    fn fresh_id(&mut self, kind: char) -> String {
        self.requests += 1;
        format!("{kind}{}-{}", self.run, self.requests)
    }

    fn submit(&mut self, row: &Row, kind: char) -> Result<(), Fault> {
        let cl_ord_id = self.fresh_id(kind);
        self.order(&cl_ord_id, row, row.side, TimeInForce::GoodTillCancel);
        let answer = self.answer(&cl_ord_id)?;
        if answer.get(150) == Some(b"8") {
            return Err(Fault::Fix(format!("the node refused an order of the file: {answer:?}")));
        }
        let price = format_decimal(u128::from(row.price.0), PRICE_SCALE);
        self.orders.insert(row.id, Submitted { cl_ord_id, side: row.side, price, qty: row.size.0 });
        Ok(())
    }

    fn order(&mut self, cl_ord_id: &str, row: &Row, side: Side, time_in_force: TimeInForce) {
        let order = NewOrder {
            cl_ord_id,
            symbol: SYMBOL,
            side,
            order_type: OrderType::Limit,
            time_in_force,
            price: &format_decimal(u128::from(row.price.0), PRICE_SCALE),
            qty: &row.size.0.to_string(),
        };
        let now = self.line.now();
        self.line.initiator.new_order(&order, now);
    }

    /// Takes the row's size off the order, and the order out with its last share.
    fn reduce(&mut self, row: &Row) -> Result<(), Fault> {
        let Some(order) = self.orders.get(&row.id).filter(|order| order.qty > row.size.0) else {
            return self.delete(row);
        };
        let qty = order.qty - row.size.0;
        let cl_ord_id = self.fresh_id('r');
        self.amend(row.id, &cl_ord_id, qty, true);
        let answer = self.answer(&cl_ord_id)?;
        if answer.kind() == b"9" {
            // Nothing would be left of it, or nothing is.
            return self.delete(row);
        }
        if let Some(order) = self.orders.get_mut(&row.id) {
            (order.cl_ord_id, order.qty) = (cl_ord_id, qty);
        }
        Ok(())
    }

    fn delete(&mut self, row: &Row) -> Result<(), Fault> {
        if !self.cancel(row.id)? {
            self.counts.late += 1;
        }
        Ok(())
    }

    /// Whether there was something to cancel.
    fn cancel(&mut self, id: OrderId) -> Result<bool, Fault> {
        let Some(order) = self.orders.get(&id) else { return Ok(false) };
        let qty = order.qty;
        let cl_ord_id = self.fresh_id('c');
        self.amend(id, &cl_ord_id, qty, false);
        let answer = self.answer(&cl_ord_id)?;
        self.orders.remove(&id);
        Ok(answer.kind() == b"8")
    }

    fn amend(&mut self, id: OrderId, cl_ord_id: &str, qty: u64, replace: bool) {
        let Some(order) = self.orders.get(&id) else { return };
        let named = OrderRef {
            cl_ord_id,
            orig_cl_ord_id: &order.cl_ord_id,
            symbol: SYMBOL,
            side: order.side,
            qty: &qty.to_string(),
        };
        let now = self.line.now();
        if replace {
            self.line.initiator.replace(&named, &order.price, now);
        } else {
            self.line.initiator.cancel(&named, now);
        }
    }

    fn execute(&mut self, row: &Row) -> Result<(), Fault> {
        let cl_ord_id = self.fresh_id('x');
        self.order(&cl_ord_id, row, row.side.opposite(), TimeInForce::ImmediateOrCancel);
        let (mut ended, mut taken) = (false, 0);
        let mut makers: Vec<Message> = Vec::new();
        while !ended || makers.len() < taken {
            for report in self.line.wait_received()? {
                let fill = report.get(150) == Some(b"F");
                if report.get(11) == Some(cl_ord_id.as_bytes()) {
                    taken += usize::from(fill);
                    ended |= [&b"2"[..], b"4", b"8", b"C"].contains(&report.get(39).unwrap_or_default());
                } else {
                    self.note(&report);
                    if fill && report.get(851) == Some(b"1") {
                        makers.push(report);
                    }
                }
            }
        }
        let named = self.orders.get(&row.id).map(|order| order.cl_ord_id.as_bytes());
        match makers.as_slice() {
            [] => self.counts.none += 1,
            [fill] if fill.get(11) == named && is_fill_of(fill, row) => self.counts.exact += 1,
            _ => self.counts.other += 1,
        }
        Ok(())
    }

    /// The first report on the request.
    fn answer(&mut self, cl_ord_id: &str) -> Result<Message, Fault> {
        let mut answer = None;
        while answer.is_none() {
            for report in self.line.wait_received()? {
                self.note(&report);
                if answer.is_none() && report.get(11) == Some(cl_ord_id.as_bytes()) {
                    answer = Some(report);
                }
            }
        }
        answer.ok_or(Fault::Arguments("a request without an answer"))
    }

    /// A resting order that was the incoming side of a trade crossed on entry; the file's own orders count, not the seeds.
    fn note(&mut self, report: &Message) {
        let id = report.text(11);
        if report.get(150) == Some(b"F") && report.get(851) == Some(b"2") && id.starts_with('o') {
            self.crossed.insert(id);
        }
    }

    fn cancel_all(&mut self) -> Result<(), Fault> {
        while let Some((&id, _)) = self.orders.first_key_value() {
            self.cancel(id)?;
        }
        Ok(())
    }
}

fn is_fill_of(fill: &Message, row: &Row) -> bool {
    let units = |tag, scale| parse_decimal(fill.get(tag).unwrap_or_default(), scale).ok();
    units(31, PRICE_SCALE) == Some(u128::from(row.price.0)) && units(32, 0) == Some(u128::from(row.size.0))
}
