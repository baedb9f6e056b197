//! The far end: a TLS server that answers every request with the same words, one event each, in
//! the shape of a streamed chat completion.

use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chunk};
use narrows_kit::server;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant as Tick, interval_at};

/// From one token to the next: the pace of a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(25);

/// What it has to say. Holds nothing that JSON would want escaped.
const WORDS: &str = "\
    Where two coasts lean close to each other, the sea has to make up its mind. A whole ocean \
    arrives, and what lets it through is a channel that a good swimmer crosses before breakfast. \
    Pilots will tell you that a strait does nothing: it adds no water and keeps none, it does \
    not ask a ship about its cargo, and nobody ever sailed to one in order to be there. And yet \
    the harbours beyond it live by what it does at four in the morning, in fog, with the tide \
    against the wind. A good strait is deep where it is narrow. What comes in goes out, in the \
    order in which it came, and by the time somebody on the shore has thought of waving, the \
    lights are already on the other side.";

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/// Starts the server on a thread of its own, which lives as long as the process.
pub(crate) fn start(clock: Instant) -> io::Result<SocketAddr> {
    server::start(true, move |mut connection| async move {
        // The relay keeps a connection ready that may never be used, and leaves as it likes.
        let Ok(head) = connection.read_head().await else { return };
        if let Err(error) = answer(&mut connection, &head, clock).await {
            tracing::error!(%error, "the origin failed");
        }
    })
}

/// Reads the body of a request, answers it, and closes.
async fn answer(connection: &mut Connection, head: &str, clock: Instant) -> io::Result<()> {
    if let Framing::Length(length) = Framing::of(head) {
        connection.read_exactly(length).await?;
    }
    connection.send(HEAD).await?;
    let mut pace = interval_at(Tick::now() + PACE, PACE);
    for (number, word) in WORDS.split(' ').enumerate() {
        pace.tick().await;
        let space = if number == 0 { "" } else { " " };
        let delta = format!(r#"{{"content":"{space}{word}"}}"#);
        // Stamped just before it is written: all that follows is part of the delay.
        let event = event(clock.elapsed(), &delta, "null");
        connection.send(chunk(event.as_bytes())).await?;
    }
    let end = event(clock.elapsed(), "{}", r#""stop""#) + "data: [DONE]\n\n";
    connection.send(chunk(end.as_bytes())).await?;
    connection.send("0\r\n\r\n").await?;
    connection.wire.shutdown().await
}

/// One server-sent event; its `id` is the time at which it is sent.
fn event(sent: Duration, delta: &str, finish_reason: &str) -> String {
    format!(
        "id: {}\ndata: {{\"id\":\"chatcmpl-narrows\",\"object\":\"chat.completion.chunk\",\
         \"created\":1767225600,\"model\":\"strait-1\",\"choices\":[{{\"index\":0,\
         \"delta\":{delta},\"finish_reason\":{finish_reason}}}]}}\n\n",
        sent.as_nanos()
    )
}
