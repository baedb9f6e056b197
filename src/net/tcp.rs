//! A TCP stream that counts what its socket has accepted: [`MeteredTcp`].
//!
//! A time limit on a peer that reads slowly needs to see every byte that the peer accepts, also
//! those that TLS accepted from us long before. So the bytes are counted below TLS, at the socket,
//! and what TLS may read is limited there (`read_limit`).
//!
//! The system calls are made here and not by tokio: those of the C library, which tokio makes, may
//! be cancelled (pthreads(7)), for two atomic operations each.

use crate::net::read_limit::{PlainHttp, ReadLimit};
use crate::net::user_timeout::UserTimeout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::writev;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A TCP stream, and the number of bytes that its socket has accepted.
#[derive(Debug)]
pub struct MeteredTcp {
    tcp: TcpStream,
    written: u64,
    resets_on_close: bool,
    user_timeout: UserTimeout,
    read_limit: ReadLimit,
    opened: Instant,
}

impl MeteredTcp {
    /// Counts from now on.
    pub fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            written: 0,
            resets_on_close: false,
            user_timeout: UserTimeout::default(),
            read_limit: ReadLimit::NONE,
            opened: Instant::now(),
        }
    }

    /// The stream itself, for socket options.
    pub fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    /// When it was opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Bytes that the socket has accepted.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes a close a reset, which also discards what is still to be sent; or a FIN again.
    pub fn reset_on_close(&mut self, reset: bool) {
        if self.resets_on_close != reset {
            self.resets_on_close = reset;
            // Best effort: without it the close is a FIN, and framing or TLS has to show the cut.
            let _ = SockRef::from(&self.tcp).set_linger(reset.then_some(Duration::ZERO));
        }
    }

    /// Whether a close is a reset.
    pub fn resets_on_close(&self) -> bool {
        self.resets_on_close
    }

    /// Leaves it to the caller how long the peer may keep its window shut, or bytes unacknowledged.
    pub fn lift_user_timeout(&self) {
        self.user_timeout.lift(&self.tcp);
    }

    /// The same, and for how long keepalive probes may go unanswered.
    pub fn lift_user_timeout_for_probes(&self) {
        self.user_timeout.lift_for_probes(&self.tcp);
    }

    /// Leaves that to the kernel again, with the limit `time`, if it was lifted.
    pub fn restore_user_timeout(&self, time: Duration) {
        self.user_timeout.restore(&self.tcp, time);
    }

    /// Counts bytes that the socket accepted past this type.
    pub fn add_written(&mut self, len: usize) {
        self.written += len as u64;
    }

    /// Lets no more than `len` bytes be read from now on; one more is an error.
    pub fn limit_reads(&mut self, len: u32) {
        self.read_limit.set(len);
    }

    /// Makes the first bytes an error if they begin a request in plain HTTP. Only together with a
    /// limit on reads, so that other connections pay nothing.
    pub fn refuse_plain_http(&mut self) {
        self.read_limit.refuse_plain_http();
    }

    /// The request in plain HTTP, if one came. From then on nothing is limited.
    pub fn take_plain_http(&mut self) -> Option<PlainHttp> {
        self.read_limit.take_plain_http()
    }

    /// Lets any number of bytes be read again.
    pub fn lift_limit(&mut self) {
        self.read_limit = ReadLimit::NONE;
    }

    /// Ready if a read may find something, as far as the runtime knows.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error of the runtime, which the read returns as well.
        self.tcp.poll_read_ready(cx).map(|_| ())
    }

    /// Whether a read may find something, as far as the runtime knows. Wakes no one later.
    pub fn is_ready_to_read(&self) -> bool {
        self.tcp.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    /// Peeks at the bytes that have arrived. Ready when they are more than `seen`, or when no more
    /// will come: `seen` again means that the peer has ended its direction.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let peek = || {
                // Checked before the bytes, because none can follow an end that was seen.
                let is_ended = self.has_hung_up();
                let (_, len) = recv(&self.tcp, &mut *into, RecvFlags::PEEK)?;
                // `WouldBlock` clears the readiness: only another byte, or the end, wakes us.
                if len > seen || is_ended { Ok(len) } else { Err(ErrorKind::WouldBlock.into()) }
            };
            match self.tcp.try_io(Interest::READABLE, peek) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }

    /// Whether the peer has ended its direction, or the connection is broken, although bytes of it
    /// may still be unread.
    pub fn has_hung_up(&self) -> bool {
        self.has(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// Whether the connection is broken. It is not if both directions have ended, which the kernel
    /// reports as a hang-up, too.
    pub fn is_broken(&self) -> bool {
        self.has(PollFlags::ERR)
    }

    /// Whether the kernel reports one of `flags`.
    fn has(&self, flags: PollFlags) -> bool {
        let mut polled = [PollFd::new(&self.tcp, flags)];
        // An error, such as an interruption, says nothing about the peer.
        poll(&mut polled, Some(&Timespec::default())).is_ok()
            && polled[0].revents().intersects(flags)
    }

    /// Waits until `len` bytes can be read at once. Loopback delivers them within the write, unless
    /// the machine is busy.
    #[cfg(test)]
    pub(crate) async fn arrived(&self, len: usize) {
        let mut into = vec![0; len];
        let peeked = std::future::poll_fn(|cx| self.poll_peek(cx, &mut into, len - 1)).await;
        assert_eq!(peeked.unwrap(), len);
    }

    /// Reads what has arrived. 0 is a FIN.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (tcp, room) = (&self.tcp, into.len());
        let receive = || Ok(recv(tcp, &mut *into, RecvFlags::empty())?.1);
        let len = ready!(poll_call(tcp, cx, Interest::READABLE, room, receive))?;
        if self.read_limit.is_set() {
            self.read_limit.check(&into[..len])?;
        }
        Poll::Ready(Ok(len))
    }

    /// Writes as much of `slices` as the socket accepts.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tcp = &self.tcp;
        let len = slices.iter().map(|slice| slice.len()).sum();
        let write = || match slices {
            // For one slice, such as a TLS record, the kernel has a shorter path than for several:
            // it saves a fiftieth of a small exchange.
            [one] => Ok(send(tcp, one, SendFlags::NOSIGNAL)?),
            several => Ok(writev(tcp, several)?),
        };
        let written = ready!(poll_call(tcp, cx, Interest::WRITABLE, len, write))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }
}

impl Drop for MeteredTcp {
    fn drop(&mut self) {
        self.user_timeout.close(&self.tcp);
    }
}

/// Makes a system call that moves up to `len` bytes, when the runtime finds the socket ready.
///
/// The runtime is asked first, although to try first would be cheaper: that counts towards what it
/// lets a task do in one turn.
fn poll_call(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    interest: Interest,
    len: usize,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        let is_read = interest.is_readable();
        ready!(if is_read { tcp.poll_read_ready(cx) } else { tcp.poll_write_ready(cx) })?;
        let mut fewer = None;
        let result = tcp.try_io(interest, || match call()? {
            moved if 0 < moved && moved < len => {
                // Another call would find nothing. `WouldBlock` says so to the runtime.
                fewer = Some(moved);
                Err(ErrorKind::WouldBlock.into())
            }
            moved => Ok(moved),
        });
        match (fewer, result) {
            (Some(moved), _) => return Poll::Ready(Ok(moved)),
            (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            (None, result) => return Poll::Ready(result),
        }
    }
}

impl AsyncRead for MeteredTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = ready!(self.poll_receive(cx, into.initialize_unfilled()))?;
        into.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    async fn pair() -> (TcpStream, MeteredTcp) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (far, MeteredTcp::new(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn a_connection_is_broken_by_a_reset_and_not_by_the_end_of_both_directions() {
        let (mut far, mut near) = pair().await;
        assert!(!near.has_hung_up() && !near.is_broken());
        far.write_all(b"unread").await.unwrap();
        far.shutdown().await.unwrap();
        while !near.has_hung_up() {
            yield_now().await;
        }
        near.shutdown().await.unwrap();
        assert!(near.has_hung_up() && !near.is_broken());
        let (mut far, near) = pair().await;
        far.write_all(b"unread").await.unwrap();
        MeteredTcp::new(far).reset_on_close(true);
        while !near.is_broken() {
            yield_now().await;
        }
        assert!(near.has_hung_up());
    }

    #[tokio::test]
    async fn one_byte_more_than_the_limit_on_reads_is_an_error() {
        let (mut far, mut near) = pair().await;
        near.limit_reads(2);
        near.lift_limit();
        far.write_all(b"hello").await.unwrap();
        near.read_exact(&mut [0; 5]).await.unwrap();
        near.limit_reads(3);
        far.write_all(b"fo").await.unwrap();
        near.read_exact(&mut [0; 2]).await.unwrap();
        far.write_all(b"ur").await.unwrap();
        near.arrived(2).await;
        assert_eq!(near.read(&mut [0; 2]).await.unwrap_err().kind(), ErrorKind::InvalidData);
        far.write_all(b"x").await.unwrap();
        near.arrived(1).await;
        assert_eq!(near.read(&mut [0; 2]).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn behind_a_read_of_fewer_bytes_than_there_is_room_for_nothing_is_left_to_read() {
        let (mut far, mut near) = pair().await;
        for room in [4, 8] {
            far.write_all(b"four").await.unwrap();
            near.arrived(4).await;
            assert!(near.is_ready_to_read());
            assert_eq!(near.read(&mut vec![0; room]).await.unwrap(), 4);
            assert_eq!(near.is_ready_to_read(), room == 4);
        }
        far.shutdown().await.unwrap();
        poll_fn(|cx| near.poll_readable(cx)).await;
        assert!(near.is_ready_to_read());
    }

    /// Otherwise a client that sends requests ahead, all of which we answer ourselves, would have
    /// its thread to itself.
    #[tokio::test]
    async fn a_task_whose_socket_is_always_ready_has_its_turn_ended_by_reads_and_by_writes() {
        const MANY: usize = 1000;
        let (mut far, mut near) = pair().await;
        far.write_all(&[b'x'; MANY]).await.unwrap();
        near.arrived(MANY).await;
        let reads = calls_in_a_turn(|cx| near.poll_receive(cx, &mut [0])).await;
        let writes = calls_in_a_turn(|cx| near.poll_send(cx, &[IoSlice::new(b"x")])).await;
        assert!(0 < reads && reads < MANY, "{reads} reads");
        assert!(0 < writes && writes < MANY, "{writes} writes");
    }

    /// How often `call` succeeds in one turn of a task.
    async fn calls_in_a_turn(
        mut call: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> usize {
        yield_now().await;
        poll_fn(|cx| {
            let calls = (0..2000).take_while(|_| matches!(call(cx), Poll::Ready(Ok(1)))).count();
            Poll::Ready(calls)
        })
        .await
    }

    #[tokio::test]
    async fn a_peek_waits_for_bytes_that_were_not_seen_before_or_for_the_end() {
        let (mut far, near) = pair().await;
        let mut into = [0; 8];
        assert!(peek(&near, &mut into, 0).await.is_pending());
        far.write_all(b"ab").await.unwrap();
        let len = poll_fn(|cx| near.poll_peek(cx, &mut into, 0)).await.unwrap();
        assert_eq!(&into[..len], b"ab");
        assert!(peek(&near, &mut into, 2).await.is_pending());
        far.write_all(b"c").await.unwrap();
        let len = poll_fn(|cx| near.poll_peek(cx, &mut into, 2)).await.unwrap();
        assert_eq!(&into[..len], b"abc");
        far.shutdown().await.unwrap();
        assert_eq!(poll_fn(|cx| near.poll_peek(cx, &mut into, 3)).await.unwrap(), 3);
    }

    async fn peek(near: &MeteredTcp, into: &mut [u8], seen: usize) -> Poll<io::Result<usize>> {
        poll_fn(|cx| Poll::Ready(near.poll_peek(cx, into, seen))).await
    }
}
