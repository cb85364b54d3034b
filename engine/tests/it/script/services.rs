//! What the ledger does beside batches, in the scenarios' language.
//!
//! ```text
//! till quote q1 USD TRY rate 34.25 via usd-desk try-desk round rest max 1000 [for alice] [valid 60s] [source ECB] [field=value …]
//! app exchange q1 ann-usd ann-try 100 as x1 [min 3400] [field=value …]   the ids of x1 have the time of its first mention
//! app standing s1 ann rent 100 monthly from 2026-01-31 [until 2026-06-30] [at 08:00:00] [on next] [retry 3] [field=value …]
//! app endorder s1
//! until 2026-02-01 08:00:00                                         the next command is of that time
//! till monitor m1 of cash balance below -5 [field=value …]          a monitor of an account
//! till monitor m2 of TRY 1 house credits-posted at-least 100        of the accounts of a ledger, code and class
//! till unmonitor m1
//! ```

use protocol::commands::{
    CancelStandingOrder, DefineMonitor, DefineStandingOrder, ExchangeCurrency, QuoteExchange, RemoveMonitor,
};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, Command, DayRule, MonitorField, MonitorId,
    MonitorOperator, QuoteId, Schedule, StandingOrderId, Text, TransferId,
};

use super::ledger::{day, narrow, number};
use super::{Script, Words, by_name, decimal, milliseconds};

/// `m1`.
fn numbered(word: &str) -> u64 {
    word[1..].parse().unwrap_or_else(|_| panic!("{word} has no number"))
}

/// `08:00:00`, in seconds.
pub(super) fn time_of_day(text: &str) -> u32 {
    text.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<u32>().unwrap())
}

/// The one of these names that a word with hyphens means.
pub(super) fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> T {
    let bare = word.replace('-', "");
    let found = all.iter().find(|&&known| name(known).eq_ignore_ascii_case(&bare));
    *found.unwrap_or_else(|| panic!("no {word}"))
}

impl Script {
    /// The command of such a line, if it is one.
    pub(super) fn service(&mut self, name: &str, words: &mut Words<'_>) -> Option<Command> {
        Some(match name {
            "quote" => self.quote_exchange(words).into(),
            "exchange" => self.exchange(words).into(),
            "standing" => self.standing_order(words).into(),
            "endorder" => CancelStandingOrder { order: StandingOrderId(numbered(words.next())) }.into(),
            "monitor" => self.monitor(words).into(),
            "unmonitor" => RemoveMonitor { monitor: MonitorId(numbered(words.next())) }.into(),
            _ => return None,
        })
    }

    fn quote_exchange(&self, words: &mut Words<'_>) -> QuoteExchange {
        let (quote, sell, buy) = (numbered(words.next()), words.next(), words.next());
        let (sell_ledger, buy_ledger) = (self.asset_id(sell), self.asset_id(buy));
        let scale_of = |asset: u32| i32::from(self.names.assets[&asset].scale);
        let rate = words.option("rate").unwrap();
        let decimals = rate.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let mantissa: u64 = rate.replace('.', "").parse().unwrap();
        let scale = i32::try_from(decimals).unwrap() + scale_of(sell_ledger) - scale_of(buy_ledger);
        let valid = words.option("valid").map_or(60_000, milliseconds);
        let at = words.words.iter().position(|word| *word == "via").unwrap();
        let [sell_liquidity, buy_liquidity] = [1, 2].map(|next| self.account_named(words.words[at + next]).0);
        words.words.drain(at..at + 3);
        let mut command = QuoteExchange {
            quote: QuoteId(quote.into()),
            client: words.option("for").map_or(ClientId(0), |client| self.client_id(client)),
            sell_ledger: AssetId(sell_ledger),
            buy_ledger: AssetId(buy_ledger),
            rate_mantissa: mantissa * 10_u64.pow(u32::try_from(-scale).unwrap_or(0)),
            rate_scale: u8::try_from(scale).unwrap_or(0),
            sell_liquidity,
            buy_liquidity,
            rounding: self.account_named(words.option("round").unwrap()).0,
            sell_amount_max: self.amount_of(words.option("max").unwrap(), sell_ledger),
            valid_until_ns: self.world.time + valid * 1_000_000,
            source: Text::new(words.option("source").unwrap_or("ECB")).unwrap(),
        };
        for word in words.words.drain(..) {
            match word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place)) {
                ("buy_ledger", value) => command.buy_ledger = AssetId(narrow(value)),
                ("mantissa", value) => command.rate_mantissa = narrow(value),
                ("scale", value) => command.rate_scale = narrow(value),
                ("source", "") => command.source = Text::EMPTY,
                (field, _) => panic!("{}: a quote has no field {field}", words.place),
            }
        }
        command
    }

    fn exchange(&mut self, words: &mut Words<'_>) -> ExchangeCurrency {
        let quote = QuoteId(numbered(words.next()).into());
        let (sell, buy) = (self.account_named(words.next()), self.account_named(words.next()));
        let sell_amount = self.amount_of(words.next(), sell.1);
        let buy_amount_min = words.option("min").map_or(Amount(0), |least| self.amount_of(least, buy.1));
        let name = words.option("as").unwrap();
        let mut id = |leg: &str, ledger| self.transfer_id(&format!("{name}-{leg}"), None, ledger);
        let mut command = ExchangeCurrency {
            quote,
            sell_account: sell.0,
            buy_account: buy.0,
            sell_amount,
            buy_amount_min,
            sell_transfer: id("sell", sell.1),
            buy_transfer: id("buy", buy.1),
            rounding_transfer: id("rounding", buy.1),
            code: 1,
        };
        for word in words.words.drain(..) {
            match word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place)) {
                ("code", value) => command.code = narrow(value),
                ("amount", value) => command.sell_amount = Amount(number(value)),
                ("buy", value) => command.buy_transfer = TransferId(number(value)),
                ("rounding", value) => command.rounding_transfer = TransferId(number(value)),
                (field, _) => panic!("{}: an exchange has no field {field}", words.place),
            }
        }
        command
    }

    fn standing_order(&self, words: &mut Words<'_>) -> DefineStandingOrder {
        let order = StandingOrderId(numbered(words.next()));
        let (debit, credit) = (self.account_named(words.next()), self.account_named(words.next()));
        let amount = self.amount_of(words.next(), debit.1);
        let schedule = named(Schedule::ALL, Schedule::name, words.next());
        let mut command = DefineStandingOrder {
            order,
            debit_account: debit.0,
            credit_account: credit.0,
            amount,
            ledger: AssetId(debit.1),
            code: 1,
            schedule,
            first_date: day(words.option("from").unwrap()),
            last_date: words.option("until").map_or(0, day),
            time_of_day_s: words.option("at").map_or(0, time_of_day),
            day_rule: words
                .option("on")
                .map_or(DayRule::Execute, |rule| named(DayRule::ALL, DayRule::name, rule)),
            retry_days: words.option("retry").map_or(0, |days| days.parse().unwrap()),
            user_data_128: 0,
        };
        for word in words.words.drain(..) {
            match word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place)) {
                ("code", value) => command.code = narrow(value),
                ("ledger", value) => command.ledger = AssetId(narrow(value)),
                ("time", value) => command.time_of_day_s = narrow(value),
                (field, _) => panic!("{}: a standing order has no field {field}", words.place),
            }
        }
        command
    }

    /// The next command is of that time.
    pub(super) fn until(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let (day, time) = (day(words.next()), time_of_day(words.next()));
        let at = (u64::from(day) * 86_400 + u64::from(time)) * 1_000_000_000;
        assert!(at > self.world.time + 1_000, "{}: that time is over", words.place);
        self.world.time = at - 1_000;
        Vec::new()
    }

    fn monitor(&self, words: &mut Words<'_>) -> DefineMonitor {
        let (monitor, of, what) = (MonitorId(numbered(words.next())), words.next(), words.next());
        assert_eq!(of, "of", "{}", words.place);
        let mut subject = (AccountId(0), AssetId(0), 0, None);
        let ledger = match by_name(&self.names.assets, |asset| asset.code == what) {
            Some(ledger) => {
                let (code, class) = (narrow(words.next()), words.next());
                let class = named(AccountClass::ALL, AccountClass::name, class);
                subject = (AccountId(0), AssetId(ledger), code, Some(class));
                ledger
            }
            None => {
                let (account, ledger) = self.account_named(what);
                subject.0 = account;
                ledger
            }
        };
        let field = named(MonitorField::ALL, MonitorField::name, words.next());
        let operator = named(MonitorOperator::ALL, MonitorOperator::name, words.next());
        let value = words.next();
        let negative = value.starts_with('-');
        let value = value.trim_start_matches('-');
        let scale = self.names.assets[&ledger].scale;
        let value = Amount(if value == "max" { u128::MAX } else { decimal(value, scale) });
        let (account, ledger, code, class) = subject;
        let mut command =
            DefineMonitor { monitor, account, ledger, code, class, field, operator, value, negative };
        for word in words.words.drain(..) {
            match word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place)) {
                ("account", value) => command.account = AccountId(number(value)),
                ("ledger", value) => command.ledger = AssetId(narrow(value)),
                ("code", value) => command.code = narrow(value),
                ("class", value) => command.class = AccountClass::from_code(narrow(value)),
                (field, _) => panic!("{}: a monitor has no field {field}", words.place),
            }
        }
        command
    }
}
