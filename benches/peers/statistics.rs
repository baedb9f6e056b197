//! Medians and percentiles. Results are medians of many short turns, because the machine may do
//! something else in some of them.

use std::time::Duration;

/// The nearest-rank percentile of what is sorted.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

/// The median of a percentile over turns whose times are sorted, in microseconds.
pub(crate) fn typical_percentile(turns: &[Vec<Duration>], percent: usize) -> f64 {
    median(turns.iter().map(|it| percentile(it, percent).as_secs_f64() * 1e6).collect())
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.get(middle) {
        None => 0.0,
        Some(number) if numbers.len() % 2 == 1 => *number,
        Some(number) => (numbers[middle - 1] + number) / 2.0,
    }
}

pub(crate) fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}
