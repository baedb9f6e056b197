//! The clients.

use crate::Fault;
use crate::origin::DONE;
use crate::programs::Operation;
use crate::tally::{End, Tally};
use narrows_kit::certificates::certificate_file;
use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, chat_request, field_value};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Beyond this a client takes it for no connection, or for no answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// When an operation counts as done, after the program was told or has said so.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
const KEPT_CLIENTS: usize = 10;
const KEPT_EVERY: Duration = Duration::from_millis(50);
const UPLOADERS: usize = 4;
const UPLOAD_BYTES: usize = 512 * 1024;
const UPLOAD_PIECE: usize = 8 * 1024;
const UPLOAD_PIECE_EVERY: Duration = Duration::from_millis(20);

/// What clients should see now.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Whether the second route is the one, and the second certificate.
    second: [bool; 2],
    /// Of these, the one that is being changed.
    changing: Option<usize>,
    /// Since when it has been changed.
    since: Option<Instant>,
}

impl Expected {
    /// `operation` is about to begin.
    pub(crate) fn changes(&self, operation: Operation, second: bool) {
        let mut state = self.state();
        let what = match operation {
            Operation::Reload => 0,
            Operation::Certificate => 1,
            Operation::Binary => return,
        };
        state.second[what] = second;
        (state.changing, state.since) = (Some(what), None);
    }

    /// The program has done it, as far as it says.
    pub(crate) fn has_changed(&self) {
        self.state().since = Some(Instant::now());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an exchange that began at `begun` may have seen this.
    fn allows(&self, what: usize, second: bool, begun: Instant) -> bool {
        let state = self.state();
        let settled = state.since.is_some_and(|since| begun > since + SETTLED_AFTER);
        second == state.second[what] || (state.changing == Some(what) && !settled)
    }

    fn allows_route(&self, version: &str, begun: Instant) -> bool {
        matches!(version, "v1" | "v2") && self.allows(0, version == "v2", begun)
    }

    fn allows_certificate(&self, connection: &Connection, begun: Instant) -> bool {
        let shown = connection.wire.tls().and_then(|tls| tls.get_ref().1.peer_certificates());
        let first = shown.and_then(<[_]>::first);
        let is =
            |name| CertificateDer::from_pem_file(certificate_file(name)).ok().as_ref() == first;
        (is("server.pem") && self.allows(1, false, begun))
            || (is("chain-leaf.pem") && self.allows(1, true, begun))
    }
}

/// All clients of one program.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: u32,
    pub(crate) streams: u32,
    pub(crate) expected: Arc<Expected>,
    pub(crate) tally: Arc<Tally>,
    /// How long new connections come, and how long a stream is.
    pub(crate) span: Duration,
}

/// What a client needs.
#[derive(Clone)]
struct Client {
    load: Load,
    tls: TlsConnector,
}

impl Load {
    /// The same traffic without streams.
    pub(crate) async fn warm_up(&self, span: Duration) -> Result<(), Fault> {
        Self { span, streams: 0, ..self.clone() }.run().await
    }

    /// Runs until the last client has ended.
    pub(crate) async fn run(self) -> Result<(), Fault> {
        let until = Instant::now() + self.span;
        let client = Client { tls: connector()?, load: self };
        let mut tasks = JoinSet::new();
        for _ in 0..client.load.streams {
            tasks.spawn(client.clone().stream());
        }
        for _ in 0..KEPT_CLIENTS {
            tasks.spawn(client.clone().keep_asking(until));
        }
        for _ in 0..UPLOADERS {
            tasks.spawn(client.clone().keep_uploading(until));
        }
        let mut ticks = interval(Duration::from_secs(1) / client.load.connections.max(1));
        while Instant::now() < until {
            ticks.tick().await;
            tasks.spawn(client.clone().ask_once());
            while tasks.try_join_next().transpose()?.is_some() {}
        }
        while tasks.join_next().await.transpose()?.is_some() {}
        Ok(())
    }
}

impl Client {
    fn count(&self, end: End) {
        self.load.tally.count(end);
    }

    async fn connect(&self) -> Option<Connection> {
        let begun = Instant::now();
        let connecting = async {
            let tcp = TcpStream::connect(self.load.address).await?;
            tcp.set_nodelay(true)?;
            let name = "localhost".try_into().map_err(io::Error::other)?;
            Ok::<_, io::Error>(Connection::new(self.tls.connect(name, tcp).await?))
        };
        let connection = timeout(PATIENCE, connecting).await.ok().and_then(Result::ok);
        let Some(connection) = connection else {
            self.count(End::Refused);
            return None;
        };
        if !self.load.expected.allows_certificate(&connection, begun) {
            self.count(End::Wrong);
        }
        Some(connection)
    }

    /// A new connection for one small exchange.
    async fn ask_once(self) {
        let Some(mut connection) = self.connect().await else { return };
        let (end, _) = self.exchange(&mut connection).await;
        self.count(end);
    }

    /// One connection after the other, each for as many small exchanges as the program allows.
    async fn keep_asking(self, until: Instant) {
        while Instant::now() < until {
            let Some(mut connection) = self.connect().await else { continue };
            loop {
                let (end, is_last) = self.exchange(&mut connection).await;
                self.count(end);
                if is_last || end != End::Right || Instant::now() >= until {
                    break;
                }
                // No loss by itself, but a request that crosses it is lost.
                if timeout(KEPT_EVERY, connection.read()).await.is_ok() {
                    self.count(End::Closed);
                    break;
                }
            }
        }
    }

    /// How it ended, and whether the answer says that it is the last of its connection.
    async fn exchange(&self, connection: &mut Connection) -> (End, bool) {
        let begun = Instant::now();
        let asked = connection.send("GET /gpt/small HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if asked.await.is_err() {
            return (End::Cut, true);
        }
        let Some((head, body)) = self.answer(connection).await else { return (End::Cut, true) };
        self.load.tally.took(begun.elapsed());
        let is_last = field_value(&head, "connection") == Some("close");
        (self.judge(&head, &body, "", begun), is_last)
    }

    async fn keep_uploading(self, until: Instant) {
        while Instant::now() < until {
            let Some(mut connection) = self.connect().await else { continue };
            let begun = Instant::now();
            let end = match self.upload(&mut connection).await {
                Some((head, body)) => self.judge(&head, &body, &format!(" {UPLOAD_BYTES}"), begun),
                None => End::Cut,
            };
            self.count(end);
        }
    }

    async fn upload(&self, connection: &mut Connection) -> Option<(String, String)> {
        let head = format!(
            "POST /gpt/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
        );
        connection.send(head).await.ok()?;
        for _ in 0..UPLOAD_BYTES / UPLOAD_PIECE {
            connection.send([b'x'; UPLOAD_PIECE]).await.ok()?;
            sleep(UPLOAD_PIECE_EVERY).await;
        }
        self.answer(connection).await
    }

    /// The answer to a request, if it is complete.
    async fn answer(&self, connection: &mut Connection) -> Option<(String, String)> {
        let reading = async {
            let head = connection.read_head().await.ok()?;
            let body = match Framing::of(&head) {
                Framing::Length(length) => connection.read_exactly(length).await.ok()?,
                Framing::Chunked => {
                    let mut body = Vec::new();
                    loop {
                        let chunk = connection.read_chunk().await.ok()?;
                        if chunk.is_empty() {
                            break body;
                        }
                        body.extend(chunk);
                    }
                }
                Framing::UntilClose => return None,
            };
            Some((head, String::from_utf8(body).ok()?))
        };
        timeout(PATIENCE, reading).await.ok().flatten()
    }

    /// An answer is the version of a route that may be in force, and `rest`.
    fn judge(&self, head: &str, body: &str, rest: &str, begun: Instant) -> End {
        let version = body.strip_suffix(rest).unwrap_or_default();
        let is_right =
            head.starts_with("HTTP/1.1 200 ") && self.load.expected.allows_route(version, begun);
        if is_right { End::Right } else { End::Wrong }
    }

    /// A stream from the beginning of the load to its end.
    async fn stream(self) {
        let Some(mut connection) = self.connect().await else { return };
        let end = self.read_stream(&mut connection).await;
        self.count(end.unwrap_or(End::Cut));
    }

    async fn read_stream(&self, connection: &mut Connection) -> io::Result<End> {
        connection.send(chat_request("/gpt/stream")).await?;
        let head = connection.read_head().await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Ok(End::Wrong);
        }
        let (mut seen, mut text) = (0, String::new());
        loop {
            let chunk = connection.read_chunk().await?;
            if chunk.is_empty() {
                let is_whole = text.is_empty();
                return Ok(if is_whole { End::Right } else { End::Cut });
            }
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let is_next = event == format!("data: {seen}") || event == DONE.trim_end();
                if !is_next {
                    return Ok(End::Wrong);
                }
                seen += 1;
                text = rest.to_owned();
            }
        }
    }
}

/// Trusts the roots of both certificates, and resumes nothing: each connection shows which
/// certificate there is.
fn connector() -> Result<TlsConnector, Fault> {
    let mut roots = RootCertStore::empty();
    for name in ["ca.pem", "chain-root.pem"] {
        roots.add(CertificateDer::from_pem_file(certificate_file(name))?)?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}
