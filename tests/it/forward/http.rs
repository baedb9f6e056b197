//! Tcp mode in front of the relay of HTTP: one port for both.

use crate::support::passage::{Pair, forward, listener};
use crate::support::stage::expect_ok;
use narrows_kit::certificates::{client_config_offering, listener_keys};
use narrows_kit::client::{connect_plain, connect_tls, connect_tls_as, connect_tls_with};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_rustls::rustls::ALL_VERSIONS;

#[tokio::test]
async fn one_port_serves_http_for_one_name_and_forwards_the_others() {
    let (api, other) = (Origin::plain().await, Origin::tls_with("wrong-name").await);
    let (_held, address) = reserved_port();
    let listeners = format!(
        "[[listener]]\naddress = \"{address}\"\nmode = \"tcp\"\n\
         [[listener]]\naddress = \"{address}\"\n{}",
        listener_keys()
    );
    let route = format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n", api.address());
    let http = "[[forward]]\nserver_name = \"localhost\"\nupstream = \"http\"\n";
    let rest = forward("*", Pair::Through, other.address());
    let relay = Relay::start(&format!("{listeners}{route}{http}{rest}")).await;
    assert_eq!(relay.addresses(), [address]);

    let mut client = connect_tls(address).await;
    assert_eq!(client.alpn().as_deref(), Some("http/1.1"));
    expect_ok(&mut client, &api).await;
    let line = relay.wait_for_log("exchange").await;
    assert!(line.contains("route=\"/gpt/\"") && line.contains("status=200"), "{line}");

    let (client, upstream) =
        tokio::join!(connect_tls_as("wrong-name.test", address), other.accept());
    let (mut client, mut upstream) = (client.unwrap(), upstream);
    upstream.send("hello").await;
    assert_eq!(client.read_exactly(5).await, b"hello");

    let h2 = Arc::new(client_config_offering(ALL_VERSIONS, &["h2"]));
    let refused = connect_tls_with(&h2, "localhost", address).await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn tls_terminated_by_a_tcp_listener_may_lead_to_a_plain_http_listener() {
    let origin = Origin::plain().await;
    let http = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let forward = "[[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n";
    let route =
        format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n", origin.address());
    let relay = Relay::start(&format!("{}{http}{forward}{route}", listener(true))).await;
    assert_eq!(relay.addresses().len(), 2);
    let mut by_tls = connect_tls(relay.address()).await;
    let mut plain = connect_plain(relay.addresses()[1]).await;
    for client in [&mut by_tls, &mut plain] {
        expect_ok(client, &origin).await;
    }
}

#[tokio::test]
async fn alpn_is_http_1_1_even_where_a_tcp_listener_terminates_the_tls_of_http() {
    let (origin, other) = (Origin::plain().await, Origin::plain().await);
    let toml = format!(
        "{}[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n\
         [[forward]]\nserver_name = \"localhost\"\nupstream = \"http\"\n{}",
        listener(true),
        origin.address(),
        forward("*", Pair::TlsToTcp, other.address())
    );
    let relay = Relay::start(&toml).await;
    let offering = |protocols: &[&str]| Arc::new(client_config_offering(ALL_VERSIONS, protocols));
    let both = offering(&["h2", "http/1.1"]);
    let mut client = connect_tls_with(&both, "localhost", relay.address()).await.unwrap();
    assert_eq!(client.alpn().as_deref(), Some("http/1.1"));
    expect_ok(&mut client, &origin).await;

    let h2 = offering(&["h2"]);
    let refused = connect_tls_with(&h2, "localhost", relay.address()).await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    let line = relay.wait_for_log("cause=\"client_tls_failed\"").await;
    assert!(line.contains("forward=\"localhost\""), "{line}");

    // What others speak is not ours to know.
    let mut client = connect_tls_with(&h2, "api.openai.test", relay.address()).await.unwrap();
    assert_eq!(client.alpn(), None);
    client.send("hello").await;
    assert_eq!(other.accept().await.read_exactly(5).await, b"hello");
}

/// A port that is ours, and that a listener with `SO_REUSEADDR` can have all the same, because we
/// do not listen.
fn reserved_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
