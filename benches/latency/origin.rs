//! The far end: a TLS server that keeps its connections and answers two paths: a short answer for
//! `/v1/short`, and for `/v1/stream` a row of events, each stamped with the time at which it is
//! written.

use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chunk};
use narrows_kit::server;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::{Instant as Tick, interval_at};

/// From one event to the next: the pace of a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(10);

const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 11\r\n\r\n{\"ok\":true}";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n";
/// An event is as long as those of a streamed chat completion.
const PADDING: &str = concat!(
    r#"{"object":"chat.completion.chunk","model":"strait-1","choices":[{"index":0,"#,
    r#""delta":{"content":" strait"},"finish_reason":null}]}"#
);

/// Starts the server on a thread of its own, which lives as long as the process.
pub(crate) fn start(clock: Instant, events: usize) -> io::Result<SocketAddr> {
    server::start(true, move |connection| async move {
        // A relay may leave as it likes: what a client missed shows at the client.
        let _left = serve(connection, clock, events).await;
    })
}

async fn serve(mut connection: Connection, clock: Instant, events: usize) -> io::Result<()> {
    loop {
        let head = connection.read_head().await?;
        let Framing::Length(length) = Framing::of(&head) else {
            return Err(io::Error::other("a request without a length"));
        };
        connection.read_exactly(length).await?;
        if head.starts_with("POST /v1/stream ") {
            send_events(&mut connection, clock, events).await?;
        } else {
            connection.send(SHORT).await?;
        }
    }
}

async fn send_events(connection: &mut Connection, clock: Instant, events: usize) -> io::Result<()> {
    connection.send(STREAM).await?;
    let mut pace = interval_at(Tick::now() + PACE, PACE);
    for _ in 0..events {
        pace.tick().await;
        // Stamped just before it is written: all that follows is part of the delay.
        let event = format!("data: {:020} {PADDING}\n\n", clock.elapsed().as_nanos());
        connection.send(chunk(event.as_bytes())).await?;
    }
    connection.send("0\r\n\r\n").await
}
