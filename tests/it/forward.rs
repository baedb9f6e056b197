//! Tcp mode: the bytes of a connection, and how it ends.

mod http;
mod names;

use crate::support::passage::{Pair, Passage, connect};
use narrows_kit::pattern::pattern;
use narrows_kit::peer::{End, Peer};
use std::os::unix::process::ExitStatusExt;

const MESSAGE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn bytes_pass_both_ways_at_once_in_every_combination_of_tls() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, mut upstream) = passage.open().await;
        for bytes in [&b"\0"[..], b"\x16\x03\x01", b"0\r\n\r\n", b"\xff"] {
            client.send(bytes).await;
            assert_eq!(upstream.read_exactly(bytes.len()).await, bytes);
            upstream.send(bytes).await;
            assert_eq!(client.read_exactly(bytes.len()).await, bytes);
        }
        tokio::join!(exchange(&mut client), exchange(&mut upstream));
    }
}

async fn exchange(peer: &mut Peer) {
    const PART: usize = 64 * 1024;
    for at in (0..MESSAGE).step_by(PART) {
        peer.send(pattern(at, PART)).await;
        let part = peer.read_exactly(PART).await;
        assert!(part == pattern(at, PART), "at {at}");
    }
}

#[tokio::test]
async fn an_upstream_may_speak_first_while_its_client_is_silent() {
    for pair in [Pair::PlainToTcp, Pair::TlsToTcp, Pair::PlainToTls, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        upstream.send("SSH-2.0-narrows\r\n").await;
        assert_eq!(client.read_exactly(17).await, b"SSH-2.0-narrows\r\n", "{pair:?}");
    }
}

#[tokio::test]
async fn the_end_of_one_direction_is_forwarded_and_the_other_continues() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        for client_first in [true, false] {
            let (client, upstream) = passage.open().await;
            let (mut one, mut other) =
                if client_first { (client, upstream) } else { (upstream, client) };
            one.send("last").await;
            one.half_close().await;
            assert_eq!(other.read_to_end().await, (b"last".to_vec(), End::Clean));
            other.send("answer").await;
            assert_eq!(one.read_exactly(6).await, b"answer");
            other.close().await;
            one.expect_end(End::Clean).await;
        }
        let line = passage.relay.wait_for_log("end=\"closed\"").await;
        assert!(line.contains(" connection forward=\"*\" ") && line.contains(" INFO "), "{line}");
        assert!(line.contains("connect_ms=") && !line.contains("fault="), "{line}");
        if passage.pair != Pair::Through {
            assert!(line.contains(" to_upstream=4 to_client=6 "), "{line}");
        }
    }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    for passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, upstream) = opened(&passage).await;
        upstream.reset();
        // With TLS as well: many clients take a missing close_notify for an end.
        client.expect_end(End::Reset).await;
        let line = passage.relay.wait_for_log("fault=\"upstream\"").await;
        assert!(line.contains(" WARN ") && line.contains("end=\"aborted\""), "{line}");

        let (client, mut upstream) = opened(&passage).await;
        client.reset();
        upstream.expect_end(End::Reset).await;
        let line = passage.relay.wait_for_log("fault=\"client\"").await;
        assert!(line.contains("cause=\"connection_failed\""), "{line}");
    }
}

#[tokio::test]
async fn bytes_and_the_end_pass_after_an_urgent_byte() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    for is_ended in [false, true] {
        let (mut client, mut upstream) = opened(&passage).await;
        client.send("before").await;
        client.send_urgent(b'!');
        client.send("behind").await;
        if is_ended {
            client.half_close().await;
        }
        assert_eq!(upstream.read_exactly(12).await, b"beforebehind");
        if is_ended {
            upstream.half_close().await;
            upstream.expect_end(End::Clean).await;
        }
    }
}

#[tokio::test]
async fn a_half_closed_client_may_still_reset_the_connection() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = opened(&passage).await;
    client.half_close().await;
    upstream.expect_end(End::Clean).await;
    client.reset();
    let line = passage.relay.wait_for_log("fault=\"client\"").await;
    assert!(line.contains("cause=\"connection_failed\""), "{line}");
}

/// A connection that is known to have become a tunnel.
async fn opened(passage: &Passage) -> (Peer, Peer) {
    let (mut client, mut upstream) = passage.open().await;
    client.send("x").await;
    upstream.read_exactly(1).await;
    (client, upstream)
}

#[tokio::test]
async fn truncated_tls_is_a_reset_on_the_other_side() {
    for pair in [Pair::TlsToTcp, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        client.send("cut").await;
        assert_eq!(upstream.read_exactly(3).await, b"cut");
        client.close_without_notify();
        upstream.expect_end(End::Reset).await;
    }
    for pair in [Pair::PlainToTls, Pair::TlsToTls] {
        let passage = Passage::new(pair).await;
        let (mut client, mut upstream) = passage.open().await;
        upstream.send("cut").await;
        assert_eq!(client.read_exactly(3).await, b"cut");
        upstream.close_without_notify();
        client.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends_at_its_limit() {
    let passage = Passage::with(Pair::PlainToTcp, "*", "", "[timeouts]\ntunnel = \"2s\"").await;
    let (mut client, mut upstream) = passage.open().await;
    client.expect_end(End::Reset).await;
    upstream.expect_end(End::Reset).await;
    let line = passage.relay.wait_for_log("cause=\"tunnel_timeout\"").await;
    assert!(line.contains("end=\"aborted\""), "{line}");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed() {
    let passage = Passage::with(Pair::PlainToTcp, "*", "", "[limits]\nconnections = 1").await;
    let (mut client, mut upstream) = passage.open().await;
    let mut second = connect(&passage.relay).await;
    let (bytes, _) = second.read_to_end().await;
    assert!(bytes.is_empty(), "{bytes:?}");
    client.send("still here").await;
    assert_eq!(upstream.read_exactly(10).await, b"still here");
}

#[tokio::test]
async fn a_stop_lets_tunnels_continue_and_ends_with_the_last_of_them() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = passage.open().await;
    passage.relay.signal(rustix::process::Signal::TERM);
    passage.relay.wait_for_log("stopping").await;
    for _ in 0..3 {
        client.send("ping").await;
        assert_eq!(upstream.read_exactly(4).await, b"ping");
        upstream.send("pong").await;
        assert_eq!(client.read_exactly(4).await, b"pong");
    }
    client.close().await;
    upstream.expect_end(End::Clean).await;
    upstream.close().await;
    let mut relay = passage.relay;
    let (status, log) = relay.ended().await;
    assert!(status.success(), "{status:?}");
    assert!(log.iter().any(|line| line.contains("end=\"closed\"")), "{log:?}");
}

#[tokio::test]
async fn a_second_signal_ends_tunnels_at_once() {
    let passage = Passage::new(Pair::PlainToTcp).await;
    let (mut client, mut upstream) = opened(&passage).await;
    let mut relay = passage.relay;
    relay.signal(rustix::process::Signal::TERM);
    relay.wait_for_log("stopping").await;
    relay.signal(rustix::process::Signal::INT);
    let (status, log) = relay.ended().await;
    assert!(status.success(), "{status:?}");
    client.expect_end(End::Reset).await;
    upstream.expect_end(End::Reset).await;
    assert!(log.iter().any(|line| line.contains("cause=\"stopped\"")), "{log:?}");
}

/// With TLS as well, where many clients take a missing close_notify for an end.
#[tokio::test]
async fn a_kill_of_the_process_is_a_reset_of_both_sides() {
    for mut passage in Passage::all().await {
        println!("{passage:?}");
        let (mut client, mut upstream) = opened(&passage).await;
        passage.relay.signal(rustix::process::Signal::KILL);
        let (status, _) = passage.relay.ended().await;
        assert_eq!(status.signal(), Some(rustix::process::Signal::KILL.as_raw()), "{status:?}");
        client.expect_end(End::Reset).await;
        upstream.expect_end(End::Reset).await;
    }
}
