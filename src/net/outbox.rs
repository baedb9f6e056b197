//! What one side has not taken yet, and the only place that writes.
//!
//! Bytes go straight from where they were read to the socket. Only what it does not take is
//! copied, into a pooled buffer, and then the caller does not read again until
//! [`Outbox::poll_drain`] is ready: there is no queue between the peers.

use crate::limits::CONTENT_RANGES_MAX;
use crate::net::buffer::Buffer;
use crate::net::transport::Transport;
use bytes::{Buf, BytesMut};
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};

/// Most pieces of one send: a chunk header, content, and what closes it.
pub const PIECES_MAX: usize = CONTENT_RANGES_MAX + 2;

/// Bytes on their way to one side.
#[derive(Debug, Default)]
pub struct Outbox {
    held: Option<Buffer>,
    unflushed: bool,
}

impl Outbox {
    /// A buffer to append to; what it holds leaves first, and in one write with what is sent next.
    pub fn queue(&mut self) -> &mut BytesMut {
        self.held.get_or_insert_with(Buffer::take)
    }

    /// Queues a whole buffer, without a copy when nothing is queued yet.
    pub fn queue_buffer(&mut self, buffer: Buffer) {
        match &mut self.held {
            None => self.held = Some(buffer),
            Some(held) => held.extend_from_slice(&buffer),
        }
    }

    /// Whether everything was taken and flushed.
    pub fn is_empty(&self) -> bool {
        self.held.is_none() && !self.unflushed
    }

    /// Whether bytes wait for the next send or drain.
    pub fn holds_bytes(&self) -> bool {
        self.held.is_some()
    }

    /// Sends what is queued and then `pieces`, at most [`PIECES_MAX`]; keeps what is not taken.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Transport,
        pieces: &[&[u8]],
    ) -> io::Result<()> {
        debug_assert!(pieces.len() <= PIECES_MAX, "the caller collects no more");
        let held = self.held.take();
        let mut slices = [IoSlice::new(b""); PIECES_MAX + 1];
        let mut count = 0;
        for piece in held.as_deref().map(|held| &held[..]).iter().chain(pieces) {
            if !piece.is_empty() {
                slices[count] = IoSlice::new(piece);
                count += 1;
            }
        }
        let mut left = &mut slices[..count];
        let mut written = 0;
        while !left.is_empty() {
            match to.poll_write(cx, left) {
                Poll::Ready(Ok(0)) => return Err(ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    written += len;
                    IoSlice::advance_slices(&mut left, len);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.unflushed |= written > 0;
        self.keep_rest(held, pieces, written);
        Ok(())
    }

    /// Keeps what is behind the first `written` bytes of `held` and `pieces` together.
    fn keep_rest(&mut self, held: Option<Buffer>, pieces: &[&[u8]], written: usize) {
        let mut skip = written;
        if let Some(mut held) = held {
            if skip < held.len() {
                held.advance(skip);
                skip = 0;
                self.held = Some(held);
            } else {
                skip -= held.len();
            }
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
        if self.held.is_some() {
            self.send(cx, to, &[])?;
            if self.held.is_some() {
                return Poll::Pending;
            }
        }
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
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
        let mut to = Transport::Memory(near);
        let mut outbox = Outbox::default();
        outbox.queue().extend_from_slice(b"head ");
        let cx = &mut Context::from_waker(Waker::noop());
        outbox.send(cx, &mut to, &[b"5\r\n", b"", b"hello", b"\r\n"]).unwrap();
        assert_eq!(read(&mut far), b"head 5\r\nhello\r\n");
        assert!(outbox.poll_drain(cx, &mut to).is_ready());
        assert!(outbox.is_empty());
    }

    #[test]
    fn whatever_is_not_taken_is_kept_in_order_wherever_the_cut_is() {
        for capacity in 1..12 {
            let (near, mut far) = MemoryStream::pair(capacity);
            let mut to = Transport::Memory(near);
            let mut outbox = Outbox::default();
            outbox.queue().extend_from_slice(b"abc");
            let cx = &mut Context::from_waker(Waker::noop());
            outbox.send(cx, &mut to, &[b"def", b"ghi"]).unwrap();
            let mut got = read(&mut far);
            while outbox.holds_bytes() {
                let _ = outbox.poll_drain(cx, &mut to).is_ready();
                got.extend(read(&mut far));
            }
            assert_eq!(got, b"abcdefghi", "capacity {capacity}");
        }
    }
}
