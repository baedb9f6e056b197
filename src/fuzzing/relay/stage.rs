//! A relay between peers in memory that follow a script, on a paused clock.

use super::script::{Act, Actor};
use crate::error::{Cause, ExchangeError, SocketError};
use crate::fuzzing::far_end::FarEnd;
use crate::fuzzing::model::{HEADS, routes};
use crate::gateway::server_name::ForwardTable;
use crate::limits::{BUFFER_KEPT_BYTES_MAX, DRAIN_GRACE};
use crate::net::buffer::{Buffer, free_buffers};
use crate::net::memory::{End, MemoryStream};
use crate::net::transport::Transport;
use crate::proxy::site::RouteUpstream;
use crate::proxy::{Context, Session, Site};
use crate::timeouts::Timeouts;
use crate::upstream::{Dial, Dialing, ProxyHeader, Upstream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

const CAPACITY: usize = 1 << 20;
const NARROW_CAPACITY: usize = 5;
/// No time limit of the relay is longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(40);
/// Most buffers that one session holds: four boxes, a copy, and a read in progress; and three of
/// TLS on each side.
const BUFFERS_OF_SESSION_MAX: usize = 6 + 2 * 3;
/// Free buffers before a script begins: more than its sessions need.
const FREE_BUFFERS: usize = 30;
const CLIENTS_MAX: usize = 4;

/// One connection, as the peer saw it.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// What the peer has sent.
    pub(super) sent: Vec<u8>,
    /// What the peer has received.
    pub(super) received: Vec<u8>,
    /// How much of both there was at which time. None for a peer that has paused.
    pub(super) marks: Option<Vec<Mark>>,
    /// How the peer ended its direction, if it did.
    pub(super) own_end: Option<End>,
    /// How the relay's direction ended.
    pub(super) end: Option<End>,
}

/// How much had been sent and received at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at: Instant,
    sent: usize,
    received: usize,
}

impl Traffic {
    /// How much the peer had sent before it received anything after the first `received` bytes.
    /// `crossing`: what both sides send at the same time may cross on its way.
    pub(super) fn said_before_hearing(&self, received: usize, crossing: bool) -> Option<usize> {
        let marks = self.marks.as_ref()?;
        let heard = marks.iter().position(|it| it.received > received)?;
        let is_before = |it: &&Mark| !crossing || it.at < marks[heard].at;
        marks[..heard].iter().rfind(is_before).map(|it| it.sent)
    }
}

/// What both sides saw.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) clients: Vec<Traffic>,
    /// In the order in which they were dialled.
    pub(super) upstreams: Vec<Traffic>,
}

/// Plays a script to its end, and goes on until the relay has nothing left to do.
///
/// It checks that sessions end in bounded time without spinning, hold a bounded number of buffers,
/// and return all of them.
pub(super) fn play(acts: &[Act]) -> Played {
    let mut builder = Builder::new_current_thread();
    let builder = builder.enable_time().start_paused(true);
    let runtime = builder.build_local(LocalOptions::default()).expect("a runtime");
    // Buffers of another script may have grown, and would be freed if they grew further.
    let others: Vec<Buffer> = (0..free_buffers()).map(|_| Buffer::take()).collect();
    drop((0..FREE_BUFFERS).map(|_| Buffer::take()).collect::<Vec<_>>());
    let free = free_buffers();
    let record = runtime.block_on(async {
        let stage = Stage::new(acts, free);
        stage.network.has_tls.set(acts.first() == Some(&Act::Tls));
        stage.connect();
        for act in acts {
            stage.perform(act).await;
        }
        stage.end().await
    });
    drop((runtime, others));
    record
}

struct Stage {
    context: Rc<Context>,
    network: Rc<FakeNetwork>,
    clients: RefCell<Vec<(Rc<Far>, JoinHandle<()>)>>,
    polls: Rc<Cell<usize>>,
    acts: usize,
    /// Bytes that the script sends in all.
    said: usize,
    free: usize,
}

#[derive(Default)]
struct FakeNetwork {
    fails: Cell<bool>,
    is_narrow: Cell<bool>,
    has_tls: Cell<bool>,
    accepted: RefCell<Vec<Rc<Far>>>,
}

struct Dialer(Rc<FakeNetwork>);

impl Dial for Dialer {
    fn dial(&self, _announcement: Option<&ProxyHeader>) -> Dialing {
        let network = Rc::clone(&self.0);
        Box::pin(async move {
            if network.fails.get() {
                let refused = Cause::Unreachable(SocketError::ConnectionRefused);
                return Err(ExchangeError::upstream(refused).into());
            }
            let (near, far) = network.pair(FarEnd::tls_upstream);
            network.accepted.borrow_mut().push(far);
            Ok(near.into())
        })
    }
}

type Handshake = fn(MemoryStream, MemoryStream) -> (Transport, FarEnd);

impl FakeNetwork {
    fn pair(&self, with_tls: Handshake) -> (Transport, Rc<Far>) {
        let capacity = if self.is_narrow.get() { NARROW_CAPACITY } else { CAPACITY };
        let (near, far) = MemoryStream::pair(capacity);
        let (near, far) = match self.has_tls.get() {
            true => with_tls(near, far),
            false => (near.into(), FarEnd::plain(far)),
        };
        (near, Far::open(far))
    }
}

impl Stage {
    fn new(acts: &[Act], free: usize) -> Self {
        let network = Rc::<FakeNetwork>::default();
        let upstream = Upstream::new(Box::new(Dialer(Rc::clone(&network))), 0);
        let counted = RouteUpstream::new(upstream.clone(), Rc::default(), None);
        let site = Site {
            routes: routes(&counted),
            forwards: ForwardTable::new([]),
            forward_metrics: Vec::new(),
            https_names: Arc::default(),
            sole_upstream: Some(upstream),
            timeouts: Arc::new(Timeouts::distinct()),
            head_limits: HEADS,
        };
        let length = |act: &Act| if let Act::Say(_, text) = act { text.len() } else { 0 };
        Self {
            context: Rc::new(Context::new(site, Rc::default())),
            network,
            clients: RefCell::default(),
            polls: Rc::default(),
            acts: acts.len(),
            said: acts.iter().map(length).sum(),
            free,
        }
    }

    fn connect(&self) {
        if self.clients.borrow().len() == CLIENTS_MAX {
            return;
        }
        let (transport, far) = self.network.pair(FarEnd::tls_client);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let context = Rc::clone(&self.context);
        let mut session = Session::new(context, transport, address);
        let polls = Rc::clone(&self.polls);
        let polls_max = 2000 + 20 * (self.said + self.acts);
        let counted = spawn_local(async move {
            let mut run = pin!(session.run());
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                // On a paused clock a spin would last for ever.
                assert!(polls.get() < polls_max, "the session spins");
                run.as_mut().poll(cx)
            })
            .await;
        });
        self.clients.borrow_mut().push((far, counted));
    }

    /// The connection on which `actor` does something.
    fn far(&self, actor: Actor) -> Option<Rc<Far>> {
        match actor {
            Actor::Client => self.clients.borrow().last().map(|(far, _)| Rc::clone(far)),
            Actor::Upstream => self.network.accepted.borrow().last().cloned(),
        }
    }

    async fn perform(&self, act: &Act) {
        let toggle = |it: &Cell<bool>| it.set(!it.get());
        match act {
            Act::Say(actor, text) => {
                if let Some(far) = self.far(*actor) {
                    far.queue(Out::Bytes(text.clone()));
                }
            }
            Act::End(actor, end) => {
                if let Some(far) = self.far(*actor) {
                    far.queue(Out::End(*end));
                }
            }
            Act::Pause(actor) => {
                if let Some(far) = self.far(*actor) {
                    far.traffic.borrow_mut().marks = None;
                    toggle(&far.is_paused);
                    far.wake();
                }
            }
            Act::Connect => self.connect(),
            Act::FailDials => toggle(&self.network.fails),
            Act::Narrow => self.network.is_narrow.set(true),
            Act::Tls => self.network.has_tls.set(true),
            Act::Drain => self.context.drain.begin(DRAIN_GRACE),
            Act::Settle => self.wait(Duration::from_millis(1)).await,
            Act::Sleep(seconds) => self.wait(Duration::from_secs(*seconds)).await,
        }
    }

    async fn wait(&self, time: Duration) {
        sleep(time).await;
        let sessions = self.clients.borrow().len();
        assert!(self.held() <= sessions * BUFFERS_OF_SESSION_MAX, "{} are held", self.held());
    }

    /// Buffers in use. Those that have grown large are freed and cannot be counted.
    fn held(&self) -> usize {
        if self.said > BUFFER_KEPT_BYTES_MAX / 8 { 0 } else { self.free.abs_diff(free_buffers()) }
    }

    /// Waits for the end of all sessions, while no peer sends anything.
    async fn end(self) -> Played {
        // Each of the pipelined requests may have to wait for each limit.
        let requests = self.said / b"GET / HTTP/1.0\r\n\r\n".len() + 2;
        let guard = LONGEST_WAIT * 10 * u32::try_from(requests).expect("a small number");
        let clients = self.clients.take();
        let mut fars = Vec::new();
        for (far, session) in clients {
            timeout(guard, session).await.expect("the session ends").expect("without a panic");
            fars.push(far);
        }
        let upstreams = self.network.accepted.take();
        for far in fars.iter().chain(&upstreams) {
            far.is_paused.set(false);
            far.wake();
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(self.held(), 0, "all buffers are given back");
        let traffic = |fars: Vec<Rc<Far>>| fars.iter().map(|far| far.traffic()).collect();
        Played { clients: traffic(fars), upstreams: traffic(upstreams) }
    }
}

/// The far end of a connection: a client or an upstream.
struct Far {
    stream: RefCell<FarEnd>,
    queue: RefCell<VecDeque<Out>>,
    is_paused: Cell<bool>,
    traffic: RefCell<Traffic>,
    waker: RefCell<Waker>,
}

enum Out {
    Bytes(Vec<u8>),
    End(End),
}

impl Far {
    fn open(stream: FarEnd) -> Rc<Self> {
        let far = Rc::new(Self {
            stream: RefCell::new(stream),
            queue: RefCell::default(),
            is_paused: Cell::default(),
            traffic: RefCell::new(Traffic {
                sent: Vec::new(),
                received: Vec::new(),
                marks: Some(Vec::new()),
                own_end: None,
                end: None,
            }),
            waker: RefCell::new(Waker::noop().clone()),
        });
        let moved = Rc::clone(&far);
        spawn_local(poll_fn(move |cx| moved.poll(cx)));
        far
    }

    fn queue(&self, out: Out) {
        self.queue.borrow_mut().push_back(out);
        self.wake();
    }

    fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    fn traffic(&self) -> Traffic {
        self.traffic.borrow().clone()
    }

    /// Sends what is queued, and reads what is here; without end.
    fn poll(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.waker.replace(cx.waker().clone());
        self.write(cx);
        self.read(cx);
        let mut traffic = self.traffic.borrow_mut();
        let (at, sent, received) = (Instant::now(), traffic.sent.len(), traffic.received.len());
        if let Some(marks) = &mut traffic.marks {
            marks.push(Mark { at, sent, received });
        }
        Poll::Pending
    }

    fn write(&self, cx: &mut task::Context<'_>) {
        let mut stream = self.stream.borrow_mut();
        stream.flush(cx);
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.front_mut() {
            let bytes = match first {
                Out::End(end) => {
                    self.traffic.borrow_mut().own_end.get_or_insert(*end);
                    match end {
                        End::Reset => stream.reset(),
                        End::Clean | End::Cut if stream.poll_end(cx, *end).is_ready() => {}
                        End::Clean | End::Cut => return,
                    }
                    return queue.clear();
                }
                Out::Bytes(bytes) => bytes,
            };
            match stream.poll_write(cx, bytes) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => return queue.clear(),
                Poll::Ready(Ok(len)) => {
                    self.traffic.borrow_mut().sent.extend(bytes.drain(..len));
                    if bytes.is_empty() {
                        queue.pop_front();
                    }
                }
            }
        }
    }

    fn read(&self, cx: &mut task::Context<'_>) {
        let (mut stream, mut traffic) = (self.stream.borrow_mut(), self.traffic.borrow_mut());
        let mut into = [0; 4096];
        while !self.is_paused.get() && traffic.end.is_none() {
            match stream.poll_read(cx, &mut into) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => traffic.end = Some(End::Clean),
                Poll::Ready(Ok(len)) => traffic.received.extend_from_slice(&into[..len]),
                Poll::Ready(Err(error)) => {
                    let cut = error.kind() == ErrorKind::UnexpectedEof;
                    traffic.end = Some(if cut { End::Cut } else { End::Reset });
                }
            }
        }
    }
}
