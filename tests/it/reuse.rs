//! Connections to the upstream: which are used again, and which are not.

use crate::support::stage::{GET, OK, OK_LAST, Stage};
use narrows_kit::origin::Origin;
use narrows_kit::peer::Leave;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;

const TIMES: usize = 5;

#[tokio::test]
async fn one_connection_to_the_upstream_serves_one_request_after_the_other() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(GET).await;
        upstream.send(OK).await;
        client.read_message().await;
        for _ in 0..TIMES {
            exchange(&mut client, &mut upstream, GET, OK).await;
            let mut another = stage.relay.connect().await;
            exchange(&mut another, &mut upstream, GET, OK).await;
            another.close().await;
        }
        stage.origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_next() {
    for stage in Stage::all().await {
        let (mut one, mut first) = stage.begin(GET).await;
        let (mut other, mut second) = stage.begin(GET).await;
        second.send(OK).await;
        other.read_message().await;
        first.send(OK).await;
        one.read_message().await;
        for _ in 0..TIMES {
            exchange(&mut other, &mut first, GET, OK).await;
        }
        second.assert_silent().await;
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_ends_is_closed_at_once() {
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        for how in Leave::all(stage.origin.is_tls()) {
            let mut upstream = first_exchange(&stage, &mut client, GET, OK).await;
            // Where the socket stays open on our side, the relay's close shows in it.
            match how {
                Leave::Close => {
                    upstream.half_close().await;
                    upstream.read_to_end().await;
                }
                Leave::Notify | Leave::Alert | Leave::Garbage => {
                    let open = upstream.leave(*how).await;
                    open.expect("an open socket").read_to_end().await;
                }
                Leave::Fin | Leave::Reset => {
                    assert!(upstream.leave(*how).await.is_none());
                    let_the_kernel_deliver(&mut client).await;
                }
            }
            first_exchange(&stage, &mut client, GET, OK).await.reset();
            let_the_kernel_deliver(&mut client).await;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_that_gets_unrequested_bytes_is_closed_at_once() {
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        for surplus in ["x", OK, "\r\n"] {
            let mut upstream = first_exchange(&stage, &mut client, GET, OK).await;
            upstream.send(surplus).await;
            let (seen, _) = upstream.read_to_end().await;
            assert_eq!(seen, b"", "{stage:?}, {surplus:?}");
            first_exchange(&stage, &mut client, GET, OK).await.reset();
            let_the_kernel_deliver(&mut client).await;
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_a_response_that_forbids_it() {
    let responses = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nok",
    ];
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        for response in responses {
            let mut upstream = first_exchange(&stage, &mut client, GET, response).await;
            upstream.expect_end(End::Clean).await;
            first_exchange(&stage, &mut client, GET, OK).await.reset();
            let_the_kernel_deliver(&mut client).await;
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_an_answer_to_half_a_request() {
    for stage in Stage::all().await {
        let request = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        let (mut client, mut upstream) = stage.begin(request).await;
        upstream.send(OK).await;
        client.read_message().await;
        let (_, end) = upstream.read_to_end().await;
        assert_eq!(end, End::Reset, "{stage:?}");
        let (mut client, mut upstream) = stage.begin(GET).await;
        upstream.send(OK).await;
        client.read_message().await;
    }
}

/// The origin reads everything here. One that does not would see the next request as the rest of
/// this one, or its answer would be taken for that of the next.
#[tokio::test]
async fn a_connection_on_which_a_simple_server_may_be_out_of_step_is_not_used_again() {
    let with = |method: &str, body: &str| format!("{method} /gpt/a HTTP/1.1\r\nHost: a\r\n{body}");
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let length = "Content-Length: 2\r\n\r\n{}";
    let chunks = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let mut exchanges = Vec::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"] {
        exchanges.push((with(method, length), ok.to_owned()));
        exchanges.push((with(method, chunks), ok.to_owned()));
    }
    for status in [400, 408, 411, 413, 414, 417, 431, 501, 505] {
        let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        exchanges.push((with("POST", length), refusal.clone()));
        exchanges.push((GET.to_owned(), refusal));
    }
    for status in [401, 403, 404, 405, 415, 416, 422, 500, 503] {
        let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        exchanges.push((with("POST", length), refusal));
    }
    for announced in ["", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        exchanges.push((with("HEAD", "\r\n"), format!("HTTP/1.1 200 OK\r\n{announced}\r\n")));
    }
    for status in ["204 No Content", "304 Not Modified"] {
        let announcing = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n");
        exchanges.push((GET.to_owned(), announcing));
    }
    for stage in [Stage::plain().await, Stage::tls().await] {
        let mut client = stage.relay.connect().await;
        for (request, response) in &exchanges {
            client.send(request).await;
            let mut upstream = stage.origin.accept().await;
            upstream.read_message().await;
            upstream.send(response).await;
            client.read_head().await;
            upstream.expect_end(End::Clean).await;
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_after_every_response_that_has_an_end() {
    let head = "HEAD /gpt/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let empty = "GET /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let exchanges = [
        (GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 1\r\n\r\n",
        ),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\n\r\n"),
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (empty, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (GET, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        (post, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (GET, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        (post, "HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
    ];
    for stage in Stage::all().await {
        let mut client = stage.relay.connect().await;
        let mut upstream = first_exchange(&stage, &mut client, GET, OK).await;
        for (request, response) in exchanges {
            client.send(request).await;
            upstream.read_message().await;
            upstream.send(response).await;
            let mut head = client.read_head().await;
            if head.starts_with("HTTP/1.1 103") {
                head = client.read_head().await;
            }
            let absent = request.starts_with("HEAD") || head.starts_with("HTTP/1.1 304");
            if !absent {
                client.read_body_to_end(&head).await;
            }
        }
        exchange(&mut client, &mut upstream, GET, OK).await;
        stage.origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn a_pipelined_request_follows_the_earlier_answer_on_the_same_connection() {
    for stage in Stage::all().await {
        let (mut client, mut upstream) = stage.begin(&GET.repeat(3)).await;
        for _ in 0..2 {
            upstream.assert_silent().await;
            upstream.send(OK).await;
            assert_eq!(client.read_message().await.1, b"ok", "{stage:?}");
            upstream.read_head().await;
        }
        upstream.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok", "{stage:?}");
    }
}

#[tokio::test]
async fn a_second_connection_to_the_upstream_resumes_the_tls_session_of_the_first() {
    for origin in [Origin::tls().await, Origin::tls12().await] {
        let relay = Relay::to(&origin).await;
        for resumed in [false, true, true] {
            let mut client = relay.connect().await;
            client.send(GET).await;
            let mut upstream = origin.accept().await;
            assert_eq!(upstream.is_resumed(), resumed, "{:?}", upstream.tls_version());
            upstream.read_head().await;
            upstream.send(OK_LAST).await;
            client.read_message().await;
        }
    }
}

/// One exchange on connections that are open.
async fn exchange(client: &mut Peer, upstream: &mut Peer, request: &str, response: &str) {
    client.send(request).await;
    upstream.read_head().await;
    upstream.send(response).await;
    client.read_message().await;
}

/// One exchange on a new connection to the upstream; no idle one is used for it.
async fn first_exchange(stage: &Stage, client: &mut Peer, request: &str, response: &str) -> Peer {
    client.send(request).await;
    let mut upstream = stage.origin.accept().await;
    upstream.read_head().await;
    upstream.send(response).await;
    client.read_message().await;
    upstream
}

/// An end that is sent before a request may reach the relay's socket after it when another CPU
/// carries it. Requests that the relay answers by itself give it the time.
async fn let_the_kernel_deliver(client: &mut Peer) {
    for _ in 0..20 {
        client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.read_message().await.0.starts_with("HTTP/1.1 404 "));
    }
}
