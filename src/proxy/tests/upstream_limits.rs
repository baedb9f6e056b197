//! The limits of time that an upstream is under, and that of a tunnel.

use super::bench::{Bench, CHUNKED_POST, EMPTY, GET, POST, STREAM, SWITCH, run, seconds};
use super::wire::Wire;
use crate::net::memory::End;
use tokio::time::{Instant, sleep};

#[test]
fn the_wait_for_a_response_begins_when_the_request_is_sent() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(CHUNKED_POST).await;
        let mut upstream = bench.upstream().await;
        client.trickle("5\r\nhello\r\n0\r\n\r\n", 20).await;
        let since = Instant::now();
        let answer = client.read().await;
        assert_eq!(since.elapsed(), seconds(17));
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
        assert!(answer.contains("\"upstream_response_timeout\""), "{answer}");
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["504 answered upstream upstream_response_timeout"]);
}

/// Or an upstream could hold a client for ever, at one short line now and then.
#[test]
fn interim_responses_do_not_extend_the_wait_for_the_final_one() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        let since = Instant::now();
        for _ in 0..3 {
            sleep(seconds(5)).await;
            upstream.send("HTTP/1.1 102 Processing\r\n\r\n").await;
            assert_eq!(client.read().await, "HTTP/1.1 102 Processing\r\n\r\n");
        }
        let answer = client.read().await;
        assert_eq!(since.elapsed(), seconds(17));
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
    });
    assert_eq!(log, ["504 answered upstream upstream_response_timeout"]);
}

#[test]
fn a_response_head_that_trickles_does_not_extend_the_wait_for_it() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        let since = Instant::now();
        upstream.trickle("HTTP/1.1 200 OK", 1).await;
        assert!(client.read().await.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"));
        assert_eq!(since.elapsed(), seconds(17));
    });
    assert_eq!(log, ["504 answered upstream upstream_response_timeout"]);
}

#[test]
fn the_connection_of_a_client_whose_upstream_was_slow_goes_on() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(!answer.contains("Connection: close"), "{answer}");
        let _slow = bench.upstream().await;
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["504 answered upstream upstream_response_timeout", "200 completed"]);
}

#[test]
fn an_upstream_that_stops_taking_the_request_is_cut_off_and_bytes_extend_its_limit() {
    let log = run(async |bench| {
        bench.narrow_upstreams(64);
        let mut client = bench.client();
        client.send(format!("{POST}{:100}", "")).await;
        let mut upstream = bench.upstream().await;
        for _ in 0..20 {
            sleep(seconds(28)).await;
            upstream.read_some(1).await;
        }
        let since = Instant::now();
        let answer = client.read().await;
        assert_eq!(since.elapsed(), seconds(29));
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
        assert!(answer.contains("\"upstream_write_timeout\""), "{answer}");
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["504 answered upstream upstream_write_timeout"]);
}

/// It could not send more while the upstream took nothing.
#[test]
fn the_gap_of_a_client_does_not_run_while_its_upstream_is_slow() {
    let log = run(async |bench| {
        bench.narrow_upstreams(64);
        let mut client = bench.client();
        client.send(format!("{POST}{:99}", "")).await;
        let mut upstream = bench.upstream().await;
        sleep(seconds(28)).await;
        let mut got = 0;
        while got < format!("POST /v1 HTTP/1.1\r\nHost: api.test\r\n{:121}", "").len() {
            got += upstream.read_some(64).await.len();
        }
        sleep(seconds(22)).await;
        client.send("!").await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_stream_that_falls_silent_is_cut_and_every_byte_extends_its_limit() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = stream(bench).await;
        upstream.trickle("5\r\nhello\r\n3\r\n: \n", 30).await;
        let since = Instant::now();
        let (_, end) = upstream.read_to_end().await;
        assert_eq!((end, since.elapsed()), (End::Reset, seconds(31)));
        let (writes, end) = client.here();
        let content = writes.concat().replace("1\r\n", "").replace("\r\n", "");
        assert_eq!(content, "hello: \n", "all that came arrives");
        assert_eq!(end, Some(End::Cut));
        bench.over().await;
    });
    assert_eq!(log, ["200 aborted upstream response_body_timeout"]);
}

/// A client and an upstream, with the head of a stream of events between them.
async fn stream(bench: &Bench) -> (Wire, Wire) {
    let mut client = bench.client();
    client.send(GET).await;
    let mut upstream = bench.upstream().await;
    upstream.read().await;
    upstream.send(STREAM).await;
    assert_eq!(client.read().await, STREAM);
    (client, upstream)
}

#[test]
fn the_gap_of_an_upstream_does_not_run_while_the_client_is_slow() {
    let log = run(async |bench| {
        let mut client = bench.narrow_client(16);
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(STREAM).await;
        let mut got = 0;
        // What is left then is in the connection, and so with the client.
        while got + 16 < STREAM.len() {
            sleep(seconds(36)).await;
            got += client.read_some(16).await.len();
        }
        let since = Instant::now();
        let (_, end) = upstream.read_to_end().await;
        assert_eq!((end, since.elapsed()), (End::Reset, seconds(31)));
        bench.over().await;
    });
    assert_eq!(log, ["200 aborted upstream response_body_timeout"]);
}

#[test]
fn a_tunnel_ends_after_silence_in_both_directions() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = bench.tunnel().await;
        for _ in 0..5 {
            sleep(seconds(18)).await;
            client.send("ping").await;
            assert_eq!(upstream.read().await, "ping");
        }
        for _ in 0..5 {
            sleep(seconds(18)).await;
            upstream.send("event").await;
            assert_eq!(client.read().await, "event");
        }
        let since = Instant::now();
        bench.over().await;
        assert_eq!(since.elapsed(), seconds(19));
        assert_eq!(client.here(), (Vec::new(), Some(End::Reset)));
        assert_eq!(upstream.here(), (Vec::new(), Some(End::Reset)));
    });
    assert_eq!(log, ["101 aborted client tunnel_timeout"]);
}

#[test]
fn a_tunnel_of_which_one_direction_has_ended_is_under_its_limit_still() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = bench.tunnel().await;
        upstream.end(End::Clean);
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        for _ in 0..5 {
            sleep(seconds(18)).await;
            client.send("more").await;
            assert_eq!(upstream.read().await, "more");
        }
        let since = Instant::now();
        bench.over().await;
        assert_eq!(since.elapsed(), seconds(19));
    });
    assert_eq!(log, ["101 aborted client tunnel_timeout"]);
}

/// What one side takes is traffic, too: a large message may need longer than the limit.
#[test]
fn a_tunnel_whose_receiver_is_slow_goes_on_while_it_takes_bytes() {
    let log = run(async |bench| {
        let mut client = bench.narrow_client(SWITCH.len());
        let mut upstream = bench.switch(&mut client).await;
        let message = "x".repeat(SWITCH.len() + 10);
        upstream.send(&message).await;
        for _ in 0..10 {
            sleep(seconds(18)).await;
            assert_eq!(client.read_some(1).await, b"x");
        }
        upstream.end(End::Clean);
        client.end(End::Clean);
        assert_eq!(client.read_to_end().await, ("x".repeat(SWITCH.len()), End::Clean));
        assert_eq!(upstream.read_to_end().await, (String::new(), End::Clean));
        bench.over().await;
    });
    assert_eq!(log, ["101 switched"]);
}
