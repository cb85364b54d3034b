//! The bank's days, as the committed log tells them: each is closed once, by the sums that everything up to then has come to, and the next
//! one is later and a business day. What a client was told of its commands is what the log says.

use std::collections::BTreeMap;

use protocol::commands::CloseDay;
use protocol::event::Event;
use protocol::rows::LedgerTotals;
use protocol::{Command, EventBody, Seq};

use super::{Violation, ensure};
use crate::calendar::Calendar;

const NAME: &str = "days_closed_once";

/// The calendar, and what was made of it where.
#[derive(Default)]
pub(super) struct Days {
    calendar: Calendar,
    done: BTreeMap<Seq, Command>,
}

impl Days {
    /// As it is before the next command.
    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// What an event says of it; `totals` is what the money that has moved comes to.
    ///
    /// # Errors
    /// [`Violation`] if it may not be so.
    pub(super) fn take(
        &mut self,
        event: &Event,
        totals: impl FnOnce() -> Vec<LedgerTotals>,
    ) -> Result<(), Violation> {
        let present = self.calendar.business_date();
        let done = if let EventBody::CalendarSet(set) = &event.body {
            let is_kept = present == 0 || set.calendar.business_date == present;
            ensure(is_kept, NAME, || format!("{set:?}, and day {present} is booked on"))?;
            set.calendar.clone().into()
        } else if let EventBody::DayClosed(closed) = &event.body {
            let (business_date, next) = (closed.business_date, closed.next);
            let is_right = present != 0 && business_date == present && next > present;
            ensure(is_right && self.calendar.is_open(next), NAME, || {
                format!("{closed:?} by {:?}", self.calendar)
            })?;
            let counted = totals();
            ensure(closed.totals == counted, NAME, || format!("{closed:?}, counted {counted:?}"))?;
            CloseDay { business_date, next }.into()
        } else {
            return Ok(());
        };
        self.done.insert(event.seq, done);
        self.calendar.take(event);
        Ok(())
    }

    /// What a client was told is so.
    ///
    /// # Errors
    /// [`Violation`] if it is not.
    pub(super) fn agree(&self, known: &[(Seq, Command)], to: Seq) -> Result<(), Violation> {
        for (seq, command) in known.iter().filter(|(seq, _)| *seq <= to) {
            let done = self.done.get(seq);
            ensure(done == Some(command), NAME, || {
                format!("{command:?} was answered as done at {seq}, where the log has {done:?}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::commands::SetCalendar;
    use protocol::{Amount, AssetId, UnixNanos, events};

    use super::*;

    fn set(business_date: u32) -> EventBody {
        events::CalendarSet { calendar: calendar(business_date) }.into()
    }

    /// The bank is closed on the day behind `20_454`, which is a Thursday.
    fn calendar(business_date: u32) -> SetCalendar {
        SetCalendar {
            business_date,
            weekend_days: 0,
            holidays: vec![20_455],
            value_back_days_max: 1,
            value_ahead_days_max: 2,
            utc_offset_s: 3_600,
            behind_utc: true,
        }
    }

    fn totals(amount: u128) -> Vec<LedgerTotals> {
        let amount = Amount(amount);
        vec![LedgerTotals {
            ledger: AssetId(1),
            debits_pending: Amount(0),
            debits_posted: amount,
            credits_pending: Amount(0),
            credits_posted: amount,
            accounts: 2,
        }]
    }

    fn closed(business_date: u32, next: u32, amount: u128) -> EventBody {
        events::DayClosed { business_date, next, totals: totals(amount) }.into()
    }

    /// What is wrong with a log of these, where 10 have moved.
    fn log(bodies: &[EventBody]) -> Result<Days, Violation> {
        let mut days = Days::default();
        for (seq, body) in (1..).map(Seq).zip(bodies) {
            let event = Event { output: None, seq, time: UnixNanos(0), body: body.clone() };
            days.take(&event, || totals(10))?;
        }
        Ok(days)
    }

    #[test]
    fn a_day_that_is_closed_once_by_the_right_sums_is_right() {
        let days = log(&[set(20_454), closed(20_454, 20_456, 10), set(20_456)]).ok();
        let days = days.filter(|days| days.calendar().business_date() == 20_456);
        let told = |seq: u64, next: u32| {
            let command = CloseDay { business_date: 20_454, next }.into();
            days.as_ref().is_some_and(|days| days.agree(&[(Seq(seq), command)], Seq(3)).is_ok())
        };
        assert!(told(2, 20_456));
        assert!(!told(1, 20_456), "another place");
        assert!(!told(2, 20_457), "another day");
        assert!(told(4, 20_457), "the log is not read so far");
    }

    #[test]
    fn a_day_that_is_closed_twice_or_by_other_sums_is_found() {
        let first = set(20_454);
        assert!(log(&[closed(20_454, 20_456, 10)]).is_err(), "there is no calendar");
        assert!(log(&[first.clone(), closed(20_454, 20_456, 11)]).is_err(), "other sums");
        assert!(log(&[first.clone(), closed(20_454, 20_455, 10)]).is_err(), "a holiday");
        assert!(log(&[first.clone(), closed(20_454, 20_454, 10)]).is_err(), "the same day");
        assert!(log(&[first.clone(), set(20_456)]).is_err(), "a day that was not closed");
        let twice = [first, closed(20_454, 20_456, 10), closed(20_454, 20_456, 10)];
        assert!(log(&twice).is_err(), "twice");
    }

    #[test]
    fn local_midnight_and_value_dates_follow_from_the_calendar() {
        let found = Calendar::of(&calendar(20_454));
        assert_eq!(found.at(20_454, 30), UnixNanos((20_454 * 86_400 + 3_630) * 1_000_000_000));
        assert_eq!(found.local_day(found.at(20_454, 0)), 20_454);
        let admitted: Vec<u32> = (20_450..20_460).filter(|day| found.admits(*day)).collect();
        assert_eq!(admitted, [20_453, 20_454, 20_455, 20_456]);
        // Saturdays and Sundays.
        let weekend = Calendar::of(&SetCalendar { weekend_days: 0x60, ..calendar(20_454) });
        let open: Vec<u32> = (20_454..20_461).filter(|day| weekend.is_open(*day)).collect();
        assert_eq!(open, [20_454, 20_458, 20_459, 20_460]);
    }
}
