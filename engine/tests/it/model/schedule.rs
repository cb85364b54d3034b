//! Phases that follow a schedule, naively: all changes of two years are written down and sorted, and the next one is looked for.

use protocol::MarketPhase;
use protocol::RejectReason::{self, *};
use protocol::commands::SetMarketSchedule;

use super::{DAY, Model};

const MILLI: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct ModelSchedule {
    pub(super) said: SetMarketSchedule,
    /// All changes later than those that were carried out, from the last to the next.
    ahead: Vec<(u64, MarketPhase)>,
    /// Until when orders of the day live that were accepted when the schedule closed the market.
    day_ends_at: Option<u64>,
}

impl ModelSchedule {
    fn closes(&self) -> bool {
        self.said.entries.iter().any(|entry| entry.phase == MarketPhase::Closed)
    }
}

/// What goes on in a market before its schedule goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsettled {
    /// It is on its way through an auction.
    Towards(MarketPhase),
    /// Orders of the day end.
    DayEnds,
}

impl Model {
    pub(crate) fn set_phases(&mut self, said: &SetMarketSchedule) -> Option<RejectReason> {
        if !is_possible(said) {
            return Some(FieldOutOfRange);
        }
        let market = said.market.0;
        let none = SetMarketSchedule::none(said.market);
        let before = self.schedules_of_phases.get(&market).cloned();
        if before.as_ref().map_or(none.clone(), |before| before.said.clone()) == *said {
            return Some(Exists);
        }
        let mut next = ModelSchedule { said: said.clone(), ahead: Vec::new(), day_ends_at: None };
        next.ahead = self.changes(said, self.now);
        let is_of_the_day = |order: &super::ModelOrder| order.is_of_the_day(market);
        if !next.closes() && self.live.iter().any(is_of_the_day) {
            let had_close = before.as_ref().is_some_and(ModelSchedule::closes);
            let waits = before.and_then(|before| before.day_ends_at);
            next.day_ends_at = waits.or(had_close.then_some((self.now / DAY + 1) * DAY));
        }
        self.schedules_of_phases.insert(market, next);
        None
    }

    /// Whether orders of the day that it accepts end with its close alone.
    pub(super) fn ends_the_day(&self, market: u32) -> bool {
        self.schedules_of_phases.get(&market).is_some_and(ModelSchedule::closes)
    }

    /// All changes of the next two years behind an instant, the first one last.
    fn changes(&self, said: &SetMarketSchedule, after: u64) -> Vec<(u64, MarketPhase)> {
        let offset = i64::from(said.utc_offset_s) * if said.behind_utc { -1 } else { 1 };
        let mut changes = Vec::new();
        for day in after / DAY - 1..after / DAY + 730 {
            let at = |ms: u32| {
                let ns = i128::from(day * DAY) + i128::from(u64::from(ms) * MILLI);
                u64::try_from(ns - i128::from(offset) * 1_000_000_000).unwrap()
            };
            let number = u32::try_from(day).unwrap();
            if said.holidays.contains(&number) {
                changes.push((at(0), MarketPhase::Closed));
                continue;
            }
            let is_short = said.short_days.contains(&number);
            // 1970-01-01 was a Thursday.
            let bit = if is_short { 7 } else { (day + 3) % 7 };
            let entries = said.entries.iter().filter(|entry| u64::from(entry.days) >> bit & 1 == 1);
            changes.extend(entries.map(|entry| (at(entry.at_ms), entry.phase)));
        }
        changes.retain(|change| change.0 > after);
        changes.sort_by_key(|change| u64::MAX - change.0);
        changes
    }

    /// (when, market) of the schedule that has something to do next. One whose market is not done with the last change waits.
    pub(super) fn next_change(&self) -> Option<(u64, u32)> {
        let waiting =
            self.schedules_of_phases.iter().filter(|(market, _)| !self.unsettled.contains_key(market));
        let due = waiting.filter_map(|(&market, schedule)| {
            let next = schedule.ahead.last().map(|next| next.0);
            Some((next.into_iter().chain(schedule.day_ends_at).min()?, market))
        });
        due.min()
    }

    pub(super) fn follow_schedule(&mut self, market: u32) {
        let schedule = self.schedules_of_phases.get_mut(&market).unwrap();
        let next = schedule.ahead.last().copied();
        if schedule.day_ends_at.is_some_and(|at| next.is_none_or(|next| at < next.0)) {
            schedule.day_ends_at = None;
            self.unsettled.insert(market, Unsettled::DayEnds);
            return;
        }
        let (at, phase) = next.unwrap();
        let week_ago = self.now - 7 * DAY;
        if at < week_ago {
            self.caught_up += 1;
            schedule.ahead.retain(|next| next.0 >= week_ago);
            if schedule.closes() {
                self.unsettled.insert(market, Unsettled::DayEnds);
            }
            return;
        }
        schedule.ahead.pop();
        if self.markets[&market].1 == phase && !self.resumes.contains_key(&market) {
            return;
        }
        self.scheduled += 1;
        self.begin(market, phase);
    }

    /// Begins to go into another phase; what has to be carried out on the way comes later.
    pub(super) fn begin(&mut self, market: u32, phase: MarketPhase) {
        let before = self.markets[&market].1;
        self.resumes.remove(&market);
        let uncrosses = matches!(phase, MarketPhase::Trading | MarketPhase::PostOnly)
            || before == MarketPhase::Auction && phase == MarketPhase::Closed;
        if uncrosses && self.crossing.contains(&market) {
            self.unsettled.insert(market, Unsettled::Towards(phase));
        } else if phase == MarketPhase::Closed {
            self.markets.get_mut(&market).unwrap().1 = phase;
            if before == MarketPhase::Trading {
                self.prices.remove(&market);
            }
            self.unsettled.insert(market, Unsettled::DayEnds);
        } else {
            self.set_phase(market, phase);
        }
    }

    /// Carries out what a market is in the middle of.
    pub(super) fn go_through(&mut self, market: u32) {
        match self.unsettled.remove(&market).unwrap() {
            Unsettled::Towards(phase) => self.set_phase(market, phase),
            Unsettled::DayEnds => self.end_the_day(market),
        }
    }
}

fn is_possible(said: &SetMarketSchedule) -> bool {
    let SetMarketSchedule { utc_offset_s, behind_utc, entries, holidays, short_days, .. } = said;
    let is_empty = entries.is_empty();
    let mut moments = Vec::new();
    for entry in entries {
        moments.extend((0..8).filter(|bit| entry.days >> bit & 1 == 1).map(|bit| (entry.at_ms, bit)));
    }
    let all = moments.len();
    moments.sort_unstable();
    moments.dedup();
    let rises = |days: &[u32]| days.windows(2).all(|pair| pair[0] < pair[1]) && !days.contains(&0);
    moments.len() == all
        && entries.len() <= 32
        && entries.iter().all(|entry| entry.days > 0 && entry.at_ms < 86_400_000)
        && entries.windows(2).all(|pair| (pair[0].at_ms, pair[0].days) < (pair[1].at_ms, pair[1].days))
        && (*utc_offset_s > 0 || !behind_utc)
        && *utc_offset_s <= 50_400
        && (!is_empty || (*utc_offset_s, holidays.len(), short_days.len()) == (0, 0, 0))
        && rises(holidays)
        && rises(short_days)
        && !holidays.iter().any(|day| short_days.contains(day))
}
