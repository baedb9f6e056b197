//! The near end: asks as an SDK does, over TLS, and times each token on its arrival.

use crate::{CA, Fault};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A connection on which nothing was asked yet.
pub(crate) struct Connection(BufReader<TlsStream<TcpStream>>);

/// An answer that is arriving.
pub(crate) struct Answer {
    stream: BufReader<TlsStream<TcpStream>>,
    clock: Instant,
    /// Content that is not a whole event yet, and when the last of it came.
    content: String,
    arrived: Duration,
}

/// A piece of the answer.
pub(crate) struct Token {
    pub(crate) text: String,
    /// From the origin's stamp to its arrival here.
    pub(crate) delay: Duration,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(CA)?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self(BufReader::new(tls)))
    }

    /// Asks, and waits for the response head.
    pub(crate) async fn ask(self, path: &str, clock: Instant) -> Result<Answer, Fault> {
        let Self(mut stream) = self;
        let body = r#"{"model":"strait-1","stream":true,"messages":[]}"#;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-example\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let status = read_line(&mut stream).await?;
        if status != "HTTP/1.1 200 OK" {
            return Err(status.into());
        }
        while !read_line(&mut stream).await?.is_empty() {}
        Ok(Answer { stream, clock, content: String::new(), arrived: Duration::ZERO })
    }
}

impl Answer {
    /// The next token, or `None` after `[DONE]` and the proper end of the body.
    pub(crate) async fn next_token(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            while let Some(end) = self.content.find("\n\n") {
                let event: String = self.content.drain(..end + 2).collect();
                if event == "data: [DONE]\n\n" {
                    while self.read_chunk().await? {}
                    return Ok(None);
                }
                if let Some((sent, text)) = parse(&event) {
                    let delay = self.arrived.saturating_sub(sent);
                    return Ok(Some(Token { text: text.to_owned(), delay }));
                }
            }
            if !self.read_chunk().await? {
                return Err("the answer ended without [DONE]".into());
            }
        }
    }

    /// Appends the content of the next chunk; false at the last one.
    async fn read_chunk(&mut self) -> Result<bool, Fault> {
        let size = usize::from_str_radix(&read_line(&mut self.stream).await?, 16)?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await?;
        self.arrived = self.clock.elapsed();
        self.content.push_str(str::from_utf8(&chunk[..size])?);
        Ok(size > 0)
    }
}

/// The stamp and the text of an event that carries text.
fn parse(event: &str) -> Option<(Duration, &str)> {
    let (id, data) = event.strip_prefix("id: ")?.split_once('\n')?;
    let (_, content) = data.split_once(r#""content":""#)?;
    let (text, _) = content.split_once('"')?;
    Some((Duration::from_nanos(id.parse().ok()?), text))
}

async fn read_line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Result<String, Fault> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err("the connection ended in the middle of an answer".into());
    }
    Ok(line.trim_end().to_owned())
}
