//! Fees, and what they mean for holds.
//!
//! Rule *cumulative ceiling per order*: what an order was charged in all is ⌈Σ notional × rate⌉ of its fills, rounded up
//! once and not per fill. Only the residue is kept, that is, how much more was charged than owed, in millionths of a
//! minor unit. So an order's fees never exceed those of its worst case, in however many fills it trades.

use protocol::Side;
use protocol::commands::DefineMarket;

use crate::broken::{Broken, sum};
use crate::markets::Order;

const MILLION: u128 = 1_000_000;

/// The fee of one fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// In minor units of quote.
    pub(crate) fee: u128,
    /// Charged more than owed, in all of the order's fills; below a million.
    pub(crate) residue_ppm: u32,
}

/// The fee of a fill of `notional` at `rate_ppm`, after fills that left `residue_ppm`.
pub(crate) fn charge(residue_ppm: u32, notional: u128, rate_ppm: u32) -> Result<Charge, Broken> {
    let overflow = Broken::Overflow { what: "fee" };
    let owed = notional.checked_mul(u128::from(rate_ppm)).ok_or(overflow)?;
    let residue = u128::from(residue_ppm);
    let (fee, residue) = match owed.checked_sub(residue) {
        None => (0, residue.saturating_sub(owed)),
        Some(unpaid) => {
            let fee = unpaid.div_ceil(MILLION);
            (fee, fee.checked_mul(MILLION).ok_or(overflow)?.saturating_sub(unpaid))
        }
    };
    Ok(Charge { fee, residue_ppm: u32::try_from(residue).map_err(|_| overflow)? })
}

/// The largest notional that a budget pays, its fee included; `None` for a budget past what can be computed.
pub(crate) fn affordable(budget: u128, rate_ppm: u32) -> Option<u128> {
    // n + ⌈n × r / 10^6⌉ <= b, with n and b whole, says the same as n × (10^6 + r) <= b × 10^6.
    budget.checked_mul(MILLION)?.checked_div(MILLION.checked_add(u128::from(rate_ppm))?)
}

/// What the rest of an order costs at worst, beyond what was charged: of a sell its base, of a buy with a price its
/// notional at that price and the larger of its fees.
pub(crate) fn worst_case(order: &Order, market: &DefineMarket) -> Result<u128, Broken> {
    let overflow = Broken::Overflow { what: "worst case of an order" };
    let leaves = u128::from(order.leaves());
    match order.side {
        Side::Sell => leaves.checked_mul(market.lot_base_minor.0).ok_or(overflow),
        Side::Buy => {
            let ticks_lots = leaves.checked_mul(u128::from(order.price)).ok_or(overflow)?;
            let notional = ticks_lots.checked_mul(market.tick_quote_minor.0).ok_or(overflow)?;
            let rate_ppm = order.maker_fee_ppm.max(order.taker_fee_ppm);
            sum(notional, charge(order.fee_residue_ppm, notional, rate_ppm)?.fee, "worst case of an order")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small linear congruential generator (Knuth's constants): the tests are a function of their seed.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).checked_rem(below).unwrap()
        }
    }

    #[test]
    fn fees_of_many_fills_are_the_ceiling_of_their_sum_and_stay_below_the_worst_case() {
        for seed in 0..2_000 {
            let mut next = numbers(seed);
            let (maker, taker) = (u32::try_from(next(5_000)).unwrap(), u32::try_from(next(5_000)).unwrap());
            let fills: Vec<u128> = (0..=next(30)).map(|_| u128::from(next(3_000))).collect();
            let worst_rate = maker.max(taker);
            let hold = charge(0, fills.iter().sum(), worst_rate).unwrap().fee;
            let (mut residue, mut charged, mut owed) = (0, 0, 0);
            for (n, &notional) in fills.iter().enumerate() {
                let rate = if next(2) == 0 { maker } else { taker };
                let Charge { fee, residue_ppm } = charge(residue, notional, rate).unwrap();
                residue = residue_ppm;
                charged += fee;
                owed += notional * u128::from(rate);
                assert_eq!(charged, owed.div_ceil(MILLION), "seed {seed}, fill {n}");
                assert!(fee <= notional, "a seller's fee is paid from the proceeds; seed {seed}, fill {n}");
                let rest: u128 = fills.iter().skip(n + 1).sum();
                let rest_at_worst = charge(residue, rest, worst_rate).unwrap().fee;
                assert!(charged + rest_at_worst <= hold, "seed {seed}, fill {n}");
            }
        }
    }

    #[test]
    fn a_budget_pays_its_largest_notional_and_not_one_unit_more() {
        for seed in 0..5_000 {
            let mut next = numbers(seed);
            let (budget, rate) = (u128::from(next(100_000)), u32::try_from(next(1_000_001)).unwrap());
            let cost = |notional: u128| notional + charge(0, notional, rate).unwrap().fee;
            let notional = affordable(budget, rate).unwrap();
            assert!(cost(notional) <= budget && cost(notional + 1) > budget, "seed {seed}");
        }
        assert_eq!(affordable(u128::MAX, 1), None);
    }
}
