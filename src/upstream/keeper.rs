//! The keeper: one task per upstream and worker that looks after the idle connections.
//!
//! It is woken when something happens to one of them, so a close by the upstream removes the
//! connection when it happens, not at its next use. And it keeps lines warm: while the upstream
//! is in use, so many connections stand ready with their handshakes done, and are replaced before
//! they end. It opens one at a time, and pauses longer and longer while the upstream is down.

use crate::deadline::Alarm;
use crate::limits::{WARM_BACKOFF_MAX, WARM_BACKOFF_MIN, WARM_FOR, WARM_LIFE_MIN, WARM_RENEWAL};
use crate::upstream::Shared;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// When the next warm line may be opened.
#[derive(Debug)]
pub(super) struct Backoff {
    not_before: Cell<Instant>,
    pause: Cell<Duration>,
}

impl Backoff {
    /// At once.
    pub(super) fn new(now: Instant) -> Self {
        Self { not_before: Cell::new(now), pause: Cell::new(Duration::ZERO) }
    }

    /// The upstream is there.
    pub(super) fn succeeded(&self) {
        self.pause.set(Duration::ZERO);
        self.not_before.set(Instant::now());
    }

    /// The upstream is not there, or not now.
    pub(super) fn failed(&self) {
        let pause = (self.pause.get() * 2).clamp(WARM_BACKOFF_MIN, WARM_BACKOFF_MAX);
        self.pause.set(pause);
        self.not_before.set(Instant::now() + pause);
    }
}

/// Looks after the idle connections of `upstream` for as long as it exists.
pub(super) async fn keep(upstream: Weak<Shared>) {
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        let Some(upstream) = upstream.upgrade() else { return Poll::Ready(()) };
        upstream.keeper.replace(cx.waker().clone());
        while let Some(at) = look(&upstream, cx) {
            if alarm.poll(cx, at).is_pending() {
                break;
            }
        }
        Poll::Pending
    })
    .await;
}

/// Does what is due, and gives the time to look again at the latest.
fn look(upstream: &Rc<Shared>, cx: &mut Context<'_>) -> Option<Instant> {
    let next_end = upstream.pool.sweep(cx);
    let now = Instant::now();
    let warm_until = upstream.last_use.get() + WARM_FOR;
    let mut next_look = next_end;
    let lives_long = upstream.pool.closing_limit(false).is_none_or(|limit| limit >= WARM_LIFE_MIN);
    if upstream.warm > 0 && lives_long && now < warm_until {
        let ready = upstream.pool.ready(now);
        let not_before = upstream.backoff.not_before.get();
        if ready < upstream.warm && upstream.attempts.get() == 0 {
            if now < not_before {
                next_look = earliest(next_look, Some(not_before));
            } else {
                Shared::start_attempt(upstream);
            }
        }
        // To replace a line before it ends; one that is too short-lived for that just ends.
        let renewal = next_end.map(|end| end - WARM_RENEWAL).filter(|renewal| *renewal > now);
        next_look = earliest(next_look, renewal);
    }
    upstream.keeper_alarmed.set(next_look.is_some());
    next_look
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
