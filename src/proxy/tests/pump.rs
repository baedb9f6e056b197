//! Both directions at once: what one read brings leaves in one write, what a receiver does not
//! take stops the reads, and no direction starves the other.

use super::bench::{CHUNKED_POST, EMPTY, GET, STREAM, run, seconds, settle};
use super::wire::Wire;
use crate::h1::limits::CONTENT_RANGES_MAX;
use crate::net::memory::End;
use crate::proxy::body_relay::READS_PER_TURN;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::task::yield_now;
use tokio::time::timeout;

/// What a head of `GET` or a POST becomes on its way up, up to its framing field.
const UP: &str = "POST /v1 HTTP/1.1\r\nHost: api.test\r\n";

#[test]
fn a_request_head_and_the_body_bytes_behind_it_leave_in_one_write() {
    for body in ["Content-Length: 5\r\n\r\nhe", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        run(async |bench| {
            let mut client = bench.client();
            client.send(format!("POST /gpt/v1 HTTP/1.1\r\nHost: a\r\n{body}")).await;
            let mut upstream = bench.upstream().await;
            assert_eq!(upstream.read().await, format!("{UP}{body}"));
        });
    }
}

#[test]
fn a_response_head_and_the_body_bytes_behind_it_leave_in_one_write() {
    for rest in ["5\r\nhello\r\n", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n"] {
        run(async |bench| {
            let mut client = bench.client();
            client.send(GET).await;
            let mut upstream = bench.upstream().await;
            upstream.send(format!("{STREAM}{rest}")).await;
            assert_eq!(client.read().await, format!("{STREAM}{rest}"));
        });
    }
}

#[test]
fn a_response_head_does_not_wait_for_its_body() {
    run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(STREAM).await;
        assert_eq!(client.read().await, STREAM);
    });
}

#[test]
fn every_write_of_the_upstream_is_one_write_to_the_client() {
    run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        // All of them are here before the relay has its next turn.
        let events: Vec<_> = (0..100).map(|it| format!("data: {it:03}\n\n")).collect();
        let mut want = vec![STREAM.to_owned()];
        upstream.write_now(STREAM.as_bytes());
        for event in &events {
            want.push(format!("b\r\n{event}\r\n"));
            upstream.write_now(want.last().unwrap().as_bytes());
        }
        settle().await;
        assert_eq!(client.here(), (want, None));
    });
}

#[test]
fn every_write_of_the_client_is_one_write_to_the_upstream() {
    run(async |bench| {
        let mut client = bench.client();
        client.send(CHUNKED_POST).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let chunks: Vec<_> = (0..100).map(|it| format!("4\r\n{it:04}\r\n")).collect();
        chunks.iter().for_each(|chunk| client.write_now(chunk.as_bytes()));
        settle().await;
        assert_eq!(upstream.here(), (chunks, None));
    });
}

#[test]
fn half_an_event_is_passed_on_and_its_rest_too() {
    run(async |bench| {
        let (mut client, mut upstream) = bench.streaming().await;
        for (part, want) in [
            ("b\r\ndata", "4\r\ndata\r\n"),
            (": hello", "7\r\n: hello\r\n"),
            ("\r\n1", ""),
            ("\r", ""),
            ("\n\n\r\n0\r\n", "1\r\n\n\r\n"),
            ("\r\n", "0\r\n\r\n"),
        ] {
            upstream.send(part).await;
            settle().await;
            assert_eq!(client.here().0.concat(), want, "after {part:?}");
        }
    });
}

#[test]
fn a_flood_of_tiny_chunks_costs_a_bounded_number_of_writes() {
    run(async |bench| {
        let (mut client, mut upstream) = bench.streaming().await;
        let chunks = 10_000;
        upstream.write_now("1\r\nx\r\n".repeat(chunks).as_bytes());
        settle().await;
        let (writes, _) = client.here();
        assert!(writes.len() <= chunks.div_ceil(CONTENT_RANGES_MAX), "{} writes", writes.len());
        let content: usize = writes.iter().map(|write| write.matches('x').count()).sum();
        assert_eq!(content, chunks);
    });
}

/// `len` bytes that show where they belong.
fn pattern(len: usize) -> String {
    (0..).map(|number: u32| format!("{number:07}\n")).flat_map(String::into_bytes).take(len).fold(
        String::with_capacity(len),
        |mut text, byte| {
            text.push(char::from(byte));
            text
        },
    )
}

/// Sends `body` while the relay takes it. Gives how much that was.
async fn fill(from: &mut Wire, body: &str) -> usize {
    let before = from.written();
    assert!(timeout(seconds(1), from.send(body)).await.is_err(), "the relay takes everything");
    (from.written() - before) as usize
}

/// Reads everything that `to` gets while the rest of `body` is sent.
async fn finish(from: &mut Wire, rest: &str, to: &mut Wire, len: usize) -> String {
    let read = async {
        let mut got = String::new();
        while got.len() < len {
            got.push_str(&to.read().await);
        }
        got
    };
    tokio::join!(from.send(rest), read).1
}

#[test]
fn a_client_that_does_not_read_stops_the_reads_from_its_upstream() {
    run(async |bench| {
        let (room, len) = (1000, 200_000);
        bench.narrow_upstreams(room);
        let mut client = bench.narrow_client(room);
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
            Content-Length: {len}\r\n\r\n"
        );
        upstream.send(&head).await;
        let body = pattern(len);
        let sent = fill(&mut upstream, &body).await;
        // Both connections are full, and one read is kept.
        assert!(sent <= 3 * room, "{sent} bytes");
        let got = finish(&mut upstream, &body[sent..], &mut client, head.len() + len).await;
        assert!(got == head + &body, "bytes are lost or out of order");
    });
}

#[test]
fn an_upstream_that_does_not_read_stops_the_reads_from_its_client() {
    run(async |bench| {
        let (room, len) = (1000, 200_000);
        bench.narrow_upstreams(room);
        let mut client = bench.narrow_client(room);
        client
            .send(format!("POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"))
            .await;
        let mut upstream = bench.upstream().await;
        let body = pattern(len);
        let sent = fill(&mut client, &body).await;
        assert!(sent <= 3 * room, "{sent} bytes");
        let head = format!("{UP}Content-Length: {len}\r\n\r\n");
        let got = finish(&mut client, &body[sent..], &mut upstream, head.len() + len).await;
        assert!(got == head + &body, "bytes are lost or out of order");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
}

#[test]
fn both_directions_move_at_the_same_time() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(CHUNKED_POST).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(STREAM).await;
        let head = client.read().await;
        assert!(head.ends_with("Connection: close\r\n\r\n"), "{head}");
        for turn in 0..50 {
            let chunk = format!("4\r\n{turn:04}\r\n");
            client.send(&chunk).await;
            assert_eq!(upstream.read().await, chunk);
            upstream.send(&chunk).await;
            assert_eq!(client.read().await, chunk);
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(upstream.read().await, "0\r\n\r\n");
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_to_end().await, ("0\r\n\r\n".to_owned(), End::Clean));
    });
    assert_eq!(log, ["200 completed"]);
}

/// A turn of a session, which may be its last.
async fn turn(session: &mut Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(session.as_mut().poll(cx))).await
}

/// The turn that asks for a connection, which is opened by a task of its own.
async fn dialed(session: &mut Pin<&mut impl Future<Output = ()>>) {
    assert!(turn(session).await.is_pending());
    yield_now().await;
}

#[test]
fn an_endless_upload_does_not_hold_back_an_early_response() {
    run(async |bench| {
        let refusal = "HTTP/1.1 413 Too Large\r\nDate: now\r\nX-Request-Id: i\r\n\
            Content-Length: 0\r\n\r\n";
        bench.upstreams_say(vec![refusal.to_owned()]);
        let (mut client, mut session) = bench.idle_client(1 << 20);
        client.write_now(CHUNKED_POST.as_bytes());
        (0..5000).for_each(|_| client.write_now(b"1\r\nx\r\n"));
        let mut session = pin!(session.run());
        dialed(&mut session).await;
        assert!(turn(&mut session).await.is_pending(), "it lingers");
        let (writes, end) = client.here();
        assert!(writes.concat().starts_with("HTTP/1.1 413 Too Large\r\n"), "{writes:?}");
        assert_eq!(end, Some(End::Clean));
        let (writes, end) = bench.upstream().await.here();
        assert_eq!((writes.len(), end), (0, Some(End::Reset)), "it has but a part of the request");
    });
}

#[test]
fn an_endless_download_does_not_hold_back_the_news_that_the_client_left() {
    run(async |bench| {
        let mut says = vec!["1\r\nx\r\n".to_owned(); 5000];
        says.insert(0, STREAM.to_owned());
        bench.upstreams_say(says);
        let (mut client, mut session) = bench.idle_client(1 << 20);
        client.write_now(GET.as_bytes());
        let mut session = pin!(session.run());
        dialed(&mut session).await;
        assert!(turn(&mut session).await.is_pending());
        let passed = client.here().0.len();
        assert!((2..=READS_PER_TURN).contains(&passed), "{passed} writes in one turn");
        client.end(End::Clean);
        assert!(turn(&mut session).await.is_ready(), "nobody waits for the rest");
        assert_eq!(bench.upstream().await.here().1, Some(End::Reset));
    });
}
