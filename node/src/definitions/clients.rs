//! What a definitions file says of a client: the groups that it is in.

use protocol::commands::{SetFeeGroup, SetTradeGroup};
use protocol::{ClientId, FeeGroupId, TradeGroupId};
use serde::Deserialize;

use super::{Item, item};

/// What it leaves out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientEntry {
    id: u64,
    /// 0 = none.
    fee_group: Option<u16>,
    /// 0 = none.
    trade_group: Option<u64>,
}

/// The commands that put a client where the file has it.
pub(super) fn client(entry: &ClientEntry) -> Vec<Item> {
    let client = ClientId(entry.id);
    let fees = |fee_group| item(format!("fee group of client {client}"), SetFeeGroup { client, fee_group });
    let trades =
        |trade_group| item(format!("trade group of client {client}"), SetTradeGroup { client, trade_group });
    let fee_group = entry.fee_group.map(FeeGroupId).map(fees);
    let trade_group = entry.trade_group.map(TradeGroupId).map(trades);
    fee_group.into_iter().chain(trade_group).collect()
}
