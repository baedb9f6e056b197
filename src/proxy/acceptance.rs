//! Whether a peer takes what was sent to it, although its socket accepts no more.
//!
//! A socket accepts more only when a third of its buffer is free again, which may be a megabyte and
//! more: a slow peer needs minutes for that. So while it is waited for, the kernel is asked how
//! much the peer has acknowledged.

use crate::clock::{IdleClock, now};
use crate::limits::ACCEPTANCE_LOOKS;
use crate::net::transport::Transport;
use std::time::Duration;
use tokio::time::Instant;

/// What one peer takes. On the heap, and only once its socket has accepted no more.
#[derive(Debug, Default)]
pub(super) struct Acceptance(Option<Box<Look>>);

/// The last look.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// Bytes that the peer had acknowledged, if that is known.
    acknowledged: Option<u64>,
}

impl Acceptance {
    /// The socket accepts no more. From now on only the looks tell whether the peer is too slow.
    pub(super) fn begin(&mut self, transport: &Transport) {
        if self.0.is_none() {
            transport.lift_user_timeout();
            self.0 = Some(Box::new(Look { at: now(), acknowledged: None }));
        }
    }

    /// When to look next, or when the gap that `clock` measures has lasted for `limit`.
    pub(super) fn next_look(&self, clock: &mut IdleClock, limit: Duration) -> Instant {
        let began = clock.since();
        let last = self.0.as_ref().map_or(began, |last| last.at.max(began));
        (last + limit / ACCEPTANCE_LOOKS).min(began + limit)
    }

    /// Looks, and says whether the gap has lasted for `limit`. It begins anew if the peer has
    /// acknowledged more since the last look in it.
    pub(super) fn is_late(
        &mut self,
        clock: &mut IdleClock,
        limit: Duration,
        transport: &Transport,
    ) -> bool {
        let (began, now) = (clock.since(), now());
        let acknowledged =
            transport.unacknowledged().map(|left| transport.written().saturating_sub(left));
        let look = Box::new(Look { at: now, acknowledged });
        let last = self.0.replace(look).filter(|last| last.at >= began);
        let before = last.and_then(|last| last.acknowledged);
        if acknowledged.zip(before).is_some_and(|(acknowledged, before)| acknowledged > before) {
            clock.stamp();
            return false;
        }
        now >= began + limit
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
    async fn a_peer_that_takes_a_little_is_not_late_although_its_socket_accepts_nothing() {
        let (mut near, mut peer) = blocked().await;
        let (mut acceptance, mut clock) = (Acceptance::default(), IdleClock::default());
        let quarter = LIMIT / ACCEPTANCE_LOOKS;
        for _ in 0..3 {
            let look = acceptance.next_look(&mut clock, LIMIT);
            assert_eq!(look, now() + quarter);
            advance(quarter).await;
            assert!(!acceptance.is_late(&mut clock, LIMIT, &near));
            take_a_little(&near, &mut peer);
            assert!(!accepts_more(&mut near), "as much as the socket has room for");
        }
        advance(quarter).await;
        assert!(!acceptance.is_late(&mut clock, LIMIT, &near));
        assert_eq!(clock.since(), now(), "its gap begins anew");
        for late in [false, false, false, true] {
            advance(quarter).await;
            assert_eq!(acceptance.is_late(&mut clock, LIMIT, &near), late);
        }
    }

    /// It would end a connection whose peer keeps its window small and shuts it now and then.
    #[tokio::test(start_paused = true)]
    async fn the_kernels_own_limit_ends_when_the_looks_begin() {
        let (near, _peer) = blocked().await;
        let limit = || SockRef::from(near.tcp().unwrap().socket()).tcp_user_timeout().unwrap();
        assert_eq!(limit(), Some(LIMIT));
        Acceptance::default().begin(&near);
        assert_eq!(limit(), None);
    }
}
