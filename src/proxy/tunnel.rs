//! Opaque bytes in both directions, behind an upgrade.
//!
//! The end of one direction is passed on as the end of that direction; the other goes on. Silence
//! in both is under the `tunnel` limit, which keep-alive traffic of the protocol inside resets.

use crate::deadline::{Alarm, IdleClock, Timeouts, Timer};
use crate::error::{Cause, ExchangeError, Peer};
use crate::net::inbox::Fill;
use crate::proxy::flow::READS_PER_TURN;
use crate::proxy::side::Side;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// How a tunnel ended.
#[derive(Debug)]
pub(super) struct TunnelEnd {
    /// Bytes from the client.
    pub(super) to_upstream: u64,
    /// Bytes from the upstream, the head of the switch not counted.
    pub(super) to_client: u64,
    /// What went wrong; `None` when both directions ended in order.
    pub(super) error: Option<ExchangeError>,
}

/// Passes bytes on until both directions have ended.
pub(super) async fn tunnel(
    client: &mut Side,
    upstream: &mut Side,
    timeouts: &Timeouts,
    alarm: &mut Alarm,
) -> TunnelEnd {
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut clock = IdleClock::start();
    let mut moved = 0;
    let result = poll_fn(|cx| {
        let up_done = up.poll(cx, client, upstream, Peer::Client)?;
        let down_done = down.poll(cx, upstream, client, Peer::Upstream)?;
        if up_done.is_ready() && down_done.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let now = client.transport.written() + upstream.transport.written() + up.bytes + down.bytes;
        if now != moved {
            moved = now;
            clock.stamp();
        }
        let deadline = clock.deadline(Timer::Tunnel, timeouts);
        alarm.poll(cx, deadline.at).map(|()| Err(ExchangeError::expired(deadline.timer)))
    })
    .await;
    TunnelEnd { to_upstream: up.bytes, to_client: down.bytes, error: result.err() }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: u64,
    state: WayState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WayState {
    #[default]
    Open,
    /// The sender has ended its direction; ours is to end when all is drained.
    Ending,
    Ended,
}

impl Way {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
        sender: Peer,
    ) -> Result<Poll<()>, ExchangeError> {
        let receiver = match sender {
            Peer::Client => Peer::Upstream,
            Peer::Upstream | Peer::Narrows => Peer::Client,
        };
        self.begin(cx, from, to);
        for _ in 0..READS_PER_TURN {
            match to.poll_drain(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(drained) => drained.map_err(|error| failed(receiver, &error))?,
            }
            match self.state {
                WayState::Ended => return Ok(Poll::Ready(())),
                WayState::Ending => match to.transport.poll_shutdown(cx) {
                    Poll::Pending => return Ok(Poll::Pending),
                    // A receiver that is gone already needs no end.
                    Poll::Ready(Ok(()) | Err(_)) => self.state = WayState::Ended,
                },
                WayState::Open => match self.poll_read(cx, from, to) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Err(failed(sender, &error)),
                },
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Sends on what arrived behind the head, before the tunnel was one.
    fn begin(&mut self, cx: &mut Context<'_>, from: &mut Side, to: &mut Side) {
        let held = from.inbox.bytes();
        if !held.is_empty() {
            self.bytes += held.len() as u64;
            to.outbox.send(cx, &mut to.transport, &[held]);
            from.inbox.consume(held.len());
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
    ) -> Poll<io::Result<()>> {
        let Side { transport, outbox, .. } = to;
        let passed = ready!(from.inbox.poll_pass(cx, &mut from.transport, |cx, bytes| {
            outbox.send(cx, transport, &[bytes]);
            self.bytes += bytes.len() as u64;
            Ok::<_, Infallible>(bytes.len())
        }));
        Poll::Ready(passed.map(|passed| match passed {
            Ok(Fill::Bytes) => {}
            Ok(Fill::End) => self.state = WayState::Ending,
        }))
    }
}

fn failed(peer: Peer, error: &io::Error) -> ExchangeError {
    ExchangeError { peer, cause: Cause::Io(error.kind()) }
}
