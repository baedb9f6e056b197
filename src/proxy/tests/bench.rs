//! The bench: sessions on connections in memory, upstreams played by the test, and a clock that
//! moves only when no task can go on without it.

use super::wire::Wire;
use crate::clock::Deadline;
use crate::config::Limits;
use crate::config::snapshot::Listener;
use crate::config::value::Mode;
use crate::error::ExchangeError;
use crate::gateway::redirect::HttpsNames;
use crate::gateway::rewrite::uri_reference::Origins;
use crate::gateway::route::{Route, RouteTable};
use crate::gateway::server_name::{Forward, ForwardTable, ForwardTarget, NamePattern};
use crate::net::memory::MemoryStream;
use crate::net::transport::Transport;
use crate::proxy::site::RouteUpstream;
use crate::proxy::tcp::{Accepted, Passthrough};
use crate::proxy::{Context, Session, Site};
use crate::telemetry::metrics::RouteMetrics;
use crate::telemetry::{LogFormat, logged};
use crate::timeouts::{Timeouts, Timer};
use crate::upstream::{Dial, Dialing, ProxyHeader, Upstream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::Level;

/// A request without a body, to the only route.
pub(super) const GET: &str = "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\n\r\n";
/// The head of a request with a body of a hundred octets.
pub(super) const POST: &str = "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
/// The head of a request with a chunked body.
pub(super) const CHUNKED_POST: &str =
    "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The head of a request that offers to switch.
pub(super) const SOCKET: &str =
    "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// The head that accepts the offer.
pub(super) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nX-Request-Id: i\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// A response without a body.
pub(super) const EMPTY: &str = "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
    Content-Length: 0\r\n\r\n";
/// The head of a stream of events.
pub(super) const STREAM: &str = "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
    Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n\r\n";

/// Bytes that fit into one direction of a connection, unless the test says otherwise.
const CAPACITY: usize = 1 << 20;
/// Virtual time after which a test hangs. It passes at once when every task waits.
const GUARD: Duration = Duration::from_secs(30 * 24 * 3600);
/// Turns of one session after which it spins. On a paused clock a spin would last for ever.
const POLLS_MAX: usize = 200_000;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a test and gives its access log: for each exchange the status, how it ended, and where it
/// went wrong the guilty peer and the cause.
pub(super) fn run(test: impl AsyncFnOnce(&Bench)) -> Vec<String> {
    log_of(test).iter().map(|line| words(line, &["status", "end", "fault", "cause"])).collect()
}

/// Runs a test and gives the lines of its access log.
pub(super) fn log_of(test: impl AsyncFnOnce(&Bench)) -> Vec<String> {
    let log = logged(LogFormat::Text, Level::INFO, || {
        let mut builder = Builder::new_current_thread();
        let options = LocalOptions::default();
        let runtime = builder.enable_all().start_paused(true).build_local(options).unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            timeout(GUARD, test(&bench)).await.expect("no task can go on");
        });
    });
    log.lines().filter(|it| it.contains("narrows::access: ")).map(str::to_owned).collect()
}

/// The values of these fields of a log line, where they are known.
pub(super) fn words(line: &str, names: &[&str]) -> String {
    let word = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split(' ').next().map(|word| word.trim_matches('"'))
    };
    names.iter().copied().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// Lets everybody else do all that can be done now. The clock moves by a millisecond.
pub(super) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// One route, `/gpt/`, to one upstream that the test plays.
pub(super) struct Bench {
    pub(super) context: Rc<Context>,
    network: Rc<Network>,
    sessions: RefCell<Vec<JoinHandle<()>>>,
    polls: Rc<Cell<usize>>,
    /// The size of the last future of a tcp listener.
    tcp_bytes: Cell<usize>,
}

/// What becomes of a dial.
#[derive(Clone, Copy)]
pub(super) enum DialOutcome {
    Connect,
    Fail(ExchangeError),
    Never,
}

struct Network {
    outcome: Cell<DialOutcome>,
    capacity: Cell<usize>,
    greeting: RefCell<Vec<String>>,
    accepted: RefCell<VecDeque<Wire>>,
    arrived: Notify,
    dials: Cell<usize>,
    abandoned: Cell<usize>,
}

impl Bench {
    fn new() -> Self {
        let network = Rc::new(Network {
            outcome: Cell::new(DialOutcome::Connect),
            capacity: Cell::new(CAPACITY),
            greeting: RefCell::default(),
            accepted: RefCell::default(),
            arrived: Notify::new(),
            dials: Cell::new(0),
            abandoned: Cell::new(0),
        });
        let timeouts = Arc::new(Timeouts::distinct());
        let upstream = Upstream::new(Box::new(Line(Rc::clone(&network))), 0);
        let head_limits = Limits::default().head;
        let metrics = Rc::new(RouteMetrics::new("/gpt/"));
        let counted = RouteUpstream::new(upstream.clone(), metrics, None);
        let route = Route {
            origins: Some(Origins::new(false, [b"api.test".as_slice()])),
            timeouts: Arc::clone(&timeouts),
            head_limits,
            ..Route::new("/gpt/", "/", "api.test", counted)
        };
        let site = Site {
            forward_metrics: Vec::new(),
            routes: RouteTable::new([route]),
            forwards: ForwardTable::new([]),
            https_names: Arc::new(https_names()),
            sole_upstream: Some(upstream),
            timeouts,
            head_limits,
        };
        let (sessions, polls, tcp_bytes) = Default::default();
        let context = Rc::new(Context::new(site, Rc::default()));
        Self { context, network, sessions, polls, tcp_bytes }
    }

    /// A client whose connection was just accepted.
    pub(super) fn client(&self) -> Wire {
        self.narrow_client(CAPACITY)
    }

    /// A client of which each direction holds no more than `capacity` bytes.
    pub(super) fn narrow_client(&self, capacity: usize) -> Wire {
        let (client, session) = self.idle_client(capacity);
        self.run(session);
        client
    }

    /// A client of a listener that leads to https.
    pub(super) fn redirected_client(&self) -> Wire {
        let (client, session) = self.idle_client(CAPACITY);
        self.run(session.leading_to_https());
        client
    }

    fn run(&self, mut session: Session) {
        let polls = Rc::clone(&self.polls);
        self.sessions.borrow_mut().push(spawn_local(async move {
            let mut session = pin!(session.run());
            let counted = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                assert!(polls.get() < POLLS_MAX, "the session spins");
                session.as_mut().poll(cx)
            });
            counted.await;
        }));
    }

    /// A client of a tcp listener. All forwards, for these names, lead to the upstream.
    pub(super) fn tcp_client(&self, names: &[NamePattern]) -> Wire {
        let (near, far) = MemoryStream::pair(CAPACITY);
        let dialer: Rc<dyn Dial> = Rc::new(Line(Rc::clone(&self.network)));
        let forwards = names.iter().map(|pattern| Forward {
            pattern: pattern.clone(),
            target: ForwardTarget::Upstream(Rc::clone(&dialer)),
            name: "f".into(),
        });
        let listener = Arc::new(Listener {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            name: "l".into(),
            is_second_family: false,
            tls: None,
            mode: Mode::Tcp,
            proxy_protocol: Vec::new(),
            address_rules: None,
            http: None,
            tls_of_http: None,
            redirect: false,
            is_optional: false,
            has_socket: true,
        });
        let site = Site {
            routes: RouteTable::new([]),
            forwards: ForwardTable::new(forwards),
            forward_metrics: Vec::new(),
            https_names: Arc::default(),
            sole_upstream: None,
            timeouts: Arc::new(Timeouts::distinct()),
            head_limits: Limits::default().head,
        };
        let context = Context::new(site, Rc::clone(&self.context.metrics));
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 2));
        let passthrough = Passthrough::new(Rc::new(context), peer);
        let deadline = Deadline::start(Timer::Handshake, &Timeouts::distinct());
        let transport = Transport::from(near);
        let accepted = Accepted { transport, who: peer.into(), listener, deadline };
        let passing = passthrough.run(accepted, |_| panic!("it leads to no relay"));
        self.tcp_bytes.set(size_of_val(&passing));
        self.sessions.borrow_mut().push(spawn_local(passing));
        Wire(far)
    }

    /// What the future of a connection of a tcp listener takes.
    pub(super) fn tcp_bytes(&self) -> usize {
        self.tcp_bytes.get()
    }

    /// Ends all connections as a stop does that does not wait.
    pub(super) async fn cut(&self) {
        let sessions = self.sessions.take();
        for session in sessions {
            session.abort();
            // Those that were over already are no error.
            let _over = session.await;
        }
    }

    /// A client with a session that the test runs itself.
    pub(super) fn idle_client(&self, capacity: usize) -> (Wire, Session) {
        let (near, far) = MemoryStream::pair(capacity);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let session = Session::new(Rc::clone(&self.context), Transport::from(near), address);
        (Wire(far), session)
    }

    /// A client whose response streams, has begun, and has no content yet; and its upstream.
    pub(super) async fn streaming(&self) -> (Wire, Wire) {
        let mut client = self.client();
        client.send(GET).await;
        let mut upstream = self.upstream().await;
        upstream.send(STREAM).await;
        client.read().await;
        (client, upstream)
    }

    /// The upstream's end of the next connection that was dialled.
    pub(super) async fn upstream(&self) -> Wire {
        loop {
            let accepted = self.network.accepted.borrow_mut().pop_front();
            match accepted {
                Some(wire) => return wire,
                None => self.network.arrived.notified().await,
            }
        }
    }

    /// A client and an upstream, with a tunnel between them.
    pub(super) async fn tunnel(&self) -> (Wire, Wire) {
        let mut client = self.client();
        let upstream = self.switch(&mut client).await;
        (client, upstream)
    }

    /// The upstream's end of a tunnel that `client` asks for.
    pub(super) async fn switch(&self, client: &mut Wire) -> Wire {
        client.send(SOCKET).await;
        let mut upstream = self.upstream().await;
        upstream.read().await;
        upstream.send(SWITCH).await;
        assert_eq!(client.read().await, SWITCH);
        upstream
    }

    /// From now on, dials end like this.
    pub(super) fn dials_are(&self, outcome: DialOutcome) {
        self.network.outcome.set(outcome);
    }

    /// From now on, connections to the upstream hold no more than `capacity` bytes a direction.
    pub(super) fn narrow_upstreams(&self, capacity: usize) {
        self.network.capacity.set(capacity);
    }

    /// From now on, the upstream says this before it is asked, each part in a write of its own.
    pub(super) fn upstreams_say(&self, greeting: Vec<String>) {
        self.network.greeting.replace(greeting);
    }

    /// How many connections were dialled.
    pub(super) fn dials(&self) -> usize {
        self.network.dials.get()
    }

    /// How many dials were given up before they ended.
    pub(super) fn abandoned_dials(&self) -> usize {
        self.network.abandoned.get()
    }

    /// Turns that the sessions had so far.
    pub(super) fn polls(&self) -> usize {
        self.polls.get()
    }

    /// Waits until all sessions are over.
    pub(super) async fn over(&self) {
        let sessions = self.sessions.take();
        for session in sessions {
            session.await.unwrap();
        }
    }
}

struct Line(Rc<Network>);

impl Dial for Line {
    fn dial(&self, _: Option<&ProxyHeader>) -> Dialing {
        let network = Rc::clone(&self.0);
        network.dials.set(network.dials.get() + 1);
        Box::pin(async move {
            match network.outcome.get() {
                DialOutcome::Connect => Ok(network.connect().into()),
                DialOutcome::Fail(error) => Err(error.into()),
                DialOutcome::Never => {
                    let _abandoned = Abandoned(network);
                    pending().await
                }
            }
        })
    }
}

struct Abandoned(Rc<Network>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandoned.set(self.0.abandoned.get() + 1);
    }
}

impl Network {
    fn connect(&self) -> Transport {
        let (near, far) = MemoryStream::pair(self.capacity.get());
        let mut far = Wire(far);
        for part in &*self.greeting.borrow() {
            far.write_now(part.as_bytes());
        }
        self.accepted.borrow_mut().push_back(far);
        self.arrived.notify_one();
        Transport::from(near)
    }
}

/// What listeners that lead to https lead to.
fn https_names() -> HttpsNames {
    let mut names = HttpsNames::default();
    names.add("api.example", 8443);
    names
}
