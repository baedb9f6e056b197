//! How much one client may ask for: exchanges at one time, and requests in a minute.
//!
//! What a client uses is in atomics ([`ClientUse`]), which all workers share and which outlive a
//! reload; each is touched once or twice an exchange, and only where there is a limit. Requests are
//! counted by a bucket that holds a minute's worth of them and fills evenly (the generic cell rate
//! algorithm): after a pause a client may send them at once, and then one whenever there is room
//! for one. There is no beginning of a minute at which all clients start anew.
//!
//! The caller brings the time, as the duration since any moment that is the same for all.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// The limits of a client. `None`: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Exchanges at one time.
    pub exchanges: Option<u32>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
}

/// What a client uses at present.
#[derive(Debug, Default)]
pub struct ClientUse {
    /// Exchanges that count against a limit.
    running: AtomicU32,
    /// When the bucket is full again if no request comes, in nanoseconds.
    full_at: AtomicU64,
}

/// Which limit a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// As many exchanges run as may.
    Exchanges,
    /// The bucket is empty; in so many seconds there is room for one request.
    Rate(u32),
}

/// The right to one exchange, which is given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<ClientUse>);

impl ClientUse {
    /// Counts a request. `clock` is asked only if requests are limited, and there is a permit to
    /// hold only if exchanges are.
    ///
    /// # Errors
    /// A limit is reached. Nothing has been counted.
    pub fn acquire(
        self: &Arc<Self>,
        limits: &ClientLimits,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Option<Permit>, LimitReached> {
        let permit = match limits.exchanges {
            Some(exchanges) => Some(self.enter(exchanges)?),
            None => None,
        };
        if let Some(requests) = limits.requests_per_minute {
            self.take(requests, clock())?;
        }
        Ok(permit)
    }

    fn enter(self: &Arc<Self>, exchanges: u32) -> Result<Permit, LimitReached> {
        // Relaxed: the count orders nothing but itself.
        let one_more = |running: u32| (running < exchanges).then(|| running + 1);
        match self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Permit(Arc::clone(self))),
            Err(_) => Err(LimitReached::Exchanges),
        }
    }

    /// Takes one request out of the bucket.
    fn take(&self, requests_per_minute: u32, now: Duration) -> Result<(), LimitReached> {
        // 64 bits of nanoseconds are 584 years.
        let now = now.as_nanos() as u64;
        let each = MINUTE.as_nanos() as u64 / u64::from(requests_per_minute.max(1));
        let capacity = each * u64::from(requests_per_minute);
        // A bucket that was larger before a reload may be emptier than this one can be.
        let after = |full_at: u64| full_at.clamp(now, now + capacity) + each;
        let take = |full_at| Some(after(full_at)).filter(|it| *it <= now + capacity);
        match self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let wait = Duration::from_nanos(after(full_at) - (now + capacity));
                Err(LimitReached::Rate(wait.as_millis().div_ceil(1000).max(1) as u32))
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is used at present is no part of what was configured, so that all of it is equal.
impl PartialEq for ClientUse {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for ClientUse {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const START: Duration = Duration::from_secs(1000);

    fn seconds(seconds: f64) -> Duration {
        START + Duration::from_secs_f64(seconds)
    }

    /// Whether a request is let in at each of these times.
    #[track_caller]
    fn check(requests_per_minute: u32, requests: &[(f64, Option<u32>)]) {
        let (used, requests_per_minute) =
            (Arc::new(ClientUse::default()), Some(requests_per_minute));
        let limits = ClientLimits { exchanges: None, requests_per_minute };
        for (at, want) in requests {
            let got = used.acquire(&limits, || seconds(*at)).err();
            assert_eq!(got, want.map(LimitReached::Rate), "at {at}");
        }
    }

    #[test]
    fn a_minute_of_requests_may_come_at_once_and_then_one_whenever_there_is_room() {
        let (yes, no) = (None, |seconds| Some(seconds));
        check(1, &[(0.0, yes), (0.0, no(60)), (59.0, no(1)), (59.999, no(1)), (60.0, yes)]);
        check(
            2,
            &[(0.0, yes), (0.0, yes), (0.0, no(30)), (29.5, no(1)), (30.0, yes), (30.0, no(30))],
        );
        // What was refused has cost nothing.
        check(2, &[(0.0, yes), (0.0, yes), (1.0, no(29)), (2.0, no(28)), (30.0, yes), (60.0, yes)]);
        // A pause fills the bucket, and no more than that.
        check(2, &[(0.0, yes), (500.0, yes), (500.0, yes), (500.0, no(30))]);
    }

    #[test]
    fn a_bucket_holds_exactly_as_many_requests_as_it_is_said_to() {
        for requests in [1, 3, 7, 59, 61, 999, 999_999, 1_000_000] {
            let used = ClientUse::default();
            let let_in = (0..=requests).filter(|_| used.take(requests, START).is_ok()).count();
            assert_eq!(let_in, requests as usize);
        }
    }

    #[test]
    fn in_the_long_run_no_more_than_the_rate_gets_through() {
        let used = ClientUse::default();
        let let_in =
            (0..600_000_u64).filter(|it| used.take(60, START + Duration::from_millis(*it)).is_ok());
        // Ten minutes, and what the bucket held.
        assert_eq!(let_in.count(), 10 * 60 + 60 - 1);
    }

    #[test]
    fn a_limit_that_changes_counts_at_once() {
        let used = ClientUse::default();
        assert!((0..60).all(|_| used.take(60, START).is_ok()));
        assert_eq!(used.take(60, START), Err(LimitReached::Rate(1)));
        assert_eq!(used.take(1, START), Err(LimitReached::Rate(60)));
        assert_eq!(used.take(1, seconds(59.0)), Err(LimitReached::Rate(1)));
        assert_eq!(used.take(1, seconds(60.0)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_or_stands_at_zero_shuts_no_one_out() {
        let used = ClientUse::default();
        assert_eq!(used.take(1, seconds(1000.0)), Ok(()));
        assert_eq!(used.take(1, Duration::ZERO), Err(LimitReached::Rate(60)));
        assert_eq!(ClientUse::default().take(1, Duration::ZERO), Ok(()));
    }

    #[test]
    fn as_many_exchanges_run_as_may_and_one_that_ends_makes_room() {
        let used = Arc::new(ClientUse::default());
        let limits = ClientLimits { exchanges: Some(2), requests_per_minute: None };
        let one = used.acquire(&limits, || START).unwrap();
        let two = used.acquire(&limits, || START).unwrap();
        assert_eq!(used.acquire(&limits, || START).unwrap_err(), LimitReached::Exchanges);
        drop(one);
        let three = used.acquire(&limits, || START).unwrap();
        let fewer = ClientLimits { exchanges: Some(1), ..limits };
        assert_eq!(used.acquire(&fewer, || START).unwrap_err(), LimitReached::Exchanges);
        drop((two, three));
        assert!(used.acquire(&fewer, || START).unwrap().is_some());
        assert!(used.acquire(&ClientLimits::default(), || START).unwrap().is_none());
    }

    #[test]
    fn what_one_limit_refuses_does_not_count_for_the_other() {
        let used = Arc::new(ClientUse::default());
        let limits = ClientLimits { exchanges: Some(1), requests_per_minute: Some(2) };
        let running = used.acquire(&limits, || START).unwrap();
        for _ in 0..5 {
            assert_eq!(used.acquire(&limits, || START).unwrap_err(), LimitReached::Exchanges);
        }
        drop(running);
        drop(used.acquire(&limits, || START).unwrap());
        for _ in 0..5 {
            assert_eq!(used.acquire(&limits, || START).unwrap_err(), LimitReached::Rate(30));
        }
        assert_eq!(used.running.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn workers_together_let_in_no_more_than_one_would() {
        let used = Arc::new(ClientUse::default());
        let limits = ClientLimits { exchanges: Some(3), requests_per_minute: Some(100) };
        let let_in = thread::scope(|scope| {
            let ask = || (0..1000).filter(|_| used.acquire(&limits, || START).is_ok()).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            workers.into_iter().map(|it| it.join().unwrap()).sum::<usize>()
        });
        assert_eq!((let_in, used.running.load(Ordering::Relaxed)), (100, 0));
    }
}
