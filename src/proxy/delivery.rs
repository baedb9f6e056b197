//! The last bytes of a connection that is cut: they have to arrive before the reset that shows that
//! the rest is missing.
//!
//! A reset discards what either kernel still holds. So a connection that only a reset can end is
//! first held until the peer's kernel has acknowledged everything; Linux delivers acknowledged
//! bytes to their reader even after a reset. No event reports that moment, so the kernel is asked
//! at growing intervals. Meanwhile the connection holds only its permit and its socket.

use crate::clock::Alarm;
use crate::limits::{DELIVERY_LOOK_MAX, DELIVERY_LOOK_MIN};
use crate::net::transport::Transport;
use crate::timeouts::Timeouts;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long the last bytes may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte taken or acknowledged.
    pub(super) gap: Duration,
    /// In total, if the kernel does not report what was acknowledged.
    pub(super) blind: Duration,
}

impl Patience {
    /// For what is left after a cut.
    pub(super) fn after_a_cut(timeouts: &Timeouts) -> Self {
        Self { gap: timeouts.to_client_write, blind: timeouts.linger }
    }
}

/// The last bytes to one receiver, from our buffers to its kernel.
#[derive(Debug)]
pub(super) struct Delivery {
    patience: Patience,
    /// Bytes that the socket had taken at the last check.
    taken: u64,
    /// Bytes that were not acknowledged at the last check.
    left: Option<u64>,
    /// When either of them last changed.
    since: Instant,
    next_look: Instant,
    pause: Duration,
}

/// Not everything has arrived, and no more will: the receiver has left, or accepts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undelivered;

impl Delivery {
    /// Begins now.
    pub(super) fn new(transport: &Transport, patience: Patience) -> Self {
        let (taken, since) = (transport.written(), Instant::now());
        let (left, next_look, pause) = (None, since, DELIVERY_LOOK_MIN);
        Self { patience, taken, left, since, next_look, pause }
    }

    /// Ready when the socket has taken everything, according to `drained`.
    pub(super) fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        drained: Poll<io::Result<()>>,
        transport: &Transport,
        alarm: &mut Alarm,
    ) -> Poll<Result<(), Undelivered>> {
        self.note_taken(transport);
        if let Poll::Ready(drained) = drained {
            return Poll::Ready(drained.map_err(|_| Undelivered));
        }
        alarm.poll(cx, self.since + self.patience.gap).map(|()| Err(Undelivered))
    }

    /// Ready when the receiver's kernel has acknowledged everything.
    pub(super) fn poll_acknowledged(
        &mut self,
        cx: &mut Context<'_>,
        drained: Poll<io::Result<()>>,
        transport: &Transport,
        alarm: &mut Alarm,
    ) -> Poll<Result<(), Undelivered>> {
        ready!(self.poll_taken(cx, drained, transport, alarm))?;
        loop {
            let now = Instant::now();
            if now >= self.next_look {
                match transport.unacknowledged() {
                    Some(0) => return Poll::Ready(Ok(())),
                    None if transport.is_broken() => return Poll::Ready(Err(Undelivered)),
                    None => self.patience.gap = self.patience.gap.min(self.patience.blind),
                    left if left != self.left => (self.left, self.since) = (left, now),
                    Some(_) => {}
                }
                self.next_look = now + self.pause;
                self.pause = (self.pause * 2).min(DELIVERY_LOOK_MAX);
            }
            let end = self.since + self.patience.gap;
            if now >= end {
                return Poll::Ready(Err(Undelivered));
            }
            ready!(alarm.poll(cx, end.min(self.next_look)));
        }
    }

    fn note_taken(&mut self, transport: &Transport) {
        let taken = transport.written();
        if taken != self.taken {
            (self.taken, self.since) = (taken, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::MemoryStream;
    use std::future::poll_fn;
    use std::io::IoSlice;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn the_time_limit_starts_when_the_socket_has_taken_the_last_byte() {
        let (near, _far) = MemoryStream::pair(64);
        let mut transport = Transport::from(near);
        let (gap, blind) = (Duration::from_secs(60), Duration::from_secs(2));
        let mut delivery = Delivery::new(&transport, Patience { gap, blind });
        sleep(Duration::from_secs(10)).await;
        let taken = poll_fn(|cx| {
            let _ = transport.poll_write(cx, &[IoSlice::new(b"last")]);
            delivery.poll_taken(cx, Poll::Ready(Ok(())), &transport, &mut Alarm::default())
        });
        assert_eq!(taken.await, Ok(()));
        assert_eq!(delivery.since, Instant::now());
    }
}
