//! `[market.schedule]`: when a market goes into which phase.

use protocol::MarketId;
use protocol::commands::SetMarketSchedule;
use protocol::rows::{ScheduledPhase, schedule_days};
use serde::Deserialize;

use super::{EntryFault, Field, phase_named};
use crate::instant::{self, DAYS};

const MONDAY_TO_FRIDAY: u8 = 0x1F;

/// When a market changes its phase by itself; without phases it does not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleEntry {
    #[serde(default = "utc")]
    pub(crate) utc_offset: String,
    #[serde(default)]
    pub(crate) holidays: Vec<String>,
    #[serde(default)]
    pub(crate) short_days: Vec<String>,
    #[serde(default)]
    pub(crate) phases: Vec<PhaseEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PhaseEntry {
    days: Vec<String>,
    /// Local time.
    at: String,
    phase: String,
}

impl PhaseEntry {
    /// Of `DAYS@TIME=PHASE`, such as `weekdays,short@09:40=pre_open`.
    pub(crate) fn of_words(words: &str) -> Option<Self> {
        let (days, rest) = words.split_once('@')?;
        let (at, phase) = rest.split_once('=')?;
        let days = days.split(',').map(str::to_owned).collect();
        Some(Self { days, at: at.to_owned(), phase: phase.to_owned() })
    }
}

fn utc() -> String {
    "+00:00".to_owned()
}

/// The command that sets it. Phases and dates may stand in any order.
pub(crate) fn market_schedule(
    market: MarketId,
    entry: &ScheduleEntry,
) -> Result<SetMarketSchedule, EntryFault> {
    let offset = instant::read_offset(&entry.utc_offset);
    let (utc_offset_s, behind_utc) = offset
        .ok_or_else(|| format!("schedule.utc_offset: {:?} is no offset such as +03:00", entry.utc_offset))?;
    let mut entries = entry.phases.iter().map(phase).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| (entry.at_ms, entry.days));
    Ok(SetMarketSchedule {
        market,
        utc_offset_s,
        behind_utc,
        entries,
        holidays: dates("schedule.holidays", &entry.holidays)?,
        short_days: dates("schedule.short_days", &entry.short_days)?,
    })
}

fn phase(entry: &PhaseEntry) -> Result<ScheduledPhase, EntryFault> {
    let mut days = 0;
    for name in &entry.days {
        days |= match name.as_str() {
            "weekdays" => MONDAY_TO_FRIDAY,
            "daily" => schedule_days::WEEK,
            "short" => schedule_days::SHORT_DAYS,
            name => {
                let at = DAYS.iter().position(|day| *day == name);
                let words = DAYS.join(", ");
                let wrong =
                    || format!("schedule.days: {name:?} is not one of {words}, weekdays, daily, short");
                schedule_days::MONDAY << at.ok_or_else(wrong)?
            }
        };
    }
    let at_ms = time_of_day_ms(&entry.at);
    let at_ms =
        at_ms.ok_or_else(|| format!("schedule.at: {:?} is no time of day such as 09:40", entry.at))?;
    Ok(ScheduledPhase { days, at_ms, phase: phase_named("schedule.phase", &entry.phase)? })
}

/// `09:40`, `09:40:30`.
fn time_of_day_ms(text: &str) -> Option<u32> {
    let mut seconds = 0;
    let mut parts = text.split(':');
    for below in [24, 60, 60] {
        let part = match parts.next() {
            Some(part) => part,
            // Seconds may be left out.
            None if below == 60 && text.len() == 5 => "00",
            None => return None,
        };
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = part.parse::<u32>().ok().filter(|number| is_number && *number < below)?;
        seconds = seconds * 60 + number;
    }
    parts.next().is_none().then_some(seconds * 1_000)
}

fn dates(field: &str, texts: &[String]) -> Result<Vec<u32>, EntryFault> {
    let date = |text: &String| {
        instant::read_date(text).ok_or_else(|| format!("{field}: {text:?} is no date such as 2026-03-01"))
    };
    let mut dates = texts.iter().map(date).collect::<Result<Vec<_>, _>>()?;
    dates.sort_unstable();
    dates.dedup();
    Ok(dates)
}

/// A schedule's fields, as text.
pub(crate) fn fields(schedule: &SetMarketSchedule) -> Vec<Field> {
    let dates = |days: &[u32]| {
        let dates: Vec<String> = days.iter().map(|&day| instant::write_date(day)).collect();
        dates.join(" ")
    };
    let phases: Vec<String> = schedule.entries.iter().map(write_phase).collect();
    vec![
        ("utc_offset", instant::write_offset(schedule.utc_offset_s, schedule.behind_utc)),
        ("phases", phases.join(", ")),
        ("holidays", dates(&schedule.holidays)),
        ("short_days", dates(&schedule.short_days)),
    ]
}

/// `mon tue short 09:40:00 PreOpen`.
fn write_phase(entry: &ScheduledPhase) -> String {
    let of_week = (0..).zip(DAYS).filter(|(bit, _)| entry.days >> bit & 1 == 1).map(|(_, day)| day);
    let short = (entry.days & schedule_days::SHORT_DAYS != 0).then_some("short");
    let days: Vec<&str> = of_week.chain(short).collect();
    let (seconds, ms) = (entry.at_ms / 1_000, entry.at_ms % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let part = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{} {hours:02}:{minutes:02}:{seconds:02}{part} {}", days.join(" "), entry.phase.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_to_the_second() {
        assert_eq!(time_of_day_ms("09:40"), Some(34_800_000));
        assert_eq!(time_of_day_ms("23:59:59"), Some(86_399_000));
        for text in
            ["", "9:40", "24:00", "09:60", "09:40:60", "09:40:", "09", "09:40:00:00", "+9:40", "09-40"]
        {
            assert_eq!(time_of_day_ms(text), None, "{text}");
        }
    }

    #[test]
    fn a_phase_is_written_as_people_call_it() {
        let entry = ScheduledPhase { days: 0x81, at_ms: 34_800_250, phase: protocol::MarketPhase::PreOpen };
        assert_eq!(write_phase(&entry), "mon short 09:40:00.250 PreOpen");
    }
}
