//! Phases that change by a market's schedule: entries by days of the week and time of day, holidays, short days.
//!
//! A change is a timer. It waits while the market is not done with what the one before began: an auction, or the end of the day.
//! So whatever was missed is made up for in its order, and an auction that was missed trades before the market closes again.

use protocol::calendar::{DAY_MAX, weekday};
use protocol::commands::SetMarketSchedule;
use protocol::limits::{
    MARKET_SCHEDULE_BEHIND_MAX_MS, MARKET_SCHEDULE_DATES_MAX, MARKET_SCHEDULE_ENTRIES_MAX, UTC_OFFSET_MAX_S,
};
use protocol::rows::{ScheduledPhase, schedule_days};
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{MarketId, MarketPhase, PhaseCause, RejectReason, Seq, UnixNanos, events};

use super::terms::end_of_day;
use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Markets};

const DAYS_PER_WEEK: u32 = 7;

/// The schedule of a market, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct PhaseSchedule {
    pub(crate) definition: SetMarketSchedule,
    /// When the market goes into which phase next; `None` = there is no change any more.
    pub(crate) next: Option<(UnixNanos, MarketPhase)>,
    /// When those orders of the day end that were to end with a close which is not scheduled any more.
    pub(crate) day_ends_at: Option<UnixNanos>,
}

impl PhaseSchedule {
    /// When it has something to do.
    pub(crate) fn due(&self) -> Option<UnixNanos> {
        let next = self.next.map(|(at, _)| at);
        [next, self.day_ends_at].into_iter().flatten().min()
    }

    /// Whether orders of the day end when the market closes, and not at midnight.
    pub(super) fn closes(&self) -> bool {
        self.definition.entries.iter().any(|entry| entry.phase == MarketPhase::Closed)
    }

    /// Whether a market can have it at that time.
    pub(crate) fn is_sound(&self, time: UnixNanos) -> bool {
        let is_none = self.definition == SetMarketSchedule::none(self.definition.market);
        let after = self.next.map_or(time, |(at, _)| UnixNanos(at.0.saturating_sub(1)));
        wrong_field(&self.definition).is_none()
            && change_after(&self.definition, after) == self.next
            && (self.day_ends_at.is_some() || !is_none)
            && (self.day_ends_at.is_none() || !self.closes())
    }
}

/// The schedule of a market, as the command that would set it.
pub(crate) fn in_force(market: &Market) -> SetMarketSchedule {
    let none = || SetMarketSchedule::none(market.definition.market);
    market.schedule.as_ref().map_or_else(none, |schedule| schedule.definition.clone())
}

/// Whether its schedule closes a market.
pub(super) fn closes(market: &Market) -> bool {
    market.schedule.as_ref().is_some_and(|schedule| schedule.closes())
}

/// The name of the first field that no schedule has so.
fn wrong_field(schedule: &SetMarketSchedule) -> Option<&'static str> {
    let SetMarketSchedule { utc_offset_s, behind_utc, entries, holidays, short_days, .. } = schedule;
    let pairs = || entries.iter().zip(entries.iter().skip(1));
    let is_time = |entry: &ScheduledPhase| {
        entry.days != 0 && u64::from(entry.at_ms).saturating_mul(NANOS_PER_MILLI) < NANOS_PER_DAY
    };
    let ascend = pairs().all(|(one, next)| (one.at_ms, one.days) < (next.at_ms, next.days));
    let taken = |entry: &ScheduledPhase| {
        let others = entries.iter().filter(|other| other.at_ms == entry.at_ms && *other != entry);
        others.fold(0, |days, other| days | other.days) & entry.days != 0
    };
    let is_few = entries.len() <= MARKET_SCHEDULE_ENTRIES_MAX;
    let are_entries = is_few && ascend && entries.iter().all(is_time) && !entries.iter().any(taken);
    let are_dates = |days: &[u32]| {
        let ascend = days.iter().zip(days.iter().skip(1)).all(|(one, next)| one < next);
        let may_be = !entries.is_empty() || days.is_empty();
        may_be
            && days.len() <= MARKET_SCHEDULE_DATES_MAX
            && ascend
            && days.iter().all(|day| (1..=DAY_MAX).contains(day))
    };
    let is_holiday = |day: &u32| holidays.binary_search(day).is_ok();
    [
        (*utc_offset_s <= UTC_OFFSET_MAX_S && (*utc_offset_s == 0 || !entries.is_empty()), "utc_offset_s"),
        (!behind_utc || *utc_offset_s > 0, "behind_utc"),
        (are_entries, "entries"),
        (are_dates(holidays), "holidays"),
        (are_dates(short_days) && !short_days.iter().any(is_holiday), "short_days"),
    ]
    .into_iter()
    .find_map(|(is_right, name)| (!is_right).then_some(name))
}

/// The first change of a schedule behind an instant.
fn change_after(schedule: &SetMarketSchedule, after: UnixNanos) -> Option<(UnixNanos, MarketPhase)> {
    let SetMarketSchedule { holidays, short_days, .. } = schedule;
    let today = local_day(schedule, after);
    // A day of the week may be a short one many times over before it is none.
    let passed_over = u32::try_from(short_days.len()).unwrap_or(u32::MAX);
    let last = today.saturating_add(passed_over.saturating_add(2).saturating_mul(DAYS_PER_WEEK));
    let on = |day: u32| first_change(schedule, day, after);
    let first_of = |days: &[u32]| days.iter().copied().filter(|&day| day > last).find_map(on);
    // Where no ordinary day brings one, a holiday or a short day may.
    let behind =
        || [first_of(holidays), first_of(short_days)].into_iter().flatten().min_by_key(|next| next.0);
    (today..=last).find_map(on).or_else(behind)
}

/// The first change of a local day behind an instant.
fn first_change(
    schedule: &SetMarketSchedule,
    day: u32,
    after: UnixNanos,
) -> Option<(UnixNanos, MarketPhase)> {
    if schedule.holidays.binary_search(&day).is_ok() {
        return instant(schedule, day, 0).filter(|&at| at > after).map(|at| (at, MarketPhase::Closed));
    }
    let is_short = schedule.short_days.binary_search(&day).is_ok();
    let bit = if is_short { schedule_days::SHORT_DAYS } else { schedule_days::MONDAY << weekday(day) };
    let entries = schedule.entries.iter().filter(|entry| entry.days & bit != 0);
    let mut changes = entries.filter_map(|entry| Some((instant(schedule, day, entry.at_ms)?, entry.phase)));
    changes.find(|&(at, _)| at > after)
}

/// The local day of an instant, counted from 1970-01-01.
fn local_day(schedule: &SetMarketSchedule, time: UnixNanos) -> u32 {
    let offset = u64::from(schedule.utc_offset_s).saturating_mul(NANOS_PER_SECOND);
    let local =
        if schedule.behind_utc { time.0.saturating_sub(offset) } else { time.0.saturating_add(offset) };
    u32::try_from(local.checked_div(NANOS_PER_DAY).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// When it is so late on a local day; `None` where that is beyond all time.
fn instant(schedule: &SetMarketSchedule, day: u32, at_ms: u32) -> Option<UnixNanos> {
    let of_day = u64::from(at_ms).checked_mul(NANOS_PER_MILLI)?;
    let local = u64::from(day).checked_mul(NANOS_PER_DAY)?.checked_add(of_day)?;
    let offset = u64::from(schedule.utc_offset_s).checked_mul(NANOS_PER_SECOND)?;
    let utc = if schedule.behind_utc { local.checked_add(offset) } else { local.checked_sub(offset) };
    utc.map(UnixNanos)
}

impl Markets {
    pub(crate) fn set_schedule(
        &mut self,
        command: &SetMarketSchedule,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(name) = wrong_field(command) {
            ensure_field(false, name)?;
        }
        let row = self.row(command.market).ok_or(RejectReason::UnknownMarket)?;
        let market = self.rows.at_mut(row);
        ensure(in_force(market) != *command, RejectReason::Exists)?;
        let before = market.schedule.take();
        let mut schedule = PhaseSchedule {
            definition: command.clone(),
            next: change_after(command, effects.time),
            day_ends_at: None,
        };
        if !schedule.closes() && market.phases.has_orders_of_the_day() {
            // Those of before have no end of their own if they were to end with a close.
            let waits = before.as_ref().and_then(|before| before.day_ends_at);
            let was_closed = before.is_some_and(|before| before.closes());
            schedule.day_ends_at = waits.or(was_closed.then(|| end_of_day(effects.time)));
        }
        let does_something = schedule.due().is_some() || !command.entries.is_empty();
        market.schedule = does_something.then(|| Box::new(schedule));
        self.plan(row);
        effects.push(events::MarketScheduleSet { schedule: command.clone() });
        Ok(())
    }

    /// Notes whether something goes on by itself in a market, and when its schedule has something to do: not before that is done.
    pub(crate) fn plan(&mut self, row: u32) {
        let Market { definition, phases, schedule, .. } = self.rows.at_mut(row);
        let market = definition.market;
        if phases.is_unsettled() {
            self.unsettled.insert(market);
        } else {
            self.unsettled.remove(&market);
        }
        let due = schedule.as_ref().filter(|_| !phases.is_unsettled()).and_then(|schedule| schedule.due());
        let before = core::mem::replace(&mut phases.changes_at, due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.changes.remove(&(before, market));
        }
        if let Some(due) = due {
            self.changes.insert((due, market));
        }
    }
}

impl Engine {
    /// Does what a market's schedule has to do next.
    pub(crate) fn follow_schedule(
        &mut self,
        market: MarketId,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let missing = Broken::Index { what: "schedules" };
        let row = self.markets.row(market).ok_or(missing)?;
        let Market { phases, schedule: slot, phase, .. } = self.markets.rows.at_mut(row);
        let schedule = slot.as_mut().ok_or(missing)?;
        // This record's own command comes later.
        let all_orders = Seq(effects.seq.0.saturating_sub(1));
        let due = schedule.due().ok_or(missing)?;
        let Some((at, to)) = schedule.next.filter(|&(at, _)| at == due) else {
            schedule.day_ends_at = None;
            if schedule.definition.entries.is_empty() {
                *slot = None;
            }
            phases.closes = all_orders;
            self.markets.plan(row);
            return Ok(());
        };
        let behind_max = MARKET_SCHEDULE_BEHIND_MAX_MS.saturating_mul(NANOS_PER_MILLI);
        if effects.time.since(at) > behind_max {
            let before = UnixNanos(effects.time.0.saturating_sub(behind_max).saturating_sub(1));
            schedule.next = change_after(&schedule.definition, before);
            if schedule.closes() {
                phases.closes = all_orders;
            }
            self.markets.plan(row);
            return Ok(());
        }
        schedule.next = change_after(&schedule.definition, at);
        if *phase == to && phases.resumes_at.is_none() {
            self.markets.plan(row);
            return Ok(());
        }
        self.go_to(row, to, PhaseCause::Schedule, effects)
    }
}

#[cfg(test)]
mod tests {
    use protocol::calendar::days_since_1970;

    use super::*;

    const HOUR_MS: u32 = 3_600_000;

    fn day(year: u64, month: u64, day: u64) -> u32 {
        u32::try_from(days_since_1970(year, month, day).unwrap()).unwrap()
    }

    fn entry(days: u8, hour: u32, phase: MarketPhase) -> ScheduledPhase {
        ScheduledPhase { days, at_ms: hour.saturating_mul(HOUR_MS), phase }
    }

    fn schedule(entries: Vec<ScheduledPhase>) -> SetMarketSchedule {
        SetMarketSchedule { entries, ..SetMarketSchedule::none(MarketId(1)) }
    }

    /// So many hours behind midnight, UTC.
    fn at(day: u32, hour: u64) -> UnixNanos {
        let of_day = hour.saturating_mul(3_600).saturating_mul(NANOS_PER_SECOND);
        UnixNanos(u64::from(day).saturating_mul(NANOS_PER_DAY).saturating_add(of_day))
    }

    #[test]
    fn changes_follow_the_week_the_holidays_and_the_short_days() {
        use MarketPhase::{Closed, Trading};
        let (weekdays, short) = (0x1F, schedule_days::SHORT_DAYS);
        let friday = day(2026, 1, 2);
        let monday = friday + 3;
        let schedule = SetMarketSchedule {
            holidays: vec![monday, monday + 100],
            short_days: vec![monday + 1],
            ..schedule(vec![
                entry(weekdays | short, 10, Trading),
                entry(short, 13, Closed),
                entry(weekdays, 18, Closed),
            ])
        };
        assert_eq!(wrong_field(&schedule), None);
        let mut changes = Vec::new();
        let mut next = change_after(&schedule, at(friday, 10));
        while let Some(change) = next.filter(|_| changes.len() < 6) {
            changes.push(change);
            next = change_after(&schedule, change.0);
        }
        let expected = [
            (at(friday, 18), Closed),
            (at(monday, 0), Closed),
            (at(monday + 1, 10), Trading),
            (at(monday + 1, 13), Closed),
            (at(monday + 2, 10), Trading),
            (at(monday + 2, 18), Closed),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn local_days_are_those_of_the_offset() {
        use MarketPhase::{Closed, Trading};
        let monday = day(2026, 1, 5);
        let open = schedule(vec![entry(schedule_days::MONDAY, 1, Trading)]);
        let ahead = SetMarketSchedule { utc_offset_s: 3 * 3_600, ..open.clone() };
        assert_eq!(change_after(&ahead, at(monday - 1, 21)), Some((at(monday - 1, 22), Trading)));
        assert_eq!(change_after(&ahead, at(monday - 1, 22)), Some((at(monday + 6, 22), Trading)));
        let behind = SetMarketSchedule { behind_utc: true, holidays: vec![monday + 1], ..ahead };
        assert_eq!(change_after(&behind, at(monday, 3)), Some((at(monday, 4), Trading)));
        assert_eq!(change_after(&behind, at(monday, 4)), Some((at(monday + 1, 3), Closed)));
    }

    #[test]
    fn the_next_change_may_be_years_ahead_or_never() {
        use MarketPhase::{Closed, Trading};
        let today = day(2026, 1, 2);
        let of_short_days = schedule(vec![entry(schedule_days::SHORT_DAYS, 10, Trading)]);
        assert_eq!(change_after(&of_short_days, at(today, 0)), None);
        let far = SetMarketSchedule {
            holidays: vec![today + 4_000],
            short_days: vec![today, today + 3_000],
            ..of_short_days
        };
        assert_eq!(change_after(&far, at(today, 11)), Some((at(today + 3_000, 10), Trading)));
        assert_eq!(change_after(&far, at(today + 3_000, 10)), Some((at(today + 4_000, 0), Closed)));
        // Every Friday of a year is short, and has no entry.
        let fridays = SetMarketSchedule {
            short_days: (0..52).map(|week| today + week * 7).collect(),
            ..schedule(vec![entry(schedule_days::MONDAY << 4, 10, Trading)])
        };
        assert_eq!(change_after(&fridays, at(today, 0)), Some((at(today + 52 * 7, 10), Trading)));
        // Behind the last instant there is none.
        assert_eq!(change_after(&fridays, UnixNanos(u64::MAX)), None);
    }

    #[test]
    fn a_market_has_a_schedule_that_knows_its_next_change_and_one_end_of_its_day() {
        use MarketPhase::{Closed, Trading};
        let monday = day(2026, 1, 5);
        let sound = |definition: SetMarketSchedule, next, day_ends_at| {
            PhaseSchedule { definition, next, day_ends_at }.is_sound(at(monday, 9))
        };
        let opens = schedule(vec![entry(schedule_days::MONDAY, 10, Trading)]);
        let closes = schedule(vec![entry(schedule_days::MONDAY, 10, Closed)]);
        let (next, midnight) = (Some((at(monday, 10), Trading)), Some(at(monday + 1, 0)));
        assert!(sound(opens.clone(), next, None) && sound(opens.clone(), next, midnight));
        assert!(!sound(opens.clone(), Some((at(monday, 11), Trading)), None), "not when it changes");
        assert!(!sound(opens.clone(), Some((at(monday, 10), Closed)), None), "not to what it changes");
        assert!(!sound(opens.clone(), None, None), "it changes");
        let wrong = SetMarketSchedule { holidays: vec![0], ..opens };
        assert!(!sound(wrong, next, None), "no such schedule");
        let next = Some((at(monday, 10), Closed));
        assert!(sound(closes.clone(), next, None));
        assert!(!sound(closes, next, midnight), "the close ends the day");
        let none = schedule(Vec::new());
        assert!(sound(none.clone(), None, midnight), "orders of a day that was to end with a close");
        assert!(!sound(none, None, None), "it does nothing");
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        use MarketPhase::{Closed, Trading};
        let open = entry(1, 10, Trading);
        let right = schedule(vec![open, entry(2, 10, Closed)]);
        assert_eq!(wrong_field(&right), None);
        let with = |entries: Vec<ScheduledPhase>| schedule(entries);
        let many = (0..33).map(|hour| ScheduledPhase { at_ms: hour, ..open }).collect();
        let wrong = [
            (SetMarketSchedule { utc_offset_s: UTC_OFFSET_MAX_S + 1, ..right.clone() }, "utc_offset_s"),
            (SetMarketSchedule { utc_offset_s: 3_600, ..with(Vec::new()) }, "utc_offset_s"),
            (SetMarketSchedule { behind_utc: true, ..right.clone() }, "behind_utc"),
            (with(vec![entry(0, 10, Trading)]), "entries"),
            (with(vec![entry(1, 24, Trading)]), "entries"),
            (with(vec![entry(1, 11, Trading), entry(1, 10, Closed)]), "entries"),
            (with(vec![entry(1, 10, Trading), entry(3, 10, Closed)]), "entries"),
            (with(vec![open, open]), "entries"),
            (with(many), "entries"),
            (SetMarketSchedule { holidays: vec![7], ..with(Vec::new()) }, "holidays"),
            (SetMarketSchedule { holidays: vec![7, 7], ..right.clone() }, "holidays"),
            (SetMarketSchedule { holidays: vec![0], ..right.clone() }, "holidays"),
            (SetMarketSchedule { holidays: (1..258).collect(), ..right.clone() }, "holidays"),
            (SetMarketSchedule { short_days: vec![DAY_MAX + 1], ..right.clone() }, "short_days"),
            (SetMarketSchedule { short_days: (1..258).collect(), ..right.clone() }, "short_days"),
            (SetMarketSchedule { short_days: vec![9], holidays: vec![9], ..right }, "short_days"),
        ];
        for (schedule, field) in wrong {
            assert_eq!(wrong_field(&schedule), Some(field), "{schedule:?}");
        }
    }
}
