//! SIGHUP: another configuration, and no connection notices.

mod listeners;
mod load;

use crate::support::stage::{CHUNKED, GET, OK, expect_ok};
use narrows_kit::certificates::{client_config, listener_keys};
use narrows_kit::client::{
    connect_plain, connect_plain_from, connect_tls, connect_tls_with, expect_turned_away,
};
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ALL_VERSIONS;

const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";

/// A listener, and a route `/gpt/` to `origin`.
fn to(origin: &Origin) -> String {
    format!("{LISTENER}{}", route("/gpt/", origin))
}

/// The same, and its clients speak TLS.
fn tls_to(origin: &Origin) -> String {
    format!("{LISTENER}{}{}", listener_keys(), route("/gpt/", origin))
}

fn route(path: &str, origin: &Origin) -> String {
    let address = origin.address();
    format!("[[route]]\npath = \"{path}\"\nupstream = \"http://{address}/\"\n")
}

/// Asks with `client`, and answers on a new connection of `origin`, which stays.
async fn exchange(client: &mut Peer, origin: &Origin) -> Peer {
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    answer(client, &mut upstream).await;
    upstream
}

async fn answer(client: &mut Peer, upstream: &mut Peer) {
    upstream.read_head().await;
    upstream.send(OK).await;
    assert_eq!(client.read_message().await.1, b"ok");
}

#[tokio::test]
async fn running_exchanges_end_by_the_old_route_and_the_next_request_takes_the_new_one() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    for configuration in [to, tls_to] {
        let relay = Relay::start(&configuration(&old)).await;
        let mut kept = relay.connect().await;
        expect_ok(&mut kept, &old).await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut client = relay.connect().await;
            client.send(GET).await;
            let mut upstream = old.accept().await;
            upstream.read_head().await;
            upstream.send(CHUNKED).await;
            client.read_head().await;
            streams.push((client, upstream));
        }
        let line = relay.reload(&configuration(&new)).await;
        assert!(line.contains("routes: 1 changed; upstreams: 1 added, 1 removed"), "{line}");

        expect_ok(&mut kept, &new).await;
        for (client, upstream) in &mut streams {
            upstream.send("5\r\nevent\r\n").await;
            assert_eq!(client.read_chunk().await, b"event");
            upstream.send("0\r\n\r\n").await;
            assert_eq!(client.read_chunk().await, b"");
            expect_ok(client, &new).await;
            upstream.expect_end(End::Clean).await;
        }
        old.assert_untouched().await;
    }
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_logged() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    let relay = Relay::start(&to(&old)).await;
    let mut client = relay.connect().await;
    let mut upstream = exchange(&mut client, &old).await;

    let wrong = to(&new).replace("path = \"/gpt/\"", "path = \"gpt\"\ncolour = \"blue\"");
    relay.configure(&wrong);
    relay.signal(Signal::HUP);
    let line = relay.wait_for_log("not reloaded; nothing has changed").await;
    assert!(line.contains("ERROR narrows::server: ") && line.contains("problems=2"), "{line}");
    for key in ["route.path: ", "unknown key"] {
        let line = relay.wait_for_log(key).await;
        assert!(line.contains("ERROR narrows::server: "), "{line}");
        assert!(line.contains("narrows.toml:"), "{line}");
    }
    client.send(GET).await;
    answer(&mut client, &mut upstream).await;

    let line = relay.reload(&to(&new)).await;
    assert!(line.contains("number=1"), "{line}");
    exchange(&mut client, &new).await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_file_is_refused_and_holds_up_no_later_reload() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    let relay = Relay::start(&to(&old)).await;
    let file = relay.configuration_file();
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    relay.signal(Signal::HUP);
    relay.wait_for_log("narrows.toml:1: the file cannot be read: it is not a regular file").await;
    relay.wait_for_log("not reloaded; nothing has changed").await;
    expect_ok(&mut relay.connect().await, &old).await;
    fs::remove_file(&file).unwrap();
    relay.reload(&to(&new)).await;
    expect_ok(&mut relay.connect().await, &new).await;
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_changes_nothing() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(&to(&old)).await;
    let mut client = relay.connect().await;
    let mut upstream = exchange(&mut client, &old).await;
    let descriptors = relay.descriptors();

    let address = taken.local_addr().unwrap();
    let another = format!("{LISTENER}[[listener]]\naddress = \"{address}\"\n{}", to(&new));
    relay.configure(&another);
    relay.signal(Signal::HUP);
    relay.wait_for_log(&format!("cannot listen on {address}: ")).await;
    relay.wait_for_log("not reloaded; nothing has changed").await;
    assert_eq!(relay.descriptors(), descriptors);
    client.send(GET).await;
    answer(&mut client, &mut upstream).await;
    drop(taken);
    relay.reload(&another).await;
    exchange(&mut connect_plain(address).await, &new).await;
}

#[tokio::test]
async fn limits_of_connections_hold_for_new_ones_and_cut_none() {
    const CLIENT: [u8; 4] = [127, 0, 0, 5];
    let origin = Origin::plain().await;
    let limited = |limit: &str| format!("{}[limits]\n{limit}\n", to(&origin));
    let relay = Relay::start(&limited("connections_per_address = 3")).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect_plain_from(CLIENT, relay.address()).await;
        expect_ok(&mut client, &origin).await;
        clients.push(client);
    }
    for limit in ["connections_per_address = 1", "connections = 3", "connections = 1"] {
        let line = relay.reload(&limited(limit)).await;
        assert!(line.contains("changes=\"limits\""), "{line}");
        expect_turned_away(&mut connect_plain_from(CLIENT, relay.address()).await).await;
        for client in &mut clients {
            expect_ok(client, &origin).await;
        }
    }
    relay.reload(&limited("connections_per_address = 4")).await;
    expect_ok(&mut connect_plain_from(CLIENT, relay.address()).await, &origin).await;
}

#[tokio::test]
async fn clients_resume_tls_sessions_of_before() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    let relay = Relay::start(&tls_to(&old)).await;
    let config = client_config(ALL_VERSIONS);
    for (round, resumed) in [false, true, true].into_iter().enumerate() {
        let mut client = connect_tls_with(&config, "localhost", relay.address()).await.unwrap();
        assert_eq!(client.is_resumed(), resumed);
        let origin = if round % 2 == 0 { &old } else { &new };
        expect_ok(&mut client, origin).await;
        relay.reload(&tls_to(if round % 2 == 0 { &new } else { &old })).await;
    }
}

#[tokio::test]
async fn an_upstream_that_stays_keeps_its_connections_whatever_else_changes() {
    let (origin, other) = (Origin::plain().await, Origin::plain().await);
    let relay = Relay::start(&to(&origin)).await;
    let mut client = relay.connect().await;
    let mut upstream = exchange(&mut client, &origin).await;
    let before = to(&origin);
    for after in [
        format!("{before}{}", route("/other/", &other)),
        before.replace("/gpt/", "/gpt/v1/"),
        format!("{before}connection_age = \"1h\"\n"),
        format!("{before}host = \"a.example\"\n"),
        format!("{before}[timeouts]\nconnect = \"1s\"\nresponse_head = \"9m\"\n"),
        format!("{LISTENER}{before}[limits]\nconnections = 9\n"),
    ] {
        relay.reload(&after).await;
        client.send(GET).await;
        answer(&mut client, &mut upstream).await;
    }
    origin.assert_untouched().await;
}

#[tokio::test]
async fn a_reload_says_once_that_another_number_of_workers_needs_more() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&to(&origin)).workers(2).await;
    relay.reload(&format!("workers = 3\n{}", to(&origin))).await;
    relay.reload(&format!("# again\nworkers = 3\n{}", to(&origin))).await;
    let what = "another number of workers needs a hand-over (SIGUSR2) or a restart";
    let line = relay.wait_for_log(what).await;
    assert!(line.contains(" WARN narrows::server: "), "{line}");
    assert!(line.ends_with("workers=2 configured=3"), "{line}");
    assert_eq!(relay.log_lines().iter().filter(|it| it.contains(what)).count(), 1);
    expect_ok(&mut relay.connect().await, &origin).await;
}

#[tokio::test]
async fn a_reload_during_a_stop_is_ignored() {
    let (old, new) = (Origin::plain().await, Origin::plain().await);
    let mut relay = Relay::start(&to(&old)).await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    let mut upstream = old.accept().await;
    relay.signal(Signal::TERM);
    relay.wait_for_log("stopping; running exchanges may end").await;
    relay.configure(&to(&new));
    relay.signal(Signal::HUP);
    relay.wait_for_log("SIGHUP is ignored: the server stops").await;
    answer(&mut client, &mut upstream).await;
    client.expect_end(End::Clean).await;
    drop(client);
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_listener_gets_tls_at_the_same_address() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&to(&origin)).await;
    let mut before = relay.connect().await;
    let mut upstream = exchange(&mut before, &origin).await;
    let line = relay.reload(&tls_to(&origin)).await;
    assert!(line.contains("changes=\"listeners: 1 changed\""), "{line}");
    let mut after = connect_tls(relay.address()).await;
    for client in [&mut before, &mut after] {
        client.send(GET).await;
        answer(client, &mut upstream).await;
    }
}

#[tokio::test]
async fn the_admin_listener_comes_and_goes_by_a_reload() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&to(&origin)).await;
    let line = relay.reload(&format!("admin = \"127.0.0.1:0\"\n{}", to(&origin))).await;
    assert!(line.contains("changes=\"admin\""), "{line}");
    let line = relay.wait_for_log("the admin listener answers addresses=").await;
    let (_, address) = line.split_once("addresses=\"").unwrap();
    let address: SocketAddr = address.trim_end_matches('"').parse().unwrap();
    let mut client = connect_plain(address).await;
    client.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 200 "));
    relay.reload(&to(&origin)).await;
    // Its socket is closed soon, though not at once.
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    within("the admin listener to be closed", closed).await;
    expect_ok(&mut relay.connect().await, &origin).await;
}
