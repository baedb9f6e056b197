//! How durations are distributed: a [`Histogram`], and the [`Distribution`] that it reports.

use std::cell::Cell;
use std::time::Duration;

/// How many buckets have a bound.
pub(super) const BOUNDS: usize = 24;

/// Greatest durations of the buckets, in microseconds. From a connection in the same rack, some
/// 10 us, to a model that thinks for 10 minutes, three to a decade, so that a quantile is off by
/// less than half.
const BOUNDS_US: [u64; BOUNDS] = [
    10,
    25,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// Counts durations. One worker writes it.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [Cell<u64>; BOUNDS + 1],
    seconds: Cell<f64>,
}

/// What a histogram has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many were in each bucket, and not in the one before; the last one has no bound.
    counts: [u64; BOUNDS + 1],
    seconds: f64,
}

impl Histogram {
    /// Counts one.
    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = duration.as_secs().saturating_mul(1_000_000_000);
        let nanoseconds = nanoseconds.saturating_add(duration.subsec_nanos().into());
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1000 < nanoseconds);
        let count = &self.counts[bucket];
        count.set(count.get() + 1);
        self.seconds.set(self.seconds.get() + duration.as_secs_f64());
    }

    /// What was counted so far.
    pub(super) fn report(&self) -> Distribution {
        let counts = self.counts.each_ref().map(Cell::get);
        Distribution { counts, seconds: self.seconds.get() }
    }
}

impl Distribution {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all, in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The bound of each bucket in seconds, and how many were in it.
    pub(super) fn buckets(&self) -> [(f64, u64); BOUNDS + 1] {
        let mut bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        self.counts.map(|count| (bounds.next().unwrap_or(f64::INFINITY), count))
    }

    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.seconds += other.seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        check(Duration::ZERO, 0.000_01);
        check(Duration::from_micros(10), 0.000_01);
        check(Duration::from_nanos(10_001), 0.000_025);
        check(Duration::from_millis(1), 0.001);
        check(Duration::from_secs(1), 1.0);
        check(Duration::from_nanos(1_000_000_001), 2.5);
        check(Duration::from_secs(600), 600.0);
        check(Duration::from_nanos(600_000_000_001), f64::INFINITY);
        check(Duration::MAX, f64::INFINITY);
    }

    #[test]
    fn bounds_grow_from_ten_microseconds_to_ten_minutes() {
        assert!(BOUNDS_US.is_sorted_by(|one, next| one < next));
        let bounds = Distribution::default().buckets().map(|(bound, _)| bound);
        assert_eq!(bounds[0], 0.000_01);
        assert_eq!(bounds[BOUNDS - 1..], [600.0, f64::INFINITY]);
    }

    #[test]
    fn what_workers_have_counted_is_added_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(Duration::from_millis(250));
        one.observe(Duration::from_secs(1));
        other.observe(Duration::from_millis(750));
        let mut sum = one.report();
        sum.add(&other.report());
        assert_eq!((sum.count(), sum.seconds()), (3, 2.0));
        let counted = sum.buckets().into_iter().filter(|(_, count)| *count > 0);
        assert_eq!(counted.collect::<Vec<_>>(), [(0.25, 1), (1.0, 2)]);
    }

    #[track_caller]
    fn check(duration: Duration, bound: f64) {
        let histogram = Histogram::default();
        histogram.observe(duration);
        let counted = histogram.report().buckets().into_iter().filter(|(_, count)| *count > 0);
        assert_eq!(counted.collect::<Vec<_>>(), [(bound, 1)], "{duration:?}");
    }
}
