//! Marzullo's algorithm: what most of several clocks say, where each says an interval. A clock that is wrong says an interval
//! without the truth in it, and is left alone with it.

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) lower_ns: i64,
    pub(crate) upper_ns: i64,
}

impl Interval {
    pub(crate) fn at(ns: i64) -> Self {
        Self { lower_ns: ns, upper_ns: ns }
    }

    /// The same, less sure by so much in both directions.
    pub(crate) fn widened(self, by_ns: u64) -> Self {
        Self {
            lower_ns: self.lower_ns.saturating_sub_unsigned(by_ns),
            upper_ns: self.upper_ns.saturating_add_unsigned(by_ns),
        }
    }

    /// What lies in both, if anything does.
    pub(crate) fn overlap(self, other: Self) -> Option<Self> {
        let both =
            Self { lower_ns: self.lower_ns.max(other.lower_ns), upper_ns: self.upper_ns.min(other.upper_ns) };
        (both.lower_ns <= both.upper_ns).then_some(both)
    }

    /// How far `ns` lies above it, or, below zero, under it; 0 inside.
    pub(crate) fn distance_ns(self, ns: i64) -> i64 {
        ns.saturating_sub(ns.clamp(self.lower_ns, self.upper_ns))
    }

    pub(crate) fn middle_ns(self) -> i64 {
        self.lower_ns.midpoint(self.upper_ns)
    }

    fn width_ns(self) -> u64 {
        self.upper_ns.abs_diff(self.lower_ns)
    }
}

/// What lies in most of `intervals`, and in how many: of several such places the smallest, of those the lowest. `None` where
/// there is no interval.
pub(crate) fn most_agreed(intervals: &[Interval]) -> Option<(Interval, usize)> {
    // The place begins where one of them begins. They are as few as voters, and need no order.
    let places = intervals.iter().map(|first| {
        let here = intervals.iter().filter(|other| other.distance_ns(first.lower_ns) == 0);
        let upper_ns = here.clone().map(|other| other.upper_ns).min().unwrap_or(first.upper_ns);
        (Interval { lower_ns: first.lower_ns, upper_ns }, here.count())
    });
    places.min_by_key(|(place, count)| (std::cmp::Reverse(*count), place.width_ns(), place.lower_ns))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const fn from_to(lower_ns: i64, upper_ns: i64) -> Interval {
        Interval { lower_ns, upper_ns }
    }

    #[test]
    fn most_clocks_are_believed_and_the_smallest_place_of_several() {
        assert_eq!(most_agreed(&[]), None);
        assert_eq!(most_agreed(&[from_to(-4, 9)]), Some((from_to(-4, 9), 1)));
        assert_eq!(
            most_agreed(&[from_to(8, 12), from_to(11, 13), from_to(14, 15)]),
            Some((from_to(11, 12), 2))
        );
        assert_eq!(
            most_agreed(&[from_to(8, 12), from_to(9, 10), from_to(700, 900)]),
            Some((from_to(9, 10), 2)),
            "one is far away"
        );
        assert_eq!(
            most_agreed(&[from_to(0, 10), from_to(7, 20), from_to(19, 30)]),
            Some((from_to(19, 20), 2)),
            "two places with two each"
        );
        assert_eq!(
            most_agreed(&[from_to(0, 5), from_to(5, 9)]),
            Some((from_to(5, 5), 2)),
            "the ends belong to it"
        );
        let all = from_to(i64::MIN, i64::MAX);
        assert_eq!(most_agreed(&[all, Interval::at(3)]), Some((Interval::at(3), 2)));
    }

    /// Which intervals each point lies in, point by point: too simple to be wrong.
    fn looked_at_point_by_point(intervals: &[Interval]) -> Option<(Interval, usize)> {
        let mut places: BTreeMap<Vec<usize>, Interval> = BTreeMap::new();
        for point in -40..=40 {
            let here = (0..intervals.len())
                .filter(|i| (intervals[*i].lower_ns..=intervals[*i].upper_ns).contains(&point));
            places.entry(here.collect()).or_insert(Interval::at(point)).upper_ns = point;
        }
        let most = places.keys().map(Vec::len).max().filter(|most| *most > 0)?;
        let mut best: Vec<_> =
            places.into_iter().filter(|(here, _)| here.len() == most).map(|(_, place)| place).collect();
        best.sort_by_key(|place| (place.upper_ns - place.lower_ns, place.lower_ns));
        Some((best[0], most))
    }

    #[test]
    fn agrees_with_a_look_at_every_point() {
        let mut state = 20_261_129_u64;
        let mut below = |bound: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(state >> 33).unwrap() % bound
        };
        for round in 0..20_000 {
            let count = below(7);
            let intervals: Vec<_> = (0..count)
                .map(|_| {
                    let lower_ns = below(50) - 30;
                    from_to(lower_ns, lower_ns + below(1 + round % 18))
                })
                .collect();
            assert_eq!(
                most_agreed(&intervals),
                looked_at_point_by_point(&intervals),
                "round {round}: {intervals:?}"
            );
        }
    }
}
