//! One end of a connection, whatever carries it: TCP, TLS as server or as client, or memory.
//!
//! All operations are polls without buffers of their own. The ways to end a connection are kept
//! apart, because what the peer may conclude differs: [`Transport::poll_shutdown`] says that all is
//! well, [`Transport::poll_hang_up`] says nothing and leaves it to the framing, or to TLS, to tell
//! that something is missing, and [`Transport::abort`] says so in a way that nobody overlooks, at
//! the price of what has not arrived yet.

use crate::limits::TCP_USER_TIMEOUT;
use crate::net::memory::{End, MemoryStream};
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::{Session, TlsStream};
use crate::net::unacked::{SendQueue, send_queue};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connected byte stream. Boxed, so that none is as large as the largest of them.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp(Box<MeteredTcp>),
    /// TLS.
    Tls(Box<TlsStream>),
    /// Memory, for tests and fuzzing.
    Memory(Box<MemoryStream>),
}

impl From<TcpStream> for Transport {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(Box::new(MeteredTcp::new(tcp)))
    }
}

impl From<MemoryStream> for Transport {
    fn from(memory: MemoryStream) -> Self {
        Self::Memory(Box::new(memory))
    }
}

impl<S: Session + 'static> From<S> for Transport {
    fn from(tls: S) -> Self {
        Self::Tls(Box::new(TlsStream::new(tls)))
    }
}

/// What waits to be read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Nothing.
    Silence,
    /// Bytes.
    Bytes,
    /// The end of the connection, or an error.
    End,
}

impl Transport {
    /// Reads what is there. 0 is a proper end: a FIN, or close_notify for TLS.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` when TLS ends without close_notify.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => {
                let mut read = ReadBuf::new(into);
                Pin::new(tcp).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
            }
            Self::Tls(tls) => tls.poll_read(cx, into),
            Self::Memory(memory) => memory.poll_read(cx, into),
        }
    }

    /// Writes some of `slices`, in one call to the socket where it can.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => tls.poll_write(cx, slices),
            Self::Memory(memory) => memory.poll_write(cx, slices),
        }
    }

    /// Moves what TLS has accepted but not yet handed to the socket.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Memory(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// Ends our direction properly: close_notify where there is TLS, then FIN.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => {
                tcp.reset_on_close(false);
                Pin::new(tcp).poll_shutdown(cx)
            }
            Self::Tls(tls) => {
                tls.tcp_mut().reset_on_close(false);
                tls.poll_shutdown(cx)
            }
            Self::Memory(memory) => {
                memory.end(End::Clean);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends our direction without a word: a FIN, and behind TLS no close_notify before it. What was
    /// flushed before still arrives.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tcp = match self {
            Self::Tcp(tcp) => &mut **tcp,
            Self::Tls(tls) => tls.tcp_mut(),
            Self::Memory(memory) => {
                memory.end(End::Cut);
                return Poll::Ready(Ok(()));
            }
        };
        tcp.reset_on_close(false);
        Pin::new(tcp).poll_shutdown(cx)
    }

    /// Sees to it that the connection, when it is dropped, ends so that the peer cannot take what
    /// it got for complete. Nothing may be sent on it any more, and what the peer's kernel has not
    /// acknowledged is lost.
    ///
    /// Plain TCP and upstream connections are reset. A TLS client gets a FIN without
    /// close_notify, which says the same, unless [`Transport::abort_unless_shut_down`] was called.
    pub fn abort(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.reset_on_close(true),
            Self::Tls(tls) if tls.is_with_client() => {}
            Self::Tls(tls) => tls.tcp_mut().reset_on_close(true),
            Self::Memory(memory) => memory.reset(),
        }
    }

    /// From now on, until [`Transport::poll_shutdown`], a close says that something is missing,
    /// whatever it is that closes: a task that ends, or the whole process.
    ///
    /// For bytes that end with the connection, of a body or a tunnel. Behind TLS the absence of
    /// close_notify would say it, too, but there are clients that do not listen: curl 7.88 with
    /// OpenSSL 3 takes such a body for complete.
    pub fn abort_unless_shut_down(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.reset_on_close(true),
            Self::Tls(tls) => tls.tcp_mut().reset_on_close(true),
            Self::Memory(memory) => memory.reset_unless_shut_down(),
        }
    }

    /// Whether bytes end with the connection, so that nothing else tells a cut from an end.
    pub fn only_its_end_tells(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.resets_unless_shut_down(),
            Self::Tcp(_) | Self::Tls(_) => self.tcp().is_some_and(MeteredTcp::resets_on_close),
        }
    }

    /// What waits to be read, without reading it.
    ///
    /// Asks the kernel, not the runtime, which learns of a byte or a FIN only in its next round.
    pub fn peek(&self) -> Peek {
        // Memory has no runtime in between: a poll has seen everything.
        let Some(tcp) = self.tcp() else { return Peek::Silence };
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(tcp.socket()).peek(&mut byte) {
            Ok(0) => Peek::End,
            Ok(_) => Peek::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Silence,
            Err(_) => Peek::End,
        }
    }

    /// Whether TLS carries the bytes, so that bytes on the wire need not be content.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Memory(_) => false,
            Self::Tls(_) => true,
        }
    }

    /// Looks at what has come below TLS without taking it; see [`MeteredTcp::poll_peek`].
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_peek(cx, into, seen),
            Self::Tls(tls) => tls.tcp().poll_peek(cx, into, seen),
            Self::Memory(memory) => memory.poll_peek(cx, into, seen),
        }
    }

    /// The socket, where nothing stands between it and the bytes.
    pub fn plain(&mut self) -> Option<&mut MeteredTcp> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(_) | Self::Memory(_) => None,
        }
    }

    /// The name that a client asked for in a handshake that ended here.
    pub fn asked_name(&self) -> Option<&str> {
        match self {
            Self::Tls(tls) => tls.asked_name(),
            Self::Tcp(_) | Self::Memory(_) => None,
        }
    }

    /// The address that the peer is connected to, if there is one.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.tcp()?.socket().local_addr().ok()
    }

    /// Whether the peer has ended its direction, or the connection is broken, although bytes of
    /// it may still be unread.
    pub fn has_hung_up(&self) -> bool {
        self.tcp().is_some_and(MeteredTcp::has_hung_up)
    }

    /// Whether the connection is broken, although bytes of it may still be unread.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.is_broken(),
            Self::Tcp(_) | Self::Tls(_) => self.tcp().is_some_and(MeteredTcp::is_broken),
        }
    }

    /// Lets the peer leave our bytes unacknowledged, or its window shut, for as long as `time`,
    /// and never for less than [`TCP_USER_TIMEOUT`].
    pub fn set_user_timeout(&self, time: Duration) {
        let Some(tcp) = self.tcp() else { return };
        // Best effort: without it the kernel's own limits hold, some 15 minutes.
        let _ = SockRef::from(tcp.socket()).set_tcp_user_timeout(Some(time.max(TCP_USER_TIMEOUT)));
    }

    /// When the connection was opened.
    pub fn opened(&self) -> Instant {
        match self {
            Self::Memory(memory) => memory.opened(),
            Self::Tcp(tcp) => tcp.opened(),
            Self::Tls(tls) => tls.tcp().opened(),
        }
    }

    /// Bytes that the socket has taken: what the peer's kernel accepts shows here, and nowhere
    /// else once TLS is in between.
    pub fn written(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.written(),
            Self::Tcp(_) | Self::Tls(_) => self.tcp().map_or(0, MeteredTcp::written),
        }
    }

    /// Whether of the bytes that the socket took after the first `before`, not one was
    /// acknowledged by the peer's kernel. Unknown counts as no.
    pub fn nothing_acknowledged_since(&self, before: u64) -> bool {
        let since = self.written() - before;
        // What came before was answered, so it was acknowledged: the queue is ours alone.
        self.unacknowledged().is_some_and(|queued| queued >= since)
    }

    /// Bytes that the socket has taken and the peer's kernel has not acknowledged; `None` when
    /// nobody can tell.
    pub fn unacknowledged(&self) -> Option<u64> {
        self.send_queue().map(|queue| queue.bytes)
    }

    /// The same, and whether it is sent again and again.
    pub fn send_queue(&self) -> Option<SendQueue> {
        match self {
            Self::Memory(memory) => {
                Some(SendQueue { bytes: memory.unread(), is_sent_again: false })
            }
            Self::Tcp(_) | Self::Tls(_) => {
                let socket = self.tcp()?.socket();
                // Behind a reset there is no peer any more, and nothing on its way to it.
                let Ok(peer) = socket.peer_addr() else {
                    return Some(SendQueue { bytes: 0, is_sent_again: false });
                };
                send_queue(socket.local_addr().ok()?, peer)
            }
        }
    }

    fn tcp(&self) -> Option<&MeteredTcp> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.tcp()),
            Self::Memory(_) => None,
        }
    }

    /// Reads and forgets until the peer is done. For the end of a connection.
    ///
    /// # Errors
    /// Those of the socket: the peer is gone, which is just as well.
    pub fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_read(cx, scratch))? == 0 {
            return Poll::Ready(Ok(()));
        }
        // The turn is that of others now: nobody waits for what is thrown away, and a peer that
        // sends as fast as we read would have it for long.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn what_a_peer_sends_is_thrown_away_with_turns_for_others_in_between() {
        let (near, mut far) = MemoryStream::pair(1024);
        for _ in 0..3 {
            poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(b"x")])).await.unwrap();
        }
        far.end(End::Clean);
        let (mut near, mut scratch, mut turns) = (Transport::from(near), [0; 64], 0);
        let discarding = poll_fn(|cx| {
            turns += 1;
            near.poll_discard(cx, &mut scratch)
        });
        discarding.await.unwrap();
        assert_eq!(turns, 4, "the last one for the end");
    }

    #[tokio::test]
    async fn nothing_is_on_its_way_to_a_peer_that_has_reset_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut near = Transport::from(listener.accept().await.unwrap().0);
        assert_eq!(near.unacknowledged(), Some(0));
        poll_fn(|cx| near.poll_write(cx, &[IoSlice::new(b"lost")])).await.unwrap();
        Transport::from(far).abort();
        let error = poll_fn(|cx| near.poll_read(cx, &mut [0; 8])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(near.unacknowledged(), Some(0));
    }
}
