//! A relay with its client and its origin on one thread, over sockets or in memory.
//!
//! The test plays both peers in the runtime's main task; sessions and keepers are tasks of their
//! own, as in a worker. So what the main task does can be left out of the count.

use clap::Parser;
use narrows::cli::{Cli, Command};
use narrows::config::snapshot::Snapshot;
use narrows::net::memory::MemoryStream;
use narrows::net::tcp::MeteredTcp;
use narrows::net::transport::Transport;
use narrows::proxy::{Context, Session, Site};
use narrows::telemetry::{Log, LogFormat};
use narrows::tls::alpn::Alpn;
use narrows::tls::server::{self, Greeted};
use narrows::upstream::dial::NetworkDialer;
use narrows::upstream::{Dial, Dialing, ProxyHeader, Upstream};
use std::cell::RefCell;
use std::future::{poll_fn, ready};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{spawn_local, yield_now};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::Level;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/ca.pem");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/server.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/server.key");

/// Longest run of one scene. Only a hang comes near it, also on a busy machine.
const GUARD: Duration = Duration::from_secs(60);
/// Turns that everyone else gets before silence is believed.
const ROUNDS: usize = 64;
/// Both directions of a pipe in memory take more than any test sends: nothing is cut by room.
const PIPE_BYTES: usize = 4 * 1024 * 1024;

/// Runs a scene as the main task of a runtime like a worker's, with a log that goes nowhere.
pub fn run(scene: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    let log = Log::new(LogFormat::Text, Level::INFO, |_line, _may_wait| ());
    let _logging = tracing::subscriber::set_default(log);
    runtime.block_on(async {
        tokio::time::timeout(GUARD, scene).await.expect("the scene ends");
    });
}

/// Runs a scene and gives the allocations of everything but its main task: of the relay.
pub fn allocations(scene: impl Future<Output = ()>) -> u64 {
    let scene = async {
        let mut scene = pin!(scene);
        poll_fn(|cx| {
            let mut polled = Poll::Pending;
            allocation_counter::opt_out(|| polled = scene.as_mut().poll(cx));
            polled
        })
        .await;
    };
    allocation_counter::measure(|| run(scene)).count_total
}

/// Whether there is TLS, on both sides of the relay or on neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    Tls,
}

/// A client and an origin over sockets, one kept connection each, the relay between them.
pub struct Sockets {
    pub client: Peer,
    pub origin: Peer,
}

/// One end of a socket, plain or TLS.
pub struct Peer(Box<dyn Wire>);

trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Sockets {
    /// Connects both ends, by way of one small exchange.
    pub async fn open(security: Security) -> Self {
        let (front, back) = (listen().await, listen().await);
        let (relay, origin) = (front.local_addr().unwrap(), back.local_addr().unwrap());
        let snapshot = snapshot(security, origin);
        let tls = snapshot.listeners[0].tls.clone();
        let timeouts = Arc::clone(&snapshot.timeouts);
        let upstream = &snapshot.routes[0].upstream;
        let dialer = NetworkDialer::new(upstream, timeouts, &Arc::default());
        let context = context(snapshot, Box::new(dialer));
        spawn_local(serve(context, front, tls));

        let mut client = Peer::connect(security, relay).await;
        client.send(b"GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut origin = Peer::accept(security, &back).await;
        origin.read_through(b"\r\n\r\n").await;
        origin.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        client.read_through(b"\r\n\r\n").await;
        Self { client, origin }
    }
}

/// Serves one client.
async fn serve(context: Rc<Context>, front: TcpListener, tls: Option<Arc<ServerConfig>>) {
    let (tcp, address) = front.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let transport = match tls {
        None => Transport::from(tcp),
        Some(config) => {
            let greeted = server::accept(&config, MeteredTcp::new(tcp), Alpn::Http).await;
            let Ok(Greeted::Tls(transport)) = greeted else { return };
            transport
        }
    };
    Session::new(context, transport, address).run().await;
}

impl Peer {
    async fn connect(security: Security, relay: SocketAddr) -> Self {
        let tcp = TcpStream::connect(relay).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        if security == Security::Plain {
            return Self(Box::new(tcp));
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(CA).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        Self(Box::new(tls))
    }

    async fn accept(security: Security, back: &TcpListener) -> Self {
        let (tcp, _relay) = back.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        if security == Security::Plain {
            return Self(Box::new(tcp));
        }
        let chain = vec![CertificateDer::from_pem_file(CERTIFICATE).unwrap()];
        let key = PrivateKeyDer::from_pem_file(KEY).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        Self(Box::new(acceptor.accept(tcp).await.unwrap()))
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Reads until what has come ends in `end`.
    pub async fn read_through(&mut self, end: &[u8]) {
        let mut tail = Vec::new();
        while !tail.ends_with(end) {
            let kept = tail.len().min(end.len());
            tail.drain(..tail.len() - kept);
            tail.reserve(64 * 1024);
            let len = self.0.read_buf(&mut tail).await.unwrap();
            assert!(len > 0, "the connection ended before {}", String::from_utf8_lossy(end));
        }
    }
}

/// A client and an origin in memory, where writes stay apart and can be counted.
pub struct Pipes {
    pub client: Pipe,
    origins: Rc<RefCell<Vec<Pipe>>>,
}

/// The test's end of a connection in memory.
pub struct Pipe(MemoryStream);

impl Pipes {
    /// A relay that waits for the client's first request.
    pub fn open() -> Self {
        let origins = Rc::default();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let dialer = PipeDialer(Rc::clone(&origins));
        let context = context(snapshot(Security::Plain, nowhere), Box::new(dialer));
        let (near, far) = MemoryStream::pair(PIPE_BYTES);
        let mut session = Session::new(context, Transport::from(far), nowhere);
        spawn_local(async move { session.run().await });
        Self { client: Pipe(near), origins }
    }

    /// The connection that the relay has opened last.
    pub async fn origin(&self) -> Pipe {
        loop {
            if let Some(origin) = self.origins.borrow_mut().pop() {
                return origin;
            }
            yield_now().await;
        }
    }
}

impl Pipe {
    /// Sends `bytes` in one write.
    pub async fn write(&mut self, bytes: &[u8]) {
        let slices = [IoSlice::new(bytes)];
        let len = poll_fn(|cx| self.0.poll_write(cx, &slices)).await.unwrap();
        assert_eq!(len, bytes.len(), "the pipe has room");
    }

    /// What the relay has sent in one write.
    pub async fn read_write(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; PIPE_BYTES];
        let len = poll_fn(|cx| self.0.poll_read(cx, &mut bytes)).await.unwrap();
        bytes.truncate(len);
        bytes
    }

    /// Asserts that the relay has sent nothing more.
    pub async fn assert_silent(&mut self) {
        for _ in 0..ROUNDS {
            yield_now().await;
        }
        let mut bytes = [0; 64];
        let polled = poll_fn(|cx| Poll::Ready(self.0.poll_read(cx, &mut bytes))).await;
        assert!(polled.is_pending(), "{polled:?}: {}", String::from_utf8_lossy(&bytes));
    }
}

struct PipeDialer(Rc<RefCell<Vec<Pipe>>>);

impl Dial for PipeDialer {
    fn dial(&self, _: Option<&ProxyHeader>) -> Dialing {
        let (near, far) = MemoryStream::pair(PIPE_BYTES);
        self.0.borrow_mut().push(Pipe(far));
        Box::pin(ready(Ok(Transport::from(near))))
    }
}

/// What `narrows run` would make of these arguments.
fn snapshot(security: Security, origin: SocketAddr) -> Snapshot {
    let mut arguments = vec!["narrows", "run", "--listen", "127.0.0.1:0"];
    let connect = origin.to_string();
    arguments.extend(["--connect", &connect]);
    match security {
        Security::Plain => arguments.push("/gpt/=http://api.openai.test/"),
        Security::Tls => {
            arguments.extend(["--certificate", CERTIFICATE, "--key", KEY, "--ca", CA]);
            arguments.push("/gpt/=https://api.openai.test/");
        }
    }
    let Command::Run(arguments) = Cli::try_parse_from(arguments).unwrap().command else {
        unreachable!("the arguments begin with run");
    };
    Snapshot::load(&arguments.config().unwrap()).unwrap()
}

/// No connection is opened before it is needed: the number of the origin's is the test's then.
fn context(snapshot: Snapshot, dialer: Box<dyn Dial>) -> Rc<Context> {
    let upstream = Upstream::new(dialer, 0);
    let site = Site::new(&snapshot, |_| upstream.clone(), |_| unreachable!("there is no forward"));
    Rc::new(Context::new(site))
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
