//! How many connections may be opened that no request has asked for: [`Budget`].
//!
//! Two things bound them, for all workers together:
//!
//! - **A pause.** Each dial that fails, and each such connection that the upstream ends before a
//!   request, doubles it, from [`SPECULATIVE_PAUSE_MIN`] to [`SPECULATIVE_PAUSE_MAX`]. Failures of
//!   dials that began before the pause last grew are one failure. A connection that proves to be
//!   of use ends the pauses.
//! - **A number.** Only [`SPECULATIVE_UNUSED_MAX`] more than the upstream's `warm` may be opened
//!   without a request being sent on one, whatever becomes of them. Each request that is sent on
//!   one makes room for another, and so does time.
//!
//! A connection that a request does ask for is opened without asking here. The caller passes the
//! time in.

use crate::limits::{
    SPECULATIVE_FORGIVEN_AFTER, SPECULATIVE_PAUSE_MAX, SPECULATIVE_PAUSE_MIN,
    SPECULATIVE_UNUSED_MAX,
};
use std::time::Duration;
use tokio::time::Instant;

/// What is left of the bounds.
#[derive(Debug)]
pub(super) struct Budget {
    warm: usize,
    /// Connections that carried no request, less those forgiven.
    wasted: usize,
    forgiven_at: Instant,
    pause: Duration,
    not_before: Instant,
    /// When the pause last grew.
    paused_at: Option<Instant>,
}

impl Budget {
    /// For an upstream that keeps `warm` connections ready.
    pub(super) fn new(warm: usize, now: Instant) -> Self {
        let pause = Duration::ZERO;
        Self { warm, wasted: 0, forgiven_at: now, pause, not_before: now, paused_at: None }
    }

    /// The upstream keeps `warm` connections ready from now on.
    pub(super) fn keep_warm(&mut self, warm: usize) {
        self.warm = warm;
    }

    /// Spends a connection.
    ///
    /// # Errors
    /// The time before which none may be opened.
    pub(super) fn spend(&mut self, now: Instant) -> Result<(), Instant> {
        if now < self.not_before {
            return Err(self.not_before);
        }
        let for_each = SPECULATIVE_FORGIVEN_AFTER / u32::try_from(self.warm.max(1)).unwrap_or(1);
        self.forgive(now, for_each);
        if self.wasted >= SPECULATIVE_UNUSED_MAX + self.warm {
            return Err(self.forgiven_at + for_each);
        }
        self.wasted += 1;
        Ok(())
    }

    /// A request was sent on one after all.
    pub(super) fn refund(&mut self) {
        self.wasted = self.wasted.saturating_sub(1);
    }

    /// A dial, or a connection that carried no request, failed. It began at `begun`.
    pub(super) fn failed(&mut self, begun: Instant, now: Instant) {
        if self.paused_at.is_some_and(|paused| begun < paused) {
            return;
        }
        self.pause = (self.pause * 2).clamp(SPECULATIVE_PAUSE_MIN, SPECULATIVE_PAUSE_MAX);
        self.not_before = now + self.pause;
        self.paused_at = Some(now);
    }

    /// The upstream can be reached again: ends this pause, but not the doubling.
    pub(super) fn reached(&mut self, now: Instant) {
        self.not_before = now;
    }

    /// A connection proved to be of use: the next pause is the shortest again.
    pub(super) fn was_of_use(&mut self, now: Instant) {
        self.pause = Duration::ZERO;
        self.not_before = self.not_before.min(now);
    }

    fn forgive(&mut self, now: Instant, for_each: Duration) {
        while self.wasted > 0 && now >= self.forgiven_at + for_each {
            self.wasted -= 1;
            self.forgiven_at += for_each;
        }
        if self.wasted == 0 {
            self.forgiven_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn each_failure_doubles_the_pause_and_failures_that_began_together_are_one() {
        let mut now = Instant::now();
        let mut budget = Budget::new(1, now);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let begun = now;
            now += MILLI;
            for _ in 0..8 {
                budget.failed(begun, now);
            }
            assert_eq!(budget.spend(now), Err(now + Duration::from_secs(pause)));
        }
        budget.was_of_use(now);
        assert_eq!(budget.spend(now), Ok(()));
        budget.failed(now, now);
        assert_eq!(budget.spend(now), Err(now + SPECULATIVE_PAUSE_MIN), "from the beginning");
    }

    #[test]
    fn an_upstream_that_can_be_reached_ends_a_pause_and_not_the_doubling() {
        let now = Instant::now();
        let mut budget = Budget::new(1, now);
        budget.failed(now, now);
        budget.reached(now);
        assert_eq!(budget.spend(now), Ok(()));
        budget.failed(now, now);
        assert_eq!(budget.spend(now), Err(now + 2 * SPECULATIVE_PAUSE_MIN));
    }

    #[test]
    fn only_so_many_carry_no_request_and_time_forgives_them_one_by_one() {
        for warm in [1, 4] {
            let begun = Instant::now();
            let mut budget = Budget::new(warm, begun);
            let all_at_once = (0..1000).filter(|_| budget.spend(begun).is_ok()).count();
            assert_eq!(all_at_once, SPECULATIVE_UNUSED_MAX + warm);
            let forgiven = begun + SPECULATIVE_FORGIVEN_AFTER / u32::try_from(warm).unwrap();
            assert_eq!(budget.spend(forgiven - MILLI), Err(forgiven));
            assert_eq!(budget.spend(forgiven), Ok(()));
            assert!(budget.spend(forgiven).is_err());
            budget.refund();
            assert_eq!(budget.spend(forgiven), Ok(()), "a request was sent on one");
        }
    }
}
