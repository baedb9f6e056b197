//! A server for the moment of a test: [`Endpoint`]. It takes the place of narrows, which has to be
//! stopped or listen elsewhere, and serves three resources below a path that no one can guess:
//!
//! - [`HELLO`] says that a request has arrived here, and nowhere else.
//! - [`STREAM`] is a stream of events as an API sends it, with the fields that narrows gives it.
//! - [`UPLOAD`] takes a body and says how long it was.
//!
//! Everything else is a 404, and the connection ends. Connections are bounded in number and time,
//! and the endpoint ends with its process.

use super::ticks::{TICK_EVERY, TICKS, Ticks, event};
use crate::config::snapshot::Listener;
use crate::h1::body::BodyReader;
use crate::h1::framing::request_body_length;
use crate::h1::head::{RequestHead, Version};
use crate::h1::head_reader::HeadReader;
use crate::h1::limits::HeadLimits;
use crate::limits::TCP_USER_TIMEOUT;
use crate::net::listen::listen;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::{Transport, receive, send_all};
use crate::task::spawn;
use crate::tls::alpn::Alpn;
use crate::tls::server::{Greeted, accept};
use aws_lc_rs::rand;
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ServerConfig;

pub(super) const HELLO: &str = "hello";
pub(super) const STREAM: &str = "stream";
pub(super) const UPLOAD: &str = "upload";

/// Connections at one time. A test has one, and a server in front may open a few.
const CONNECTIONS_MAX: usize = 64;
/// Longest time of a connection.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
const SECRET_BYTES: usize = 16;

/// A server that is bound, and does not serve yet.
pub(super) struct Endpoint {
    sockets: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    scene: Rc<Scene>,
}

/// What its connections share.
struct Scene {
    /// The last part but one of the paths.
    secret: String,
    ticks: Rc<Ticks>,
}

impl Endpoint {
    /// Listens at this address, in plain HTTP.
    ///
    /// # Errors
    /// It cannot be listened on, or there are no random bytes.
    pub(super) fn at(address: SocketAddr) -> io::Result<Self> {
        Self::bind([(address, None)])
    }

    /// Listens where narrows would, as narrows would.
    ///
    /// # Errors
    /// As for [`Endpoint::at`].
    pub(super) fn in_place_of(listeners: &[&Arc<Listener>]) -> io::Result<Self> {
        Self::bind(listeners.iter().map(|it| (it.address, it.tls.clone())))
    }

    fn bind(
        places: impl IntoIterator<Item = (SocketAddr, Option<Arc<ServerConfig>>)>,
    ) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for (address, tls) in places {
            for socket in listen(address, 1, TCP_USER_TIMEOUT)? {
                sockets.push((TcpListener::from_std(socket)?, tls.clone()));
            }
        }
        Ok(Self { sockets, scene: Rc::new(Scene { secret: secret()?, ticks: Rc::default() }) })
    }

    /// The addresses, with the ports that the kernel chose.
    pub(super) fn addresses(&self) -> String {
        let addresses = self.sockets.iter().filter_map(|(it, _)| it.local_addr().ok());
        addresses.map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The end of the path of a resource.
    pub(super) fn path(&self, resource: &str) -> String {
        format!("{}/{resource}", self.scene.secret)
    }

    /// When the pieces of the stream were sent.
    pub(super) fn ticks(&self) -> Rc<Ticks> {
        Rc::clone(&self.scene.ticks)
    }

    /// Serves from now on, as tasks of this thread.
    pub(super) fn serve(self) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for (socket, tls) in self.sockets {
            spawn(accept_all(socket, tls, Arc::clone(&permits), Rc::clone(&self.scene)));
        }
    }
}

/// What a path begins with that no one can guess.
fn secret() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("there are no random bytes"))?;
    let digits = bytes.map(|it| format!("{it:02x}"));
    Ok(format!("narrows-doctor-{}", digits.concat()))
}

async fn accept_all(
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    permits: Arc<Semaphore>,
    scene: Rc<Scene>,
) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((tcp, _)) = socket.accept().await else {
            // Descriptors are short for the moment.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tls, scene) = (tls.clone(), Rc::clone(&scene));
        spawn(async move {
            let _ended = timeout(CONNECTION_MAX, serve(tcp, tls, &scene)).await;
            drop(permit);
        });
    }
}

async fn serve(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, scene: &Scene) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let local = tcp.local_addr()?.ip();
    let transport = match tls {
        None => tcp.into(),
        Some(tls) => match accept(&tls, MeteredTcp::new(tcp), Alpn::Http, Some(local)).await? {
            Greeted::Tls(transport) => transport,
            Greeted::PlainHttp(..) => return Ok(()),
        },
    };
    let mut connection = Connection { transport, bytes: BytesMut::new() };
    while let Some(request) = connection.request().await? {
        let Some(resource) = resource(&request.target, &scene.secret) else {
            connection.send(NOT_HERE.as_bytes()).await?;
            break;
        };
        let len = connection.discard(request.body).await?;
        match resource {
            STREAM => connection.stream(&scene.ticks, request.version).await?,
            UPLOAD => connection.send(plain(&len.to_string()).as_bytes()).await?,
            _ => connection.send(plain(HELLO).as_bytes()).await?,
        }
        if request.version == Version::Http10 {
            break;
        }
    }
    poll_fn(|cx| connection.transport.poll_shutdown(cx)).await
}

const NOT_HERE: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\
                        Content-Length: 49\r\nConnection: close\r\n\r\n\
                        narrows doctor is here for a moment, not narrows\n";

/// As narrows passes on what an API sends.
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                           Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";

fn plain(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n{body}")
}

/// Which of the three a target means, whatever precedes it: a server in front may have removed a
/// part of the path, or added one.
fn resource(target: &[u8], secret: &str) -> Option<&'static str> {
    let resources = [HELLO, STREAM, UPLOAD].into_iter();
    let mut ends = resources.map(|it| (it, format!("/{secret}/{it}")));
    ends.find(|(_, end)| target.ends_with(end.as_bytes())).map(|(resource, _)| resource)
}

struct Connection {
    transport: Transport,
    bytes: BytesMut,
}

struct Request {
    target: Vec<u8>,
    version: Version,
    body: BodyReader,
}

impl Connection {
    /// The next request; none after a proper end.
    async fn request(&mut self) -> io::Result<Option<Request>> {
        let invalid = || io::Error::from(ErrorKind::InvalidData);
        let limits = HeadLimits::default();
        let mut reader = HeadReader::default();
        let span = loop {
            if let Some(span) = reader.find(&self.bytes, &limits).map_err(|_| invalid())? {
                break span;
            }
            if self.receive().await? == 0 {
                return Ok(None);
            }
        };
        let bytes = self.bytes.split_to(span.end);
        let head = RequestHead::parse(&bytes[span.start..], &limits).map_err(|_| invalid())?;
        let length = request_body_length(&head).map_err(|_| invalid())?;
        let (target, version) = (head.target.to_vec(), head.version);
        Ok(Some(Request { target, version, body: BodyReader::new(length) }))
    }

    /// Reads a body to its end, and returns its length.
    async fn discard(&mut self, mut body: BodyReader) -> io::Result<usize> {
        let mut len = 0;
        while !body.is_finished() {
            let walk = body.walk(&self.bytes).map_err(|_| ErrorKind::InvalidData)?;
            len += walk.content_len();
            self.bytes.advance(walk.consumed);
            if walk.consumed == 0 && !walk.finished && self.receive().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(len)
    }

    /// Sends the test stream. HTTP/1.0 knows no chunks; nginx speaks it unless told otherwise, and
    /// buffers more then.
    async fn stream(&mut self, ticks: &Ticks, version: Version) -> io::Result<()> {
        let is_chunked = version == Version::Http11;
        let framing = if is_chunked { "Transfer-Encoding: chunked" } else { "Connection: close" };
        ticks.begin();
        self.send(format!("{STREAM_HEAD}{framing}\r\n\r\n").as_bytes()).await?;
        for number in 0..TICKS {
            if number > 0 {
                sleep(TICK_EVERY).await;
            }
            let event = event(number);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            ticks.sent();
            self.send(if is_chunked { &chunk } else { &event }.as_bytes()).await?;
        }
        if is_chunked { self.send(b"0\r\n\r\n").await } else { Ok(()) }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        send_all(&mut self.transport, bytes).await
    }

    async fn receive(&mut self) -> io::Result<usize> {
        receive(&mut self.transport, &mut self.bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_with_the_secret_are_served() {
        assert_eq!(resource(b"/gpt/s3/stream", "s3"), Some(STREAM));
        assert_eq!(resource(b"/s3/hello", "s3"), Some(HELLO));
        assert_eq!(resource(b"http://a/b/s3/upload", "s3"), Some(UPLOAD));
        for other in [&b"/"[..], b"/gpt/v1/models", b"/xs3/hello", b"/s3/hello/", b"/s3/"] {
            assert_eq!(resource(other, "s3"), None);
        }
    }

    #[test]
    fn a_secret_is_another_each_time() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert!(one != other && one.len() == "narrows-doctor-".len() + 2 * SECRET_BYTES);
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let (_, body) = NOT_HERE.split_once("\r\n\r\n").unwrap();
        assert!(NOT_HERE.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
