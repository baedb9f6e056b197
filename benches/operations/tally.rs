//! What the clients have seen.

use crate::programs::Resources;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Right,
    /// No connection, or no handshake.
    Refused,
    /// The request was sent, and no complete answer came.
    Cut,
    /// Another answer, or another certificate, than there should be.
    Wrong,
    /// A kept connection ended, and the answer before did not say so: a request may cross that.
    Closed,
}

const ENDS: usize = 5;

/// The counts of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ends: [AtomicU64; ENDS],
    /// Of small exchanges, from the first byte sent to the last byte received, in microseconds.
    times: Mutex<Vec<u32>>,
}

/// The first lines of the table.
pub(crate) const HEAD: &str = "\
| operation | program | times | exchanges | refused | cut | wrong | kept connections closed \
| p99.9 ms | longest ms | processes | memory MB | descriptors |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Tally {
    pub(crate) fn count(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&self) {
        self.ends.iter().for_each(|it| it.store(0, Ordering::Relaxed));
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The row of the table, without its first two columns.
    pub(crate) fn row(&self, before: Resources, after: Resources) -> String {
        let [right, refused, cut, wrong, closed] =
            [0, 1, 2, 3, 4].map(|at| self.ends[at].load(Ordering::Relaxed));
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 1000).min(times.len() - 1));
        let ms = |us: Option<&u32>| f64::from(us.copied().unwrap_or_default()) / 1000.0;
        format!(
            "{} | {refused} | {cut} | {wrong} | {closed} | {:.1} | {:.1} | {} | {:.1} | {} |",
            right + refused + cut + wrong,
            ms(at(999)),
            ms(times.last()),
            Change(before.processes, after.processes),
            Change(before.memory_kib as f64 / 1024.0, after.memory_kib as f64 / 1024.0),
            Change(before.descriptors, after.descriptors),
        )
    }
}

/// Before and after.
struct Change<T>(T, T);

impl<T: fmt::Display> fmt::Display for Change<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)?;
        out.write_str(" → ")?;
        fmt::Display::fmt(&self.1, out)
    }
}
