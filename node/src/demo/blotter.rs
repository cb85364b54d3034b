//! What a client knows after reading its stream of messages: every order as last reported, and a digest of every report.
//!
//! Two blotters, one read as things happened with a kill in between and one read afterwards from the node's own memory, must
//! be equal.

use std::collections::BTreeMap;

use gateways::fix::initiator::Message;
use protocol::Side;
use protocol::hash::{Hash, blake3};

/// What may differ between a message and its repetition: framing, times of sending, the flag itself.
const NOT_CONTENT: [u32; 7] = [8, 9, 10, 43, 52, 122, 369];

/// An order, as last reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The latest.
    pub(super) cl_ord_id: String,
    pub(super) symbol: String,
    pub(super) side: Side,
    pub(super) price: String,
    pub(super) qty: String,
    /// OrdStatus(39).
    pub(super) status: String,
    /// CumQty(14).
    pub(super) cum: String,
    /// LeavesQty(151).
    pub(super) leaves: String,
}

impl Standing {
    fn of(report: &Message) -> Self {
        Self {
            cl_ord_id: report.text(11),
            symbol: report.text(55),
            side: if report.get(54) == Some(b"2") { Side::Sell } else { Side::Buy },
            price: report.text(44),
            qty: report.text(38),
            status: report.text(39),
            cum: report.text(14),
            leaves: report.text(151),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.status == "0" || self.status == "1"
    }

    /// Whether `report`, an answer to a status request, says the same.
    pub(super) fn agrees(&self, report: &Message) -> bool {
        let told = Self::of(report);
        (told.status, told.cum, told.leaves, told.qty)
            == (self.status.clone(), self.cum.clone(), self.leaves.clone(), self.qty.clone())
    }
}

/// Everything that a session was told.
#[derive(Debug)]
pub(super) struct Blotter {
    /// By OrderID(37).
    pub(super) orders: BTreeMap<u64, Standing>,
    /// MsgSeqNum and content of every report.
    reports: Vec<(u64, Hash)>,
    /// The number that must come next.
    pub(super) next: u64,
    pub(super) fills: u64,
    pub(super) refused: u64,
}

impl Default for Blotter {
    fn default() -> Self {
        Self { orders: BTreeMap::new(), reports: Vec::new(), next: 1, fills: 0, refused: 0 }
    }
}

impl Blotter {
    /// Takes the next message of the stream; says what is wrong with it.
    pub(super) fn take(&mut self, message: &Message) -> Result<(), String> {
        let number = message.msg_seq_num();
        if number != self.next {
            return Err(format!("message {number} came where {} was next: {message:?}", self.next));
        }
        self.next = message.next_seq_num();
        match message.kind() {
            b"8" => self.take_report(message),
            b"9" => {}
            b"3" | b"j" => return Err(format!("the node rejected a message: {message:?}")),
            _ => return Ok(()),
        }
        self.reports.push((number, digest(message)));
        Ok(())
    }

    /// The first difference from what `other` was told.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let mut pairs = self.reports.iter().zip(&other.reports);
        if let Some((one, two)) = pairs.find(|(one, two)| one != two) {
            return Some(format!("report {} is told as {} in another form", one.0, two.0));
        }
        if self.reports.len() != other.reports.len() {
            return Some(format!("{} reports against {}", self.reports.len(), other.reports.len()));
        }
        (self.orders != other.orders).then(|| "the same reports, other orders".to_owned())
    }

    /// Reports taken.
    pub(super) fn len(&self) -> usize {
        self.reports.len()
    }

    fn take_report(&mut self, report: &Message) {
        let exec_type = report.get(150).unwrap_or_default();
        self.fills += u64::from(exec_type == b"F");
        self.refused += u64::from(exec_type == b"8");
        // An answer to a status request tells nothing new; a refused order has no id that could be asked for.
        if exec_type == b"I" || exec_type == b"8" {
            return;
        }
        let Some(order) = report.number(37) else { return };
        let mut standing = Standing::of(report);
        // A cancel's report carries the ClOrdID of the request; the order is known by its own.
        if exec_type == b"4" && !report.text(41).is_empty() {
            standing.cl_ord_id = report.text(41);
        }
        self.orders.insert(order, standing);
    }
}

fn digest(message: &Message) -> Hash {
    let mut bytes = Vec::with_capacity(512);
    for (tag, value) in message.fields().filter(|(tag, _)| !NOT_CONTENT.contains(tag)) {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(value);
        bytes.push(1);
    }
    blake3(&[&bytes])
}
