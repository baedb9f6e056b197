//! Peers of a tunnel that have vanished while bytes are in flight to them.
//!
//! Only the limit `tunnel` bounds the silence of a tunnel, so the kernel's own limits are raised to
//! it. But unacknowledged bytes are not silence: an API would work for a client that is gone, until
//! that limit. So the kernel is asked now and then, while bytes move or are in flight. A peer that
//! keeps its window shut acknowledges probes, and has not vanished.

use crate::error::Fault;
use crate::limits::{VANISHED_LOOK, VANISHED_LOOKS};
use crate::net::unacked::SendQueue;
use crate::proxy::connection::Connection;
use tokio::time::Instant;

/// The bytes in flight to both peers. On the heap, and only after bytes have moved.
#[derive(Debug, Default)]
pub(super) struct Unheard(Option<Box<Looks>>);

#[derive(Debug)]
struct Looks {
    next: Instant,
    client: Receiver,
    upstream: Receiver,
}

/// What one peer had acknowledged at the last check.
#[derive(Debug, Default)]
struct Receiver {
    acknowledged: u64,
    /// Checks in a row at which the kernel was retransmitting the same bytes.
    unheard: u8,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing is in flight.
    Nothing,
    /// Bytes are in flight, so another check is needed.
    Bytes,
    /// This peer has acknowledged nothing for too long.
    Vanished(Fault),
}

/// The number of bytes that a socket has taken, and its queue.
type Sent = (u64, Option<SendQueue>);

impl Unheard {
    /// Bytes have moved.
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_with(|| Box::new(Looks::new(Instant::now())));
    }

    /// When to check again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.0.as_ref().map(|looks| looks.next)
    }

    /// Checks if it is time to. Returns the peer that has acknowledged nothing for too long.
    pub(super) fn vanished(&mut self, client: &Connection, upstream: &Connection) -> Option<Fault> {
        let looks = self.0.as_mut()?;
        let now = Instant::now();
        if now < looks.next {
            return None;
        }
        let sent = |side: &Connection| (side.transport.written(), side.transport.send_queue());
        match looks.look(now, sent(client), sent(upstream)) {
            Found::Vanished(fault) => return Some(fault),
            Found::Nothing => self.0 = None,
            Found::Bytes => {}
        }
        None
    }
}

impl Looks {
    fn new(now: Instant) -> Self {
        let (client, upstream) = Default::default();
        Self { next: now + VANISHED_LOOK, client, upstream }
    }

    fn look(&mut self, now: Instant, client: Sent, upstream: Sent) -> Found {
        self.next = now + VANISHED_LOOK;
        match [self.client.look(client), self.upstream.look(upstream)] {
            [Some(VANISHED_LOOKS..), _] => Found::Vanished(Fault::Client),
            [_, Some(VANISHED_LOOKS..)] => Found::Vanished(Fault::Upstream),
            [None, None] => Found::Nothing,
            [Some(_), _] | [_, Some(_)] => Found::Bytes,
        }
    }
}

impl Receiver {
    /// At how many checks in a row it was unheard. `None` if nothing is in flight.
    fn look(&mut self, (taken, queue): Sent) -> Option<u8> {
        let queue = queue.filter(|queue| queue.bytes > 0)?;
        let acknowledged = taken.saturating_sub(queue.bytes);
        let heard = acknowledged != self.acknowledged || !queue.is_retransmitted;
        self.acknowledged = acknowledged;
        // The first of a row only marks its beginning.
        self.unheard = match (heard, queue.is_retransmitted) {
            (_, false) => 0,
            (true, true) => 1,
            (false, true) => self.unheard.saturating_add(1),
        };
        Some(self.unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(bytes: u64, is_retransmitted: bool) -> Option<SendQueue> {
        Some(SendQueue { bytes, is_retransmitted })
    }

    const IDLE: Sent = (0, None);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_acknowledges_nothing_at_three_looks_has_vanished() {
        let now = Instant::now();
        for who in [Fault::Client, Fault::Upstream] {
            let mut looks = Looks::new(now);
            // More is written meanwhile, and none of it is acknowledged.
            for (taken, left) in [(10, 5), (20, 15)] {
                let sent = (taken, queue(left, true));
                let (client, upstream) =
                    if who == Fault::Client { (sent, IDLE) } else { (IDLE, sent) };
                assert_eq!(looks.look(now, client, upstream), Found::Bytes);
            }
            let sent = (30, queue(25, true));
            let (client, upstream) = if who == Fault::Client { (sent, IDLE) } else { (IDLE, sent) };
            assert_eq!(looks.look(now, client, upstream), Found::Vanished(who));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_slow_or_keeps_its_window_shut_has_not() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for taken in 0..20 {
            // A little is acknowledged between two checks.
            let found = looks.look(now, (1000 + taken, queue(1000, true)), IDLE);
            assert_eq!(found, Found::Bytes);
            // Nothing is, but nothing is retransmitted either.
            let found = looks.look(now, (1000 + taken, queue(1000, false)), IDLE);
            assert_eq!(found, Found::Bytes);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_kernel_is_asked_only_while_bytes_are_in_flight() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        assert_eq!(looks.next, now + VANISHED_LOOK);
        assert_eq!(looks.look(now, (9, queue(0, false)), (9, None)), Found::Nothing);
    }
}
