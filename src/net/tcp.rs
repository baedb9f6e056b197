//! A TCP stream that knows how much its socket has taken.
//!
//! A limit of time on a peer's acceptance needs to see every byte the peer takes, also those that
//! TLS took from us long before. So the count is kept below TLS, where the socket is.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream and the number of bytes that went into its socket.
#[derive(Debug)]
pub struct MeteredTcp {
    tcp: TcpStream,
    written: u64,
    resets_on_close: bool,
}

impl MeteredTcp {
    /// Counts from here.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, written: 0, resets_on_close: false }
    }

    /// The stream itself, for socket options.
    pub fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    /// Bytes that the socket has taken.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether a close is to be a reset, which also throws away what is still to be sent.
    pub fn reset_on_close(&mut self, reset: bool) {
        if self.resets_on_close != reset {
            self.resets_on_close = reset;
            // Best effort: without it the close is a FIN, and framing or TLS has to tell.
            let _ = SockRef::from(&self.tcp).set_linger(reset.then_some(Duration::ZERO));
        }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(len)) = written {
            self.written += len as u64;
        }
        written
    }
}

impl AsyncRead for MeteredTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, into)
    }
}

impl AsyncWrite for MeteredTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
