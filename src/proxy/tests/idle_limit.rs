//! An upstream that ends idle connections: with a 408 that crosses the next request, or silently,
//! as a router on the path does.

use super::bench::{Bench, EMPTY, GET, run, seconds, settle};
use super::repeat::reused;
use super::wire::Wire;
use crate::net::memory::End;
use tokio::time::sleep;

const POST: &str = "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const POST_UP: &str = "POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello";
const CLOSING: &str = "HTTP/1.1 408 Request Timeout\r\nDate: now\r\nX-Request-Id: i\r\n\
        Connection: close\r\nContent-Length: 0\r\n\r\n";
const KEEPING: &str = "HTTP/1.1 408 Request Timeout\r\nDate: now\r\nX-Request-Id: i\r\n\
    Content-Length: 0\r\n\r\n";
const OF_HAPROXY: &str = "HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n<html>";

/// Lets the first connection, which was idle, answer a POST with `answer`.
async fn post(bench: &Bench, answer: &str) -> (Wire, Wire) {
    let (mut client, mut first) = reused(bench).await;
    sleep(seconds(5)).await;
    client.send(POST).await;
    assert_eq!(first.read().await, POST_UP);
    first.send(answer).await;
    (client, first)
}

#[test]
fn a_408_that_crosses_a_request_is_the_idle_limit_and_the_request_goes_out_again() {
    for answer in [CLOSING, OF_HAPROXY] {
        for cut in 0..answer.find("\r\n\r\n").unwrap() + 4 {
            let log = run(async |bench| {
                let (mut client, mut first) = post(bench, &answer[..cut]).await;
                settle().await;
                first.send(&answer[cut..]).await;
                first.end(End::Clean);
                let mut second = bench.upstream().await;
                assert_eq!(second.read().await, POST_UP);
                second.send(EMPTY).await;
                assert_eq!(client.read().await, EMPTY, "cut at {cut}");
                client.send(GET).await;
                assert!(second.read().await.starts_with("GET "), "it is kept");
                second.send(EMPTY).await;
                assert_eq!(client.read().await, EMPTY);
            });
            assert_eq!(log, ["200 completed"; 3]);
        }
    }
}

#[test]
fn a_408_that_can_be_about_the_request_is_its_answer() {
    // The upstream goes on, as after an answer.
    run(async |bench| {
        let (mut client, _first) = post(bench, KEEPING).await;
        assert_eq!(client.read().await, KEEPING);
        assert_eq!(bench.dials(), 1);
    });
    // It had time to wait for the request.
    run(async |bench| {
        let (mut client, mut first) = post(bench, "").await;
        sleep(seconds(2)).await;
        first.send(CLOSING).await;
        assert_eq!(client.read().await, KEEPING);
        assert_eq!(bench.dials(), 1);
    });
    // It had begun to answer.
    run(async |bench| {
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        let (mut client, mut first) = post(bench, interim).await;
        assert_eq!(client.read().await, interim);
        first.send(CLOSING).await;
        assert_eq!(client.read().await, KEEPING);
        assert_eq!(bench.dials(), 1);
    });
    // The connection was not idle before.
    run(async |bench| {
        let mut client = bench.client();
        client.send(POST).await;
        let mut upstream = bench.upstream().await;
        assert_eq!(upstream.read().await, POST_UP);
        upstream.send(CLOSING).await;
        assert_eq!(client.read().await, KEEPING);
        assert_eq!(bench.dials(), 1);
    });
    // It is the second one.
    run(async |bench| {
        let (mut client, _first) = post(bench, CLOSING).await;
        let mut second = bench.upstream().await;
        assert_eq!(second.read().await, POST_UP);
        second.send(CLOSING).await;
        assert_eq!(client.read().await, KEEPING);
        assert_eq!(bench.dials(), 2);
    });
}

/// Two clients and two connections to the upstream, all idle; the last one is used next.
async fn idle(bench: &Bench) -> ([Wire; 2], [Wire; 2]) {
    let mut clients = [bench.client(), bench.client()];
    for client in &mut clients {
        client.send(GET).await;
    }
    let mut upstreams = [bench.upstream().await, bench.upstream().await];
    for (client, upstream) in clients.iter_mut().zip(&mut upstreams) {
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    }
    sleep(seconds(10)).await;
    (clients, upstreams)
}

#[test]
fn after_a_connection_died_without_a_word_those_that_were_idle_as_long_carry_nothing() {
    let log = run(async |bench| {
        let ([mut first, mut second], [_, mut dead]) = idle(bench).await;
        first.send(POST).await;
        assert_eq!(dead.read().await, POST_UP, "used last");
        dead.end(End::Reset);
        assert!(first.read().await.starts_with("HTTP/1.1 502 "), "it may have been seen");
        second.send(POST).await;
        let mut fresh = bench.upstream().await;
        assert_eq!(fresh.read().await, POST_UP);
        fresh.send(EMPTY).await;
        assert_eq!(second.read().await, EMPTY);
    });
    assert_eq!(log[2..], ["502 answered upstream upstream_closed_early", "200 completed"]);
}

#[test]
fn a_connection_that_breaks_behind_a_408_has_not_died_without_a_word() {
    let log = run(async |bench| {
        let ([mut first, mut second], [mut other, mut used]) = idle(bench).await;
        first.send(POST).await;
        assert_eq!(used.read().await, POST_UP, "used last");
        sleep(seconds(2)).await;
        used.send("HTTP/1.1 408 x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n").await;
        assert!(first.read().await.starts_with("HTTP/1.1 408 "));
        used.end(End::Reset);
        settle().await;
        second.send(POST).await;
        assert_eq!(other.read().await, POST_UP);
        other.send(EMPTY).await;
        assert_eq!(second.read().await, EMPTY);
    });
    assert_eq!(log[2..], ["408 aborted upstream upstream_closed_early", "200 completed"]);
}
