//! Listeners that are added, removed and changed.

use super::{LISTENER, route, to};
use crate::kept::expect_last_answer;
use crate::support::passage::{Pair, forward};
use crate::support::stage::{CHUNKED_LAST, GET, expect_ok};
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The address of the listener that a reload has opened.
async fn opened(relay: &Relay) -> SocketAddr {
    let line = relay.wait_for_log(" narrows::server: listening address=").await;
    let (_, address) = line.split_once("://").unwrap();
    address.trim_end_matches('"').parse().unwrap()
}

/// A client and an upstream in the middle of a response.
async fn begin_stream(address: SocketAddr, origin: &Origin) -> (Peer, Peer) {
    let mut client = connect_plain(address).await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(CHUNKED_LAST).await;
    client.read_head().await;
    (client, upstream)
}

#[tokio::test]
async fn a_listener_is_added_and_removed_and_the_others_notice_nothing() {
    let origin = Origin::plain().await;
    for workers in [1, 3] {
        let one = format!("workers = {workers}\n{}", to(&origin));
        let two = format!("workers = {workers}\n{LISTENER}{}", to(&origin));
        let relay = Relay::start(&one).await;
        let mut kept = relay.connect().await;
        expect_ok(&mut kept, &origin).await;
        let descriptors = relay.descriptors();

        let line = relay.reload(&two).await;
        assert!(line.contains("changes=\"listeners: 1 added\""), "{line}");
        let added = opened(&relay).await;
        expect_ok(&mut kept, &origin).await;
        let mut idle = connect_plain(added).await;
        expect_ok(&mut idle, &origin).await;
        let (mut running, mut upstream) = begin_stream(added, &origin).await;

        let line = relay.reload(&one).await;
        assert!(line.contains("changes=\"listeners: 1 removed\""), "{line}");
        // Each worker closes its own socket.
        let closed = async {
            while TcpStream::connect(added).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        within("the listener to be closed", closed).await;
        expect_last_answer(&mut idle).await;
        upstream.send("5\r\nevent\r\n0\r\n\r\n").await;
        assert_eq!(running.read_chunk().await, b"event");
        assert_eq!(running.read_chunk().await, b"");
        expect_last_answer(&mut running).await;
        expect_ok(&mut kept, &origin).await;
        drop((idle, running, upstream));
        relay.wait_for_descriptors(descriptors).await;
    }
}

#[tokio::test]
async fn what_runs_on_a_removed_listener_is_cut_after_the_time_of_a_stop() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&format!("{LISTENER}{}", to(&origin))).await;
    let [first, second] = relay.addresses() else { panic!("{:?}", relay.addresses()) };
    let (mut stays, mut upstream) = begin_stream(*first, &origin).await;
    let (mut cut, mut cut_upstream) = begin_stream(*second, &origin).await;
    relay.reload(&format!("{}[timeouts]\nstop = \"100ms\"\n", to(&origin))).await;
    cut_upstream.expect_end(End::Reset).await;
    let (bytes, _) = cut.read_to_end().await;
    assert_eq!(bytes, b"", "no last chunk");
    upstream.send("0\r\n\r\n").await;
    assert_eq!(stays.read_chunk().await, b"");
}

/// A port that becomes public, and one that becomes private again.
#[tokio::test]
async fn an_address_becomes_all_addresses_and_back() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&to(&origin)).await;
    let narrow = relay.address();
    let (mut running, mut upstream) = begin_stream(narrow, &origin).await;
    let other = SocketAddr::from(([127, 0, 0, 2], narrow.port()));
    assert!(TcpStream::connect(other).await.is_err());
    let at = |address: &str| to(&origin).replace("127.0.0.1:0", address);

    relay.reload(&at(&format!("0.0.0.0:{}", narrow.port()))).await;
    for address in [narrow, other] {
        expect_ok(&mut connect_plain(address).await, &origin).await;
    }
    relay.reload(&at(&narrow.to_string())).await;
    expect_ok(&mut connect_plain(narrow).await, &origin).await;
    assert!(TcpStream::connect(other).await.is_err());
    upstream.send("0\r\n\r\n").await;
    assert_eq!(running.read_chunk().await, b"");
}

#[tokio::test]
async fn a_listener_changes_its_mode_and_connections_go_on_in_theirs() {
    let (http, tcp) = (Origin::plain().await, Origin::plain().await);
    let relay = Relay::start(&to(&http)).await;
    let mut kept = relay.connect().await;
    expect_ok(&mut kept, &http).await;
    let in_tcp_mode = format!(
        "{LISTENER}mode = \"tcp\"\n{}{}",
        forward("*", Pair::Through, tcp.address()),
        route("/gpt/", &http),
    );
    let line = relay.reload(&in_tcp_mode).await;
    assert!(line.contains("listeners: 1 changed; forwards: 1 added"), "{line}");
    let mut through = connect_plain(relay.address()).await;
    let mut upstream = tcp.accept().await;
    upstream.send("hello").await;
    assert_eq!(through.read_exactly(5).await, b"hello");
    expect_ok(&mut kept, &http).await;

    relay.reload(&to(&http)).await;
    expect_ok(&mut connect_plain(relay.address()).await, &http).await;
    upstream.send("still").await;
    assert_eq!(through.read_exactly(5).await, b"still");
    expect_ok(&mut kept, &http).await;
}
