//! The far end of a connection, played by the test.

use super::bench::seconds;
use crate::net::memory::{End, MemoryStream};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker, ready};
use tokio::time::sleep;

/// More than one write of the relay's.
const READ_BYTES: usize = 1 << 20;

/// The far end of a connection: a client or an upstream, played by the test. Dropped, it cuts.
pub(super) struct Wire(pub(super) MemoryStream);

impl Wire {
    /// Sends `bytes`, in one write if there is room.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("our bytes are taken");
    }

    /// As `send`, to a relay that may be done with us.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let len = poll_fn(|cx| self.0.poll_write(cx, &[IoSlice::new(left)])).await?;
            left = &left[len..];
        }
        Ok(())
    }

    /// Sends a byte of `bytes` each time `gap` seconds have passed, for as long as it is taken.
    pub(super) async fn trickle(&mut self, bytes: &str, gap: u64) {
        for byte in bytes.as_bytes() {
            sleep(seconds(gap)).await;
            if self.try_send([*byte]).await.is_err() {
                return;
            }
        }
    }

    /// Writes `bytes` at once; there has to be room.
    pub(super) fn write_now(&mut self, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let written = self.0.poll_write(&mut cx, &[IoSlice::new(bytes)]);
        assert!(matches!(written, Poll::Ready(Ok(len)) if len == bytes.len()), "{written:?}");
    }

    /// The relay's next write, whole.
    pub(super) async fn read(&mut self) -> String {
        let bytes = self.read_some(READ_BYTES).await;
        String::from_utf8(bytes).unwrap()
    }

    /// At most `len` bytes of the relay's next write.
    pub(super) async fn read_some(&mut self, len: usize) -> Vec<u8> {
        let mut into = vec![0; len];
        let read = poll_fn(|cx| self.0.poll_read(cx, &mut into)).await;
        let len = read.expect("the connection goes on");
        assert!(len > 0, "the connection goes on");
        into.truncate(len);
        into
    }

    /// Sends `bytes` and reads at the same time, until `len` bytes have come.
    pub(super) async fn send_and_read(&mut self, bytes: &str, len: usize) -> String {
        let (mut left, mut got, mut into) = (bytes.as_bytes(), Vec::new(), vec![0; READ_BYTES]);
        let done = poll_fn(|cx| {
            while !left.is_empty() {
                match self.0.poll_write(cx, &[IoSlice::new(left)]) {
                    Poll::Pending => break,
                    Poll::Ready(written) => left = &left[written.expect("bytes are taken")..],
                }
            }
            while got.len() < len {
                let read = ready!(self.0.poll_read(cx, &mut into)).expect("bytes come");
                assert!(read > 0, "the connection goes on");
                got.extend_from_slice(&into[..read]);
            }
            Poll::Ready(())
        });
        done.await;
        String::from_utf8(got).unwrap()
    }

    /// All that comes until the relay ends this direction, and how it does.
    pub(super) async fn read_to_end(&mut self) -> (String, End) {
        let (mut bytes, mut into) = (Vec::new(), vec![0; READ_BYTES]);
        let end = loop {
            match poll_fn(|cx| self.0.poll_read(cx, &mut into)).await {
                Ok(0) => break End::Clean,
                Ok(len) => bytes.extend_from_slice(&into[..len]),
                Err(error) => break kind_of_end(&error),
            }
        };
        (String::from_utf8(bytes).unwrap(), end)
    }

    /// The writes that are here, and the end if that is here, too.
    pub(super) fn here(&mut self) -> (Vec<String>, Option<End>) {
        let (mut writes, mut into) = (Vec::new(), vec![0; READ_BYTES]);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.0.poll_read(&mut cx, &mut into) {
                Poll::Pending => return (writes, None),
                Poll::Ready(Ok(0)) => return (writes, Some(End::Clean)),
                Poll::Ready(Ok(len)) => {
                    writes.push(String::from_utf8(into[..len].to_vec()).unwrap());
                }
                Poll::Ready(Err(error)) => return (writes, Some(kind_of_end(&error))),
            }
        }
    }

    /// Bytes that the relay has taken or that fitted into the connection.
    pub(super) fn written(&self) -> u64 {
        self.0.written()
    }

    /// Ends our direction, or everything with [`End::Reset`].
    pub(super) fn end(&mut self, end: End) {
        match end {
            End::Clean | End::Cut => self.0.end(end),
            End::Reset => self.0.reset(),
        }
    }
}

fn kind_of_end(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::UnexpectedEof => End::Cut,
        ErrorKind::ConnectionReset => End::Reset,
        other => panic!("an end by {other}"),
    }
}
