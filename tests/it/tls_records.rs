//! TLS after the handshake, through the program: cipher suites, key updates, and both directions
//! at once.

use crate::support::stage::{CHUNKED, GET, Stage};
use narrows_kit::certificates::client_config_with_suite;
use narrows_kit::client::connect_tls_with;
use narrows_kit::origin::Origin;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use tokio_rustls::rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};

/// More than any buffer on the way has, and not a number of whole records.
const MUCH: usize = (4 << 20) + 77;
const PART: usize = 100_000;
const SOCKET: &str = "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\n";

#[tokio::test]
async fn each_cipher_suite_carries_much_in_both_directions_on_both_sides() {
    for suite in [
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        println!("case: {suite:?}");
        let origin = Origin::tls_with_suite(suite).await;
        let relay = Relay::to(&origin).await;
        let config = client_config_with_suite(suite);
        let connecting = connect_tls_with(&config, "localhost", relay.address());
        let mut client = connecting.await.unwrap();
        let head = format!("POST /gpt/ HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n");
        client.send(head).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")).await;
        client.read_head().await;
        exchange(&mut client, &mut upstream, false).await;
    }
}

/// One direction after the other, because a peer of the kit either reads or writes; the second one
/// fills what the relay and the kernel hold meanwhile.
async fn exchange(client: &mut Peer, upstream: &mut Peer, updates_keys: bool) {
    for is_up in [true, false] {
        let (from, to) =
            if is_up { (&mut *client, &mut *upstream) } else { (&mut *upstream, &mut *client) };
        let sending = async {
            for at in (0..MUCH).step_by(PART) {
                from.send(pattern(at, PART.min(MUCH - at))).await;
                if updates_keys {
                    from.update_keys().await;
                }
            }
        };
        tokio::join!(sending, to.expect_pattern(MUCH));
    }
}

#[tokio::test]
async fn keys_are_updated_in_the_middle_of_a_tunnel_by_either_peer() {
    let stage = Stage::tls().await;
    let (mut client, mut upstream) = stage.answered(SOCKET, SWITCH).await;
    exchange(&mut client, &mut upstream, true).await;
    upstream.half_close().await;
    client.expect_end(End::Clean).await;
}

/// The answer to a request of new keys goes with what is written next, or with nothing.
#[tokio::test]
async fn keys_are_updated_between_events_and_between_requests_by_either_peer() {
    let stage = Stage::tls().await;
    let mut client = stage.relay.connect().await;
    let mut upstream = None;
    for number in 0..40 {
        client.send(GET).await;
        let mut at_work = match upstream.take() {
            Some(upstream) => upstream,
            None => stage.origin.accept().await,
        };
        at_work.read_head().await;
        at_work.update_keys().await;
        at_work.send(CHUNKED).await;
        client.read_head().await;
        for event in ["one", "two", "three"] {
            client.update_keys().await;
            at_work.update_keys().await;
            at_work.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            assert_eq!(client.read_chunk().await, event.as_bytes(), "{number}");
        }
        at_work.send("0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"");
        client.update_keys().await;
        at_work.update_keys().await;
        upstream = Some(at_work);
    }
    client.close().await;
}

/// As `openssl s_client` does for each `K`.
#[tokio::test]
async fn a_client_that_does_nothing_but_update_its_keys_is_closed() {
    let stage = Stage::tls().await;
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    for _ in 0..32 {
        client.update_keys().await;
    }
    upstream.send("2\r\nok\r\n").await;
    assert_eq!(client.read_chunk().await, b"ok");
    client.update_keys().await;
    assert_eq!(upstream.read_to_end().await.1, End::Reset);
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Alert));
}
