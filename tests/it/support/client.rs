//! Connections as a client makes them.

use super::peer::{End, Peer, Wire, field_value};
use super::{certificate_file, within};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::{TlsConnector, TlsStream};

/// Connects without TLS.
pub async fn connect_plain(address: SocketAddr) -> Peer {
    Peer::new("client", Wire::Plain(connect(address).await.expect("a connection")))
}

/// Asserts that a client over a limit of connections is told so.
pub async fn expect_turned_away(client: &mut Peer) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field_value(&head, "retry-after"), Some("1"));
    assert_eq!(field_value(&head, "connection"), Some("close"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("\"code\":\"too_many_connections\""), "{body}");
    client.expect_end(End::Clean).await;
}

/// As [`connect_plain`], from another address of this machine: all of 127.0.0.0/8 are its own.
pub async fn connect_plain_from(source: [u8; 4], address: SocketAddr) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let tcp = within("a connection", socket.connect(address)).await.expect("a connection");
    Peer::new("client", Wire::Plain(tcp))
}

/// Connects with TLS to the name `localhost`, trusting `certs/ca.pem`, offering `http/1.1`.
pub async fn connect_tls(address: SocketAddr) -> Peer {
    connect_tls_as("localhost", address).await.expect("the handshake of the client")
}

/// As [`connect_tls`] to another name, for tests in which the handshake may fail.
pub async fn connect_tls_as(name: &'static str, address: SocketAddr) -> io::Result<Peer> {
    connect_tls_with(&tls_config(ALL_VERSIONS), name, address).await
}

/// As [`connect_tls_as`], with a configuration that remembers sessions from one to the next.
pub async fn connect_tls_with(
    config: &Arc<ClientConfig>,
    name: &'static str,
    address: SocketAddr,
) -> io::Result<Peer> {
    let name = ServerName::try_from(name).unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let handshake = connector.connect(name, connect(address).await?);
    let stream = within("the handshake of the client", handshake).await?;
    Ok(Peer::new("client", Wire::Tls(Box::new(TlsStream::Client(stream)))))
}

/// Trusts `certs/ca.pem`, offers `http/1.1`.
pub fn tls_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    Arc::new(tls_config_offering(versions, &["http/1.1"]))
}

/// As [`tls_config`], with another offer of protocols.
pub fn tls_config_offering(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate_file("ca.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = within("a connection", TcpStream::connect(address)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
