//! What a trade moves, by its market: the event of a trade names clients and lots.

use std::collections::BTreeMap;

use protocol::{Amount, AssetId, MarketId};
use redb::TableDefinition;

use super::run::{seal, unseal};
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

pub(crate) const MARKETS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("markets");

/// What of a market's definition says where money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Market {
    pub(crate) base: AssetId,
    pub(crate) quote: AssetId,
    pub(crate) lot_base_minor: Amount,
    pub(crate) fee_account: u32,
    pub(crate) tax_account: Option<u32>,
}

impl Market {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        put_u64(&mut out, self.base.0.into());
        put_u64(&mut out, self.quote.0.into());
        put_u128(&mut out, self.lot_base_minor.0);
        put_u64(&mut out, self.fee_account.into());
        // 0 = none.
        put_u64(&mut out, self.tax_account.map_or(0, |number| u64::from(number) + 1));
        seal(&mut out);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        let (base, quote) = (AssetId(from.u32()?), AssetId(from.u32()?));
        let (lot_base_minor, fee_account) = (Amount(from.u128()?), from.u32()?);
        let tax_account = from.u64()?.checked_sub(1).map(u32::try_from).transpose().map_err(|_| Damaged)?;
        let market = Self { base, quote, lot_base_minor, fee_account, tax_account };
        if from.is_empty() { Ok(market) } else { Err(Damaged) }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Markets {
    by_id: BTreeMap<MarketId, Market>,
    /// Defined since the file was written last.
    changed: Vec<MarketId>,
}

impl Markets {
    pub(crate) fn restore(&mut self, id: MarketId, market: Market) {
        self.by_id.insert(id, market);
    }

    pub(crate) fn define(&mut self, id: MarketId, market: Market) {
        self.by_id.insert(id, market);
        self.changed.push(id);
    }

    pub(crate) fn find(&self, id: MarketId) -> Option<Market> {
        self.by_id.get(&id).copied()
    }

    /// What was defined since the last time.
    pub(crate) fn take_changed(&mut self) -> impl Iterator<Item = (MarketId, &Market)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|id| Some((id, self.by_id.get(&id)?)))
    }
}
