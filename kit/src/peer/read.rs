//! What a peer reads: heads, bodies, silence and ends.

use super::{End, Peer, ROUNDS};
use crate::http::{Framing, Received};
use crate::within;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::panic::Location;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::task::yield_now;
use tokio_rustls::rustls::Error;

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// As soon as it comes.
    Eager,
    /// A few bytes at a time, and everyone else has many turns in between.
    Slow,
    /// A byte or two at a time, for a while.
    InTinyPieces,
}

impl Reader {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Eager, Self::Slow, Self::InTinyPieces];
}

impl Peer {
    /// Reads a message head, up to and including its empty line.
    pub async fn read_head(&mut self) -> String {
        self.read_until("a head", Received::take_head).await
    }

    /// Reads up to and including `delimiter`.
    pub async fn read_through(&mut self, delimiter: &[u8]) -> String {
        self.read_until("a delimiter", |received| received.take_through(delimiter)).await
    }

    /// Reads exactly `count` bytes.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        self.read_until(&format!("{count} bytes"), |received| received.take_exactly(count)).await
    }

    /// What one read gives, or what an earlier read left over.
    pub async fn read_some(&mut self) -> Vec<u8> {
        self.read_until("some bytes", |received| received.take_up_to(usize::MAX)).await
    }

    /// Reads a head and the body that follows it.
    pub async fn read_message(&mut self) -> (String, Vec<u8>) {
        let head = self.read_head().await;
        let body = self.read_body_to_end(&head).await;
        (head, body)
    }

    /// Reads the body that follows `head` to its end and decodes it. It does not know about HEAD.
    pub async fn read_body_to_end(&mut self, head: &str) -> Vec<u8> {
        match Framing::of(head) {
            Framing::Length(length) => self.read_exactly(length).await,
            Framing::Chunked => self.read_chunks_to_end().await,
            Framing::UntilClose => {
                let (body, end) = self.read_to_end().await;
                assert_eq!(end, End::Clean, "{} lost the end of {body:?}", self.role);
                body
            }
        }
    }

    /// Reads one chunk and gives its content; the last chunk, with its trailer section, has none.
    pub async fn read_chunk(&mut self) -> Vec<u8> {
        self.read_until("a chunk", Received::take_chunk).await
    }

    /// The trailer section of the last chunked body, without its empty line.
    pub fn trailers(&self) -> &str {
        self.connection.received.trailers()
    }

    /// Reads until the connection ends, and says how it ended.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            if let Err(end) = self.fill("the end").await {
                break end;
            }
        };
        (self.connection.received.take_all(), end)
    }

    /// As [`read_to_end`](Self::read_to_end), in reads as long and as far apart as `reader` says.
    pub async fn read_as(&mut self, reader: Reader) -> (Vec<u8>, End) {
        let mut got = self.connection.received.take_all();
        loop {
            let (room, turns) = match reader {
                Reader::Eager => (64 * 1024, 0),
                Reader::Slow => (8 * 1024, 20),
                Reader::InTinyPieces if got.len() < 4096 => (1 + got.len() % 2, 0),
                Reader::InTinyPieces => (64 * 1024, 0),
            };
            for _ in 0..turns {
                yield_now().await;
            }
            let mut bytes = vec![0; room];
            let what = format!("bytes or an end at the {}", self.role);
            let read = within(&what, self.connection.wire.read(&mut bytes)).await;
            match read_or_end(read, &what) {
                Ok(count) => got.extend(&bytes[..count]),
                Err(end) => return (got, end),
            }
        }
    }

    /// Asserts that the connection ends in this way, and that no byte precedes the end.
    #[track_caller]
    pub fn expect_end(&mut self, want: End) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let (bytes, end) = self.read_to_end().await;
            let bytes = String::from_utf8_lossy(&bytes);
            assert_eq!((&*bytes, end), ("", want), "at the {}, {caller}", self.role);
        }
    }

    /// Asserts that neither a byte nor an end is here, after everyone in this process had turns.
    ///
    /// This cannot see what a relay in another process is still about to send: order the steps of
    /// a test so that a wrong byte would already be here (wait for something sent after it). It
    /// can pass wrongly, and never fails wrongly.
    pub async fn assert_silent(&mut self) {
        for _ in 0..ROUNDS {
            yield_now().await;
        }
        let held = String::from_utf8_lossy(&self.connection.received.bytes);
        assert_eq!(held, "", "the {} should have received nothing", self.role);
        let mut bytes = [0; 1024];
        let mut bytes = ReadBuf::new(&mut bytes);
        let wire = &mut self.connection.wire;
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *wire).poll_read(cx, &mut bytes)));
        if let Poll::Ready(result) = polled.await {
            let bytes = String::from_utf8_lossy(bytes.filled());
            panic!("the {} should be silent, but read {bytes:?} ({result:?})", self.role);
        }
    }

    /// The length of the next TLS record, without its header.
    pub async fn peek_record_length(&mut self) -> usize {
        assert!(self.connection.received.bytes.is_empty(), "bytes of the record before are left");
        let mut header = [0; 5];
        within("a TLS record", async {
            while self.wire().tcp().peek(&mut header).await.expect("a record") < header.len() {}
        })
        .await;
        usize::from(u16::from_be_bytes([header[3], header[4]]))
    }

    async fn read_chunks_to_end(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.read_chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    /// Reads until `take` gives a value; the connection may not end before that. The
    /// guard is for each read.
    async fn read_until<T>(
        &mut self,
        what: &str,
        mut take: impl FnMut(&mut Received) -> Option<T>,
    ) -> T {
        loop {
            if let Some(taken) = take(&mut self.connection.received) {
                return taken;
            }
            if let Err(end) = self.fill(what).await {
                let held = String::from_utf8_lossy(&self.connection.received.bytes);
                panic!("the {} wanted {what}, has {held:?}, and met {end:?}", self.role);
            }
        }
    }

    /// Reads once.
    async fn fill(&mut self, what: &str) -> Result<(), End> {
        let held = &self.connection.received.bytes;
        let held = String::from_utf8_lossy(&held[..held.len().min(200)]);
        let what = format!("{what} at the {}, which has {held:?}", self.role);
        let read = within(&what, self.connection.read()).await;
        read_or_end(read, &what).map(drop)
    }
}

fn read_or_end(read: io::Result<usize>, what: &str) -> Result<usize, End> {
    match read {
        Ok(0) => Err(End::Clean),
        Ok(count) => Ok(count),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(End::Truncated),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
        Err(error) if is_alert(&error) => Err(End::Alert),
        Err(error) => panic!("{what}: {error}"),
    }
}

fn is_alert(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(Error::AlertReceived(_)))
}
