//! The words of a market's schedule.

use protocol::MarketId;
use protocol::commands::SetMarketSchedule;
use protocol::rows::ScheduledPhase;

use super::ledger::day;
use super::services::time_of_day;
use super::{Script, Words, nanoseconds, phase};

const DAYS: [&str; 8] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "short"];

/// `mon,tue,short`; `weekdays` are five of them, `week` is seven.
fn days(text: &str) -> u8 {
    let bits = text.split(',').map(|name| match name {
        "weekdays" => 0x1F,
        "week" => 0x7F,
        "never" => 0,
        name => 1 << DAYS.iter().position(|day| *day == name).unwrap_or_else(|| panic!("no day {name}")),
    });
    bits.sum()
}

/// `2026-01-05,2026-01-06`.
fn dates(text: Option<&str>) -> Vec<u32> {
    text.map_or(Vec::new(), |text| text.split(',').map(day).collect())
}

impl Script {
    /// `schedule BTC-TRY ahead 3h weekdays@10:00=Trading weekdays@18:00=Closed short@13:00=Closed holidays 2026-01-05 short-days
    /// 2026-01-06`; `behind 5h` of UTC.
    pub(super) fn schedule(&self, words: &mut Words<'_>) -> SetMarketSchedule {
        let market = MarketId(self.market_id(words.next()));
        let (ahead, behind) = (words.option("ahead"), words.option("behind"));
        let offset = ahead.or(behind).map_or(0, nanoseconds) / 1_000_000_000;
        let (holidays, short_days) = (dates(words.option("holidays")), dates(words.option("short-days")));
        let entries = std::mem::take(&mut words.words).into_iter().map(|word| {
            let (on, named) = word.split_once('=').unwrap();
            let (on, at) = on.split_once('@').unwrap();
            ScheduledPhase { days: days(on), at_ms: time_of_day(at) * 1_000, phase: phase(named) }
        });
        SetMarketSchedule {
            market,
            utc_offset_s: u32::try_from(offset).unwrap(),
            behind_utc: behind.is_some(),
            entries: entries.collect(),
            holidays,
            short_days,
        }
    }
}
