//! Where the time of an exchange went, in its line of the log; and which ends are complete.

use super::bench::{Bench, CHUNKED_POST, EMPTY, GET, POST, STREAM, log_of, seconds, settle, words};
use crate::net::memory::End;
use crate::timeouts::Timeouts;
use tokio::time::sleep;

const EVENTS: &str = "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
    Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The numbers of the only line, in milliseconds of the paused clock.
#[track_caller]
fn check(log: &[String], names: &[&str], want: &str) {
    assert_eq!(log.len(), 1, "{log:#?}");
    assert_eq!(words(&log[0], names), want, "{}", log[0]);
}

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

#[test]
fn the_pauses_of_a_model_are_its_own_and_the_longest_between_two_parts_is_told() {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        sleep(seconds(14)).await;
        upstream.send(EVENTS).await;
        client.read().await;
        // A gap is between two parts: this wait is that for the first byte.
        sleep(seconds(9)).await;
        for pause in [2, 5, 3] {
            upstream.send(chunk("data: a\n\n: ping\n\n")).await;
            client.read().await;
            sleep(seconds(pause)).await;
        }
        upstream.send("0\r\n\r\n").await;
        client.read().await;
    });
    let names = ["head_ms", "first_byte_ms", "stream", "events", "longest_gap_ms", "total_ms"];
    check(&log, &names, "14000.000 23000.000 true 3 5000.000 33000.000");
    assert!(!log[0].contains("client_ms") && !log[0].contains("request_ms"), "{}", log[0]);
}

#[test]
fn a_stream_that_falls_silent_has_its_last_gap_to_the_end() {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(format!("{EVENTS}{}", chunk("data: a\n\ndata: b"))).await;
        client.read_to_end().await;
        client.end(End::Clean);
        bench.over().await;
    });
    let limit = Timeouts::distinct().to_client_read.as_millis();
    check(
        &log,
        &["events", "longest_gap_ms", "cause"],
        &format!("1 {limit}.000 response_body_timeout"),
    );
}

#[test]
fn a_client_that_sends_slowly_is_what_was_waited_for() {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(&POST[..20]).await;
        sleep(seconds(2)).await;
        client.send(&POST[20..]).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        for _ in 0..2 {
            sleep(seconds(3)).await;
            client.send([b'x'; 50]).await;
        }
        sleep(seconds(7)).await;
        upstream.send(EMPTY).await;
        client.read().await;
    });
    let names = ["request_ms", "head_ms", "client_ms", "longest_gap_ms"];
    check(&log, &names, "8000.000 15000.000 8000.000");
}

#[test]
fn an_upstream_that_reads_slowly_is_not_taken_for_a_slow_client() {
    let log = log_of(async |bench| {
        bench.narrow_upstreams(300);
        let mut client = bench.client();
        client.send(CHUNKED_POST).await;
        client.send(chunk(&"x".repeat(2000))).await;
        client.send("0\r\n\r\n").await;
        let mut upstream = bench.upstream().await;
        let mut read = 0;
        while read < 2000 {
            sleep(seconds(1)).await;
            read += upstream.read_some(1000).await.len();
        }
        upstream.send(EMPTY).await;
        client.read().await;
    });
    let request = words(&log[0], &["request_ms"]).parse::<f64>().unwrap();
    assert!(request >= 5000.0, "{}", log[0]);
    assert!(!log[0].contains("client_ms"), "{}", log[0]);
}

#[test]
fn a_client_that_reads_slowly_is_what_was_waited_for_and_not_the_model() {
    let log = log_of(async |bench| {
        let mut client = bench.narrow_client(1000);
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(format!("{STREAM}{}", chunk(&"x".repeat(2000)))).await;
        upstream.send("0\r\n\r\n").await;
        sleep(seconds(6)).await;
        let mut got = client.read_some(1000).await.len();
        sleep(seconds(5)).await;
        while got < 2000 {
            got += client.read_some(2000).await.len();
        }
        settle().await;
    });
    check(&log, &["client_ms", "longest_gap_ms", "end"], "11000.000 completed");
}

#[test]
fn what_is_read_of_a_stopped_stream_late_is_the_clients_time() {
    let log = log_of(async |bench| {
        let mut client = bench.narrow_client(1000);
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(format!("{STREAM}{}", chunk(&"x".repeat(1500)))).await;
        settle().await;
        client.read_some(500).await;
        sleep(seconds(1)).await;
        upstream.end(End::Cut);
        sleep(seconds(4)).await;
        client.read_to_end().await;
        client.end(End::Clean);
        bench.over().await;
    });
    let gap = words(&log[0], &["longest_gap_ms"]);
    assert!(gap.is_empty() || gap.parse::<f64>().unwrap() <= 1000.0, "{}", log[0]);
}

/// A client that has what was `sent` leaves when the upstream says something `later`.
async fn leave_behind(bench: &Bench, sent: &str, later: &str, end: End) {
    let mut client = bench.client();
    client.send(GET).await;
    let mut upstream = bench.upstream().await;
    upstream.read().await;
    upstream.send(sent).await;
    settle().await;
    client.read().await;
    // At one moment, as far as the relay can see.
    client.end(end);
    upstream.write_now(later.as_bytes());
    settle().await;
    bench.over().await;
}

#[test]
fn a_client_that_leaves_with_all_the_content_has_a_complete_response() {
    let begun = format!("{EVENTS}{}", chunk("data: a\n\ndata: [DONE]\n\n"));
    for (later, want) in [
        ("0\r\n\r\n", "200 completed"),
        ("0\r\nA: b\r\n\r\n", "200 completed"),
        // Not all of it: no end, part of an end, more content, a broken end.
        ("", "200 aborted client gone"),
        ("0\r\n", "200 aborted client gone"),
        ("1\r\nx\r\n0\r\n\r\n", "200 aborted client gone"),
        ("x\r\n", "200 aborted client gone"),
    ] {
        for end in [End::Clean, End::Cut] {
            let log = log_of(async |bench| leave_behind(bench, &begun, later, end).await);
            check(&log, &["status", "end", "fault", "cause"], want);
        }
    }
}

#[test]
fn a_client_that_leaves_before_its_response_has_none() {
    for later in [EMPTY, EVENTS] {
        let log = log_of(async |bench| {
            let mut client = bench.client();
            client.send(GET).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            client.end(End::Clean);
            upstream.write_now(later.as_bytes());
            settle().await;
            bench.over().await;
        });
        check(&log, &["status", "end", "fault", "cause"], "aborted client gone");
    }
}
