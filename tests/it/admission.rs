//! The limit of connections of one client address, over real sockets. 127.0.0.0/8 has many
//! addresses, and counts as soon as the configuration gives a number.

use crate::support::stage::{GET, OK_LAST, Stage};
use narrows_kit::client::{connect_plain, connect_plain_from, expect_turned_away};
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use narrows_kit::within;

/// Asks for a path without a route: an admitted client gets an answer without the upstream.
const ASK: &str = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
const ONE: [u8; 4] = [127, 0, 0, 5];
const OTHER: [u8; 4] = [127, 0, 0, 6];

#[tokio::test]
async fn an_address_with_too_many_connections_gets_503_and_another_is_served() {
    for workers in [1, 3] {
        let origin = Origin::plain().await;
        let limit = "[limits]\nconnections_per_address = 2\n";
        let relay = Relay::plain_to(&origin).workers(workers).with(limit).await;
        let address = relay.address();
        let [mut first, mut second] =
            [connect_plain_from(ONE, address).await, connect_plain_from(ONE, address).await];
        for client in [&mut first, &mut second] {
            assert!(is_served(client).await);
        }
        let mut third = connect_plain_from(ONE, address).await;
        expect_turned_away(&mut third).await;
        let line = relay.wait_for_log("limits.connections_per_address is reached").await;
        assert!(
            line.contains(" WARN narrows::limits: ") && line.ends_with("client=127.0.0.5"),
            "{line}"
        );

        assert!(is_served(&mut connect_plain_from(OTHER, address).await).await);
        second.close().await;
        // Its place is free soon, though not at once.
        let serving =
            async { while !is_served(&mut connect_plain_from(ONE, address).await).await {} };
        within("the place of a client that left", serving).await;
        assert!(is_served(&mut first).await);
        let (_, log) = relay.stop().await;
        let logged = log.iter().filter(|it| it.contains("per_address is reached")).count();
        assert!((1..=workers).contains(&logged), "once a minute and worker: {log:#?}");
    }
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_closed_before_tls() {
    let stage = Stage::new(true, false, "[limits]\nconnections_per_address = 1\n").await;
    let (mut client, mut upstream) = stage.begin(GET).await;
    let mut second = connect_plain(stage.relay.address()).await;
    let (bytes, _) = second.read_to_end().await;
    assert_eq!(bytes, b"", "not even an alert");
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
}

#[tokio::test]
async fn loopback_is_exempt_from_the_limit_per_address_unless_the_file_sets_one() {
    let stage = Stage::plain().await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = stage.relay.connect().await;
        assert!(is_served(&mut client).await);
        clients.push(client);
    }
}

/// Whether a client, new or not, is let in: 404 is an answer to its request, 503 is not.
async fn is_served(client: &mut Peer) -> bool {
    if client.try_send(ASK).await.is_err() {
        return false;
    }
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 404 ") || head.starts_with("HTTP/1.1 503 "), "{head}");
    head.starts_with("HTTP/1.1 404 ")
}
