//! An origin whose process is stopped (SIGSTOP): its kernel still accepts and acknowledges, and no
//! answer ever comes. Each timeout of an upstream ends that, and the origin serves again as soon as
//! it continues.
//!
//! The origin that is stopped is a relay itself, in front of the one that the test plays.

use crate::support::stage::{CHUNKED, GET, OK_LAST};
use narrows_kit::certificates::certificate_file;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the tests configure: all of the limits that are not asked for are minutes.
const LIMIT: Duration = Duration::from_secs(3);

const UPGRADE: &str = "GET /gpt/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_stopped_origin_whose_queue_is_full_is_504_at_the_limit_of_connecting() {
    let line = Line::new(false, "connect = \"3s\"").await;
    line.stop().await;
    line.fill_queue().await;
    let mut client = line.outer.connect().await;
    let since = Instant::now();
    client.send(GET).await;
    expect_504(&mut client, "upstream_connect_timeout", since).await;
    line.expect_recovery(client).await;
}

#[tokio::test]
async fn a_stopped_origin_that_does_not_shake_hands_is_504_at_the_limit_of_the_handshake() {
    let line = Line::new(true, "upstream_handshake = \"3s\"").await;
    line.stop().await;
    let mut client = line.outer.connect().await;
    let since = Instant::now();
    client.send(GET).await;
    expect_504(&mut client, "upstream_handshake_timeout", since).await;
    line.expect_recovery(client).await;
}

#[tokio::test]
async fn a_stopped_origin_that_does_not_answer_is_504_at_the_limit_of_the_response_head() {
    for tls in [false, true] {
        let line = Line::new(tls, "response_head = \"3s\"").await;
        // The connection to the origin is a kept one, and seems to be alive.
        for _ in 0..2 {
            let (mut client, mut upstream) = line.begin(GET).await;
            upstream.send(OK_LAST).await;
            client.read_message().await;
            drop(upstream);
            line.stop().await;
            let since = Instant::now();
            client.send(GET).await;
            expect_504(&mut client, "upstream_response_timeout", since).await;
            line.expect_recovery(client).await;
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_stopped_origin_is_cut_at_the_limit_of_its_gap() {
    for tls in [false, true] {
        let line = Line::new(tls, "to_client = { read = \"3s\" }").await;
        let (mut client, mut upstream) = line.begin(GET).await;
        upstream.send(CHUNKED).await;
        client.read_head().await;
        let since = Instant::now();
        upstream.send("5\r\nhello\r\n").await;
        assert_eq!(client.read_chunk().await, b"hello");
        line.stop().await;
        // Without a last chunk.
        client.expect_end(End::Clean).await;
        assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
        let entry = line.outer.wait_for_log("end=\"aborted\"").await;
        assert!(entry.ends_with("fault=\"upstream\" cause=\"response_body_timeout\""), "{entry}");
        // Nor does the origin see a request that was given up.
        line.inner.signal(Signal::CONT);
        upstream.expect_end(End::Reset).await;
        line.expect_recovery(line.outer.connect().await).await;
    }
}

#[tokio::test]
async fn a_stopped_origin_that_does_not_read_is_504_at_the_write_limit() {
    for tls in [false, true] {
        let line = Line::new(tls, "to_upstream = { write = \"3s\" }").await;
        let upload = "POST /gpt/a HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n";
        let (mut client, mut upstream) = line.begin(upload).await;
        line.stop().await;
        // Until the answer is here: what the kernels and the relay hold by then is some megabytes.
        let answered = async {
            let part = [b'x'; 64 * 1024];
            while !client.has_bytes() {
                client.send_now(&part).await;
                tokio::task::yield_now().await;
            }
        };
        within("the answer to an upload", answered).await;
        let (head, body) = client.read_message().await;
        assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("\"code\":\"upstream_write_timeout\""), "{body}");
        line.inner.signal(Signal::CONT);
        upstream.read_to_end().await;
        line.expect_recovery(line.outer.connect().await).await;
    }
}

#[tokio::test]
async fn a_tunnel_to_a_stopped_origin_is_cut_at_its_limit() {
    let line = Line::new(false, "tunnel = \"3s\"").await;
    let (mut client, mut upstream) = line.begin(UPGRADE).await;
    upstream.send(SWITCH).await;
    client.read_head().await;
    line.stop().await;
    let since = Instant::now();
    // Accepted by the origin's kernel, and never answered.
    client.send("ping").await;
    client.expect_end(End::Reset).await;
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    let entry = line.outer.wait_for_log("end=\"aborted\"").await;
    assert!(entry.ends_with("cause=\"tunnel_timeout\""), "{entry}");
    line.inner.signal(Signal::CONT);
    upstream.read_to_end().await;
    line.expect_recovery(line.outer.connect().await).await;
}

/// The relay under test, the process that is stopped, and the origin that it relays to.
struct Line {
    outer: Relay,
    inner: Relay,
    origin: Origin,
}

impl Line {
    async fn new(tls: bool, timeouts: &str) -> Self {
        let origin = Origin::plain().await;
        let inner = if tls { Relay::to(&origin).await } else { Relay::plain_to(&origin).await };
        let mut toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\n\
             upstream = \"http{}://localhost/gpt/\"\nconnect = \"{}\"\n",
            if tls { "s" } else { "" },
            inner.address(),
        );
        if tls {
            toml += &format!("ca = {:?}\n", certificate_file("ca.pem"));
        }
        let outer = Relay::start(&toml).with(&format!("[timeouts]\n{timeouts}")).await;
        Self { outer, inner, origin }
    }

    /// A new client that has sent `request`, and the connection on which it has arrived.
    async fn begin(&self, request: &str) -> (Peer, Peer) {
        let mut client = self.outer.connect().await;
        client.send(request).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_head().await;
        (client, upstream)
    }

    async fn stop(&self) {
        self.inner.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.inner.pid());
        let stopped = async {
            while !fs::read_to_string(&stat).unwrap().contains(") T ") {
                tokio::task::yield_now().await;
            }
        };
        within("the origin to be stopped", stopped).await;
    }

    /// Connects and closes until the kernel takes no more: no one accepts, and what waits in the
    /// queue stays there.
    async fn fill_queue(&self) {
        let quick = Duration::from_millis(500);
        let filled = async {
            while let Ok(connected) = timeout(quick, TcpStream::connect(self.inner.address())).await
            {
                connected.expect("a place in the queue");
            }
        };
        within("a full queue", filled).await;
    }

    /// The origin goes on, and the next request of this client is served.
    async fn expect_recovery(&self, mut client: Peer) {
        self.inner.signal(Signal::CONT);
        let serving = async {
            loop {
                let mut upstream = self.origin.accept().await;
                // Requests that the stopped origin had taken were given up since.
                tokio::spawn(async move {
                    upstream.read_head().await;
                    let _given_up = upstream.try_send(OK_LAST).await;
                    upstream.read_to_end().await;
                });
            }
        };
        let asking = async {
            loop {
                client.send(GET).await;
                let (head, body) = client.read_message().await;
                // A queue that was full has to be worked off first.
                if head.starts_with("HTTP/1.1 504 ") {
                    continue;
                }
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                return assert_eq!(body, b"ok");
            }
        };
        tokio::select! {
            () = within("the origin's recovery", asking) => {}
            () = serving => {}
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.inner.signal(Signal::CONT);
    }
}

async fn expect_504(client: &mut Peer, code: &str, since: Instant) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
}
