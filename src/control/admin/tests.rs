use super::*;
use crate::config::admin_address::AdminAddress;
use crate::control::admin::connection::{Connection, Stream};
use crate::control::admin::page::{Content, Page, Rules};
use crate::control::admin::request::Names;
use crate::gateway::answer::Answer;
use crate::h1::limits::HeadLimits;
use crate::limits::{ADMIN_CONNECTIONS_MAX, DRAIN_GRACE};
use crate::net::activation::Inherited;
use crate::telemetry::metrics::Format;
use crate::timeouts::Timeouts;
use crate::tls::testing::pem::Folder;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

const LIVE: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

/// `/livez` answers at once, `/status` after an hour, `/metrics` is a megabyte.
#[derive(Default)]
struct TestPages;

impl Pages for TestPages {
    fn rules(&self) -> Rules {
        let head = HeadLimits { bytes: 1024, fields: 16 };
        Rules { timeouts: Arc::new(Timeouts::default()), head }
    }

    async fn page(&self, page: Page) -> Result<Content, Answer> {
        let body = match page {
            Page::Live | Page::Ready => "ok\n".to_owned(),
            Page::Metrics(_) => "m".repeat(1 << 20),
            Page::Status => {
                sleep(Duration::from_secs(3600)).await;
                "late".to_owned()
            }
        };
        Ok(Content { media_type: Format::Text.content_type(), body })
    }
}

/// A client of one connection, on virtual time.
struct Client {
    far: DuplexStream,
    context: Rc<Context<TestPages>>,
}

impl Client {
    fn connect() -> Self {
        let (near, far) = duplex(4096);
        let context =
            Context { pages: Rc::default(), names: Names::Any, drain: Default::default() };
        let context = Rc::new(context);
        let served = Rc::clone(&context);
        let progress = Rc::new(Cell::new(Instant::now()));
        let near: Box<dyn Stream> = Box::new(near);
        spawn(async move { Connection::new(near, progress).run(&served).await });
        Self { far, context }
    }

    async fn send(&mut self, text: &str) {
        self.far.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that comes until the end.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        self.far.read_to_string(&mut text).await.unwrap();
        text
    }
}

/// Runs `test` as a task of the main thread, on virtual time.
fn in_memory(test: impl Future<Output = ()>) {
    run(true, test);
}

/// Runs `test` as a task of the main thread, over real sockets, which virtual time runs ahead of.
fn over_sockets(test: impl Future<Output = ()>) {
    run(false, test);
}

fn run(paused: bool, test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let builder = builder.enable_all().start_paused(paused);
    builder.build_local(LocalOptions::default()).unwrap().block_on(test);
}

#[test]
fn a_connection_serves_requests_until_one_asks_to_close() {
    in_memory(async {
        let mut client = Client::connect();
        client.send(LIVE).await;
        client
            .send("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n")
            .await;
        client.send("Connection: close\r\n\r\n").await;
        let text = client.rest().await;
        let responses: Vec<_> = text.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(responses.len(), 3, "{text}");
        assert!(responses[0].starts_with("200 OK\r\nDate: "), "{text}");
        let fields = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                      Content-Length: 3\r\nCache-Control: no-store\r\n\r\n";
        assert!(responses[0].ends_with(&format!("{fields}ok\n")), "{text}");
        assert!(responses[1].ends_with(fields), "{text}");
        assert!(responses[2].starts_with("404 Not Found\r\n"), "{text}");
        assert!(responses[2].contains("\r\nConnection: close\r\n"), "{text}");
        assert!(responses[2].ends_with("\"param\":null}}\n"), "{text}");
    });
}

#[test]
fn http_10_gets_one_answer_unless_it_asks_for_more() {
    in_memory(async {
        let mut client = Client::connect();
        client.send("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        client.send("GET /livez HTTP/1.0\r\n\r\n").await;
        let text = client.rest().await;
        assert_eq!(text.matches("200 OK").count(), 2, "{text}");
        assert_eq!(text.matches("Connection: keep-alive").count(), 1, "{text}");
        assert_eq!(text.matches("Connection: close").count(), 1, "{text}");
    });
}

#[test]
fn an_idle_client_and_a_slow_head_have_the_limits_of_every_listener() {
    in_memory(async {
        let timeouts = Timeouts::default();
        let begun = Instant::now();
        let mut client = Client::connect();
        // An empty line begins no request, and does not extend the wait for one.
        sleep(Duration::from_secs(1)).await;
        client.send("\r\n").await;
        assert_eq!(client.rest().await, "");
        assert_eq!(begun.elapsed(), timeouts.keep_alive);

        let begun = Instant::now();
        let mut client = Client::connect();
        let trickle = async {
            loop {
                if client.far.write_all(b"G").await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        assert!(timeout(timeouts.request_head, trickle).await.is_err());
        let text = client.rest().await;
        assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
        assert_eq!(begun.elapsed(), timeouts.request_head);
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    in_memory(async {
        let mut client = Client::connect();
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let begun = Instant::now();
        sleep(Timeouts::default().to_client_write * 2).await;
        let text = client.rest().await;
        assert!(text.len() <= 4096, "{}", text.len());
        assert!(begun.elapsed() < Timeouts::default().to_client_write * 3);
    });
}

#[test]
fn a_head_over_the_limit_is_refused_and_what_follows_it_is_not_read() {
    in_memory(async {
        let mut client = Client::connect();
        let head = format!("GET /livez HTTP/1.1\r\nHost: a\r\nA: {}", "a".repeat(2000));
        client.send(&head).await;
        let text = client.rest().await;
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    });
}

#[test]
fn a_client_that_sends_on_after_its_last_answer_still_gets_it() {
    in_memory(async {
        let mut client = Client::connect();
        client.send("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n").await;
        for _ in 0..8 {
            client.send(&"x".repeat(1000)).await;
        }
        let text = client.rest().await;
        assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nAllow: GET, HEAD\r\n"));
    });
}

#[test]
fn connections_end_after_their_answer_when_the_listener_is_removed() {
    in_memory(async {
        let mut idle = Client::connect();
        idle.send(LIVE).await;
        idle.far.read_exact(&mut [0; 64]).await.unwrap();
        idle.context.drain.begin(DRAIN_GRACE);
        sleep(DRAIN_GRACE / 2).await;
        idle.send(LIVE).await;
        assert!(idle.rest().await.contains("\r\nConnection: close\r\n"));

        let mut new = Client::connect();
        sleep(Duration::from_millis(1)).await;
        new.context.drain.begin(DRAIN_GRACE);
        sleep(DRAIN_GRACE / 2).await;
        new.send(LIVE).await;
        assert!(new.rest().await.contains("200 OK"));

        let (mut silent, begun) = (Client::connect(), Instant::now());
        silent.context.drain.begin(DRAIN_GRACE);
        assert_eq!(silent.rest().await, "");
        assert!(begun.elapsed() <= DRAIN_GRACE * 2);

        let mut asking = Client::connect();
        asking.send("GET /livez HTTP/1.1\r\n").await;
        sleep(Duration::from_secs(1)).await;
        asking.context.drain.begin(DRAIN_GRACE);
        asking.send("Host: a\r\n\r\n").await;
        let text = asking.rest().await;
        assert!(text.contains("200 OK") && text.contains("Connection: close"), "{text}");
    });
}

#[test]
fn a_new_connection_takes_the_place_of_the_slowest() {
    over_sockets(async {
        let mut admin = Admin::new(TestPages);
        let (listener, address) = tcp_listener();
        admin.serve(Some(listener));
        let mut clients = Vec::new();
        for _ in 0..ADMIN_CONNECTIONS_MAX {
            let mut client = TcpStream::connect(address).await.unwrap();
            // Served, and idle since then.
            ask(&mut client).await;
            clients.push(client);
        }
        // The first has asked again since, so that the second is the slowest.
        ask(&mut clients[0]).await;
        let mut next = TcpStream::connect(address).await.unwrap();
        ask(&mut next).await;
        assert_eq!(clients[1].read(&mut [0; 1]).await.unwrap(), 0);
        ask(&mut clients[0]).await;
        ask(&mut clients[2]).await;
    });
}

#[test]
fn a_listener_moves_and_goes() {
    over_sockets(async {
        let folder = Folder::new();
        let path = folder.path("admin.sock");
        let mut admin = Admin::new(TestPages);
        let (listener, address) = tcp_listener();
        admin.serve(Some(listener));
        let mut before = TcpStream::connect(address).await.unwrap();
        ask(&mut before).await;

        // While the new socket is open, the old one is served.
        let unix = open(&AdminAddress::Unix(path.clone()), &[]).unwrap();
        ask(&mut before).await;
        admin.serve(Some(unix));
        assert_eq!(before.read(&mut [0; 1]).await.unwrap(), 0);
        ask(&mut UnixStream::connect(&path).await.unwrap()).await;

        admin.serve(None);
        while path.exists() {
            yield_now().await;
        }
    });
}

#[test]
fn a_listener_moves_to_an_address_that_overlaps_its_own_and_back() {
    over_sockets(async {
        // Another test may have a port on one address that the kernel has chosen on another.
        for _ in 0..4 {
            if move_and_back().await.is_ok() {
                return;
            }
        }
        move_and_back().await.unwrap();
    });
}

async fn move_and_back() -> io::Result<()> {
    let mut admin = Admin::new(TestPages);
    let (listener, address) = tcp_listener();
    admin.serve(Some(listener));
    let (narrow, wide) = (address.to_string(), format!("0.0.0.0:{}", address.port()));
    for next in [&wide, &narrow, &format!("localhost:{}", address.port()), &wide] {
        let next = next.parse().unwrap();
        assert!(open(&next, &[]).is_err(), "another program has it");
        admin.serve(Some(open(&next, &admin.tcp_addresses())?));
        ask(&mut TcpStream::connect(address).await.unwrap()).await;
    }
    Ok(())
}

fn open(address: &AdminAddress, before: &[SocketAddr]) -> io::Result<AdminListener> {
    AdminListener::open(address, &mut Inherited::default(), before)
}

/// A listener on a port of the kernel's choice.
fn tcp_listener() -> (AdminListener, SocketAddr) {
    let listener = open(&"127.0.0.1:0".parse().unwrap(), &[]).unwrap();
    let address = listener.addresses()[0].parse().unwrap();
    (listener, address)
}

async fn ask(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    client.write_all(LIVE.as_bytes()).await.unwrap();
    let mut response = String::new();
    while !response.ends_with("ok\n") {
        let mut part = [0; 512];
        let len = client.read(&mut part).await.unwrap();
        assert_ne!(len, 0, "{response}");
        response.push_str(str::from_utf8(&part[..len]).unwrap());
    }
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}
