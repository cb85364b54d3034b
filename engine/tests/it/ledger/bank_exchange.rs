//! Currency exchange in the model: quotes, and two or three transfers at their rate.

use std::collections::BTreeMap;

use protocol::commands::{ExchangeCurrency, QuoteExchange};
use protocol::rows::TransferRow;
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, EventBody, LedgerRefusal, QuoteEnd, QuoteId,
    RejectReason, TransferId, events,
};

use super::bank::{Answer, Refusal, out_of_range, refused, refused_of};
use super::model::{Model, Payer, may_debit};

/// 31 days.
const VALID_MAX_NS: u64 = 31 * 86_400 * 1_000_000_000;

/// A quote whose time is not over.
#[derive(Clone, Debug)]
pub(crate) struct Quote {
    pub(crate) definition: QuoteExchange,
    pub(crate) sold: u128,
}

pub(crate) type Quotes = BTreeMap<u128, Quote>;

impl Quote {
    pub(crate) fn left(&self) -> u128 {
        self.definition.sell_amount_max.0 - self.sold
    }
}

/// `amount` × `mantissa` / 10^`scale`, rounded down, and whether something is left; `None` beyond the largest number.
fn exchanged(amount: u128, mantissa: u64, scale: u8) -> Option<(u128, bool)> {
    // As at school: one digit times one digit, and a division that moves the point.
    let digits =
        |number: String| number.bytes().rev().map(|digit| u32::from(digit - b'0')).collect::<Vec<_>>();
    let (one, other) = (digits(amount.to_string()), digits(mantissa.to_string()));
    let mut product = vec![0_u32; one.len() + other.len()];
    for (at, digit) in one.iter().enumerate() {
        for (by, times) in other.iter().enumerate() {
            product[at + by] += digit * times;
        }
    }
    for at in 1..product.len() {
        product[at] += product[at - 1] / 10;
        product[at - 1] %= 10;
    }
    let whole = product.split_off(usize::from(scale).min(product.len()));
    let is_left = product.iter().any(|digit| *digit != 0);
    let mut value = 0_u128;
    for digit in whole.into_iter().rev() {
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some((value, is_left))
}

impl Model {
    pub(crate) fn quote(&mut self, quote: &QuoteExchange) -> Answer {
        if let Some(there) = self.bank.quotes.get(&quote.quote.0) {
            return match there.definition.first_difference(quote) {
                Some(field) => refused_of(RejectReason::ExistsWithDifferent, field),
                None => refused(RejectReason::Exists),
            };
        }
        let wrong = [
            (quote.quote.0 == 0, "quote"),
            (quote.sell_ledger == quote.buy_ledger, "buy_ledger"),
            (quote.rate_mantissa == 0, "rate_mantissa"),
            (quote.rate_scale > 18, "rate_scale"),
            (quote.sell_amount_max.0 == 0, "sell_amount_max"),
            (quote.source.is_empty(), "source"),
        ];
        if let Some((_, field)) = wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            return out_of_range(field);
        }
        let (liquidity, anything) = (&["Liquidity"][..], &["Liquidity", "Fee", "House"][..]);
        for (field, id, ledger, classes) in [
            ("sell_liquidity", quote.sell_liquidity, quote.sell_ledger, liquidity),
            ("buy_liquidity", quote.buy_liquidity, quote.buy_ledger, liquidity),
            ("rounding", quote.rounding, quote.buy_ledger, anything),
        ] {
            let Some(account) = self.accounts.get(&id.0) else {
                return refused_of(RejectReason::UnknownAccount, field);
            };
            let class = AccountClass::from_code(u8::try_from(account.row.class).unwrap()).unwrap();
            if account.row.ledger != ledger {
                return refused_of(RejectReason::AssetMismatch, field);
            }
            if !classes.contains(&class.name()) {
                return refused_of(RejectReason::WrongAccountClass, field);
            }
        }
        if quote.rounding == quote.buy_liquidity {
            return out_of_range("rounding");
        }
        if quote.valid_until_ns <= self.time || quote.valid_until_ns > self.time + VALID_MAX_NS {
            return out_of_range("valid_until_ns");
        }
        self.bank.quotes.insert(quote.quote.0, Quote { definition: quote.clone(), sold: 0 });
        Ok(vec![events::ExchangeQuoted { definition: quote.clone() }.into()])
    }

    /// The next quote whose time is over: when, and which.
    pub(crate) fn next_quote_end(&self) -> Option<(u64, u128)> {
        self.bank.quotes.iter().map(|(id, quote)| (quote.definition.valid_until_ns, *id)).min()
    }

    /// A quote's time is over; of one that was used up this was said before.
    pub(crate) fn end_quote(&mut self, id: u128) -> Option<EventBody> {
        let quote = self.bank.quotes.remove(&id).unwrap();
        let left = Amount(quote.left());
        (left.0 > 0)
            .then(|| events::ExchangeQuoteEnded { quote: QuoteId(id), end: QuoteEnd::Expired, left }.into())
    }

    pub(crate) fn exchange(&mut self, asked: &ExchangeCurrency, payer: &Payer) -> Answer {
        if let Some((reason, about)) = self.said_again(asked, payer) {
            return refused_of(reason, &about);
        }
        let quote = self.bank.quotes.get(&asked.quote.0);
        let Some(quote) = quote.filter(|quote| quote.definition.valid_until_ns > self.time).cloned() else {
            return refused(RejectReason::UnknownQuote);
        };
        let terms = &quote.definition;
        let owner = self.parties(asked, terms, payer)?;
        if asked.sell_amount.0 == 0 {
            return refused_of(RejectReason::AmountOutOfRange, "sell_amount");
        }
        if asked.sell_amount.0 > quote.left() {
            return refused(RejectReason::QuoteExceeded);
        }
        let exact = exchanged(asked.sell_amount.0, terms.rate_mantissa, terms.rate_scale);
        let Some((bought, is_left)) = exact.filter(|(bought, left)| !left || *bought < u128::MAX) else {
            return refused_of(RejectReason::AmountOutOfRange, "sell_amount");
        };
        if bought == 0 || bought < asked.buy_amount_min.0 {
            return refused(RejectReason::BuyAmountBelowMinimum);
        }
        let transfers = match self.enter(&legs_of(asked, terms, bought, is_left), payer) {
            Ok(transfers) => transfers,
            Err((index, refusal)) => {
                let about = format!("{index} {}", refusal.name());
                return refused_of(RejectReason::TransferRefused, &about);
            }
        };
        let quote = self.bank.quotes.get_mut(&asked.quote.0).unwrap();
        quote.sold += asked.sell_amount.0;
        let exchanged = events::CurrencyExchanged {
            quote: asked.quote,
            client: owner,
            sell_account: asked.sell_account,
            buy_account: asked.buy_account,
            rounding_account: terms.rounding,
            sell_amount: asked.sell_amount,
            buy_amount: Amount(bought),
            rounding_amount: Amount(u128::from(is_left)),
            rate_mantissa: terms.rate_mantissa,
            rate_scale: terms.rate_scale,
            source: terms.source,
            sell_transfer: asked.sell_transfer,
            buy_transfer: asked.buy_transfer,
            rounding_transfer: if is_left { asked.rounding_transfer } else { TransferId(0) },
        };
        let mut follows = vec![events::TransfersEntered { transfers }.into(), exchanged.into()];
        if quote.left() == 0 {
            let (quote, end, left) = (asked.quote, QuoteEnd::UsedUp, Amount(0));
            follows.push(events::ExchangeQuoteEnded { quote, end, left }.into());
        }
        Ok(follows)
    }

    /// What an exchange that was executed under the id of its first transfer says to this one; `None` = there was none.
    fn said_again(&self, asked: &ExchangeCurrency, payer: &Payer) -> Option<Refusal> {
        let on_quote = |id: TransferId| {
            let known = self.known.get(&id.0)?;
            let is_on_it = known.refusal.is_none() && known.row.user_data_128 == asked.quote.0;
            is_on_it.then_some(known)
        };
        let sold = on_quote(asked.sell_transfer)?;
        let seller = self.accounts.get(&sold.row.debit_account.0)?;
        if !may_debit(payer, seller) {
            return None;
        }
        let differs = |field: &str| Some((RejectReason::ExistsWithDifferent, field.to_owned()));
        if sold.row.debit_account != asked.sell_account {
            return differs("sell_account");
        }
        if sold.amount != asked.sell_amount.0 {
            return differs("sell_amount");
        }
        let Some(bought) = on_quote(asked.buy_transfer).filter(|bought| bought.seq == sold.seq) else {
            return differs("buy_transfer");
        };
        if bought.row.credit_account != asked.buy_account {
            return differs("buy_account");
        }
        if bought.amount < asked.buy_amount_min.0 {
            return differs("buy_amount_min");
        }
        match self.known.get(&asked.rounding_transfer.0) {
            Some(known) if known.seq != sold.seq => differs("rounding_transfer"),
            _ if sold.row.code != asked.code => differs("code"),
            _ => Some((RejectReason::TransferRefused, "0 Exists".to_owned())),
        }
    }

    /// Whose accounts they are.
    fn parties(
        &self,
        asked: &ExchangeCurrency,
        terms: &QuoteExchange,
        payer: &Payer,
    ) -> Result<ClientId, Refusal> {
        let find = |id: AccountId, ledger: AssetId, field: &str| {
            let unknown = (RejectReason::UnknownAccount, field.to_owned());
            let account = self.accounts.get(&id.0).ok_or(unknown)?;
            let mismatch = (RejectReason::AssetMismatch, field.to_owned());
            if account.row.ledger == ledger { Ok(account) } else { Err(mismatch) }
        };
        let sells = find(asked.sell_account, terms.sell_ledger, "sell_account")?;
        if !may_debit(payer, sells) {
            return Err((RejectReason::ClientNotEntitled, String::new()));
        }
        let buys = find(asked.buy_account, terms.buy_ledger, "buy_account")?;
        let owner = sells.row.owner;
        if buys.row.owner != owner {
            return Err((RejectReason::DifferentOwners, String::new()));
        }
        if terms.client.0 != 0 && terms.client != owner {
            return Err((RejectReason::QuoteOfAnotherClient, String::new()));
        }
        Ok(owner)
    }

    /// Rows of another command, in one chain: all of them, or which fails first and why, and nothing of it is remembered.
    pub(crate) fn enter(
        &mut self,
        rows: &[TransferRow],
        payer: &Payer,
    ) -> Result<Vec<TransferRow>, (usize, LedgerRefusal)> {
        self.raise_floor();
        let before = self.clone();
        let mut entered = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            // Whose money it is has been judged, or is the bank's; ids are the sender's.
            let done = match self.refuse_transfer_itself(row, payer) {
                Some(refusal) => Err((refusal, self.seq)),
                None => self
                    .refuse_known(row, payer)
                    .and_then(|()| self.execute_transfer(row, &Payer::Anyone, (self.seq, 0), index)),
            };
            match done {
                Ok(amount) => entered.push(TransferRow { amount: Amount(amount), ..*row }),
                Err((refusal, _)) => {
                    *self = before;
                    return Err((index, refusal));
                }
            }
        }
        self.forget_ended();
        Ok(entered)
    }
}

fn legs_of(asked: &ExchangeCurrency, terms: &QuoteExchange, bought: u128, is_left: bool) -> Vec<TransferRow> {
    let leg = |id, (debit_account, credit_account), amount: u128, ledger| TransferRow {
        id,
        debit_account,
        credit_account,
        amount: Amount(amount),
        user_data_128: asked.quote.0,
        ledger,
        code: asked.code,
        ..TransferRow::default()
    };
    let sells = (asked.sell_account, terms.sell_liquidity);
    let buys = (terms.buy_liquidity, asked.buy_account);
    let rounds = (terms.buy_liquidity, terms.rounding);
    let mut legs = vec![
        leg(asked.sell_transfer, sells, asked.sell_amount.0, terms.sell_ledger),
        leg(asked.buy_transfer, buys, bought, terms.buy_ledger),
    ];
    if is_left {
        legs.push(leg(asked.rounding_transfer, rounds, 1, terms.buy_ledger));
    }
    let last = legs.len() - 1;
    for leg in &mut legs[..last] {
        leg.flags = protocol::rows::transfer_flags::LINKED;
    }
    legs
}
