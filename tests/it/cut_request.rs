//! An incomplete request is never turned into a complete one: the upstream sees no last chunk,
//! and its connection is reset.

use crate::support::stage::Stage;
use narrows_kit::http::field_value;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};

const BOUNDED: &str = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
const CHUNKED: &str = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Heads, the part of the body that arrives, and what the upstream may see of it.
const BROKEN_OFF: &[(&str, &str, &str)] = &[
    (BOUNDED, "", ""),
    (BOUNDED, "hello", "hello"),
    (CHUNKED, "", ""),
    (CHUNKED, "5", ""),
    (CHUNKED, "5\r\nhel", "3\r\nhel\r\n"),
    (CHUNKED, "5\r\nhello\r\n", "5\r\nhello\r\n"),
    (CHUNKED, "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n"),
    (CHUNKED, "5\r\nhello\r\n0\r\nSum: 1\r\n", "5\r\nhello\r\n"),
];

#[tokio::test]
async fn a_request_body_that_breaks_off_resets_the_upstream() {
    for stage in Stage::all().await {
        for how in Leave::all(stage.client_tls) {
            for (head, part, seen) in BROKEN_OFF {
                let (mut client, upstream) = stage.begin(head).await;
                client.send(part).await;
                let _open = client.leave(*how).await;
                let case = format!("{stage:?}, {how:?}, {head:?} {part:?}");
                expect_reset(upstream, seen, how.lets_bytes_arrive(), &case).await;
            }
        }
    }
}

/// All of it arrives in one write with the head, so that nothing has to be waited for.
#[tokio::test]
async fn a_request_body_that_breaks_off_at_once_resets_the_upstream() {
    for stage in Stage::all().await {
        for (head, part, seen) in BROKEN_OFF {
            let (client, mut upstream) = stage.begin(&format!("{head}{part}")).await;
            let got = upstream.read_exactly(seen.len()).await;
            assert_eq!(String::from_utf8_lossy(&got), *seen, "{stage:?}, {head:?} {part:?}");
            upstream.assert_silent().await;
            drop(client);
            expect_reset(upstream, "", true, &format!("{stage:?}, {head:?} {part:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_broken_chunk_in_a_request_is_answered_with_400_and_resets_the_upstream() {
    for stage in Stage::all().await {
        for broken in ["x\r\n", "5\nhello\r\n", "+5\r\nhello\r\n", "5\r\nhello!\r\n", "\r\n"] {
            let (mut client, mut upstream) = stage.begin(CHUNKED).await;
            client.send("3\r\nabc\r\n").await;
            assert_eq!(upstream.read_chunk().await, b"abc");
            client.send(format!("{broken}0\r\n\r\n")).await;
            let case = format!("{stage:?}, {broken:?}");

            let (head, body) = client.read_message().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{case}: {head}");
            assert_eq!(field_value(&head, "connection"), Some("close"), "{case}");
            let body = String::from_utf8(body).unwrap();
            assert!(body.contains("\"code\":\"malformed_body\""), "{case}: {body}");
            client.expect_end(End::Clean).await;

            let (seen, end) = upstream.read_to_end().await;
            assert_eq!(end, End::Reset, "{case}");
            assert!(!seen.ends_with(b"0\r\n\r\n"), "{case}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_response_in_progress_is_cut_when_the_request_body_breaks() {
    let stage = Stage::plain().await;
    let (mut client, mut upstream) = stage.begin(CHUNKED).await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
    client.read_head().await;
    assert_eq!(client.read_chunk().await, b"ok");
    client.send("x\r\n").await;
    client.expect_end(End::Clean).await;
    upstream.expect_end(End::Reset).await;
}

async fn expect_reset(mut upstream: Peer, seen: &str, surely: bool, case: &str) {
    let (got, end) = upstream.read_to_end().await;
    assert_eq!(end, End::Reset, "{case}");
    assert!(got == seen.as_bytes() || (got.is_empty() && !surely), "{case}: {got:?}");
}
