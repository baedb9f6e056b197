//! The id of an exchange: in its line of the log, and in the response.

use crate::support::stage::{GET, OK_LAST, Stage};
use narrows_kit::http::field_value;
use narrows_kit::relay::Relay;

#[tokio::test]
async fn a_response_without_an_id_gets_the_one_of_its_line_in_the_log() {
    for (status, rest) in [
        ("200 OK", "Content-Length: 2\r\nrequest-id: theirs\r\n\r\nok"),
        ("204 No Content", "\r\n"),
        ("304 Not Modified", "\r\n"),
        ("500 Oh", "Content-Length: 0\r\nConnection: x-request-id\r\nX-Request-Id: hop\r\n\r\n"),
    ] {
        let stage = Stage::plain().await;
        let (mut client, mut upstream) = stage.begin(GET).await;
        // Interim responses are no answer to find in the log.
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        upstream.send(interim).await;
        assert_eq!(client.read_head().await, interim);
        upstream.send(format!("HTTP/1.1 {status}\r\n{rest}")).await;
        let head = client.read_head().await;
        assert_eq!(head.matches("X-Request-Id: ").count(), 1, "{head}");
        assert_is_logged(&stage.relay, &head).await;
    }
}

#[tokio::test]
async fn a_switch_and_answers_of_our_own_have_an_id_too() {
    let stage = Stage::plain().await;
    let offer =
        "GET /gpt/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut client, mut upstream) = stage.begin(offer).await;
    upstream
        .send("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let head = client.read_head().await;
    client.close().await;
    upstream.close().await;
    assert_is_logged(&stage.relay, &head).await;
    for request in [
        "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "HEAD /gpt/../x HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    ] {
        let mut client = stage.relay.connect().await;
        client.send(request).await;
        let head = client.read_head().await;
        assert_is_logged(&stage.relay, &head).await;
    }
}

#[tokio::test]
async fn the_id_of_the_api_stays_alone_and_that_of_the_client_is_for_the_api() {
    let stage = Stage::plain().await;
    let request = "GET /gpt/a HTTP/1.1\r\nHost: a\r\nX-Request-Id: of-the-client\r\n\r\n";
    let mut client = stage.relay.connect().await;
    client.send(request).await;
    let mut upstream = stage.origin.accept().await;
    let head = upstream.read_head().await;
    assert_eq!(field_value(&head, "x-request-id"), Some("of-the-client"));
    let theirs = OK_LAST.replacen("\r\n", "\r\nx-request-id: req_1\r\n", 1);
    upstream.send(theirs).await;
    let (head, _) = client.read_message().await;
    assert_eq!(head.to_lowercase().matches("x-request-id").count(), 1, "{head}");
    assert_eq!(field_value(&head, "x-request-id"), Some("req_1"));
    let line = stage.relay.wait_for_log("narrows::access").await;
    assert!(line.contains(" id=\"") && !line.contains("req_1"), "{line}");
    assert!(!line.contains("of-the-client"), "{line}");
}

/// The line of the exchange whose response has this head has its id.
async fn assert_is_logged(relay: &Relay, head: &str) {
    let id = field_value(head, "x-request-id").expect("an id");
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(id.len() == 16 && id.bytes().all(is_hex), "{head}");
    let line = relay.wait_for_log(&format!(" id=\"{id}\"")).await;
    assert!(line.contains("narrows::access"), "{line}");
}
