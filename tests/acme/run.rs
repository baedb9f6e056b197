//! The state machine of `narrows::acme` with the least around it: a client of HTTP, and a server
//! for its challenges. Its pauses are skipped, because it has no clock.

use narrows::acme::account::{Account, Registration};
use narrows::acme::account_key::AccountKey;
use narrows::acme::chain::Issued;
use narrows::acme::challenge::{Challenge, ChallengeKind};
use narrows::acme::failure::Failure;
use narrows::acme::identifier::Identifier;
use narrows::acme::message::{Method, Request, Response};
use narrows::acme::order::{Order, Step};
use narrows::acme::wanted::Wanted;
use narrows_kit::acme::forward::Forward;
use narrows_kit::certificates::client_config;
use narrows_kit::connection::Connection;
use narrows_kit::http::{Framing, field_value};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ALL_VERSIONS, ServerConfig};

/// Most requests of one order: a client that asks more often does not end.
const REQUESTS_MAX: usize = 3000;

/// What came of an order, and what was asked on the way.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) issued: Result<Issued, Failure>,
    pub(crate) warnings: Vec<String>,
    pub(crate) requests: usize,
}

/// A client with an account.
pub(crate) struct Runner {
    pub(crate) account: Account,
    connection: Option<Connection>,
    responder: Responder,
    /// Whether the pauses that are skipped count, so that an order comes to its deadline. It must
    /// not where the authority takes its real time, on a machine that is busy.
    pub(crate) time_passes: bool,
    /// How far the order's clock is ahead of the machine's.
    skipped: i64,
}

impl Runner {
    /// With a new key, and challenges that are met at the end of these ways.
    pub(crate) async fn new(url: &str, registration: Registration, ways: [&Forward; 2]) -> Self {
        let responder = Responder::new().await;
        ways[0].lead_to(responder.tls);
        ways[1].lead_to(responder.http);
        let key = AccountKey::generate().expect("randomness");
        let account = Account::new(url, key, registration);
        Self { account, connection: None, responder, time_passes: false, skipped: 0 }
    }

    /// An order for these names, to its end.
    pub(crate) async fn order(&mut self, wanted: Wanted) -> Outcome {
        let (mut warnings, mut requests) = (Vec::new(), 0);
        let now = |skipped: i64| seconds() + skipped;
        let mut order = Order::new(wanted, now(self.skipped));
        loop {
            assert!(requests < REQUESTS_MAX || !self.time_passes, "an order without an end");
            let step = order.next(&mut self.account, now(self.skipped));
            if !self.time_passes {
                self.skipped = 0;
            }
            let issued = match step {
                Step::Request(request) => {
                    requests += 1;
                    match ask(&mut self.connection, &request).await {
                        Ok(response) => {
                            order.answer(&mut self.account, &response, now(self.skipped));
                            continue;
                        }
                        Err(error) => Err(Failure::unreachable(error.to_string())),
                    }
                }
                Step::Prepare(challenge) => {
                    self.responder.prepare(challenge);
                    continue;
                }
                Step::Validation(_) | Step::Validated => continue,
                Step::Warn(text) => {
                    warnings.push(text);
                    continue;
                }
                Step::Wait(until) => {
                    assert!(until > now(self.skipped), "a pause that is over");
                    self.skipped += until - now(self.skipped);
                    continue;
                }
                Step::Done(issued) => Ok(issued),
                Step::Failed(failure) => Err(failure),
            };
            return Outcome { issued, warnings, requests };
        }
    }

    /// Sends one request.
    pub(crate) async fn ask(&mut self, request: &Request) -> Response {
        ask(&mut self.connection, request).await.expect("an answer")
    }
}

/// An order for these names and addresses by TLS-ALPN-01, or HTTP-01 alone.
pub(crate) fn wanted(names: &[&str], challenge: ChallengeKind) -> Wanted {
    let identifier = |name: &&str| match name.parse() {
        Ok(ip) => Identifier::Ip(ip),
        Err(_) => Identifier::Dns((*name).into()),
    };
    Wanted {
        names: names.iter().map(identifier).collect(),
        profile: None,
        replaces: None,
        challenges: vec![challenge],
    }
}

/// By this machine's clock.
pub(crate) fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn ask(kept: &mut Option<Connection>, request: &Request) -> io::Result<Response> {
    let (authority, path) = request.url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let tcp = TcpStream::connect(authority.replace("localhost", "127.0.0.1")).await?;
            Connection::over_tls(tcp, &client_config(ALL_VERSIONS)).await?
        }
    };
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    };
    let mut head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: test\r\nAccept: {}\r\n",
        request.accept
    );
    if let Some(kind) = request.content_type {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", request.body.len());
    }
    connection.send(format!("{head}\r\n{}", request.body)).await?;
    let head = connection.read_head().await?;
    let mut body = Vec::new();
    match Framing::of(&head) {
        _ if request.method == Method::Head => {}
        Framing::Length(length) => body = connection.read_exactly(length).await?,
        Framing::Chunked => loop {
            let chunk = connection.read_chunk().await?;
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        },
        Framing::UntilClose => panic!("no length in {head}"),
    }
    *kept = Some(connection);
    let field = |name| field_value(&head, name).map(str::to_owned);
    Ok(Response {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        nonce: field("replay-nonce"),
        location: field("location"),
        retry_after: field("retry-after"),
        date: field("date"),
        body,
    })
}

/// Servers that meet challenges, by TLS and by HTTP.
struct Responder {
    tls: SocketAddr,
    http: SocketAddr,
    certificates: Arc<Mutex<HashMap<String, Arc<ServerConfig>>>>,
    files: Arc<Mutex<HashMap<String, String>>>,
    servers: [JoinHandle<()>; 2],
}

impl Responder {
    async fn new() -> Self {
        let certificates = Arc::<Mutex<HashMap<_, _>>>::default();
        let files = Arc::<Mutex<HashMap<_, _>>>::default();
        let listeners = (listener().await, listener().await);
        let (tls, http) = (listeners.0.local_addr(), listeners.1.local_addr());
        let servers = [
            tokio::spawn(serve_tls(listeners.0, Arc::clone(&certificates))),
            tokio::spawn(serve_http(listeners.1, Arc::clone(&files))),
        ];
        Self { tls: tls.unwrap(), http: http.unwrap(), certificates, files, servers }
    }

    fn prepare(&self, challenge: Challenge) {
        match challenge {
            Challenge::TlsAlpn { name, certificate, key } => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
                let key = any_supported_type(&key).unwrap();
                let chain = vec![CertificateDer::from(certificate)];
                // `with_single_cert` refuses its critical extension.
                let key = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                let config = ServerConfig::builder().with_no_client_auth();
                let mut config = config.with_cert_resolver(Arc::new(key));
                config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
                self.certificates.lock().unwrap().insert(name, Arc::new(config));
            }
            Challenge::Http { token, key_authorization } => {
                self.files.lock().unwrap().insert(token, key_authorization);
            }
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

async fn serve_tls(
    listener: TcpListener,
    certificates: Arc<Mutex<HashMap<String, Arc<ServerConfig>>>>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), tcp).await else { continue };
        let name = start.client_hello().server_name().map(str::to_owned).unwrap_or_default();
        let config = certificates.lock().unwrap().get(&name).cloned();
        if let Some(config) = config {
            let _ended = start.into_stream(config).await;
        }
    }
}

async fn serve_http(listener: TcpListener, files: Arc<Mutex<HashMap<String, String>>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let mut connection = Connection::new(tcp);
        let Ok(head) = connection.read_head().await else { continue };
        let token = head.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap();
        let file = files.lock().unwrap().get(token).cloned().unwrap_or_default();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{file}", file.len());
        let _gone = connection.send(answer).await;
    }
}
