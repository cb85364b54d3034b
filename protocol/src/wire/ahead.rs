//! What can be told of a command before it is decoded, so that the memory that it needs is fetched while another one is executed.

use super::commands::{
    ArchivedCancelOrder, ArchivedNewOrder, ArchivedReplaceOrder, CancelOrder, NewOrder, ReplaceOrder,
};
use crate::record::Record;
use crate::{MarketId, OrderId, Seq};

/// The order that a record of `seq` enters, or that it names by its id to cancel or replace it, and the market that it says. Nothing of it
/// is judged: whoever acts on it reads the command.
#[must_use]
pub fn order_named(seq: Seq, record: &Record<'_>) -> Option<(MarketId, OrderId)> {
    type Unread = rkyv::rancor::Failure;
    let (market, order) = match record.kind {
        NewOrder::KIND => {
            let new = rkyv::access::<ArchivedNewOrder, Unread>(record.body).ok()?;
            return Some((MarketId(new.market.0.to_native()), OrderId(seq.0)));
        }
        CancelOrder::KIND => {
            let cancel = rkyv::access::<ArchivedCancelOrder, Unread>(record.body).ok()?;
            (&cancel.market, cancel.order.as_ref()?)
        }
        ReplaceOrder::KIND => {
            let replace = rkyv::access::<ArchivedReplaceOrder, Unread>(record.body).ok()?;
            (&replace.market, replace.order.as_ref()?)
        }
        _ => return None,
    };
    Some((MarketId(market.0.to_native()), OrderId(order.0.to_native())))
}
