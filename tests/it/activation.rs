//! Sockets from systemd (`LISTEN_FDS`), and what systemd is told (`NOTIFY_SOCKET`).

use crate::support::stage::{CHUNKED, GET, Stage, expect_ok};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram as StdUnixDatagram};
use std::process;
use tokio::net::{TcpStream, UnixDatagram};

fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn configuration(address: SocketAddr, origin: &Origin) -> String {
    let upstream = origin.address();
    format!(
        "[[listener]]\naddress = \"{address}\"\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"http://{upstream}/\"\n"
    )
}

#[tokio::test]
async fn a_client_that_connects_before_the_start_is_served_by_the_socket_of_systemd() {
    let origin = Origin::plain().await;
    let (socket, address) = socket();
    let mut early = connect_plain(address).await;
    let relay = Relay::start(&configuration(address, &origin)).sockets([socket]).await;
    assert_eq!(relay.addresses(), [address]);
    expect_ok(&mut early, &origin).await;
    expect_ok(&mut relay.connect().await, &origin).await;
}

/// Each worker polls its own connections, so the kernel shows who has how many.
#[tokio::test]
async fn each_of_four_workers_has_the_same_share_of_the_clients_of_one_socket() {
    let origin = Origin::plain().await;
    let (socket, address) = socket();
    let relay = Relay::start(&configuration(address, &origin)).workers(4).sockets([socket]).await;
    expect_even_shares(relay, 4).await;
}

#[tokio::test]
async fn each_of_two_workers_has_the_same_share_of_the_clients_whatever_the_kernel_gave_it() {
    let origin = Origin::plain().await;
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let relay = Relay::start(&configuration(address, &origin)).workers(2).await;
    expect_even_shares(relay, 2).await;
}

/// Forty clients stay connected. A worker has at most two more than another.
async fn expect_even_shares(relay: Relay, workers: usize) {
    let before = relay.polled();
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = relay.connect().await;
        client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_message().await;
        clients.push(client);
    }
    let more = relay.polled().into_iter().zip(&before).map(|(now, then)| now - then);
    let of_workers: Vec<_> = more.filter(|it| *it > 0).collect();
    assert_eq!(of_workers.len(), workers, "{of_workers:?}");
    let (least, most) = (of_workers.iter().min(), of_workers.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 2), "{of_workers:?}");
    let stopping = relay.stop();
    let closing = async {
        for mut client in clients {
            client.expect_end(End::Clean).await;
        }
    };
    let ((status, log), ()) = tokio::join!(stopping, closing);
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_socket_without_a_listener_is_closed_with_a_warning() {
    let origin = Origin::plain().await;
    let ((first, address), (second, other)) = (socket(), socket());
    let relay = Relay::start(&configuration(address, &origin)).sockets([first, second]).await;
    let line = relay.wait_for_log("an inherited socket is closed").await;
    assert!(line.contains(" WARN ") && line.ends_with(&format!("address={other}")), "{line}");
    expect_ok(&mut relay.connect().await, &origin).await;
    assert!(TcpStream::connect(other).await.is_err(), "no one would accept there");
}

#[tokio::test]
async fn a_socket_of_systemd_is_handed_over() {
    let origin = Origin::plain().await;
    let (socket, address) = socket();
    let relay = Relay::start(&configuration(address, &origin)).sockets([socket]).await;
    let mut stage = Stage { origin, relay, client_tls: false };
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    let former = stage.relay.hand_over().await;
    expect_ok(&mut stage.relay.connect().await, &stage.origin).await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    client.close().await;
    former.ended().await;
}

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// One with a file, and one with an abstract address; with the names of their sockets.
    fn both(folder: &Folder) -> [(Self, String); 2] {
        let file = folder.path.join("notify").to_str().unwrap().to_owned();
        let name = format!("narrows-it-{}-{}", process::id(), folder.path.display());
        let address = UnixAddress::from_abstract_name(&name).unwrap();
        let abstract_socket = StdUnixDatagram::bind_addr(&address).unwrap();
        abstract_socket.set_nonblocking(true).unwrap();
        let abstract_socket = UnixDatagram::from_std(abstract_socket).unwrap();
        [
            (Self { socket: UnixDatagram::bind(&file).unwrap() }, file),
            (Self { socket: abstract_socket }, format!("@{name}")),
        ]
    }

    /// Waits for this datagram, whatever others come before it.
    async fn told_until(&self, want: &str) {
        let told = async { while self.told().await != want {} };
        within(want, told).await;
    }

    /// The next datagram.
    async fn told(&self) -> String {
        let mut message = vec![0; 4096];
        let len = within("a datagram", self.socket.recv(&mut message)).await.unwrap();
        message.truncate(len);
        String::from_utf8(message).unwrap()
    }
}

#[tokio::test]
async fn the_service_manager_is_told_of_each_change_in_the_life_of_the_service() {
    let folder = Folder::new("notify");
    for (manager, name) in Manager::both(&folder) {
        let origin = Origin::plain().await;
        let mut relay = Relay::plain_to(&origin).environment("NOTIFY_SOCKET", &name).await;
        assert_eq!(manager.told().await, "READY=1");
        assert_eq!(manager.told().await, "STATUS=ready; 0 exchanges run");
        relay.signal(Signal::HUP);
        let reloading = manager.told().await;
        let (first, micros) = reloading.split_once('\n').unwrap();
        assert_eq!(first, "RELOADING=1");
        assert!(micros.strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(manager.told().await, "READY=1");
        let former = relay.hand_over().await;
        assert_eq!(manager.told().await, format!("MAINPID={}\nWATCHDOG=1", relay.pid()));
        assert_eq!(manager.told().await, "READY=1");
        assert_eq!(manager.told().await, "STATUS=ready; 0 exchanges run");
        former.ended().await;
        // The old process has said nothing of its own stop.
        relay.signal(Signal::TERM);
        assert_eq!(manager.told().await, "STOPPING=1");
        let (status, log) = relay.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
    }
}

/// A worker that hangs cannot be made here; that one is missed is shown in `control::reports`.
#[tokio::test]
async fn the_watchdog_is_answered_and_a_stop_asks_for_more_time() {
    let folder = Folder::new("watchdog");
    let [(manager, name), _] = Manager::both(&folder);
    let origin = Origin::plain().await;
    let setup = Relay::plain_to(&origin).workers(2).environment("NOTIFY_SOCKET", &name);
    let relay = setup.environment("WATCHDOG_USEC", "300000").await;
    let stage = Stage { origin, relay, client_tls: false };
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    manager.told_until("STATUS=ready; 1 exchange runs").await;
    for _ in 0..3 {
        manager.told_until("WATCHDOG=1").await;
    }
    stage.relay.signal(Signal::TERM);
    manager.told_until("STOPPING=1").await;
    manager.told_until("EXTEND_TIMEOUT_USEC=30000000").await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    client.close().await;
    let mut relay = stage.relay;
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}
