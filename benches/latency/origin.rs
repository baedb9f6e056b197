//! The far end: a TLS server that keeps its connections and answers two paths: a short answer for
//! `/v1/short`, and for `/v1/stream` a row of events, each stamped with the time at which it is
//! written.

use crate::{CERTIFICATE, Fault, KEY};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::{Instant as Tick, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// From one event to the next: the pace of a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(10);
/// The last bytes of a short answer.
pub(crate) const SHORT_END: &[u8] = b"{\"ok\":true}";

/// An event is as long as those of a streamed chat completion.
const PADDING: &str = concat!(
    r#"{"object":"chat.completion.chunk","model":"strait-1","choices":[{"index":0,"#,
    r#""delta":{"content":" strait"},"finish_reason":null}]}"#
);

/// What the server does.
#[derive(Clone)]
struct Server {
    acceptor: TlsAcceptor,
    clock: Instant,
    events: usize,
}

/// Starts the server on a thread of its own, which lives as long as the process.
pub(crate) fn start(clock: Instant, events: usize) -> Result<SocketAddr, Fault> {
    let chain = vec![CertificateDer::from_pem_file(CERTIFICATE)?];
    let key = PrivateKeyDer::from_pem_file(KEY)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = Server { acceptor: Arc::new(config).into(), clock, events };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(accept(listener, server)));
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, server: Server) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (tcp, _address) = listener.accept().await?;
        let server = server.clone();
        // A relay may leave as it likes: what a client missed shows at the client.
        tokio::spawn(async move { server.serve(tcp).await });
    }
}

impl Server {
    async fn serve(self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let mut stream = BufReader::new(self.acceptor.accept(tcp).await?);
        while let Some(path) = read_request(&mut stream).await? {
            match path.as_str() {
                "/v1/stream" => self.answer_with_events(&mut stream).await?,
                _ => answer_shortly(&mut stream).await?,
            }
        }
        Ok(())
    }

    async fn answer_with_events(
        &self,
        stream: &mut BufReader<TlsStream<TcpStream>>,
    ) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        let mut pace = interval_at(Tick::now() + PACE, PACE);
        for _ in 0..self.events {
            pace.tick().await;
            // Stamped last thing before it is written: all that follows is part of the delay.
            let event = format!("data: {:020} {PADDING}\n\n", self.clock.elapsed().as_nanos());
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            stream.write_all(chunk.as_bytes()).await?;
            stream.flush().await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
        stream.flush().await
    }
}

async fn answer_shortly(stream: &mut BufReader<TlsStream<TcpStream>>) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        SHORT_END.len()
    );
    stream.write_all(&[head.as_bytes(), SHORT_END].concat()).await?;
    stream.flush().await
}

/// The path of the next request, its body thrown away; `None` at the end of the connection.
async fn read_request(stream: &mut BufReader<TlsStream<TcpStream>>) -> io::Result<Option<String>> {
    let mut start = String::new();
    if stream.read_line(&mut start).await? == 0 {
        return Ok(None);
    }
    let path = start.split(' ').nth(1).ok_or(ErrorKind::InvalidData)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(Some(path))
}
