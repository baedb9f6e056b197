//! The far end of a connection in memory, with TLS or without. The peers of the relay use rustls's
//! buffered API, which is not the relay's.

use crate::net::memory::{End, MemoryStream};
use crate::net::records::Side;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::Transport;
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::client::{self, ClientSide};
use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::identity::Identity;
use crate::tls::key_exchange::KeyExchange;
use crate::tls::server;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker, ready};
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
};

/// Steps of a handshake through the narrowest pipe.
const HANDSHAKE_STEPS_MAX: usize = 20_000;

static CONFIGS: LazyLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = LazyLock::new(configs);

/// The end of a peer.
pub(super) struct FarEnd {
    stream: MemoryStream,
    tls: Option<FarTls>,
}

struct FarTls {
    session: Connection,
    /// Records that do not fit into the pipe yet.
    due: Vec<u8>,
    is_closing: bool,
}

impl FarEnd {
    /// Without TLS.
    pub(super) fn plain(stream: MemoryStream) -> Self {
        Self { stream, tls: None }
    }

    /// A client of the relay, and the relay's end, after their handshake.
    pub(super) fn tls_client(near: MemoryStream, far: MemoryStream) -> (Transport, Self) {
        let session = ClientConnection::new(our_client(), name()).expect("a client");
        Self::tls(near, far, session.into())
    }

    /// An upstream of the relay, and the relay's end, after their handshake.
    pub(super) fn tls_upstream(near: MemoryStream, far: MemoryStream) -> (Transport, Self) {
        let session = ServerConnection::new(our_server()).expect("a server");
        Self::tls(near, far, session.into())
    }

    /// Any peer of the relay, and the relay's end, after their handshake.
    pub(super) fn tls(
        near: MemoryStream,
        far: MemoryStream,
        session: Connection,
    ) -> (Transport, Self) {
        if let Connection::Client(_) = session {
            let side = UnbufferedServerConnection::new(our_server());
            return shake_hands(side.expect("a server"), near, far, session);
        }
        Self::tls_of(our_client(), near, far, session)
    }

    /// A server, and the end of a client of ours with this configuration.
    pub(super) fn tls_of(
        client: Arc<ClientConfig>,
        near: MemoryStream,
        far: MemoryStream,
        session: Connection,
    ) -> (Transport, Self) {
        let side = UnbufferedClientConnection::new(client, name());
        shake_hands(side.expect("a client"), near, far, session)
    }

    /// Takes in all that the relay has sent, such as the end of its handshake.
    pub(super) fn take_in(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let tls = self.tls.as_mut().expect("it has TLS");
        while tls.poll_take_in(cx, &mut self.stream).map(|taken| taken.expect("TLS")).is_ready() {}
        let _ = tls.poll_flush(cx, &mut self.stream).map(|flushed| flushed.expect("memory"));
    }

    /// The pipe, and the TLS in it.
    pub(super) fn into_parts(self) -> (MemoryStream, Option<Connection>) {
        (self.stream, self.tls.map(|tls| tls.session))
    }

    /// Writes some of `bytes`, as one write and one record.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else {
            return self.stream.poll_write(cx, &[IoSlice::new(bytes)]);
        };
        ready!(tls.poll_flush(cx, &mut self.stream))?;
        let len = tls.session.writer().write(bytes)?;
        // What does not fit leaves before the next write.
        let _ = tls.poll_flush(cx, &mut self.stream)?;
        Poll::Ready(Ok(len))
    }

    /// Moves records that did not fit into the pipe before.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        if let Some(tls) = &mut self.tls {
            // An error: the relay is gone.
            let _ = tls.poll_flush(cx, &mut self.stream);
        }
    }

    /// Reads what the relay has sent. With TLS, 0 comes with close_notify.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else { return self.stream.poll_read(cx, into) };
        loop {
            match tls.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            ready!(tls.poll_take_in(cx, &mut self.stream))?;
        }
    }

    /// Ends the peer's direction, once all that it has sent is in the pipe.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<()> {
        let Some(tls) = &mut self.tls else {
            self.stream.end(end);
            return Poll::Ready(());
        };
        if end == End::Clean && !tls.is_closing {
            tls.is_closing = true;
            tls.session.send_close_notify();
        }
        // An error: the relay is gone.
        let _ = ready!(tls.poll_flush(cx, &mut self.stream));
        self.stream.end(End::Clean);
        Poll::Ready(())
    }

    /// Ends both directions.
    pub(super) fn reset(&mut self) {
        self.stream.reset();
    }
}

impl FarTls {
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut MemoryStream,
    ) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.due).expect("memory");
        }
        while !self.due.is_empty() {
            let len = ready!(stream.poll_write(cx, &[IoSlice::new(&self.due)]))?;
            self.due.drain(..len);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the pipe once.
    fn poll_take_in(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut MemoryStream,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let len = ready!(stream.poll_read(cx, &mut bytes))?;
        if len == 0 {
            // Without close_notify, which would have ended the reading.
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        let mut arrived = &bytes[..len];
        while !arrived.is_empty() {
            self.session.read_tls(&mut arrived)?;
            self.session.process_new_packets().expect("the relay speaks TLS");
        }
        // The answer to a key update, or a message of the handshake.
        self.poll_flush(cx, stream).map_ok(|()| ())
    }
}

fn shake_hands<S: Side>(
    side: S,
    near: MemoryStream,
    far: MemoryStream,
    session: Connection,
) -> (Transport, FarEnd) {
    let mut far =
        FarEnd { stream: far, tls: Some(FarTls { session, due: Vec::new(), is_closing: false }) };
    let mut shaking = pin!(TlsStream::shake_hands(side, near));
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..HANDSHAKE_STEPS_MAX {
        if let Poll::Ready(shaken) = shaking.as_mut().poll(cx) {
            let stream = shaken.map_err(|(error, _)| error).expect("a handshake");
            return (stream.into(), far);
        }
        let tls = far.tls.as_mut().expect("it has TLS");
        let _ = tls.poll_flush(cx, &mut far.stream).map(|flushed| flushed.expect("memory"));
        let _ = tls.poll_take_in(cx, &mut far.stream).map(|taken| taken.expect("memory"));
    }
    panic!("the handshake does not end");
}

/// The relay's configuration for clients.
pub(super) fn our_server() -> Arc<ServerConfig> {
    Arc::clone(&CONFIGS.0)
}

/// The relay's configuration for upstreams.
pub(super) fn our_client() -> Arc<ClientConfig> {
    Arc::clone(&CONFIGS.1)
}

/// What both sides call the server.
pub(super) fn name() -> ServerName<'static> {
    "localhost".try_into().expect("a name")
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let chain = Chain::read(&file("server.pem")).expect("a chain");
    let key = PrivateKey::read(&file("server.key")).expect("a key");
    let identity = Identity::new(chain, key).expect("an identity");
    let certificates = Certificates::new(&[identity.into()], &[]).into();
    let server = server::config(certificates, None, Alpn::Http, None).expect("a configuration");
    let roots = Chain::read(&file("ca.pem")).expect("roots");
    let client = client::config(ClientSide {
        ca: Some(&roots),
        identity: None,
        key_exchange: KeyExchange::Classic,
        alpn: Alpn::Http,
    });
    (server, client.expect("a configuration"))
}

/// A file of `certs/`.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}
