//! Maintenance: one task per upstream and worker that looks after the idle connections.
//!
//! It is woken when something happens to one of them, so that a connection which the upstream
//! closes is removed at once, not at its next use. And it keeps connections warm: while the
//! upstream is in use, all workers together have a number of connections ready, with their
//! handshakes done, and replace each before it ends. It opens one at a time, and only as often as
//! the upstream's [health](crate::upstream::health) allows.

use crate::clock::Alarm;
use crate::limits::{WARM_COUNTED_AGAIN_AFTER, WARM_FOR, WARM_LIFE_MIN, WARM_RENEWAL};
use crate::upstream::dispatcher::Dispatcher;
use crate::upstream::health::WarmUp;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Looks after the idle connections of `upstream` for as long as it exists.
pub(super) async fn run(upstream: Weak<Dispatcher>) {
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        let Some(upstream) = upstream.upgrade() else { return Poll::Ready(()) };
        upstream.maintenance.waker.replace(cx.waker().clone());
        while let Some(at) = do_what_is_due(&upstream, cx) {
            if alarm.poll(cx, at).is_pending() {
                break;
            }
        }
        Poll::Pending
    })
    .await;
}

/// Returns when to come back at the latest.
fn do_what_is_due(upstream: &Rc<Dispatcher>, cx: &mut Context<'_>) -> Option<Instant> {
    let Dispatcher { pool, health, maintenance, .. } = &**upstream;
    let next_end = pool.sweep(cx);
    let now = Instant::now();
    let mut due = next_end;
    let stay_open = pool.learned_limit(false).is_none_or(|limit| limit >= WARM_LIFE_MIN);
    if health.warm() > 0 && stay_open && now < upstream.last_use.get() + WARM_FOR {
        match maintenance.opens_from.get() {
            Some(from) if now < from => due = earliest(due, Some(from)),
            Some(_) if upstream.attempts.get() == 0 => {
                due = earliest(due, warm_up(upstream, now));
            }
            Some(_) | None => {}
        }
        // A connection is replaced before it ends, unless it is too short-lived for that.
        let renewal = next_end.map(|end| end - WARM_RENEWAL).filter(|renewal| *renewal > now);
        due = earliest(due, renewal);
    }
    let unused = health.ends_unused_since().and_then(|since| pool.oldest_unused(since));
    if let Some((opened, survived_at)) = unused {
        if survived_at <= now {
            health.survived(opened);
        } else {
            due = earliest(due, Some(survived_at));
        }
    }
    maintenance.is_alarmed.set(due.is_some());
    due
}

/// Opens a connection if one is missing, or returns when to try again.
fn warm_up(upstream: &Rc<Dispatcher>, now: Instant) -> Option<Instant> {
    let counts = upstream.pool.counts(now);
    let (again_at, due) = match upstream.health.warm_up(counts, now) {
        WarmUp::Open(speculative) => {
            upstream.start_attempt(Some(speculative));
            (now, None)
        }
        WarmUp::NotBefore(at) => (at, Some(at)),
        WarmUp::Enough => (now + WARM_COUNTED_AGAIN_AFTER, None),
    };
    upstream.maintenance.warms_up_at.set(again_at);
    due
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
