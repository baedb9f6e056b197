//! What one side has not taken yet, and the only place that writes.
//!
//! Bytes go straight from where they were read to the socket. Only what it does not take is
//! copied, into a pooled buffer, and then the caller does not read again until
//! [`WriteBuffer::poll_drain`] is ready: there is no queue between the peers.

use crate::h1::limits::CONTENT_RANGES_MAX;
use crate::limits::REPLAY_BYTES_OF_WORKER_MAX;
use crate::net::buffer::Buffer;
use crate::net::transport::Transport;
use bytes::BytesMut;
use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::num::NonZeroU32;
use std::task::{Context, Poll, ready};

/// Most pieces of one send: a chunk header, content, and what closes it.
pub const PIECES_MAX: usize = CONTENT_RANGES_MAX + 2;

/// Most pieces of a common one, whose content is in one piece.
const FEW_PIECES: usize = 3;

/// Bytes on their way to one side.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    held: Buffer,
    unflushed: bool,
    /// The socket takes nothing any more. What is sent from then on goes nowhere, until a drain
    /// says so: a sender in the middle of a read cannot do anything about it anyway.
    broken: Option<ErrorKind>,
    kept: Option<Kept>,
}

/// Everything that was sent, in case it has to be sent again elsewhere.
#[derive(Debug)]
struct Kept {
    /// So many bytes of the worker's budget are booked for this.
    sent: Buffer,
    /// Of this type, because a write buffer without a copy then needs no word to say so.
    limit: NonZeroU32,
}

thread_local! {
    /// Bytes that all copies of this worker hold.
    static BOOKED: Cell<usize> = const { Cell::new(0) };
}

impl Kept {
    /// Whether `len` more bytes may be kept, and if so, books them.
    fn book(&mut self, len: usize) -> bool {
        let all = BOOKED.get() + len;
        let limit = self.limit.get() as usize;
        let may = self.sent.len() + len <= limit && all <= REPLAY_BYTES_OF_WORKER_MAX;
        if may {
            BOOKED.set(all);
        }
        may
    }

    /// What was sent, from now on outside of the budget.
    fn take_sent(&mut self) -> Buffer {
        // The thread may be ending, its count gone.
        let _ = BOOKED.try_with(|all| all.set(all.get() - self.sent.len()));
        mem::take(&mut self.sent)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.take_sent();
    }
}

impl WriteBuffer {
    /// An write buffer with `buffer` queued.
    pub fn with(buffer: Buffer) -> Self {
        Self { held: buffer, ..Self::default() }
    }

    /// A buffer to append to; what it holds leaves first, and in one write with what is sent next.
    pub fn queue(&mut self) -> &mut BytesMut {
        self.held.to_append()
    }

    /// Copies what is queued, and from now on what is sent, as long as that is at most `limit`
    /// bytes, and all copies of the worker at most [`REPLAY_BYTES_OF_WORKER_MAX`]; beyond it the
    /// copy is given up.
    pub fn keep_copy(&mut self, limit: usize) {
        let limit = NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX));
        self.kept = limit.map(|limit| Kept { sent: Buffer::default(), limit });
        let held = mem::take(&mut self.held);
        self.keep(&[&held]);
        self.held = held;
    }

    /// The copy, if it is complete. None is kept from now on.
    pub fn take_copy(&mut self) -> Option<Buffer> {
        self.kept.take().map(|mut kept| kept.take_sent())
    }

    /// Whether a copy is kept, and complete so far.
    pub fn has_copy(&self) -> bool {
        self.kept.is_some()
    }

    /// Forgets what is queued: nobody will take it. A copy stays.
    pub fn give_up(&mut self) {
        self.held = Buffer::default();
        self.unflushed = false;
        self.broken = None;
    }

    /// Whether everything was taken and flushed.
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

    /// Sends what is queued and then `pieces`, at most [`PIECES_MAX`]; keeps what is not taken.
    /// [`WriteBuffer::poll_drain`] tells when the socket failed.
    pub fn send(&mut self, cx: &mut Context<'_>, to: &mut Transport, pieces: &[&[u8]]) {
        self.keep(pieces);
        self.send_uncopied(cx, to, pieces);
    }

    fn send_uncopied(&mut self, cx: &mut Context<'_>, to: &mut Transport, pieces: &[&[u8]]) {
        if self.broken.is_some() {
            return;
        }
        debug_assert!(pieces.len() <= PIECES_MAX, "the caller collects no more");
        let held = mem::take(&mut self.held);
        // To fill room for all that may come takes half of a common send.
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

    fn keep(&mut self, pieces: &[&[u8]]) {
        let Some(kept) = &mut self.kept else { return };
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if kept.book(len) {
            pieces.iter().for_each(|piece| kept.sent.to_append().extend_from_slice(piece));
        } else {
            self.kept = None;
        }
    }

    /// Keeps what is behind the first `written` bytes of `held` and `pieces` together.
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

    /// Ready when the other side has taken everything.
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

/// Writes `held` and then `pieces`, fewer than `N`, as far as the socket takes them; gives how many
/// bytes it took.
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
    fn a_socket_that_fails_shows_at_the_drain() {
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
    fn all_copies_of_a_worker_together_are_bounded() {
        let each = REPLAY_BYTES_OF_WORKER_MAX / 4;
        let copies = || {
            let buffer = Buffer::copy_of(&vec![0; each]);
            let mut write_buffer = WriteBuffer::with(buffer);
            write_buffer.keep_copy(each);
            write_buffer
        };
        let kept: Vec<_> = (0..5).map(|_| copies()).collect();
        assert_eq!(kept.iter().filter(|write_buffer| write_buffer.has_copy()).count(), 4);
        drop(kept);
        assert!(copies().has_copy(), "what is dropped is there for the next one");
    }

    #[test]
    fn whatever_is_not_taken_is_kept_in_order_wherever_the_cut_is() {
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
