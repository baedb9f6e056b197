//! The access log as an operator reads it, and what must never be in any log.

use crate::support::stage::{CHUNKED, GET, OK, OK_LAST, Stage};
use narrows_kit::client::{connect_plain, connect_plain_from};
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Stands for a key or a prompt.
const SECRET: &str = "sk-s3cr3t";

#[tokio::test]
async fn a_completed_exchange_is_one_line_with_all_its_numbers() {
    let stage = Stage::plain().await;
    let mut client = stage.relay.connect().await;
    client.send("POST /gpt/v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut upstream = stage.origin.accept().await;
    upstream.read_message().await;
    upstream.send(OK).await;
    client.read_message().await;
    let line = stage.relay.wait_for_log("narrows::access").await;
    for part in [
        " INFO narrows::access: exchange route=\"/gpt/\" client=127.0.0.1:",
        " id=\"",
        " method=\"POST\" status=200 upstream_status=\"2xx\" connect_ms=",
        " tcp_ms=",
        " reused=false head_ms=",
        " first_byte_ms=",
        " total_ms=",
        " to_upstream=5 to_client=2 end=\"completed\"",
    ] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    for part in ["v1/chat", "fault=", "lookup_ms=", "tls_ms=", " stream=", "events="] {
        assert!(!line.contains(part), "{part:?} in {line}");
    }

    client.send(GET).await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    stage.relay.wait_for_log("reused=true").await;
    client.close().await;
    let (_, log) = stage.relay.stop().await;
    assert_eq!(log.iter().filter(|line| line.contains("narrows::access")).count(), 2, "{log:#?}");
}

#[tokio::test]
async fn an_answer_of_our_own_names_the_fault_and_the_code() {
    let origin = Origin::asleep();
    let relay = Relay::plain_to(&origin).await;
    let mut client = relay.connect().await;
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_message().await;
    let line = relay.wait_for_log("status=404").await;
    assert!(
        line.ends_with("end=\"answered\" fault=\"client\" cause=\"route_not_found\""),
        "{line}"
    );
    assert!(!line.contains("route=") && !line.contains("reused="), "{line}");

    client.send(GET).await;
    client.read_message().await;
    let line = relay.wait_for_log("status=502").await;
    let want = "end=\"answered\" fault=\"upstream\" cause=\"upstream_unreachable\" \
                reason=\"ECONNREFUSED\" step=\"connect\" address=127.0.0.1:";
    assert!(line.contains(want), "{line}");
    assert!(line.contains(" family=\"4\" step_ms="), "{line}");
}

#[tokio::test]
async fn a_json_log_holds_one_object_a_line() {
    let origin = Origin::plain().await;
    let relay = Relay::plain_to(&origin).argument("--log-format=json").await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    let line = relay.wait_for_log("\"exchange\"").await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for part in ["\"status\":200", "\"route\":\"/gpt/\"", "\"end\":\"completed\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn nothing_that_a_peer_wrote_is_in_the_log_at_any_level() {
    for (client_tls, origin_tls) in [(false, false), (true, true)] {
        let origin = if origin_tls { Origin::tls().await } else { Origin::plain().await };
        let setup = if client_tls { Relay::to(&origin) } else { Relay::plain_to(&origin) };
        let relay = setup.argument("--log-level=trace").await;

        let whole = format!(
            "POST /gpt/{SECRET}?key={SECRET} HTTP/1.1\r\nHost: {SECRET}\r\n\
             Authorization: Bearer {SECRET}\r\nX-{SECRET}: {SECRET}\r\nContent-Length: 9\r\n\r\n\
             {SECRET}"
        );
        let answers = [
            format!(
                "HTTP/1.1 200 {SECRET}\r\nX-{SECRET}: {SECRET}\r\nConnection: close\r\n\
                     Content-Length: 9\r\n\r\n{SECRET}"
            ),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\nX: {SECRET}\r\n\r\n"),
            format!("{SECRET}\r\n\r\n"),
            format!("{CHUNKED}{SECRET}\r\n"),
        ];
        for answer in answers {
            let mut client = relay.connect().await;
            client.send(&whole).await;
            let mut upstream = origin.accept().await;
            let (head, body) = upstream.read_message().await;
            assert!(head.contains(SECRET) && body == SECRET.as_bytes(), "{head}");
            upstream.send(answer).await;
            upstream.read_to_end().await;
            drop(client);
        }
        for broken in [
            format!("{SECRET}\r\n\r\n"),
            format!("{SECRET} /gpt/ HTTP/1.1\r\nHost: a\r\nContent-Length: {SECRET}\r\n\r\n"),
            format!("GET /{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("GET /gpt/../{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("GET /gpt/ HTTP/1.1\r\nHost: a\r\nExpect: {SECRET}\r\n\r\n"),
            format!("GET /gpt/ {SECRET}\r\nHost: a\r\n\r\n"),
            format!("GET /gpt/ HTTP/1.1\r\nHost: {SECRET} {SECRET}\r\n\r\n"),
        ] {
            let mut client = relay.connect().await;
            client.send(broken).await;
            assert!(client.read_head().await.starts_with("HTTP/1.1 4"));
            client.close().await;
        }
        let mut client = relay.connect().await;
        client.send(format!("{SECRET} /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        client.read_message().await;
        relay.wait_for_log("method=\"other\" status=200").await;
        client.close().await;

        let (_, log) = relay.stop().await;
        assert!(log.iter().filter(|line| line.contains("exchange")).count() >= 12, "{log:#?}");
        for line in log {
            assert!(!line.contains(SECRET), "{line}");
        }
    }
}

/// A million of them would be 200 MB of log.
#[tokio::test]
async fn a_flood_of_refused_requests_is_a_few_lines_and_a_count_and_hides_nothing_else() {
    const FLOOD: usize = 5000;
    let stage = Stage::plain().await;
    let address = stage.relay.address();
    let mut attacker = connect_plain_from([127, 0, 0, 5], address).await;
    let refused = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..FLOOD / 100 {
        attacker.send(refused.repeat(100)).await;
        for _ in 0..100 {
            assert!(attacker.read_message().await.0.starts_with("HTTP/1.1 404 "));
        }
    }
    // What others do wrong is seen, and what the attacker does right.
    let mut other = connect_plain_from([127, 0, 0, 6], address).await;
    other.send(refused).await;
    other.read_message().await;
    for client in [&mut attacker, &mut other] {
        client.send(GET).await;
        let mut upstream = stage.origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        client.read_message().await;
    }
    let (_, log) = stage.relay.stop().await;
    let lines = |parts: [&str; 2]| {
        log.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    };
    assert_eq!(lines(["client=127.0.0.6:", "status=404"]), 1, "{log:#?}");
    assert_eq!(lines(["client=127.0.0.5:", "status=200"]), 1, "{log:#?}");
    assert_eq!(lines(["client=127.0.0.6:", "status=200"]), 1, "{log:#?}");
    let written = lines(["client=127.0.0.5:", "status=404"]);
    assert!(written < FLOOD / 2, "{written}");
    let counts = log.iter().filter_map(|line| {
        line.split_once("narrows::log: lines about refusals were left out requests=")
    });
    let left_out: usize = counts.map(|(_, count)| count.parse::<usize>().unwrap()).sum();
    assert_eq!(written + left_out, FLOOD, "{log:#?}");
}

/// Far more lines than a pipe holds, and no one reads it.
#[tokio::test]
async fn a_log_that_is_not_read_blocks_no_exchange() {
    let origin = Origin::plain().await;
    let name = format!("unread-log-{}.toml", std::process::id());
    let configuration = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let toml = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\nwarm = 0\n",
        origin.address()
    );
    fs::write(&configuration, toml).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(["run", "--config"])
        .arg(&configuration)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready addresses=") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the relay ended");
    }
    fs::remove_file(&configuration).unwrap();
    let (_, address) = line.trim_end().split_once("http://").unwrap();
    let mut client = connect_plain(address.trim_end_matches('"').parse().unwrap()).await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    for _ in 0..1000 {
        upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
        client.send(GET).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// journald takes the priority from the beginning of a line, and has the time itself.
#[tokio::test]
async fn a_log_that_goes_to_the_journal_has_priorities_and_no_time() {
    let folder = Folder::new("journal");
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let configuration = folder.write("narrows.toml", toml);
    let first_line = |journal: &'static str| {
        let mut shell = Command::new("sh");
        let script = format!(
            "ulimit -n 1024; export JOURNAL_STREAM={journal}; exec \"$0\" run --config \"$1\""
        );
        shell.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_narrows")).arg(&configuration);
        let mut child = shell.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        line
    };
    let line = first_line("$(stat -L -c %d:%i /proc/self/fd/2)");
    assert!(line.starts_with("<6>INFO narrows::server: the limit of open files"), "{line}");
    let elsewhere = first_line("8:1");
    assert!(elsewhere.contains("Z  INFO narrows::server: the limit of open files"), "{elsewhere}");
}

#[tokio::test]
async fn a_reload_changes_the_level_and_the_form_of_the_log() {
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let relay = Relay::start(toml).at_its_own_level().await;
    let line = relay.wait_for_log("ready").await;
    assert!(line.contains("Z  INFO narrows::ready: ready "), "{line}");
    let log = "[log]\nlevel = \"trace\"\nformat = \"json\"\n";
    relay.configure(&format!("{toml}{log}"));
    relay.signal(Signal::HUP);
    relay.wait_for_log("\"message\":\"reloaded\"").await;
    let _client = relay.connect().await;
    let line = relay.wait_for_log("connected").await;
    assert!(line.contains("\"level\":\"TRACE\",\"message\":\"connected\""), "{line}");
}
