//! A new site, while exchanges and connections that began with the old one go on.

use super::{GET, GUARD, alone, ask, expect, idle_worker, listening, plain_http};
use crate::config::Config;
use crate::config::snapshot::Snapshot;
use crate::limits::DRAIN_GRACE;
use crate::net::admission::Admission;
use crate::upstream::registry::Registry;
use crate::worker::upstreams::Upstreams;
use crate::worker::{Command, Incoming, Serve, Socket, SocketId, Stop, Worker};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

/// The head of a response, and half of its body.
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst";
const SOME: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
                    [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test(flavor = "local")]
async fn an_exchange_ends_by_the_route_it_began_with_and_the_next_takes_the_new_one() {
    let (old, new) = (listen().await, listen().await);
    let relay = Relay::start(&http(&old)).await;
    let mut client = ask(relay.address).await;
    let mut upstream = accept(&old).await;
    upstream.write_all(HALF).await.unwrap();
    expect(&mut client, "\r\n\r\nfirst").await;

    let mut another = ask(relay.address).await;
    let mut runs_on = accept(&old).await;
    runs_on.write_all(HALF).await.unwrap();
    expect(&mut another, "\r\n\r\nfirst").await;

    relay.tell(&http(&new));
    upstream.write_all(b"after").await.unwrap();
    expect(&mut client, "after").await;
    // No one can ask for the old one any more, so its connection does not stay in a pool.
    let mut rest = Vec::new();
    timeout(GUARD, upstream.read_to_end(&mut rest)).await.unwrap().unwrap();

    client.write_all(GET).await.unwrap();
    answer(&mut accept(&new).await, &mut client).await;
    runs_on.write_all(b"after").await.unwrap();
    expect(&mut another, "after").await;
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_is_configured_as_before_keeps_its_connections() {
    let origin = listen().await;
    let relay = Relay::start(&http(&origin)).await;
    let mut client = ask(relay.address).await;
    let mut upstream = accept(&origin).await;
    answer(&mut upstream, &mut client).await;

    let another = http(&origin).replace("/gpt/", "/another/");
    relay.tell(&format!("{another}\n{}", route(&origin)));
    client.write_all(GET).await.unwrap();
    answer(&mut upstream, &mut client).await;

    // So does one that keeps more connections, for another time, and opens them within another.
    let changed = http(&origin).replace("warm = 0", "warm = 0\nconnection_age = \"1h\"");
    relay.tell(&format!("{changed}\n[timeouts]\nconnect = \"1s\"\n"));
    client.write_all(GET).await.unwrap();
    answer(&mut upstream, &mut client).await;
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_stays_opens_the_warm_connections_that_it_is_to_keep_from_now_on() {
    let origin = listen().await;
    let relay = Relay::start(&http(&origin)).await;
    let mut client = ask(relay.address).await;
    let mut upstream = accept(&origin).await;
    answer(&mut upstream, &mut client).await;
    relay.tell(&http(&origin).replace("warm = 0", "warm = 2"));
    let _second = accept(&origin).await;
    relay.tell(&http(&origin).replace("warm = 0", "warm = 3"));
    let _third = accept(&origin).await;
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_stays_drops_connections_above_its_new_age() {
    let origin = listen().await;
    let relay = Relay::start(&http(&origin)).await;
    let mut client = ask(relay.address).await;
    let mut upstream = accept(&origin).await;
    answer(&mut upstream, &mut client).await;
    relay.tell(&http(&origin).replace("warm = 0", "warm = 0\nconnection_age = \"1ms\""));
    let mut rest = Vec::new();
    timeout(GUARD, upstream.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_is_gone_leaves_no_task_behind() {
    let (old, new) = (listen().await, listen().await);
    let mut upstreams = Upstreams::new(Arc::new(Registry::new(1)), Rc::default());
    let alive = || Handle::current().metrics().num_alive_tasks();
    drop(upstreams.site(&snapshot(&http(&old))).await);
    yield_now().await;
    let before = alive();
    drop(upstreams.site(&snapshot(&http(&new))).await);
    for _ in 0..4 {
        yield_now().await;
    }
    assert_eq!(alive(), before, "the maintenance of the old one has ended");
}

#[tokio::test(flavor = "local")]
async fn connections_have_their_turn_while_a_site_of_many_routes_is_made() {
    let route =
        |number| format!("[[route]]\npath = \"/{number}/\"\nupstream = \"http://127.0.0.1:9/\"\n");
    let many: String = (0..100).map(route).collect();
    let snapshot = snapshot(&format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{many}"));
    let mut upstreams = Upstreams::new(Arc::new(Registry::new(1)), Rc::default());
    let mut making = pin!(upstreams.site(&snapshot));
    let mut turns = 0;
    let site = poll_fn(|cx| {
        turns += 1;
        making.as_mut().poll(cx)
    });
    assert_eq!(site.await.routes.iter().count(), 100);
    assert!(turns > 5, "{turns}");
}

#[tokio::test(flavor = "local")]
async fn a_client_that_has_needed_no_connection_keeps_none_of_an_upstream_that_is_gone() {
    let (old, new) = (listen().await, listen().await);
    let relay = Relay::start(&http(&old).replace("warm = 0", "warm = 1")).await;
    let mut client = TcpStream::connect(relay.address).await.unwrap();
    client.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut upstream = accept(&old).await;
    assert_ne!(client.read(&mut [0; 1024]).await.unwrap(), 0, "an answer of ours");

    relay.tell(&http(&new));
    let mut rest = Vec::new();
    timeout(GUARD, upstream.read_to_end(&mut rest)).await.unwrap().unwrap();
    client.write_all(GET).await.unwrap();
    answer(&mut accept(&new).await, &mut client).await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_in_tcp_mode_keeps_its_upstream_and_the_next_gets_the_new_one() {
    let (old, new) = (listen().await, listen().await);
    let relay = Relay::start(&tcp(&old)).await;
    let mut first = TcpStream::connect(relay.address).await.unwrap();
    let mut upstream = accept(&old).await;

    relay.tell(&tcp(&new));
    let mut second = TcpStream::connect(relay.address).await.unwrap();
    accept(&new).await.write_all(b"new").await.unwrap();
    expect(&mut second, "new").await;
    upstream.write_all(b"old").await.unwrap();
    expect(&mut first, "old").await;
}

#[tokio::test(flavor = "local")]
async fn a_socket_takes_its_new_listener_and_connections_keep_theirs() {
    let (http_origin, tcp_origin) = (listen().await, listen().await);
    let relay = Relay::start(&http(&http_origin)).await;
    let mut before = ask(relay.address).await;
    let mut upstream = accept(&http_origin).await;
    relay.tell(&tcp(&tcp_origin));
    let mut client = TcpStream::connect(relay.address).await.unwrap();
    accept(&tcp_origin).await.write_all(b"tcp").await.unwrap();
    expect(&mut client, "tcp").await;
    answer(&mut upstream, &mut before).await;
}

#[tokio::test(flavor = "local")]
async fn a_socket_that_is_added_is_served_and_one_that_is_missing_drains() {
    let origin = listen().await;
    let relay = Relay::start(&http(&origin)).await;
    let mut idle = ask(relay.address).await;
    answer(&mut accept(&origin).await, &mut idle).await;
    let mut running = ask(relay.address).await;
    let mut upstream = accept(&origin).await;
    upstream.write_all(HALF).await.unwrap();
    expect(&mut running, "\r\n\r\nfirst").await;
    // One that the worker has not accepted yet.
    let queued = std::net::TcpStream::connect(relay.address).unwrap();

    let added = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = added.local_addr().unwrap();
    added.set_nonblocking(true).unwrap();
    let snapshot = Arc::new(snapshot(&http(&origin)));
    let listener = Arc::clone(&snapshot.listeners[0]);
    let sockets =
        vec![Socket { id: SocketId::unique(), address, listener, opened: alone([added]) }];
    relay.commands.send(Command::Serve(Serve { snapshot, sockets })).unwrap();

    let mut new = ask(address).await;
    answer(&mut accept(&origin).await, &mut new).await;
    let mut rest = Vec::new();
    // Its next request is the last.
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    timeout(GUARD, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 404 "));
    assert!(TcpStream::connect(relay.address).await.is_err());
    queued.set_nonblocking(true).unwrap();
    let mut queued = TcpStream::from_std(queued).unwrap();
    queued.write_all(GET).await.unwrap();
    answer(&mut accept(&origin).await, &mut queued).await;
    timeout(GUARD, queued.read_to_end(&mut rest)).await.unwrap().unwrap();
    upstream.write_all(b"after").await.unwrap();
    expect(&mut running, "after").await;
    // The other socket goes on.
    new.write_all(GET).await.unwrap();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_runs_on_a_socket_that_is_gone_is_cut_after_the_time_of_a_stop() {
    let mut worker = idle_worker();
    let at = listening(&worker, plain_http());
    worker.listening.insert(SocketId::unique(), Rc::clone(&at));
    let running = at.live.enter();
    let snapshot = snapshot(&format!("{SOME}[timeouts]\nstop = \"7s\"\n"));
    worker.change(Serve { snapshot: Arc::new(snapshot), sockets: Vec::new() }).await;
    assert!(worker.listening.is_empty() && worker.draining.len() == 1);
    sleep(Duration::from_millis(6999)).await;
    assert!(!at.context.drain.is_over());
    sleep(Duration::from_millis(2)).await;
    assert!(at.context.drain.is_over());
    // A stop waits for it, too.
    let (_sender, mut commands) = unbounded_channel();
    assert!(
        timeout(Duration::from_secs(1), worker.drain(DRAIN_GRACE, &mut commands)).await.is_err()
    );
    drop(running);
    worker.drain(DRAIN_GRACE, &mut commands).await;
}

#[tokio::test(flavor = "local")]
async fn a_worker_serves_until_it_is_told_to_stop_or_nobody_can_tell_it_any_more() {
    for stop in [Stop::WhenDone, Stop::HandedOver, Stop::AtOnce] {
        let relay = Relay::start(&http(&listen().await)).await;
        relay.commands.send(Command::Stop(stop)).unwrap();
        assert_eq!(relay.serving.await.unwrap(), stop);
    }
    let Relay { commands, serving, .. } = Relay::start(&http(&listen().await)).await;
    drop(commands);
    assert_eq!(serving.await.unwrap(), Stop::AtOnce);
}

/// A worker with one socket, in a task of this thread.
struct Relay {
    address: SocketAddr,
    id: SocketId,
    commands: UnboundedSender<Command>,
    serving: JoinHandle<Stop>,
}

impl Relay {
    async fn start(toml: &str) -> Self {
        let snapshot = snapshot(toml);
        let admission = Arc::new(Admission::new(9, snapshot.limits.per_address));
        let registry = Arc::new(Registry::new(1));
        let mut worker = Worker::new(&snapshot, admission, registry, Arc::default()).await;
        let socket = listen().await;
        let address = socket.local_addr().unwrap();
        let (id, listener) = (SocketId::unique(), Arc::clone(&snapshot.listeners[0]));
        let opened = alone([socket.into_std().unwrap()]);
        worker.listen(Socket { id, address, listener, opened }).unwrap();
        let (commands, mut receiver) = unbounded_channel();
        let serving = spawn_local(async move { worker.serve(&mut receiver).await });
        Self { address, id, commands, serving }
    }

    /// A new configuration. The socket stays.
    fn tell(&self, toml: &str) {
        let snapshot = Arc::new(snapshot(toml));
        let listener = Arc::clone(&snapshot.listeners[0]);
        let sockets = vec![Socket {
            id: self.id,
            address: self.address,
            listener,
            opened: Incoming::default(),
        }];
        self.commands.send(Command::Serve(Serve { snapshot, sockets })).unwrap();
    }
}

fn snapshot(toml: &str) -> Snapshot {
    Snapshot::load(Config::parse("narrows.toml", Path::new("."), toml).unwrap()).unwrap()
}

fn http(origin: &TcpListener) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", route(origin))
}

fn route(origin: &TcpListener) -> String {
    let address = origin.local_addr().unwrap();
    format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{address}/\"\nwarm = 0\n")
}

fn tcp(origin: &TcpListener) -> String {
    let address = origin.local_addr().unwrap();
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n\
         [[forward]]\nserver_name = \"*\"\nupstream = \"tcp://{address}\"\n"
    )
}

/// Answers the request that `upstream` gets.
async fn answer(upstream: &mut TcpStream, client: &mut TcpStream) {
    timeout(GUARD, expect(upstream, "\r\n\r\n")).await.unwrap();
    upstream.write_all(EMPTY).await.unwrap();
    timeout(GUARD, expect(client, "\r\n\r\n")).await.unwrap();
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn accept(origin: &TcpListener) -> TcpStream {
    timeout(GUARD, origin.accept()).await.unwrap().unwrap().0
}
