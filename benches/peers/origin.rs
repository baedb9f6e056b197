//! The far end: a TLS server that keeps its connections and answers two paths: a short answer for
//! `/v1/short`, and for `/v1/stream` an endless row of events, each stamped with the time at which
//! it is written.
//!
//! Events come in turns ([`Origin::pace`]): so many a second, of all streams together, however many
//! these are. The schedule does not wait for anyone (open loop), so that a relay which falls behind
//! shows it.

use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chunk};
use narrows_kit::server;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{Instant as Tick, sleep, sleep_until};

/// Events a second of all streams together: some 100 quick models.
pub(crate) const EVENTS_PER_SECOND: u32 = 4000;
const GAP: Duration = Duration::from_nanos(1_000_000_000 / EVENTS_PER_SECOND as u64);
/// Until the first event of a turn, so that all streams know of it.
const LEAD: Duration = Duration::from_millis(200);

const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 11\r\n\r\n{\"ok\":true}";
/// With an event that has no stamp: it shows that the stream is open.
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n9\r\n: open\r\n\n\r\n";
/// An event is as long as those of a streamed chat completion.
const PADDING: &str = concat!(
    r#"{"object":"chat.completion.chunk","model":"strait-1","choices":[{"index":0,"#,
    r#""delta":{"content":" strait"},"finish_reason":null}]}"#
);

/// A running server.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// What stamps count from.
    pub(crate) clock: Instant,
    turns: watch::Sender<Turn>,
    streams: Arc<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    /// How many have begun.
    begun: AtomicUsize,
    /// Events that were sent.
    events: AtomicU64,
}

/// When the streams send.
#[derive(Clone, Copy, Debug)]
struct Turn {
    begin: Tick,
    end: Tick,
    streams: usize,
}

impl Origin {
    /// Starts the server on a thread of its own, which lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let (clock, now) = (Instant::now(), Tick::now());
        let (turns, changes) = watch::channel(Turn { begin: now, end: now, streams: 0 });
        let streams = Arc::<Streams>::default();
        let shared = Arc::clone(&streams);
        let address = server::start(true, move |connection| {
            let (streams, changes) = (Arc::clone(&shared), changes.clone());
            async move {
                // A relay may leave as it likes: what a client missed shows at the client.
                let _left = serve(connection, clock, &streams, changes).await;
            }
        })?;
        Ok(Self { address, clock, turns, streams })
    }

    /// Lets the streams that are open, so many, send events for so long, one after the other. Gives
    /// the number of events.
    pub(crate) async fn pace(&self, streams: usize, span: Duration) -> u64 {
        let before = self.streams.events.load(Ordering::Relaxed);
        let begin = Tick::now() + LEAD;
        self.turns.send_replace(Turn { begin, end: begin + span, streams });
        sleep(LEAD + span + LEAD / 4).await;
        self.streams.events.load(Ordering::Relaxed) - before
    }
}

async fn serve(
    mut connection: Connection,
    clock: Instant,
    streams: &Streams,
    mut turns: watch::Receiver<Turn>,
) -> io::Result<()> {
    loop {
        let head = connection.read_head().await?;
        let Framing::Length(length) = Framing::of(&head) else {
            return Err(io::Error::other("a request without a length"));
        };
        connection.read_exactly(length).await?;
        if !head.starts_with("POST /v1/stream ") {
            connection.send(SHORT).await?;
            continue;
        }
        let number = streams.begun.fetch_add(1, Ordering::Relaxed);
        connection.send(STREAM).await?;
        turns.mark_unchanged();
        loop {
            tokio::select! {
                changed = turns.changed() => changed.map_err(io::Error::other)?,
                // Nothing follows a request: this is the end.
                read = connection.read() => return read.map(|_| ()),
            }
            let turn = *turns.borrow_and_update();
            send_events(&mut connection, clock, streams, number, turn).await?;
        }
    }
}

/// Sends the events of one stream in its places of the turn.
async fn send_events(
    connection: &mut Connection,
    clock: Instant,
    streams: &Streams,
    number: usize,
    turn: Turn,
) -> io::Result<()> {
    let mut at = turn.begin + GAP * number as u32;
    while at < turn.end {
        sleep_until(at).await;
        // Stamped just before it is written: all that follows is part of the delay.
        let event = format!("data: {:020} {PADDING}\n\n", clock.elapsed().as_nanos());
        connection.send(chunk(event.as_bytes())).await?;
        streams.events.fetch_add(1, Ordering::Relaxed);
        at += GAP * turn.streams as u32;
    }
    Ok(())
}
