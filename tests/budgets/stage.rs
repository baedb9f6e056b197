//! A relay with its client and its origin on one thread, over sockets or in memory.
//!
//! The test plays both peers in the runtime's main task; sessions and keepers are tasks of their
//! own, as in a worker. So what the main task does can be left out of the count.

use narrows::config::Config;
use narrows::config::snapshot::Snapshot;
use narrows::net::memory::MemoryStream;
use narrows::net::tcp::MeteredTcp;
use narrows::net::transport::Transport;
use narrows::proxy::{Context, RouteUpstream, Session, Site};
use narrows::telemetry::metrics::WorkerMetrics;
use narrows::telemetry::{Log, LogFormat};
use narrows::tls::alpn::Alpn;
use narrows::tls::server::{self, Greeted};
use narrows::upstream::dial::NetworkDialer;
use narrows::upstream::{Dial, Dialing, ProxyHeader, Upstream};
use narrows_kit::certificates::{certificate_file, listener_keys};
use narrows_kit::client::{connect_plain, connect_tls};
use narrows_kit::origin::Origin;
use narrows_kit::peer::{Peer, ROUNDS};
use narrows_kit::within;
use std::cell::RefCell;
use std::future::{poll_fn, ready};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{spawn_local, yield_now};
use tokio_rustls::rustls::ServerConfig;
use tracing::Level;

/// What a pipe in memory holds in each direction: more than any test sends, so that room never cuts
/// a write.
const PIPE_BYTES: usize = 4 * 1024 * 1024;

/// Runs a scene as the main task of a runtime like a worker's, with a log that goes nowhere.
pub fn run(scene: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    let log = Log::new(LogFormat::Text, Level::INFO, |_line, _may_wait| ());
    let _logging = tracing::subscriber::set_default(log);
    runtime.block_on(within("the end of the scene", scene));
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

impl Sockets {
    /// Connects both ends, by way of one small exchange.
    pub async fn open(security: Security) -> Self {
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = front.local_addr().unwrap();
        let back = match security {
            Security::Plain => Origin::plain().await,
            Security::Tls => Origin::tls().await,
        };
        let snapshot = snapshot(security, back.address());
        let tls = snapshot.listeners[0].tls.clone();
        let timeouts = Arc::clone(&snapshot.timeouts);
        let upstream = &snapshot.routes[0].upstream;
        let dialer = NetworkDialer::new(upstream, timeouts, &Arc::default(), Rc::default());
        let context = context(snapshot, Box::new(dialer));
        spawn_local(serve(context, front, tls));

        let mut client = match security {
            Security::Plain => connect_plain(relay).await,
            Security::Tls => connect_tls(relay).await,
        };
        client.send("GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut origin = back.accept().await;
        origin.read_head().await;
        origin.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        client.read_head().await;
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
            let greeted = server::accept(&config, MeteredTcp::new(tcp), Alpn::Http, None).await;
            let Ok(Greeted::Tls(transport)) = greeted else { return };
            transport
        }
    };
    Session::new(context, transport, address).run().await;
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
        Box::pin(ready(Ok(Transport::from(near).into())))
    }
}

fn snapshot(security: Security, origin: SocketAddr) -> Snapshot {
    let (keys, ca) = (listener_keys(), certificate_file("ca.pem"));
    let (keys, scheme, roots) = match security {
        Security::Plain => ("", "http", String::new()),
        Security::Tls => (&*keys, "https", format!("ca = {ca:?}\n")),
    };
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{keys}[[route]]\npath = \"/gpt/\"\n\
         upstream = \"{scheme}://api.openai.test/\"\nconnect = \"{origin}\"\n{roots}"
    );
    let config = Config::parse("budgets.toml", Path::new("."), &toml).unwrap();
    Snapshot::load(config).unwrap()
}

/// No connection is opened before it is needed: the number of the origin's is the test's then.
fn context(snapshot: Snapshot, dialer: Box<dyn Dial>) -> Rc<Context> {
    let upstream = Upstream::new(dialer, 0);
    let metrics = Rc::<WorkerMetrics>::default();
    let routes = snapshot
        .routes
        .iter()
        .map(|route| route.to(RouteUpstream::of(route, upstream.clone(), &metrics)));
    let routes = routes.collect();
    let site = Site::new(&snapshot, &metrics, routes, |_| unreachable!("there is no forward"));
    Rc::new(Context::new(site, metrics))
}
