//! The bench: sessions on connections in memory, upstreams played by the test, and a clock that
//! moves only when nobody can do anything without it.

use crate::config::Limits;
use crate::config::snapshot::Snapshot;
use crate::deadline::Timeouts;
use crate::error::ExchangeError;
use crate::net::memory::{End, MemoryStream};
use crate::net::transport::Transport;
use crate::ops::{LogFormat, logged};
use crate::proxy::context::Drain;
use crate::proxy::{Context, Session};
use crate::route::{Route, RouteTable};
use crate::upstream::{Dial, Dialing, Upstream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
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
pub(super) const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// A response without a body.
pub(super) const EMPTY: &str = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n";
/// The head of a stream of events.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bytes that fit into one direction of a connection, unless the test says otherwise.
const CAPACITY: usize = 1 << 20;
/// Virtual time after which a test hangs: when nobody can move any more, it passes at once.
const GUARD: Duration = Duration::from_secs(30 * 24 * 3600);
/// Turns of one session after which it spins. On a paused clock a spin would last for ever.
const POLLS_MAX: usize = 200_000;

/// Limits of time of which no two are alike, so that a time tells which of them it was.
pub(super) fn timeouts() -> Timeouts {
    Timeouts {
        request_head: seconds(11),
        keep_alive: seconds(13),
        response_head: seconds(17),
        tunnel: seconds(19),
        linger: seconds(2),
        to_upstream_read: seconds(23),
        to_upstream_write: seconds(29),
        to_client_read: seconds(31),
        to_client_write: seconds(37),
        ..Timeouts::default()
    }
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a test and gives its access log: for each exchange the status, how it ended, and where it
/// went wrong the guilty peer and the cause.
pub(super) fn run(test: impl AsyncFnOnce(&Bench)) -> Vec<String> {
    let log = logged(LogFormat::Text, Level::INFO, || {
        let mut builder = Builder::new_current_thread();
        let options = LocalOptions::default();
        let runtime = builder.enable_all().start_paused(true).build_local(options).unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            timeout(GUARD, test(&bench)).await.expect("nobody can move any more");
        });
    });
    log.lines().filter(|line| line.contains("narrows::access: exchange")).map(outcome).collect()
}

fn outcome(line: &str) -> String {
    let word = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split(' ').next().map(|word| word.trim_matches('"'))
    };
    let words = ["status", "end", "fault", "cause"].into_iter().filter_map(word);
    words.collect::<Vec<_>>().join(" ")
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
}

/// What becomes of a dial.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    Connect,
    Fail(ExchangeError),
    Never,
}

struct Network {
    manner: Cell<Manner>,
    capacity: Cell<usize>,
    greeting: RefCell<Vec<u8>>,
    accepted: RefCell<VecDeque<Wire>>,
    arrived: Notify,
    dials: Cell<usize>,
    abandoned: Cell<usize>,
}

impl Bench {
    fn new() -> Self {
        let network = Rc::new(Network {
            manner: Cell::new(Manner::Connect),
            capacity: Cell::new(CAPACITY),
            greeting: RefCell::default(),
            accepted: RefCell::default(),
            arrived: Notify::new(),
            dials: Cell::new(0),
            abandoned: Cell::new(0),
        });
        let route = Route {
            path: b"/gpt/".as_slice().into(),
            replacement: b"/".as_slice().into(),
            host: b"api.test".as_slice().into(),
            upstream: 0,
            name: "/gpt/".into(),
        };
        let snapshot = Snapshot {
            workers: 1,
            listeners: Vec::new(),
            routes: RouteTable::new(vec![route]),
            upstreams: Vec::new(),
            timeouts: timeouts(),
            limits: Limits::default(),
        };
        let upstream = Upstream::new(Box::new(Line(Rc::clone(&network))));
        let context = Context {
            snapshot: Arc::new(snapshot),
            upstreams: vec![upstream],
            drain: Drain::default(),
        };
        let (sessions, polls) = (RefCell::default(), Rc::new(Cell::new(0)));
        Self { context: Rc::new(context), network, sessions, polls }
    }

    /// A client whose connection was just accepted.
    pub(super) fn client(&self) -> Wire {
        self.narrow_client(CAPACITY)
    }

    /// A client of which each direction holds no more than `capacity` bytes.
    pub(super) fn narrow_client(&self, capacity: usize) -> Wire {
        let (client, session) = self.idle_client(capacity);
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
        client
    }

    /// A client with a session that the test runs itself.
    pub(super) fn idle_client(&self, capacity: usize) -> (Wire, Session) {
        let (near, far) = MemoryStream::pair(capacity);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let session = Session::new(Rc::clone(&self.context), Transport::Memory(near), address);
        (Wire(far), session)
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

    /// From now on, dials end like this.
    pub(super) fn dials_are(&self, manner: Manner) {
        self.network.manner.set(manner);
    }

    /// From now on, connections to the upstream hold no more than `capacity` bytes a direction.
    pub(super) fn narrow_upstreams(&self, capacity: usize) {
        self.network.capacity.set(capacity);
    }

    /// From now on, the upstream says this before it is asked.
    pub(super) fn upstreams_say(&self, greeting: &str) {
        self.network.greeting.replace(greeting.as_bytes().to_vec());
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
    fn dial(&self) -> Dialing {
        let network = Rc::clone(&self.0);
        network.dials.set(network.dials.get() + 1);
        Box::pin(async move {
            match network.manner.get() {
                Manner::Connect => Ok(network.connect()),
                Manner::Fail(error) => Err(error),
                Manner::Never => {
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
        far.write_now(&self.greeting.borrow());
        self.accepted.borrow_mut().push_back(far);
        self.arrived.notify_one();
        Transport::Memory(near)
    }
}

/// The far end of a connection: a client or an upstream, played by the test. Dropped, it cuts.
pub(super) struct Wire(MemoryStream);

impl Wire {
    /// Sends `bytes`, in one write if there is room.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("our bytes are taken");
    }

    /// As `send`, to a relay that may be done with us.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let len = poll_fn(|cx| self.0.poll_write(cx, &[IoSlice::new(left)])).await?;
            left = &left[len..];
        }
        Ok(())
    }

    /// Sends a byte of `bytes` each time `gap` seconds have passed, for as long as it is taken.
    pub(super) async fn trickle(&mut self, bytes: &str, gap: u64) {
        for byte in bytes.as_bytes() {
            sleep(seconds(gap)).await;
            if self.try_send([*byte]).await.is_err() {
                return;
            }
        }
    }

    /// Writes `bytes` at once; there has to be room.
    pub(super) fn write_now(&mut self, bytes: &[u8]) {
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let written = self.0.poll_write(&mut cx, &[IoSlice::new(bytes)]);
        assert!(matches!(written, Poll::Ready(Ok(len)) if len == bytes.len()), "{written:?}");
    }

    /// The relay's next write, whole.
    pub(super) async fn read(&mut self) -> String {
        let bytes = self.read_some(CAPACITY).await;
        String::from_utf8(bytes).unwrap()
    }

    /// At most `len` bytes of the relay's next write.
    pub(super) async fn read_some(&mut self, len: usize) -> Vec<u8> {
        let mut into = vec![0; len];
        let read = poll_fn(|cx| self.0.poll_read(cx, &mut into)).await;
        let len = read.expect("the connection goes on");
        assert!(len > 0, "the connection goes on");
        into.truncate(len);
        into
    }

    /// All that comes until the relay ends this direction, and how it does.
    pub(super) async fn read_to_end(&mut self) -> (String, End) {
        let (mut bytes, mut into) = (Vec::new(), vec![0; CAPACITY]);
        let end = loop {
            match poll_fn(|cx| self.0.poll_read(cx, &mut into)).await {
                Ok(0) => break End::Clean,
                Ok(len) => bytes.extend_from_slice(&into[..len]),
                Err(error) => break kind_of_end(&error),
            }
        };
        (String::from_utf8(bytes).unwrap(), end)
    }

    /// The writes that are here, and the end if that is here, too.
    pub(super) fn here(&mut self) -> (Vec<String>, Option<End>) {
        let (mut writes, mut into) = (Vec::new(), vec![0; CAPACITY]);
        let mut cx = std::task::Context::from_waker(Waker::noop());
        loop {
            match self.0.poll_read(&mut cx, &mut into) {
                Poll::Pending => return (writes, None),
                Poll::Ready(Ok(0)) => return (writes, Some(End::Clean)),
                Poll::Ready(Ok(len)) => {
                    writes.push(String::from_utf8(into[..len].to_vec()).unwrap());
                }
                Poll::Ready(Err(error)) => return (writes, Some(kind_of_end(&error))),
            }
        }
    }

    /// Bytes that the relay has taken or that fitted into the connection.
    pub(super) fn written(&self) -> u64 {
        self.0.written()
    }

    /// Ends our direction, or everything with [`End::Reset`].
    pub(super) fn end(&mut self, end: End) {
        match end {
            End::Clean | End::Cut => self.0.end(end),
            End::Reset => self.0.reset(),
        }
    }
}

fn kind_of_end(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::UnexpectedEof => End::Cut,
        ErrorKind::ConnectionReset => End::Reset,
        other => panic!("an end by {other}"),
    }
}
