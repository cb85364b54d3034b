//! What a client traded in a market: one sum for each UTC day, as far back as it counts.

use protocol::limits::FEE_VOLUME_DAYS;

/// Days and what was traded on each, in quote: ascending, none of them 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PastVolume(Vec<(u32, u128)>);

impl PastVolume {
    /// Adds a day that is over, and forgets what does not count on `today`.
    pub(crate) fn close(&mut self, day: u32, volume: u128, today: u32) {
        if volume > 0 {
            self.0.push((day, volume));
        }
        self.0.retain(|&(day, _)| today.saturating_sub(day) <= FEE_VOLUME_DAYS);
    }

    /// The volume by which a tier is found.
    pub(crate) fn sum(&self) -> u128 {
        self.0.iter().fold(0, |sum, &(_, volume)| sum.saturating_add(volume))
    }

    pub(crate) fn days(&self) -> &[(u32, u128)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_days_count_and_the_day_itself_does_not() {
        let mut past = PastVolume::default();
        for day in 100..200_u32 {
            past.close(day, u128::from(day), day + 1);
            let counted: u32 = (day + 1 - FEE_VOLUME_DAYS.min(day + 1 - 100)..=day).sum();
            assert_eq!(past.sum(), u128::from(counted), "on day {}", day + 1);
        }
        past.close(200, 0, 229);
        assert_eq!(past.days(), [(199, 199)]);
        past.close(229, 0, 230);
        assert_eq!(past.sum(), 0);
    }
}
