//! A low limit of open files: clients never take the descriptors that their own exchanges, the
//! admin listener and the files need.

use crate::admin::{ADMIN, admin_address, get};
use crate::support::stage::{CHUNKED, GET, OK};
use narrows_kit::certificates::certificate_file;
use narrows_kit::client::{connect_plain, expect_turned_away};
use narrows_kit::origin::Origin;
use narrows_kit::programs::narrows;
use narrows_kit::relay::{Relay, Setup};
use narrows_kit::within;
use std::process::Command;

/// Clients that there is room for.
const ROOM: usize = 20;
/// Two for each of them, and 64 for the process.
const OPEN_FILES: u32 = 64 + 2 * ROOM as u32;
/// So that no connection ends because of its age.
const LONG: &str = "[timeouts]\nkeep_alive = \"10m\"\n";

fn small(origin: &Origin) -> Setup {
    Relay::plain_to(origin).workers(1).open_files(OPEN_FILES).argument(ADMIN)
}

#[tokio::test]
async fn clients_beyond_the_room_get_503_at_once_and_all_others_are_served() {
    let origin = Origin::plain().await;
    let relay = small(&origin).with(LONG).await;
    let mut running = Vec::new();
    for _ in 0..ROOM {
        let mut client = relay.connect().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(CHUNKED).await;
        client.read_head().await;
        running.push((client, upstream));
    }
    // More than there are descriptors.
    let mut crowd = Vec::new();
    for _ in 0..2 * OPEN_FILES {
        crowd.push(relay.connect().await);
    }
    let line = relay.wait_for_log("the limit of open files has no room for another client").await;
    assert!(line.contains(" WARN narrows::limits: "), "{line}");
    let mut probe = connect_plain(admin_address(&relay).await).await;
    assert_eq!(get(&mut probe, "/livez").await.0, 200);
    assert_eq!(get(&mut probe, "/status").await.0, 200);
    drop(crowd);
    expect_turned_away(&mut relay.connect().await).await;
    let (_, metrics) = get(&mut probe, "/metrics").await;
    assert!(metrics.contains("narrows_refused_total{reason=\"open_files\"} "), "{metrics}");

    for (client, upstream) in &mut running {
        upstream.send("0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"");
    }
    let log = relay.log_lines();
    let lacking: Vec<_> = log.iter().filter(|it| it.contains("os error 24")).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[tokio::test]
async fn a_flood_of_silent_connections_makes_way_for_clients_with_requests() {
    let origin = Origin::plain().await;
    let relay = small(&origin).with(LONG).await;
    let mut flood = Vec::new();
    for _ in 0..2 * ROOM {
        flood.push(relay.connect().await);
    }
    relay.wait_for_log("has no room for another client").await;
    // One of those that were let in ends soon, because others want its place.
    let served = async {
        loop {
            let mut client = relay.connect().await;
            client.send(GET).await;
            let mut upstream = tokio::select! {
                upstream = origin.accept() => upstream,
                _refused = client.read_to_end() => continue,
            };
            upstream.read_head().await;
            upstream.send(OK).await;
            break client.read_message().await.1;
        }
    };
    assert_eq!(within("a place", served).await, b"ok");
}

#[tokio::test]
async fn idle_connections_to_upstreams_make_way_for_those_that_are_needed() {
    let mut origins = Vec::new();
    for _ in 0..5 {
        origins.push(Origin::plain().await);
    }
    let mut setup = small(&origins[0]).with(LONG);
    for (number, origin) in origins.iter().enumerate().skip(1) {
        let address = origin.address();
        setup = setup.with(&format!(
            "[[route]]\npath = \"/{number}/\"\nupstream = \"http://{address}/\"\nwarm = 0\n"
        ));
    }
    let relay = setup.await;
    let mut clients = Vec::new();
    for _ in 0..ROOM {
        clients.push(relay.connect().await);
    }
    let mut kept = Vec::new();
    for (number, origin) in origins.iter().enumerate().skip(1) {
        let mut upstreams = Vec::new();
        for client in &mut clients {
            client.send(format!("GET /{number}/ HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let mut upstream = origin.accept().await;
            upstream.read_head().await;
            upstreams.push(upstream);
        }
        for (client, upstream) in clients.iter_mut().zip(&mut upstreams) {
            upstream.send(OK).await;
            assert_eq!(client.read_message().await.1, b"ok", "{number}");
        }
        kept.push(upstreams);
    }
}

#[tokio::test]
async fn without_descriptors_no_file_is_said_to_have_changed() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
        certificate_file("server.pem"),
        certificate_file("server.key"),
        origin.address(),
    ));
    let relay = relay.argument(ADMIN).await;
    let mut probe = connect_plain(admin_address(&relay).await).await;
    assert_eq!(get(&mut probe, "/livez").await.0, 200);
    relay.limit_open_files(3);
    let line = relay.wait_for_log("the files of certificates, keys or roots cannot be").await;
    assert!(line.contains(" WARN ") && line.contains("os error 24"), "{line}");
    let (_, metrics) = get(&mut probe, "/metrics").await;
    assert!(metrics.contains("\nnarrows_files_unusable 0\n"), "{metrics}");
    let log = relay.log_lines();
    assert!(!log.iter().any(|it| it.contains("a file has changed")), "{log:#?}");
}

#[test]
fn a_start_with_too_few_open_files_says_how_many_are_needed() {
    for limit in [24, 65] {
        // One that starts nevertheless is ended.
        let start = format!("ulimit -n {limit} && exec timeout 60 \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &start])
            .arg(narrows())
            .args(["run", "--listen=127.0.0.1:0"])
            .args(["--workers=2", "/=http://127.0.0.1:9/"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<_> = stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
        let want = format!("narrows: cannot start: the limit of open files is {limit}, and 68 is ");
        assert!(errors.len() == 1 && errors[0].starts_with(&want), "{stderr}");
    }
}
