//! At which rate transfers exchanged one currency for another, and where it was from.

use protocol::events::CurrencyExchanged;
use protocol::{AccountId, Amount, ClientId, QuoteId, Seq, Text, TransferId, UnixNanos};
use redb::TableDefinition;

use super::fault::ViewFault;
use super::read::{ReadFault, Snapshot};
use super::run::{seal, unseal};
use super::transfer_id::Stage;
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

/// By seq: a command exchanges once.
pub(crate) const EXCHANGES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("exchanges");

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Behind the record of this seq.
    pub seq: Seq,
    /// The time of that record.
    pub time: UnixNanos,
    /// Who exchanged what, and at which rate.
    pub event: CurrencyExchanged,
}

impl Exchange {
    pub(crate) fn write(&self) -> Vec<u8> {
        let event = &self.event;
        let mut out = vec![0; 4];
        put_u64(&mut out, self.time.0);
        put_u128(&mut out, event.quote.0);
        put_u64(&mut out, event.client.0);
        for account in [event.sell_account, event.buy_account, event.rounding_account] {
            put_u128(&mut out, account.0);
        }
        for amount in [event.sell_amount, event.buy_amount, event.rounding_amount] {
            put_u128(&mut out, amount.0);
        }
        put_u64(&mut out, event.rate_mantissa);
        for transfer in [event.sell_transfer, event.buy_transfer, event.rounding_transfer] {
            put_u128(&mut out, transfer.0);
        }
        out.push(event.rate_scale);
        out.extend_from_slice(event.source.as_bytes());
        seal(&mut out);
        out
    }

    pub(crate) fn read(seq: u64, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        let time = UnixNanos(from.u64()?);
        let (quote, client) = (QuoteId(from.u128()?), ClientId(from.u64()?));
        let [sell_account, buy_account, rounding_account] =
            [AccountId(from.u128()?), AccountId(from.u128()?), AccountId(from.u128()?)];
        let [sell_amount, buy_amount, rounding_amount] =
            [Amount(from.u128()?), Amount(from.u128()?), Amount(from.u128()?)];
        let rate_mantissa = from.u64()?;
        let [sell_transfer, buy_transfer, rounding_transfer] =
            [TransferId(from.u128()?), TransferId(from.u128()?), TransferId(from.u128()?)];
        let rate_scale = from.u8()?;
        let source = Text::new(from.rest()).map_err(|_| Damaged)?;
        let event = CurrencyExchanged {
            quote,
            client,
            sell_account,
            buy_account,
            rounding_account,
            sell_amount,
            buy_amount,
            rounding_amount,
            rate_mantissa,
            rate_scale,
            source,
            sell_transfer,
            buy_transfer,
            rounding_transfer,
        };
        Ok(Self { seq: Seq(seq), time, event })
    }
}

impl Snapshot {
    /// The exchange that a transfer is one of the legs of.
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn exchange(&self, transfer: TransferId) -> Result<Option<Exchange>, ReadFault> {
        self.find_exchange(transfer).map_err(ReadFault::View)
    }

    fn find_exchange(&self, transfer: TransferId) -> Result<Option<Exchange>, ViewFault> {
        let fates = self.fates(transfer)?;
        let Some(created) = fates.iter().find(|fate| fate.stage == Stage::Created) else { return Ok(None) };
        let seq = created.place.seq.0;
        let table = self.transaction.open_table(EXCHANGES)?;
        let Some(found) = table.get(seq)? else { return Ok(None) };
        let exchange = Exchange::read(seq, found.value())?;
        let CurrencyExchanged { sell_transfer, buy_transfer, rounding_transfer, .. } = exchange.event;
        let is_leg = [sell_transfer, buy_transfer, rounding_transfer].contains(&transfer);
        Ok(is_leg.then_some(exchange))
    }
}
