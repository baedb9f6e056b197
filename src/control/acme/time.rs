//! The time of day, which certificates and authorities go by, in seconds since 1970.

use humantime::format_rfc3339_seconds;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// The longest sleep: the clock may be set, and a machine may be suspended.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The last second of the year 9999, beyond which there is no RFC 3339.
const LAST: i64 = 253_402_300_799;

/// The time.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Sleeps until that time.
pub(super) async fn sleep_until(at: i64) {
    while let Some(left) = left(at) {
        sleep(left.min(SLEEP_MAX)).await;
    }
}

/// How long it is until that time, to the millisecond; `None` if it has come.
fn left(at: i64) -> Option<Duration> {
    system_time(at).duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())
}

/// As the system has it.
pub(super) fn system_time(at: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(at.min(LAST)).unwrap_or_default())
}

/// For a log line.
pub(super) fn written(at: i64) -> String {
    format_rfc3339_seconds(system_time(at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_time_that_has_come_is_not_waited_for() {
        sleep_until(i64::MIN).await;
        sleep_until(now()).await;
        assert!(left(now() + 100).is_some_and(|it| it <= Duration::from_secs(100)));
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(-5), "1970-01-01T00:00:00Z");
        assert_eq!(written(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
