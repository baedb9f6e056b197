//! A new process takes the place of the old one (SIGUSR2), and no client notices.

use crate::kept::expect_last_answer;
use crate::support::stage::{CHUNKED, GET, OK, Stage, expect_ok};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::programs::narrows;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// A copy of the program, which the test may replace.
fn copy(folder: &Folder) -> PathBuf {
    let file = folder.path.join("narrows");
    copy_file(&narrows(), &file);
    file
}

/// By another process: a program is busy while anything may write to it, such as a process that a
/// test beside this one starts meanwhile.
fn copy_file(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

/// Replaces the program as an upgrade does: the running process keeps its file.
fn replace(file: &Path, content: &[u8], mode: u32) {
    let (text, new) = (file.with_extension("text"), file.with_extension("new"));
    fs::write(&text, content).unwrap();
    copy_file(&text, &new);
    fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
    fs::rename(new, file).unwrap();
}

/// Clients that connect and get an answer of the relay's own, one after the other, until the test
/// has seen enough. Gives how many there were. None may be refused.
fn new_clients(address: SocketAddr) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = Arc::clone(&enough);
    let clients = tokio::spawn(async move {
        let mut count = 0;
        while !is_enough.load(Ordering::Relaxed) {
            expect_answer(&mut connect_plain(address).await).await;
            count += 1;
        }
        count
    });
    (enough, clients)
}

async fn expect_answer(client: &mut Peer) {
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[tokio::test]
async fn streams_uploads_and_new_clients_do_not_notice_a_new_program() {
    let folder = Folder::new("handover");
    let program = copy(&folder);
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).workers(2).program(program.clone()).await;
    let mut stage = Stage { origin, relay, client_tls: false };
    let (mut stream, mut events) = stage.answered(GET, CHUNKED).await;
    let upload = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ";
    let (mut uploading, mut receiving) = stage.begin(upload).await;
    assert_eq!(receiving.read_exactly(5).await, b"half ");
    let (enough, clients) = new_clients(stage.relay.address());

    replace(&program, &fs::read(narrows()).unwrap(), 0o755);
    let former = stage.relay.hand_over().await;
    // The new process has no connections to the origin yet.
    expect_ok(&mut stage.relay.connect().await, &stage.origin).await;

    events.send("5\r\nevent\r\n").await;
    assert_eq!(stream.read_chunk().await, b"event");
    uploading.send("whole").await;
    assert_eq!(receiving.read_exactly(5).await, b"whole");
    receiving.send(OK).await;
    let (head, body) = uploading.read_message().await;
    assert_eq!((field_value(&head, "connection"), &*body), (Some("close"), &b"ok"[..]));
    assert!(!former.has_ended(), "a stream still runs");
    events.send("0\r\n\r\n").await;
    assert_eq!(stream.read_chunk().await, b"");
    expect_last_answer(&mut stream).await;
    for peer in [stream, uploading] {
        peer.close().await;
    }
    former.ended().await;
    expect_ok(&mut stage.relay.connect().await, &stage.origin).await;
    enough.store(true, Ordering::Relaxed);
    assert!(clients.await.unwrap() > 0);
    let (status, log) = stage.relay.stop().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_new_process_that_fails_is_named_in_the_log_and_the_old_one_serves_on() {
    let folder = Folder::new("failing");
    let program = copy(&folder);
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).program(program.clone()).await;
    let stage = Stage { origin, relay, client_tls: false };
    let (mut stream, mut events) = stage.answered(GET, CHUNKED).await;
    let descriptors = stage.relay.descriptors();

    let cannot_start = format!("cannot start {}: ", program.display());
    for (content, mode, why) in [
        (&b"#!/bin/sh\nexit 3\n"[..], 0o755, "ended before it was ready (exit status: 3)"),
        (b"#!/bin/sh\nkill -ABRT $$\n", 0o755, "ended before it was ready (signal: 6"),
        (b"#!/bin/sh\necho ready\necho hello >&0\nexec /bin/false\n", 0o755, "(exit status: 1)"),
        (b"#!/bin/sh\n", 0o644, &format!("{cannot_start}Permission denied")),
        (b"\x7fELF\x02\x01\x01 for another machine", 0o755, &format!("{cannot_start}Exec format")),
        (b"#!/no/such/interpreter\n", 0o755, &format!("{cannot_start}No such file")),
    ] {
        replace(&program, content, mode);
        stage.relay.signal(Signal::USR2);
        let line = stage.relay.wait_for_log(why).await;
        assert!(line.contains("ERROR narrows::server: the hand-over failed, and this"), "{line}");
        events.send("5\r\nevent\r\n").await;
        assert_eq!(stream.read_chunk().await, b"event", "{line}");
        expect_ok(&mut stage.relay.connect().await, &stage.origin).await;
    }
    fs::remove_file(&program).unwrap();
    stage.relay.signal(Signal::USR2);
    stage.relay.wait_for_log_lines("No such file", 2).await;
    stage.relay.wait_for_descriptors(descriptors).await;

    // What it takes to succeed, at last.
    let mut stage = stage;
    copy(&folder);
    let former = stage.relay.hand_over().await;
    events.send("0\r\n\r\n").await;
    assert_eq!(stream.read_chunk().await, b"");
    stream.close().await;
    former.ended().await;
}

#[tokio::test]
async fn a_configuration_that_is_wrong_by_now_fails_the_hand_over_and_nothing_else() {
    let mut stage = Stage::plain().await;
    let address = stage.relay.address();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let route = "[[route]]\npath = \"/gpt/\"\nwarm = 0\nupstream = \"http://127.0.0.1:9/\"\n";
    let unbound = format!("[[listener]]\naddress = \"{taken}\"\n{route}");
    let in_use = format!("narrows: cannot listen on {taken}: Address already in use");
    for (count, toml, message) in
        [(1, "listeners = 1\n", "unknown key \"listeners\""), (2, &*unbound, &*in_use)]
    {
        stage.relay.configure(toml);
        stage.relay.signal(Signal::USR2);
        stage.relay.wait_for_log_lines("the hand-over failed, and this process", count).await;
        stage.relay.wait_for_log(message).await;
    }
    expect_ok(&mut stage.relay.connect().await, &stage.origin).await;

    // Right again, with a listener more.
    let two = format!(
        "[[listener]]\naddress = \"{address}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{route}"
    );
    stage.relay.configure(&two);
    stage.relay.hand_over().await.ended().await;
    stage.relay.wait_for_log_lines("ready addresses=", 2).await;
    let log = stage.relay.log_lines();
    let ready = log.iter().rfind(|it| it.contains("ready addresses=")).unwrap();
    assert_eq!(ready.matches("http://127.0.0.1:").count(), 2, "{ready}");
    expect_answer(&mut connect_plain(address).await).await;

    // The second one goes, and is closed by both processes.
    let second = ready.rsplit("http://").next().unwrap().trim_end_matches('"');
    stage.relay.configure(&format!("[[listener]]\naddress = \"{address}\"\n{route}"));
    stage.relay.hand_over().await.ended().await;
    let line = stage.relay.wait_for_log("an inherited socket is closed").await;
    assert!(line.contains(" WARN ") && line.ends_with(&format!("address={second}")), "{line}");
    assert!(TcpStream::connect(second).await.is_err());
    expect_answer(&mut connect_plain(address).await).await;
}

/// A shell or a supervisor may ignore or block SIGCHLD, and forget to undo it for what it starts.
#[tokio::test]
async fn the_end_of_a_new_process_is_noticed_however_sigchld_was_left_by_the_parent() {
    for under in ["env --ignore-signal=CHLD", "env --block-signal=CHLD"] {
        let folder = Folder::new("sigchld");
        let program = copy(&folder);
        let origin = Origin::plain().await;
        let mut relay = Relay::plain_to(&origin).under(under).program(program.clone()).await;
        replace(&program, b"#!/bin/sh\nexit 3\n", 0o755);
        relay.signal(Signal::USR2);
        relay.wait_for_log("ended before it was ready (exit status: 3)").await;
        replace(&program, &fs::read(narrows()).unwrap(), 0o755);
        relay.hand_over().await.ended().await;
        expect_answer(&mut connect_plain(relay.address()).await).await;
        let (status, log) = relay.stop().await;
        assert_eq!(status.code(), Some(0), "{under}: {log:#?}");
    }
}

#[tokio::test]
async fn a_second_hand_over_does_not_wait_for_the_streams_of_the_first() {
    let mut stage = Stage::plain().await;
    let mut streams = Vec::new();
    let mut formers = Vec::new();
    for _ in 0..3 {
        streams.push(stage.answered(GET, CHUNKED).await);
        formers.push(stage.relay.hand_over().await);
    }
    // The others may not: a process that hands over accepts until the log has said so.
    assert!(!formers[0].has_ended(), "it has the first stream");
    for (mut client, mut upstream) in streams {
        upstream.send("5\r\nevent\r\n0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"event");
        assert_eq!(client.read_chunk().await, b"");
        client.close().await;
    }
    for former in formers {
        former.ended().await;
    }
    expect_ok(&mut stage.relay.connect().await, &stage.origin).await;
}

#[tokio::test]
async fn no_descriptor_is_left_over_after_any_number_of_hand_overs() {
    let mut stage = Stage::plain().await;
    expect_answer(&mut stage.relay.connect().await).await;
    let before = stage.relay.descriptors();
    for _ in 0..6 {
        stage.relay.hand_over().await.ended().await;
    }
    expect_answer(&mut stage.relay.connect().await).await;
    // Fewer than one for each: files are open for moments.
    stage.relay.wait_for_descriptors(before + 2).await;
}

#[tokio::test]
async fn the_number_of_workers_may_change_at_a_hand_over() {
    let origin = Origin::plain().await;
    let mut relay = Relay::plain_to(&origin).workers(3).await;
    let toml = relay.configuration();
    for workers in [1, 4, 2, 3] {
        relay.configure(&toml.replace("workers = 3", &format!("workers = {workers}")));
        relay.hand_over().await.ended().await;
        // The kernel spreads the clients over the sockets: no socket may be without a worker.
        for _ in 0..32 {
            expect_answer(&mut connect_plain(relay.address()).await).await;
        }
    }
    let (status, log) = relay.stop().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_configuration_from_stdin_is_given_to_each_new_process() {
    let origin = Origin::plain().await;
    let mut relay = Relay::plain_to(&origin).on_stdin().await;
    relay.configure("a file that no one reads");
    for count in 1..=3 {
        relay.hand_over().await.ended().await;
        expect_answer(&mut connect_plain(relay.address()).await).await;
        relay.signal(Signal::HUP);
        relay.wait_for_log_lines("read from stdin and cannot be read again", count).await;
    }
    let (status, log) = relay.stop().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_stop_during_a_hand_over_stops_both_and_another_signal_does_nothing() {
    let folder = Folder::new("stopped");
    let program = copy(&folder);
    let origin = Origin::plain().await;
    let mut relay = Relay::plain_to(&origin).program(program.clone()).await;
    // It says that it has begun, and never gets ready.
    let hangs = b"#!/bin/sh\necho begun >&2\nexec sleep 1000\n";
    replace(&program, hangs, 0o755);
    relay.signal(Signal::USR2);
    relay.wait_for_log("begun").await;
    relay.signal(Signal::USR2);
    relay.wait_for_log("SIGUSR2 is ignored: a hand-over is under way").await;
    relay.signal(Signal::TERM);
    // The log ends with the last process that writes to it.
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(log.iter().any(|it| it.ends_with("stopped")), "{log:#?}");
}

/// The new process has read the configuration by then, in the worst case.
#[tokio::test]
async fn a_reload_that_is_asked_for_during_a_hand_over_is_made_by_the_new_process() {
    let folder = Folder::new("reloaded");
    let program = copy(&folder);
    let origin = Origin::plain().await;
    let mut relay = Relay::plain_to(&origin).program(program.clone()).await;
    let gate = folder.path.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let (path, narrows) = (gate.display(), narrows());
    let waits = "#!/bin/sh\necho begun >&2\nread line <";
    let waits = format!("{waits} {path}\nexec {} \"$@\"\n", narrows.display());
    replace(&program, waits.as_bytes(), 0o755);
    relay.signal(Signal::USR2);
    relay.wait_for_log("begun").await;
    relay.signal(Signal::HUP);
    relay.wait_for_log("SIGHUP waits: a hand-over is under way").await;
    fs::write(&gate, "go\n").unwrap();
    relay.handed_over().await.ended().await;
    relay.wait_for_log(" reloaded number=1 ").await;
    expect_answer(&mut connect_plain(relay.address()).await).await;
}

#[tokio::test]
async fn the_admin_listener_is_handed_over_and_never_unready() {
    let folder = Folder::new("admin");
    let path = folder.path.join("admin.sock");
    let origin = Origin::plain().await;
    let toml = format!("admin = \"unix:{}\"\n", path.display());
    let base = Relay::plain_to(&origin).await;
    let mut relay = Relay::start(&(toml + &base.configuration())).await;
    assert!(ask_admin(&path).await.starts_with("HTTP/1.1 200 "));
    let enough = AtomicBool::new(false);
    let hand_overs = async {
        for _ in 0..3 {
            relay.hand_over().await.ended().await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    let asking = async {
        while !enough.load(Ordering::Relaxed) {
            let answer = ask_admin(&path).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    };
    tokio::join!(hand_overs, asking);
    let (status, log) = relay.stop().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(!path.exists(), "the last process removes its file");
}

async fn ask_admin(path: &Path) -> String {
    let mut stream = within("a connection", UnixStream::connect(path)).await.unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}
