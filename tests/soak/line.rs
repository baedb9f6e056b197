//! One end of a connection that may break at any time, and just enough HTTP to check what comes.
//!
//! Every failure is a value: that it happens is normal for half of the traffic here.

use crate::content::content;
use crate::support::client::tls_config;
use crate::support::peer::{Wire, field_value};
use memchr::memmem;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};
use tokio_rustls::{TlsConnector, TlsStream};

/// What a connection's bytes are.
pub struct Line {
    pub wire: Wire,
    /// Read and not looked at.
    held: Vec<u8>,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Sessions are remembered, so that most handshakes are resumptions, as with real clients.
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| tls_config(ALL_VERSIONS));

impl Line {
    pub fn new(wire: Wire) -> Self {
        Self { wire, held: Vec::new() }
    }

    /// Connects from one of this machine's many addresses.
    pub async fn connect(source: [u8; 4], to: SocketAddr, tls: bool) -> io::Result<Self> {
        let tcp = connect_tcp(source, to).await?;
        if !tls {
            return Ok(Self::new(Wire::Plain(tcp)));
        }
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&TLS)).connect(name, tcp).await?;
        Ok(Self::new(Wire::Tls(Box::new(TlsStream::Client(stream)))))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref()).await?;
        self.wire.flush().await
    }

    /// What one read gives.
    pub async fn read(&mut self) -> io::Result<usize> {
        match self.wire.read_buf(&mut self.held).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// Throws away what is here.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// A message head with its empty line.
    pub async fn head(&mut self) -> io::Result<String> {
        self.through(b"\r\n\r\n").await
    }

    pub async fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.held.len() < len {
            self.read().await?;
        }
        Ok(self.held.drain(..len).collect())
    }

    /// Reads the content called `seed` to the end of the message; gives its length.
    ///
    /// An end before that end is an error; content that is not what it should be is a panic.
    pub async fn check_body(&mut self, framing: Framing, seed: u64) -> io::Result<usize> {
        let mut at = 0;
        match framing {
            Framing::Length(len) => self.check_part(len, seed, &mut at).await?,
            Framing::Chunked => loop {
                let line = self.through(b"\r\n").await?;
                let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size");
                if size == 0 {
                    assert_eq!(self.exactly(2).await?, b"\r\n", "no trailers were sent");
                    break;
                }
                self.check_part(size, seed, &mut at).await?;
                assert_eq!(self.exactly(2).await?, b"\r\n", "behind a chunk");
            },
            Framing::UntilClose => loop {
                let len = self.held.len();
                self.check_part(len, seed, &mut at).await?;
                if self.wire.read_buf(&mut self.held).await? == 0 {
                    break;
                }
            },
        }
        Ok(at)
    }

    async fn check_part(&mut self, len: usize, seed: u64, at: &mut usize) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            if self.held.is_empty() {
                self.read().await?;
            }
            let len = left.min(self.held.len());
            let want = content(seed, *at, len);
            assert!(self.held[..len] == want, "bytes {at} to {} are not what was sent", *at + len);
            self.held.drain(..len);
            *at += len;
            left -= len;
        }
        Ok(())
    }

    async fn through(&mut self, delimiter: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = memmem::find(&self.held, delimiter) {
                let bytes = self.held.drain(..at + delimiter.len()).collect();
                return String::from_utf8(bytes).map_err(io::Error::other);
            }
            self.read().await?;
        }
    }

    /// The socket, for its options.
    pub fn socket(&self) -> SockRef<'_> {
        match &self.wire {
            Wire::Plain(tcp) => SockRef::from(tcp),
            Wire::Tls(tls) => SockRef::from(tls.get_ref().0),
        }
    }

    /// Our address, as the relay's log has it.
    pub fn name(&self) -> String {
        let address = self.socket().local_addr().ok().and_then(|it| it.as_socket());
        address.map_or_else(|| "a lost socket".to_owned(), |it| it.to_string())
    }

    /// Ends it by RST.
    pub fn reset(self) {
        let _best_effort = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// Bytes past TLS, if there is any.
    pub async fn send_below_tls(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(tcp) => tcp.write_all(bytes).await,
            Wire::Tls(tls) => tls.get_mut().0.write_all(bytes).await,
        }
    }
}

pub async fn connect_tcp(source: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// How the body behind this head is delimited.
pub fn framing_of(head: &str) -> Framing {
    match (field_value(head, "transfer-encoding"), field_value(head, "content-length")) {
        (Some("chunked"), None) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
        (None, None) => Framing::UntilClose,
        _ => panic!("no framing in {head:?}"),
    }
}

/// Content in chunks of many sizes, with the last chunk.
pub fn in_chunks(seed: u64, len: usize) -> Vec<u8> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at < len {
        let size = (len - at).min(1 + (seed as usize + at) % 5000);
        chunks.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        chunks.extend(content(seed, at, size));
        chunks.extend_from_slice(b"\r\n");
        at += size;
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}
