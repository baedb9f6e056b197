//! An incomplete response is never turned into a complete one, wherever it breaks off.

use crate::support::stage::{CHUNKED, GET, GET_10, Stage, UNTIL_CLOSE};
use narrows_kit::http::field_value;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};

const CONTENT_LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";

/// Heads, the part of the body that arrives, and the content in it.
const BROKEN_OFF: &[(&str, &str, &str)] = &[
    (CHUNKED, "", ""),
    (CHUNKED, "1", ""),
    (CHUNKED, "10\r", ""),
    (CHUNKED, "5\r\n", ""),
    (CHUNKED, "5\r\nhel", "hel"),
    (CHUNKED, "5\r\nhello", "hello"),
    (CHUNKED, "5\r\nhello\r", "hello"),
    (CHUNKED, "5\r\nhello\r\n", "hello"),
    (CHUNKED, "5\r\nhello\r\n0", "hello"),
    (CHUNKED, "5\r\nhello\r\n0\r\n", "hello"),
    (CHUNKED, "5\r\nhello\r\n0\r\n\r", "hello"),
    (CHUNKED, "5\r\nhello\r\n0\r\nSum: 1\r", "hello"),
    (CHUNKED, "5\r\nhello\r\n0\r\nSum: 1\r\n", "hello"),
    (CONTENT_LENGTH, "", ""),
    (CONTENT_LENGTH, "hello", "hello"),
    (CONTENT_LENGTH, "hello wo", "hello wo"),
];

/// A chunk, followed by bytes that break the chunked coding.
const BROKEN_CHUNKS: &[&str] =
    &["x\r\n", "\r\n", "5\nhello\r\n", "-1\r\n", "5\r\nhello!\r\n", "ffffffffffffffffff\r\n"];

#[tokio::test]
async fn a_response_that_breaks_off_is_cut_for_every_client() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.origin.is_tls()) {
            for (request, head, part, content) in broken_off() {
                let (client, mut upstream) = stage.answered(request, head).await;
                upstream.send(part).await;
                let _open = upstream.leave(*how).await;
                let case = format!("{stage:?}, {request:?}, {head:?} {part:?}, {how:?}");
                expect_cut(client, &stage, (request, head, content), &case).await;
            }
        }
    }
}

/// A FIN does not end TLS: anyone on the path can send one.
#[tokio::test]
async fn a_body_that_the_close_ends_is_cut_unless_tls_says_that_it_is_whole() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.origin.is_tls()) {
            if matches!(how, Leave::Close | Leave::Notify) {
                continue;
            }
            for request in [GET, GET_10] {
                let (client, mut upstream) = stage.answered(request, UNTIL_CLOSE).await;
                upstream.send("hello").await;
                let _open = upstream.leave(*how).await;
                let case = format!("{stage:?}, {request:?}, {how:?}");
                expect_cut(client, &stage, (request, UNTIL_CLOSE, "hello"), &case).await;
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_the_close_ends_is_whole_after_a_proper_close() {
    for stage in Stage::all().await {
        for how in [Leave::Close, Leave::Notify] {
            if how == Leave::Notify && !stage.origin.is_tls() {
                continue;
            }
            let (mut client, mut upstream) = stage.answered(GET, UNTIL_CLOSE).await;
            upstream.send("hello").await;
            let _open = upstream.leave(how).await;
            assert_eq!(client.read_body_to_end(CHUNKED).await, b"hello", "{stage:?}, {how:?}");

            let (mut client, mut upstream) = stage.answered(GET_10, UNTIL_CLOSE).await;
            upstream.send("hello").await;
            let _open = upstream.leave(how).await;
            let (body, end) = client.read_to_end().await;
            assert_eq!((&body[..], end), (&b"hello"[..], End::Clean), "{stage:?}, {how:?}");
        }
    }
}

#[tokio::test]
async fn a_response_with_broken_chunks_is_cut_where_they_break() {
    for stage in Stage::all().await {
        for request in [GET, GET_10] {
            for broken in BROKEN_CHUNKS {
                let (client, mut upstream) = stage.answered(request, CHUNKED).await;
                upstream.send(format!("5\r\nhello\r\n{broken}0\r\n\r\n")).await;
                let case = format!("{stage:?}, {request:?}, {broken:?}");
                let (bytes, end) = read_cut(client, request, CHUNKED, &case).await;
                assert_eq!(end, cut(&stage, request, CHUNKED), "{case}");
                // All that precedes the break, and nothing that follows it.
                let content = if broken.contains("hello!") { "hellohello" } else { "hello" };
                assert_eq!(String::from_utf8_lossy(&bytes), content, "{case}");
                upstream.read_to_end().await;
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_breaks_off_is_answered_with_502_wherever_it_does() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        for how in Leave::all(stage.origin.is_tls()) {
            for length in 0..head.len() {
                client.send(GET).await;
                let mut upstream = stage.origin.accept().await;
                upstream.read_head().await;
                upstream.send(&head[..length]).await;
                let _open = upstream.leave(*how).await;
                let (answer, body) = client.read_message().await;
                let case = format!("{stage:?}, {how:?} after {length} bytes: {answer}");
                assert!(answer.starts_with("HTTP/1.1 502 "), "{case}");
                // TLS that breaks is no mere end.
                let is_broken = matches!(how, Leave::Alert | Leave::Garbage);
                let code = if is_broken { "upstream_tls_failed" } else { "upstream_closed_early" };
                assert!(contains(&body, &format!("\"code\":\"{code}\"")), "{case}");
                assert_eq!(field_value(&answer, "connection"), None, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_broken_off_response_is_logged_as_the_upstreams_fault() {
    let stage = Stage::plain().await;
    let (client, upstream) = stage.answered(GET, CHUNKED).await;
    upstream.close().await;
    let line = stage.relay.wait_for_log("end=\"aborted\"").await;
    assert!(line.contains("status=200 "), "{line}");
    assert!(line.ends_with("fault=\"upstream\" cause=\"upstream_closed_early\""), "{line}");
    drop(client);
}

fn broken_off() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    BROKEN_OFF
        .iter()
        .flat_map(|&(head, part, content)| [GET, GET_10].map(|it| (it, head, part, content)))
}

/// The end that says to a client that what it has is not all.
fn cut(stage: &Stage, request: &str, head: &str) -> End {
    // Where nothing but the end itself can say it, it has to be one that no client overlooks.
    let only_the_end_tells = request == GET_10 && head != CONTENT_LENGTH;
    match (only_the_end_tells, stage.client_tls) {
        (true, _) => End::Reset,
        (false, true) => End::Truncated,
        // The framing shows it: the last chunk is missing, or octets are.
        (false, false) => End::Clean,
    }
}

async fn expect_cut(
    client: Peer,
    stage: &Stage,
    (request, head, content): (&str, &str, &str),
    case: &str,
) {
    let (got, end) = read_cut(client, request, head, case).await;
    assert_eq!(end, cut(stage, request, head), "{case}");
    assert_eq!(String::from_utf8_lossy(&got), content, "{case}");
}

/// What a client gets of a body that is cut, decoded, and the end.
async fn read_cut(mut client: Peer, request: &str, head: &str, case: &str) -> (Vec<u8>, End) {
    let (bytes, end) = client.read_to_end().await;
    let is_chunked = request == GET && head != CONTENT_LENGTH;
    (if is_chunked { decode_unfinished(&bytes, case) } else { bytes }, end)
}

/// The content of whole chunks, none of which is the last one.
fn decode_unfinished(mut bytes: &[u8], case: &str) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(line_end) = bytes.windows(2).position(|it| it == b"\r\n") {
        let line = std::str::from_utf8(&bytes[..line_end]).unwrap();
        let size = usize::from_str_radix(line, 16).unwrap();
        assert_ne!(size, 0, "{case}: the last chunk was sent");
        let end = line_end + 2 + size;
        content.extend(&bytes[line_end + 2..end]);
        assert_eq!(&bytes[end..end + 2], b"\r\n", "{case}");
        bytes = &bytes[end + 2..];
    }
    assert_eq!(bytes, b"", "{case}: half a chunk");
    content
}

fn contains(bytes: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(part)
}
