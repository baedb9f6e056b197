//! What has been sent to one side and not accepted by its socket yet: [`WriteBuffer`]. The only
//! place that writes.
//!
//! Bytes go straight from where they were read to the socket. Only what the socket does not accept
//! is copied, into a pooled buffer. Then the caller does not read again until
//! [`WriteBuffer::poll_drain`] is ready: that is the backpressure, and there is no queue between
//! the peers.

use crate::h1::limits::CONTENT_RANGES_MAX;
use crate::net::buffer::Buffer;
use crate::net::replay::Replay;
use crate::net::transport::Transport;
use bytes::BytesMut;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::task::{Context, Poll, ready};

/// Most pieces of one send: a chunk header, content, and what closes it.
pub const PIECES_MAX: usize = CONTENT_RANGES_MAX + 2;

/// Most pieces of a common send, whose content is one piece.
const FEW_PIECES: usize = 3;

/// Bytes for one side.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    held: Buffer,
    /// TLS may have bytes that it has not handed to the socket.
    unflushed: bool,
    /// Set when a write failed. Later sends are discarded, and `poll_drain` returns the error: a
    /// sender in the middle of a read cannot act on it.
    broken: Option<ErrorKind>,
    replay: Option<Replay>,
}

impl WriteBuffer {
    /// A write buffer with `buffer` queued.
    pub fn with(buffer: Buffer) -> Self {
        Self { held: buffer, ..Self::default() }
    }

    /// A buffer to append to. What it holds leaves before what is sent next, in the same write.
    pub fn queue(&mut self) -> &mut BytesMut {
        self.held.to_append()
    }

    /// Keeps a copy of what is queued, and from now on of what is sent, of at most `limit` bytes.
    /// It is given up when there is no room for it, or for those of the whole worker (`replay`).
    pub fn keep_copy(&mut self, limit: usize) {
        self.replay = Replay::new(limit);
        let held = mem::take(&mut self.held);
        self.copy(&[&held]);
        self.held = held;
    }

    /// The copy, if it is complete. None is kept from now on.
    pub fn take_copy(&mut self) -> Option<Buffer> {
        self.replay.take().map(Replay::into_bytes)
    }

    /// Whether there is a copy, and complete so far.
    pub fn has_copy(&self) -> bool {
        self.replay.is_some()
    }

    /// Discards what is queued, because no one will accept it. A copy stays.
    pub fn give_up(&mut self) {
        self.held = Buffer::default();
        self.unflushed = false;
        self.broken = None;
    }

    /// Whether everything has been accepted and flushed.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && !self.unflushed
    }

    /// How many bytes wait for the next send or drain.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Whether bytes wait for the next send or drain.
    pub fn holds_bytes(&self) -> bool {
        !self.held.is_empty()
    }

    /// Sends what is queued and then `pieces`, at most [`PIECES_MAX`], and keeps what the socket
    /// does not accept. [`WriteBuffer::poll_drain`] returns the error if the socket fails.
    pub fn send(&mut self, cx: &mut Context<'_>, to: &mut Transport, pieces: &[&[u8]]) {
        self.copy(pieces);
        self.send_uncopied(cx, to, pieces);
    }

    fn send_uncopied(&mut self, cx: &mut Context<'_>, to: &mut Transport, pieces: &[&[u8]]) {
        if self.broken.is_some() {
            return;
        }
        debug_assert!(pieces.len() <= PIECES_MAX, "the caller collects no more");
        let held = mem::take(&mut self.held);
        // To prepare the slices for the longest send would take half the time of a common one.
        let written = if pieces.len() <= FEW_PIECES {
            write::<{ FEW_PIECES + 1 }>(cx, to, &held, pieces)
        } else {
            write::<{ PIECES_MAX + 1 }>(cx, to, &held, pieces)
        };
        match written {
            Ok(written) => {
                self.unflushed |= written > 0;
                self.keep_rest(held, pieces, written);
            }
            Err(error) => self.broken = Some(error),
        }
    }

    fn copy(&mut self, pieces: &[&[u8]]) {
        if self.replay.as_mut().is_some_and(|replay| !replay.add(pieces)) {
            self.replay = None;
        }
    }

    /// Keeps what follows the first `written` bytes of `held` and `pieces` together.
    fn keep_rest(&mut self, mut held: Buffer, pieces: &[&[u8]], written: usize) {
        let mut skip = written;
        if skip < held.len() {
            held.consume(skip);
            skip = 0;
            self.held = held;
        } else {
            skip -= held.len();
        }
        for piece in pieces {
            if skip >= piece.len() {
                skip -= piece.len();
            } else {
                self.queue().extend_from_slice(&piece[skip..]);
                skip = 0;
            }
        }
    }

    /// Ready when the socket has accepted everything.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<io::Result<()>> {
        if self.holds_bytes() {
            self.send_uncopied(cx, to, &[]);
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error.into()));
        }
        if self.holds_bytes() {
            return Poll::Pending;
        }
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes `held` and then `pieces`, fewer than `N` together, and returns how many bytes the socket
/// accepted.
fn write<const N: usize>(
    cx: &mut Context<'_>,
    to: &mut Transport,
    held: &[u8],
    pieces: &[&[u8]],
) -> Result<usize, ErrorKind> {
    let mut slices = [IoSlice::new(b""); N];
    let mut count = 0;
    for piece in [held].iter().chain(pieces) {
        if !piece.is_empty() {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
    }
    let mut left = &mut slices[..count];
    let mut written = 0;
    while !left.is_empty() {
        match to.poll_write(cx, left) {
            Poll::Ready(Ok(0)) => return Err(ErrorKind::WriteZero),
            Poll::Ready(Ok(len)) => {
                written += len;
                IoSlice::advance_slices(&mut left, len);
            }
            Poll::Ready(Err(error)) => return Err(error.kind()),
            Poll::Pending => break,
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::MemoryStream;
    use std::task::Waker;

    fn read(stream: &mut MemoryStream) -> Vec<u8> {
        let mut into = [0; 64];
        match stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut into) {
            Poll::Ready(Ok(len)) => into[..len].to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_queued_leaves_in_one_write_with_what_is_sent() {
        let (near, mut far) = MemoryStream::pair(64);
        let mut to = Transport::from(near);
        let mut write_buffer = WriteBuffer::default();
        write_buffer.queue().extend_from_slice(b"head ");
        let cx = &mut Context::from_waker(Waker::noop());
        write_buffer.send(cx, &mut to, &[b"5\r\n", b"", b"hello", b"\r\n"]);
        assert_eq!(read(&mut far), b"head 5\r\nhello\r\n");
        assert!(write_buffer.poll_drain(cx, &mut to).is_ready());
        assert!(write_buffer.is_empty());
    }

    #[test]
    fn a_failed_write_is_returned_by_the_drain() {
        let (near, far) = MemoryStream::pair(64);
        drop(far);
        let mut to = Transport::from(near);
        let mut write_buffer = WriteBuffer::default();
        let cx = &mut Context::from_waker(Waker::noop());
        write_buffer.send(cx, &mut to, &[b"lost"]);
        write_buffer.send(cx, &mut to, &[b"lost as well"]);
        let Poll::Ready(Err(error)) = write_buffer.poll_drain(cx, &mut to) else {
            panic!("drained")
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_copy_holds_all_that_was_queued_and_sent_or_nothing() {
        let (near, _far) = MemoryStream::pair(4);
        let mut to = Transport::from(near);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut write_buffer = WriteBuffer::with(Buffer::copy_of(b"head"));
        write_buffer.keep_copy(9);
        write_buffer.send(cx, &mut to, &[b"bo", b"dy"]);
        write_buffer.send(cx, &mut to, &[b"!"]);
        assert!(write_buffer.has_copy());
        assert_eq!(&write_buffer.take_copy().unwrap()[..], b"headbody!");
        write_buffer.keep_copy(9);
        write_buffer.send(cx, &mut to, &[b"ten bytes."]);
        assert!(!write_buffer.has_copy() && write_buffer.take_copy().is_none());
    }

    #[test]
    fn what_the_socket_does_not_accept_is_kept_in_order_wherever_the_cut_is() {
        for capacity in 1..12 {
            let (near, mut far) = MemoryStream::pair(capacity);
            let mut to = Transport::from(near);
            let mut write_buffer = WriteBuffer::default();
            write_buffer.queue().extend_from_slice(b"abc");
            let cx = &mut Context::from_waker(Waker::noop());
            write_buffer.send(cx, &mut to, &[b"def", b"ghi"]);
            let mut got = read(&mut far);
            while write_buffer.holds_bytes() {
                let _ = write_buffer.poll_drain(cx, &mut to).is_ready();
                got.extend(read(&mut far));
            }
            assert_eq!(got, b"abcdefghi", "capacity {capacity}");
        }
    }
}
