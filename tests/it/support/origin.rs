//! The server at the far end: a listener that hands out raw connections.

use super::peer::{Peer, Wire};
use super::{certificate_file, within};
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{WantsServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use tokio_rustls::{TlsAcceptor, TlsStream};

/// A server on 127.0.0.1 that answers nothing by itself.
pub struct Origin {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Origin {
    /// HTTPS as `localhost` and `api.openai.test`, by a certificate of `certs/ca.pem`.
    pub async fn tls() -> Self {
        Self::tls_with("server").await
    }

    /// HTTPS with `certs/{name}.pem` and its key: `server`, `expired`, `wrong-name`, `foreign`.
    pub async fn tls_with(name: &str) -> Self {
        Self { listener: listen().await, tls: Some(tls_acceptor(name, ALL_VERSIONS)) }
    }

    /// As [`Origin::tls`], but of TLS 1.2.
    pub async fn tls12() -> Self {
        let tls = Some(tls_acceptor("server", &[&TLS12]));
        Self { listener: listen().await, tls }
    }

    /// As [`Origin::tls`], but of TLS 1.3, for clients that show a certificate of `certs/ca.pem`.
    pub async fn tls_for_certified_clients() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate_file("ca.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = ServerConfig::builder_with_protocol_versions(&[&TLS13])
            .with_client_cert_verifier(verifier);
        Self { listener: listen().await, tls: Some(acceptor(config, "server")) }
    }

    /// An address at which nobody listens, and nobody else can, until [`Origin::wake_up`].
    pub fn asleep() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { listener: TcpListener::from_std(socket.into()).unwrap(), tls: None }
    }

    /// Begins to listen.
    pub fn wake_up(&self) {
        SockRef::from(&self.listener).listen(16).unwrap();
    }

    /// Presents another certificate from now on.
    pub fn present(&mut self, name: &str) {
        self.tls = Some(tls_acceptor(name, ALL_VERSIONS));
    }

    /// HTTP without TLS.
    pub async fn plain() -> Self {
        Self { listener: listen().await, tls: None }
    }

    /// The same, with receive buffers so small that what it does not read is not acknowledged.
    pub fn with_small_windows(self) -> Self {
        SockRef::from(&self.listener).set_recv_buffer_size(4096).unwrap();
        self
    }

    /// The same, with segments so small as well that the peer's kernel holds little for it: what
    /// it does not read is soon not taken either.
    pub fn with_narrow_connections(self) -> Self {
        SockRef::from(&self.listener).set_tcp_mss(536).unwrap();
        self.with_small_windows()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The next connection, its handshake done.
    pub async fn accept(&self) -> Peer {
        self.try_accept().await.expect("the handshake at the origin")
    }

    /// As `accept`, for tests in which the other side gives up during the handshake.
    pub async fn try_accept(&self) -> io::Result<Peer> {
        let (tcp, _) = within("a connection at the origin", self.listener.accept()).await?;
        tcp.set_nodelay(true)?;
        let wire = match &self.tls {
            None => Wire::Plain(tcp),
            Some(acceptor) => {
                let stream = within("the handshake at the origin", acceptor.accept(tcp)).await?;
                Wire::Tls(Box::new(TlsStream::Server(stream)))
            }
        };
        Ok(Peer::new("origin", wire))
    }

    /// The next connection, before any handshake: bytes below TLS.
    pub async fn accept_tcp(&self) -> Peer {
        let accepted = within("a connection at the origin", self.listener.accept()).await;
        Peer::new("origin", Wire::Plain(accepted.unwrap().0))
    }

    /// Asserts that nobody has connected. As with [`Peer::assert_silent`], what another process is
    /// about to do is not seen.
    pub async fn assert_untouched(&self) {
        for _ in 0..super::peer::ROUNDS {
            tokio::task::yield_now().await;
        }
        let accepted = polled_once(self.listener.accept()).await;
        assert!(accepted.is_none(), "somebody connected to the origin");
    }
}

/// Of a server with `certs/{name}.pem`.
pub fn tls_acceptor(name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    acceptor(ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth(), name)
}

fn acceptor(config: ConfigBuilder<ServerConfig, WantsServerCert>, name: &str) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(certificate_file(&format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(certificate_file(&format!("{name}.key")));
    let mut config = config.with_single_cert(vec![chain.unwrap()], key.unwrap()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Polls `step` once.
async fn polled_once<T>(step: impl Future<Output = T>) -> Option<T> {
    let mut step = std::pin::pin!(step);
    std::future::poll_fn(|context| match step.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
