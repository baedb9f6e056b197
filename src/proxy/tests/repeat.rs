//! Requests that are sent once more, because the connection that they were sent on had died: what
//! the second sending is like when only a part of the request is with the upstream.

use super::bench::{Bench, EMPTY, GET, run, seconds, settle};
use super::wire::Wire;
use crate::limits::REPLAY_BYTES_MAX;
use crate::net::memory::End;
use tokio::time::sleep;

/// Less than may be sent again, and more than fits into the connections of these tests.
const BODY_BYTES: usize = 100_000;

fn put(len: usize) -> String {
    format!("PUT /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
}

/// What a head of [`put`] becomes on its way up.
fn up(len: usize) -> String {
    format!("PUT /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: {len}\r\n\r\n")
}

/// A client, and an upstream whose connection has carried an exchange and is idle.
pub(super) async fn reused(bench: &Bench) -> (Wire, Wire) {
    let mut client = bench.client();
    client.send(GET).await;
    let mut upstream = bench.upstream().await;
    upstream.read().await;
    upstream.send(EMPTY).await;
    assert_eq!(client.read().await, EMPTY);
    (client, upstream)
}

/// All that `upstream` has to read until it has `want`.
async fn expect(upstream: &mut Wire, want: &str) {
    let mut got = String::new();
    while got.len() < want.len() {
        got.push_str(&upstream.read().await);
    }
    assert!(got == want, "{} bytes of {}", got.len(), want.len());
}

#[test]
fn a_second_connection_that_answers_half_of_the_request_is_not_used_again() {
    let log = run(async |bench| {
        let (mut client, mut first) = reused(bench).await;
        let body = "x".repeat(BODY_BYTES);
        client.send(put(BODY_BYTES) + &body).await;
        expect(&mut first, &(up(BODY_BYTES) + &body)).await;
        bench.narrow_upstreams(1000);
        first.end(End::Clean);
        let mut second = bench.upstream().await;
        settle().await;
        second
            .send(
                "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
            Content-Length: 2\r\n\r\n",
            )
            .await;
        let head = client.read().await;
        assert!(head.ends_with("Connection: close\r\n\r\n"), "{head}");
        // Now it reads the rest, but the relay cannot know that it will always do so.
        expect(&mut second, &(up(BODY_BYTES) + &body)).await;
        second.send("ok").await;
        assert_eq!(client.read_to_end().await, ("ok".to_owned(), End::Clean));
        let mut victim = bench.client();
        victim.send(GET).await;
        let mut third = bench.upstream().await;
        third.read().await;
        assert_eq!(second.here().0, [""; 0], "it got the request of somebody else");
    });
    assert_eq!(log[..2], ["200 completed"; 2]);
}

#[test]
fn a_second_connection_that_answers_the_whole_request_is_used_again() {
    run(async |bench| {
        let (mut client, mut first) = reused(bench).await;
        client.send(put(5) + "he").await;
        expect(&mut first, &(up(5) + "he")).await;
        first.end(End::Clean);
        let mut second = bench.upstream().await;
        expect(&mut second, &(up(5) + "he")).await;
        client.send("llo").await;
        expect(&mut second, "llo").await;
        second.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        client.send(GET).await;
        assert!(second.read().await.starts_with("GET /v1 "));
        second.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        assert_eq!(bench.dials(), 2);
    });
}

/// Wherever the first connection ends, the second one has all of the request, once.
#[test]
fn a_repeat_whose_body_was_half_sent_is_the_whole_request() {
    let requests = [
        (put(5) + "hello", up(5) + "hello"),
        (
            "PUT /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"
                .to_owned(),
            "hello".to_owned(),
        ),
    ];
    for (request, want) in requests {
        let head_end = request.find("\r\n\r\n").unwrap() + 4;
        for cut in head_end..=request.len() {
            for end in [End::Clean, End::Cut, End::Reset] {
                run(async |bench| {
                    let (mut client, mut first) = reused(bench).await;
                    client.send(&request[..cut]).await;
                    first.read().await;
                    settle().await;
                    first.end(end);
                    let mut second = bench.upstream().await;
                    settle().await;
                    client.send(&request[cut..]).await;
                    settle().await;
                    let got = second.here().0.concat();
                    let whole = if want.starts_with("PUT") { got.clone() } else { content(&got) };
                    assert_eq!(whole, want, "cut at {cut}, {end:?}: {got:?}");
                    second.send(EMPTY).await;
                    assert_eq!(client.read().await, EMPTY, "cut at {cut}, {end:?}");
                });
            }
        }
    }
}

/// The content of a chunked message, whose end has to be there.
fn content(message: &str) -> String {
    let (_, mut body) = message.split_once("\r\n\r\n").unwrap();
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(rest, "A: b\r\n\r\n");
            return content;
        }
        content.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
}

/// More than may be sent again has come by the time that the failure is seen.
#[test]
fn what_a_client_sends_to_a_connection_that_fails_waits_for_the_next_one() {
    let log = run(async |bench| {
        let (mut client, mut first) = reused(bench).await;
        let len = 3 * REPLAY_BYTES_MAX;
        client.send(put(len)).await;
        assert_eq!(first.read().await, up(len));
        settle().await;
        first.end(End::Reset);
        let part = "x".repeat(len / 12);
        (0..12).for_each(|_| client.write_now(part.as_bytes()));
        let mut second = bench.upstream().await;
        expect(&mut second, &(up(len) + &part.repeat(12))).await;
        second.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"; 2]);
}

#[test]
fn a_request_that_is_sent_once_more_is_waited_for_anew() {
    let log = run(async |bench| {
        let limit = bench.context.site().timeouts.response_head;
        let (mut client, mut first) = reused(bench).await;
        client.send(GET).await;
        first.read().await;
        sleep(limit - seconds(1)).await;
        first.end(End::Clean);
        let mut second = bench.upstream().await;
        second.read().await;
        sleep(limit - seconds(1)).await;
        second.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"; 2]);
}

/// The answer is larger than what the client takes before it has sent all.
#[test]
fn a_client_that_reads_when_it_has_written_gets_the_answer_of_an_upstream_that_is_gone() {
    run(async |bench| {
        let mut client = bench.narrow_client(1000);
        client.send(put(BODY_BYTES)).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let answer = "y".repeat(5000);
        let head = "HTTP/1.1 413 Too Large\r\nDate: now\r\nX-Request-Id: i\r\n\
            Content-Length: 5000\r\n\r\n";
        upstream.send(head.to_owned() + &answer).await;
        drop(upstream);
        client.send("x".repeat(BODY_BYTES)).await;
        let (got, _) = client.read_to_end().await;
        assert!(got.ends_with(&answer), "{} bytes", got.len());
    });
}
