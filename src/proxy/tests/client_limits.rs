//! The limits of time that a client is under: its heads, its silence, its bodies, its reading.

use super::bench::{Bench, CHUNKED_POST, EMPTY, GET, POST, STREAM, run, seconds, settle};
use super::wire::Wire;
use crate::limits::LINGER_MAX;
use crate::net::memory::End;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[test]
fn a_trickle_does_not_extend_the_limit_of_a_request_head() {
    let log = run(async |bench| {
        let mut client = bench.client();
        sleep(seconds(3)).await;
        client.send("G").await;
        let begun = Instant::now();
        client.trickle("ET /gpt/v1", 1).await;
        assert_eq!(begun.elapsed(), seconds(10));
        let answer = client.read().await;
        assert_eq!(begun.elapsed(), seconds(11));
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(bench.dials(), 0);
    });
    assert_eq!(log, ["408 answered client request_timeout"]);
}

#[test]
fn a_head_that_takes_almost_its_limit_is_served() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(&GET[..GET.len() - 1]).await;
        sleep(seconds(11) - Duration::from_millis(1)).await;
        client.send("\n").await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_client_that_never_speaks_is_closed_cleanly_and_without_a_word() {
    let log = run(async |bench| {
        let begun = Instant::now();
        let mut client = bench.client();
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(begun.elapsed(), seconds(13));
    });
    assert_eq!(log, [""; 0]);
}

#[test]
fn silence_after_an_exchange_is_counted_from_its_end() {
    let log = run(async |bench| {
        let mut client = bench.client();
        sleep(seconds(12)).await;
        let mut upstream = None;
        for _ in 0..2 {
            client.send(GET).await;
            if upstream.is_none() {
                upstream = Some(bench.upstream().await);
            }
            let upstream = upstream.as_mut().unwrap();
            upstream.read().await;
            sleep(seconds(16)).await;
            upstream.send(EMPTY).await;
            assert_eq!(client.read().await, EMPTY);
            sleep(seconds(12)).await;
        }
        let since = Instant::now();
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(since.elapsed(), seconds(1));
        assert_eq!(bench.dials(), 1);
    });
    assert_eq!(log, ["200 completed", "200 completed"]);
}

#[test]
fn a_gap_in_a_request_body_is_the_clients_fault_and_bytes_end_it() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(POST).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        client.trickle("twelve bytes", 22).await;
        let since = Instant::now();
        let answer = client.read().await;
        assert_eq!(since.elapsed(), seconds(23));
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["408 answered client request_timeout"]);
}

#[test]
fn every_byte_of_a_chunked_request_body_extends_its_limit() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(CHUNKED_POST).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        client.trickle("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", 22).await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_client_that_stops_reading_is_cut_off_and_its_upstream_too() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = blocked_client(bench).await;
        // Each byte that it takes gives it the whole limit again.
        for _ in 0..20 {
            sleep(seconds(36)).await;
            client.read_some(1).await;
        }
        let since = Instant::now();
        bench.over().await;
        assert_eq!(since.elapsed(), seconds(37));
        assert_eq!(client.here().1, Some(End::Reset));
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["200 aborted client slow_reader"]);
}

/// A client with a response on its way that does not fit into its connection.
async fn blocked_client(bench: &Bench) -> (Wire, Wire) {
    let mut client = bench.narrow_client(80);
    client.send(GET).await;
    let mut upstream = bench.upstream().await;
    upstream.read().await;
    upstream.send(STREAM).await;
    upstream.send(format!("64\r\n{:100}\r\n", "")).await;
    (client, upstream)
}

#[test]
fn a_client_that_reads_again_in_time_gets_everything() {
    let log = run(async |bench| {
        let (mut client, mut upstream) = blocked_client(bench).await;
        sleep(seconds(36)).await;
        let mut got = client.read().await;
        while !got.ends_with("\r\n0\r\n\r\n") {
            got.push_str(&client.read().await);
            if got.len() == STREAM.len() + 106 {
                upstream.send("0\r\n\r\n").await;
            }
        }
        assert_eq!(got, format!("{STREAM}64\r\n{:100}\r\n0\r\n\r\n", ""));
    });
    assert_eq!(log, ["200 completed"]);
}

/// The last chunk is all that does not fit, and the client had nothing to take for long.
#[test]
fn the_gap_of_a_client_begins_when_it_stops_taking_and_not_before() {
    let log = run(async |bench| {
        let head = "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\r\n";
        let mut client = bench.narrow_client(STREAM.len());
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(head).await;
        sleep(seconds(30)).await;
        upstream.end(End::Clean);
        // Longer than either limit after the head; shorter after the end.
        sleep(seconds(30)).await;
        assert_eq!(client.read().await, STREAM);
        assert_eq!(client.read().await, "0\r\n\r\n");
    });
    assert_eq!(log, ["200 completed"]);
}

/// As the test before, with a final head after an interim response.
#[test]
fn the_gap_of_a_client_begins_anew_when_the_final_head_comes() {
    let log = run(async |bench| {
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        let mut client = bench.narrow_client(interim.len());
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.send(interim).await;
        sleep(seconds(16)).await;
        upstream.send(EMPTY).await;
        sleep(seconds(36)).await;
        let mut got = String::new();
        while got.len() < interim.len() + EMPTY.len() {
            got.push_str(&client.read().await);
        }
        assert_eq!(got, format!("{interim}{EMPTY}"));
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn an_answer_of_our_own_waits_for_its_reader_no_longer_than_another() {
    let log = run(async |bench| {
        let begun = Instant::now();
        let mut client = bench.narrow_client(16);
        client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bench.over().await;
        assert_eq!(begun.elapsed(), seconds(37));
        assert_eq!(client.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["404 aborted client slow_reader"]);
}

#[test]
fn a_closing_connection_is_read_on_for_as_long_as_its_client_sends_but_not_for_ever() {
    run(async |bench| {
        let mut client = bench.client();
        client.send("nonsense\r\n\r\n").await;
        let begun = Instant::now();
        let (answer, end) = client.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert_eq!((end, begun.elapsed()), (End::Clean, seconds(0)));
        sleep(seconds(1)).await;
        client.send("more").await;
        bench.over().await;
        assert_eq!(begun.elapsed(), seconds(3), "silence for the limit");
        assert!(client.try_send("x").await.is_err());

        let mut client = bench.client();
        client.send("nonsense\r\n\r\n").await;
        client.read_to_end().await;
        let begun = Instant::now();
        let trickle = "x".repeat(60);
        tokio::join!(client.trickle(&trickle, 1), bench.over());
        assert_eq!(begun.elapsed(), LINGER_MAX + seconds(1), "the byte that finds it closed");
    });
}

/// As HTTP libraries do that write a body before they read an answer.
#[test]
fn an_upload_of_five_seconds_behind_an_answer_is_read_to_its_end() {
    let answers = [
        ("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", None, "404 "),
        (
            "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            Some("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
            "413 ",
        ),
    ];
    run(async |bench| {
        for (request, upstream_says, status) in answers {
            let mut client = bench.client();
            client.send(request).await;
            if let Some(answer) = upstream_says {
                bench.upstream().await.send(answer).await;
            }
            settle().await;
            for byte in ["1", "2", "3", "4", "5"] {
                sleep(seconds(1)).await;
                client.try_send(byte).await.expect("it is read on");
            }
            let (answer, end) = client.read_to_end().await;
            assert_eq!((&answer[9..13], end), (status, End::Clean));
            client.end(End::Clean);
            bench.over().await;
        }
    });
}

#[test]
fn a_closing_connection_ends_at_once_when_the_client_does() {
    run(async |bench| {
        let mut client = bench.client();
        client.send("nonsense\r\n\r\n").await;
        settle().await;
        let begun = Instant::now();
        client.end(End::Clean);
        bench.over().await;
        assert_eq!(begun.elapsed(), seconds(0));
    });
}

#[test]
fn a_stray_line_end_behind_a_body_begins_no_request() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send("POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n").await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        let begun = Instant::now();
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean), "no 408");
        assert_eq!(begun.elapsed(), seconds(13), "the limit of idle clients");
    });
    assert_eq!(log, ["200 completed"]);
}

#[test]
fn a_client_that_waits_for_its_100_is_not_late() {
    let log = run(async |bench| {
        let head = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
        let mut client = bench.client();
        client.send(&format!("{head}Content-Length: 1\r\n\r\n")).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let begun = Instant::now();
        let answer = client.read().await;
        assert_eq!(begun.elapsed(), seconds(17), "the upstream's time to answer");
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    });
    assert_eq!(log, ["504 answered upstream upstream_response_timeout"]);
}

#[test]
fn a_client_that_has_its_100_has_to_send_in_time() {
    let log = run(async |bench| {
        let head = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
        let mut client = bench.client();
        client.send(&format!("{head}Content-Length: 1\r\n\r\n")).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        sleep(seconds(16)).await;
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.read().await, "HTTP/1.1 100 Continue\r\n\r\n");
        let begun = Instant::now();
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(begun.elapsed(), seconds(23));
    });
    assert_eq!(log, ["408 answered client request_timeout"]);
}
