//! Clients that leave, origins that fail, and attackers of all kinds. That their connections fail
//! is normal; that a broken message passes for a whole one never is.

use crate::Soak;
use crate::content::{Chance, content};
use crate::origin::whole_response;
use crate::tally::{Count, tally};
use crate::traffic::{check_body, connect, in_chunks};
use narrows_kit::connection::{Connection, connect_from};
use narrows_kit::http::{Framing, chunk};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{interval, timeout};

/// Addresses of their own, so that each kind has its own share of the connections.
const LEAVING: [u8; 4] = [127, 0, 0, 2];
const FAILING: [u8; 4] = [127, 0, 0, 3];
const ATTACKING: [u8; 4] = [127, 0, 0, 5];
const FLOODING: [u8; 4] = [127, 0, 0, 6];

/// Longest act: longer than each limit of the relay, so that they end by those.
const ACT_MAX: Duration = Duration::from_secs(30);
/// Between two steps of a client that is slow on purpose.
const STEP: Duration = Duration::from_millis(100);
/// Connections of one flood, more than one address may have.
const FLOOD: usize = 150;

/// Clients that leave in the middle, in all ways, after some bytes of both directions.
pub async fn leaving(soak: Arc<Soak>, number: u64) {
    let mut chance = Chance(number);
    while !soak.is_over() {
        let _broken = timeout(ACT_MAX, leave(&soak, &mut chance)).await;
        tally(Count::Aborts, 1);
    }
}

async fn leave(soak: &Soak, chance: &mut Chance) -> io::Result<()> {
    let tls = chance.is_one_in(2);
    let mut connection = connect(LEAVING, soak.relay_address(tls), tls).await?;
    let (seed, len) = (chance.seed(), chance.len());
    let route = chance.one_of(&["plain", "tls"]);
    let kind = chance.one_of(&["fixed", "chunked", "events", "upload", "silent", "socket"]);
    let fields = match kind {
        "upload" => format!("Content-Length: {len}\r\n"),
        "socket" => "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
        _ => String::new(),
    };
    let mut bytes = format!("GET /{route}/{kind}/{seed}/{len} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
        .into_bytes();
    if matches!(kind, "upload" | "socket") {
        bytes.extend(content(seed, 0, len));
    }
    let sent = if chance.is_one_in(2) { bytes.len() } else { chance.below(bytes.len()) };
    connection.send(&bytes[..sent]).await?;
    if sent == bytes.len() {
        for _ in 0..chance.below(3) {
            // A silent origin sends nothing to wait for.
            let _silent = timeout(STEP, connection.discard()).await;
        }
    }
    match chance.below(4) {
        0 => connection.reset_on_drop()?,
        1 => {
            // An orderly end of our direction; the socket stays open for a while.
            connection.wire.shutdown().await?;
            let _until_the_end = timeout(STEP, connection.discard_to_end()).await;
        }
        2 if tls => connection.wire.tcp_mut().write_all(&[0; 20_000]).await?,
        _ => drop(connection),
    }
    Ok(())
}

/// Clients of origins that fail: at every byte of their responses, in all ways.
pub async fn failing(soak: Arc<Soak>, number: u64) {
    let mut chance = Chance(number);
    while !soak.is_over() {
        let tls = chance.is_one_in(2);
        match timeout(ACT_MAX, fail(&soak, tls, &mut chance)).await {
            Ok(Ok(())) => tally(Count::Faults, 1),
            Ok(Err(error)) => panic!("a client of a failing origin: {error}"),
            Err(_elapsed) => panic!("a client of a failing origin hangs"),
        }
    }
}

async fn fail(soak: &Soak, tls: bool, chance: &mut Chance) -> io::Result<()> {
    let mut connection = connect(FAILING, soak.relay_address(tls), tls).await?;
    let (seed, len) = (chance.seed(), chance.below(3000));
    let at = chance.below(whole_response(seed, len).len());
    let route = chance.one_of(&["plain", "tls"]);
    // Without TLS, an alert and garbage would be wrong content.
    let ways: &[&str] =
        if route == "tls" { &["fin", "reset", "alert", "garbage"] } else { &["fin", "reset"] };
    // One that stalls takes as long as a limit of the relay.
    let way = if chance.is_one_in(50) { "stall" } else { chance.one_of(ways) };
    connection
        .send(format!("GET /{route}/fault/{seed}/{len}/{at}/{way} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .await?;
    let head = match connection.read_head().await {
        Ok(head) => head,
        // A reset overtakes what was sent before it.
        Err(_cut) => return Ok(()),
    };
    if head.starts_with("HTTP/1.1 50") {
        let Framing::Length(len) = Framing::of(&head) else { panic!("{head}") };
        connection.read_exactly(len).await?;
        return Ok(());
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let end = check_body(&mut connection, Framing::of(&head), seed).await;
    assert!(end.is_err(), "a response of which {at} bytes were sent is whole: {way}, {head}");
    Ok(())
}

/// Attackers, one kind after the other.
pub async fn attacking(soak: Arc<Soak>, number: u64) {
    let mut chance = Chance(number);
    while !soak.is_over() {
        let _refused = timeout(ACT_MAX, attack(&soak, &mut chance)).await;
        tally(Count::Attacks, 1);
    }
}

async fn attack(soak: &Soak, chance: &mut Chance) -> io::Result<()> {
    let tls = chance.is_one_in(4);
    let address = soak.relay_address(tls);
    let act = chance.below(10);
    if act == 0 {
        return attack_handshake(soak.relay_address(true), chance).await;
    }
    let mut connection = connect(ATTACKING, address, tls).await?;
    match act {
        1 => {
            connection.send("GET /plain/fixed/1/1 HTTP/1.1\r\nHost: a\r\nX: ").await?;
            drip(&mut connection, soak, b"x").await
        }
        2 => {
            connection.send(upload("plain", 1, 1)).await?;
            // Not what the origin expects, but it never sees the end.
            for _ in 0..10 {
                drip_once(&mut connection, b"1").await?;
            }
            Ok(())
        }
        3 => {
            // Never reads: the relay ends it.
            connection.send("GET /plain/endless/1/1 HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            let mut steps = interval(STEP);
            while connection.send("\r\n").await.is_ok() && !soak.is_over() {
                steps.tick().await;
            }
            Ok(())
        }
        4 => read_without_end(&mut connection).await,
        5 => {
            let requests = "GET /plain/fixed/1/1000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000);
            connection.send(requests).await
        }
        6 => {
            let fields = "a:\r\n".repeat(16_000);
            let head = format!("GET /plain/fixed/1/1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            connection.send(head).await?;
            read_to_end(&mut connection).await
        }
        7 => {
            let (seed, len) = (chance.seed(), 20_000);
            connection.send(upload("tls", seed, len)).await?;
            for byte in content(seed, 0, len) {
                connection.send(chunk(&[byte])).await?;
            }
            connection.send("0\r\n\r\n").await?;
            connection.read_head().await.map(drop)
        }
        8 => {
            connection.send(content(chance.seed(), 0, 5000)).await?;
            read_to_end(&mut connection).await
        }
        _ => {
            // A body of chunks that never ends as it should.
            let (seed, len) = (chance.seed(), 10_000);
            let mut chunks = in_chunks(seed, len);
            chunks.truncate(chunks.len() - b"0\r\n\r\n".len());
            connection.send(upload("plain", seed, len)).await?;
            connection.send(chunks).await?;
            connection.send([0xff; 400]).await?;
            read_to_end(&mut connection).await
        }
    }
}

/// A handshake that never ends, or is not one.
async fn attack_handshake(relay: SocketAddr, chance: &mut Chance) -> io::Result<()> {
    let mut connection = connect(ATTACKING, relay, false).await?;
    let begun: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00";
    connection.send(if chance.is_one_in(2) { begun } else { &[7; 900] }).await?;
    read_to_end(&mut connection).await
}

/// Reads a response that never ends, and leaves in the middle.
async fn read_without_end(connection: &mut Connection) -> io::Result<()> {
    connection.send("GET /tls/endless/1/1 HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let mut read = 0;
    while read < 8_000_000 {
        read += connection.discard().await?;
    }
    connection.reset_on_drop()
}

/// The head of a chunked upload.
fn upload(route: &str, seed: u64, len: usize) -> String {
    format!(
        "POST /{route}/upload/{seed}/{len} HTTP/1.1\r\nHost: a\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
}

/// Floods of connections that send nothing, or a little, and stay for a moment.
pub async fn flooding(soak: Arc<Soak>, number: u64) {
    let mut chance = Chance(number);
    let mut steps = interval(10 * STEP);
    while !soak.is_over() {
        let tls = chance.is_one_in(2);
        let mut crowd = Vec::new();
        for _ in 0..FLOOD {
            if let Ok(tcp) = connect_from(FLOODING, soak.relay_address(tls)).await {
                crowd.push(tcp);
            }
        }
        steps.tick().await;
        tally(Count::Attacks, 1);
        let closed = |tcp: &tokio::net::TcpStream| tcp.try_read(&mut [0; 16]).is_ok();
        tally(Count::TurnedAway, crowd.iter().filter(|it| closed(it)).count());
    }
}

async fn read_to_end(connection: &mut Connection) -> io::Result<()> {
    loop {
        connection.discard().await?;
    }
}

async fn drip(connection: &mut Connection, soak: &Soak, bytes: &[u8]) -> io::Result<()> {
    while !soak.is_over() {
        drip_once(connection, bytes).await?;
    }
    Ok(())
}

async fn drip_once(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    connection.send(bytes).await?;
    // Until something comes, which is the end, or the next step is due.
    match timeout(STEP, connection.discard()).await {
        Ok(ended) => ended.map(drop),
        Err(_elapsed) => Ok(()),
    }
}
