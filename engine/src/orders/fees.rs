//! Fees, taxes and rebates of an order's fills, and what they mean for holds.
//!
//! Rule *cumulative ceiling per order*: what an order was charged in all, its taxes with it and its rebates off it, is
//! ⌈Σ notional × rate⌉ of its fills, rounded once and not per fill: a fee up, a rebate down. Only the residue is kept, that is, how much more
//! was charged than owed, in billionths of a minor unit. So an order's fees never exceed those of its worst case, in however many fills it
//! trades, and no fill's are above its notional, out of which a seller pays them.
//!
//! A fee and its tax are charged as one number; what of it is tax is ⌊Σ charged × tax ÷ (10^6 + tax)⌋, in millionths. So no rounding of
//! a tax can ask for more than was held.

use protocol::commands::DefineMarket;
use protocol::limits::FEE_TAX_PPM_MAX;
use protocol::{Liquidity, Side};

use crate::broken::{Broken, sum};
use crate::fees::Rates;
use crate::markets::Order;

const MILLION: u128 = 1_000_000;
/// Parts of a minor unit in which fees are computed.
pub(crate) const BILLION: u128 = 1_000_000_000;
const BILLION_U64: u64 = 1_000_000_000;

/// What one side of a fill pays, or is paid, in minor units of quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Without tax.
    pub(crate) fee: u128,
    pub(crate) tax: u128,
    /// Whether the fee is paid to the client.
    pub(crate) is_rebate: bool,
}

/// Charges an order for a fill of `notional`.
#[inline]
pub(crate) fn charge_fill(order: &mut Order, notional: u128, liquidity: Liquidity) -> Result<Charge, Broken> {
    let rates = order.rates;
    let rate_ppb = match liquidity {
        Liquidity::Taker | Liquidity::Auction => rates.taker_ppb,
        Liquidity::Maker => match u32::try_from(rates.maker_ppb) {
            Ok(rate_ppb) => rate_ppb,
            Err(_) => {
                let rebate_ppb = rates.maker_ppb.unsigned_abs();
                let (fee, residue_ppb) = rebate(order.fee_residue_ppb, notional, rebate_ppb)?;
                order.fee_residue_ppb = residue_ppb;
                return Ok(Charge { fee, tax: 0, is_rebate: true });
            }
        },
    };
    let (charged, residue_ppb) = charge(order.fee_residue_ppb, notional, rate_ppb)?;
    order.fee_residue_ppb = residue_ppb;
    let (tax, tax_residue) = tax_in(order.tax_residue, charged, rates.tax_ppm)?;
    order.tax_residue = tax_residue;
    let fee = charged.checked_sub(tax).ok_or(OVERFLOW)?;
    Ok(Charge { fee, tax, is_rebate: false })
}

const OVERFLOW: Broken = Broken::Overflow { what: "fee" };

/// What a fill of `notional` is charged at `rate_ppb` after fills that left `residue_ppb`, and the residue that it leaves.
pub(crate) fn charge(residue_ppb: u32, notional: u128, rate_ppb: u32) -> Result<(u128, u32), Broken> {
    let owed = notional.checked_mul(rate_ppb.into()).ok_or(OVERFLOW)?;
    let Some(unpaid) = owed.checked_sub(residue_ppb.into()) else {
        // Less than the residue, which fits.
        let residue = u128::from(residue_ppb).saturating_sub(owed);
        return Ok((0, u32::try_from(residue).map_err(|_| OVERFLOW)?));
    };
    let (charged, over) = match u64::try_from(unpaid) {
        Ok(unpaid) => {
            let charged = unpaid.div_ceil(BILLION_U64);
            (charged.into(), charged.wrapping_mul(BILLION_U64).wrapping_sub(unpaid).into())
        }
        Err(_) => {
            let charged = unpaid.div_ceil(BILLION);
            (charged, charged.checked_mul(BILLION).ok_or(OVERFLOW)?.saturating_sub(unpaid))
        }
    };
    Ok((charged, u32::try_from(over).map_err(|_| OVERFLOW)?))
}

/// What is paid to the resting side for a fill of `notional`, and the residue that it leaves: [`charge`] below zero.
fn rebate(residue_ppb: u32, notional: u128, rate_ppb: u32) -> Result<(u128, u32), Broken> {
    let owed = notional.checked_mul(rate_ppb.into()).ok_or(OVERFLOW)?;
    let due = sum(owed, residue_ppb.into(), "fee")?;
    let (paid, residue) = (due.checked_div(BILLION), due.checked_rem(BILLION));
    let (paid, residue) = paid.zip(residue).ok_or(OVERFLOW)?;
    Ok((paid, u32::try_from(residue).map_err(|_| OVERFLOW)?))
}

/// What of `charged` is tax, after fills that left `residue`, and the residue that it leaves, both in parts of (10^6 + `tax_ppm`).
fn tax_in(residue: u32, charged: u128, tax_ppm: u32) -> Result<(u128, u32), Broken> {
    if tax_ppm == 0 {
        return Ok((0, residue));
    }
    let parts = u128::from(tax_ppm).saturating_add(MILLION);
    let due = charged.checked_mul(tax_ppm.into()).and_then(|due| due.checked_add(residue.into()));
    let due = due.ok_or(OVERFLOW)?;
    let (tax, residue) = due.checked_div(parts).zip(due.checked_rem(parts)).ok_or(OVERFLOW)?;
    Ok((tax, u32::try_from(residue).map_err(|_| OVERFLOW)?))
}

/// Whether an order's rates and residues are such as its market and its fills can have left.
pub(crate) fn is_sound(order: &Order) -> bool {
    let Rates { maker_ppb, taker_ppb, tax_ppm } = order.rates;
    let rate_max = u128::from(maker_ppb.unsigned_abs().max(taker_ppb));
    let tax_residue_max =
        if tax_ppm == 0 { 0 } else { MILLION.saturating_add(tax_ppm.into()).saturating_sub(1) };
    rate_max <= BILLION
        && tax_ppm <= FEE_TAX_PPM_MAX
        && u128::from(order.fee_residue_ppb) < BILLION
        && u128::from(order.tax_residue) <= tax_residue_max
}

/// The largest notional that a budget pays, its fee included; `None` for a budget past what can be computed.
pub(crate) fn affordable(budget: u128, rate_ppb: u32) -> Option<u128> {
    // n + ⌈n × r / 10^9⌉ <= b, with n and b whole, says the same as n × (10^9 + r) <= b × 10^9.
    budget.checked_mul(BILLION)?.checked_div(BILLION.checked_add(u128::from(rate_ppb))?)
}

/// What the rest of an order costs at worst, beyond what was charged: of a sell its base, of a buy with a price its
/// notional at its limit and the larger of its fees, tax included. A rebate makes no order cheaper.
pub(crate) fn worst_case(order: &Order, market: &DefineMarket) -> Result<u128, Broken> {
    worst_case_at(order, (order.limit(), order.leaves()), order.rates, market)
}

/// As [`worst_case`], if so much were left of the order at this price and these rates.
pub(crate) fn worst_case_at(
    order: &Order,
    (price, leaves): (u64, u64),
    rates: Rates,
    market: &DefineMarket,
) -> Result<u128, Broken> {
    let overflow = Broken::Overflow { what: "worst case of an order" };
    let leaves = u128::from(leaves);
    match order.side {
        Side::Sell => leaves.checked_mul(market.lot_base_minor.0).ok_or(overflow),
        Side::Buy => {
            let ticks_lots = leaves.checked_mul(u128::from(price)).ok_or(overflow)?;
            let notional = ticks_lots.checked_mul(market.tick_quote_minor.0).ok_or(overflow)?;
            let (charged, _) = charge(order.fee_residue_ppb, notional, rates.worst_ppb())?;
            sum(notional, charged, "worst case of an order")
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{OrderId, OrderType, Text, TimeInForce};

    use super::*;
    use crate::markets::Place;

    /// A small linear congruential generator (Knuth's constants): the tests are a function of their seed.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).checked_rem(below).unwrap()
        }
    }

    fn order() -> Order {
        Order {
            id: OrderId(1),
            cl_ord_id: Text::EMPTY,
            session: 0,
            desk: 0,
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            price: 1,
            qty: 1,
            cum: 0,
            cum_ticks_lots: 0,
            held: 0,
            fee_residue_ppb: 0,
            tax_residue: 0,
            rates: Rates::default(),
            amendments: 0,
            terms: None,
            newer: Place::NONE,
            older: Place::NONE,
        }
    }

    #[test]
    fn fees_of_many_fills_are_the_ceiling_of_their_sum_and_stay_below_the_worst_case() {
        let billion = i128::try_from(BILLION).unwrap();
        for seed in 0..3_000 {
            let mut next = numbers(seed);
            // Dear and cheap: fills of a few units at half their notional, and of many at next to nothing.
            let rate_max = *[5_000_000, 500_000_000].get(usize::try_from(next(2)).unwrap()).unwrap();
            let mut rate = || u32::try_from(next(rate_max)).unwrap();
            let (maker, taker) = (rate(), rate());
            let maker_pays = next(3) > 0;
            let tax_ppm = u32::try_from(next(2) * next(1_000_000)).unwrap();
            let mut order = order();
            let maker_ppb = i32::try_from(maker).unwrap();
            order.rates.maker_ppb = if maker_pays { maker_ppb } else { -maker_ppb };
            (order.rates.taker_ppb, order.rates.tax_ppm) = (taker, tax_ppm);
            let worst_rate = order.rates.worst_ppb();
            let fills: Vec<u128> = (0..=next(30)).map(|_| u128::from(next(rate_max / 1_000))).collect();
            let hold = charge(0, fills.iter().sum(), worst_rate).unwrap().0;
            let (mut charged, mut owed, mut with_tax, mut taxes) = (0_i128, 0_i128, 0_u128, 0_u128);
            for (n, &notional) in fills.iter().enumerate() {
                let liquidity = match next(3) {
                    0 => Liquidity::Maker,
                    1 => Liquidity::Taker,
                    _ => Liquidity::Auction,
                };
                let rate_ppb: i128 = match liquidity {
                    Liquidity::Maker => order.rates.maker_ppb.into(),
                    Liquidity::Taker | Liquidity::Auction => taker.into(),
                };
                let Charge { fee, tax, is_rebate } = charge_fill(&mut order, notional, liquidity).unwrap();
                assert!(is_sound(&order), "seed {seed}, fill {n}");
                assert_eq!(is_rebate, rate_ppb < 0, "seed {seed}, fill {n}");
                let (total, signed) = (fee + tax, i128::try_from(fee + tax).unwrap());
                charged += if is_rebate { -signed } else { signed };
                owed += i128::try_from(notional).unwrap() * rate_ppb;
                let ceiling = owed.div_euclid(billion) + i128::from(owed.rem_euclid(billion) > 0);
                assert_eq!(charged, ceiling, "seed {seed}, fill {n}");
                with_tax += if is_rebate { 0 } else { total };
                taxes += tax;
                let tax_in_all = with_tax * u128::from(tax_ppm) / (MILLION + u128::from(tax_ppm));
                assert_eq!(taxes, tax_in_all, "seed {seed}, fill {n}");
                assert!(total <= notional, "a seller's fee is paid from the proceeds; seed {seed}, fill {n}");
                let rest: u128 = fills.iter().skip(n + 1).sum();
                let rest_at_worst =
                    i128::try_from(charge(order.fee_residue_ppb, rest, worst_rate).unwrap().0);
                let hold = i128::try_from(hold).unwrap();
                assert!(charged + rest_at_worst.unwrap() <= hold, "seed {seed}, fill {n}");
            }
        }
    }

    #[test]
    fn rates_and_residues_that_no_fill_leaves_are_found() {
        let with = |rates: (i32, u32, u32), residues: (u32, u32)| {
            let (maker_ppb, taker_ppb, tax_ppm) = rates;
            let rates = Rates { maker_ppb, taker_ppb, tax_ppm };
            let (fee_residue_ppb, tax_residue) = residues;
            is_sound(&Order { rates, fee_residue_ppb, tax_residue, ..order() })
        };
        for largest in [(1_000_000_000, 0, 0), (-1_000_000_000, 0, 0), (0, 1_000_000_000, 0)] {
            assert!(with(largest, (999_999_999, 0)), "{largest:?}");
        }
        for beyond in [(1_000_000_001, 0, 0), (-1_000_000_001, 0, 0), (0, 1_000_000_001, 0)] {
            assert!(!with(beyond, (0, 0)), "{beyond:?}");
        }
        assert!(!with((0, 0, 0), (1_000_000_000, 0)), "a whole unit is no residue");
        assert!(!with((0, 0, 0), (0, 1)), "no tax, and a residue of it");
        let tax_ppm = FEE_TAX_PPM_MAX;
        assert!(with((0, 0, tax_ppm), (0, 999_999 + tax_ppm)));
        assert!(!with((0, 0, tax_ppm), (0, 1_000_000 + tax_ppm)));
        assert!(!with((0, 0, tax_ppm + 1), (0, 0)));
    }

    #[test]
    fn numbers_beyond_64_bits_are_charged_as_those_below() {
        for seed in 0..5_000 {
            let mut next = numbers(seed);
            let shift = u32::try_from(next(60)).unwrap();
            let notional = (u128::from(next(u64::from(u32::MAX))) << shift) + u128::from(next(1_000));
            let rate = u32::try_from(next(1_000_000_001)).unwrap();
            let residue = u32::try_from(next(1_000_000_000)).unwrap();
            let (charged, left) = charge(residue, notional, rate).unwrap();
            let owed = notional * u128::from(rate);
            assert_eq!(charged * BILLION + u128::from(residue), owed + u128::from(left), "seed {seed}");
            assert!(u128::from(left) < BILLION, "seed {seed}");
            let (paid, left) = rebate(residue, notional, rate).unwrap();
            assert_eq!(paid * BILLION + u128::from(left), owed + u128::from(residue), "seed {seed}");
            assert!(u128::from(left) < BILLION, "seed {seed}");
        }
        assert_eq!(charge(0, u128::MAX, 2), Err(OVERFLOW));
        assert_eq!(rebate(0, u128::MAX, 2), Err(OVERFLOW));
    }

    #[test]
    fn a_budget_pays_its_largest_notional_and_not_one_unit_more() {
        for seed in 0..5_000 {
            let mut next = numbers(seed);
            let (budget, rate) = (u128::from(next(100_000)), u32::try_from(next(1_000_000_001)).unwrap());
            let cost = |notional: u128| notional + charge(0, notional, rate).unwrap().0;
            let notional = affordable(budget, rate).unwrap();
            assert!(cost(notional) <= budget && cost(notional + 1) > budget, "seed {seed}");
        }
        assert_eq!(affordable(u128::MAX, 1), None);
    }
}
