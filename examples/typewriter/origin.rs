//! The far end: a TLS server that answers every request with the same words, one event each, in
//! the shape of a streamed chat completion.

use crate::{CERTIFICATE, Fault, KEY};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::{Instant as Tick, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// From one token to the next: the pace of a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(25);

/// What it has to say. Holds nothing that JSON would want escaped.
const WORDS: &str = "\
    Where two coasts lean close to each other, the sea has to make up its mind. A whole ocean \
    arrives, and what lets it through is a channel that a good swimmer crosses before breakfast. \
    Pilots will tell you that a strait does nothing: it adds no water and keeps none, it does \
    not ask a ship about its cargo, and nobody ever sailed to one in order to be there. And yet \
    the harbours beyond it live by what it does at four in the morning, in fog, with the tide \
    against the wind. A good strait is deep where it is narrow. What comes in goes out, in the \
    order in which it came, and by the time somebody on the shore has thought of waving, the \
    lights are already on the other side.";

/// Starts the server on a thread of its own, which lives as long as the process.
pub(crate) fn start(clock: Instant) -> Result<SocketAddr, Fault> {
    let acceptor = acceptor()?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(serve(listener, acceptor, clock)));
    Ok(address)
}

fn acceptor() -> Result<TlsAcceptor, Fault> {
    let chain = vec![CertificateDer::from_pem_file(CERTIFICATE)?];
    let key = PrivateKeyDer::from_pem_file(KEY)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(Arc::new(config).into())
}

async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    clock: Instant,
) -> Result<(), Fault> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (tcp, _address) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(tcp, acceptor, clock).await {
                tracing::error!(error, "the origin failed");
            }
        });
    }
}

/// Reads one request, if one comes, answers it, closes.
async fn answer(tcp: TcpStream, acceptor: TlsAcceptor, clock: Instant) -> Result<(), Fault> {
    tcp.set_nodelay(true)?;
    let mut stream = BufReader::new(acceptor.accept(tcp).await?);
    // The relay keeps a connection ready that nobody may ever use. It leaves as it likes.
    let Ok([_, ..]) = stream.fill_buf().await else { return Ok(()) };
    read_request(&mut stream).await?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;

    let mut pace = interval_at(Tick::now() + PACE, PACE);
    for (number, word) in WORDS.split(' ').enumerate() {
        pace.tick().await;
        let space = if number == 0 { "" } else { " " };
        let delta = format!(r#"{{"content":"{space}{word}"}}"#);
        // Stamped last thing before it is written: all that follows is part of the delay.
        let event = event(clock.elapsed(), &delta, "null");
        put_chunk(&mut stream, &event).await?;
    }
    let end = event(clock.elapsed(), "{}", r#""stop""#) + "data: [DONE]\n\n";
    put_chunk(&mut stream, &end).await?;
    stream.write_all(b"0\r\n\r\n").await?;
    stream.shutdown().await?;
    Ok(())
}

async fn read_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Result<(), Fault> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse()?;
            }
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {} // The request line.
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(())
}

/// One server-sent event; its `id` is the time at which it is sent.
fn event(sent: Duration, delta: &str, finish_reason: &str) -> String {
    format!(
        "id: {}\ndata: {{\"id\":\"chatcmpl-narrows\",\"object\":\"chat.completion.chunk\",\
         \"created\":1767225600,\"model\":\"strait-1\",\"choices\":[{{\"index\":0,\
         \"delta\":{delta},\"finish_reason\":{finish_reason}}}]}}\n\n",
        sent.as_nanos()
    )
}

async fn put_chunk(stream: &mut (impl AsyncWrite + Unpin), content: &str) -> Result<(), Fault> {
    let chunk = format!("{:x}\r\n{content}\r\n", content.len());
    stream.write_all(chunk.as_bytes()).await?;
    stream.flush().await?;
    Ok(())
}
