//! A request on a reused connection that ends without an answer: when it is sent once more, and
//! when never.

use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::fs;
use std::net::SocketAddr;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const KEYED_POST: &str =
    "POST /gpt/x HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 7\r\nContent-Length: 4\r\n\r\nbody";
const GET: &str = "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
/// Less than is kept of a request, and more than a small window takes.
const REPEATED_BYTES: usize = 200_000;
const CHUNKED_PUT: &str =
    "PUT /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";

/// Both kinds of upstream.
async fn origins() -> [Origin; 2] {
    [Origin::plain().await, Origin::tls().await]
}

/// A relay with one connection to `origin` that has carried an exchange and is idle.
async fn reused(origin: &Origin) -> (Relay, Peer, Peer) {
    let relay = Relay::plain_to(origin).await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    assert_eq!(client.read_message().await.1, b"ok");
    (relay, client, upstream)
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Fin,
    Reset,
}

async fn end(upstream: Peer, ending: Ending) {
    match ending {
        Ending::Fin => upstream.close().await,
        Ending::Reset => upstream.reset(),
    }
}

/// `request` is read on a reused connection, which then ends; asserts that it comes once more.
async fn check_repeated(origin: &Origin, request: &str, ending: Ending) {
    let (_relay, mut client, mut upstream) = reused(origin).await;
    client.send(request).await;
    let first = upstream.read_message().await;
    end(upstream, ending).await;
    let mut second = origin.accept().await;
    assert_eq!(second.read_message().await, first, "{ending:?}: {request}");
    second.send(OK).await;
    assert_eq!(client.read_message().await.1, b"ok");
}

/// As before; asserts that it does not come once more.
async fn check_failed(origin: &Origin, request: &str, ending: Ending) {
    let (_relay, mut client, mut upstream) = reused(origin).await;
    client.send(request).await;
    upstream.read_message().await;
    end(upstream, ending).await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{ending:?}: {request}: {head}");
    assert!(String::from_utf8_lossy(&body).contains("upstream_closed_early"));
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_request_that_repeats_safely_is_sent_once_more_however_the_connection_ended() {
    for origin in origins().await {
        for ending in [Ending::Fin, Ending::Reset] {
            for request in [GET, CHUNKED_PUT, KEYED_POST] {
                check_repeated(&origin, request, ending).await;
            }
        }
    }
}

#[tokio::test]
async fn a_post_that_the_upstream_may_have_seen_is_not_sent_again() {
    for origin in origins().await {
        for ending in [Ending::Fin, Ending::Reset] {
            check_failed(&origin, POST, ending).await;
        }
    }
}

#[tokio::test]
async fn a_post_that_the_upstream_provably_never_saw_is_sent_once_more() {
    for origin in origins().await {
        let origin = origin.with_small_windows();
        let relay = Relay::plain_to(&origin).await;
        let mut client = relay.connect().await;
        // A body that is not read fills the origin's window; what is sent after it stays
        // unacknowledged.
        client.send(post(150_000)).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        wait_for_queue(origin.address(), 40_000).await;
        upstream.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok");

        let queued = wait_for_queue(origin.address(), 1).await;
        client.send(post(20_000)).await;
        wait_for_queue(origin.address(), queued + 15_000).await;
        upstream.half_close().await;
        let mut second = origin.accept().await;
        assert_eq!(second.read_message().await.1.len(), 20_000);
        second.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok");
        origin.assert_untouched().await;
    }
}

fn post(length: usize) -> Vec<u8> {
    let head = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; length]].concat()
}

#[tokio::test]
async fn a_request_is_repeated_at_most_once() {
    for origin in origins().await {
        let (_relay, mut client, mut upstream) = reused(&origin).await;
        client.send(GET).await;
        upstream.read_head().await;
        upstream.close().await;
        let mut second = origin.accept().await;
        second.read_head().await;
        second.close().await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 502 "));
        origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn a_request_that_fails_on_a_fresh_connection_is_not_repeated() {
    for origin in origins().await {
        let relay = Relay::plain_to(&origin).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.close().await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 502 "));
        origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn after_the_first_byte_of_an_answer_nothing_is_repeated() {
    for part in ["H", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        for origin in origins().await {
            let (_relay, mut client, mut upstream) = reused(&origin).await;
            client.send(GET).await;
            upstream.read_head().await;
            upstream.send(part).await;
            upstream.close().await;
            let mut head = client.read_head().await;
            if head.starts_with("HTTP/1.1 100 ") {
                head = client.read_head().await;
            }
            assert!(head.starts_with("HTTP/1.1 502 "), "{part}: {head}");
            origin.assert_untouched().await;
        }
    }
}

/// The second connection has a part of the request when it begins to answer.
#[tokio::test]
async fn a_second_connection_that_answers_half_of_the_request_is_not_used_again() {
    for origin in origins().await {
        let origin = origin.at_a_new_address().await;
        let (_relay, mut client, mut upstream) = reused(&origin).await;
        let origin = origin.with_narrow_connections();
        let put = [b"PUT".as_slice(), &post(REPEATED_BYTES)[b"POST".len()..]].concat();
        client.send(put).await;
        assert_eq!(upstream.read_message().await.1.len(), REPEATED_BYTES);
        upstream.close().await;
        let mut second = origin.accept().await;
        second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        let answer = client.read_head().await;
        assert_eq!(field_value(&answer, "connection"), Some("close"), "{answer}");
        assert_eq!(second.read_message().await.1.len(), REPEATED_BYTES);
        second.send("ok").await;
        assert_eq!(client.read_exactly(2).await, b"ok");
        client.expect_end(End::Clean).await;
        second.expect_end(End::Clean).await;
    }
}

#[tokio::test]
async fn a_repeat_whose_body_was_half_sent_is_the_whole_request() {
    for origin in origins().await {
        for ending in [Ending::Fin, Ending::Reset] {
            let (_relay, mut client, mut upstream) = reused(&origin).await;
            let put = [b"PUT".as_slice(), &post(REPEATED_BYTES)[b"POST".len()..]].concat();
            let (half, rest) = put.split_at(put.len() / 2);
            client.send(half).await;
            upstream.read_head().await;
            end(upstream, ending).await;
            let mut second = origin.accept().await;
            client.send(rest).await;
            assert_eq!(second.read_message().await.1.len(), REPEATED_BYTES, "{ending:?}");
            second.send(OK).await;
            assert_eq!(client.read_message().await.1, b"ok");
            client.send(GET).await;
            second.read_head().await;
            second.send(OK).await;
            assert_eq!(client.read_message().await.1, b"ok", "and the connection goes on");
        }
    }
}

#[tokio::test]
async fn a_request_larger_than_the_replay_copy_is_not_repeated() {
    for origin in origins().await {
        let (_relay, mut client, mut upstream) = reused(&origin).await;
        let put = [b"PUT".as_slice(), &post(300_000)[b"POST".len()..]].concat();
        client.send(put).await;
        upstream.read_message().await;
        upstream.close().await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 502 "));
        origin.assert_untouched().await;
    }
}

/// Waits until the kernel holds at least `bytes` unacknowledged bytes for `peer`; gives how many.
async fn wait_for_queue(peer: SocketAddr, bytes: usize) -> usize {
    let remote = format!("0100007F:{:04X}", peer.port());
    let queue = async {
        loop {
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let queued = table.lines().filter_map(|row| {
                let columns: Vec<_> = row.split_ascii_whitespace().collect();
                let is_it = columns.get(2) == Some(&remote.as_str());
                let (queue, _) = columns.get(4).filter(|_| is_it)?.split_once(':')?;
                usize::from_str_radix(queue, 16).ok()
            });
            if let Some(queued) = queued.max().filter(|queued| *queued >= bytes) {
                return queued;
            }
            tokio::task::yield_now().await;
        }
    };
    within("unacknowledged bytes", queue).await
}
