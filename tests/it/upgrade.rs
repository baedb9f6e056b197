//! WebSocket: the upgrade, the tunnel that follows, and upgrades that do not happen.

use crate::support::stage::{GET, OK_LAST, Stage};
use narrows_kit::http::field_value;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::{End, Peer};

const OFFER: &str = "GET /gpt/v1/realtime?model=m HTTP/1.1\r\nHost: a\r\n\
    Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-1\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: realtime\r\n\r\n";
const MESSAGE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn an_upgrade_passes_with_all_its_fields() {
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        client.send(OFFER).await;
        let mut upstream = stage.origin.accept().await;
        let head = upstream.read_head().await;
        assert!(head.starts_with("GET /v1/realtime?model=m HTTP/1.1\r\n"), "{head}");
        assert_eq!(field_value(&head, "upgrade"), Some("websocket"));
        assert_eq!(field_value(&head, "connection"), Some("Upgrade"));
        assert_eq!(field_value(&head, "sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(
            field_value(&head, "sec-websocket-protocol"),
            Some("realtime, openai-insecure-api-key.sk-1")
        );

        upstream.send(AGREED).await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert_eq!(field_value(&head, "upgrade"), Some("websocket"));
        assert_eq!(field_value(&head, "connection"), Some("Upgrade"));
        let accept = field_value(&head, "sec-websocket-accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(field_value(&head, "sec-websocket-protocol"), Some("realtime"));
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_untouched_and_at_once() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = tunnel(&stage).await;
        for bytes in [&b"\x89\x00"[..], b"\x00", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff"] {
            client.send(bytes).await;
            assert_eq!(upstream.read_exactly(bytes.len()).await, bytes, "{stage:?}");
            upstream.send(bytes).await;
            assert_eq!(client.read_exactly(bytes.len()).await, bytes, "{stage:?}");
        }
    }
}

#[tokio::test]
async fn bytes_right_after_the_101_reach_the_client() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(OFFER).await;
        upstream.send(format!("{AGREED}\u{1}first")).await;
        client.read_head().await;
        assert_eq!(client.read_exactly(6).await, b"\x01first", "{stage:?}");
    }
}

#[tokio::test]
async fn bytes_after_an_offer_wait_for_the_101() {
    for stage in Stage::all().await {
        for apart in [false, true] {
            let offer = if apart { OFFER.to_owned() } else { format!("{OFFER}early") };
            let (mut client, mut upstream) = stage.begin(&offer).await;
            if apart {
                client.send("early").await;
            }
            // The relay has had its turns: it has served another client in between.
            let (mut other, mut other_upstream) = stage.begin(GET).await;
            other_upstream.send(OK_LAST).await;
            other.read_message().await;
            upstream.assert_silent().await;

            upstream.send(AGREED).await;
            assert_eq!(upstream.read_exactly(5).await, b"early", "{stage:?}");
            client.read_head().await;
            client.send("late").await;
            assert_eq!(upstream.read_exactly(4).await, b"late", "{stage:?}");
        }
    }
}

#[tokio::test]
async fn a_half_close_ends_one_direction_and_the_other_continues() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = tunnel(&stage).await;
        client.send("last").await;
        client.half_close().await;
        assert_eq!(upstream.read_to_end().await, (b"last".to_vec(), End::Clean), "{stage:?}");
        upstream.send("answer").await;
        assert_eq!(client.read_exactly(6).await, b"answer", "{stage:?}");
        upstream.close().await;
        client.expect_end(End::Clean).await;

        let (mut client, mut upstream) = tunnel(&stage).await;
        upstream.send("last").await;
        upstream.half_close().await;
        assert_eq!(client.read_to_end().await, (b"last".to_vec(), End::Clean), "{stage:?}");
        client.send("answer").await;
        assert_eq!(upstream.read_exactly(6).await, b"answer", "{stage:?}");
        client.close().await;
        upstream.expect_end(End::Clean).await;
    }
    let stage = Stage::plain().await;
    let (client, upstream) = tunnel(&stage).await;
    client.close().await;
    upstream.close().await;
    let line = stage.relay.wait_for_log("end=\"switched\"").await;
    assert!(line.contains("status=101"), "{line}");
}

#[tokio::test]
async fn a_tunnel_that_breaks_on_one_side_breaks_on_the_other() {
    for stage in Stage::all().await {
        let (mut client, upstream) = tunnel(&stage).await;
        upstream.reset();
        println!("{stage:?}");
        client.expect_end(End::Reset).await;

        let (client, mut upstream) = tunnel(&stage).await;
        client.reset();
        upstream.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn messages_of_four_mebibytes_pass_both_ways_at_once() {
    for stage in Stage::all().await {
        let (client, upstream) = tunnel(&stage).await;
        tokio::join!(send_and_expect(client), send_and_expect(upstream));
    }
}

#[tokio::test]
async fn a_refused_upgrade_passes_and_bytes_after_the_offer_are_discarded() {
    let refusals = [
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nnope",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
    ];
    for stage in Stage::all().await {
        let mut upstream = None;
        for refusal in refusals {
            let mut client = stage.relay.connect().await;
            client.send(format!("{OFFER}GET /gpt/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            // The upstream's connection is none the worse for it, and used again.
            let mut at_work = match upstream.take() {
                None => stage.origin.accept().await,
                Some(upstream) => upstream,
            };
            assert!(at_work.read_head().await.starts_with("GET /v1/realtime"), "{stage:?}");
            at_work.send(refusal).await;

            let (head, body) = client.read_message().await;
            let case = format!("{stage:?}, {refusal:?}: {head}");
            assert_eq!(head.lines().next(), refusal.lines().next(), "{case}");
            assert_eq!(body, b"nope", "{case}");
            let connection = field_value(&head, "connection").expect(&case).to_ascii_lowercase();
            assert!(connection.split(',').any(|option| option.trim() == "close"), "{case}");
            let upgrade = refusal.contains("426").then_some("websocket");
            assert_eq!(field_value(&head, "upgrade"), upgrade, "{case}");
            client.expect_end(End::Clean).await;
            at_work.assert_silent().await;
            upstream = Some(at_work);
        }
        stage.origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn h2c_is_never_offered_to_the_upstream() {
    let stage = Stage::plain().await;
    for offer in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    ] {
        let mut client = stage.relay.connect().await;
        client.send(format!("GET /gpt/a HTTP/1.1\r\nHost: a\r\n{offer}\r\n")).await;
        let mut upstream = stage.origin.accept().await;
        let head = upstream.read_head().await.to_ascii_lowercase();
        assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
        let upgrade = offer.contains("websocket").then_some("websocket");
        assert_eq!(field_value(&head, "upgrade"), upgrade);
    }
}

#[tokio::test]
async fn an_unrequested_101_is_answered_with_502() {
    let to_other = AGREED.replace("Upgrade: websocket", "Upgrade: h2c");
    for stage in Stage::all().await {
        for (request, response) in [(GET, AGREED), (OFFER, &to_other)] {
            let (mut client, mut upstream) = stage.begin(request).await;
            upstream.send(response).await;
            let (head, body) = client.read_message().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{stage:?}: {head}");
            let body = String::from_utf8(body).unwrap();
            assert!(body.contains("\"upstream_malformed_response\""), "{stage:?}: {body}");
            upstream.expect_end(End::Reset).await;
        }
    }
}

#[tokio::test]
async fn an_offer_that_fails_before_an_answer_ends_the_connection_too() {
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        client.send(format!("{OFFER}GET /gpt/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut upstream = stage.origin.accept().await;
        upstream.read_head().await;
        upstream.close().await;
        let (head, _) = client.read_message().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{stage:?}: {head}");
        assert_eq!(field_value(&head, "connection"), Some("close"), "{stage:?}");
        client.expect_end(End::Clean).await;
        stage.origin.assert_untouched().await;
    }
}

async fn tunnel(stage: &Stage) -> (Peer, Peer) {
    let (mut client, mut upstream) = stage.begin(OFFER).await;
    upstream.send(AGREED).await;
    client.read_head().await;
    (client, upstream)
}

/// Sends a message and reads one, by turns, as both ends of a WebSocket do at the same time.
async fn send_and_expect(mut peer: Peer) {
    const PART: usize = 64 * 1024;
    for at in (0..MESSAGE).step_by(PART) {
        peer.send(pattern(at, PART)).await;
        let part = peer.read_exactly(PART).await;
        assert!(part == pattern(at, PART), "at {at}");
    }
}
