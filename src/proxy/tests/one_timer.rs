//! One timer for all limits of a connection: none fires early or late because of the one that was
//! armed before it, and waiting costs no work.

use super::bench::{Bench, EMPTY, GET, STREAM, run, seconds};
use super::wire::Wire;
use crate::net::memory::End;
use tokio::time::{Instant, sleep};

async fn exchange(bench: &Bench, client: &mut Wire, upstream: &mut Option<Wire>, think: u64) {
    client.send(GET).await;
    if upstream.is_none() {
        *upstream = Some(bench.upstream().await);
    }
    let upstream = upstream.as_mut().unwrap();
    upstream.read().await;
    sleep(seconds(think)).await;
    upstream.send(EMPTY).await;
    assert_eq!(client.read().await, EMPTY);
}

#[test]
fn a_short_limit_is_not_late_because_a_long_one_was_armed_before() {
    let log = run(async |bench| {
        let mut client = bench.client();
        let mut upstream = None;
        // Armed for keep_alive, then response_head, then keep_alive: each longer than what passes.
        sleep(seconds(12)).await;
        exchange(bench, &mut client, &mut upstream, 1).await;
        // The head's limit is the shortest; the response's alarm is still set for later.
        client.send("GET").await;
        let since = Instant::now();
        assert!(client.read().await.starts_with("HTTP/1.1 408 "));
        assert_eq!(since.elapsed(), seconds(11));
        bench.over().await;
        // And lingering is shorter still.
        assert_eq!(since.elapsed(), seconds(13));
    });
    assert_eq!(log, ["200 completed", "408 answered client request_timeout"]);
}

#[test]
fn a_long_limit_is_not_early_because_a_short_one_was_armed_before() {
    let log = run(async |bench| {
        let mut client = bench.client();
        let mut upstream = None;
        for _ in 0..3 {
            sleep(seconds(12)).await;
            client.send(&GET[..5]).await;
            sleep(seconds(10)).await;
            client.send(&GET[5..]).await;
            if upstream.is_none() {
                upstream = Some(bench.upstream().await);
            }
            let upstream = upstream.as_mut().unwrap();
            upstream.read().await;
            sleep(seconds(16)).await;
            upstream.send(STREAM).await;
            assert_eq!(client.read().await, STREAM);
            for _ in 0..3 {
                sleep(seconds(30)).await;
                upstream.send("1\r\nx\r\n").await;
                assert_eq!(client.read().await, "1\r\nx\r\n");
            }
            upstream.send("0\r\n\r\n").await;
            assert_eq!(client.read().await, "0\r\n\r\n");
        }
        let since = Instant::now();
        assert_eq!(client.read_to_end().await, (String::new(), End::Clean));
        assert_eq!(since.elapsed(), seconds(13));
    });
    assert_eq!(log, ["200 completed"; 3]);
}

#[test]
fn a_stream_of_a_day_is_not_cut_by_any_limit() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(STREAM).await;
        client.read().await;
        let begun = Instant::now();
        while begun.elapsed() < seconds(24 * 3600) {
            sleep(seconds(30)).await;
            upstream.send("3\r\n:\n\n\r\n").await;
            assert_eq!(client.read().await, "3\r\n:\n\n\r\n");
        }
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read().await, "0\r\n\r\n");
    });
    assert_eq!(log, ["200 completed"]);
}

/// A turn for what arrives, and one each time the alarm fires early: never a turn for nothing.
#[test]
fn a_session_that_waits_has_turns_only_for_bytes_and_for_its_alarm() {
    run(async |bench| {
        let mut client = bench.client();
        client.send(GET).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(STREAM).await;
        client.read().await;
        let before = bench.polls();
        for _ in 0..100 {
            sleep(seconds(10)).await;
            upstream.send("1\r\nx\r\n").await;
            client.read().await;
        }
        let turns = bench.polls() - before;
        // 1000 seconds hold 33 limits of 31 seconds.
        assert!((100..=135).contains(&turns), "{turns} turns");
    });
}
