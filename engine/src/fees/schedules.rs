//! The schedules of one market: what is in force at a seq has one answer.

use std::collections::BTreeMap;

use protocol::commands::SetFeeSchedule;
use protocol::limits::{FEE_PPM_MAX, FEE_TAX_PPM_MAX, FEE_TIERS_MAX, MARKET_FEE_SCHEDULES_MAX};
use protocol::rows::FeeTier;
use protocol::{Amount, FeeGroupId, RejectReason, Seq};

use super::Rates;
use crate::broken::{Stop, ensure, ensure_field};

/// By group and by the seq from which on each counts, until the next of its group does. Those whose time is over are forgotten when
/// another is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedules(BTreeMap<(FeeGroupId, Seq), SetFeeSchedule>);

impl Schedules {
    /// What a group pays at a seq: by its own schedule, or by that of group 0. `None` = as the market's definition says.
    pub(crate) fn in_force(&self, group: FeeGroupId, at: Seq) -> Option<&SetFeeSchedule> {
        let own = self.of_group(group, at);
        own.or_else(|| self.of_group(FeeGroupId(0), at))
    }

    /// The schedule of a group, and of no other.
    pub(crate) fn of_group(&self, group: FeeGroupId, at: Seq) -> Option<&SetFeeSchedule> {
        let until_then = self.0.range((group, Seq(0))..=(group, at));
        until_then.last().map(|(_, schedule)| schedule).filter(|schedule| !schedule.tiers.is_empty())
    }

    /// The first seq behind `at` with which something changes.
    pub(crate) fn next_behind(&self, at: Seq) -> Option<Seq> {
        self.0.keys().map(|&(_, effective)| effective).filter(|&effective| effective > at).min()
    }

    /// The largest rebate of those that are in force or will be.
    pub(crate) fn rebate_max_ppm(&self, now: Seq) -> u32 {
        let rebates = self.tiers(now).filter(|tier| tier.maker_is_paid).map(|tier| tier.maker_ppm);
        rebates.max().unwrap_or(0)
    }

    /// The smallest fee of the incoming side, likewise.
    fn taker_min_ppm(&self, now: Seq) -> u32 {
        self.tiers(now).map(|tier| tier.taker_ppm).min().unwrap_or(u32::MAX)
    }

    fn tiers(&self, now: Seq) -> impl Iterator<Item = &FeeTier> {
        let counting = self.0.iter().filter(move |&(key, _)| self.counts(*key, now));
        counting.flat_map(|(_, schedule)| &schedule.tiers)
    }

    /// Whether no later one of its group is in force.
    fn counts(&self, (group, effective): (FeeGroupId, Seq), now: Seq) -> bool {
        effective >= now || self.0.range((group, effective.next())..=(group, now)).next().is_none()
    }

    pub(crate) fn sets_tax(&self) -> bool {
        self.0.values().any(|schedule| schedule.tax_ppm > 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of their groups, and of the seqs from which on they count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SetFeeSchedule> {
        self.0.values()
    }

    /// With one more, whose seq is not 0, in place of one for the same group and seq; without those whose time is over at `now`.
    pub(crate) fn with(&self, schedule: SetFeeSchedule, now: Seq) -> Self {
        let mut next = self.clone();
        next.restore(schedule);
        let counting = next.0.iter().filter(|&(key, _)| next.counts(*key, now));
        Self(counting.map(|(key, schedule)| (*key, schedule.clone())).collect())
    }

    /// A schedule that was in force or will be.
    pub(crate) fn restore(&mut self, schedule: SetFeeSchedule) {
        self.0.insert((schedule.fee_group, schedule.effective_seq), schedule);
    }

    /// No rebate is above any fee that may stand against it, and there is room.
    pub(crate) fn check(&self, taker_ppm: u32, now: Seq) -> Result<(), Stop> {
        ensure_field(self.rebate_max_ppm(now) <= self.taker_min_ppm(now).min(taker_ppm), "tiers")?;
        ensure(self.len() <= MARKET_FEE_SCHEDULES_MAX, RejectReason::TableFull)
    }
}

/// The rates of the tier that a volume reaches.
pub(crate) fn rates_at(schedule: &SetFeeSchedule, volume: u128) -> Rates {
    let reached = schedule.tiers.iter().rev().find(|tier| tier.volume_min.0 <= volume);
    reached.map(|tier| Rates::of_tier(tier, schedule.tax_ppm)).unwrap_or_default()
}

/// What can be said of a schedule without its market.
pub(crate) fn check_terms(command: &SetFeeSchedule) -> Result<(), Stop> {
    let SetFeeSchedule { tiers, tax_ppm, .. } = command;
    ensure_field(tiers.len() <= FEE_TIERS_MAX, "tiers")?;
    let is_from_zero = tiers.first().is_none_or(|tier| tier.volume_min == Amount::ZERO);
    let is_ascending = tiers.is_sorted_by(|one, next| one.volume_min < next.volume_min);
    ensure_field(is_from_zero && is_ascending, "tiers")?;
    ensure_field(*tax_ppm <= FEE_TAX_PPM_MAX && (*tax_ppm == 0 || !tiers.is_empty()), "tax_ppm")?;
    let rate_max = |rate_ppm: u32| {
        let taxed =
            u64::from(rate_ppm).saturating_mul(u64::from(FEE_PPM_MAX).saturating_add((*tax_ppm).into()));
        taxed <= u64::from(FEE_PPM_MAX).saturating_mul(FEE_PPM_MAX.into())
    };
    let is_rate = |tier: &FeeTier| {
        rate_max(tier.taker_ppm) && rate_max(tier.maker_ppm) && (tier.maker_ppm > 0 || !tier.maker_is_paid)
    };
    ensure_field(tiers.iter().all(is_rate), "tiers")
}

#[cfg(test)]
mod tests {
    use protocol::MarketId;

    use super::*;

    fn schedule(group: u16, effective: u64, taker_ppm: u32) -> SetFeeSchedule {
        let tier = FeeTier { volume_min: Amount::ZERO, maker_ppm: 0, maker_is_paid: false, taker_ppm };
        SetFeeSchedule {
            market: MarketId(1),
            fee_group: FeeGroupId(group),
            effective_seq: Seq(effective),
            tiers: if taker_ppm == 0 { Vec::new() } else { vec![tier] },
            tax_ppm: 0,
        }
    }

    /// Everything that was ever set, looked through from its end: the last of those for the group, by the seq from which on it
    /// counts, then by when it was set.
    fn said(history: &[SetFeeSchedule], group: u16, at: u64) -> Option<u32> {
        let of = |group: u16| {
            let until_then =
                history.iter().filter(|set| set.fee_group.0 == group && set.effective_seq.0 <= at);
            let last = until_then.max_by_key(|set| set.effective_seq)?;
            last.tiers.first().map(|tier| tier.taker_ppm)
        };
        of(group).or_else(|| of(0))
    }

    #[test]
    fn what_is_in_force_is_what_was_set_last_for_that_seq() {
        for seed in 0..300_u64 {
            let mut state = seed;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let (mut schedules, mut history) = (Schedules::default(), Vec::new());
            for now in 1..60 {
                let effective = now + next(4) * next(8);
                let group = u16::try_from(next(3)).unwrap();
                let set = schedule(group, effective, u32::try_from(next(5)).unwrap());
                schedules = schedules.with(set.clone(), Seq(now));
                history.push(set);
                for at in now..now + 40 {
                    for group in 0..3 {
                        let found = schedules.in_force(FeeGroupId(group), Seq(at));
                        let found = found.and_then(|set| set.tiers.first()).map(|tier| tier.taker_ppm);
                        assert_eq!(
                            found,
                            said(&history, group, at),
                            "seed {seed}, set {now}, at {at}, group {group}"
                        );
                    }
                }
                let begun = schedules.iter().filter(|set| set.effective_seq.0 <= now);
                assert!(begun.count() <= 3, "one of each group; seed {seed}, set {now}");
                let later = history.iter().map(|set| set.effective_seq).filter(|seq| seq.0 > now).min();
                assert_eq!(schedules.next_behind(Seq(now)), later, "seed {seed}, set {now}");
            }
        }
    }
}
