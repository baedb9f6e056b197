//! What the machine can run out of: descriptors, the disk of the log, names.

use crate::support::stage::{CHUNKED, GET, OK_LAST, expect_ok};
use narrows_kit::client::connect_plain;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Asks for a path without a route: an accepted client gets an answer without the upstream.
const ASK: &str = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
/// No descriptor has such a number, but for those that every process begins with.
const NONE_LEFT: u64 = 3;
/// As many as any test needs.
const ENOUGH: u64 = 1024;

/// Another program has taken them, or the limit was lowered: clients alone cannot do it.
#[tokio::test]
async fn without_descriptors_no_new_client_is_accepted_and_connected_ones_are_served() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).await;
    let mut held = relay.connect().await;
    held.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(CHUNKED).await;
    held.read_head().await;
    let mut connected = relay.connect().await;
    connected.send(ASK).await;
    expect_404(&mut connected).await;

    relay.limit_open_files(NONE_LEFT);
    // The kernel accepts them; the relay has no descriptor for them.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut client = relay.connect().await;
        client.send(ASK).await;
        waiting.push(client);
    }
    let line = relay.wait_for_log("cannot accept connections").await;
    assert!(line.contains(" ERROR ") && line.contains("os error 24"), "{line}");
    upstream.send("5\r\nhello\r\n").await;
    assert_eq!(held.read_chunk().await, b"hello");

    // An accepted client needs one more for the upstream: the fault is ours.
    connected.send(GET).await;
    let (head, body) = connected.read_message().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field_value(&head, "retry-after"), Some("1"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("\"code\":\"out_of_resources\""), "{body}");
    let line = relay.wait_for_log("status=503").await;
    let want = "fault=\"narrows\" cause=\"out_of_resources\" reason=\"EMFILE\" step=\"connect\"";
    assert!(line.contains(want), "{line}");

    relay.limit_open_files(ENOUGH);
    for mut client in waiting {
        expect_404(&mut client).await;
        expect_ok(&mut client, &origin).await;
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(held.read_chunk().await, b"");
    let (_, log) = relay.stop().await;
    let logged = log.iter().filter(|it| it.contains("cannot accept")).count();
    assert_eq!(logged, 1, "once a minute: {log:#?}");
}

#[tokio::test]
async fn a_log_on_a_full_disk_blocks_no_exchange() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    expect_service_with_log_in(full, "exec \"$0\" \"$@\"").await;
}

/// Each write beyond it is a SIGXFSZ, which ends a process that has not asked for it.
#[tokio::test]
async fn a_log_at_its_file_size_limit_blocks_no_exchange() {
    let name = format!("large-log-{}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let log = File::create(&path).unwrap();
    // In blocks of 512 bytes.
    expect_service_with_log_in(log, "ulimit -f 1 && exec \"$0\" \"$@\"").await;
    assert!(fs::metadata(&path).unwrap().len() <= 1024);
    fs::remove_file(path).unwrap();
}

/// Starts a relay by a command of the shell, and sees it serve more requests than its log can hold.
async fn expect_service_with_log_in(log: File, shell: &str) {
    let origin = Origin::plain().await;
    let mut relay = Killed(
        Command::new("sh")
            .args(["-c", shell, env!("CARGO_BIN_EXE_narrows")])
            .args(["run", "--listen=127.0.0.1:0", "--workers=1", "--log-level=trace"])
            .arg(format!("/gpt/=http://{}/", origin.address()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap(),
    );
    // It cannot say where it listens.
    let address = within("a listener", listener_of(relay.0.id())).await;
    let mut client = connect_plain(address).await;
    for _ in 0..100 {
        client.send(ASK).await;
        expect_404(&mut client).await;
    }
    expect_ok(&mut client, &origin).await;
    assert!(relay.0.try_wait().unwrap().is_none(), "the relay runs on");
}

/// `.invalid` never exists (RFC 6761, section 6.4). Where no resolver answers, time runs out first.
#[tokio::test]
async fn a_name_that_is_not_resolved_is_the_upstreams_fault_and_other_routes_serve() {
    let origin = Origin::plain().await;
    let lost = "[[route]]\npath = \"/lost/\"\nupstream = \"http://narrows.invalid/\"\n";
    let relay = Relay::plain_to(&origin).with(lost).with("[timeouts]\nconnect = \"2s\"").await;
    let mut client = relay.connect().await;
    for _ in 0..2 {
        client.send("GET /lost/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut other = relay.connect().await;
        other.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        assert_eq!(other.read_message().await.1, b"ok", "no other route waits for a resolver");

        let (head, body) = client.read_message().await;
        let body = String::from_utf8(body).unwrap();
        let unknown = head.starts_with("HTTP/1.1 502 ")
            && body.contains("\"code\":\"upstream_name_not_resolved\"");
        let silent = head.starts_with("HTTP/1.1 504 ")
            && body.contains("\"code\":\"upstream_connect_timeout\"");
        assert!(unknown || silent, "{head}{body}");
        assert_eq!(field_value(&head, "connection"), None, "{head}");
    }
    let line = relay.wait_for_log("route=\"/lost/\"").await;
    assert!(line.contains("fault=\"upstream\""), "{line}");
}

async fn expect_404(client: &mut Peer) {
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

/// The address at which a process listens, as soon as it does.
async fn listener_of(process: u32) -> SocketAddr {
    loop {
        if let Some(port) = listening_port(process) {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
        tokio::task::yield_now().await;
    }
}

/// From the kernel's tables (proc(5)): the sockets of the process, and the state of all of them.
fn listening_port(process: u32) -> Option<u16> {
    const LISTEN: &str = "0A";
    let folder = format!("/proc/{process}/fd");
    let links =
        fs::read_dir(folder).unwrap().filter_map(|it| fs::read_link(it.unwrap().path()).ok());
    let own: Vec<String> = links.filter_map(|it| inode_of(&it)).collect();
    fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns[1].split_once(':')?;
        let is_ours = columns[3] == LISTEN && own.iter().any(|inode| inode == columns[9]);
        is_ours.then(|| u16::from_str_radix(port, 16).unwrap())
    })
}

fn inode_of(link: &Path) -> Option<String> {
    let name = link.to_str()?.strip_prefix("socket:[")?;
    Some(name.trim_end_matches(']').to_owned())
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
