//! Currency exchange: the bank offers a rate for a while and up to an amount, and a client's exchange on it is linked transfers through
//! the bank's own accounts in the two currencies.
//!
//! The client gets what it buys rounded down, the bank pays it rounded up, and the difference, one minor unit or none, goes to an account
//! of its own: what is sold and what is paid for it are exact to the last unit, on record, and never a gain by rounding that nobody sees.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{ExchangeCurrency, QuoteExchange};
use protocol::limits::{QUOTE_VALID_MAX_S, QUOTES_MAX, RATE_SCALE_MAX};
use protocol::rows::{TransferRow, transfer_flags};
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, LedgerRefusal, QuoteEnd, QuoteId, RejectReason,
    TransferId, UnixNanos, events,
};

use super::Ledger;
use super::accounts::Account;
use super::batch::{Batch, Payers};
use super::entry::EntryStop;
use super::rate::convert;
use super::recent::{Outcome, Remembered};
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field, refuse_transfer};
use crate::effects::Effects;

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) definition: QuoteExchange,
    /// What may still be sold. One that is used up stays until its time is over, so that its id is not taken again.
    pub(crate) left: u128,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotes {
    rows: BTreeMap<QuoteId, Quote>,
    deadlines: BTreeSet<(UnixNanos, QuoteId)>,
}

impl Quotes {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those from an id on, by id.
    pub(crate) fn range(&self, first: QuoteId) -> impl Iterator<Item = &Quote> {
        self.rows.range(first..).map(|(_, row)| row)
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Quote> {
        self.rows.values()
    }

    /// The next one to end.
    pub(crate) fn next_deadline(&self) -> Option<(UnixNanos, QuoteId)> {
        self.deadlines.first().copied()
    }

    /// Adds one whose id is not there.
    pub(crate) fn add(&mut self, quote: Quote) {
        let id = quote.definition.quote;
        self.deadlines.insert((UnixNanos(quote.definition.valid_until_ns), id));
        self.rows.insert(id, quote);
    }
}

/// The classes of account that may take a part in an exchange.
const LIQUIDITY: &[AccountClass] = &[AccountClass::Liquidity];
const ROUNDING: &[AccountClass] = &[AccountClass::Liquidity, AccountClass::Fee, AccountClass::House];

impl Ledger {
    /// Offers a rate.
    pub(crate) fn quote_exchange(
        &mut self,
        command: &QuoteExchange,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(Quote { definition, .. }) = self.quotes.rows.get(&command.quote) {
            return Err(match definition.first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        self.check_quote(command)?;
        let latest = effects.time.plus(u64::from(QUOTE_VALID_MAX_S).saturating_mul(NANOS_PER_SECOND));
        let is_ahead = effects.time.0 < command.valid_until_ns && command.valid_until_ns <= latest.0;
        ensure_field(is_ahead, "valid_until_ns")?;
        ensure(self.quotes.len() < QUOTES_MAX, RejectReason::TableFull)?;
        self.quotes.add(Quote { definition: command.clone(), left: command.sell_amount_max.0 });
        effects.push(events::ExchangeQuoted { definition: command.clone() });
        Ok(())
    }

    fn check_quote(&self, command: &QuoteExchange) -> Result<(), Stop> {
        ensure_field(command.quote.0 != 0, "quote")?;
        ensure_field(command.sell_ledger != command.buy_ledger, "buy_ledger")?;
        ensure_field(command.rate_mantissa != 0, "rate_mantissa")?;
        ensure_field(command.rate_scale <= RATE_SCALE_MAX, "rate_scale")?;
        ensure_field(command.sell_amount_max.0 != 0, "sell_amount_max")?;
        ensure_field(!command.source.is_empty(), "source")?;
        let &QuoteExchange { sell_liquidity, buy_liquidity, rounding, sell_ledger, buy_ledger, .. } = command;
        for (name, account, ledger, classes) in [
            ("sell_liquidity", sell_liquidity, sell_ledger, LIQUIDITY),
            ("buy_liquidity", buy_liquidity, buy_ledger, LIQUIDITY),
            ("rounding", rounding, buy_ledger, ROUNDING),
        ] {
            let row = self.row(account).ok_or(refuse_field(RejectReason::UnknownAccount, name))?;
            let account = self.accounts.at(row);
            ensure_of(account.ledger == ledger, RejectReason::AssetMismatch, name)?;
            ensure_of(classes.contains(&account.class), RejectReason::WrongAccountClass, name)?;
        }
        ensure_field(rounding != buy_liquidity, "rounding")
    }

    /// Exchanges on a quote: all of its transfers, or nothing.
    pub(crate) fn exchange(
        &mut self,
        command: &ExchangeCurrency,
        batch: &Batch<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        self.ensure_not_executed(command, batch.payers)?;
        let quote = self.quotes.rows.get(&command.quote);
        let quote = quote.filter(|quote| batch.time.0 < quote.definition.valid_until_ns);
        let Quote { definition, left } = quote.ok_or(RejectReason::UnknownQuote)?.clone();
        let client = self.check_parties(command, &definition, batch.payers)?;
        let sold = command.sell_amount.0;
        let out_of_range = refuse_field(RejectReason::AmountOutOfRange, "sell_amount");
        let left = if sold == 0 { None } else { Some(left.checked_sub(sold)) };
        let left = left.ok_or(out_of_range)?.ok_or(RejectReason::QuoteExceeded)?;
        let worth = convert(sold, definition.rate_mantissa, definition.rate_scale);
        let (bought, paid) = worth.ok_or(out_of_range)?;
        ensure(bought != 0 && bought >= command.buy_amount_min.0, RejectReason::BuyAmountBelowMinimum)?;
        let rounding = paid.saturating_sub(bought);
        let legs = legs(command, &definition, bought, rounding);
        // Whether the session may debit the client's account has been judged; the bank's own are its part of the deal.
        let batch = Batch { debits_judged: true, ..*batch };
        let entered = self.enter_transfers(&legs, &batch);
        effects.push(entered.map_err(|stop| refuse_transfer(RejectReason::TransferRefused, stop))?);
        effects.push(events::CurrencyExchanged {
            quote: command.quote,
            client,
            sell_account: command.sell_account,
            buy_account: command.buy_account,
            rounding_account: definition.rounding,
            sell_amount: command.sell_amount,
            buy_amount: Amount(bought),
            rounding_amount: Amount(rounding),
            rate_mantissa: definition.rate_mantissa,
            rate_scale: definition.rate_scale,
            source: definition.source,
            sell_transfer: command.sell_transfer,
            buy_transfer: command.buy_transfer,
            rounding_transfer: if rounding == 0 { TransferId(0) } else { command.rounding_transfer },
        });
        if let Some(quote) = self.quotes.rows.get_mut(&command.quote) {
            quote.left = left;
        }
        if left == 0 {
            effects.push(ended(command.quote, QuoteEnd::UsedUp, left));
        }
        Ok(())
    }

    /// Says of one that is sent once more that it was executed, or what differs, as long as its ids are remembered, whatever has become of the
    /// quote. Of the rounding it is not known any more whether there was any: an id that nobody has used is as good as another.
    fn ensure_not_executed(&self, command: &ExchangeCurrency, payers: Payers<'_>) -> Result<(), Stop> {
        let created = |id| {
            let known = self.recent.find(id);
            known.filter(|known| {
                known.outcome == Outcome::Created && known.row.user_data_128 == command.quote.0
            })
        };
        let is_payers =
            |account| self.row(account).is_some_and(|row| payers.may_debit(self.accounts.at(row)));
        let sold = created(command.sell_transfer).filter(|sold| is_payers(sold.row.debit_account));
        let Some(Remembered { row, amount, seq, .. }) = sold else { return Ok(()) };
        let bought = created(command.buy_transfer).filter(|bought| bought.seq == *seq);
        let rounded = self.recent.find(command.rounding_transfer).is_none_or(|known| known.seq == *seq);
        let is_same = [
            ("sell_account", row.debit_account == command.sell_account),
            ("sell_amount", *amount == command.sell_amount.0),
            ("buy_transfer", bought.is_some()),
            ("buy_account", bought.is_some_and(|bought| bought.row.credit_account == command.buy_account)),
            ("buy_amount_min", bought.is_some_and(|bought| bought.amount >= command.buy_amount_min.0)),
            ("rounding_transfer", rounded),
            ("code", row.code == command.code),
        ];
        if let Some((field, _)) = is_same.into_iter().find(|(_, is_same)| !is_same) {
            return Err(refuse_field(RejectReason::ExistsWithDifferent, field));
        }
        let refusal = LedgerRefusal::Exists;
        Err(refuse_transfer(RejectReason::TransferRefused, EntryStop::Refused { index: 0, refusal }))
    }

    /// Whose accounts they are: one client's, for whom the quote is and for whom the session may pay.
    fn check_parties(
        &self,
        command: &ExchangeCurrency,
        quote: &QuoteExchange,
        payers: Payers<'_>,
    ) -> Result<ClientId, Stop> {
        let find = |account, ledger, name| {
            let row = self.row(account).ok_or(refuse_field(RejectReason::UnknownAccount, name))?;
            let account = self.accounts.at(row);
            ensure_of(account.ledger == ledger, RejectReason::AssetMismatch, name)?;
            Ok::<&Account, Stop>(account)
        };
        let seller = find(command.sell_account, quote.sell_ledger, "sell_account")?;
        ensure(payers.may_debit(seller), RejectReason::ClientNotEntitled)?;
        let buyer = find(command.buy_account, quote.buy_ledger, "buy_account")?;
        ensure(seller.owner == buyer.owner, RejectReason::DifferentOwners)?;
        let owner = seller.owner;
        let is_for = quote.client.0 == 0 || quote.client == owner;
        ensure(is_for, RejectReason::QuoteOfAnotherClient)?;
        Ok(owner)
    }

    /// The time of a quote is over.
    pub(crate) fn end_quote(&mut self, quote: QuoteId, effects: &mut Effects<'_>) {
        let Some(Quote { definition, left }) = self.quotes.rows.remove(&quote) else { return };
        self.quotes.deadlines.remove(&(UnixNanos(definition.valid_until_ns), quote));
        if left != 0 {
            effects.push(ended(quote, QuoteEnd::Expired, left));
        }
    }

    /// Every quote could be commanded, has no more left than it began with, and has its deadline.
    pub(super) fn check_quotes(&self) -> Result<(), Broken> {
        let Quotes { rows, deadlines } = &self.quotes;
        let is_sound = |(id, Quote { definition, left }): (&QuoteId, &Quote)| {
            definition.quote == *id
                && *left <= definition.sell_amount_max.0
                && self.check_quote(definition).is_ok()
                && deadlines.contains(&(UnixNanos(definition.valid_until_ns), *id))
        };
        let is_sound = rows.len() == deadlines.len() && rows.iter().all(is_sound);
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "quotes" }) }
    }
}

/// Refuses with a reason and the field that is meant unless `condition` holds.
fn ensure_of(condition: bool, reason: RejectReason, field: &'static str) -> Result<(), Stop> {
    if condition { Ok(()) } else { Err(refuse_field(reason, field)) }
}

fn ended(quote: QuoteId, end: QuoteEnd, left: u128) -> events::ExchangeQuoteEnded {
    events::ExchangeQuoteEnded { quote, end, left: Amount(left) }
}

/// What is sold, what is bought, and what rounding leaves, if it leaves anything; each names the quote.
fn legs(command: &ExchangeCurrency, quote: &QuoteExchange, bought: u128, rounding: u128) -> Vec<TransferRow> {
    let leg =
        |id: TransferId, ledger: AssetId, debit: AccountId, credit: AccountId, amount: u128| TransferRow {
            id,
            debit_account: debit,
            credit_account: credit,
            amount: Amount(amount),
            user_data_128: quote.quote.0,
            ledger,
            code: command.code,
            flags: transfer_flags::LINKED,
            ..TransferRow::default()
        };
    let &ExchangeCurrency { sell_account, buy_account, sell_amount, .. } = command;
    let &QuoteExchange { sell_ledger, buy_ledger, sell_liquidity, buy_liquidity, .. } = quote;
    let mut legs = vec![
        leg(command.sell_transfer, sell_ledger, sell_account, sell_liquidity, sell_amount.0),
        leg(command.buy_transfer, buy_ledger, buy_liquidity, buy_account, bought),
    ];
    if rounding != 0 {
        legs.push(leg(command.rounding_transfer, buy_ledger, buy_liquidity, quote.rounding, rounding));
    }
    if let Some(last) = legs.last_mut() {
        last.flags = 0;
    }
    legs
}
