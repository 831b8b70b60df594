//! Delays and medians.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Delays up to a minute, to three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        const MINUTE: u64 = 60_000_000_000;
        Self(Histogram::new_with_max(MINUTE, 3).expect("these bounds are allowed"))
    }

    /// A delay beyond a minute counts as a minute.
    pub(crate) fn record(&mut self, delay: Duration) {
        self.0.saturating_record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The delay in µs that this share of all did not exceed; none of none.
    pub(crate) fn micros(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1000.0)
    }
}

/// The middle of the values, the mean of the two in the middle of an even number; none of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.micros(0.5), None);
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = latencies.micros(quantile).unwrap();
            assert!((found / expected - 1.0).abs() < 0.002, "{quantile}: {found}");
        }
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn what_takes_too_long_counts_as_a_minute() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(3600));
        let most = latencies.micros(1.0).unwrap();
        assert!((most / 60e6 - 1.0).abs() < 0.002, "{most}");
    }

    #[test]
    fn sums_keep_all() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::from_micros(1));
        other.record(Duration::from_micros(9));
        one.add(&other);
        assert_eq!(one.count(), 2);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
