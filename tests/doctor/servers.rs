//! Servers of a few lines, each on a thread of its own until the test ends.

use narrows_kit::certificates::certificate_file;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A response to a request without a key, as an API sends it.
pub(crate) const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// Serves each connection by `serve`, on a thread.
pub(crate) fn start(
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(tcp));
        }
    });
    address
}

/// Answers every request with this, over plain HTTP; the connection stays open.
pub(crate) fn http(response: &str) -> SocketAddr {
    let response = response.to_owned();
    start(move |mut tcp| answer_all(&mut tcp, &response))
}

/// Answers 401 over TLS, with these certificates of `certs/` and the key of the first.
pub(crate) fn https(names: &[&str]) -> SocketAddr {
    let read = |name: &str, kind: &str| {
        fs::read_to_string(certificate_file(&format!("{name}.{kind}"))).unwrap()
    };
    let chain: String = names.iter().map(|name| read(name, "pem")).collect();
    https_with(&chain, &read(names[0], "key"))
}

/// The same with PEM.
pub(crate) fn https_with(chain: &str, key: &str) -> SocketAddr {
    let config = server_config(chain, key);
    start(move |tcp| answer_all(&mut shake(tcp, &config)?, UNAUTHORIZED))
}

/// The same, if the handshake begins with few bytes; a long one is ended without a word, as by a
/// middlebox that knows one packet only.
pub(crate) fn https_for_short_hellos(most: usize) -> SocketAddr {
    let read = |kind| fs::read_to_string(certificate_file(&format!("server.{kind}"))).unwrap();
    let config = server_config(&read("pem"), &read("key"));
    start(move |tcp| {
        let mut record = [0; 5];
        while tcp.peek(&mut record)? < record.len() {}
        if usize::from(u16::from_be_bytes([record[3], record[4]])) > most {
            return Ok(());
        }
        answer_all(&mut shake(tcp, &config)?, UNAUTHORIZED)
    })
}

fn server_config(chain: &str, key: &str) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn shake(
    tcp: TcpStream,
    config: &Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, tcp))
}

/// Reads until the client leaves, and says nothing.
pub(crate) fn hold(mut tcp: TcpStream) -> io::Result<()> {
    while tcp.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

fn answer_all(stream: &mut (impl Read + Write), response: &str) -> io::Result<()> {
    while !head(stream)?.is_empty() {
        stream.write_all(response.as_bytes())?;
        if response.contains("Connection: close") {
            break;
        }
    }
    Ok(())
}

/// The next head; empty at the end.
pub(crate) fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// What a server in front does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// Passes on what comes when it comes.
    Streams,
    /// Waits for the whole response.
    Buffers,
    /// Refuses bodies over 1 MiB.
    RefusesLongBodies,
    /// Ends a response after so many bytes.
    CutsAfter(usize),
    /// Serves its first connection, and says nothing on others.
    ServesOneConnection,
}

/// A server in front of `backend`.
pub(crate) fn front(front: Front, backend: SocketAddr) -> SocketAddr {
    let is_first = AtomicBool::new(true);
    start(move |mut client| {
        if !is_first.swap(false, Relaxed) && front == Front::ServesOneConnection {
            return hold(client);
        }
        loop {
            let head = head(&mut client)?;
            if head.is_empty() {
                return Ok(());
            }
            let len = content_length(&head);
            let mut body = vec![0; len];
            client.read_exact(&mut body)?;
            if front == Front::RefusesLongBodies && len > 1 << 20 {
                let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
                client.write_all(refusal)?;
                continue;
            }
            let Ok(mut backend) = TcpStream::connect(backend) else {
                client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            };
            backend.write_all(head.as_bytes())?;
            backend.write_all(&body)?;
            pass_on(front, &mut backend, &mut client)?;
        }
    })
}

/// Passes one response on.
fn pass_on(front: Front, backend: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
    let head = head(backend)?;
    let mut passed = head.clone().into_bytes();
    if front != Front::Buffers {
        client.write_all(&passed)?;
    }
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let end = passed.len() + content_length(&head);
    let is_whole = |passed: &[u8]| match is_chunked {
        true => passed.ends_with(b"\r\n0\r\n\r\n"),
        false => passed.len() >= end,
    };
    while !is_whole(&passed) {
        let mut piece = [0; 4096];
        let read = backend.read(&mut piece)?;
        passed.extend_from_slice(&piece[..read]);
        if front != Front::Buffers {
            client.write_all(&piece[..read])?;
        }
        if matches!(front, Front::CutsAfter(most) if passed.len() > most) || read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if front == Front::Buffers { client.write_all(&passed) } else { Ok(()) }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|it| it.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, value)| value.parse().unwrap())
}
