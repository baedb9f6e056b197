//! The admin listener of the real binary.

use crate::support::stage::{CHUNKED, GET, OK_LAST, Stage};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::programs::narrows;
use narrows_kit::relay::Relay;
use narrows_kit::secrets::assert_none;
use narrows_kit::within;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

pub(super) const ADMIN: &str = "--admin=127.0.0.1:0";

#[tokio::test]
async fn a_stop_is_seen_by_readyz_at_once_and_by_livez_never() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).argument(ADMIN).await;
    let stage = Stage { origin, relay, client_tls: false };
    let admin = admin_address(&stage.relay).await;
    let mut probe = connect_plain(admin).await;
    assert_eq!(get(&mut probe, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&mut probe, "/readyz").await, (200, "ready\n".to_owned()));

    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    stage.relay.signal(Signal::TERM);
    stage.relay.wait_for_log("stopping; running exchanges may end").await;
    let mut late = connect_plain(admin).await;
    for probe in [&mut probe, &mut late] {
        let (status, body) = get(probe, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("\"code\":\"stopping\"") && body.ends_with("}\n"), "{body}");
        assert_eq!(get(probe, "/livez").await, (200, "ok\n".to_owned()));
        let (status, body) = get(probe, "/status").await;
        assert!(status == 200 && body.contains("\"phase\": \"draining\""), "{body}");
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    let mut relay = stage.relay;
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn nothing_that_a_client_does_to_it_takes_a_place_from_the_relays_clients() {
    let origin = Origin::plain().await;
    let limits = "[limits]\nconnections = 1\n";
    let relay = Relay::plain_to(&origin).with(limits).argument(ADMIN).await;
    let admin = admin_address(&relay).await;
    // Idle ones, heads that do not end, one that is malformed, and all the others.
    let mut strangers = Vec::new();
    for bytes in ["", "GET /livez HTTP/1.1\r\n", "\x16\x03\x01\x00\x05", "GET / HTTP/1.1\n\n"] {
        for _ in 0..16 {
            let mut stranger = connect_plain(admin).await;
            let _refused = stranger.try_send(bytes).await;
            strangers.push(stranger);
        }
    }
    let mut probe = connect_plain(admin).await;
    assert_eq!(get(&mut probe, "/livez").await.0, 200);
    let stage = Stage { origin, relay, client_tls: false };
    let (_client, _upstream) = stage.answered(GET, CHUNKED).await;
    assert_eq!(get(&mut probe, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_unix_socket_is_for_user_and_group_and_its_file_goes_with_the_process() {
    let folder = Folder::new("admin");
    let path = folder.path.join("admin.sock");
    let argument = format!("--admin=unix:{}", path.display()).leak();
    let origin = Origin::plain().await;
    // What a process leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut relay = Relay::plain_to(&origin).argument(argument).await;
    relay.wait_for_log("the admin listener answers").await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nready\n"), "{text}");

    let (code, message) = refused_start(argument).await;
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("for the admin listener: Address already in use"), "{message}");
    assert!(path.exists(), "it belongs to the first");
    relay.signal(Signal::TERM);
    relay.ended().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_relay_at_the_address_of_the_first_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let (code, message) = refused_start(&format!("--admin={address}")).await;
    assert_eq!(code, Some(1), "{message}");
    let want = format!("cannot listen on {address} for the admin listener: ");
    assert!(message.contains(&want), "{message}");
}

#[tokio::test]
async fn the_status_says_what_runs() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).argument(ADMIN).await;
    let mut probe = connect_plain(admin_address(&relay).await).await;
    let (status, body) = get(&mut probe, "/status").await;
    assert_eq!(status, 200);
    for part in [
        format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION")),
        format!("\"pid\": {}", relay.pid()),
        "\"phase\": \"ready\"".to_owned(),
        format!("\"address\": \"{}\"", relay.address()),
        "\"name\": \"/gpt/\"".to_owned(),
    ] {
        assert!(body.contains(&part), "no {part} in {body}");
    }
    probe.send("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (head, _) = probe.read_message().await;
    assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
    probe.expect_end(End::Clean).await;
}

#[tokio::test]
async fn a_scrape_shows_what_has_ended_in_the_format_that_is_asked_for() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).argument(ADMIN).workers(2).await;
    let mut probe = connect_plain(admin_address(&relay).await).await;
    let stage = Stage { origin, relay, client_tls: false };
    let series = "{route=\"/gpt/\",client=\"\",status=\"2xx\",end=\"completed\"}";
    for count in 1..=3 {
        let (mut client, mut upstream) = stage.begin(GET).await;
        upstream.send(OK_LAST).await;
        client.read_message().await;
        client.close().await;
        // The worker writes its line after it has counted.
        stage.relay.wait_for_log_lines("narrows::access", count).await;
        let (head, text) = scrape(&mut probe, "").await;
        let media_type = field_value(&head, "content-type");
        assert_eq!(media_type, Some("text/plain; version=0.0.4; charset=utf-8"));
        let line = format!("\nnarrows_exchanges_total{series} {count}\n");
        assert!(text.contains(&line), "no {line} in {text}");
    }
    let (head, text) = scrape(&mut probe, "Accept: application/openmetrics-text\r\n").await;
    let media_type = field_value(&head, "content-type");
    assert_eq!(media_type, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(text.ends_with("\n# EOF\n"), "{text}");

    for (host, want) in [("127.0.0.1", 200), ("rebound.example", 421)] {
        probe.send(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let (head, _) = probe.read_message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {want} ")), "{host}: {head}");
    }
}

#[tokio::test]
async fn a_reload_adds_moves_and_removes_it_or_changes_nothing() {
    let folder = Folder::new("admin");
    let origin = Origin::plain().await;
    let with = |admin: &str| {
        format!(
            "{admin}\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
            origin.address()
        )
    };
    let relay = Relay::start(&with("")).await;
    let tcp = "admin = \"127.0.0.1:0\"";
    relay.reload(&with(tcp)).await;
    let mut kept = connect_plain(admin_address(&relay).await).await;
    assert_eq!(get(&mut kept, "/readyz").await.0, 200);
    // It stays: the port that the kernel chose is the same, and so is the connection.
    relay.reload(&with(tcp)).await;
    assert_eq!(get(&mut kept, "/readyz").await.0, 200);

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wrong = format!("admin = \"{}\"", taken.local_addr().unwrap());
    relay.configure(&with(&wrong));
    relay.signal(Signal::HUP);
    relay.wait_for_log("not reloaded; nothing has changed").await;
    let (_, status) = get(&mut kept, "/status").await;
    for part in ["\"ok\": 2,", "\"failed\": 1,", "\"problems\": 1"] {
        assert!(status.contains(part), "no {part} in {status}");
    }

    let path = folder.path.join("admin.sock");
    relay.reload(&with(&format!("admin = \"unix:{}\"", path.display()))).await;
    kept.expect_end(End::Clean).await;
    UnixStream::connect(&path).await.unwrap();
    relay.reload(&with("")).await;
    let closed = async {
        while path.exists() {
            tokio::task::yield_now().await;
        }
    };
    within("the admin listener is gone", closed).await;
}

/// The head and the text of the metrics, asked for with these fields.
async fn scrape(probe: &mut Peer, fields: &str) -> (String, String) {
    probe.send(format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    let (head, body) = probe.read_message().await;
    (head, String::from_utf8(body).unwrap())
}

/// Where the admin listener is, by the log.
pub(super) async fn admin_address(relay: &Relay) -> SocketAddr {
    let line = relay.wait_for_log("the admin listener answers").await;
    let address = line.split("addresses=").nth(1).unwrap_or_default();
    address.trim_matches('"').parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
}

/// The status and the body of an answer.
pub(super) async fn get(probe: &mut Peer, path: &str) -> (u16, String) {
    probe.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let (head, body) = probe.read_message().await;
    assert_eq!(field_value(&head, "connection"), None, "{head}");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let body = String::from_utf8(body).unwrap();
    assert_none(&body);
    (status.expect("a status"), body)
}

/// The exit code and the message of a relay that cannot start.
async fn refused_start(argument: &str) -> (Option<i32>, String) {
    let arguments = ["run", "--listen", "127.0.0.1:0", argument, "/=http://127.0.0.1:9/"];
    let output = Command::new(narrows()).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
