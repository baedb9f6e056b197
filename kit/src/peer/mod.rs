//! One end of a connection in a test: what it sends, and how it leaves.
//!
//! A failure is a panic that names the peer and what it waited for. What it reads is in `read`.

mod leave;
mod read;

pub use leave::Leave;
pub use read::Reader;

use crate::connection::Connection;
use crate::wire::Wire;
use crate::within;
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

/// Turns of the runtime that a test grants to everyone else before it believes in silence. Each
/// polls the kernel, and a byte needs a few on its way through both TLS sessions of a relay in this
/// process.
pub const ROUNDS: usize = 64;

/// One end of a connection.
pub struct Peer {
    /// `client` or `origin`, for messages.
    role: &'static str,
    connection: Connection,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN; over TLS, `close_notify`.
    Clean,
    /// FIN without `close_notify`, over TLS: someone may have cut it.
    Truncated,
    /// A fatal alert of TLS.
    Alert,
    /// RST.
    Reset,
}

impl Peer {
    /// A peer called `client` or `origin`.
    pub fn new(role: &'static str, wire: impl Into<Wire>) -> Self {
        Self { role, connection: Connection::new(wire) }
    }

    /// The protocol agreed on by ALPN, if any.
    pub fn alpn(&self) -> Option<String> {
        let name = self.wire().tls()?.get_ref().1.alpn_protocol()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// The group of the key exchange, in the words of RFC 8446.
    pub fn group(&self) -> Option<NamedGroup> {
        self.wire().tls()?.get_ref().1.negotiated_key_exchange_group().map(|it| it.name())
    }

    /// Whether TLS resumed a session instead of a full handshake.
    pub fn is_resumed(&self) -> bool {
        let kind = self.wire().tls().and_then(|tls| tls.get_ref().1.handshake_kind());
        kind == Some(HandshakeKind::Resumed)
    }

    /// The version of TLS, if there is any.
    pub fn tls_version(&self) -> Option<ProtocolVersion> {
        self.wire().tls()?.get_ref().1.protocol_version()
    }

    /// The certificate that the other side has shown, if any.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        let shown = self.wire().tls()?.get_ref().1.peer_certificates()?.first()?;
        Some(shown.clone().into_owned())
    }

    /// At an origin: the name that the other side asked for by SNI, if any.
    pub fn server_name(&self) -> Option<String> {
        let TlsStream::Server(tls) = self.wire().tls()? else { return None };
        tls.get_ref().1.server_name().map(str::to_owned)
    }

    /// The port of our end.
    pub fn local_port(&self) -> u16 {
        self.wire().tcp().local_addr().expect("an address").port()
    }

    /// Sends all of `bytes`, in one write if the kernel takes them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.try_send(bytes.as_ref()).await;
        sent.expect("the other side takes our bytes");
    }

    /// As [`send`](Self::send), for a peer that may be gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let what = format!("the {}'s bytes to be taken", self.role);
        within(&what, self.connection.send(bytes.as_ref())).await
    }

    /// Sends what is taken at once; gives how much that was.
    pub async fn send_now(&mut self, bytes: &[u8]) -> usize {
        poll_fn(|cx| match Pin::new(&mut self.connection.wire).poll_write(cx, bytes) {
            Poll::Ready(taken) => Poll::Ready(taken.expect("the other side is there")),
            Poll::Pending => Poll::Ready(0),
        })
        .await
    }

    /// Sends a byte of `bytes` each time `gap` has passed, until something comes back.
    pub async fn trickle(&mut self, bytes: &[u8], gap: Duration) {
        for byte in bytes {
            if self.try_send([*byte]).await.is_err() || !self.is_silent_for(gap).await {
                return;
            }
        }
    }

    /// Sends a byte as TCP's urgent data.
    pub fn send_urgent(&mut self, byte: u8) {
        assert_eq!(self.connection.socket().send_out_of_band(&[byte]).unwrap(), 1);
    }

    /// Sends bytes that bypass TLS.
    pub async fn send_below_tls(&mut self, bytes: &[u8]) {
        let sent = self.connection.wire.tcp_mut().write_all(bytes);
        within("raw bytes to be taken", sent).await.expect("the other side takes our bytes");
    }

    /// Changes the keys of our direction, and asks for the same of the other one: TLS 1.3.
    pub async fn update_keys(&mut self) {
        let tls = self.connection.wire.tls_mut().expect("TLS");
        match tls {
            TlsStream::Client(tls) => tls.get_mut().1.refresh_traffic_keys(),
            TlsStream::Server(tls) => tls.get_mut().1.refresh_traffic_keys(),
        }
        .expect("TLS 1.3");
        self.send([]).await;
    }

    /// Ends our direction in order (`close_notify`, FIN) and reads on.
    pub async fn half_close(&mut self) {
        let closed = within("our half-close", self.connection.wire.shutdown()).await;
        closed.expect("our half-close");
    }

    /// As [`half_close`](Self::half_close), for a peer that may be gone.
    pub async fn try_half_close(&mut self) {
        let _gone = within("our half-close", self.connection.wire.shutdown()).await;
    }

    /// Closes in order: `close_notify` and FIN.
    pub async fn close(mut self) {
        self.half_close().await;
        self.drain();
    }

    /// Closes by FIN alone, which over TLS is a truncation. The same as `close` without TLS.
    pub fn close_without_notify(self) {
        self.drain();
    }

    /// Closes by RST.
    pub fn reset(self) {
        self.connection.reset_on_drop().unwrap();
    }

    /// Discards what has arrived: the kernel turns a close with unread bytes into a reset.
    fn drain(&self) {
        let mut bytes = [0; 4096];
        while self.wire().tcp().try_read(&mut bytes).is_ok_and(|count| count > 0) {}
    }

    /// Whether neither a byte nor an end comes for this long; below TLS, if there is any.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.wire().tcp().peek(&mut [0])).await.is_err()
    }

    /// Whether bytes have arrived that were not read yet; below TLS, if there is any.
    pub fn has_bytes(&self) -> bool {
        !self.connection.received.bytes.is_empty()
            || SockRef::from(self.wire().tcp()).peek(&mut [MaybeUninit::uninit()]).is_ok()
    }

    fn wire(&self) -> &Wire {
        &self.connection.wire
    }
}
