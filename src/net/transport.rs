//! One end of a connection, whatever carries it: [`Transport`].
//!
//! A [`Stream`] is plain TCP, TLS as server or as client (`tls_stream`), or memory for tests
//! (`memory`). Every operation is a poll, and none has a buffer of its own. [`send_all`] and
//! [`receive`] wait.
//!
//! There are three ways to end a connection, because the peer concludes something else from each:
//!
//! - [`Stream::poll_shutdown`] says that all is well.
//! - [`Stream::poll_hang_up`] says nothing, and leaves it to the framing, or to TLS, to show that
//!   something is missing.
//! - [`Stream::abort`] says so in a way that no peer can overlook, and loses what has not arrived.

use crate::net::send_queue::{SendQueue, send_queue};
use crate::net::tcp::MeteredTcp;
use bytes::BytesMut;
use socket2::SockRef;
use std::fmt::Debug;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connected stream. Boxed, so that a connection over TCP is not as large as one over TLS.
pub type Transport = Box<dyn Stream>;

/// A connected byte stream.
pub trait Stream: Debug {
    /// Reads what has arrived. 0 is a proper end: a FIN, and for TLS a close_notify before it.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` when TLS ends without close_notify.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `slices`, in one call to the socket if possible.
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Moves what TLS has accepted but not yet handed to the socket.
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our direction properly: close_notify if there is TLS, then FIN.
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our direction with a FIN alone, without close_notify. What was flushed before still
    /// arrives.
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes the connection end, when it is dropped, so that the peer cannot take what it got for
    /// complete. Nothing may be sent after this, and what the peer's kernel has not acknowledged
    /// is lost.
    ///
    /// Plain TCP and upstream connections are reset. A TLS client gets a FIN without
    /// close_notify, which says the same, unless [`Stream::abort_unless_shut_down`] was called.
    fn abort(&mut self);

    /// Makes every close before [`Stream::poll_shutdown`] a reset, whether a task ends or the
    /// whole process.
    ///
    /// For bytes that end with the connection: a body without a length, or a tunnel. With TLS the
    /// missing close_notify would say the same, but some clients ignore that: curl 7.88 with
    /// OpenSSL 3 takes such a body for complete.
    fn abort_unless_shut_down(&mut self);

    /// Whether [`Stream::abort_unless_shut_down`] holds: only the way in which the connection ends
    /// distinguishes a cut from a proper end.
    fn only_its_end_tells(&self) -> bool;

    /// Peeks at the bytes below TLS; see [`MeteredTcp::poll_peek`].
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>>;

    /// When the connection was opened.
    fn opened(&self) -> Instant;

    /// Bytes that the socket has accepted. With TLS in between, only this shows what the peer's
    /// kernel accepts.
    fn written(&self) -> u64;

    /// Bytes that the socket has accepted and the peer's kernel has not acknowledged, and whether
    /// they are being retransmitted; `None` if that is unknown.
    fn send_queue(&self) -> Option<SendQueue>;

    /// Whether the connection is broken, although bytes of it may still be unread.
    fn is_broken(&self) -> bool;

    /// The socket that carries the bytes, encrypted or not; memory has none.
    fn tcp(&self) -> Option<&MeteredTcp>;

    /// The socket, if it carries the bytes as they are.
    fn plain(&mut self) -> Option<&mut MeteredTcp> {
        None
    }

    /// The socket, if it carries the bytes as they are.
    ///
    /// # Errors
    /// The stream itself, if not.
    fn into_plain(self: Box<Self>) -> Result<Box<MeteredTcp>, Transport>;

    /// Whether TLS carries the bytes, so that bytes on the wire need not be content.
    fn is_tls(&self) -> bool {
        false
    }

    /// The server name that the client asked for in its handshake with us.
    fn asked_name(&self) -> Option<&str> {
        None
    }

    /// The certificate that the client has shown in its handshake with us, as DER. It was verified.
    fn client_certificate(&self) -> Option<&[u8]> {
        None
    }

    /// What waits to be read, without reading it.
    ///
    /// Asks the kernel, not the runtime, which learns of a byte or a FIN only in its next round.
    fn peek(&self) -> Peek {
        // Memory has no runtime in between: a poll has seen everything.
        let Some(tcp) = self.tcp() else { return Peek::Silence };
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(tcp.socket()).peek(&mut byte) {
            Ok(0) => Peek::End,
            Ok(_) => Peek::Bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Peek::Silence,
            Err(_) => Peek::End,
        }
    }

    /// The address that the peer is connected to, if there is one.
    fn local_address(&self) -> Option<SocketAddr> {
        self.tcp()?.socket().local_addr().ok()
    }

    /// Whether the peer has ended its direction, or the connection is broken, although bytes of
    /// it may still be unread.
    fn has_hung_up(&self) -> bool {
        self.tcp().is_some_and(MeteredTcp::has_hung_up)
    }

    /// See [`MeteredTcp::lift_user_timeout`].
    fn lift_user_timeout(&self) {
        if let Some(tcp) = self.tcp() {
            tcp.lift_user_timeout();
        }
    }

    /// See [`MeteredTcp::restore_user_timeout`].
    fn restore_user_timeout(&self, time: Duration) {
        if let Some(tcp) = self.tcp() {
            tcp.restore_user_timeout(time);
        }
    }

    /// Bytes that the socket has accepted and the peer's kernel has not acknowledged; `None` if
    /// that is unknown.
    fn unacknowledged(&self) -> Option<u64> {
        self.send_queue().map(|queue| queue.bytes)
    }

    /// Whether the peer's kernel has acknowledged none of the bytes that the socket accepted after
    /// the first `before`. Unknown counts as no.
    fn nothing_acknowledged_since(&self, before: u64) -> bool {
        let since = self.written() - before;
        // What came before was answered, and so acknowledged: only our bytes are in the queue.
        self.unacknowledged().is_some_and(|queued| queued >= since)
    }

    /// Reads and discards until the peer has ended its direction. For the end of a connection.
    ///
    /// # Errors
    /// Those of the socket: the peer is gone, which is just as well.
    fn poll_discard(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        if ready!(self.poll_read(cx, scratch))? == 0 {
            return Poll::Ready(Ok(()));
        }
        // Yields after each read: no one waits for discarded bytes, and a peer that sends as fast
        // as we read would keep other tasks waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Sends all of `bytes`, and what TLS has kept of them.
///
/// # Errors
/// Those of the socket.
pub async fn send_all(transport: &mut Transport, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let slices = [IoSlice::new(bytes)];
        let sent = poll_fn(|cx| transport.poll_write(cx, &slices)).await?;
        bytes = &bytes[sent..];
    }
    poll_fn(|cx| transport.poll_flush(cx)).await
}

/// Waits for bytes, and appends some to `into`. Says how many; 0 is a proper end.
///
/// # Errors
/// As for [`Stream::poll_read`].
pub async fn receive(transport: &mut Transport, into: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut read = [0; 4096];
        let len = ready!(transport.poll_read(cx, &mut read))?;
        into.extend_from_slice(&read[..len]);
        Poll::Ready(Ok(len))
    })
    .await
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

impl From<TcpStream> for Transport {
    fn from(tcp: TcpStream) -> Self {
        Box::new(MeteredTcp::new(tcp))
    }
}

impl Stream for MeteredTcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, into)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, slices)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reset_on_close(false);
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }

    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(self, cx)
    }

    fn abort(&mut self) {
        self.reset_on_close(true);
    }

    fn abort_unless_shut_down(&mut self) {
        self.reset_on_close(true);
    }

    fn only_its_end_tells(&self) -> bool {
        self.resets_on_close()
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        MeteredTcp::poll_peek(self, cx, into, seen)
    }

    fn opened(&self) -> Instant {
        MeteredTcp::opened(self)
    }

    fn written(&self) -> u64 {
        MeteredTcp::written(self)
    }

    fn send_queue(&self) -> Option<SendQueue> {
        // After a reset there is no peer, and nothing in flight to it.
        let Ok(peer) = self.socket().peer_addr() else { return Some(SendQueue::EMPTY) };
        send_queue(self.socket().local_addr().ok()?, peer)
    }

    fn is_broken(&self) -> bool {
        MeteredTcp::is_broken(self)
    }

    fn tcp(&self) -> Option<&MeteredTcp> {
        Some(self)
    }

    fn plain(&mut self) -> Option<&mut MeteredTcp> {
        Some(self)
    }

    fn into_plain(self: Box<Self>) -> Result<Box<MeteredTcp>, Transport> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{End, MemoryStream};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn discarding_yields_after_each_read() {
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
    async fn nothing_is_in_flight_to_a_peer_that_has_reset_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut near = Transport::from(listener.accept().await.unwrap().0);
        assert_eq!(near.unacknowledged(), Some(0));
        poll_fn(|cx| near.poll_write(cx, &[IoSlice::new(b"lost")])).await.unwrap();
        Transport::from(far).abort();
        let error = poll_fn(|cx| near.poll_read(cx, &mut [0; 8])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.unacknowledged(), Some(0));
    }
}
