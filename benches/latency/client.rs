//! The near end: asks as an SDK does, over TLS, and times what comes back.

use crate::origin::SHORT_END;
use crate::{CA, Fault};
use memchr::memmem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Digits of a stamp.
const STAMP_DIGITS: usize = 20;
/// In front of a stamp.
const STAMP: &[u8] = b"data: ";

/// A connection, with or without a relay in between.
pub(crate) struct Client(TlsStream<TcpStream>);

impl Client {
    /// Connects and shakes hands, as one who was never here before.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(CA)?)?;
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(Self(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?))
    }

    /// Asks for the short answer, and gives the time at which its first byte was here.
    pub(crate) async fn ask(&mut self, prefix: &str) -> Result<Instant, Fault> {
        self.send(&format!("{prefix}/v1/short")).await?;
        let mut answer = Vec::new();
        self.read(&mut answer).await?;
        let first_byte = Instant::now();
        while !answer.ends_with(SHORT_END) {
            self.read(&mut answer).await?;
        }
        check_status(&answer)?;
        Ok(first_byte)
    }

    /// Asks for the stream, and gives the delay of each event: from its stamp until all of it was
    /// here.
    pub(crate) async fn stream(
        &mut self,
        prefix: &str,
        clock: Instant,
    ) -> Result<Vec<Duration>, Fault> {
        self.send(&format!("{prefix}/v1/stream")).await?;
        let (mut answer, mut delays) = (Vec::new(), Vec::new());
        let mut seen = 0;
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            self.read(&mut answer).await?;
            let now = clock.elapsed();
            while let Some(end) = memmem::find(&answer[seen..], b"\n\n") {
                delays.push(now.saturating_sub(stamp(&answer[seen..seen + end])?));
                seen += end + b"\n\n".len();
            }
        }
        check_status(&answer)?;
        Ok(delays)
    }

    async fn send(&mut self, path: &str) -> Result<(), Fault> {
        let body = r#"{"model":"strait-1","stream":true,"messages":[]}"#;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-example\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await?;
        Ok(self.0.flush().await?)
    }

    async fn read(&mut self, into: &mut Vec<u8>) -> Result<(), Fault> {
        into.reserve(16 * 1024);
        match self.0.read_buf(into).await? {
            0 => Err("the connection ended in the middle of an answer".into()),
            _ => Ok(()),
        }
    }
}

fn stamp(event: &[u8]) -> Result<Duration, Fault> {
    let at = memmem::find(event, STAMP).ok_or("an event without a stamp")? + STAMP.len();
    let digits = event.get(at..at + STAMP_DIGITS).ok_or("half a stamp")?;
    Ok(Duration::from_nanos(str::from_utf8(digits)?.parse()?))
}

fn check_status(answer: &[u8]) -> Result<(), Fault> {
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    Err(format!("the answer begins with {:?}", String::from_utf8_lossy(line)).into())
}
