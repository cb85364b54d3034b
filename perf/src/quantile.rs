//! Quantiles of measured times, from all of them: nothing is rounded into classes.

/// The value that `per_mille` of the sorted values do not exceed; 0 where there are none.
pub(crate) fn quantile(sorted: &[u32], per_mille: usize) -> u32 {
    let rank = sorted.len().saturating_sub(1) * per_mille;
    sorted.get(rank.div_ceil(1_000)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sorted: Vec<u32> = (1..=101).collect();
        assert_eq!(
            (quantile(&sorted, 500), quantile(&sorted, 990), quantile(&sorted, 1_000)),
            (51, 100, 101)
        );
        assert_eq!((quantile(&[7], 999), quantile(&[], 500)), (7, 0));
    }
}
