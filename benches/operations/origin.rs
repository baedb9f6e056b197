//! The API: an answer, a stream, an upload. The first segment of a path is the version of the route
//! that led here.

use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chunk};
use narrows_kit::server;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two events of a stream.
const EVENT_EVERY: Duration = Duration::from_millis(100);
/// The last event of a stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

/// Starts it; streams are so long.
pub(crate) fn start(stream: Duration) -> io::Result<SocketAddr> {
    // Whoever leaves has ended the benchmark.
    server::start(true, move |connection| async move { drop(serve(connection, stream).await) })
}

async fn serve(mut connection: Connection, stream: Duration) -> io::Result<()> {
    loop {
        let head = connection.read_head().await?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let mut parts = path.trim_start_matches('/').split('/');
        let version = parts.next().unwrap_or_default().to_owned();
        match parts.next() {
            Some("stream") => answer_stream(&mut connection, stream).await?,
            Some("upload") => answer_upload(&mut connection, &head, &version).await?,
            _ => answer(&mut connection, &version).await?,
        }
    }
}

async fn answer(connection: &mut Connection, body: &str) -> io::Result<()> {
    let length = body.len();
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")).await
}

/// Numbered events, and one that says that there are no more.
async fn answer_stream(connection: &mut Connection, length: Duration) -> io::Result<()> {
    connection.send(STREAM).await?;
    let mut ticks = interval(EVENT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..length.as_millis() / EVENT_EVERY.as_millis() {
        ticks.tick().await;
        connection.send(chunk(format!("data: {number}\n\n").as_bytes())).await?;
    }
    connection.send([&chunk(DONE.as_bytes())[..], b"0\r\n\r\n"].concat()).await
}

async fn answer_upload(connection: &mut Connection, head: &str, version: &str) -> io::Result<()> {
    let Framing::Length(length) = Framing::of(head) else { return Err(io::Error::other(head)) };
    let mut left = length;
    while left > 0 {
        left -= connection.read_until(|received| received.take_up_to(left)).await?.len();
    }
    answer(connection, &format!("{version} {length}")).await
}
