//! The near end: asks as an SDK does, over TLS, and times what comes back.

use crate::Fault;
use memchr::memmem;
use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chat_request};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Digits of a stamp.
const STAMP_DIGITS: usize = 20;
/// What precedes a stamp.
const STAMP: &[u8] = b"data: ";

/// Where to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// In front of the origin's own paths.
    pub(crate) prefix: &'static str,
}

/// A connection, with or without a relay in between.
pub(crate) struct Client(Connection);

/// The delay of each event: from its stamp until all of it was here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays(Arc<Mutex<Vec<Duration>>>);

impl Delays {
    /// Takes those that were noted.
    pub(crate) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, delay: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
    }
}

impl Client {
    /// Connects, as a client that was never here before.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        Ok(Self(Connection::open_tls(address).await?))
    }

    /// Asks for the short answer, and gives the time at which its first byte was here.
    pub(crate) async fn ask(&mut self, prefix: &str) -> Result<Instant, Fault> {
        self.send(&format!("{prefix}/v1/short")).await?;
        if self.0.read().await? == 0 {
            return Err("the connection ended without an answer".into());
        }
        let first_byte = Instant::now();
        let Framing::Length(length) = self.read_head().await? else {
            return Err("the answer has no length".into());
        };
        self.0.read_exactly(length).await?;
        Ok(first_byte)
    }

    /// Asks for a stream, and returns when its first event, which has no stamp, is here.
    pub(crate) async fn begin_stream(&mut self, prefix: &str) -> Result<(), Fault> {
        self.send(&format!("{prefix}/v1/stream")).await?;
        if self.read_head().await? != Framing::Chunked {
            return Err("the stream is not chunked".into());
        }
        self.0.read_chunk().await?;
        Ok(())
    }

    /// Notes the delay of each event of the stream. Ends with an error, as the stream has no end.
    pub(crate) async fn watch(mut self, clock: Instant, delays: Delays) -> Fault {
        let mut content = Vec::new();
        loop {
            match self.0.read_chunk().await {
                Ok(chunk) if chunk.is_empty() => return "the stream has ended".into(),
                Ok(chunk) => content.extend(chunk),
                Err(error) => return error.into(),
            }
            let now = clock.elapsed();
            while let Some(end) = memmem::find(&content, b"\n\n") {
                match stamp(&content[..end]) {
                    Ok(stamp) => delays.note(now.saturating_sub(stamp)),
                    Err(fault) => return fault,
                }
                content.drain(..end + b"\n\n".len());
            }
        }
    }

    async fn send(&mut self, path: &str) -> Result<(), Fault> {
        Ok(self.0.send(chat_request(path)).await?)
    }

    async fn read_head(&mut self) -> Result<Framing, Fault> {
        let head = self.0.read_head().await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("not an answer with 200: {head:?}").into());
        }
        Ok(Framing::of(&head))
    }
}

fn stamp(event: &[u8]) -> Result<Duration, Fault> {
    let at = memmem::find(event, STAMP).ok_or("an event without a stamp")? + STAMP.len();
    let digits = event.get(at..at + STAMP_DIGITS).ok_or("half a stamp")?;
    Ok(Duration::from_nanos(str::from_utf8(digits)?.parse()?))
}
