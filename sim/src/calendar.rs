//! The bank's calendar as events tell it: which day is booked on, when it is midnight, and on which days the bank is open. In loops and
//! whole seconds; it shares nothing with the engine's.

use protocol::commands::SetCalendar;
use protocol::event::Event;
use protocol::time::NANOS_PER_SECOND;
use protocol::{EventBody, Seq, UnixNanos};

/// Seconds of a day.
pub(crate) const SECONDS_PER_DAY: u64 = 86_400;
/// 1970-01-01 was a Thursday; days of the week are counted from Monday.
const WEEKDAY_OF_DAY_0: u32 = 3;

/// The calendar; without one the bank is always open, and local time is UTC.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calendar {
    /// As it was set last, with the present business date.
    set: Option<SetCalendar>,
    /// The newest event that was taken.
    told_at: Seq,
    /// When the calendar itself was set last.
    set_at: Seq,
}

impl Calendar {
    pub(crate) fn of(set: &SetCalendar) -> Self {
        Self { set: Some(set.clone()), ..Self::default() }
    }

    /// Takes note of what an event says of it. One that is older than what is known says nothing.
    pub(crate) fn take(&mut self, event: &Event) {
        if event.seq <= self.told_at {
            return;
        }
        if let EventBody::CalendarSet(set) = &event.body {
            self.set = Some(set.calendar.clone());
            (self.told_at, self.set_at) = (event.seq, event.seq);
        } else if let EventBody::DayClosed(closed) = &event.body {
            self.set.iter_mut().for_each(|set| set.business_date = closed.next);
            self.told_at = event.seq;
        }
    }

    /// When it was set last; 0 = never, or that is not known.
    pub(crate) fn set_at(&self) -> Seq {
        self.set_at
    }

    /// The day that is booked on; 0 = there is none.
    pub(crate) fn business_date(&self) -> u32 {
        self.set.as_ref().map_or(0, |set| set.business_date)
    }

    pub(crate) fn is_open(&self, day: u32) -> bool {
        self.set.as_ref().is_none_or(|set| {
            let weekday = (day + WEEKDAY_OF_DAY_0) % 7;
            set.weekend_days & (1 << weekday) == 0 && !set.holidays.contains(&day)
        })
    }

    /// Whether a transfer may take value on this day.
    pub(crate) fn admits(&self, value_date: u32) -> bool {
        self.set.as_ref().is_some_and(|set| {
            let (back, ahead) = (u32::from(set.value_back_days_max), u32::from(set.value_ahead_days_max));
            value_date + back >= set.business_date && value_date <= set.business_date + ahead
        })
    }

    /// Seconds from UTC to local time.
    fn ahead_s(&self) -> i64 {
        let offset = |set: &SetCalendar| {
            let offset_s = i64::from(set.utc_offset_s);
            if set.behind_utc { -offset_s } else { offset_s }
        };
        self.set.as_ref().map_or(0, offset)
    }

    /// When it is so many seconds behind local midnight of a day.
    pub(crate) fn at(&self, day: u32, time_of_day_s: u32) -> UnixNanos {
        let local_s = u64::from(day) * SECONDS_PER_DAY + u64::from(time_of_day_s);
        UnixNanos(local_s.saturating_add_signed(-self.ahead_s()) * NANOS_PER_SECOND)
    }

    /// Seconds that local clocks have counted since 1970 at this time.
    pub(crate) fn local_s(&self, at: UnixNanos) -> u64 {
        (at.0 / NANOS_PER_SECOND).saturating_add_signed(self.ahead_s())
    }

    /// The local day at this time.
    pub(crate) fn local_day(&self, at: UnixNanos) -> u32 {
        (self.local_s(at) / SECONDS_PER_DAY) as u32
    }
}
