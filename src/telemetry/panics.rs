//! Counts panics. Each ends one task and is a bug of ours. Its log line has the count, so that the
//! last such line alone shows how many there were.

use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many there were since the start.
pub(super) fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Counts a panic, and returns the number since the start.
pub(super) fn count_panic() -> u64 {
    PANICS.fetch_add(1, Ordering::Relaxed) + 1
}
