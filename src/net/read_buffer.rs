//! What one side has sent and no one has consumed yet: [`ReadBuffer`]. The only place that reads.
//!
//! A read goes into the worker's scratch buffer, after what was left over from the last one. The
//! caller consumes what it can there, and only the rest is kept.

use crate::net::buffer::{Buffer, with_scratch};
use crate::net::transport::Transport;
use std::io;
use std::task::{Context, Poll, ready};

/// Bytes from one side.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    held: Buffer,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Bytes.
    Bytes,
    /// The proper end of that direction.
    End,
}

impl ReadBuffer {
    /// The bytes that are not consumed yet.
    pub fn bytes(&self) -> &[u8] {
        &self.held
    }

    /// Consumes the first `len` bytes.
    pub fn consume(&mut self, len: usize) {
        self.held.consume(len);
    }

    /// Reads once and keeps everything.
    ///
    /// # Errors
    /// Those of [`Stream::poll_read`](crate::net::transport::Stream::poll_read).
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Transport,
    ) -> Poll<io::Result<Fill>> {
        self.poll_fill_up_to(cx, from, usize::MAX)
    }

    /// Reads once, at most `limit` bytes, and keeps everything.
    ///
    /// # Errors
    /// Those of [`Stream::poll_read`](crate::net::transport::Stream::poll_read).
    pub fn poll_fill_up_to(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Transport,
        limit: usize,
    ) -> Poll<io::Result<Fill>> {
        with_scratch(|scratch| {
            let room = scratch.len().min(limit);
            let scratch = &mut scratch[..room];
            let len = ready!(from.poll_read(cx, scratch))?;
            if len == 0 {
                return Poll::Ready(Ok(Fill::End));
            }
            self.held.to_append().extend_from_slice(&scratch[..len]);
            Poll::Ready(Ok(Fill::Bytes))
        })
    }

    /// Reads once, and passes everything that is there to `consume`, what was left over first.
    /// `consume` returns how many bytes it has dealt with; the rest is kept.
    ///
    /// # Errors
    /// Those of [`Stream::poll_read`](crate::net::transport::Stream::poll_read).
    pub fn poll_pass<E>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Transport,
        consume: impl FnOnce(&mut Context<'_>, &[u8]) -> Result<usize, E>,
    ) -> Poll<io::Result<Result<Fill, E>>> {
        with_scratch(|scratch| {
            // Only incomplete chunk lines or trailers are left over: far smaller than the scratch.
            let kept = self.bytes().len();
            let Some(room) = scratch.get_mut(kept..).filter(|room| !room.is_empty()) else {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            };
            let len = ready!(from.poll_read(cx, room))?;
            if len == 0 {
                return Poll::Ready(Ok(Ok(Fill::End)));
            }
            scratch[..kept].copy_from_slice(self.bytes());
            self.held = Buffer::default();
            let all = &scratch[..kept + len];
            Poll::Ready(Ok(consume(cx, all).map(|consumed| {
                if consumed < all.len() {
                    self.held = Buffer::copy_of(&all[consumed..]);
                }
                Fill::Bytes
            })))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::MemoryStream;
    use std::io::IoSlice;
    use std::task::Waker;

    #[test]
    fn what_is_left_over_comes_before_what_is_read_next() {
        let (near, mut far) = MemoryStream::pair(64);
        let mut from = Transport::from(near);
        let mut read_buffer = ReadBuffer::default();
        let cx = &mut Context::from_waker(Waker::noop());
        for part in [b"hel".as_slice(), b"lo", b" world"] {
            assert!(far.poll_write(cx, &[IoSlice::new(part)]).is_ready());
        }
        assert!(read_buffer.poll_fill(cx, &mut from).is_ready());
        let mut seen = Vec::new();
        for consumed in [2, 3] {
            let passed = read_buffer.poll_pass(cx, &mut from, |_, bytes| {
                seen.push(bytes.to_vec());
                Ok::<_, ()>(consumed)
            });
            assert!(matches!(passed, Poll::Ready(Ok(Ok(Fill::Bytes)))));
        }
        assert_eq!(seen, [b"hello".to_vec(), b"llo world".to_vec()]);
        assert_eq!(read_buffer.bytes(), b" world");
    }
}
