//! One end of a connection that may break at any time: every failure is a value.

use crate::certificates::client_config;
use crate::http::Received;
use crate::wire::Wire;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};

/// A socket, with or without TLS, and what was read from it and not yet taken.
pub struct Connection {
    /// The socket.
    pub wire: Wire,
    /// What was read.
    pub received: Received,
}

impl Connection {
    /// On a socket whose handshake, if any, is done.
    pub fn new(wire: impl Into<Wire>) -> Self {
        Self { wire: wire.into(), received: Received::default() }
    }

    /// Connects with TLS to the name `localhost`, as a client that has no session to resume.
    pub async fn open_tls(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Self::over_tls(tcp, &client_config(ALL_VERSIONS)).await
    }

    /// Begins TLS on a socket, for the name `localhost`.
    pub async fn over_tls(tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = "localhost".try_into().map_err(io::Error::other)?;
        Ok(Self::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?))
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref()).await?;
        self.wire.flush().await
    }

    /// Reads once; 0 is the end of the connection.
    pub async fn read(&mut self) -> io::Result<usize> {
        self.wire.read_buf(&mut self.received.bytes).await
    }

    /// Reads until `take` gives a value; an end before that is an error.
    pub async fn read_until<T>(
        &mut self,
        mut take: impl FnMut(&mut Received) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            if let Some(taken) = take(&mut self.received) {
                return Ok(taken);
            }
            if self.read().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads a message head, up to and including its empty line.
    pub async fn read_head(&mut self) -> io::Result<String> {
        self.read_until(Received::take_head).await
    }

    /// Reads exactly `count` bytes.
    pub async fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.read_until(|received| received.take_exactly(count)).await
    }

    /// Reads one chunk and gives its content; the last chunk has none.
    pub async fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        self.read_until(Received::take_chunk).await
    }

    /// Reads once, discards it, and gives how much it was; the end is an error.
    pub async fn discard(&mut self) -> io::Result<usize> {
        self.received.take_all();
        self.read_until(|received| received.take_up_to(usize::MAX)).await.map(|bytes| bytes.len())
    }

    /// Reads and discards until the connection ends or fails.
    pub async fn discard_to_end(&mut self) {
        while self.discard().await.is_ok() {}
    }

    /// Ends it by RST as soon as it is dropped.
    pub fn reset_on_drop(&self) -> io::Result<()> {
        self.socket().set_linger(Some(Duration::ZERO))
    }

    /// The socket, for its options.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.wire.tcp())
    }
}

/// Connects from this address; all of 127.0.0.0/8 belong to this machine.
pub async fn connect_from(source: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
