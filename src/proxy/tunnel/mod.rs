//! Opaque bytes in both directions: after an upgrade, and in tcp mode. Between two plain sockets
//! the kernel moves them (`net::splice`). They are copied with TLS, or if no pipe is available.
//!
//! Each direction ([`Way`]) is open, then ending (its sender has ended, and the receiver still has
//! to take what is held), then ended (our side towards the receiver is shut down). The other one
//! continues meanwhile. When both have ended, the tunnel has ended in order.
//!
//! A failure, an expired limit or a stop makes the tunnel leave ([`Leaving`]), for good: each
//! receiver only gets what was received for it, including what the kernel still has of a side that
//! failed. A direction is over when the receiver's kernel has acknowledged everything, or accepts
//! nothing for too long. Then both connections are reset. Silence in both directions is under the
//! `tunnel` limit. A side that is not read, because of backpressure or because it has ended, is
//! checked every [`DEPARTURE_LOOK`] for a reset.

mod way;

use crate::clock::{Alarm, IdleClock};
use crate::error::{Cause, ExchangeError, Fault, IoFault};
use crate::limits::DEPARTURE_LOOK;
use crate::proxy::connection::{Connection, STOPPED};
use crate::proxy::context::Drain;
use crate::proxy::dead_peer::{Checked, DeadPeerWatch};
use crate::proxy::delivery::{Delivery, Patience};
use crate::timeouts::{Timeouts, Timer};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use tokio::task::coop::has_budget_remaining;
use tokio::time::Instant;
use way::{Way, WayState};

/// Forwards bytes until both directions have ended. Until then both connections are set to be
/// reset, even if this future is dropped. If one side fails, the other first gets what was received
/// for it, as fast as it accepts it. `count` gets the numbers of bytes from the client and from the
/// upstream that the other one's socket has taken.
///
/// Not an `async fn`, which would store its arguments twice.
///
/// # Errors
/// What failed, and on which side.
pub(super) fn tunnel<'s>(
    client: &'s mut Connection,
    upstream: &'s mut Connection,
    timeouts: &'s Timeouts,
    drain: &'s Drain,
    alarm: &'s mut Alarm,
    mut count: impl FnMut(u64, u64) + 's,
) -> impl Future<Output = Result<(), ExchangeError>> + 's {
    let mut ends = Ends { client, upstream, are_over: false };
    // So that even a kill of the process is a reset, not an end.
    ends.client.transport.abort_unless_shut_down();
    ends.upstream.transport.abort_unless_shut_down();
    // Only `tunnel` bounds silence. `DeadPeerWatch` finds a peer that has vanished before that.
    for side in [&*ends.client, &*ends.upstream] {
        if let Some(tcp) = side.transport.tcp() {
            tcp.lift_user_timeout_for_probes();
        }
    }
    let mut ways = Ways {
        up: Way::from(Fault::Client),
        down: Way::from(Fault::Upstream),
        clock: IdleClock::default(),
        moved: 0,
        next_look: None,
        dead_peers: DeadPeerWatch::default(),
        leaving: None,
    };
    poll_fn(move |cx| {
        if drain.is_over() {
            ways.leave(STOPPED, &ends, timeouts);
        }
        let polled = ways.poll(cx, &mut ends, timeouts, alarm);
        count(ways.up.passed(ends.upstream), ways.down.passed(ends.client));
        if let Poll::Ready(result) = polled {
            ends.are_over = result.is_ok();
            return Poll::Ready(result);
        }
        if ways.leaving.is_none() {
            ways.arm(cx, &ends, timeouts, alarm);
        }
        Poll::Pending
    })
}

/// Both directions.
#[derive(Debug)]
struct Ways {
    up: Way,
    down: Way,
    clock: IdleClock,
    /// Bytes received and written, at the last poll.
    moved: u64,
    /// When to check for a reset that causes no wake-up.
    next_look: Option<Instant>,
    /// Whether bytes in flight are acknowledged.
    dead_peers: DeadPeerWatch,
    /// The last bytes, once one side has failed.
    leaving: Option<Box<Leaving>>,
}

impl Ways {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_>,
        timeouts: &Timeouts,
        alarm: &mut Alarm,
    ) -> Poll<Result<(), ExchangeError>> {
        if self.leaving.is_none() {
            let error = match ready!(self.poll_open(cx, ends)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => error,
            };
            self.leave(error, ends, timeouts);
        }
        let Some(leaving) = &mut self.leaving else { return Poll::Pending };
        let up = leaving.up.poll(cx, &mut self.up, ends.client, ends.upstream, alarm);
        let down = leaving.down.poll(cx, &mut self.down, ends.upstream, ends.client, alarm);
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Err(leaving.error));
        }
        Poll::Pending
    }

    /// Sets the alarm for what is due next: to look at a side that cannot be read, or the end of
    /// the silence.
    fn arm(
        &mut self,
        cx: &mut Context<'_>,
        ends: &Ends<'_>,
        timeouts: &Timeouts,
        alarm: &mut Alarm,
    ) {
        let deadline = self.clock.deadline(Timer::Tunnel, timeouts);
        let looks = self.next_look.into_iter().chain(self.dead_peers.next_check());
        let look = looks.min().filter(|look| *look < deadline.at);
        if alarm.poll(cx, look.unwrap_or(deadline.at)).is_pending() {
            return;
        }
        if look.is_none() {
            // Silent, but the receivers may still be taking earlier bytes.
            self.leave(ExchangeError::expired(deadline.timer), ends, timeouts);
        }
        cx.waker().wake_by_ref();
    }

    /// From now on, delivers only what was received. The first error counts.
    fn leave(&mut self, error: ExchangeError, ends: &Ends<'_>, timeouts: &Timeouts) {
        self.leaving.get_or_insert_with(|| Box::new(Leaving::begin(error, ends, timeouts)));
    }

    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        let Ends { client, upstream, .. } = ends;
        let up = self.up.poll(cx, client, upstream)?;
        let down = self.down.poll(cx, upstream, client)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let bytes = self.up.bytes + self.down.bytes;
        let moved = client.transport.written() + upstream.transport.written() + bytes;
        if moved != self.moved {
            self.moved = moved;
            self.clock.stamp();
            self.dead_peers.begin();
        }
        match self.dead_peers.check(client, upstream) {
            Checked::Dead(fault) => {
                let cause = Cause::Io(IoFault::TimedOut);
                return Poll::Ready(Err(ExchangeError { fault, cause }));
            }
            // What a slow peer takes moves nothing here until part of its buffer is free.
            Checked::Progress => self.clock.stamp(),
            Checked::Nothing => {}
        }
        let is_half_open = up.is_ready() != down.is_ready();
        if !(self.up.is_blocked || self.down.is_blocked || is_half_open) {
            self.next_look = None;
            return Poll::Pending;
        }
        // A side that is not read, because of backpressure or because it has sent its end, causes
        // no wake-up when it is reset.
        let now = Instant::now();
        let next_look = self.next_look.get_or_insert(now + DEPARTURE_LOOK);
        if now >= *next_look {
            *next_look = now + DEPARTURE_LOOK;
            for (fault, side) in [(Fault::Client, client), (Fault::Upstream, upstream)] {
                if side.transport.is_broken() {
                    let cause = Cause::Io(IoFault::Failed);
                    return Poll::Ready(Err(ExchangeError { fault, cause }));
                }
            }
        }
        Poll::Pending
    }
}

/// The end of a tunnel, one side of which has failed.
#[derive(Debug)]
struct Leaving {
    error: ExchangeError,
    up: LastBytes,
    down: LastBytes,
}

impl Leaving {
    fn begin(error: ExchangeError, ends: &Ends<'_>, timeouts: &Timeouts) -> Self {
        let mut patience = Patience::after_a_cut(timeouts);
        // A receiver that accepts nothing for longer has failed as well.
        patience.gap = patience.gap.min(timeouts.tunnel);
        let has_vanished = error.cause == Cause::Io(IoFault::TimedOut);
        let last = |sender: Fault, to: &Connection| LastBytes {
            // Nothing arrives at a peer that has vanished.
            delivery: (error.fault == sender || !has_vanished)
                .then(|| Delivery::new(&to.transport, patience)),
            // Our kernel may have received more than we could forward so far.
            is_read: error.fault == sender && !matches!(error.cause, Cause::Timeout(_)),
        };
        let up = last(Fault::Client, ends.upstream);
        Self { error, up, down: last(Fault::Upstream, ends.client) }
    }
}

/// The last bytes of one direction.
#[derive(Debug)]
struct LastBytes {
    /// `None` once it is over.
    delivery: Option<Delivery>,
    /// The sender is read until there is nothing more.
    is_read: bool,
}

impl LastBytes {
    /// Ready when the receiver has everything, or no more of it will arrive.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        way: &mut Way,
        from: &mut Connection,
        to: &mut Connection,
        alarm: &mut Alarm,
    ) -> Poll<()> {
        let Some(delivery) = &mut self.delivery else { return Poll::Ready(()) };
        way.begin(cx, from, to);
        let mut room = way.poll_room(cx, to);
        // The sender has failed, so what it has sent is finite, and the runtime ends long turns.
        while self.is_read && way.state == WayState::Open && matches!(room, Poll::Ready(Ok(()))) {
            match way.poll_read(cx, from, to) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending if !has_budget_remaining() => return Poll::Pending,
                // From now on not even a FIN counts as an end in order.
                Poll::Pending | Poll::Ready(Err(_)) => self.is_read = false,
            }
            room = way.poll_room(cx, to);
        }
        let _ = ready!(delivery.poll_acknowledged(cx, room, &to.transport, alarm));
        self.delivery = None;
        Poll::Ready(())
    }
}

/// Both ends of a tunnel.
struct Ends<'s> {
    client: &'s mut Connection,
    upstream: &'s mut Connection,
    /// Both directions have ended in order.
    are_over: bool,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if !self.are_over {
            self.client.transport.abort();
            self.upstream.transport.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::MemoryStream;
    use crate::tls::fault;
    use std::io::ErrorKind;

    #[tokio::test]
    async fn nothing_is_delivered_to_a_peer_that_has_vanished() {
        let ((near, _client), (far, _upstream)) = (MemoryStream::pair(9), MemoryStream::pair(9));
        let (client, upstream) =
            (&mut Connection::new(near.into()), &mut Connection::new(far.into()));
        let ends = Ends { client, upstream, are_over: false };
        let waits = |peer, kind: ErrorKind| {
            let error = fault::of_io(peer, &kind.into());
            let leaving = Leaving::begin(error, &ends, &Timeouts::default());
            [&leaving.up, &leaving.down].map(|last| last.delivery.is_some())
        };
        assert_eq!(waits(Fault::Client, ErrorKind::TimedOut), [true, false]);
        assert_eq!(waits(Fault::Upstream, ErrorKind::TimedOut), [false, true]);
        assert_eq!(waits(Fault::Upstream, ErrorKind::UnexpectedEof), [true, true]);
    }
}
