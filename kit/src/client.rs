//! Connections as a client makes them.

use crate::certificates::client_config;
use crate::connection::connect_from;
use crate::http::field_value;
use crate::peer::{End, Peer};
use crate::within;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};

/// Connects without TLS.
pub async fn connect_plain(address: SocketAddr) -> Peer {
    Peer::new("client", connect(address).await.expect("a connection"))
}

/// As [`connect_plain`], from another address of this machine.
pub async fn connect_plain_from(source: [u8; 4], address: SocketAddr) -> Peer {
    let tcp = within("a connection", connect_from(source, address)).await;
    Peer::new("client", tcp.expect("a connection"))
}

/// Connects with TLS to the name `localhost`, trusting `certs/ca.pem`, offering `http/1.1`.
pub async fn connect_tls(address: SocketAddr) -> Peer {
    connect_tls_as("localhost", address).await.expect("the handshake of the client")
}

/// As [`connect_tls`] to another name, for tests in which the handshake may fail.
pub async fn connect_tls_as(name: &'static str, address: SocketAddr) -> io::Result<Peer> {
    connect_tls_with(&client_config(ALL_VERSIONS), name, address).await
}

/// As [`connect_tls_as`], with a configuration that keeps sessions for later connections.
pub async fn connect_tls_with(
    config: &Arc<ClientConfig>,
    name: &'static str,
    address: SocketAddr,
) -> io::Result<Peer> {
    let name = ServerName::try_from(name).unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let handshake = connector.connect(name, connect(address).await?);
    Ok(Peer::new("client", within("the handshake of the client", handshake).await?))
}

/// Asserts that a client over a limit of connections is refused.
pub async fn expect_turned_away(client: &mut Peer) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field_value(&head, "retry-after"), Some("1"));
    assert_eq!(field_value(&head, "connection"), Some("close"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("\"code\":\"too_many_connections\""), "{body}");
    client.expect_end(End::Clean).await;
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = within("a connection", TcpStream::connect(address)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
