//! Sending until nothing moves any more, without waiting for time to pass.

use super::peer::{End, Peer};
use super::stage::{GET, OK, OK_LAST, Stage};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::AsyncWrite;
use tokio::task::yield_now;

/// Exchanges without progress after which a sender counts as blocked. Each takes the relay's only
/// worker through its event loop several times, and one of them would see the sender's bytes.
const QUIET_EXCHANGES: usize = 20;

/// Byte number `at` of the content that is sent: no two neighbours alike, no short period.
fn pattern_byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// A part of the pattern.
pub fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(pattern_byte).collect()
}

/// Sends the pattern until the relay and the kernel take no more; gives how much they took.
///
/// The relay has one worker. That it has nothing left to do is seen by other exchanges, which it
/// serves in between.
pub async fn send_until_blocked(sender: &mut Peer, stage: &Stage, total: usize) -> usize {
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send(OK).await;
    client.read_message().await;
    let (mut sent, mut quiet) = (0, 0);
    while quiet < QUIET_EXCHANGES && sent < total {
        let part = pattern(sent, (total - sent).min(64 * 1024));
        let taken = sender.send_now(&part).await;
        sent += taken;
        if taken == part.len() {
            quiet = 0;
            continue;
        }
        quiet = if taken == 0 { quiet + 1 } else { 0 };
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
    }
    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    client.read_message().await;
    sent
}

/// Lets the relay's only worker do all that it can do now: it serves others in between.
pub async fn settle(stage: &Stage) {
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send(OK).await;
    client.read_message().await;
    for _ in 0..QUIET_EXCHANGES {
        client.send(GET).await;
        upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
    }
    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    client.read_message().await;
}

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// As soon as it comes.
    Eager,
    /// A few bytes at a time, and everybody else has many turns in between.
    Slow,
    /// A byte or two at a time, for a while.
    InTinyPieces,
}

impl Reader {
    pub const ALL: [Self; 3] = [Self::Eager, Self::Slow, Self::InTinyPieces];
}

impl Peer {
    /// Reads what comes until the connection ends, and says how it ended.
    pub async fn read_as(&mut self, reader: Reader) -> (Vec<u8>, End) {
        let mut got = Vec::new();
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
            match self.read_up_to(room).await {
                Ok(bytes) => got.extend(bytes),
                Err(end) => return (got, end),
            }
        }
    }

    /// Sends what is taken at once; gives how much that was.
    pub async fn send_now(&mut self, bytes: &[u8]) -> usize {
        poll_fn(|cx| match Pin::new(&mut self.wire).poll_write(cx, bytes) {
            Poll::Ready(taken) => Poll::Ready(taken.expect("the other side is there")),
            Poll::Pending => Poll::Ready(0),
        })
        .await
    }

    /// Sends the rest of the pattern, in parts.
    pub async fn send_pattern(&mut self, from: usize, total: usize) {
        let mut sent = from;
        while sent < total {
            let part = pattern(sent, (total - sent).min(64 * 1024));
            self.send(&part).await;
            sent += part.len();
        }
    }

    /// Reads `total` bytes and checks each against the pattern.
    pub async fn expect_pattern(&mut self, total: usize) {
        let mut at = 0;
        while at < total {
            let len = (total - at).min(64 * 1024);
            let bytes = self.read_exactly(len).await;
            assert!(bytes == pattern(at, len), "bytes {at} to {} are not what was sent", at + len);
            at += len;
        }
    }
}
