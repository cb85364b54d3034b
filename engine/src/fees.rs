//! Who pays what: a schedule for each market and group of clients, with tiers by what a client traded before.
//!
//! [`schedules`] says what is in force at a seq, [`volume`] what a client traded. Both are looked at when an order is accepted; its
//! [`Rates`] are its own from then on ([`crate::orders::fees`] applies them). They stay what they are until a schedule, a group or the UTC day
//! changes, so a desk keeps them, and an order usually costs two comparisons.

pub(crate) mod schedules;
pub(crate) mod volume;

use std::collections::BTreeMap;

use protocol::commands::{DefineMarket, SetFeeGroup, SetFeeSchedule};
use protocol::limits::FEE_GROUP_CLIENTS_MAX;
use protocol::rows::FeeTier;
use protocol::time::NANOS_PER_DAY;
use protocol::{ClientId, FeeGroupId, MarketId, RejectReason, Seq, UnixNanos, events};

use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::markets::{Desk, Market, Markets};
use crate::rows::NO_ROW;
use volume::PastVolume;

const PPB_PER_PPM: u64 = 1_000;
const MILLION: u64 = 1_000_000;

/// The UTC day of a time, from 1970-01-01.
pub(crate) fn day_of(time: UnixNanos) -> u32 {
    u32::try_from(time.0.checked_div(NANOS_PER_DAY).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// What an order pays, tax included: in billionths of the notional, so that a tax in whole thousandths leaves no fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// While it rests; below zero it is paid that.
    pub(crate) maker_ppb: i32,
    /// While it comes in.
    pub(crate) taker_ppb: u32,
    /// What of a fee is tax: so many millionths of what is left without it.
    pub(crate) tax_ppm: u32,
}

impl Rates {
    /// Of a market without a schedule.
    fn of_market(market: &DefineMarket) -> Self {
        Self::new(market.maker_fee_ppm, false, market.taker_fee_ppm, 0)
    }

    fn of_tier(tier: &FeeTier, tax_ppm: u32) -> Self {
        Self::new(tier.maker_ppm, tier.maker_is_paid, tier.taker_ppm, tax_ppm)
    }

    fn new(maker_ppm: u32, maker_is_paid: bool, taker_ppm: u32, tax_ppm: u32) -> Self {
        // With its tax no rate is above the whole notional, which is a billion: nothing saturates.
        let maker_ppb = i32::try_from(with_tax(maker_ppm, if maker_is_paid { 0 } else { tax_ppm }));
        let maker_ppb = maker_ppb.unwrap_or(i32::MAX);
        Self {
            maker_ppb: if maker_is_paid { maker_ppb.saturating_neg() } else { maker_ppb },
            taker_ppb: u32::try_from(with_tax(taker_ppm, tax_ppm)).unwrap_or(u32::MAX),
            tax_ppm,
        }
    }

    /// The rate that its hold has to cover: it may come in, and it may rest.
    pub(crate) fn worst_ppb(&self) -> u32 {
        self.taker_ppb.max(u32::try_from(self.maker_ppb).unwrap_or(0))
    }
}

/// A rate with its tax, in billionths, rounded down.
fn with_tax(rate_ppm: u32, tax_ppm: u32) -> u64 {
    let taxed = u64::from(rate_ppm).saturating_mul(MILLION.saturating_add(tax_ppm.into()));
    taxed.checked_div(PPB_PER_PPM).unwrap_or(0)
}

/// What is beside the markets' schedules.
#[derive(Clone, Debug)]
pub(crate) struct Fees {
    /// Clients of a group other than 0.
    pub(crate) groups: BTreeMap<ClientId, FeeGroupId>,
    /// Counts what may have changed a rate; a desk whose rates are of another one looks anew. 0 is nobody's.
    epoch: u32,
    /// The next seq at which a schedule comes into force.
    next_effective: Seq,
}

impl Default for Fees {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), epoch: 1, next_effective: Seq(u64::MAX) }
    }
}

impl Fees {
    pub(crate) fn group(&self, client: ClientId) -> FeeGroupId {
        self.groups.get(&client).copied().unwrap_or_default()
    }
}

impl Markets {
    /// What an order that is accepted now pays: of its desk's group and volume.
    #[inline]
    pub(crate) fn rates(&mut self, desk: u32, effects: &Effects<'_>) -> Rates {
        let row = self.desks.at(desk);
        let is_of_now = effects.seq < self.fees.next_effective
            && row.rates_epoch == self.fees.epoch
            && row.day == day_of(effects.time);
        if is_of_now { row.rates } else { self.renew_rates(desk, effects) }
    }

    #[cold]
    fn renew_rates(&mut self, desk: u32, effects: &Effects<'_>) -> Rates {
        if self.fees.next_effective <= effects.seq {
            self.change_fees(effects.seq);
        }
        self.roll_volume(desk, day_of(effects.time));
        let row = self.desks.at(desk);
        let market = self.rows.at(row.market);
        let rates = match market.schedules.in_force(self.fees.group(row.client), effects.seq) {
            Some(schedule) => schedules::rates_at(schedule, self.past.at(desk).sum()),
            None => Rates::of_market(&market.definition),
        };
        let epoch = self.fees.epoch;
        let row = self.desks.at_mut(desk);
        (row.rates, row.rates_epoch) = (rates, epoch);
        rates
    }

    /// Counts what a desk traded.
    #[inline]
    pub(crate) fn add_volume(&mut self, desk: u32, today: u32, notional: u128) {
        if self.desks.at(desk).day != today {
            self.roll_volume(desk, today);
        }
        let row = self.desks.at_mut(desk);
        row.volume = row.volume.saturating_add(notional);
    }

    /// Begins a day of a desk; its rates are of another one.
    fn roll_volume(&mut self, desk: u32, today: u32) {
        let row = self.desks.at_mut(desk);
        if row.day != today {
            self.past.at_mut(desk).close(row.day, core::mem::take(&mut row.volume), today);
            (row.day, row.rates_epoch) = (today, 0);
        }
    }

    /// Has every desk look anew, and knows when it has to again.
    pub(crate) fn change_fees(&mut self, now: Seq) {
        self.fees.epoch = self.fees.epoch.checked_add(1).unwrap_or(1);
        let next = self.rows.iter().filter_map(|market| market.schedules.next_behind(now)).min();
        self.fees.next_effective = next.unwrap_or(Seq(u64::MAX));
    }

    /// Sets a schedule, or takes one away.
    pub(crate) fn set_fee_schedule(
        &mut self,
        command: &SetFeeSchedule,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let now = effects.seq;
        let effective_seq = if command.effective_seq == Seq::ZERO { now } else { command.effective_seq };
        let row = self.row(command.market);
        let before = self.fee_schedule(command.market, command.fee_group, effective_seq);
        let terms = |schedule: &SetFeeSchedule| (schedule.tiers.clone(), schedule.tax_ppm);
        let before = before.map_or((Vec::new(), 0), terms);
        ensure(row.is_none() || before != terms(command), RejectReason::Exists)?;
        ensure_field(effective_seq >= now, "effective_seq")?;
        schedules::check_terms(command)?;
        let row = row.ok_or(RejectReason::UnknownMarket)?;
        let market = self.rows.at_mut(row);
        ensure_field(command.tax_ppm == 0 || market.tax_account != NO_ROW, "tax_ppm")?;
        let schedule = SetFeeSchedule { effective_seq, ..command.clone() };
        let schedules = market.schedules.with(schedule.clone(), now);
        schedules.check(market.definition.taker_fee_ppm, now)?;
        market.schedules = schedules;
        self.change_fees(now);
        effects.push(events::FeeScheduleSet { schedule });
        Ok(())
    }

    /// Puts a client in a group.
    pub(crate) fn set_fee_group(
        &mut self,
        command: &SetFeeGroup,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetFeeGroup { client, fee_group } = command;
        let before = self.fees.group(client);
        ensure(before != fee_group, RejectReason::Exists)?;
        ensure_field(client != ClientId(0), "client")?;
        let groups = &mut self.fees.groups;
        let is_new = before == FeeGroupId(0);
        ensure(!is_new || groups.len() < FEE_GROUP_CLIENTS_MAX, RejectReason::TableFull)?;
        if fee_group == FeeGroupId(0) {
            groups.remove(&client);
        } else {
            groups.insert(client, fee_group);
        }
        self.change_fees(effects.seq);
        effects.push(events::FeeGroupSet { client, fee_group });
        Ok(())
    }

    /// The command that would set what a schedule takes the place of; `None` where there is none.
    pub(crate) fn fee_schedule_before(&self, command: &SetFeeSchedule, now: Seq) -> Option<SetFeeSchedule> {
        self.fee_schedule(command.market, command.fee_group, command.effective_seq.max(now)).cloned()
    }

    /// The schedule of a group, and of no other, that is in force at a seq.
    pub(crate) fn fee_schedule(
        &self,
        market: MarketId,
        group: FeeGroupId,
        at: Seq,
    ) -> Option<&SetFeeSchedule> {
        self.rows.at(self.row(market)?).schedules.of_group(group, at)
    }

    /// No schedule pays more than it takes, and volumes are of desks, by ascending days.
    pub(crate) fn check_fees(&self, now: Seq) -> Result<(), Broken> {
        let is_sound = |market: &Market| {
            let schedules = &market.schedules;
            schedules.check(market.definition.taker_fee_ppm, now).is_ok()
                && schedules.iter().all(|schedule| schedules::check_terms(schedule).is_ok())
                && (market.tax_account != NO_ROW || !schedules.sets_tax())
        };
        let is_counted = |(desk, past): (&Desk, &PastVolume)| {
            let days = past.days();
            days.is_sorted_by(|one, next| one.0 < next.0)
                && days.last().is_none_or(|last| last.0 < desk.day)
                && days.iter().all(|day| day.1 > 0)
        };
        let has_groups = self.fees.groups.iter().all(|(client, group)| client.0 != 0 && group.0 != 0);
        let is_sound = self.rows.iter().all(is_sound)
            && self.desks.len() == self.past.len()
            && self.desks.iter().zip(self.past.iter()).all(is_counted)
            && has_groups;
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "fees" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tax_in_whole_thousandths_leaves_no_fraction() {
        let rates = Rates::new(750, false, 2_000, 50_000);
        assert_eq!(rates, Rates { maker_ppb: 787_500, taker_ppb: 2_100_000, tax_ppm: 50_000 });
        assert_eq!(rates.worst_ppb(), 2_100_000);
        // A rebate bears no tax, and no hold covers it.
        let rates = Rates::new(100, true, 0, 50_000);
        assert_eq!((rates.maker_ppb, rates.taker_ppb, rates.worst_ppb()), (-100_000, 0, 0));
        let most = Rates::new(500_000, false, 1_000_000, 0);
        assert_eq!((most.maker_ppb, most.taker_ppb), (500_000_000, 1_000_000_000));
    }
}
