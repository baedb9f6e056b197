//! Honest clients: none of their exchanges may fail, and every byte is checked.

use crate::Soak;
use crate::content::{Chance, content};
use crate::tally::{Count, tally, took};
use crate::traffic::{check_body, connect, in_chunks, name};
use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, field_value};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const ADDRESS: [u8; 4] = [127, 0, 0, 1];
/// Longest exchange. Only a hang comes near it.
const EXCHANGE_MAX: Duration = Duration::from_secs(120);
/// Content up to this length makes an exchange a small one.
const SMALL: usize = 2000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Fixed,
    Chunked,
    Events,
    Close,
    Upload,
    ChunkedUpload,
    Expecting,
    Early,
    Pipelined,
    NoRoute,
    Http10,
    Socket,
}

const KINDS: [Kind; 14] = [
    Kind::Fixed,
    Kind::Fixed,
    Kind::Chunked,
    Kind::Events,
    Kind::Events,
    Kind::Close,
    Kind::Upload,
    Kind::ChunkedUpload,
    Kind::Expecting,
    Kind::Early,
    Kind::Pipelined,
    Kind::NoRoute,
    Kind::Http10,
    Kind::Socket,
];

impl Kind {
    /// Content that is echoed, or comes three times, is not small.
    fn is_timed(self) -> bool {
        matches!(self, Self::Fixed | Self::Chunked | Self::Events | Self::Upload)
    }
}

/// One client after the other, until the soak is over. Anything that goes wrong is a panic.
pub async fn clients(soak: Arc<Soak>, number: u64) {
    let mut chance = Chance(number);
    while !soak.is_over() {
        let tls = chance.is_one_in(2);
        let mut connection = connect(ADDRESS, soak.relay_address(tls), tls).await.unwrap();
        for _ in 0..1 + chance.below(30) {
            let kind = chance.one_of(&KINDS);
            let exchange = exchange(&mut connection, kind, &mut chance);
            let goes_on = match timeout(EXCHANGE_MAX, exchange).await {
                Ok(Ok(goes_on)) => goes_on,
                Ok(Err(error)) => panic!("{kind:?} of {}, TLS {tls}: {error}", name(&connection)),
                Err(_elapsed) => panic!("{kind:?} of {}, TLS {tls}, hangs", name(&connection)),
            };
            tally(Count::Honest, 1);
            if !goes_on || soak.is_over() {
                break;
            }
        }
    }
}

/// Gives whether the connection goes on.
async fn exchange(
    connection: &mut Connection,
    kind: Kind,
    chance: &mut Chance,
) -> io::Result<bool> {
    let (seed, len) = (chance.seed(), chance.len());
    let begun = Instant::now();
    let request = |method: &str, kind: &str, fields: &str| {
        let route = if seed.is_multiple_of(2) { "plain" } else { "tls" };
        format!("{method} /{route}/{kind}/{seed}/{len} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    let goes_on = match kind {
        Kind::Fixed | Kind::Chunked | Kind::Events | Kind::Close => {
            let path = format!("{kind:?}").to_lowercase();
            connection.send(request("GET", &path, "")).await?;
            expect_content(connection, seed, len).await?
        }
        Kind::Upload => {
            let fields = format!("Content-Length: {len}\r\n");
            connection.send(request("POST", "upload", &fields)).await?;
            send_and_expect_ok(connection, seed, len).await?
        }
        Kind::ChunkedUpload => {
            connection.send(request("POST", "upload", "Transfer-Encoding: chunked\r\n")).await?;
            connection.send(in_chunks(seed, len)).await?;
            expect_ok(connection, len).await?
        }
        Kind::Expecting => {
            let fields = format!("Content-Length: {len}\r\nExpect: 100-continue\r\n");
            connection.send(request("POST", "upload", &fields)).await?;
            expect_head(connection, 100).await?;
            send_and_expect_ok(connection, seed, len).await?
        }
        Kind::Early => {
            // More than the relay reads once it has an answer.
            let fields = "Content-Length: 1000000\r\n";
            connection.send(request("POST", "early", fields)).await?;
            expect_head(connection, 413).await?;
            assert_eq!(connection.read_exactly(2).await?, b"no");
            false
        }
        Kind::Pipelined => {
            connection.send(request("GET", "fixed", "").repeat(3)).await?;
            let mut goes_on = true;
            for _ in 0..3 {
                goes_on = expect_content(connection, seed, len).await?;
            }
            goes_on
        }
        Kind::NoRoute => {
            connection.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            expect_not_found(connection).await?;
            true
        }
        Kind::Http10 => {
            connection.send(format!("GET /plain/chunked/{seed}/{len} HTTP/1.0\r\n\r\n")).await?;
            expect_content(connection, seed, len).await?
        }
        Kind::Socket => {
            let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
            connection.send(request("GET", "socket", fields)).await?;
            echo(connection, seed, len).await?;
            false
        }
    };
    if len <= SMALL && kind.is_timed() {
        took(begun.elapsed());
    }
    Ok(goes_on)
}

/// Sends content through a tunnel whose other end echoes it.
async fn echo(connection: &mut Connection, seed: u64, len: usize) -> io::Result<()> {
    expect_head(connection, 101).await?;
    connection.send(content(seed, 0, len)).await?;
    check_body(connection, Framing::Length(len), seed).await?;
    tally(Count::BytesChecked, 2 * len);
    Ok(())
}

async fn expect_content(connection: &mut Connection, seed: u64, len: usize) -> io::Result<bool> {
    let head = expect_head(connection, 200).await?;
    let framing = Framing::of(&head);
    assert_eq!(check_body(connection, framing, seed).await?, len, "after {head}");
    tally(Count::BytesChecked, len);
    Ok(framing != Framing::UntilClose && field_value(&head, "connection") != Some("close"))
}

async fn send_and_expect_ok(
    connection: &mut Connection,
    seed: u64,
    len: usize,
) -> io::Result<bool> {
    connection.send(content(seed, 0, len)).await?;
    expect_ok(connection, len).await
}

async fn expect_ok(connection: &mut Connection, len: usize) -> io::Result<bool> {
    let head = expect_head(connection, 200).await?;
    assert_eq!(connection.read_exactly(2).await?, b"ok");
    // By the origin, which has answered because it was right.
    tally(Count::BytesChecked, len);
    Ok(field_value(&head, "connection") != Some("close"))
}

async fn expect_not_found(connection: &mut Connection) -> io::Result<()> {
    let head = expect_head(connection, 404).await?;
    let Framing::Length(len) = Framing::of(&head) else { panic!("{head}") };
    connection.read_exactly(len).await.map(drop)
}

async fn expect_head(connection: &mut Connection, status: u16) -> io::Result<String> {
    let head = connection.read_head().await?;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    Ok(head)
}
