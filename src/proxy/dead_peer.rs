//! Peers of a tunnel that have vanished while bytes are in flight to them.
//!
//! Only the limit `tunnel` bounds the silence of a tunnel, so the kernel's own limits are lifted.
//! But unacknowledged bytes are not silence: an API would work for a client that is gone, until
//! that limit. So the kernel is asked now and then, while bytes move or are in flight. A peer that
//! keeps its window shut acknowledges probes, and has not vanished. One that acknowledges some is
//! not silent either, although its socket may accept no more for long.

use crate::error::Fault;
use crate::limits::{DEAD_PEER_CHECK_INTERVAL, DEAD_PEER_CHECKS};
use crate::net::send_queue::SendQueue;
use crate::proxy::connection::Connection;
use tokio::time::Instant;

/// The bytes in flight to both peers. On the heap, and only after bytes have moved.
#[derive(Debug, Default)]
pub(super) struct DeadPeerWatch(Option<Box<Checks>>);

#[derive(Debug)]
struct Checks {
    next: Instant,
    client: Receiver,
    upstream: Receiver,
}

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// No peer has acknowledged more since the last check, or it is not time for one.
    Nothing,
    /// One of them has.
    Progress,
    /// This peer has acknowledged nothing for too long.
    Dead(Fault),
}

/// What one peer had acknowledged at the last check.
#[derive(Debug, Default)]
struct Receiver {
    /// `None` until a check has found bytes in flight.
    acknowledged: Option<u64>,
    /// More was acknowledged than at the check before.
    takes_some: bool,
    /// Checks in a row at which the kernel was retransmitting the same bytes.
    unheard: u8,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerState {
    /// Nothing is in flight.
    Nothing,
    /// Bytes are in flight, so another check is needed.
    Bytes,
    /// This peer has acknowledged nothing for too long.
    DeadPeer(Fault),
}

/// The number of bytes that a socket has taken, and its queue.
type Sent = (u64, Option<SendQueue>);

impl DeadPeerWatch {
    /// Bytes have moved.
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_with(|| Box::new(Checks::new(Instant::now())));
    }

    /// When to check again.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.0.as_ref().map(|checks| checks.next)
    }

    /// Checks if it is time to.
    pub(super) fn check(&mut self, client: &Connection, upstream: &Connection) -> Checked {
        let Some(checks) = &mut self.0 else { return Checked::Nothing };
        let now = Instant::now();
        if now < checks.next {
            return Checked::Nothing;
        }
        let sent = |side: &Connection| (side.transport.written(), side.transport.send_queue());
        let state = checks.check(now, sent(client), sent(upstream));
        let takes_some = checks.client.takes_some || checks.upstream.takes_some;
        match state {
            PeerState::DeadPeer(fault) => return Checked::Dead(fault),
            PeerState::Nothing => self.0 = None,
            PeerState::Bytes => {}
        }
        if takes_some { Checked::Progress } else { Checked::Nothing }
    }
}

impl Checks {
    fn new(now: Instant) -> Self {
        let (client, upstream) = Default::default();
        Self { next: now + DEAD_PEER_CHECK_INTERVAL, client, upstream }
    }

    fn check(&mut self, now: Instant, client: Sent, upstream: Sent) -> PeerState {
        self.next = now + DEAD_PEER_CHECK_INTERVAL;
        match [self.client.check(client), self.upstream.check(upstream)] {
            [Some(DEAD_PEER_CHECKS..), _] => PeerState::DeadPeer(Fault::Client),
            [_, Some(DEAD_PEER_CHECKS..)] => PeerState::DeadPeer(Fault::Upstream),
            [None, None] => PeerState::Nothing,
            [Some(_), _] | [_, Some(_)] => PeerState::Bytes,
        }
    }
}

impl Receiver {
    /// At how many checks in a row it was unheard. `None` if nothing is in flight.
    fn check(&mut self, (taken, queue): Sent) -> Option<u8> {
        self.takes_some = false;
        let queue = queue.filter(|queue| queue.bytes > 0)?;
        let acknowledged = Some(taken.saturating_sub(queue.bytes));
        let before = self.acknowledged.replace(taken.saturating_sub(queue.bytes));
        self.takes_some = before.is_some() && before < acknowledged;
        let heard = acknowledged != before || !queue.is_retransmitted;
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
    async fn a_peer_that_acknowledges_nothing_at_three_checks_is_dead() {
        let now = Instant::now();
        for who in [Fault::Client, Fault::Upstream] {
            let mut checks = Checks::new(now);
            // More is written meanwhile, and none of it is acknowledged.
            for (taken, left) in [(10, 5), (20, 15)] {
                let sent = (taken, queue(left, true));
                let (client, upstream) =
                    if who == Fault::Client { (sent, IDLE) } else { (IDLE, sent) };
                assert_eq!(checks.check(now, client, upstream), PeerState::Bytes);
            }
            let sent = (30, queue(25, true));
            let (client, upstream) = if who == Fault::Client { (sent, IDLE) } else { (IDLE, sent) };
            assert_eq!(checks.check(now, client, upstream), PeerState::DeadPeer(who));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_slow_or_keeps_its_window_shut_is_not_dead() {
        let now = Instant::now();
        let mut checks = Checks::new(now);
        for taken in 0..20 {
            // A little is acknowledged between two checks.
            let found = checks.check(now, (1000 + taken, queue(1000, true)), IDLE);
            assert_eq!(found, PeerState::Bytes);
            // Nothing is, but nothing is retransmitted either.
            let found = checks.check(now, (1000 + taken, queue(1000, false)), IDLE);
            assert_eq!(found, PeerState::Bytes);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_kernel_is_asked_only_while_bytes_are_in_flight() {
        let now = Instant::now();
        let mut checks = Checks::new(now);
        assert_eq!(checks.next, now + DEAD_PEER_CHECK_INTERVAL);
        assert_eq!(checks.check(now, (9, queue(0, false)), (9, None)), PeerState::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_acknowledges_some_is_not_silent() {
        let mut checks = Checks::new(Instant::now());
        for (taken, takes_some) in [(1000, false), (1001, true), (1001, false), (1002, true)] {
            checks.check(Instant::now(), IDLE, (taken, queue(900, false)));
            assert_eq!(checks.upstream.takes_some, takes_some, "{taken}");
            assert!(!checks.client.takes_some);
        }
    }
}
