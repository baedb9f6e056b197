//! Peers of a tunnel that vanished while bytes are on their way to them.
//!
//! How long a tunnel may be silent is for its own limit to say, so the kernel is told to be as
//! patient with its peers. But bytes that no one acknowledges are not silence: an API would work
//! for no one until that limit. The kernel is asked now and then, only while bytes move or are on
//! their way. A peer that keeps its window shut acknowledges what probes it, and is not meant.

use crate::error::Fault;
use crate::limits::{VANISHED_LOOK, VANISHED_LOOKS};
use crate::net::unacked::SendQueue;
use crate::proxy::connection::Connection;
use tokio::time::Instant;

/// What is on its way to both peers; on the heap, and only after bytes have moved.
#[derive(Debug, Default)]
pub(super) struct Unheard(Option<Box<Looks>>);

#[derive(Debug)]
struct Looks {
    next: Instant,
    client: Receiver,
    upstream: Receiver,
}

/// What one peer had acknowledged at the last look.
#[derive(Debug, Default)]
struct Receiver {
    acknowledged: u64,
    /// Looks at which the kernel was sending the same bytes again.
    unheard: u8,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing is on its way.
    Nothing,
    /// Another look is needed.
    Bytes,
    /// This peer has acknowledged nothing for too long.
    Vanished(Fault),
}

/// Bytes that a socket has taken, and how many of them wait in it.
type Sent = (u64, Option<SendQueue>);

impl Unheard {
    /// Bytes have moved.
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_with(|| Box::new(Looks::new(Instant::now())));
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.0.as_ref().map(|looks| looks.next)
    }

    /// Looks when it is time to; gives who has acknowledged nothing for too long.
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
    /// At how many looks in a row it was unheard; `None` when nothing is on its way.
    fn look(&mut self, (taken, queue): Sent) -> Option<u8> {
        let queue = queue.filter(|queue| queue.bytes > 0)?;
        let acknowledged = taken.saturating_sub(queue.bytes);
        let heard = acknowledged != self.acknowledged || !queue.is_retransmitted;
        self.acknowledged = acknowledged;
        // The first of a row only says from when on.
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
            // More is written meanwhile, and none of it arrives.
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
            // A little is acknowledged between two looks.
            let found = looks.look(now, (1000 + taken, queue(1000, true)), IDLE);
            assert_eq!(found, Found::Bytes);
            // Nothing is, but nothing is sent again either.
            let found = looks.look(now, (1000 + taken, queue(1000, false)), IDLE);
            assert_eq!(found, Found::Bytes);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_kernel_is_asked_only_while_something_is_on_its_way() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        assert_eq!(looks.next, now + VANISHED_LOOK);
        assert_eq!(looks.look(now, (9, queue(0, false)), (9, None)), Found::Nothing);
    }
}
