//! A worker with peers that the test plays: what a panic ends, and what it does not; how long a
//! connection has to say who it is and whom it wants.

mod balance;
mod challenge;
mod site;

use super::*;
use crate::cli::{self, Cli};
use crate::config::Config;
use crate::config::value::Mode;
use crate::net::listen::listen;
use crate::net::memory::MemoryStream;
use crate::net::transport::Transport;
use crate::proxy::{RouteUpstream, Site};
use crate::telemetry::{LogFormat, log_panic, logged};
use crate::upstream::{Dial, Dialing, ProxyHeader, Upstream};
use clap::Parser;
use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};
use tracing::Level;

const GET: &[u8] = b"GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n";
/// Longest wait for anything.
const GUARD: Duration = Duration::from_secs(10);

#[test]
fn a_panic_ends_its_connection_alone_and_is_counted_in_the_log() {
    // The hook belongs to the whole process; that of the other tests is called, too.
    let others = Arc::new(take_hook());
    let hook = Arc::clone(&others);
    set_hook(Box::new(move |info| {
        log_panic(info);
        hook(info);
    }));
    let log = logged(LogFormat::Text, Level::INFO, || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(async { timeout(GUARD, scene()).await.unwrap() });
    });
    set_hook(Box::new(move |info| others(info)));

    let counts: Vec<u64> = log.lines().filter_map(panics).collect();
    assert_eq!(counts.len(), 2, "{log}");
    // Other tests of this process may panic, too.
    assert!(counts[0] >= 1 && counts[1] > counts[0], "{log}");
    let ends = |end: &str| log.lines().filter(|it| it.contains(end)).count();
    assert_eq!(ends("end=\"aborted\" fault=\"narrows\" cause=\"panic\""), 1, "{log}");
    assert_eq!(ends("status=500"), 1, "{log}");
    assert_eq!(ends("end=\"completed\""), 2, "{log}");
}

/// The number in the line of a panic.
fn panics(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" ERROR narrows::panic: panic panics=")?;
    rest.split(' ').next()?.parse().ok()
}

async fn scene() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialer = Rc::new(Dialer {
        options: Cell::new(ResponseOptions::Connect),
        address: origin.local_addr().unwrap(),
    });
    let mut worker = worker(Rc::clone(&dialer));
    let front = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1, GUARD).unwrap().remove(0);
    let address = front.local_addr().unwrap();
    let id = SocketId::unique();
    let opened = alone([front]);
    worker.listen(Socket { id, address, listener: plain_http(), opened }).unwrap();

    let mut held = ask(address).await;
    let (mut upstream, _) = origin.accept().await.unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    expect(&mut held, "\r\n\r\nfirst").await;

    // In the task of the connection: nobody is left to answer.
    dialer.options.set(ResponseOptions::PanicAtOnce);
    let mut answer = Vec::new();
    assert_eq!(ask(address).await.read_to_end(&mut answer).await.unwrap(), 0, "{answer:?}");
    // In a task of the upstream's: the connection that waits for it is told.
    dialer.options.set(ResponseOptions::PanicInTheAttempt);
    let mut client = ask(address).await;
    expect(&mut client, "\"code\":\"internal_error\",\"param\":null}}\n").await;
    drop(client);

    upstream.write_all(b"after").await.unwrap();
    expect(&mut held, "after").await;
    dialer.options.set(ResponseOptions::Connect);
    held.write_all(GET).await.unwrap();
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    expect(&mut held, "\r\n\r\n").await;

    drop(held);
    while worker.admitter.admission.connections() > 0 {
        tokio::task::yield_now().await;
    }
    Rc::clone(&worker.listening[&id]).drain(GUARD).await;
}

#[tokio::test(flavor = "local")]
async fn by_default_an_address_of_elsewhere_has_256_places_and_this_machine_more() {
    for (address, places) in [([192, 0, 2, 7], 256), ([127, 0, 0, 1], 300)] {
        let worker = idle_worker();
        let at = listening(&worker, plain_http());
        let mut far = Vec::new();
        for port in 1..=300 {
            let (near, end) = MemoryStream::pair(1024);
            let peer = SocketAddr::from((address, port));
            worker.admitter.admit(Transport::from(near), peer, &at);
            far.push(end);
        }
        assert_eq!(worker.admitter.admission.connections(), places, "{address:?}");
        drop(far);
        at.live.none().await;
    }
}

/// A socket of `worker` that the test accepts from.
fn listening(worker: &Worker, listener: Arc<Listener>) -> Rc<Listening> {
    let address = listener.address;
    Rc::new(Listening::new(listener, address, worker.context.of_another_socket(), None))
}

/// What a worker without others accepts from.
fn alone(sockets: impl Into<Vec<std::net::TcpListener>>) -> Incoming {
    Incoming { sockets: sockets.into(), others: None }
}

/// A worker whose upstream nobody asks for anything.
fn idle_worker() -> Worker {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    worker(Rc::new(Dialer { options: Cell::new(ResponseOptions::Connect), address }))
}

/// To close the listener would reset them.
#[tokio::test(flavor = "local")]
async fn clients_that_the_kernel_has_accepted_when_a_stop_comes_are_served() {
    let worker = idle_worker();
    let front = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1, GUARD).unwrap().remove(0);
    let address = front.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    let at = listening(&worker, plain_http());
    at.context.drain.begin(DRAIN_GRACE);
    let front = TcpListener::from_std(front).unwrap();
    accept(Rc::clone(&worker.admitter), front, None, Rc::clone(&at)).await;
    assert_eq!(worker.admitter.admission.connections(), 3);
    for client in &mut clients {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
    }
    drop(clients);
    timeout(GUARD, at.live.none()).await.unwrap();
}

/// As when the kernel has no room to watch another one.
#[tokio::test(flavor = "local")]
async fn a_worker_that_cannot_accept_from_a_socket_has_begun_with_none_of_its_address() {
    let mut worker = idle_worker();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let good = listen(address, 1, GUARD).unwrap().remove(0);
    // A file cannot be watched.
    let file = std::net::TcpListener::from(OwnedFd::from(File::open("/proc/self/exe").unwrap()));
    file.set_nonblocking(true).unwrap();
    let opened = alone([good, file]);
    let (id, listener) = (SocketId::unique(), plain_http());
    assert!(worker.listen(Socket { id, address, listener, opened }).is_err());
    assert!(worker.listening.is_empty());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_stop_cuts_what_runs_after_30_s_and_waits_as_long_for_that_to_arrive() {
    let mut worker = idle_worker();
    let (sender, mut commands) = unbounded_channel();
    let begun = Instant::now();
    worker.drain(DRAIN_GRACE, &mut commands).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing runs");
    let at = listening(&worker, plain_http());
    worker.listening.insert(SocketId::unique(), Rc::clone(&at));
    let _running = at.live.enter();
    worker.drain(DRAIN_GRACE, &mut commands).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    sender.send(Command::Stop(Stop::AtOnce)).unwrap();
    worker.drain(DRAIN_GRACE, &mut commands).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(60), "asked again, it does not wait");
}

/// While a client shakes hands, or says what it wants, so do we.
#[tokio::test(flavor = "local")]
async fn a_client_that_has_just_come_is_expected_to_need_a_connection() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = origin.local_addr().unwrap();
    let dialer = Rc::new(Dialer { options: Cell::new(ResponseOptions::Connect), address });
    let worker = worker_with(Upstream::new(Box::new(dialer), 1));
    let at = listening(&worker, plain_http());
    let mut clients = Vec::new();
    for port in 1..=2 {
        let (near, far) = MemoryStream::pair(1024);
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        worker.admitter.admit(Transport::from(near), peer, &at);
        clients.push(far);
    }
    let mut ready = Vec::new();
    for _ in &clients {
        ready.push(timeout(GUARD, origin.accept()).await.unwrap().unwrap());
    }
}

/// In tcp mode, for clients that say a name, behind a proxy that announces them.
const ANNOUNCED: &str = r#"
[[listener]]
address = "127.0.0.1:0"
mode = "tcp"
proxy_protocol = ["192.0.2.0/24"]

[[forward]]
server_name = "a.example"
upstream = "tcp://127.0.0.1:9"
"#;
const HEADER: &str = "PROXY TCP4 198.51.100.7 198.51.100.1 4711 443\r\n";
/// The beginning of a hello.
const HELLO: &str = "\x16\x03\x01\0\x7f\x01\0\0\x7b\x03\x03random";
/// The record of a fatal `decode_error`.
const DECODE_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x32";

#[test]
fn one_limit_bounds_a_proxy_header_and_the_hello_behind_it() {
    let (begin, rest) = HEADER.split_at(HEADER.len() / 2);
    // What comes at the third, the sixth and the ninth second of ten.
    for (parts, answer, line) in [
        (["", "", ""], None, "no PROXY header came peer=192.0.2.1:1"),
        (["P", "R", "O"], None, "no PROXY header came peer=192.0.2.1:1"),
        ([begin, rest, ""], None, "connection client=198.51.100.7:4711"),
        ([begin, rest, HELLO], Some(DECODE_ERROR), "connection client=198.51.100.7:4711"),
        ([HEADER, "\x16", "\x03"], Some(DECODE_ERROR), "connection client=198.51.100.7:4711"),
    ] {
        let log = logged(LogFormat::Text, Level::INFO, || {
            let mut builder = Builder::new_current_thread();
            let options = LocalOptions::default();
            let runtime = builder.enable_all().start_paused(true).build_local(options).unwrap();
            runtime.block_on(say_late(parts, answer));
        });
        let told = log.lines().any(|it| it.contains(line) && it.contains("handshake_timeout"));
        assert!(told, "{parts:?}: {log}");
    }
}

/// Sends a part every three seconds, and asserts that the end, or the alert before it, comes when
/// `handshake` has passed since the beginning.
async fn say_late(parts: [&str; 3], answer: Option<&[u8]>) {
    let config = Config::parse("narrows.toml", Path::new("."), ANNOUNCED).unwrap();
    let snapshot = Snapshot::load(config).unwrap();
    let admission = Arc::new(Admission::new(1, snapshot.limits.per_address));
    let registry = Arc::new(Registry::new(1));
    let worker = Worker::new(&snapshot, admission, registry, Arc::default()).await;
    let (near, mut far) = MemoryStream::pair(1024);
    let begun = Instant::now();
    let peer = SocketAddr::from(([192, 0, 2, 1], 1));
    let at = listening(&worker, Arc::clone(&snapshot.listeners[0]));
    worker.admitter.admit(Transport::from(near), peer, &at);
    for part in parts {
        sleep(Duration::from_secs(3)).await;
        let sent = poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(part.as_bytes())])).await;
        assert!(sent.is_ok(), "{parts:?}: {sent:?} after {:?}", begun.elapsed());
    }
    let mut into = [0; 64];
    let read = poll_fn(|cx| far.poll_read(cx, &mut into)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10), "{parts:?}");
    match answer {
        Some(answer) => assert_eq!(&into[..read.unwrap()], answer, "{parts:?}"),
        None => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{parts:?}"),
    }
    drop(far);
    at.live.none().await;
    assert_eq!(worker.admitter.admission.connections(), 0);
}

fn plain_http() -> Arc<Listener> {
    Arc::new(Listener {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        name: "l".into(),
        is_second_family: false,
        tls: None,
        tls_of_http: None,
        mode: Mode::Http,
        proxy_protocol: Vec::new(),
        address_rules: None,
        http: None,
        redirect: false,
        is_optional: false,
        has_socket: true,
    })
}

fn worker(dialer: Rc<Dialer>) -> Worker {
    worker_with(Upstream::new(Box::new(dialer), 0))
}

fn worker_with(upstream: Upstream) -> Worker {
    let arguments = ["narrows", "run", "/gpt/=http://127.0.0.1:9/"];
    let cli::Action::Run(arguments) = Cli::try_parse_from(arguments).unwrap().command else {
        unreachable!("the arguments begin with run")
    };
    let snapshot = Snapshot::load(arguments.config().unwrap()).unwrap();
    let limits = &snapshot.limits;
    let admission = Arc::new(Admission::new(limits.connections, limits.per_address));
    let metrics = Rc::<WorkerMetrics>::default();
    let routes = snapshot
        .routes
        .iter()
        .map(|route| route.to(RouteUpstream::of(route, upstream.clone(), &metrics)));
    let routes = routes.collect();
    let site = Site::new(&snapshot, &metrics, routes, |_| unreachable!("there is no forward"));
    let admitter = Rc::new(Admitter::new(admission));
    let upstreams = Upstreams::new(Arc::new(Registry::new(1)), Rc::clone(&metrics));
    let context = Context::new(site, metrics);
    let (listening, draining) = Default::default();
    Worker { context, upstreams, admitter, listening, draining }
}

async fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET).await.unwrap();
    client
}

/// Reads until `end` has come.
async fn expect(client: &mut TcpStream, end: &str) {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let count = client.read_buf(&mut got).await.unwrap();
        assert!(count > 0, "no {end:?} behind {:?}", String::from_utf8_lossy(&got));
    }
}

#[derive(Clone, Copy)]
enum ResponseOptions {
    Connect,
    PanicAtOnce,
    PanicInTheAttempt,
}

struct Dialer {
    options: Cell<ResponseOptions>,
    address: SocketAddr,
}

impl Dial for Rc<Dialer> {
    fn dial(&self, _announcement: Option<&ProxyHeader>) -> Dialing {
        let address = self.address;
        match self.options.get() {
            ResponseOptions::Connect => {
                let connecting = TcpStream::connect(address);
                Box::pin(async { Ok(Transport::from(connecting.await.unwrap()).into()) })
            }
            ResponseOptions::PanicAtOnce => panic!("on purpose"),
            ResponseOptions::PanicInTheAttempt => Box::pin(async { panic!("on purpose") }),
        }
    }
}
