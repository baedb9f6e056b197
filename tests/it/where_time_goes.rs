//! Where the time of an exchange went, to be read from its one line of the log: scenes in each of
//! which another part is slow, and the field of that part is the large one.

use crate::support::stage::{GET, OK_LAST, Stage};
use crate::support::stall::send_until_blocked;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// For how long a part is slow. Far longer than everything else takes, also on a busy machine.
const PAUSE: Duration = Duration::from_secs(1);
/// What a clock of whole ticks may leave of that.
const AT_LEAST_MS: f64 = 900.0;

/// Stands between narrows and the resolver of the system.
const SLOW_RESOLVER: &str = r"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <time.h>
typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    struct timespec pause = {1, 0};
    nanosleep(&pause, 0);
    return ((lookup *)dlsym(RTLD_NEXT, __func__))(node, service, hints, found);
}
";

#[tokio::test]
async fn a_slow_lookup_is_told_from_the_rest() {
    let folder = Folder::new("slow-resolver");
    let source = folder.write("resolver.c", SLOW_RESOLVER);
    let library = source.with_extension("so");
    // The compiler that aws-lc was built with.
    let mut compiler = Command::new("cc");
    let compiled = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.expect("a C compiler").success());
    let origin = Origin::plain().await;
    let url = format!("http://localhost:{}/", origin.address().port());
    let relay = relay_to(&url).environment("LD_PRELOAD", library.to_str().unwrap()).await;
    assert_slowest("lookup", &answered(&relay, &origin).await);
}

#[tokio::test]
async fn a_slow_connection_is_told_from_the_rest() {
    let (full, waiting) = full_listener().await;
    let address = full.local_addr().unwrap();
    let relay = relay_to(&format!("http://{address}/")).await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    // Linux has dropped the SYN, and sends another one after a second.
    let dropped = async {
        while !is_connecting_to(address) {
            tokio::task::yield_now().await;
        }
    };
    within("a connection that does not come about", dropped).await;
    drop(full.accept().await.unwrap());
    drop(waiting);
    let (tcp, _) = within("the next SYN", full.accept()).await.unwrap();
    let line = answer(&relay, &mut client, &mut Peer::new("origin", tcp)).await;
    assert_slowest("tcp", &line);
}

#[tokio::test]
async fn a_slow_handshake_is_told_from_the_rest() {
    let stage = Stage::new(false, true, "").await;
    let mut client = stage.relay.connect().await;
    client.send(GET).await;
    assert!(client.is_silent_for(PAUSE).await);
    let mut upstream = stage.origin.accept().await;
    assert_slowest("tls", &answer(&stage.relay, &mut client, &mut upstream).await);
}

#[tokio::test]
async fn a_slow_model_is_told_from_the_rest() {
    let stage = Stage::tls().await;
    let (mut client, mut upstream) = stage.begin(GET).await;
    assert!(upstream.is_silent_for(PAUSE).await);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    upstream.send(head).await;
    upstream.send("data: 1\n\n").await;
    client.read_through(b"data: 1\n\n").await;
    assert!(upstream.is_silent_for(PAUSE).await);
    upstream.send("data: 2\n\n: bye\n\n").await;
    upstream.close().await;
    client.read_through(b"0\r\n\r\n").await;
    let line = stage.relay.wait_for_log("narrows::access").await;
    assert_slowest("model", &line);
    assert!(number(&line, "head_ms") >= AT_LEAST_MS, "{line}");
    assert!(number(&line, "longest_gap_ms") >= AT_LEAST_MS, "{line}");
    assert!(line.contains(" stream=true events=2 "), "{line}");
}

#[tokio::test]
async fn a_slow_reader_is_told_from_the_rest() {
    const TOTAL: usize = 64 * 1024 * 1024;
    let stage = Stage::plain().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n");
    let (mut client, mut upstream) = stage.answered(GET, &head).await;
    let sent = send_until_blocked(&mut upstream, &stage, TOTAL).await;
    assert!(upstream.is_silent_for(PAUSE).await);
    tokio::join!(client.expect_pattern(TOTAL), upstream.send_pattern(sent, TOTAL));
    let line = stage.relay.wait_for_log(&format!(" to_client={TOTAL} ")).await;
    assert_slowest("client", &line);
}

#[tokio::test]
async fn a_slow_upload_is_told_from_the_rest() {
    let stage = Stage::tls().await;
    let post = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst";
    let (mut client, mut upstream) = stage.begin(post).await;
    assert_eq!(upstream.read_exactly(5).await, b"first");
    assert!(upstream.is_silent_for(PAUSE).await);
    client.send("later").await;
    assert_eq!(upstream.read_exactly(5).await, b"later");
    upstream.send(OK_LAST).await;
    client.read_message().await;
    let line = stage.relay.wait_for_log("narrows::access").await;
    assert_slowest("client", &line);
    assert!(number(&line, "request_ms") >= AT_LEAST_MS, "{line}");
}

/// A relay whose only route leads to `url`.
fn relay_to(url: &str) -> narrows_kit::relay::Setup {
    Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/gpt/\"\nfamily = \"4\"\nupstream = \"{url}\"\n"
    ))
}

/// The line of a whole exchange.
async fn answered(relay: &Relay, origin: &Origin) -> String {
    let mut client = relay.connect().await;
    client.send(GET).await;
    answer(relay, &mut client, &mut origin.accept().await).await
}

/// The line of an exchange of which the request is on its way.
async fn answer(relay: &Relay, client: &mut Peer, upstream: &mut Peer) -> String {
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    client.read_message().await;
    relay.wait_for_log("narrows::access").await
}

/// What a reader of the line does: each part's time, and the largest of them is the slow one.
#[track_caller]
fn assert_slowest(part: &str, line: &str) {
    let begun = number(line, "connect_ms").max(number(line, "request_ms"));
    let model = number(line, "head_ms") - begun + number(line, "longest_gap_ms");
    let parts = [
        ("lookup", number(line, "lookup_ms")),
        ("tcp", number(line, "tcp_ms")),
        ("tls", number(line, "tls_ms")),
        ("model", model),
        ("client", number(line, "client_ms")),
    ];
    let slowest = parts.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap();
    assert!(slowest.0 == part && slowest.1 >= AT_LEAST_MS, "{parts:?} in {line}");
}

/// A field of the line; 0 where it is left out.
fn number(line: &str, name: &str) -> f64 {
    let Some((_, rest)) = line.split_once(&format!(" {name}=")) else { return 0.0 };
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// A listener whose queue is full, with the connection that fills it: Linux drops further SYNs.
async fn full_listener() -> (TcpListener, TcpStream) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let listener = TcpListener::from_std(listener.into()).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = within("the connection that fits", TcpStream::connect(address)).await.unwrap();
    (listener, waiting)
}

/// Whether someone has sent a SYN to `address`, and has no answer.
fn is_connecting_to(address: SocketAddr) -> bool {
    let remote_and_state = format!(" 0100007F:{:04X} 02 ", address.port());
    fs::read_to_string("/proc/net/tcp").unwrap().contains(&remote_and_state)
}
