//! What the relay answers by itself: the shape, the length, and what becomes of the connection.

use crate::support::rig::{Rig, expect_bytes, expect_own_error};
use narrows_kit::http::field_value;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;
use tokio::net::TcpSocket;

#[tokio::test]
async fn an_error_of_our_own_is_json_in_the_shape_that_the_sdks_read() {
    let rig = Rig::new().await;
    let mut client = rig.client("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.read_message().await;
    let body = String::from_utf8(body).unwrap();
    let want = "{\"error\":{\"message\":\"No route of this relay has this path.\",\
                \"type\":\"narrows\",\"code\":\"route_not_found\",\"param\":null}}\n";
    assert_eq!(body, want);
    let date = field_value(&head, "date").expect("a date");
    assert!(httpdate::parse_http_date(date).is_ok(), "{head}");
    let id = own_id(&head);
    let want = format!(
        "HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nX-Request-Id: {id}\r\n\r\n",
        body.len()
    );
    assert_eq!(head, want);
}

#[tokio::test]
async fn the_log_counts_the_content_of_an_error_of_our_own() {
    let rig = Rig::new().await;
    for method in ["GET", "HEAD"] {
        let request = format!("{method} /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut client = rig.client(request).await;
        let head = client.read_head().await;
        let length = field_value(&head, "content-length").unwrap();
        let sent = if method == "HEAD" { "0" } else { length };
        let line = rig.relay.wait_for_log(own_id(&head)).await;
        assert!(line.contains(&format!(" to_client={sent} ")), "{line}");
    }
}

#[tokio::test]
async fn a_page_can_read_an_error_of_our_own_and_other_clients_get_no_such_field() {
    let rig = Rig::with("[limits]\nhead_bytes = 1024").await;
    let long = format!("GET /gpt/x HTTP/1.1\r\nORIGIN: null\r\nX: {}", "a".repeat(2000));
    for (status, request) in [
        (404, "GET /nowhere HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"),
        (404, "OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\norigin:null\r\n\r\n"),
        (400, "GET /gpt/../x HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"),
        (400, "GET /gpt/x HTTP/1.1\r\nOrigin: http://b\r\n\r\n"),
        (400, "GET /gpt/x HTTP/1.1\r\nOrigin: http://b\r\nHost : a\r\n\r\n"),
        (400, "GET /gpt/x HTTP/1.1\r\nOrigin: http://b\r\nHost: a\n\r\n"),
        (505, "GET /gpt/x HTTP/9.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"),
        (405, "TRACE /gpt/x HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"),
        (204, "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nOrigin: http://b\r\n\r\n"),
        (431, &long),
    ] {
        println!("case: {status} {request}");
        let access = |head: &str| {
            let value = |name: &str| field_value(head, name).map(str::to_owned);
            [value("access-control-allow-origin"), value("access-control-expose-headers")]
        };
        let mut client = rig.client(request).await;
        let head = client.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(
            access(&head),
            ["*", "X-Request-Id, Retry-After"].map(|it| Some(it.to_owned())),
            "{head}"
        );
        let other = request.replace("Origin", "X-Origin").replace("origin", "x-origin");
        let mut client = rig.client(other.replace("ORIGIN", "X-ORIGIN")).await;
        assert_eq!(access(&client.read_head().await), [None, None]);
    }
}

#[tokio::test]
async fn a_page_can_read_that_the_upstream_failed_and_upstream_responses_stay_as_they_are() {
    let rig = Rig::new().await;
    let get = "GET /gpt/x HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n";
    let mut client = rig.client(get).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    upstream.send("nonsense\r\n\r\n").await;
    let head = expect_own_error(&mut client, 502, "upstream_malformed_response").await;
    assert_eq!(field_value(&head, "access-control-allow-origin"), Some("*"));
    // A preflight is the API's to answer, and so is who may read its answers.
    let response = "HTTP/1.1 403 Forbidden\r\nDate: d\r\nX-Request-Id: i\r\n\
        Content-Length: 0\r\n\r\n";
    rig.answers("a preflight", get.replace("GET", "OPTIONS"), response, response).await;
}

#[tokio::test]
async fn an_error_of_our_own_repeats_nothing_that_the_client_sent() {
    let rig = Rig::new().await;
    for (request, status) in [
        ("GET /canary?canary HTTP/1.1\r\nHost: canary\r\nX-Canary: canary\r\n\r\n", 404),
        ("CANARY /canary HTTP/9.9\r\nHost: canary\r\n\r\n", 505),
        ("GET /canary HTTP/1.1\r\nHost: canary canary\r\n\r\n", 400),
        ("POST /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: canary, chunked\r\n\r\n", 501),
    ] {
        let mut client = rig.client(request).await;
        let (head, body) = client.read_message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let answer = head + &String::from_utf8(body).unwrap();
        assert!(!answer.to_ascii_lowercase().contains("canary"), "{answer}");
    }
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_and_no_content() {
    let rig = Rig::new().await;
    for (label, request, status) in [
        ("no route", "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n", 404),
        ("out of the route", "HEAD /gpt/../x HTTP/1.1\r\nHost: a\r\n", 400),
        ("no host", "HEAD /gpt/x HTTP/1.1\r\n", 400),
        ("a bad length", "HEAD /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n", 400),
        ("an unknown expectation", "HEAD /gpt/x HTTP/1.1\r\nHost: a\r\nExpect: x\r\n", 417),
        ("a bad field", "HEAD /gpt/x HTTP/1.1\r\nHost : a\r\n", 400),
        ("a bad line", "\r\nHEAD /gpt/x\r\n", 400),
        ("another version", "HEAD /gpt/x HTTP/2.0\r\nHost: a\r\n", 505),
        ("a bare LF", "HEAD /gpt/x HTTP/1.1\r\nHost: a\n", 400),
    ] {
        println!("case: {label}");
        let mut client = rig.client(format!("{request}Connection: close\r\n\r\n")).await;
        let head = client.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_ne!(field_value(&head, "content-length"), Some("0"), "{head}");
        client.expect_end(End::Clean).await;
    }
    rig.origin.assert_untouched().await;
}

#[tokio::test]
async fn the_connection_persists_when_the_refused_request_is_complete() {
    let rig = Rig::new().await;
    for (label, request) in [
        ("no body", "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a length", "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "chunks",
            "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nA: 1\r\n\r\n",
        ),
    ] {
        rig.refuses_and_keeps(label, request, 404, "route_not_found").await;
    }
}

#[tokio::test]
async fn the_connection_ends_when_the_refused_request_is_incomplete() {
    let rig = Rig::new().await;
    let hidden = "GET /gpt/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for (label, request) in [
        ("nothing of the body", "Content-Length: 5\r\n\r\n".to_owned()),
        ("a part of it", "Content-Length: 5\r\n\r\nhell".to_owned()),
        ("an expected body", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_owned()),
        ("no last chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned()),
        ("a broken chunk", format!("Transfer-Encoding: chunked\r\n\r\n0\n\r\n{hidden}")),
        ("a close that it asked for", format!("Connection: close\r\n\r\n{hidden}")),
    ] {
        let request = format!("POST /nowhere HTTP/1.1\r\nHost: a\r\n{request}");
        rig.refuses(label, request, 404, "route_not_found").await;
    }
}

#[tokio::test]
async fn an_answer_of_our_own_says_to_http_1_0_whether_the_connection_persists() {
    let rig = Rig::new().await;
    let mut client = rig.client("GET /nowhere HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let head = expect_own_error(&mut client, 404, "route_not_found").await;
    assert_eq!(field_value(&head, "connection"), Some("keep-alive"));
    rig.serves_again(&mut client).await;
    rig.refuses("it did not ask", "GET /nowhere HTTP/1.0\r\n\r\n", 404, "route_not_found").await;
}

#[tokio::test]
async fn options_that_may_not_go_further_is_answered_here() {
    let rig = Rig::new().await;
    for target in ["/gpt/x", "*", "/nowhere", "http://a/gpt/x"] {
        println!("case: {target}");
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
        let mut client = rig.client(request).await;
        let head = client.read_head().await;
        let date = field_value(&head, "date").expect("a date");
        let id = own_id(&head);
        let want = format!(
            "HTTP/1.1 204 No Content\r\nDate: {date}\r\nX-Request-Id: {id}\r\n\
             Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n\r\n"
        );
        assert_eq!(head, want);
        rig.origin.assert_untouched().await;
        rig.serves_again(&mut client).await;
    }
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_502_and_the_connection_persists() {
    let rig = Rig::new().await;
    // Bound, so that no one else gets the port, and not listening.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = deaf.local_addr().unwrap();
    let route = format!("[[route]]\npath = \"/gone/\"\nupstream = \"http://{address}/\"");
    let relay = Relay::plain_to(&rig.origin).with(&route).await;
    let rig = Rig { relay, ..rig };
    let request = "POST /gone/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    rig.refuses_and_keeps("no one listens", request, 502, "upstream_unreachable").await;
}

#[tokio::test]
async fn an_upstream_that_closes_without_an_answer_is_a_502_and_the_connection_persists() {
    let rig = Rig::new().await;
    for begin in ["", "HTTP/1.1 2", "HTTP/1.1 100 Continue\r\n\r\n"] {
        println!("case: {begin:?}");
        // POST: what may not be sent twice is not tried twice.
        let request = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        let mut client = rig.client(request).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_message().await;
        upstream.send(begin).await;
        upstream.close().await;
        let passed = if begin.ends_with("\r\n\r\n") { begin } else { "" };
        expect_bytes(&mut client, passed).await;
        expect_own_error(&mut client, 502, "upstream_closed_early").await;
        rig.serves_again(&mut client).await;
    }
}

/// The id of the exchange, in our form.
fn own_id(head: &str) -> &str {
    let id = field_value(head, "x-request-id").expect("an id");
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(id.len() == 16 && id.bytes().all(is_hex), "{head}");
    id
}
