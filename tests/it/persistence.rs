//! The client's connection: how long it lasts, requests in a row, HTTP/1.0.

use crate::support::rig::{GET, Rig, expect_bytes, expect_own_error, forwarded};
use narrows_kit::http::field_value;
use narrows_kit::peer::{End, Peer};

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
    Content-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn requests_in_a_row_share_both_connections() {
    let rig = Rig::new().await;
    let mut client = rig.client("").await;
    client.send(GET).await;
    let mut upstream = rig.origin.accept().await;
    for _ in 0..3 {
        expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
        upstream.send(RESPONSE).await;
        expect_bytes(&mut client, RESPONSE).await;
        client.send(GET).await;
    }
    expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn the_client_can_end_its_connection_and_the_upstreams_persists() {
    let rig = Rig::new().await;
    let closed = RESPONSE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut upstream: Option<Peer> = None;
    for fields in ["Connection: close\r\n", "Connection: x, CLOSE\r\n", "connection:close\r\n"] {
        let request = format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut client = rig.client(request).await;
        let mut kept = match upstream.take() {
            Some(kept) => kept,
            None => rig.origin.accept().await,
        };
        expect_bytes(&mut kept, forwarded("GET /x", "")).await;
        kept.send(RESPONSE).await;
        expect_bytes(&mut client, &closed).await;
        client.expect_end(End::Clean).await;
        upstream = Some(kept);
    }
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_request_after_one_with_close_is_not_served() {
    let rig = Rig::new().await;
    let request = "GET /gpt/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = rig.client(format!("{request}{GET}")).await;
    let mut upstream = rig.origin.accept().await;
    expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
    upstream.send(RESPONSE).await;
    let (_, body) = client.read_message().await;
    assert_eq!(body, b"{}");
    client.expect_end(End::Clean).await;
    upstream.assert_silent().await;
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn pipelined_requests_are_served_one_by_one_in_order() {
    let rig = Rig::new().await;
    let requests = "GET /gpt/1 HTTP/1.1\r\nHost: a\r\n\r\n\
                    POST /gpt/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                    POST /gpt/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nhello\r\n0\r\n\r\n\
                    \r\nHEAD /gpt/4 HTTP/1.1\r\nHost: a\r\n\r\n\
                    GET /gpt/5 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = rig.client(requests).await;
    let mut upstream = rig.origin.accept().await;
    for (number, want) in [
        forwarded("GET /1", ""),
        forwarded("POST /2", "Content-Length: 5\r\n") + "hello",
        forwarded("POST /3", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
        forwarded("HEAD /4", ""),
        forwarded("GET /5", ""),
    ]
    .iter()
    .enumerate()
    {
        expect_bytes(&mut upstream, want).await;
        upstream.assert_silent().await;
        client.assert_silent().await;
        // Another answer to HEAD would spend the upstream's connection.
        let body = if want.starts_with("HEAD") { "" } else { "{}" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nDate: {number}\r\nX-Request-Id: i\r\n\
            Content-Length: {length}\r\n\r\n"
        );
        upstream.send(format!("{head}{body}")).await;
        expect_bytes(&mut client, format!("{head}{body}")).await;
    }
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_malformed_request_is_answered_after_earlier_ones_and_ends_the_connection() {
    let rig = Rig::new().await;
    let mut client = rig.client(format!("{GET}GET /gpt/x HTTP/1.1\nHost: a\r\n\r\n{GET}")).await;
    let mut upstream = rig.origin.accept().await;
    expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
    upstream.send(RESPONSE).await;
    expect_bytes(&mut client, RESPONSE).await;
    let head = expect_own_error(&mut client, 400, "malformed_head").await;
    assert_eq!(field_value(&head, "connection"), Some("close"));
    client.expect_end(End::Clean).await;
    upstream.assert_silent().await;
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn bytes_beyond_the_length_of_a_body_are_a_malformed_request() {
    let rig = Rig::new().await;
    let request =
        "POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}{\"more\":1}\r\n\r\n";
    let mut client = rig.client(request).await;
    let mut upstream = rig.origin.accept().await;
    let want = forwarded("POST /x", "Content-Length: 2\r\n") + "{}";
    expect_bytes(&mut upstream, want).await;
    upstream.send(RESPONSE).await;
    expect_bytes(&mut client, RESPONSE).await;
    expect_own_error(&mut client, 400, "malformed_head").await;
    client.expect_end(End::Clean).await;
    upstream.assert_silent().await;
}

#[tokio::test]
async fn http_1_0_is_served_once_unless_it_asks_for_keep_alive() {
    let rig = Rig::new().await;
    for (fields, connection) in [
        ("", "close"),
        ("Connection: x\r\n", "close"),
        ("Connection: keep-alive, close\r\n", "close"),
        ("Keep-Alive: timeout=5\r\n", "close"),
        ("Connection: Keep-Alive\r\n", "keep-alive"),
    ] {
        let request = format!("GET /gpt/x HTTP/1.0\r\nHost: a\r\n{fields}\r\n");
        let want = RESPONSE.replace("\r\n\r\n", &format!("\r\nConnection: {connection}\r\n\r\n"));
        rig.answers(fields, request, RESPONSE, want).await;
    }
}

#[tokio::test]
async fn http_1_0_gets_neither_chunks_nor_trailers_and_a_close_ends_the_body() {
    let rig = Rig::new().await;
    for fields in ["", "Connection: keep-alive\r\n"] {
        let request = format!("GET /gpt/x HTTP/1.0\r\nHost: a\r\n{fields}\r\n");
        let want = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nX-Accel-Buffering: no\r\n\
                    Connection: close\r\n\r\nhello";
        for (label, response) in [
            (
                "chunks",
                "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nA: 1\r\n\r\n",
            ),
            ("until close", "\r\nhello"),
        ] {
            let response = format!("HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n{response}");
            rig.answers(label, &request, response, want).await;
        }
    }
}

#[tokio::test]
async fn http_1_0_gets_no_interim_responses() {
    let rig = Rig::new().await;
    let request = "POST /gpt/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}";
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let want = RESPONSE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    rig.answers("100 and 103", request, format!("{interim}{RESPONSE}"), want).await;
}

#[tokio::test]
async fn http_1_0_reaches_the_upstream_as_http_1_1() {
    let rig = Rig::new().await;
    let request = "POST /gpt/x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}";
    let want = forwarded("POST /x", "Content-Length: 2\r\n") + "{}";
    rig.forwards("POST", request, want).await;
}

#[tokio::test]
async fn a_half_close_by_the_client_counts_as_its_departure() {
    let rig = Rig::new().await;
    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
    client.half_close().await;
    upstream.expect_end(End::Reset).await;
}
