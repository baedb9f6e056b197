//! Clients that keep their connections while an operator works: none of their requests is lost.

use crate::support::stage::Stage;
use narrows_kit::client::connect_plain;
use narrows_kit::http::field_value;
use narrows_kit::peer::{End, Peer};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks for what the relay answers itself. Whether the connection may be used again.
pub async fn ask(client: &mut Peer) -> bool {
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    field_value(&head, "connection") != Some("close")
}

/// Asserts that requests are served until an answer says that it is the last: the worker may not
/// have heard yet that it drains.
pub async fn expect_last_answer(client: &mut Peer) {
    while ask(client).await {}
    client.expect_end(End::Clean).await;
}

/// Asks again and again on one connection after the other, as a client does that keeps them. The
/// number of connections.
async fn keep_asking(address: SocketAddr, enough: Arc<AtomicBool>) -> usize {
    let mut connections = 0;
    while !enough.load(Ordering::Relaxed) {
        let mut client = connect_plain(address).await;
        connections += 1;
        while ask(&mut client).await && !enough.load(Ordering::Relaxed) {}
        client.close().await;
    }
    connections
}

#[tokio::test]
async fn a_connection_that_is_idle_at_a_hand_over_ends_after_its_next_request() {
    let mut stage = Stage::plain().await;
    let mut client = stage.relay.connect().await;
    assert!(ask(&mut client).await);
    let former = stage.relay.hand_over().await;
    expect_last_answer(&mut client).await;
    client.close().await;
    former.ended().await;
    assert!(ask(&mut stage.relay.connect().await).await, "the new process keeps connections");
}

#[tokio::test]
async fn clients_that_ask_without_a_pause_lose_no_request_to_hand_overs() {
    let mut stage = Stage::plain().await;
    let enough = Arc::new(AtomicBool::new(false));
    let client = || tokio::spawn(keep_asking(stage.relay.address(), Arc::clone(&enough)));
    let clients = [client(), client(), client(), client()];
    for _ in 0..5 {
        stage.relay.hand_over().await.ended().await;
    }
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        let connections = client.await.expect("no request is lost");
        assert!(connections > 3, "they notice nothing: {connections}");
    }
}

/// It is somebody who waits for the end of the process.
#[tokio::test]
async fn a_stop_after_a_hand_over_does_not_wait_for_clients_that_ask_nothing() {
    let hour = "[timeouts]\nstop = \"1h\"\nkeep_alive = \"1h\"\n";
    let mut stage = Stage::new(false, false, hour).await;
    let mut client = stage.relay.connect().await;
    assert!(ask(&mut client).await);
    let former = stage.relay.hand_over().await;
    former.signal(Signal::HUP);
    let line = stage.relay.wait_for_log("SIGHUP is ignored: a new process serves, and is").await;
    assert!(line.contains(&format!(" pid={}", stage.relay.pid())), "{line}");
    former.signal(Signal::TERM);
    client.expect_end(End::Clean).await;
    client.close().await;
    former.ended().await;
}
