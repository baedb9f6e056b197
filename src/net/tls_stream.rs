//! A TLS stream, whose reads ask the socket before they ask TLS.
//!
//! Most reads of a relay find nothing: each turn of a task looks at both of its peers. Through TLS
//! such a look takes some 500 instructions, and the runtime's note on the socket says the same in
//! 130. Only the first look of a read is spared: those behind it cost a bulk transfer more than
//! they save, because each counts against the task's budget.

use crate::limits::TLS_BYTES_WITHOUT_CONTENT_MAX;
use crate::net::tcp::MeteredTcp;
use std::fmt::Debug;
use std::io::{self, IoSlice, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_rustls::rustls::CommonState;
use tokio_rustls::{client, server};

/// TLS over TCP, behind its handshake, on either side of it.
#[derive(Debug)]
pub struct TlsStream<S: ?Sized = dyn Session> {
    /// What went wrong behind bytes that a read gave out first.
    failed: Option<io::Error>,
    session: S,
}

/// What the two sides of a handshake have in common behind it. The larger one is no measure for
/// the memory of the other.
pub trait Session: AsyncBufRead + AsyncWrite + Debug + Unpin {
    /// What carries it, and how far TLS is.
    fn parts(&self) -> (&MeteredTcp, &CommonState);

    /// What carries it.
    fn tcp_mut(&mut self) -> &mut MeteredTcp;

    /// Whether the peer is the client of the handshake.
    fn is_with_client(&self) -> bool;

    /// The name that a client asked for.
    fn asked_name(&self) -> Option<&str>;

    /// Reads what was decrypted already; 0 when there is nothing.
    fn read_decrypted(&mut self, into: &mut [u8]) -> usize;
}

impl<S: Session> TlsStream<S> {
    /// The stream of either side of a handshake.
    pub fn new(session: S) -> Self {
        Self { failed: None, session }
    }
}

impl TlsStream {
    /// Whether the peer is the client of the handshake.
    pub fn is_with_client(&self) -> bool {
        self.session.is_with_client()
    }

    /// The name that a client asked for.
    pub fn asked_name(&self) -> Option<&str> {
        self.session.asked_name()
    }

    /// What carries it.
    pub fn tcp(&self) -> &MeteredTcp {
        self.session.parts().0
    }

    /// What carries it.
    pub fn tcp_mut(&mut self) -> &mut MeteredTcp {
        self.session.tcp_mut()
    }

    /// Reads what is there, records together as far as they fit. 0 is close_notify. There must be
    /// room for a byte. A client that says too much of TLS without content fails.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` when TLS ends without close_notify.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!into.is_empty(), "no room is no end");
        if let Some(error) = self.failed.take() {
            return Poll::Ready(self.rest(into, error));
        }
        let (tcp, tls) = self.session.parts();
        if tls.wants_read() {
            if tcp.is_exhausted() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            ready!(tcp.poll_readable(cx));
        }
        let mut filled = 0;
        while filled < into.len() && (filled == 0 || self.may_hold_more()) {
            match Pin::new(&mut self.session).poll_fill_buf(cx) {
                Poll::Ready(Ok([])) => return Poll::Ready(Ok(filled)),
                Poll::Ready(Ok(bytes)) => {
                    let len = bytes.len().min(into.len() - filled);
                    into[filled..filled + len].copy_from_slice(&bytes[..len]);
                    Pin::new(&mut self.session).consume(len);
                    self.tcp_mut().renew_limit(TLS_BYTES_WITHOUT_CONTENT_MAX);
                    filled += len;
                }
                Poll::Ready(Err(error)) if filled == 0 => {
                    return Poll::Ready(self.rest(into, error));
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

    /// What came in order before `error` did, and when that is read, the error: TLS tells of a bad
    /// record without having given out the good ones that came with it.
    fn rest(&mut self, into: &mut [u8], error: io::Error) -> io::Result<usize> {
        match self.session.read_decrypted(into) {
            0 => Err(error),
            len => {
                self.failed = Some(error);
                Ok(len)
            }
        }
    }

    /// Whether another read, right behind one that found something, may do so, too.
    fn may_hold_more(&self) -> bool {
        let (tcp, tls) = self.session.parts();
        !(tcp.is_emptied() && tls.wants_read())
    }

    /// Encrypts and writes some of `slices`.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.session).poll_write_vectored(cx, slices)
    }

    /// Moves what was encrypted but not yet handed to the socket.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_flush(cx)
    }

    /// Sends close_notify and then FIN.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_shutdown(cx)
    }
}

impl Session for server::TlsStream<MeteredTcp> {
    fn parts(&self) -> (&MeteredTcp, &CommonState) {
        let (tcp, session) = self.get_ref();
        (tcp, session)
    }

    fn tcp_mut(&mut self) -> &mut MeteredTcp {
        self.get_mut().0
    }

    fn is_with_client(&self) -> bool {
        true
    }

    fn asked_name(&self) -> Option<&str> {
        self.get_ref().1.server_name()
    }

    fn read_decrypted(&mut self, into: &mut [u8]) -> usize {
        self.get_mut().1.reader().read(into).unwrap_or(0)
    }
}

impl Session for client::TlsStream<MeteredTcp> {
    fn parts(&self) -> (&MeteredTcp, &CommonState) {
        let (tcp, session) = self.get_ref();
        (tcp, session)
    }

    fn tcp_mut(&mut self) -> &mut MeteredTcp {
        self.get_mut().0
    }

    fn is_with_client(&self) -> bool {
        false
    }

    fn asked_name(&self) -> Option<&str> {
        None
    }

    fn read_decrypted(&mut self, into: &mut [u8]) -> usize {
        self.get_mut().1.reader().read(into).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::transport::Transport;
    use crate::tls::contents::{Chain, Key};
    use crate::tls::credentials::{Alpn, client_config, server_config};
    use crate::tls::own::Own;
    use crate::tls::server::Greeted;
    use crate::tls::{client, server};
    use std::future::poll_fn;
    use std::io::ErrorKind;
    use std::path::Path;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::rustls::pki_types::ServerName;

    /// What TLS 1.3 adds to the content of a record.
    const FRAME: usize = 5 + 1 + 16;

    /// Both ends of a TLS connection: of its client, which has its session ticket, and of its
    /// server.
    async fn pair() -> (Transport, Transport) {
        let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
        let chain = Chain::read(&certs.join("server.pem")).unwrap();
        let key = Key::read(&certs.join("server.key")).unwrap();
        let server = server_config(&Own::new(chain, key).unwrap(), Alpn::Http).unwrap();
        let roots = Chain::read(&certs.join("ca.pem")).unwrap();
        let client = client_config(Some(&roots), Alpn::Http).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let far = MeteredTcp::new(listener.accept().await.unwrap().0);
        let name = ServerName::try_from("localhost").unwrap();
        let (near, far) = tokio::join!(
            client::connect(&client, &name, near),
            server::accept(&server, far, Alpn::Http)
        );
        let (mut near, Ok(Greeted::Tls(far))) = (near.unwrap(), far) else { panic!("no TLS") };
        arrived(&near, 1).await;
        assert!(poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut [0]))).await.is_pending());
        (near, far)
    }

    async fn arrived(at: &Transport, len: usize) {
        let Transport::Tls(tls) = at else { unreachable!("it is TLS") };
        tls.tcp().arrived(len).await;
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
    async fn what_a_client_sends_is_limited_only_where_there_is_no_content_in_it() {
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

    /// Two records of which the second is nonsense, in one read of TLS.
    #[tokio::test]
    async fn what_is_wrong_behind_good_bytes_that_came_with_it_is_told_after_them() {
        let (mut near, mut far) = pair().await;
        write(&mut far, b"good").await;
        let Transport::Tls(tls) = &mut far else { unreachable!("it is TLS") };
        let nonsense = b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse";
        poll_fn(|cx| Pin::new(tls.tcp_mut()).poll_write(cx, nonsense)).await.unwrap();
        arrived(&near, 4 + FRAME + nonsense.len()).await;
        let mut into = [0; 3];
        assert_eq!(read(&mut near, &mut into).await.unwrap(), 3);
        assert_eq!(read(&mut near, &mut into).await.unwrap(), 1);
        let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::InvalidData));
    }

    /// rustls reads 4,096 bytes at a time: this record ends where the second read does, so that the
    /// nonsense behind it is found in the same turn, but not in the same read.
    #[tokio::test]
    async fn what_is_wrong_behind_good_bytes_is_told_after_them() {
        let (mut near, mut far) = pair().await;
        let good = vec![b'x'; 2 * 4096 - FRAME];
        write(&mut far, &good).await;
        let Transport::Tls(tls) = &mut far else { unreachable!("it is TLS") };
        poll_fn(|cx| Pin::new(tls.tcp_mut()).poll_write(cx, b"nonsense")).await.unwrap();
        arrived(&near, 2 * 4096 + b"nonsense".len()).await;
        let mut into = vec![0; 4 * 4096];
        assert_eq!(read(&mut near, &mut into).await.unwrap(), good.len());
        let Transport::Tls(tls) = &near else { unreachable!("it is TLS") };
        assert!(tls.failed.is_some(), "it was found");
        let end = read(&mut near, &mut into).await.map_err(|error| error.kind());
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
