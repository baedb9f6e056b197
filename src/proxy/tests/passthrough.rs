//! Tcp mode: what a connection waits for, for how long, and what it holds meanwhile.

use super::bench::{DialOutcome, run, seconds, settle};
use crate::gateway::server_name::NamePattern;
use crate::limits::SILENCE_MAX;
use crate::net::buffer::{Buffer, free_buffers};
use crate::net::memory::End;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// `handshake` by default.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The record of a fatal `decode_error`.
const DECODE_ERROR: &str = "\u{15}\u{3}\u{3}\0\u{2}\u{2}2";

fn named() -> NamePattern {
    NamePattern::Exact("a.example".into())
}

#[test]
fn where_all_clients_go_the_same_way_the_upstream_is_dialled_before_they_speak() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[NamePattern::Any]);
        let mut upstream = bench.upstream().await;
        upstream.send("220 ready\r\n").await;
        assert_eq!(client.read().await, "220 ready\r\n");
        client.end(End::Clean);
        upstream.end(End::Clean);
        bench.over().await;
    });
    assert_eq!(log, ["closed"]);
}

#[test]
fn a_client_that_waits_for_the_server_to_speak_gets_the_last_forward_after_a_while() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[named(), NamePattern::Any]);
        let since = Instant::now();
        let mut upstream = bench.upstream().await;
        assert_eq!(since.elapsed(), SILENCE_MAX);
        upstream.send("220 ready\r\n").await;
        assert_eq!(client.read().await, "220 ready\r\n");
        client.send("EHLO a\r\n").await;
        assert_eq!(upstream.read().await, "EHLO a\r\n");
        client.end(End::Clean);
        upstream.end(End::Clean);
        bench.over().await;
    });
    assert_eq!(log, ["closed"]);
}

#[test]
fn a_client_that_says_no_name_in_time_is_closed_and_nobody_is_dialled() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[named()]);
        let since = Instant::now();
        assert_eq!(client.read_to_end().await, (String::new(), End::Reset));
        assert_eq!(since.elapsed(), HANDSHAKE);
        assert_eq!(bench.dials(), 0);
    });
    assert_eq!(log, ["refused client handshake_timeout"]);
}

#[test]
fn a_hello_that_trickles_is_cut_off_at_the_limit_also_where_silence_would_be_an_answer() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[named(), NamePattern::Any]);
        let since = Instant::now();
        client.trickle("\u{16}\u{3}\u{1}\0\u{7f}\u{1}\0\0\u{7b}\u{3}\u{3}random", 2).await;
        client.end(End::Clean);
        assert_eq!(client.read_to_end().await, (DECODE_ERROR.to_owned(), End::Clean));
        assert!(since.elapsed() >= HANDSHAKE);
        assert_eq!(bench.dials(), 0);
    });
    assert_eq!(log, ["refused client handshake_timeout"]);
}

#[test]
fn a_client_that_leaves_without_a_word_is_nobodys() {
    let log = run(async |bench| {
        bench.tcp_client(&[named(), NamePattern::Any]).end(End::Clean);
        bench.over().await;
        assert_eq!(bench.dials(), 0);
    });
    assert_eq!(log, ["refused client gone"]);
}

#[test]
fn a_client_that_resets_its_connection_cancels_the_dial_and_a_half_close_does_not() {
    let log = run(async |bench| {
        bench.dials_are(DialOutcome::Never);
        let mut patient = bench.tcp_client(&[NamePattern::Any]);
        patient.send("last words").await;
        patient.end(End::Clean);
        let mut client = bench.tcp_client(&[NamePattern::Any]);
        client.send("words").await;
        settle().await;
        assert_eq!((bench.dials(), bench.abandoned_dials()), (2, 0));
        client.end(End::Reset);
        sleep(seconds(2)).await;
        assert_eq!(bench.abandoned_dials(), 1);
        bench.cut().await;
        assert_eq!(patient.here().1, Some(End::Cut), "nothing was sent that could be cut");
    });
    assert_eq!(log, ["refused client gone", "aborted narrows stopped"]);
}

#[test]
fn silence_in_both_directions_ends_a_tunnel_and_a_byte_in_either_begins_it_anew() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[NamePattern::Any]);
        let mut upstream = bench.upstream().await;
        for _ in 0..3 {
            sleep(seconds(18)).await;
            upstream.send("x").await;
            assert_eq!(client.read().await, "x");
        }
        let since = Instant::now();
        assert_eq!(client.read_to_end().await.1, End::Reset);
        assert_eq!(upstream.read_to_end().await.1, End::Reset);
        assert_eq!(since.elapsed(), seconds(19));
    });
    assert_eq!(log, ["aborted client tunnel_timeout"]);
}

#[test]
fn a_stop_cuts_a_tunnel_so_that_neither_side_takes_it_for_complete() {
    let log = run(async |bench| {
        let mut client = bench.tcp_client(&[NamePattern::Any]);
        let mut upstream = bench.upstream().await;
        client.send("half of it").await;
        assert_eq!(upstream.read().await, "half of it");
        bench.cut().await;
        assert_eq!(client.here().1, Some(End::Reset));
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log, ["aborted narrows stopped"]);
}

#[test]
fn a_connection_that_waits_holds_no_buffer_in_any_phase() {
    run(async |bench| {
        drop((0..8).map(|_| Buffer::take()).collect::<Vec<_>>());
        let free = free_buffers();
        let mut slow = bench.tcp_client(&[named()]);
        slow.send("\u{16}\u{3}\u{1}\0\u{7f}\u{1}\0\0").await;
        settle().await;
        assert_eq!(free_buffers(), free, "with a part of a hello");
        let mut client = bench.tcp_client(&[NamePattern::Any]);
        client.send("early").await;
        let mut upstream = bench.upstream().await;
        assert_eq!(upstream.read().await, "early");
        upstream.send("answer").await;
        assert_eq!(client.read().await, "answer");
        settle().await;
        assert_eq!(free_buffers(), free, "behind a message each way");
    });
}
