//! Quotes and standing orders: what nobody could have commanded is found, and there are no more than there may be.

use protocol::commands::{DefineStandingOrder, QuoteExchange};
use protocol::limits::{QUOTES_MAX, STANDING_ORDERS_MAX, STANDING_ORDERS_OF_PAYERS_MAX};
use protocol::{AccountClass, DayRule, QuoteId, Schedule, StandingOrderId, Text};

use super::*;

const USD: AssetId = AssetId(2);
/// The day behind [`TIME`].
const TOMORROW: u32 = 20_455;

fn id(row: u32) -> AccountId {
    AccountId(100 + u128::from(row))
}

fn standing(order: u64) -> DefineStandingOrder {
    DefineStandingOrder {
        order: StandingOrderId(order),
        debit_account: id(CLIENT),
        credit_account: id(HOUSE),
        amount: Amount(1),
        ledger: TRY,
        code: 1,
        schedule: Schedule::Daily,
        first_date: TOMORROW,
        last_date: 0,
        time_of_day_s: 0,
        day_rule: DayRule::Execute,
        retry_days: 1,
        user_data_128: 0,
    }
}

/// With an order that was attempted once, and a quote of which one was sold.
fn with_both(break_it: impl FnOnce(&mut StandingOrder, &mut Quote)) -> Ledger {
    let mut ledger = ledger();
    let desk =
        |row, ledger| Account { class: AccountClass::Liquidity, ledger, ..account(row, ClientId(0), 0) };
    add(&mut ledger, desk(3, USD));
    add(&mut ledger, desk(4, TRY));
    let definition = QuoteExchange {
        quote: QuoteId(1),
        client: ClientId(0),
        sell_ledger: USD,
        buy_ledger: TRY,
        rate_mantissa: 34,
        rate_scale: 0,
        sell_liquidity: id(3),
        buy_liquidity: id(4),
        rounding: id(HOUSE),
        sell_amount_max: Amount(5),
        valid_until_ns: TIME.0 + 1,
        source: Text::truncated("ECB"),
    };
    let mut quote = Quote { definition, left: 4 };
    let (occurrence, day) = (TOMORROW, TOMORROW + 1);
    let mut order = StandingOrder { definition: standing(1), occurrence, day, attempt: 2, due: TIME };
    break_it(&mut order, &mut quote);
    ledger.quotes.add(quote);
    ledger.standing_orders.take_id(standing(1).debit_account, StandingOrderId(1));
    ledger.standing_orders.add(order);
    ledger
}

#[test]
fn quotes_that_nobody_could_have_commanded_are_found() {
    assert_eq!(with_both(|_, _| {}).check(), Ok(()));
    let breaks: [fn(&mut Quote); 6] = [
        |quote| quote.left = 6,
        |quote| quote.definition.rate_mantissa = 0,
        |quote| quote.definition.rate_scale = 19,
        |quote| quote.definition.sell_liquidity = id(9),
        |quote| quote.definition.buy_liquidity = id(HOUSE),
        |quote| quote.definition.rounding = id(4),
    ];
    for (at, break_it) in breaks.into_iter().enumerate() {
        let ledger = with_both(|_, quote| break_it(quote));
        assert_eq!(ledger.check(), Err(index("quotes")), "the one at {at}");
    }
}

#[test]
fn standing_orders_that_nobody_could_have_commanded_are_found() {
    let breaks: [fn(&mut StandingOrder); 7] = [
        |order| order.attempt = 0,
        |order| order.attempt = 3,
        |order| order.occurrence = u32::MAX,
        |order| order.definition.amount = Amount(0),
        |order| order.definition.debit_account = id(9),
        |order| order.definition.ledger = USD,
        |order| order.definition.order = StandingOrderId(2),
    ];
    for (at, break_it) in breaks.into_iter().enumerate() {
        let ledger = with_both(|order, _| break_it(order));
        assert_eq!(ledger.check(), Err(index("standing orders")), "the one at {at}");
    }
}

#[test]
fn ids_of_standing_orders_that_no_order_can_have_had_are_found() {
    for (debit, order) in [(id(9), StandingOrderId(1)), (id(HOUSE), StandingOrderId(0))] {
        let mut ledger = with_both(|_, _| {});
        ledger.standing_orders.take_id(debit, order);
        assert_eq!(ledger.check(), Err(index("standing orders")), "{order:?} of {debit:?}");
    }
}

#[test]
fn there_are_no_more_quotes_than_there_may_be() {
    let mut ledger = with_both(|_, _| {});
    let one = ledger.quotes.iter().next().unwrap().clone();
    let quote = |number: usize| {
        let mut quote = one.clone();
        quote.definition.quote = QuoteId(u128::try_from(number).unwrap());
        quote
    };
    (2..QUOTES_MAX).for_each(|number| ledger.quotes.add(quote(number)));
    let mut offer = |number| {
        let quote = quote(number).definition;
        command(&mut ledger, |ledger, effects| ledger.quote_exchange(&quote, effects))
    };
    assert_eq!(offer(QUOTES_MAX), Ok(()));
    assert_eq!(offer(QUOTES_MAX + 1), Err(RejectReason::TableFull.into()));
}

#[test]
fn a_quote_that_is_over_when_it_is_made_is_none() {
    let mut ledger = with_both(|_, _| {});
    let mut quote = ledger.quotes.iter().next().unwrap().definition.clone();
    quote.quote = QuoteId(2);
    let mut offer = |valid_until_ns| {
        let quote = QuoteExchange { valid_until_ns, ..quote.clone() };
        command(&mut ledger, |ledger, effects| ledger.quote_exchange(&quote, effects))
    };
    let refused = refuse_field(RejectReason::FieldOutOfRange, "valid_until_ns");
    assert_eq!(offer(TIME.0), Err(refused));
    assert_eq!(offer(TIME.0 + 1), Ok(()));
}

#[test]
fn payers_leave_an_eighth_of_the_standing_orders_to_cashiers() {
    let mut ledger = with_both(|_, _| {});
    let one = ledger.standing_orders.iter().next().unwrap().clone();
    let fill = |ledger: &mut Ledger, from: usize, to: usize| {
        for number in from..to {
            let mut order = one.clone();
            order.definition.order = StandingOrderId(u64::try_from(number).unwrap());
            ledger.standing_orders.add(order);
        }
    };
    let define = |ledger: &mut Ledger, number: usize, payers| {
        let order = standing(u64::try_from(number).unwrap());
        command(ledger, |ledger, effects| ledger.define_standing_order(&order, payers, effects))
    };
    let payer = Payers::Clients(&[OWNER]);
    let (full, payers_max) = (Err(RejectReason::TableFull.into()), STANDING_ORDERS_OF_PAYERS_MAX);
    fill(&mut ledger, 2, payers_max);
    assert_eq!(define(&mut ledger, payers_max, payer), Ok(()));
    assert_eq!(define(&mut ledger, payers_max + 1, payer), full);
    assert_eq!(define(&mut ledger, payers_max + 1, Payers::Everybody), Ok(()));
    fill(&mut ledger, payers_max + 2, STANDING_ORDERS_MAX);
    assert_eq!(define(&mut ledger, STANDING_ORDERS_MAX, Payers::Everybody), Ok(()));
    assert_eq!(define(&mut ledger, STANDING_ORDERS_MAX + 1, Payers::Everybody), full);
}
