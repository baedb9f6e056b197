//! The time of day, which certificates and authorities go by, in seconds since 1970.

use crate::tls::validity::{LAST_SECOND, since_1970};
use humantime::format_rfc3339_seconds;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{self, Instant, sleep};

/// By how much two clocks may differ that no one sets.
const SLEW_SECONDS: i64 = 5;

/// The time.
pub(super) fn now() -> i64 {
    since_1970(SystemTime::now())
}

/// Sleeps until that time, or for so long.
pub(super) async fn sleep_until(at: i64, most: Duration) {
    if let Some(left) = left(at) {
        sleep(left.min(most)).await;
    }
}

/// The time of day as if the clock was not set any more.
pub(super) struct Steady {
    begun: Instant,
    time: i64,
}

impl Steady {
    /// From now on.
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), time: now() }
    }

    /// The time.
    pub(super) fn now(&self) -> i64 {
        self.time.saturating_add(self.begun.elapsed().as_secs().cast_signed())
    }

    /// Sleeps until that time.
    pub(super) async fn sleep_until(&self, at: i64) {
        let after = u64::try_from(at.saturating_sub(self.time)).unwrap_or_default();
        time::sleep_until(self.begun + Duration::from_secs(after)).await;
    }

    /// How many seconds the clock has been set back, as of `now`. It is not if it is slewed.
    pub(super) fn set_back(&self, now: i64) -> Option<i64> {
        Some(self.now().saturating_sub(now)).filter(|it| *it > SLEW_SECONDS)
    }
}

/// How long it is until that time, to the millisecond; `None` if it has come.
fn left(at: i64) -> Option<Duration> {
    system_time(at).duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())
}

/// As the system has it.
pub(super) fn system_time(at: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(at.min(LAST_SECOND)).unwrap_or_default())
}

/// For a log line.
pub(super) fn written(at: i64) -> String {
    format_rfc3339_seconds(system_time(at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_time_that_has_come_is_not_waited_for_and_a_late_one_not_to_its_end() {
        let begun = Instant::now();
        sleep_until(i64::MIN, MINUTE).await;
        sleep_until(now(), MINUTE).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        sleep_until(i64::MAX, MINUTE).await;
        assert_eq!(begun.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_does_not_change_a_steady_one() {
        let steady = Steady::start();
        let begun = steady.now();
        steady.sleep_until(begun + 600).await;
        assert_eq!(steady.now(), begun + 600);
        steady.sleep_until(begun).await;
        assert_eq!(steady.now(), begun + 600);
        for (now, set_back) in [(598, None), (600, None), (7200, None), (-3000, Some(3600))] {
            assert_eq!(steady.set_back(begun + now), set_back);
        }
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(-5), "1970-01-01T00:00:00Z");
        assert_eq!(written(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
