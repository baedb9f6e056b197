//! A client that leaves, in every phase, and a relay that is asked to stop.

use super::bench::{Bench, CHUNKED_POST, DialOutcome, EMPTY, GET, STREAM, run, seconds, settle};
use super::wire::Wire;
use crate::limits::DRAIN_GRACE;
use crate::net::memory::End;
use tokio::time::{Instant, sleep};

const ENDS: [End; 3] = [End::Clean, End::Cut, End::Reset];

#[test]
fn a_client_that_leaves_during_a_dial_ends_its_exchange_and_not_the_dial() {
    for end in ENDS {
        let log = run(async |bench| {
            bench.dials_are(DialOutcome::Never);
            let mut client = bench.client();
            client.send(GET).await;
            settle().await;
            assert_eq!((bench.dials(), bench.abandoned_dials()), (1, 0));
            client.end(end);
            let begun = Instant::now();
            bench.over().await;
            assert_eq!(bench.abandoned_dials(), 0, "{end:?}: it is of use to the next client");
            assert_eq!(begun.elapsed(), seconds(0), "{end:?}");
        });
        assert_eq!(log, ["aborted client gone"], "{end:?}");
    }
}

/// A phase of an exchange in which the client leaves.
struct Phase {
    name: &'static str,
    request: &'static str,
    /// What the upstream has said by then.
    response: String,
    log: &'static str,
}

fn phases() -> Vec<Phase> {
    let phase = |name, request, response, log| Phase { name, request, response, log };
    vec![
        phase("before the response", GET, String::new(), "aborted client gone"),
        phase("in its body", CHUNKED_POST, String::new(), "aborted client gone"),
        phase("behind the head", GET, STREAM.into(), "200 aborted client gone"),
        phase("between events", GET, format!("{STREAM}1\r\nx\r\n"), "200 aborted client gone"),
        phase(
            "while it does not read",
            GET,
            format!("{STREAM}{:x}\r\n{}\r\n", 5000, "x".repeat(5000)),
            "200 aborted client gone",
        ),
    ]
}

#[test]
fn a_client_that_leaves_aborts_its_upstream_at_once_in_every_phase() {
    for Phase { name, request, response, log } in phases() {
        for end in ENDS {
            let got = run(async |bench| {
                let mut client = bench.narrow_client(1000);
                client.send(request).await;
                let mut upstream = bench.upstream().await;
                upstream.send(&response).await;
                settle().await;
                upstream.here();
                client.end(end);
                let begun = Instant::now();
                settle().await;
                assert_eq!(upstream.here(), (vec![], Some(End::Reset)), "{name}, {end:?}");
                bench.over().await;
                // Who has ended its direction alone may still be reading.
                let may_read = name == "while it does not read" && end != End::Reset;
                let waited = if may_read { 37 } else { 0 };
                assert_eq!(begun.elapsed().as_secs(), waited, "{name}, {end:?}");
            });
            assert_eq!(got, [log], "{name}, {end:?}");
        }
    }
}

#[test]
fn a_client_that_closes_between_requests_is_not_an_exchange() {
    for end in ENDS {
        let log = run(async |bench| {
            let mut client = bench.client();
            client.send(GET).await;
            bench.upstream().await.send(EMPTY).await;
            client.read().await;
            client.end(end);
            bench.over().await;
        });
        assert_eq!(log, ["200 completed"], "{end:?}");
    }
}

async fn drain(bench: &Bench) {
    settle().await;
    bench.context.drain.begin(DRAIN_GRACE);
}

#[test]
fn a_drain_ends_connections_on_which_nothing_is_asked_a_moment_later() {
    let log = run(async |bench| {
        let mut fresh = bench.client();
        let mut kept = kept(bench).await;
        drain(bench).await;
        let begun = Instant::now();
        for client in [&mut kept, &mut fresh] {
            assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
            client.end(End::Clean);
            assert_eq!(begun.elapsed(), DRAIN_GRACE);
        }
        bench.over().await;
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_drain_that_nobody_waits_for_leaves_a_connection_open_until_its_next_request() {
    run(async |bench| {
        let mut asking = kept(bench).await;
        let mut silent = bench.client();
        let begun = Instant::now();
        bench.context.drain.begin(seconds(12));
        sleep(seconds(11)).await;
        expect_last_answer(&mut asking).await;
        // The end is in sight: what was promised for longer does not count any more.
        drain(bench).await;
        assert_eq!(silent.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(begun.elapsed(), seconds(12));
    });
}

#[test]
fn the_end_of_a_drain_ends_a_connection_that_is_idle() {
    run(async |bench| {
        let mut client = kept(bench).await;
        bench.context.drain.begin(seconds(12));
        settle().await;
        bench.context.drain.cut();
        let begun = Instant::now();
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(begun.elapsed(), seconds(0));
    });
}

/// Its head was sent before the drain, and said nothing of an end.
#[test]
fn a_client_whose_stream_ends_long_after_the_beginning_of_a_drain_may_ask_once_more() {
    run(async |bench| {
        let (mut client, mut upstream) = bench.streaming().await;
        drain(bench).await;
        sleep(seconds(20)).await;
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read().await, "0\r\n\r\n");
        sleep(DRAIN_GRACE / 2).await;
        expect_last_answer(&mut client).await;
    });
}

/// A client that has been answered, and keeps its connection.
async fn kept(bench: &Bench) -> Wire {
    let mut client = bench.client();
    client.send(GET).await;
    bench.upstream().await.send(EMPTY).await;
    client.read().await;
    client
}

/// An answer of our own: no upstream has to be there.
async fn expect_last_answer(client: &mut Wire) {
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (answer, end) = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(end, End::Clean);
}

#[test]
fn a_request_that_comes_just_behind_the_wish_to_stop_is_served_as_the_last() {
    let log = run(async |bench| {
        let mut client = bench.client();
        drain(bench).await;
        client.send(GET).await;
        bench.upstream().await.send(EMPTY).await;
        let (response, end) = client.read_to_end().await;
        assert!(response.ends_with("\r\nConnection: close\r\n\r\n"), "{response}");
        assert_eq!(end, End::Clean);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_drain_lets_a_request_that_waits_be_answered_and_says_that_it_is_the_last() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        drain(bench).await;
        upstream.send(EMPTY).await;
        let (response, end) = client.read_to_end().await;
        assert!(response.ends_with("\r\nConnection: close\r\n\r\n"), "{response}");
        assert_eq!(end, End::Clean);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_drain_lets_a_stream_run_to_its_end() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = bench.streaming().await;
        drain(bench).await;
        for _ in 0..100 {
            upstream.send("1\r\nx\r\n").await;
            assert_eq!(client.read().await, "1\r\nx\r\n");
        }
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_to_end().await, ("0\r\n\r\n".into(), End::Clean));
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_head_that_is_on_its_way_when_a_drain_begins_is_served_as_the_last() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(&GET[..10]).await;
        drain(bench).await;
        client.send(&GET[10..]).await;
        bench.upstream().await.send(EMPTY).await;
        let (response, end) = client.read_to_end().await;
        assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
        assert_eq!(end, End::Clean);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_request_whose_answer_has_not_begun_when_a_stop_cuts_is_told_so() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        drain(bench).await;
        bench.context.drain.cut();
        let (answer, end) = client.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\"code\":\"stopped\""), "{answer}");
        assert_eq!(end, End::Clean);
        assert_eq!(upstream.read_to_end().await.1, End::Reset);
    });
    assert_eq!(log, ["503 answered narrows stopped"]);
}

#[test]
fn an_answer_of_our_own_during_a_drain_is_the_last_too() {
    run(async |bench| {
        let mut client = bench.client();
        client.send("GET /other HTTP/1.1\r\nHo").await;
        drain(bench).await;
        client.send("st: a\r\n\r\n").await;
        let (answer, end) = client.read_to_end().await;
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(end, End::Clean);
    });
}
