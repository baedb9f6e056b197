//! The process: how it stops, what it refuses, and that several workers are one server.

use crate::support::stage::{CHUNKED, GET, GET_10, OK, OK_LAST, Stage, UNTIL_CLOSE, expect_ok};
use narrows_kit::certificates::certificate_file;
use narrows_kit::client::{connect_plain, connect_tls, expect_turned_away};
use narrows_kit::folder::Folder;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stop_lets_exchanges_finish_and_closes_idle_connections_at_once() {
    for stage in Stage::all().await {
        let (mut idle, mut idle_upstream) = stage.begin(GET).await;
        idle_upstream.send(OK_LAST).await;
        idle.read_message().await;
        let mut silent = stage.relay.connect().await;
        let (mut waiting, mut first) = stage.begin(GET).await;
        let (mut reading, mut second) = stage.begin(GET).await;
        second.send(CHUNKED).await;
        reading.read_head().await;

        stage.relay.signal(Signal::TERM);
        idle.expect_end(End::Clean).await;
        silent.expect_end(End::Clean).await;

        second.send("5\r\nevent\r\n").await;
        assert_eq!(reading.read_chunk().await, b"event");
        // The worker has been through its loop since it heard of the stop.
        let refused = TcpStream::connect(stage.relay.address()).await;
        assert!(refused.is_err(), "{stage:?}: it still accepts");
        second.send("0\r\n\r\n").await;
        assert_eq!(reading.read_chunk().await, b"");
        reading.expect_end(End::Clean).await;

        first.send(OK).await;
        let (head, body) = waiting.read_message().await;
        assert_eq!(field_value(&head, "connection"), Some("close"), "{stage:?}");
        assert_eq!(body, b"ok");
        waiting.expect_end(End::Clean).await;
        for client in [idle, silent, reading, waiting] {
            client.close().await;
        }

        let mut relay = stage.relay;
        let (status, log) = relay.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
    }
}

#[tokio::test]
async fn signals_without_a_meaning_here_are_logged_and_cut_nothing() {
    let stage = Stage::plain().await;
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    for (signal, name) in [(Signal::USR1, "SIGUSR1")] {
        stage.relay.signal(signal);
        let line = stage.relay.wait_for_log(&format!("{name} is ignored")).await;
        assert!(line.contains(" WARN narrows::signals: "), "{line}");
    }
    stage.relay.signal(Signal::QUIT);
    let line = stage.relay.wait_for_log("stopping; running exchanges may end").await;
    assert!(line.contains(" INFO narrows::server: "), "{line}");
    assert!(line.contains(" signal=\"SIGQUIT\" exchanges=1 "), "{line}");
    upstream.send("5\r\nevent\r\n0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"event");
    assert_eq!(client.read_chunk().await, b"");
    let mut relay = stage.relay;
    let (status, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

/// The line about open files comes before it listens, and 64 workers take a while to start.
#[tokio::test]
async fn a_signal_that_comes_during_the_start_kills_nothing() {
    let folder = Folder::new("start");
    let toml = "workers = 64\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let configuration = folder.write("narrows.toml", toml);
    let starting = tokio::task::spawn_blocking(move || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 1024 && exec \"$0\" run --config \"$1\""]);
        shell.arg(env!("CARGO_BIN_EXE_narrows")).arg(configuration);
        let mut child = shell.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        log.read_line(&mut text).unwrap();
        for signal in [Signal::HUP, Signal::TERM] {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        log.read_to_string(&mut text).unwrap();
        (child.wait().unwrap(), text)
    });
    let (status, log) = within("the end of the process", starting).await.unwrap();
    assert!(log.contains("the limit of open files has room for fewer"), "{log}");
    assert!(log.contains("stopping; running exchanges may end signal=\"SIGTERM\""), "{log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let stage = Stage::plain().await;
        let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
        let mut relay = stage.relay;
        relay.signal(Signal::TERM);
        relay.wait_for_log("stopping").await;
        relay.signal(signal);
        let (status, log) = relay.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
        let (bytes, _) = client.read_to_end().await;
        assert_eq!(bytes, b"", "no last chunk");
        upstream.read_to_end().await;
    }
}

/// Without chunks only the way the connection ends can say that something is missing.
#[tokio::test]
async fn a_body_that_the_close_ends_is_cut_when_the_process_ends_in_its_middle() {
    for (last, tls) in
        [Signal::TERM, Signal::KILL].into_iter().flat_map(|it| [(it, false), (it, true)])
    {
        let stage = Stage::new(tls, tls, "").await;
        let (mut client, mut upstream) = stage.answered(GET_10, UNTIL_CLOSE).await;
        upstream.send("half").await;
        assert_eq!(client.read_exactly(4).await, b"half");
        let mut relay = stage.relay;
        relay.signal(Signal::TERM);
        relay.wait_for_log("stopping").await;
        relay.signal(last);
        relay.ended().await;
        client.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn an_address_in_use_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = narrows(&["run", &format!("--listen={address}"), "/=http://127.0.0.1:9/"]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0].starts_with(&format!("narrows: cannot listen on {address}: ")), "{stderr}");
}

#[tokio::test]
async fn a_variable_that_is_left_from_a_hand_over_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(["run", "/=http://127.0.0.1:9/"]).stdin(Stdio::null());
    command.env("NARROWS_HANDED_OVER", "1");
    let output = end_of(command).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("narrows: cannot take over: "), "{stderr}");
    assert!(stderr.contains("; unset NARROWS_HANDED_OVER, "), "{stderr}");
}

#[tokio::test]
async fn more_sockets_than_were_passed_are_an_error_that_names_both_numbers() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(["run", "--listen=127.0.0.1:0", "/=http://127.0.0.1:9/"]).stdin(Stdio::null());
    command.env("LISTEN_FDS", "5000");
    let output = end_of(command).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let says = "narrows: LISTEN_FDS says that 5000 sockets are passed, and there are ";
    assert!(stderr.starts_with(says) && stderr.contains("; unset it, or "), "{stderr}");
}

/// Each may take two, and 64 are for the process itself.
#[tokio::test]
async fn a_low_limit_of_open_files_is_a_warning_when_connections_approach_it() {
    let origin = Origin::asleep();
    let relay = Relay::plain_to(&origin).workers(1).open_files(64 + 2 * 20).await;
    let line = relay.wait_for_log("the limit of open files has room for fewer").await;
    assert!(line.contains(" INFO ") && line.ends_with(" connections=20"), "{line}");
    let mut clients = Vec::new();
    for _ in 0..18 {
        clients.push(relay.connect().await);
    }
    // The last of them has been accepted when it is answered.
    clients[17].send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    clients[17].read_message().await;
    assert!(!relay.log_lines().iter().any(|line| line.contains(" WARN ")));
    clients.extend([relay.connect().await, relay.connect().await]);
    let line = relay.wait_for_log("open files are running out").await;
    assert!(line.contains(" WARN ") && line.ends_with(" room=20"), "{line}");
}

#[tokio::test]
async fn one_connection_too_many_gets_503_without_tls_and_a_close_with_tls() {
    let limit = "[limits]\nconnections = 2\n";
    let plain = Stage::new(false, false, limit).await;
    let (first, _upstream) = plain.begin(GET).await;
    let second = within("a connection", connect_plain(plain.relay.address())).await;
    let mut third = plain.relay.connect().await;
    expect_turned_away(&mut third).await;
    second.close().await;
    expect_place(&plain).await;
    drop(first);

    let tls = Stage::new(true, false, limit).await;
    let first = connect_tls(tls.relay.address()).await;
    let second = connect_tls(tls.relay.address()).await;
    let mut third = connect_plain(tls.relay.address()).await;
    let (bytes, _) = third.read_to_end().await;
    assert_eq!(bytes, b"", "not even an alert");
    tls.relay.wait_for_log("limits.connections is reached").await;
    second.close().await;
    expect_place(&tls).await;
    drop(first);
}

#[tokio::test]
async fn a_plain_and_a_tls_listener_serve_side_by_side() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
        certificate_file("server.pem"),
        certificate_file("server.key"),
        origin.address(),
    ))
    .await;
    let [plain, tls] = relay.addresses() else { panic!("two: {:?}", relay.addresses()) };
    for mut client in [connect_plain(*plain).await, connect_tls(*tls).await] {
        expect_ok(&mut client, &origin).await;
    }
}

#[tokio::test]
async fn a_port_alone_is_served_at_every_address_of_the_machine() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \":0\"\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
        origin.address(),
    ))
    .await;
    let addresses = relay.addresses();
    assert!(addresses[0].ip().is_unspecified() && addresses[0].is_ipv4(), "{addresses:?}");
    for address in addresses {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let mut client = connect_plain(SocketAddr::new(loopback, address.port())).await;
        expect_ok(&mut client, &origin).await;
    }
}

#[tokio::test]
async fn several_workers_serve_one_address_and_stop_together() {
    for tls in [false, true] {
        let origin = Origin::plain().await;
        let listener = if tls { Relay::to(&origin) } else { Relay::plain_to(&origin) };
        let relay = listener.workers(4).await;
        let mut open = Vec::new();
        for number in 0..32 {
            let mut client = relay.connect().await;
            client.send(format!("GET /gpt/{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let mut upstream = origin.accept().await;
            let head = upstream.read_head().await;
            assert!(head.starts_with(&format!("GET /{number} ")), "{head}");
            open.push((client, upstream));
        }
        for (client, upstream) in &mut open {
            upstream.send(OK).await;
            assert_eq!(client.read_message().await.1, b"ok");
        }
        let stopping = relay.stop();
        let closing = async {
            for (mut client, _upstream) in open {
                client.expect_end(End::Clean).await;
            }
        };
        let ((status, log), ()) = tokio::join!(stopping, closing);
        assert_eq!(status.code(), Some(0), "{log:#?}");
    }
}

/// The place of a client that has left is free soon, though not at once.
async fn expect_place(stage: &Stage) {
    let served = async {
        loop {
            let Ok(mut client) = stage.relay.try_connect().await else { continue };
            let request = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            if client.try_send(request).await.is_err() {
                continue;
            }
            let (bytes, _) = client.read_to_end().await;
            if bytes.starts_with(b"HTTP/1.1 404 ") {
                return;
            }
        }
    };
    within("a free place", served).await;
}

async fn narrows(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(arguments);
    end_of(command).await
}

async fn end_of(mut command: Command) -> Output {
    let running = tokio::task::spawn_blocking(move || command.output());
    within("the end of the process", running).await.unwrap().unwrap()
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_and_not_lost_in_silence() {
    let folder = Folder::new("unwritten");
    let location = "server { listen 80; location / { proxy_pass https://api.openai.com/; } }";
    folder.write("nginx.conf", location);
    for arguments in [&["token", "alice"][..], &["import", "nginx", "nginx.conf"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_narrows"))
            .args(arguments)
            .current_dir(&folder)
            .stdout(full)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr.contains("stdout cannot be written to: No space left"), "{stderr}");
    }
}
