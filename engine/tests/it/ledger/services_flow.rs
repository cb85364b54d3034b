//! Random quotes, exchanges and standing orders: mostly such as could be right, and one fault in some of them.

use protocol::commands::{CancelStandingOrder, DefineStandingOrder, ExchangeCurrency, QuoteExchange};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, Command, DayRule, QuoteId, Schedule, StandingOrderId,
    Text,
};

use super::flow::{Flow, LEDGERS, OWNERS, Step};
use super::model::{Account, Model};

const QUOTES: u64 = 12;
const ORDERS: u64 = 10;
const DAY_NS: u64 = 86_400 * 1_000_000_000;

impl Flow {
    pub(super) fn service(&mut self, model: &Model) -> Step {
        let sender = self.sender(60);
        let command: Command = match self.numbers.below(20) {
            0..=4 => self.quote(model).into(),
            5..=11 => self.exchange(model).into(),
            12..=17 => self.standing_order(model).into(),
            _ => CancelStandingOrder { order: self.standing_order_id(model) }.into(),
        };
        let command = match self.last_service.clone() {
            Some(again) if self.numbers.chance(10) => again,
            Some(_) | None => command,
        };
        self.last_service = Some(command.clone());
        Step::Bank(Some(sender), command)
    }

    /// An account that is so, if there is one; sometimes any.
    fn account_that(&mut self, model: &Model, is: impl Fn(&Account) -> bool) -> AccountId {
        let found: Vec<_> = model.accounts.values().filter(|account| is(account)).collect();
        if found.is_empty() || self.numbers.chance(3) {
            return AccountId(u128::from(self.numbers.between(1, 50)));
        }
        self.numbers.pick(&found).row.id
    }

    fn quote(&mut self, model: &Model) -> QuoteExchange {
        let of = |ledger: u32, classes: &'static [AccountClass]| {
            move |account: &Account| {
                let is = |class: &AccountClass| account.row.class == u16::from(class.code());
                account.row.ledger.0 == ledger && !account.closed && classes.iter().any(is)
            }
        };
        let forward = self.numbers.chance(50);
        let (sell, buy) = if forward { (LEDGERS[0], LEDGERS[1]) } else { (LEDGERS[1], LEDGERS[0]) };
        let liquidity = &[AccountClass::Liquidity];
        let anything = &[AccountClass::Liquidity, AccountClass::Fee, AccountClass::House];
        let sell_liquidity = self.account_that(model, of(sell, liquidity));
        let buy_liquidity = self.account_that(model, of(buy, liquidity));
        let rounding = self.account_that(model, of(buy, anything));
        let numbers = &mut self.numbers;
        let mut quote = QuoteExchange {
            quote: QuoteId(u128::from(numbers.between(1, QUOTES))),
            client: ClientId(if numbers.chance(50) { 0 } else { *numbers.pick(&OWNERS) }),
            sell_ledger: AssetId(sell),
            buy_ledger: AssetId(buy),
            rate_mantissa: (numbers.next() >> numbers.below(64)).max(1),
            rate_scale: u8::try_from(numbers.below(19)).unwrap(),
            sell_liquidity,
            buy_liquidity,
            rounding,
            sell_amount_max: Amount(match numbers.below(4) {
                0 => u128::from(numbers.between(1, 100)),
                1 => u128::MAX,
                _ => u128::MAX >> numbers.below(127),
            }),
            valid_until_ns: model.time + numbers.between(1, 400) * numbers.between(1, 400) * 1_000_000,
            source: Text::new("REUTERS").unwrap(),
        };
        if numbers.chance(60) {
            // About one for one, and inexact.
            quote.rate_scale = u8::try_from(numbers.between(1, 4)).unwrap();
            quote.rate_mantissa =
                10_u64.pow(quote.rate_scale.into()) * numbers.between(1, 4) / 2 + numbers.below(10);
        }
        match numbers.below(50) {
            0 => quote.quote = QuoteId(0),
            1 => quote.buy_ledger = quote.sell_ledger,
            2 => quote.rate_mantissa = 0,
            3 => quote.rate_scale = 19,
            4 => quote.sell_amount_max = Amount(0),
            5 => quote.source = Text::EMPTY,
            6 => quote.valid_until_ns = model.time,
            7 => quote.valid_until_ns = model.time + 32 * DAY_NS,
            8 => quote.rounding = quote.buy_liquidity,
            9 => quote.sell_liquidity = quote.buy_liquidity,
            10 => quote.buy_liquidity = quote.sell_liquidity,
            11 => quote.rounding = quote.sell_liquidity,
            12 => quote.sell_liquidity = AccountId(9_999),
            13 => quote.buy_liquidity = AccountId(9_999),
            14 => quote.rounding = AccountId(9_999),
            _ => {}
        }
        quote
    }

    /// A new exchange, or one that came before.
    fn exchange(&mut self, model: &Model) -> ExchangeCurrency {
        if !self.exchanges.is_empty() && self.numbers.chance(15) {
            return self.numbers.pick(&self.exchanges).clone();
        }
        let exchange = self.new_exchange(model);
        self.exchanges.push(exchange.clone());
        self.exchanges.drain(..self.exchanges.len().saturating_sub(8));
        exchange
    }

    fn new_exchange(&mut self, model: &Model) -> ExchangeCurrency {
        let quotes: Vec<_> = model.bank.quotes.values().cloned().collect();
        let quote = if quotes.is_empty() { None } else { Some(self.numbers.pick(&quotes).clone()) };
        let (id, sell, buy, client, left) = quote.map_or((99, LEDGERS[0], LEDGERS[1], 0, 1), |quote| {
            let terms = &quote.definition;
            (terms.quote.0, terms.sell_ledger.0, terms.buy_ledger.0, terms.client.0, quote.left())
        });
        let is_for = |account: &Account| client == 0 || account.row.owner.0 == client;
        let sell_account =
            self.account_that(model, |account| account.row.ledger.0 == sell && is_for(account));
        let owner = model.accounts.get(&sell_account.0).map_or(0, |account| account.row.owner.0);
        let is_receiver = |account: &Account| account.row.ledger.0 == buy && account.row.owner.0 == owner;
        let buy_account = self.account_that(model, is_receiver);
        let has = model.accounts.get(&sell_account.0).map_or(0, Account::available);
        let (sell_transfer, buy_transfer, rounding_transfer) =
            (self.id(model), self.id(model), self.id(model));
        let numbers = &mut self.numbers;
        let mut exchange = ExchangeCurrency {
            quote: QuoteId(id),
            sell_account,
            buy_account,
            sell_amount: Amount(match numbers.below(12) {
                0 => 0,
                1 => left,
                2 => left.saturating_add(1),
                3 => has,
                4 => u128::MAX >> numbers.below(128),
                _ => u128::from(numbers.between(1, 60)),
            }),
            buy_amount_min: Amount(if numbers.chance(80) { 0 } else { numbers.below(60).into() }),
            sell_transfer,
            buy_transfer,
            rounding_transfer,
            code: u16::try_from(numbers.between(1, 3)).unwrap(),
        };
        match numbers.below(24) {
            0 => exchange.quote = QuoteId(98),
            1 => exchange.buy_transfer = exchange.sell_transfer,
            2 => exchange.rounding_transfer = exchange.buy_transfer,
            3 => exchange.buy_account = exchange.sell_account,
            4 => exchange.sell_account = AccountId(9_999),
            5 => exchange.buy_account = AccountId(9_999),
            6 => exchange.code = 0,
            _ => {}
        }
        exchange
    }

    /// Mostly one that stands.
    fn standing_order_id(&mut self, model: &Model) -> StandingOrderId {
        let ids: Vec<u64> = model.bank.standing_orders.keys().copied().collect();
        let is_known = !ids.is_empty() && self.numbers.chance(70);
        StandingOrderId(if is_known { *self.numbers.pick(&ids) } else { self.numbers.between(1, ORDERS) })
    }

    fn standing_order(&mut self, model: &Model) -> DefineStandingOrder {
        let defined: Vec<_> =
            model.bank.standing_orders.values().map(|order| order.definition.clone()).collect();
        if !defined.is_empty() && self.numbers.chance(15) {
            let mut again = self.numbers.pick(&defined).clone();
            again.amount.0 ^= u128::from(self.numbers.below(2));
            return again;
        }
        let ledger = LEDGERS[0];
        let of_ledger = |account: &Account| account.row.ledger.0 == ledger;
        let (debit_account, credit_account) =
            (self.account_that(model, of_ledger), self.account_that(model, of_ledger));
        let numbers = &mut self.numbers;
        let taken = model.bank.defined.iter().filter(|(debit, _)| *debit == debit_account.0);
        let highest = taken.map(|(_, order)| *order).max().unwrap_or(0);
        let today = u32::try_from(model.time / DAY_NS).unwrap();
        let first_date = today + u32::try_from(numbers.below(6)).unwrap();
        let mut define = DefineStandingOrder {
            // Mostly the next of its account.
            order: StandingOrderId(highest + if numbers.chance(80) { 1 } else { numbers.below(ORDERS) }),
            debit_account,
            credit_account,
            amount: Amount(numbers.between(1, 200).into()),
            ledger: AssetId(ledger),
            code: u16::try_from(numbers.between(1, 3)).unwrap(),
            schedule: *numbers.pick(Schedule::ALL),
            first_date,
            last_date: if numbers.chance(60) {
                0
            } else {
                first_date + u32::try_from(numbers.below(40)).unwrap()
            },
            time_of_day_s: u32::try_from(numbers.below(86_400)).unwrap(),
            day_rule: *numbers.pick(DayRule::ALL),
            retry_days: u8::try_from(numbers.below(5)).unwrap(),
            user_data_128: numbers.below(3).into(),
        };
        if numbers.chance(30) {
            // All at one time of the day: several are due at once.
            define.time_of_day_s = 43_200;
        }
        match numbers.below(40) {
            0 => define.order = StandingOrderId(*numbers.pick(&[0, highest / 2, 1 << 63])),
            1 => define.amount = Amount(0),
            2 => define.code = 0,
            3 => define.first_date = *numbers.pick(&[0, today.saturating_sub(1), 106_751, 106_752]),
            4 => define.last_date = define.first_date.saturating_sub(1).max(1),
            5 => define.time_of_day_s = 86_400,
            6 => define.retry_days = 32,
            7 => define.debit_account = AccountId(9_999),
            8 => define.credit_account = AccountId(9_999),
            9 => define.credit_account = define.debit_account,
            10 => define.ledger = AssetId(LEDGERS[1]),
            _ => {}
        }
        define
    }
}
