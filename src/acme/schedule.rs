//! When to renew, and when to try again: pure functions of times in seconds since 1970.
//!
//! [`renew_at`] follows the CA's window if there is one, and a fraction of the lifetime if not.
//! [`retry_at`] says when to try again after a failure: soon after the first, then after growing
//! pauses, and not before the CA allows it. No name has more than five failed validations in an
//! hour ([`validation_allowed_at`]).

use super::failure::{Cause, Failure};
use super::renewal::Window;
use aws_lc_rs::digest::{SHA256, digest};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A certificate with a shorter lifetime is renewed when half of it is left, any other when a third
/// is left.
const SHORT_LIFETIME: i64 = 10 * DAY;
/// Renewals without a window are spread over this fraction of the lifetime.
const JITTER_DIVISOR: i64 = 50;
/// The CA's window is followed up to when this fraction of the lifetime is left.
const RESERVE_DIVISOR: i64 = 10;
/// How many failed validations of a name an hour may have. Let's Encrypt allows as many.
const VALIDATIONS_AN_HOUR: usize = 5;
/// Longest pause that a CA may ask for. Let's Encrypt's rate limits last a week at most.
pub const CA_PAUSE_MAX: i64 = 7 * DAY;
/// Shortest pause after a rate limit that does not say when it ends.
const RATE_LIMIT_PAUSE: i64 = HOUR;
/// With less than this left, or without a certificate, no pause of our choice is longer than
/// [`URGENT_PAUSE_MAX`].
const URGENT: i64 = 2 * DAY;
const URGENT_PAUSE_MAX: i64 = HOUR;

/// Pauses after one failure, two, and so on, in seconds. The last is for all that follow.
const PAUSES: &[i64] = &[MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];
/// The same when no answer came, which costs the CA nothing.
const PAUSES_UNREACHABLE: &[i64] =
    &[10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR];
/// Before the other kind of challenge is tried.
const PAUSE_BEFORE_OTHER: i64 = 5;

/// The first and the last second of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its first second.
    pub not_before: i64,
    /// Its last second.
    pub not_after: i64,
}

/// When to renew a certificate. The moment within the window, or around the fraction of the
/// lifetime, follows from the bytes of the certificate: it is random, because its serial number is,
/// and stays the same after a restart.
pub fn renew_at(lifetime: Lifetime, der: &[u8], window: Option<Window>) -> i64 {
    let Lifetime { not_before, not_after } = lifetime;
    let length = not_after.saturating_sub(not_before).max(0);
    let random = fraction(der);
    match window {
        Some(Window { start, end }) => {
            let moment = start.saturating_add(part(end.saturating_sub(start), random));
            moment.min(not_after - length / RESERVE_DIVISOR)
        }
        None => {
            let left = if length < SHORT_LIFETIME { length / 2 } else { length / 3 };
            not_after - left - part(length / JITTER_DIVISOR, random)
        }
    }
}

/// When to try again.
///
/// `failures` are the times of all failures since the last certificate, the last one included;
/// `not_after` is the end of the certificate that there is. `other_untried` says that another kind
/// of challenge has not been tried since then. `random` spreads those that fail at the same time.
pub fn retry_at(
    failure: &Failure,
    failures: &[i64],
    not_after: Option<i64>,
    other_untried: bool,
    now: i64,
    random: u32,
) -> i64 {
    let pauses = match failure.cause {
        Cause::Unreachable => PAUSES_UNREACHABLE,
        Cause::Server | Cause::RateLimited | Cause::Validation | Cause::Refused => PAUSES,
    };
    let index = failures.len().clamp(1, pauses.len()) - 1;
    let mut pause = pauses.get(index).copied().unwrap_or(HOUR);
    if failure.cause == Cause::Validation && other_untried {
        pause = PAUSE_BEFORE_OTHER;
    }
    if failure.cause == Cause::RateLimited && failure.retry_at.is_none() {
        pause = pause.max(RATE_LIMIT_PAUSE);
    }
    if not_after.is_none_or(|it| it - now < URGENT) {
        pause = pause.min(URGENT_PAUSE_MAX);
    }
    let own = now + pause + part(pause / 4, random);
    let next = own.max(allowed_at(failure, now));
    match failure.cause {
        Cause::Validation => next.max(validation_allowed_at(failures, now)),
        Cause::Unreachable | Cause::Server | Cause::RateLimited | Cause::Refused => next,
    }
}

/// When the CA allows another attempt.
pub fn allowed_at(failure: &Failure, now: i64) -> i64 {
    failure.retry_at.unwrap_or(now).min(now + CA_PAUSE_MAX)
}

/// When a name may be validated again, by the times of its failed validations.
pub fn validation_allowed_at(failed: &[i64], now: i64) -> i64 {
    let mut recent: Vec<i64> =
        failed.iter().copied().filter(|it| (now - HOUR..=now).contains(it)).collect();
    recent.sort_unstable();
    match recent.len().checked_sub(VALIDATIONS_AN_HOUR) {
        // When the fifth from the end is an hour old. A second more, because the CA's is another.
        Some(first) => recent.get(first).map_or(now, |it| it + HOUR + 1),
        None => now,
    }
}

/// A fraction that follows from bytes.
fn fraction(bytes: &[u8]) -> u32 {
    let digest = digest(&SHA256, bytes);
    let first = digest.as_ref().iter().take(4);
    first.fold(0, |fraction, byte| fraction << 8 | u32::from(*byte))
}

/// The part of a number that a fraction says.
fn part(of: i64, fraction: u32) -> i64 {
    let part = (i128::from(of.max(0)) * i128::from(fraction)) >> u32::BITS;
    i64::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn lifetime(days: i64) -> Lifetime {
        Lifetime { not_before: NOW, not_after: NOW + days * DAY }
    }

    /// The renewals of a hundred certificates, as days after the beginning, first and last.
    fn renewals(days: i64, window: Option<Window>) -> (f64, f64) {
        let at = |it: u8| renew_at(lifetime(days), &[it], window) - NOW;
        let all: Vec<i64> = (0..100).map(at).collect();
        let days = |it: Option<&i64>| *it.unwrap() as f64 / DAY as f64;
        (days(all.iter().min()), days(all.iter().max()))
    }

    #[test]
    fn a_third_of_the_lifetime_is_left_at_a_renewal_and_half_of_a_short_one() {
        let check = |days: i64, latest: f64| {
            let (first, last) = renewals(days, None);
            let spread = days as f64 / 50.0;
            assert!(last <= latest && last > latest - spread / 4.0, "{last}");
            assert!(first >= latest - spread && first < latest - spread * 0.75, "{first}");
        };
        check(90, 60.0);
        check(45, 30.0);
        check(6, 3.0);
    }

    #[test]
    fn the_moment_of_a_renewal_stays_the_same_after_a_restart() {
        let at = |der: &[u8]| renew_at(lifetime(90), der, None);
        assert_eq!(at(b"one"), at(b"one"));
        assert_ne!(at(b"one"), at(b"two"));
    }

    #[test]
    fn the_window_of_the_ca_comes_before_our_own_choice() {
        let window = |start, end| Some(Window { start: NOW + start * DAY, end: NOW + end * DAY });
        let (first, last) = renewals(90, window(10, 12));
        assert!((10.0..10.2).contains(&first) && (11.8..12.0).contains(&last), "{first} {last}");
        let (_, last) = renewals(90, window(-5, -1));
        assert!(last < 0.0, "it was revoked: at once");
        let (_, last) = renewals(90, window(89, 4000));
        assert!(last <= 81.0, "never so late that an outage of the CA would be one of ours");
        let extreme = Some(Window { start: i64::MIN, end: i64::MAX });
        renew_at(Lifetime { not_before: i64::MAX, not_after: 0 }, b"", extreme);
    }

    /// The pauses after each of `count` failures in a row, without the spread.
    fn pauses(failure: &Failure, count: usize, not_after: Option<i64>) -> Vec<i64> {
        let (mut now, mut failures) = (NOW, Vec::new());
        let pauses = (0..count).map(|_| {
            failures.push(now);
            let next = retry_at(failure, &failures, not_after, false, now, 0);
            let pause = next - now;
            now = next;
            pause
        });
        pauses.collect()
    }

    #[test]
    fn pauses_grow_to_hours() {
        let failure = Failure::new(Cause::Server, "");
        let far = Some(NOW + 30 * DAY);
        let want = [1, 5, 15, 30, 60, 120, 240, 240].map(|it| it * MINUTE);
        assert_eq!(pauses(&failure, 8, far), want);
        let unreachable = pauses(&Failure::unreachable(""), 10, far);
        assert_eq!(unreachable[..3], [10, 30, 60]);
        assert_eq!(unreachable[9], HOUR);
    }

    #[test]
    fn without_a_certificate_or_near_its_end_no_pause_is_longer_than_an_hour() {
        let failure = Failure::new(Cause::Server, "");
        assert_eq!(pauses(&failure, 9, None)[8], HOUR);
        assert_eq!(pauses(&failure, 9, Some(NOW + 2 * DAY))[8], HOUR);
        let later = retry_at(&failure, &[NOW; 9], None, false, NOW, u32::MAX);
        assert!(later <= NOW + HOUR + HOUR / 4, "and a spread");
    }

    #[test]
    fn no_name_has_more_than_five_failed_validations_in_an_hour() {
        let failure = Failure::new(Cause::Validation, "");
        let (mut now, mut failures) = (NOW, Vec::new());
        for turn in 0..50 {
            failures.push(now);
            // As if there always were another kind of challenge: the shortest pauses.
            now = retry_at(&failure, &failures, None, true, now, turn * 80_000_000);
            let last_hour = failures.iter().filter(|it| **it > now - HOUR).count();
            assert!(last_hour < 5, "{last_hour} before the next in turn {turn}");
        }
    }

    #[test]
    fn times_of_failures_that_are_no_longer_of_this_hour_do_not_count() {
        let failed: Vec<i64> = (0..5).map(|it| NOW + it * 10).collect();
        assert_eq!(validation_allowed_at(&failed, NOW + 50), NOW + HOUR + 1);
        assert_eq!(validation_allowed_at(&failed, NOW + HOUR + 1), NOW + HOUR + 1);
        assert_eq!(validation_allowed_at(&failed[1..], NOW + 50), NOW + 50);
        assert_eq!(validation_allowed_at(&[], NOW), NOW);
        // A clock that was set back: they are of the future.
        assert_eq!(validation_allowed_at(&failed, NOW - DAY), NOW - DAY);
    }

    #[test]
    fn the_other_kind_of_challenge_is_tried_at_once() {
        let failure = Failure::new(Cause::Validation, "");
        assert_eq!(retry_at(&failure, &[NOW], None, true, NOW, 0), NOW + 5);
        assert_eq!(retry_at(&failure, &[NOW], None, false, NOW, 0), NOW + MINUTE);
        let server = Failure::new(Cause::Server, "");
        assert_eq!(retry_at(&server, &[NOW], None, true, NOW, 0), NOW + MINUTE);
    }

    #[test]
    fn nothing_is_tried_before_the_ca_allows_it() {
        let after = |seconds: i64| Failure {
            retry_at: Some(NOW + seconds),
            ..Failure::new(Cause::RateLimited, "")
        };
        let at = |failure: &Failure| retry_at(failure, &[NOW], Some(NOW), false, NOW, 0) - NOW;
        assert_eq!(at(&after(2 * DAY)), 2 * DAY, "even if a certificate ends before");
        assert_eq!(at(&after(10)), MINUTE);
        assert_eq!(at(&after(1000 * DAY)), 7 * DAY);
        assert_eq!(at(&Failure::new(Cause::RateLimited, "")), HOUR, "it does not say when");
    }
}
