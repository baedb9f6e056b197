//! Whether a peer takes what was sent to it, as its kernel acknowledges it.
//!
//! A socket accepts more only when a third of its buffer is free again, which may be a megabyte and
//! more: a slow peer needs minutes for that. And the kernel's own limit on what is unacknowledged
//! cuts peers that read slowly. So once a peer may be slow, that limit is lifted, and the kernel is
//! asked now and then how much the peer has acknowledged. One that is there but takes nothing,
//! because its program is stopped, has the whole limit of its direction; one that is not even heard
//! of, [`UNHEARD_MAX`].

use crate::clock::now;
use crate::gateway::due::Clock;
use crate::limits::{ACCEPTANCE_LOOK_EVERY_MAX, ACCEPTANCE_LOOKS, UNHEARD_MAX};
use crate::net::send_queue::SendQueue;
use crate::net::transport::Transport;
use std::time::Duration;
use tokio::time::Instant;

/// What both peers take. On the heap, and only once one of them may be slow.
#[derive(Debug, Default)]
pub(super) struct Acceptance(Option<Box<Both>>);

#[derive(Debug, Default)]
struct Both {
    upstream: Option<Looks>,
    client: Option<Looks>,
}

impl Both {
    fn receiver(&mut self, clock: Clock) -> &mut Option<Looks> {
        match clock {
            Clock::Upload => &mut self.upstream,
            Clock::Download => &mut self.client,
        }
    }
}

/// The last look, and what those before it have found.
#[derive(Debug)]
struct Looks {
    at: Instant,
    /// Bytes that the peer had acknowledged, if that is known.
    acknowledged: Option<u64>,
    /// Since when the kernel has only been retransmitting, or probing in vain.
    unheard_since: Option<Instant>,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The peer has acknowledged more since the last look, which was in the same gap.
    Progress,
    /// It has not.
    Nothing,
    /// It has not for so long, nor answered a probe, that it is gone.
    Vanished,
}

impl Acceptance {
    /// The receiver of the direction of `clock`, at `transport`, may be slow. From now on only our
    /// own limits tell whether it is too slow.
    pub(super) fn begin(&mut self, clock: Clock, transport: &Transport) {
        self.0.get_or_insert_default().receiver(clock).get_or_insert_with(|| {
            transport.lift_user_timeout();
            Looks { at: now(), acknowledged: None, unheard_since: None }
        });
    }

    /// When to look next, if the receiver may be slow and has `limit` to take some.
    pub(super) fn next_look(&mut self, clock: Clock, limit: Duration) -> Option<Instant> {
        let last = self.0.as_mut()?.receiver(clock).as_ref()?;
        Some(last.at + (limit / ACCEPTANCE_LOOKS).min(ACCEPTANCE_LOOK_EVERY_MAX))
    }

    /// Looks, in a gap that has begun at `began`.
    pub(super) fn look(&mut self, clock: Clock, transport: &Transport, began: Instant) -> Seen {
        let Some(looks) = self.0.as_mut().and_then(|both| both.receiver(clock).as_mut()) else {
            return Seen::Nothing;
        };
        looks.note(now(), began, transport.written(), transport.send_queue())
    }
}

impl Looks {
    /// Notes how much of what was `written` is still in the `queue`.
    fn note(
        &mut self,
        now: Instant,
        began: Instant,
        written: u64,
        queue: Option<SendQueue>,
    ) -> Seen {
        // What was acknowledged before the gap began may be why it began then.
        let in_gap = self.at >= began;
        self.at = now;
        let before = self.acknowledged;
        self.acknowledged = queue.map(|queue| written.saturating_sub(queue.bytes));
        let takes = self.acknowledged.zip(before).is_some_and(|(now, before)| now > before);
        if takes || !queue.is_some_and(|queue| queue.is_retransmitted) {
            self.unheard_since = None;
            return if takes && in_gap { Seen::Progress } else { Seen::Nothing };
        }
        let unheard_since = *self.unheard_since.get_or_insert(now);
        if now >= unheard_since + UNHEARD_MAX { Seen::Vanished } else { Seen::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::MeteredTcp;
    use socket2::SockRef;
    use std::io::{IoSlice, Read};
    use std::task::{Context, Poll, Waker};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::advance;

    const LIMIT: Duration = Duration::from_secs(40);

    /// A connection whose socket accepts no more, and its peer.
    async fn blocked() -> (Transport, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = listener.accept().await.unwrap().0.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        SockRef::from(&near).set_tcp_user_timeout(Some(LIMIT)).unwrap();
        let mut near: Transport = Box::new(MeteredTcp::new(near));
        while accepts_more(&mut near) {}
        (near, peer)
    }

    fn accepts_more(near: &mut Transport) -> bool {
        let block = [0; 64 * 1024];
        let cx = &mut Context::from_waker(Waker::noop());
        matches!(near.poll_write(cx, &[IoSlice::new(&block)]), Poll::Ready(Ok(_)))
    }

    /// The peer reads until its kernel has acknowledged more, for which the socket has no room yet.
    fn take_a_little(near: &Transport, peer: &mut std::net::TcpStream) {
        let before = near.unacknowledged();
        while near.unacknowledged() == before {
            peer.read_exact(&mut [0; 1024]).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_sees_what_a_peer_takes_although_its_socket_accepts_nothing() {
        let (mut near, mut peer) = blocked().await;
        let mut acceptance = Acceptance::default();
        assert_eq!(acceptance.next_look(Clock::Upload, LIMIT), None, "until it may be slow");
        acceptance.begin(Clock::Upload, &near);
        let began = now();
        let quarter = LIMIT / ACCEPTANCE_LOOKS;
        for seen in [Seen::Nothing, Seen::Progress, Seen::Progress] {
            assert_eq!(acceptance.next_look(Clock::Upload, LIMIT), Some(now() + quarter));
            advance(quarter).await;
            assert_eq!(acceptance.look(Clock::Upload, &near, began), seen);
            take_a_little(&near, &mut peer);
            assert!(!accepts_more(&mut near), "as much as the socket has room for");
        }
        assert_eq!(acceptance.look(Clock::Upload, &near, began), Seen::Progress);
        assert_eq!(acceptance.look(Clock::Upload, &near, began), Seen::Nothing);
        // A gap begins after the last look.
        take_a_little(&near, &mut peer);
        advance(quarter).await;
        assert_eq!(acceptance.look(Clock::Upload, &near, now()), Seen::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_are_never_far_apart() {
        let (near, _peer) = blocked().await;
        let mut acceptance = Acceptance::default();
        acceptance.begin(Clock::Upload, &near);
        let next = acceptance.next_look(Clock::Upload, Duration::from_secs(3600));
        assert_eq!(next, Some(now() + ACCEPTANCE_LOOK_EVERY_MAX));
    }

    /// A look, 30 s after the last: what was written, what of it is in flight, whether that is
    /// retransmitted.
    #[track_caller]
    fn check(looks: &[(u64, u64, bool, Seen)]) {
        let began = Instant::now();
        let mut now = began;
        let mut all = Looks { at: now, acknowledged: None, unheard_since: None };
        for &(written, bytes, is_retransmitted, seen) in looks {
            now += Duration::from_secs(30);
            let queue = Some(SendQueue { bytes, is_retransmitted });
            assert_eq!(all.note(now, began, written, queue), seen, "{written} {bytes}");
        }
    }

    #[test]
    fn a_peer_that_answers_no_probe_has_vanished_after_a_minute() {
        check(&[
            (100, 90, true, Seen::Nothing),
            (100, 90, true, Seen::Nothing),
            (100, 90, true, Seen::Vanished),
        ]);
        // More is written meanwhile.
        check(&[
            (100, 90, true, Seen::Nothing),
            (150, 140, true, Seen::Nothing),
            (170, 160, true, Seen::Vanished),
        ]);
    }

    #[test]
    fn a_peer_that_answers_probes_or_takes_a_little_has_not_vanished() {
        check(&[(100, 90, false, Seen::Nothing); 20]);
        check(&[
            (100, 90, true, Seen::Nothing),
            (100, 90, true, Seen::Nothing),
            (100, 89, true, Seen::Progress),
            (100, 89, true, Seen::Nothing),
            (100, 89, false, Seen::Nothing),
            (100, 89, true, Seen::Nothing),
            (100, 89, true, Seen::Nothing),
        ]);
    }

    /// It would end a connection whose peer keeps its window small and shuts it now and then.
    #[tokio::test(start_paused = true)]
    async fn the_kernels_own_limit_ends_when_the_looks_begin_and_comes_back_when_it_is_restored() {
        let (near, _peer) = blocked().await;
        let limit = || SockRef::from(near.tcp().unwrap().socket()).tcp_user_timeout().unwrap();
        assert_eq!(limit(), Some(LIMIT));
        Acceptance::default().begin(Clock::Upload, &near);
        assert_eq!(limit(), None);
        near.restore_user_timeout(LIMIT * 2);
        assert_eq!(limit(), Some(LIMIT * 2));
        near.restore_user_timeout(LIMIT);
        assert_eq!(limit(), Some(LIMIT * 2), "nothing is to be restored");
    }
}
