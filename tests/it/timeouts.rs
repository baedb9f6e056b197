//! The limits of time that end below the exchange: handshakes and connecting. The others are
//! proven on virtual time, in `src/proxy/tests`.

use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What the tests configure. Long enough for the handshakes that should succeed, on a busy machine.
const LIMIT: Duration = Duration::from_secs(3);

const REQUEST: &str = "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_stalled_handshake_is_closed_at_its_limit() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).with("[timeouts]\nhandshake = \"3s\"").await;
    let since = Instant::now();
    // A ClientHello of which all but the first bytes are missing, and not even that.
    let mut begun = connect_plain(relay.address()).await;
    begun.send(b"\x16\x03\x01\x02\x00\x01").await;
    let mut silent = connect_plain(relay.address()).await;
    for client in [&mut begun, &mut silent] {
        client.expect_end(End::Clean).await;
        assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    }
    let mut client = relay.connect().await;
    assert_serves(&mut client, &origin).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_shake_hands_is_504_and_the_next_request_tries_again() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).with("[timeouts]\nupstream_handshake = \"3s\"").await;
    let mut client = relay.connect().await;
    let since = Instant::now();
    // The kernel accepts for the origin, which has nothing to say.
    client.send(REQUEST).await;
    assert_504(&mut client, "upstream_handshake_timeout").await;
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    assert!(origin.try_accept().await.is_err(), "the relay gave this connection up");
    assert_serves(&mut client, &origin).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_is_504_after_the_limit_of_connecting() {
    let (_full, address, _waiting) = full_listener().await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"http://{address}/\"\n[timeouts]\nconnect = \"3s\""
    ))
    .await;
    let mut client = relay.connect().await;
    let since = Instant::now();
    client.send(REQUEST).await;
    assert_504(&mut client, "upstream_connect_timeout").await;
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
}

/// A listener whose queue is full, with the connection that fills it: Linux drops further SYNs.
async fn full_listener() -> (Socket, SocketAddr, TcpStream) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let waiting = within("the connection that fits", TcpStream::connect(address)).await.unwrap();
    (listener, address, waiting)
}

async fn assert_504(client: &mut Peer, code: &str) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
    assert!(!head.contains("Connection: close"), "{head}");
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
}

async fn assert_serves(client: &mut Peer, origin: &Origin) {
    client.send(REQUEST).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 204 No Content\r\n"), "{head}");
}
