//! What an upstream's closes teach about its idle limit: [`IdleLimits`].
//!
//! A server closes a connection that has been idle for some time, and rarely says for how long. A
//! request sent on a connection that is just being closed is the one failure that a client can do
//! nothing about, so ours have to end first. What counts is the idle age at which the upstream
//! closes:
//!
//! - One close is no rule: it may be a restart, or a server that sheds connections.
//! - Two closes in a row at about the same age, at different times, are the upstream's limit. A
//!   restart closes connections of any age, and all of them at once.
//! - The shortest limit seen counts, for [`CLOSING_AGE_REMEMBERED`] after it was last seen.
//! - A close right after use says nothing about an idle limit.
//!
//! Servers have two limits, one for the first request and one between requests, so connections
//! that have carried a request and those that have not are learned about separately.
//!
//! The caller passes the time in.

use crate::limits::{CLOSING_AGE_MIN, CLOSING_AGE_REMEMBERED, CLOSING_AGES_APART_MAX};
use std::time::Duration;
use tokio::time::Instant;

/// The two idle limits of an upstream, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdleLimits {
    before_first_request: IdleLimit,
    between_requests: IdleLimit,
}

impl IdleLimits {
    /// Learns that the upstream closed a connection at `now`, after it had been idle for `age`.
    /// `used` says whether it had carried a request.
    pub(super) fn learn(&mut self, used: bool, age: Duration, now: Instant) {
        let limit = if used { &mut self.between_requests } else { &mut self.before_first_request };
        limit.learn(Close { age, at: now });
    }

    /// How long a connection may stay idle, by what is known at `now`.
    pub(super) fn get(&self, used: bool, now: Instant) -> Option<Duration> {
        let limit = if used { self.between_requests } else { self.before_first_request };
        limit.known_at(now).map(|close| safely_below(close.age))
    }
}

/// An age that is safely below a limit of the upstream's: by a tenth, and by half a second at
/// least, for the way there and for clocks that tick in whole seconds.
pub(super) fn safely_below(limit: Duration) -> Duration {
    const MARGIN_MIN: Duration = Duration::from_millis(500);
    limit.saturating_sub((limit / 10).max(MARGIN_MIN))
}

#[derive(Clone, Copy, Debug, Default)]
struct IdleLimit {
    /// The last close that was not right after use.
    last: Option<Close>,
    /// The shortest age that was seen twice in a row, and when it was last confirmed.
    limit: Option<Close>,
}

/// The upstream closed a connection that had been idle for `age`.
#[derive(Clone, Copy, Debug)]
struct Close {
    age: Duration,
    at: Instant,
}

impl IdleLimit {
    fn learn(&mut self, close: Close) {
        if let Some(last) = self.last.filter(|last| close.confirms(*last)) {
            let age = last.age.min(close.age);
            let age = self.known_at(close.at).map_or(age, |known| known.age.min(age));
            self.limit = Some(Close { age, at: close.at });
        }
        if close.age >= CLOSING_AGE_MIN {
            self.last = Some(close);
        }
    }

    fn known_at(&self, now: Instant) -> Option<Close> {
        self.limit.filter(|limit| now.duration_since(limit.at) < CLOSING_AGE_REMEMBERED)
    }
}

impl Close {
    /// Whether two closes are one limit of the upstream's, and not one restart.
    fn confirms(self, earlier: Self) -> bool {
        self.at.duration_since(earlier.at) >= CLOSING_AGE_MIN
            && self.age.abs_diff(earlier.age) <= CLOSING_AGES_APART_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What is known after connections were closed at these ages, each opened when the one before
    /// it was closed.
    #[track_caller]
    fn check(ages: &[u64], want: Option<u64>) {
        let (mut limits, mut now) = (IdleLimits::default(), Instant::now());
        for age in ages {
            now += millis(*age);
            limits.learn(true, millis(*age), now);
        }
        assert_eq!(limits.get(true, now), want.map(millis), "{ages:?}");
        assert_eq!(limits.get(false, now), None, "another limit");
    }

    #[test]
    fn two_closes_in_a_row_at_about_the_same_age_are_a_limit() {
        check(&[5000], None);
        check(&[5000, 5100], Some(4500));
        check(&[5100, 5000], Some(4500));
        check(&[60_000, 60_000], Some(54_000));
    }

    #[test]
    fn closes_at_ages_that_differ_are_no_limit() {
        check(&[5000, 5501, 4999, 7000], None);
        check(&[5000, 5501, 4999, 7000, 6500], Some(5850));
    }

    #[test]
    fn the_shortest_limit_counts() {
        check(&[5000, 5000, 3000, 3000], Some(2500));
        check(&[3000, 3000, 5000, 5000], Some(2500));
    }

    #[test]
    fn closes_right_after_use_are_no_limit_and_do_not_come_between_two_that_are() {
        check(&[100, 100, 100], None);
        check(&[5000, 100, 5000], Some(4500));
    }

    #[test]
    fn closes_at_one_time_are_a_restart() {
        let (mut limits, now) = (IdleLimits::default(), Instant::now());
        for _ in 0..9 {
            limits.learn(true, millis(20_000), now);
        }
        limits.learn(true, millis(20_000), now + CLOSING_AGE_MIN - millis(1));
        assert_eq!(limits.get(true, now), None);
        limits.learn(true, millis(20_000), now + 2 * CLOSING_AGE_MIN);
        assert_eq!(limits.get(true, now), Some(millis(18_000)));
    }

    #[test]
    fn a_limit_is_forgotten_unless_it_is_seen_again() {
        let (mut limits, begun) = (IdleLimits::default(), Instant::now());
        limits.learn(false, millis(5000), begun);
        limits.learn(false, millis(5000), begun + millis(5000));
        let seen = begun + millis(5000);
        let just_before = seen + CLOSING_AGE_REMEMBERED - millis(1);
        assert_eq!(limits.get(false, just_before), Some(millis(4500)));
        assert_eq!(limits.get(false, seen + CLOSING_AGE_REMEMBERED), None);
        limits.learn(false, millis(5400), just_before);
        let later = just_before + CLOSING_AGE_REMEMBERED - millis(1);
        assert_eq!(limits.get(false, later), Some(millis(4500)), "seen again");
        let forgotten = just_before + CLOSING_AGE_REMEMBERED;
        limits.learn(false, millis(5400), forgotten);
        assert_eq!(limits.get(false, forgotten), Some(millis(4860)), "without the shorter one");
    }

    #[test]
    fn connections_end_safely_below_a_limit() {
        assert_eq!(safely_below(Duration::from_secs(100)), Duration::from_secs(90));
        assert_eq!(safely_below(Duration::from_secs(5)), millis(4500));
        assert_eq!(safely_below(millis(500)), Duration::ZERO);
        assert_eq!(safely_below(Duration::ZERO), Duration::ZERO);
    }
}
