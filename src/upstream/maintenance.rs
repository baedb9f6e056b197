//! The keeper: one task per upstream and worker that looks after the idle connections.
//!
//! It is woken when something happens to one of them, so a close by the upstream removes the
//! connection when it happens, not at its next use. And it keeps lines warm: while the upstream
//! is in use, so many connections of all workers together stand ready with their handshakes done,
//! and are replaced before they end. It opens one at a time, and only as often as the upstream's
//! [standing](crate::upstream::standing) lets it.

use crate::clock::Alarm;
use crate::limits::{WARM_FOR, WARM_LIFE_MIN, WARM_LOOK_AGAIN, WARM_RENEWAL};
use crate::upstream::Shared;
use crate::upstream::standing::Turn;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use tokio::time::Instant;

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
    let Shared { pool, standing, .. } = &**upstream;
    let next_end = pool.sweep(cx);
    let now = Instant::now();
    let mut next_look = next_end;
    let lives_long = pool.closing_limit(false).is_none_or(|limit| limit >= WARM_LIFE_MIN);
    if standing.warm() > 0 && lives_long && now < upstream.last_use.get() + WARM_FOR {
        if upstream.attempts.get() == 0 {
            next_look = earliest(next_look, keep_warm(upstream, now));
        }
        // To replace a line before it ends; one that is too short-lived for that just ends.
        let renewal = next_end.map(|end| end - WARM_RENEWAL).filter(|renewal| *renewal > now);
        next_look = earliest(next_look, renewal);
    }
    if let Some((opened, proof)) = standing.ends_unused().and_then(|begin| pool.proof(begin)) {
        if proof <= now {
            standing.survived(opened);
        } else {
            next_look = earliest(next_look, Some(proof));
        }
    }
    upstream.keeper_alarmed.set(next_look.is_some());
    next_look
}

/// Opens a line if one is missing, or gives the time to ask again.
fn keep_warm(upstream: &Rc<Shared>, now: Instant) -> Option<Instant> {
    let (look_again, next_look) = match upstream.standing.keep_warm(upstream.pool.own(now), now) {
        Turn::Open(unasked) => {
            Shared::start_attempt(upstream, Some(unasked));
            (now, None)
        }
        Turn::NotBefore(at) => (at, Some(at)),
        Turn::Enough => (now + WARM_LOOK_AGAIN, None),
    };
    upstream.look_again.set(look_again);
    next_look
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
