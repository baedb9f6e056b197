//! The server at the far end: it does what the path of a request says, well or badly.
//!
//! The path is `/KIND/SEED/LENGTH`, followed by `/AT/WAY` for `fault`.

use crate::content::content;
use crate::tally::{Count, tally};
use crate::traffic::{check_body, in_chunks};
use narrows::limits::WARM_LIFE_MIN;
use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chunk};
use narrows_kit::server;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// A running origin, on threads of its own.
pub struct Server {
    /// Without TLS, and with it.
    pub addresses: [SocketAddr; 2],
    /// Changes when idle connections are to be closed.
    close_idle: watch::Sender<()>,
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Server {
    pub fn start() -> Self {
        let (close_idle, closing) = watch::channel(());
        let addresses = [false, true].map(|tls| {
            let closing = closing.clone();
            let serve = move |connection| {
                let serving = serve(connection, closing.clone());
                // The relay leaves when its client does: that is not a failure.
                async { drop(serving.await) }
            };
            server::start(tls, serve).unwrap()
        });
        Self { addresses, close_idle }
    }

    pub fn close_idle(&self) {
        self.close_idle.send_replace(());
    }
}

async fn serve(mut connection: Connection, mut closing: watch::Receiver<()>) -> io::Result<()> {
    // What earlier connections were asked is not asked of this one.
    closing.mark_unchanged();
    let (opened, mut is_used) = (Instant::now(), false);
    loop {
        let head = tokio::select! {
            head = connection.read_head() => head?,
            _ = closing.changed() => {
                // The relay warns when unused connections are closed sooner.
                if is_used || opened.elapsed() > 2 * WARM_LIFE_MIN {
                    return connection.wire.shutdown().await;
                }
                continue;
            }
        };
        is_used = true;
        tally(Count::AtOrigin, 1);
        if !answer(&mut connection, &head).await? {
            return connection.wire.shutdown().await;
        }
    }
}

/// Does what was asked; gives whether the connection goes on.
async fn answer(connection: &mut Connection, head: &str) -> io::Result<bool> {
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let number = |at: usize| parts[at].parse::<usize>().expect("a number");
    let (seed, len) = (number(1) as u64, number(2));
    match parts[0] {
        "fixed" => {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")).await?;
            connection.send(content(seed, 0, len)).await?;
        }
        "chunked" => {
            connection.send(CHUNKED).await?;
            connection.send(in_chunks(seed, len)).await?;
        }
        "events" => {
            connection.send(CHUNKED).await?;
            // As small as tokens are, and no more than a few hundred of them.
            let most = 50.max(len / 200);
            for at in (0..len).step_by(most) {
                let size = most.min(len - at);
                let event = content(seed, at, size);
                connection.send(chunk(&event)).await?;
                tokio::task::yield_now().await;
            }
            connection.send("0\r\n\r\n").await?;
        }
        "close" => {
            connection.send("HTTP/1.1 200 OK\r\n\r\n").await?;
            connection.send(content(seed, 0, len)).await?;
            return Ok(false);
        }
        "upload" => {
            if head.contains("100-continue") {
                connection.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let got = check_body(connection, Framing::of(head), seed).await?;
            assert_eq!(got, len, "the length of an upload");
            connection.send(OK).await?;
        }
        "early" => {
            connection.send(TOO_LARGE).await?;
            return read_to_end(connection).await;
        }
        "socket" => {
            connection.send(SWITCHED).await?;
            // As many bytes as were agreed on, each way.
            let got = connection.read_exactly(len).await?;
            assert!(got == content(seed, 0, len), "in a tunnel");
            connection.send(got).await?;
            return Ok(false);
        }
        "silent" => return read_to_end(connection).await,
        "endless" => {
            connection.send(CHUNKED).await?;
            let part = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            loop {
                connection.send(&part).await?;
            }
        }
        "fault" => return fault(connection, seed, len, number(3), parts[4]).await.map(|()| false),
        kind => panic!("no one asks for {kind}"),
    }
    Ok(true)
}

/// The bytes of a response that breaks off.
pub fn whole_response(seed: u64, len: usize) -> Vec<u8> {
    let (head, body) = if seed.is_multiple_of(2) {
        (CHUNKED.to_owned(), in_chunks(seed, len))
    } else {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
        (head, content(seed, 0, len))
    };
    [head.as_bytes(), &body].concat()
}

async fn fault(
    connection: &mut Connection,
    seed: u64,
    len: usize,
    at: usize,
    way: &str,
) -> io::Result<()> {
    connection.send(&whole_response(seed, len)[..at]).await?;
    match way {
        "fin" => Ok(()),
        "reset" => {
            connection.reset_on_drop()?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        "alert" => connection.wire.tcp_mut().write_all(b"\x15\x03\x03\x00\x02\x02\x50").await,
        "garbage" => connection.wire.tcp_mut().write_all(&[0; 20_000]).await,
        "stall" => read_to_end(connection).await.map(drop),
        way => panic!("no one asks for {way}"),
    }
}

/// Reads until the relay leaves, which is an error.
async fn read_to_end(connection: &mut Connection) -> io::Result<bool> {
    loop {
        connection.discard().await?;
    }
}
