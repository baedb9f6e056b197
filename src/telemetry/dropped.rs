//! Counts log lines that were not written: over a rate limit, or because stderr had no room.

use std::sync::atomic::{AtomicU64, Ordering};

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many there were since the start.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

pub(super) fn count_dropped(lines: u64) {
    // Relaxed: the count orders nothing but itself.
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}
