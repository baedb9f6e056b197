//! A TLS stream whose reads ask the socket before they ask TLS.
//!
//! Most polls of a relay find nothing, because each wake-up of a task polls both of its peers.
//! Through TLS such a poll takes some 500 instructions; the runtime's note of the socket's
//! readiness says the same in 130. Only the first poll of a read is spared in this way: later ones
//! would cost a bulk transfer more than they save, because each counts against the task's budget.

use crate::limits::TLS_BYTES_WITHOUT_CONTENT_MAX;
use crate::net::send_queue::SendQueue;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::{Stream, Transport};
use std::fmt::Debug;
use std::io::{self, IoSlice, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::rustls::CommonState;
use tokio_rustls::{client, server};

/// TLS over TCP, after its handshake, as server or as client.
#[derive(Debug)]
pub struct TlsStream<S> {
    /// An error that came with good bytes: returned once these have been read.
    failed: Option<io::Error>,
    side: S,
}

/// What the server's and the client's side of TLS have in common after the handshake.
pub trait Side: AsyncBufRead + AsyncWrite + Debug + Unpin {
    /// Whether the peer is the client of the handshake.
    const IS_WITH_CLIENT: bool;

    /// The socket below, and the state of TLS.
    fn parts(&self) -> (&MeteredTcp, &CommonState);

    /// The socket below.
    fn tcp_mut(&mut self) -> &mut MeteredTcp;

    /// The server name that the client asked for.
    fn asked_name(&self) -> Option<&str>;

    /// The certificate that the client has shown.
    fn client_certificate(&self) -> Option<&[u8]>;

    /// Reads what is already decrypted; 0 if there is nothing.
    fn read_decrypted(&mut self, into: &mut [u8]) -> usize;
}

impl<S: Side + 'static> From<S> for Transport {
    fn from(side: S) -> Self {
        Box::new(TlsStream { failed: None, side })
    }
}

impl<S: Side + 'static> Stream for TlsStream<S> {
    /// Reads as many of the records that are here as fit. There must be room for a byte. A client
    /// that sends too much of TLS without content fails.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!into.is_empty(), "no room is no end");
        if let Some(error) = self.failed.take() {
            return Poll::Ready(self.good_bytes_before(error, into));
        }
        let (tcp, tls) = self.side.parts();
        if tls.wants_read() {
            if tcp.is_exhausted() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            ready!(tcp.poll_readable(cx));
        }
        let mut filled = 0;
        while filled < into.len() && (filled == 0 || self.may_hold_more()) {
            match Pin::new(&mut self.side).poll_fill_buf(cx) {
                Poll::Ready(Ok([])) => return Poll::Ready(Ok(filled)),
                Poll::Ready(Ok(bytes)) => {
                    let len = bytes.len().min(into.len() - filled);
                    into[filled..filled + len].copy_from_slice(&bytes[..len]);
                    Pin::new(&mut self.side).consume(len);
                    self.side.tcp_mut().renew_limit(TLS_BYTES_WITHOUT_CONTENT_MAX);
                    filled += len;
                }
                Poll::Ready(Err(error)) if filled == 0 => {
                    return Poll::Ready(self.good_bytes_before(error, into));
                }
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Pending => break,
            }
        }
        if filled > 0 { Poll::Ready(Ok(filled)) } else { Poll::Pending }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.side).poll_write_vectored(cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.tcp_mut().reset_on_close(false);
        Pin::new(&mut self.side).poll_shutdown(cx)
    }

    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.tcp_mut().poll_hang_up(cx)
    }

    fn abort(&mut self) {
        if !S::IS_WITH_CLIENT {
            self.side.tcp_mut().abort();
        }
    }

    fn abort_unless_shut_down(&mut self) {
        self.side.tcp_mut().abort_unless_shut_down();
    }

    fn only_its_end_tells(&self) -> bool {
        self.socket().only_its_end_tells()
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_peek(cx, into, seen)
    }

    fn opened(&self) -> Instant {
        self.socket().opened()
    }

    fn written(&self) -> u64 {
        self.socket().written()
    }

    fn send_queue(&self) -> Option<SendQueue> {
        self.socket().send_queue()
    }

    fn is_broken(&self) -> bool {
        self.socket().is_broken()
    }

    fn tcp(&self) -> Option<&MeteredTcp> {
        Some(self.socket())
    }

    fn into_plain(self: Box<Self>) -> Result<Box<MeteredTcp>, Transport> {
        Err(self)
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn asked_name(&self) -> Option<&str> {
        self.side.asked_name()
    }

    fn client_certificate(&self) -> Option<&[u8]> {
        self.side.client_certificate()
    }
}

impl<S: Side> TlsStream<S> {
    fn socket(&self) -> &MeteredTcp {
        self.side.parts().0
    }

    /// The bytes that arrived in order before `error`, and once these are read, `error`: rustls
    /// reports a bad record before it gives out the good ones that came with it.
    fn good_bytes_before(&mut self, error: io::Error, into: &mut [u8]) -> io::Result<usize> {
        match self.side.read_decrypted(into) {
            0 => Err(error),
            len => {
                self.failed = Some(error);
                Ok(len)
            }
        }
    }

    /// Whether another read, right after one that found something, may find more.
    fn may_hold_more(&self) -> bool {
        let (tcp, tls) = self.side.parts();
        !(tcp.is_emptied() && tls.wants_read())
    }
}

impl Side for server::TlsStream<MeteredTcp> {
    const IS_WITH_CLIENT: bool = true;

    fn parts(&self) -> (&MeteredTcp, &CommonState) {
        let (tcp, session) = self.get_ref();
        (tcp, session)
    }

    fn tcp_mut(&mut self) -> &mut MeteredTcp {
        self.get_mut().0
    }

    fn asked_name(&self) -> Option<&str> {
        self.get_ref().1.server_name()
    }

    fn client_certificate(&self) -> Option<&[u8]> {
        self.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)
    }

    fn read_decrypted(&mut self, into: &mut [u8]) -> usize {
        self.get_mut().1.reader().read(into).unwrap_or(0)
    }
}

impl Side for client::TlsStream<MeteredTcp> {
    const IS_WITH_CLIENT: bool = false;

    fn parts(&self) -> (&MeteredTcp, &CommonState) {
        let (tcp, session) = self.get_ref();
        (tcp, session)
    }

    fn tcp_mut(&mut self) -> &mut MeteredTcp {
        self.get_mut().0
    }

    fn asked_name(&self) -> Option<&str> {
        None
    }

    fn client_certificate(&self) -> Option<&[u8]> {
        None
    }

    fn read_decrypted(&mut self, into: &mut [u8]) -> usize {
        self.get_mut().1.reader().read(into).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::alpn::Alpn;
    use crate::tls::certificates::Certificates;
    use crate::tls::client::ClientSide;
    use crate::tls::credential_file::{Chain, PrivateKey};
    use crate::tls::identity::Identity;
    use crate::tls::key_exchange::KeyExchange;
    use crate::tls::server::Greeted;
    use crate::tls::{client, server};
    use std::future::poll_fn;
    use std::io::ErrorKind;
    use std::path::Path;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    /// What TLS 1.3 adds to the content of a record.
    const FRAME: usize = 5 + 1 + 16;

    /// Both ends of a TLS connection: that of its client, which has read its session ticket, and
    /// that of its server.
    async fn pair() -> (Transport, Transport) {
        let (near, far) = concrete_pair().await;
        (Box::new(near), far)
    }

    async fn concrete_pair() -> (TlsStream<impl Side>, Transport) {
        let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
        let chain = Chain::read(&certs.join("server.pem")).unwrap();
        let key = PrivateKey::read(&certs.join("server.key")).unwrap();
        let identity = Identity::new(chain, key).unwrap();
        let certificates = Certificates::new(&[identity.into()], &[]).into();
        let server = server::config(certificates, None, Alpn::Http, None).unwrap();
        let roots = Chain::read(&certs.join("ca.pem")).unwrap();
        let client = client::config(ClientSide {
            ca: Some(&roots),
            identity: None,
            key_exchange: KeyExchange::default(),
            alpn: Alpn::Http,
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let far = MeteredTcp::new(listener.accept().await.unwrap().0);
        let name = ServerName::try_from("localhost").unwrap();
        let (near, far) = tokio::join!(
            TlsConnector::from(client).connect(name, MeteredTcp::new(near)),
            server::accept(&server, far, Alpn::Http, None)
        );
        let Ok(Greeted::Tls(far)) = far else { panic!("no TLS") };
        let mut near = TlsStream { failed: None, side: near.unwrap() };
        near.socket().arrived(1).await;
        assert!(poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut [0]))).await.is_pending());
        (near, far)
    }

    async fn arrived(at: &Transport, len: usize) {
        at.tcp().unwrap().arrived(len).await;
    }

    /// Writes past TLS.
    fn write_raw(to: &Transport, bytes: &[u8]) {
        assert_eq!(to.tcp().unwrap().socket().try_write(bytes).unwrap(), bytes.len());
    }

    async fn write(to: &mut Transport, bytes: &[u8]) {
        let len = poll_fn(|cx| to.poll_write(cx, &[IoSlice::new(bytes)])).await.unwrap();
        assert_eq!(len, bytes.len());
        poll_fn(|cx| to.poll_flush(cx)).await.unwrap();
    }

    async fn read(from: &mut Transport, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| from.poll_read(cx, into)).await
    }

    #[tokio::test]
    async fn records_that_came_together_are_read_together_and_cut_where_the_room_ends() {
        let (mut near, mut far) = pair().await;
        for word in ["hello ", "w", "orld"] {
            write(&mut far, word.as_bytes()).await;
        }
        arrived(&near, 11 + 3 * FRAME).await;
        let mut into = [0; 64];
        assert_eq!(read(&mut near, &mut into[..8]).await.unwrap(), 8);
        assert_eq!(read(&mut near, &mut into[8..]).await.unwrap(), 3);
        assert_eq!(&into[..11], b"hello world");
        let silence = poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut into))).await;
        assert!(silence.is_pending());
    }

    #[tokio::test]
    async fn a_read_that_found_nothing_wakes_when_something_comes() {
        let (mut near, mut far) = pair().await;
        let mut into = [0; 64];
        let (len, ()) = tokio::join!(read(&mut near, &mut into), write(&mut far, b"late"));
        assert_eq!(&into[..len.unwrap()], b"late");
    }

    /// A read of a whole scratch buffer is many of rustls's.
    #[tokio::test]
    async fn only_tls_without_content_is_limited() {
        let (mut near, mut far) = pair().await;
        let content = vec![b'x'; 48 * 1024];
        write(&mut near, &content).await;
        arrived(&far, content.len()).await;
        let (mut got, mut into) = (0, vec![0; 64 * 1024]);
        while got < content.len() {
            got += read(&mut far, &mut into).await.unwrap();
        }
    }

    #[tokio::test]
    async fn close_notify_is_an_end_and_a_fin_alone_is_none() {
        for is_proper in [true, false] {
            let (mut near, mut far) = pair().await;
            write(&mut far, b"bytes").await;
            if is_proper {
                poll_fn(|cx| far.poll_shutdown(cx)).await.unwrap();
            }
            drop(far);
            let mut into = [0; 64];
            assert_eq!(read(&mut near, &mut into).await.unwrap(), 5);
            for _ in 0..2 {
                let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
                assert_eq!(end, if is_proper { Ok(0) } else { Err(ErrorKind::UnexpectedEof) });
            }
        }
    }

    /// A good record and nonsense after it, in one read of TLS.
    #[tokio::test]
    async fn what_is_wrong_in_the_same_read_as_good_bytes_is_reported_after_them() {
        let (mut near, mut far) = pair().await;
        write(&mut far, b"good").await;
        let nonsense = b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse";
        write_raw(&far, nonsense);
        arrived(&near, 4 + FRAME + nonsense.len()).await;
        let mut into = [0; 3];
        assert_eq!(read(&mut near, &mut into).await.unwrap(), 3);
        assert_eq!(read(&mut near, &mut into).await.unwrap(), 1);
        let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::InvalidData));
    }

    /// rustls reads 4,096 bytes at a time: this record ends where the second read does, so that the
    /// nonsense after it is found in the same poll, but not in the same read.
    #[tokio::test]
    async fn what_is_wrong_after_good_bytes_is_reported_after_them() {
        let (mut near, mut far) = concrete_pair().await;
        let good = vec![b'x'; 2 * 4096 - FRAME];
        write(&mut far, &good).await;
        write_raw(&far, b"nonsense");
        near.socket().arrived(2 * 4096 + b"nonsense".len()).await;
        let mut into = vec![0; 4 * 4096];
        assert_eq!(poll_fn(|cx| near.poll_read(cx, &mut into)).await.unwrap(), good.len());
        assert!(near.failed.is_some(), "it was found");
        let end = poll_fn(|cx| near.poll_read(cx, &mut into)).await.map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::InvalidData));
    }

    /// More than `TLS_BYTES_WITHOUT_CONTENT_MAX`, but all of it is content.
    #[tokio::test]
    async fn a_client_may_send_as_much_content_at_once_as_it_likes() {
        let (mut near, mut far) = pair().await;
        let sent = vec![b'x'; 4 * 12_000];
        for part in sent.chunks(12_000) {
            write(&mut near, part).await;
        }
        arrived(&far, sent.len() + 4 * FRAME).await;
        let mut into = vec![0; 64 * 1024];
        let mut got = 0;
        while got < sent.len() {
            got += read(&mut far, &mut into[got..]).await.unwrap();
        }
        assert!(into[..got] == sent);
    }
}
