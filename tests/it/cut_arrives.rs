//! A cut destroys nothing that was received: every byte arrives, at the speed of its reader, and
//! only then the sign that it is not all.

use crate::support::passage::{Pair, Passage};
use crate::support::stage::{CHUNKED, GET, GET_10, Stage, UNTIL_CLOSE};
use crate::support::stall::settle;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::End;
use narrows_kit::peer::Leave;
use narrows_kit::peer::Reader;
use std::sync::LazyLock;

/// More than the kernel of a reader takes that has not begun to read.
const MUCH: usize = 1 << 19;
/// What is sent, however much of it.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(0, 6 * MUCH));
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
const SOCKET: &str = "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\n";

/// A request and a response head, whether the upstream sends chunks, whether the client gets them,
/// and whether only the end of the connection ends it.
struct Body {
    request: &'static str,
    head: &'static str,
    sends_chunks: bool,
    gets_chunks: bool,
    only_the_end_tells: bool,
}

const BODIES: [Body; 6] = [
    body(GET, CHUNKED, true, true, false),
    body(GET, LONG, false, false, false),
    body(GET, UNTIL_CLOSE, false, true, false),
    body(GET_10, CHUNKED, true, false, true),
    body(GET_10, UNTIL_CLOSE, false, false, true),
    body(SOCKET, SWITCH, false, false, true),
];

const fn body(
    request: &'static str,
    head: &'static str,
    sends_chunks: bool,
    gets_chunks: bool,
    only_the_end_tells: bool,
) -> Body {
    Body { request, head, sends_chunks, gets_chunks, only_the_end_tells }
}

#[tokio::test]
async fn a_cut_response_arrives_up_to_the_cut_however_late_it_is_read_and_is_known_to_be_cut() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.origin.is_tls()) {
            for (index, body) in BODIES.iter().enumerate() {
                let is_proper = matches!(how, Leave::Close | Leave::Notify);
                if is_proper && [UNTIL_CLOSE, SWITCH].contains(&body.head) {
                    continue;
                }
                for reader in Reader::ALL {
                    check_response(&stage, body, *how, reader, index).await;
                }
            }
        }
    }
}

async fn check_response(stage: &Stage, body: &Body, how: Leave, reader: Reader, index: usize) {
    let case = format!("{stage:?}, body {index}, {how:?}, {reader:?}");
    let lines_before = stage.relay.log_lines().len();
    let (mut client, mut upstream) = stage.begin(body.request).await;
    let name = format!(" client=127.0.0.1:{} ", client.local_port());
    let sending = async {
        upstream.send(body.head).await;
        if body.sends_chunks {
            upstream.send(format!("{MUCH:x}\r\n")).await;
        }
        // One that is reset may not be able to send all of it.
        let _sent = upstream.try_send(&PATTERN[..MUCH]).await;
        upstream.leave(how).await
    };
    let reading = async {
        settle(stage).await;
        client.read_as(reader).await
    };
    let (_open, (bytes, end)) = tokio::join!(sending, reading);
    let start = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect(&case) + 4;
    let content = if body.gets_chunks { unchunked(&bytes[start..]) } else { bytes[start..].into() };
    assert!(PATTERN.starts_with(&content), "{case}: other bytes");
    if how == Leave::Reset {
        // The upstream's kernel has thrown away what it had not sent: what there was is logged.
        let line = own_line(stage, &name, lines_before).await;
        assert_eq!(number(&line, " to_client="), content.len(), "{case}: {line}");
    } else {
        assert_eq!(content.len(), MUCH, "{case}");
    }
    let want = match (body.only_the_end_tells, stage.client_tls) {
        (true, _) => End::Reset,
        (false, true) => End::Truncated,
        (false, false) => End::Clean,
    };
    assert_eq!(end, want, "{case}");
}

/// The line of the exchange of the client whose address is `name`, which others have had before.
async fn own_line(stage: &Stage, name: &str, lines_before: usize) -> String {
    loop {
        let mut lines = stage.relay.log_lines().into_iter().skip(lines_before);
        if let Some(line) = lines.find(|line| is_aborted(line, name)) {
            return line;
        }
        settle(stage).await;
    }
}

fn is_aborted(line: &str, name: &str) -> bool {
    line.contains(name) && line.contains(" end=\"aborted\"")
}

fn number(line: &str, name: &str) -> usize {
    let (_, rest) = line.split_once(name).expect(name);
    rest.split(' ').next().unwrap().parse().expect(name)
}

/// A gap of the upstream's that lasts too long, and chunks that are none: no end of a connection.
#[tokio::test]
async fn everything_received_arrives_before_the_relay_cuts() {
    for client_tls in [false, true] {
        let extra = "[timeouts]\nto_client = { read = \"500ms\" }\n";
        let stage = Stage::new(client_tls, false, extra).await;
        for (request, gets_chunks) in [(GET, true), (GET_10, false)] {
            for rest in ["", "\r\nx\r\n"] {
                let (mut client, mut upstream) = stage.begin(request).await;
                let content = &PATTERN[..MUCH];
                let sending = async {
                    upstream.send(format!("{CHUNKED}{MUCH:x}\r\n")).await;
                    upstream.send(content).await;
                    upstream.send(rest).await;
                    // It learns at once that its response is no longer wanted.
                    upstream.expect_end(End::Reset).await;
                    client.read_as(Reader::Slow).await
                };
                let (bytes, end) = sending.await;
                let start = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
                let got = &bytes[start..];
                let got = if gets_chunks { unchunked(got) } else { got.to_vec() };
                let case = format!("{stage:?}, {request:?}, {rest:?}");
                assert!(got == content, "{case}: {} bytes", got.len());
                let want = match (gets_chunks, client_tls) {
                    (false, _) => End::Reset,
                    (true, true) => End::Truncated,
                    (true, false) => End::Clean,
                };
                assert_eq!(end, want, "{case}");
            }
        }
    }
}

/// In both directions of a tcp listener, for every pair that both sides can speak.
#[tokio::test]
async fn everything_received_from_a_tunnel_arrives_before_its_reset() {
    for passage in Passage::all().await {
        if passage.pair == Pair::Through {
            continue;
        }
        for is_up in [true, false] {
            let pair = passage.pair;
            let is_tls = if is_up { pair.client_tls() } else { pair.origin_tls() };
            for how in Leave::all(is_tls) {
                if matches!(how, Leave::Close | Leave::Notify) {
                    continue;
                }
                for reader in Reader::ALL {
                    check_tunnel(&passage, is_up, *how, reader).await;
                }
            }
        }
    }
}

async fn check_tunnel(passage: &Passage, is_up: bool, how: Leave, reader: Reader) {
    let case = format!("{passage:?}, up: {is_up}, {how:?}, {reader:?}");
    let lines_before = passage.relay.log_lines().len();
    let (mut client, mut upstream) = passage.open().await;
    client.send("x").await;
    upstream.read_exactly(1).await;
    let client_name = format!(" client=127.0.0.1:{} ", client.local_port());
    let (mut sender, mut receiver) = if is_up { (client, upstream) } else { (upstream, client) };
    let sending = async {
        let _sent = sender.try_send(&PATTERN[..MUCH]).await;
        sender.leave(how).await
    };
    let reading = async {
        pass_others(passage).await;
        receiver.read_as(reader).await
    };
    let (_open, (bytes, end)) = tokio::join!(sending, reading);
    assert!(PATTERN.starts_with(&bytes), "{case}: other bytes");
    if how == Leave::Reset {
        let name = if is_up { " to_upstream=" } else { " to_client=" };
        let line = line_of(passage, &client_name, lines_before).await;
        // The first byte of the client's was read before.
        assert_eq!(number(&line, name), bytes.len() + usize::from(is_up), "{case}: {line}");
    } else {
        assert_eq!(bytes.len(), MUCH, "{case}");
    }
    assert_eq!(end, End::Reset, "{case}");
}

/// The line of the connection of the client whose address is `name`, which others have had before.
async fn line_of(passage: &Passage, name: &str, lines_before: usize) -> String {
    loop {
        let mut lines = passage.relay.log_lines().into_iter().skip(lines_before);
        if let Some(line) = lines.find(|line| is_aborted(line, name)) {
            return line;
        }
        pass_others(passage).await;
    }
}

/// Lets the relay's only worker do all that it can do now: it serves another in between.
async fn pass_others(passage: &Passage) {
    let (mut client, mut upstream) = passage.open().await;
    for _ in 0..20 {
        client.send("ping").await;
        upstream.read_exactly(4).await;
        upstream.send("pong").await;
        client.read_exactly(4).await;
    }
    client.half_close().await;
    upstream.expect_end(End::Clean).await;
    upstream.half_close().await;
    client.expect_end(End::Clean).await;
}

/// The content of whole chunks, none of which is the last one.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(line_end) = bytes.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line_end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert_ne!(size, 0, "the last chunk was sent");
        let end = line_end + 2 + size;
        content.extend(&bytes[line_end + 2..end]);
        assert_eq!(&bytes[end..end + 2], b"\r\n");
        bytes = &bytes[end + 2..];
    }
    assert_eq!(bytes, b"", "half a chunk");
    content
}

/// As coding agents and their upstreams do it: a whole answer, and then no proper end.
#[tokio::test]
async fn a_websocket_whose_upstream_forgets_close_notify_gets_its_last_message() {
    let stage = Stage::tls().await;
    let (mut client, mut upstream) = stage.answered(SOCKET, SWITCH).await;
    let content = &PATTERN[..6 * MUCH];
    let sending = async {
        upstream.send(content).await;
        upstream.send(b"\x88\x02\x03\xe8").await;
        upstream.close_without_notify();
    };
    let reading = async {
        settle(&stage).await;
        client.read_as(Reader::Slow).await
    };
    let ((), (mut bytes, end)) = tokio::join!(sending, reading);
    let close = bytes.split_off(bytes.len().saturating_sub(4));
    assert_eq!((&close[..], end), (&b"\x88\x02\x03\xe8"[..], End::Reset));
    assert!(bytes == content, "{} bytes", bytes.len());
}
