//! The bank's calendar: which day is booked on, which days are business days, and how far from it a transfer may take value.
//!
//! The business date does not follow the clock: it goes on when a day is closed. Every record books on the business date in force
//! before it; the last seq of a day is that before the one that closes it.

use protocol::calendar::{DAY_MAX, weekday};
use protocol::commands::{CloseDay, SetCalendar};
use protocol::limits::{HOLIDAYS_MAX, UTC_OFFSET_MAX_S};
use protocol::time::NANOS_PER_SECOND;
use protocol::{RejectReason, UnixNanos, events};

use super::Ledger;
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;

const SECONDS_PER_DAY: u64 = 86_400;
/// Days of the week, as bits.
const ALL_DAYS: u8 = 0x7F;

/// The calendar, once it is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct BankCalendar {
    /// As the command that sets it says it now; its business date is the present one.
    pub(crate) definition: Option<SetCalendar>,
    /// The business date that was closed last; 0 = none was.
    pub(crate) closed: u32,
}

impl BankCalendar {
    pub(crate) const fn definition(&self) -> Option<&SetCalendar> {
        self.definition.as_ref()
    }

    /// Whether the bank is open; while there is no calendar, it always is.
    pub(super) fn is_business_day(&self, day: u32) -> bool {
        self.definition.as_ref().is_none_or(|calendar| is_business_day(calendar, day))
    }

    /// When it is so many seconds behind midnight of a day, in local time; while there is no calendar, that is UTC.
    pub(super) fn instant(&self, day: u32, time_of_day_s: u32) -> UnixNanos {
        let local_s = u64::from(day).saturating_mul(SECONDS_PER_DAY).saturating_add(time_of_day_s.into());
        let utc_s = self.definition.as_ref().map_or(local_s, |calendar| {
            let offset_s = calendar.utc_offset_s.into();
            if calendar.behind_utc {
                local_s.saturating_add(offset_s)
            } else {
                local_s.saturating_sub(offset_s)
            }
        });
        UnixNanos(utc_s.saturating_mul(NANOS_PER_SECOND))
    }

    /// Whether a transfer may take value on this day.
    pub(super) fn admits(&self, value_date: u32) -> bool {
        let Some(calendar) = &self.definition else { return false };
        let first = calendar.business_date.saturating_sub(calendar.value_back_days_max.into());
        let last = calendar.business_date.saturating_add(calendar.value_ahead_days_max.into());
        (first..=last).contains(&value_date)
    }
}

/// Whether a day is neither on a weekend nor a holiday.
fn is_business_day(calendar: &SetCalendar, day: u32) -> bool {
    calendar.weekend_days & (1 << weekday(day)) == 0 && calendar.holidays.binary_search(&day).is_err()
}

/// The name of the first field that no calendar has so.
fn wrong_field(calendar: &SetCalendar) -> Option<&'static str> {
    let SetCalendar { business_date, weekend_days, holidays, utc_offset_s, behind_utc, .. } = calendar;
    let is_day = |day: &u32| (1..=DAY_MAX).contains(day);
    let ascend = holidays.iter().zip(holidays.iter().skip(1)).all(|(one, next)| one < next);
    let are_holidays = holidays.len() <= HOLIDAYS_MAX && ascend && holidays.iter().all(is_day);
    [
        (is_day(business_date), "business_date"),
        // A day has to come on which the bank is open.
        (*weekend_days < ALL_DAYS, "weekend_days"),
        (are_holidays, "holidays"),
        (*utc_offset_s <= UTC_OFFSET_MAX_S, "utc_offset_s"),
        (!behind_utc || *utc_offset_s > 0, "behind_utc"),
    ]
    .into_iter()
    .find_map(|(is_right, name)| (!is_right).then_some(name))
}

impl Ledger {
    /// Sets the calendar. The business date is set once; afterwards days are closed.
    pub(crate) fn set_calendar(
        &mut self,
        command: &SetCalendar,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        ensure(self.calendar.definition() != Some(command), RejectReason::Exists)?;
        if let Some(field) = wrong_field(command) {
            return Err(refuse_field(RejectReason::FieldOutOfRange, field));
        }
        let present = self.calendar.definition().map(|calendar| calendar.business_date);
        ensure_field(present.is_none_or(|present| present == command.business_date), "business_date")?;
        self.calendar.definition = Some(command.clone());
        effects.push(events::CalendarSet { calendar: command.clone() });
        self.outdate_standing_orders(effects);
        Ok(())
    }

    /// Closes the business date: from the next record on another one is booked on.
    pub(crate) fn close_day(&mut self, command: &CloseDay, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let &CloseDay { business_date, next } = command;
        let closed = self.calendar.closed;
        let calendar = self.calendar.definition.as_mut();
        let again = |present: u32| closed != 0 && (business_date, next) == (closed, present);
        ensure(!calendar.as_ref().is_some_and(|found| again(found.business_date)), RejectReason::Exists)?;
        let is_present = |found: &&mut SetCalendar| found.business_date == business_date;
        let Some(calendar) = calendar.filter(is_present) else {
            return ensure_field(false, "business_date");
        };
        let is_later = (business_date.saturating_add(1)..=DAY_MAX).contains(&next);
        ensure_field(is_later && is_business_day(calendar, next), "next")?;
        calendar.business_date = next;
        self.calendar.closed = business_date;
        let totals = self.accounts.totals.of_ledgers();
        effects.push(events::DayClosed { business_date, next, totals });
        Ok(())
    }

    /// What is set could be commanded, and the day that was closed lies before the present one.
    pub(super) fn check_calendar(&self) -> Result<(), Broken> {
        let BankCalendar { definition, closed } = &self.calendar;
        let is_sound = definition.as_ref().map_or(*closed == 0, |calendar| {
            wrong_field(calendar).is_none() && *closed < calendar.business_date
        });
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "calendar" }) }
    }
}
