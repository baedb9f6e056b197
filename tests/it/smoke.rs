//! The shortest way through the relay: one exchange, one stream, one stop.

use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;

#[tokio::test]
async fn a_request_reaches_the_upstream_under_its_own_name_and_path() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).await;
    let mut client = relay.connect().await;

    client.send("GET /gpt/v1/models?limit=2 HTTP/1.1\r\nHost: relay.test\r\n\r\n").await;
    let mut upstream = origin.accept().await;
    let head = upstream.read_head().await;
    assert!(head.starts_with("GET /v1/models?limit=2 HTTP/1.1\r\n"), "{head}");
    assert_eq!(field_value(&head, "host"), Some("api.openai.test"));
    assert_eq!(upstream.server_name().as_deref(), Some("api.openai.test"));

    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, b"{}");
}

#[tokio::test]
async fn each_event_passes_before_the_next_one_exists() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).await;
    let mut client = relay.connect().await;

    client.send("POST /gpt/v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}").await;
    let mut upstream = origin.accept().await;
    assert_eq!(upstream.read_message().await.1, b"{}");
    upstream
        .send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    let head = client.read_head().await;
    assert_eq!(field_value(&head, "x-accel-buffering"), Some("no"));
    for event in ["data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"] {
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.read_chunk().await, event.as_bytes());
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
}

#[tokio::test]
async fn an_idle_relay_stops_at_once_and_cleanly() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).with("[timeouts]\nkeep_alive = \"5s\"").await;
    let (status, log) = relay.stop().await;
    assert!(status.success(), "{status}: {log:#?}");
    origin.assert_untouched().await;
}
