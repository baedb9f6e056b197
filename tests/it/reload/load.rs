//! Reloads one after the other, under load.

use super::LISTENER;
use narrows_kit::connection::Connection;
use narrows_kit::http::Framing;
use narrows_kit::relay::Relay;
use narrows_kit::{server, within};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;

const RELOADS: usize = 100;
/// Clients that connect anew for each request, and clients that keep their connection.
const CLIENTS: usize = 4;
/// What the relay may grow by: lists, timers, the allocator.
const GROWTH_KIB: usize = 4 * 1024;

/// An origin that answers each request with `name`.
fn origin(name: &'static str) -> SocketAddr {
    let serve = move |mut connection: Connection| async move {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        while connection.read_head().await.is_ok() && connection.send(&answer).await.is_ok() {}
    };
    server::start(false, serve).unwrap()
}

/// Asks on a new connection, or again and again on one, until it is over.
async fn client(address: SocketAddr, keeps: bool, over: Arc<AtomicBool>) -> io::Result<usize> {
    let mut count = 0;
    let mut connection = Connection::new(TcpStream::connect(address).await?);
    while !over.load(Ordering::Relaxed) {
        connection.send("GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let head = connection.read_head().await?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let Framing::Length(length) = Framing::of(&head) else { panic!("{head}") };
        let body = connection.read_exactly(length).await?;
        assert!(matches!(&*body, b"one" | b"other"), "{body:?}");
        count += 1;
        if !keeps {
            connection = Connection::new(TcpStream::connect(address).await?);
        }
    }
    Ok(count)
}

#[tokio::test]
async fn a_hundred_reloads_under_load_refuse_nothing_and_leave_nothing_behind() {
    let [one, other] = [origin("one"), origin("other")];
    let configuration = |number: usize| {
        let upstream = if number.is_multiple_of(2) { one } else { other };
        let more = if number.is_multiple_of(3) { LISTENER } else { "" };
        let route = |path: &str| {
            format!("[[route]]\npath = \"{path}\"\nupstream = \"http://{upstream}/\"\n")
        };
        let routes = (0..20).map(|it| route(&format!("/{}/", number * it)));
        let routes = routes.collect::<BTreeSet<_>>();
        let routes = routes.into_iter().collect::<String>() + &route("/gpt/");
        format!("workers = 2\n{LISTENER}{more}{routes}[timeouts]\nconnect = \"{}s\"\n", 1 + number)
    };
    let relay = Relay::start(&configuration(2)).await;
    let descriptors = relay.descriptors();
    let over = Arc::new(AtomicBool::new(false));
    let client = |number| client(relay.address(), number % 2 == 0, Arc::clone(&over));
    let running: Vec<_> = (0..2 * CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    // What only the first reloads cost is no growth.
    for number in 0..10 {
        relay.reload(&configuration(number)).await;
    }
    let resident_kib = relay.resident_kib();
    for number in 0..RELOADS {
        relay.reload(&configuration(number)).await;
    }
    relay.reload(&configuration(2)).await;
    over.store(true, Ordering::Relaxed);
    for client in running {
        let count = within("the end of a client", client).await.unwrap().unwrap();
        assert!(count > 0);
    }
    let growth = relay.resident_kib().saturating_sub(resident_kib);
    assert!(growth <= GROWTH_KIB, "grown by {growth} KiB");
    // Each of the two workers keeps what all clients needed at one time.
    relay.wait_for_descriptors(descriptors + 2 * 2 * CLIENTS).await;
    let (_, log) = relay.stop().await;
    assert!(!log.iter().any(|it| it.contains(" WARN ") || it.contains("ERROR")), "{log:#?}");
}
