//! The server at the far end: a listener that gives out raw connections.

use crate::certificates::{acceptor, acceptor_for_certified_clients, acceptor_with_suite, roots};
use crate::issuer::{self, Issuer};
use crate::peer::{Peer, ROUNDS};
use crate::within;
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{ALL_VERSIONS, SupportedCipherSuite};

/// A server on a loopback address that answers nothing by itself.
pub struct Origin {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Origin {
    /// HTTP without TLS.
    pub async fn plain() -> Self {
        Self::new(None).await
    }

    /// HTTPS as `localhost` and `api.openai.test`, by a certificate of `certs/ca.pem`.
    pub async fn tls() -> Self {
        Self::tls_with("server").await
    }

    /// HTTPS with `certs/{name}.pem` and its key: `server`, `expired`, `wrong-name`, `foreign`.
    pub async fn tls_with(name: &str) -> Self {
        Self::new(Some(acceptor(name, ALL_VERSIONS))).await
    }

    /// As [`Origin::tls`], with TLS 1.2 alone.
    pub async fn tls12() -> Self {
        Self::new(Some(acceptor("server", &[&TLS12]))).await
    }

    /// As [`Origin::tls`], with one cipher suite alone.
    pub async fn tls_with_suite(suite: SupportedCipherSuite) -> Self {
        Self::new(Some(acceptor_with_suite("server", suite))).await
    }

    /// As [`Origin::tls`], with TLS 1.3, for clients that present a certificate of `certs/ca.pem`.
    pub async fn tls_for_certified_clients() -> Self {
        Self::new(Some(acceptor_for_certified_clients("server", roots("ca.pem")))).await
    }

    /// The same for clients of this issuer.
    pub async fn tls_for_clients_of(issuer: &Issuer) -> Self {
        let roots = issuer::roots(&[issuer.root()]);
        Self::new(Some(acceptor_for_certified_clients("server", roots))).await
    }

    /// An address at which no one listens, and no one else can, until [`Origin::wake_up`].
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
        self.tls = Some(acceptor(name, ALL_VERSIONS));
    }

    /// The same, at a loopback address to which hardly anything was ever sent. The kernel keeps, by
    /// address, what it learned of earlier connections, such as how much may be under way
    /// (`ip tcp_metrics`), and begins the next one with that.
    pub async fn at_a_new_address(self) -> Self {
        let [a, b, c, ..] = RandomState::new().hash_one(0).to_ne_bytes();
        let address = Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254));
        Self { listener: TcpListener::bind((address, 0)).await.unwrap(), ..self }
    }

    /// The same, with receive buffers so small that what it does not read is not acknowledged.
    pub fn with_small_windows(self) -> Self {
        SockRef::from(&self.listener).set_recv_buffer_size(4096).unwrap();
        self
    }

    /// The same, with segments so small as well that the peer's kernel holds little for it: what
    /// it does not read soon blocks the sender, if its [address is new](Self::at_a_new_address).
    pub fn with_narrow_connections(self) -> Self {
        SockRef::from(&self.listener).set_tcp_mss(536).unwrap();
        self.with_small_windows()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Whether it speaks HTTPS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The next connection, its handshake done.
    pub async fn accept(&self) -> Peer {
        self.try_accept().await.expect("the handshake at the origin")
    }

    /// As [`accept`](Self::accept), for tests in which the other side may abandon the handshake.
    pub async fn try_accept(&self) -> io::Result<Peer> {
        let (tcp, _) = within("a connection at the origin", self.listener.accept()).await?;
        tcp.set_nodelay(true)?;
        let Some(acceptor) = &self.tls else { return Ok(Peer::new("origin", tcp)) };
        let tls = within("the handshake at the origin", acceptor.accept(tcp)).await?;
        Ok(Peer::new("origin", tls))
    }

    /// The next connection, before any handshake: bytes below TLS.
    pub async fn accept_tcp(&self) -> Peer {
        let accepted = within("a connection at the origin", self.listener.accept()).await;
        Peer::new("origin", accepted.unwrap().0)
    }

    /// Asserts that no one has connected. As with [`Peer::assert_silent`], what another process is
    /// about to do is not seen.
    pub async fn assert_untouched(&self) {
        for _ in 0..ROUNDS {
            yield_now().await;
        }
        let mut accepting = pin!(self.listener.accept());
        let accepted = poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
        assert!(accepted.is_pending(), "someone connected to the origin");
    }

    async fn new(tls: Option<TlsAcceptor>) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls }
    }
}
