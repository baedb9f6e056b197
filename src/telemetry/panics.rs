//! How many panics there were. Each ends one task, and each is a mistake of ours: the log has the
//! number with every one of them, so that the last line alone says whether it was the only one.

use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts a panic; gives how many there were since the start, with this one.
pub(super) fn count_panic() -> u64 {
    PANICS.fetch_add(1, Ordering::Relaxed) + 1
}
