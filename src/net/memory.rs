//! A connection in memory, for tests, benchmarks and fuzzing: two ends, bounded pipes, and all the
//! ways in which a real connection ends. Not compiled into the binary.
//!
//! Each read returns bytes of at most one write of the other end, so that a test can count the
//! writes and see what was merged.

use crate::net::send_queue::SendQueue;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::{Stream, Transport};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Properly: a FIN, and for TLS a close_notify before it.
    Clean,
    /// Without a word, as TLS that ends without close_notify.
    Cut,
    /// A reset.
    Reset,
}

/// One end of a connection in memory.
#[derive(Debug)]
pub struct MemoryStream {
    incoming: Rc<RefCell<MemoryPipe>>,
    outgoing: Rc<RefCell<MemoryPipe>>,
    written: u64,
    opened: Instant,
    resets_unless_shut_down: bool,
}

#[derive(Debug)]
struct MemoryPipe {
    writes: VecDeque<VecDeque<u8>>,
    held: usize,
    /// How many of these the reader's kernel has acknowledged, although the writer has no room yet.
    acknowledged: usize,
    /// The reader's kernel answers nothing.
    is_unheard: bool,
    capacity: usize,
    end: Option<End>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl MemoryStream {
    /// Two connected ends; each direction holds `capacity` bytes before its writer has to wait.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let pipe = || {
            Rc::new(RefCell::new(MemoryPipe {
                writes: VecDeque::new(),
                held: 0,
                acknowledged: 0,
                is_unheard: false,
                capacity,
                end: None,
                reader_gone: false,
                reader: None,
                writer: None,
            }))
        };
        let (there, back) = (pipe(), pipe());
        let opened = Instant::now();
        let end = |incoming: &Rc<_>, outgoing: &Rc<_>| Self {
            incoming: Rc::clone(incoming),
            outgoing: Rc::clone(outgoing),
            written: 0,
            opened,
            resets_unless_shut_down: false,
        };
        (end(&back, &there), end(&there, &back))
    }

    /// Reads from one write of the other end. 0 is a clean end.
    ///
    /// # Errors
    /// `UnexpectedEof` after a cut, `ConnectionReset` after a reset.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming.borrow_mut();
        if pipe.end == Some(End::Reset) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let Some(first) = pipe.writes.front_mut() else {
            return match pipe.end {
                Some(End::Clean) => Poll::Ready(Ok(0)),
                Some(End::Cut) => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Some(End::Reset) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                None => {
                    pipe.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let len = into.len().min(first.len());
        for (to, from) in into.iter_mut().zip(first.drain(..len)) {
            *to = from;
        }
        if first.is_empty() {
            pipe.writes.pop_front();
        }
        pipe.held -= len;
        pipe.acknowledged = pipe.acknowledged.saturating_sub(len);
        wake(&mut pipe.writer);
        Poll::Ready(Ok(len))
    }

    /// As [`MeteredTcp::poll_peek`](crate::net::tcp::MeteredTcp::poll_peek).
    ///
    /// # Errors
    /// `UnexpectedEof` after a cut, `ConnectionReset` after a reset.
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming.borrow_mut();
        let len = into.len().min(pipe.held);
        let bytes = pipe.writes.iter().flatten();
        for (to, from) in into.iter_mut().zip(bytes) {
            *to = *from;
        }
        match pipe.end {
            Some(End::Reset) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            _ if len > seen => Poll::Ready(Ok(len)),
            Some(End::Clean) => Poll::Ready(Ok(len)),
            Some(End::Cut) => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
            None => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Writes as much of `slices` as there is room for, as one write.
    ///
    /// # Errors
    /// `BrokenPipe` if the other end is gone, `ConnectionReset` after a reset.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.end == Some(End::Reset) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if pipe.reader_gone || pipe.end.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.capacity - pipe.held;
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let write: VecDeque<u8> =
            slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        let len = write.len();
        if len > 0 {
            pipe.held += len;
            pipe.writes.push_back(write);
            wake(&mut pipe.reader);
            self.written += len as u64;
        }
        Poll::Ready(Ok(len))
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Acknowledges `len` more bytes of the other end's, for which it gets no room before they are
    /// read.
    pub fn acknowledge(&mut self, len: usize) {
        self.incoming.borrow_mut().acknowledged += len;
    }

    /// From now on the other end's kernel hears nothing of this one.
    pub fn vanish(&mut self) {
        self.incoming.borrow_mut().is_unheard = true;
    }

    /// Ends the outgoing direction. What was written before can still be read.
    pub fn end(&mut self, end: End) {
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.end.is_none() {
            pipe.end = Some(end);
            wake(&mut pipe.reader);
        }
    }

    /// Ends both directions at once; what the other end has not read is lost.
    pub fn reset(&mut self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.borrow_mut();
            pipe.end = Some(End::Reset);
            wake(&mut pipe.reader);
            wake(&mut pipe.writer);
        }
    }
}

impl From<MemoryStream> for Transport {
    fn from(memory: MemoryStream) -> Self {
        Box::new(memory)
    }
}

impl Stream for MemoryStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, into)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, slices)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.resets_unless_shut_down = false;
        self.end(End::Clean);
        Poll::Ready(Ok(()))
    }

    fn poll_hang_up(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(End::Cut);
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.reset();
    }

    fn abort_unless_shut_down(&mut self) {
        self.resets_unless_shut_down = true;
    }

    fn only_its_end_tells(&self) -> bool {
        self.resets_unless_shut_down
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        Self::poll_peek(self, cx, into, seen)
    }

    fn opened(&self) -> Instant {
        self.opened
    }

    fn written(&self) -> u64 {
        Self::written(self)
    }

    fn send_queue(&self) -> Option<SendQueue> {
        let pipe = self.outgoing.borrow();
        let bytes = pipe.held.saturating_sub(pipe.acknowledged) as u64;
        Some(SendQueue { bytes, is_retransmitted: pipe.is_unheard && bytes > 0 })
    }

    fn is_broken(&self) -> bool {
        self.incoming.borrow().end == Some(End::Reset)
    }

    fn tcp(&self) -> Option<&MeteredTcp> {
        None
    }

    fn into_plain(self: Box<Self>) -> Result<Box<MeteredTcp>, Transport> {
        Err(self)
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        if self.resets_unless_shut_down {
            self.reset();
        }
        self.end(End::Cut);
        let mut pipe = self.incoming.borrow_mut();
        pipe.reader_gone = true;
        wake(&mut pipe.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &mut MemoryStream) -> Poll<io::Result<Vec<u8>>> {
        let mut into = [0; 64];
        let mut cx = Context::from_waker(Waker::noop());
        stream.poll_read(&mut cx, &mut into).map_ok(|len| into[..len].to_vec())
    }

    fn write(stream: &mut MemoryStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
        stream.poll_write(&mut Context::from_waker(Waker::noop()), &[IoSlice::new(bytes)])
    }

    #[test]
    fn writes_arrive_one_by_one_and_no_more_than_fit() {
        let (mut a, mut b) = MemoryStream::pair(5);
        assert!(matches!(write(&mut a, b"abc"), Poll::Ready(Ok(3))));
        assert!(matches!(write(&mut a, b"def"), Poll::Ready(Ok(2))));
        assert!(write(&mut a, b"f").is_pending());
        assert!(matches!(read(&mut b), Poll::Ready(Ok(bytes)) if bytes == b"abc"));
        assert!(matches!(read(&mut b), Poll::Ready(Ok(bytes)) if bytes == b"de"));
        assert!(read(&mut b).is_pending());
    }

    #[test]
    fn each_of_the_three_ends_reads_differently() {
        for (end, kind) in [
            (End::Clean, None),
            (End::Cut, Some(ErrorKind::UnexpectedEof)),
            (End::Reset, Some(ErrorKind::ConnectionReset)),
        ] {
            let (mut a, mut b) = MemoryStream::pair(5);
            a.end(end);
            let Poll::Ready(result) = read(&mut b) else { panic!("no end") };
            assert_eq!(result.err().map(|error| error.kind()), kind);
        }
    }

    #[test]
    fn a_write_to_an_end_that_is_gone_is_a_broken_pipe() {
        let (mut a, b) = MemoryStream::pair(5);
        drop(b);
        assert!(
            matches!(write(&mut a, b"x"), Poll::Ready(Err(e)) if e.kind() == ErrorKind::BrokenPipe)
        );
        assert!(
            matches!(read(&mut a), Poll::Ready(Err(e)) if e.kind() == ErrorKind::UnexpectedEof)
        );
    }
}
