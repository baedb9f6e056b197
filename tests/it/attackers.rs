//! Peers that mean harm: what one of them costs is bounded in memory and in time, and honest
//! clients are served meanwhile. These attack the HTTP relay, those below what is in front of it.

mod memory;
mod proxy_header;
mod scene;
mod tcp;

use crate::support::siege::{BUFFER_KIB, CONNECTION_KIB, CROWD, READ_KIB, Siege, TLS_KIB};
use crate::support::stage::{CHUNKED, OK_LAST};
use narrows_kit::certificates::client_config;
use narrows_kit::client::{connect_plain, connect_plain_from};
use narrows_kit::pattern::pattern;
use narrows_kit::peer::End;
use narrows_kit::within;
use scene::{ATTACK, CHUNKED_UPLOAD, HONEST, Scene, UPLOAD};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConnection};

#[tokio::test]
async fn slow_heads_cost_a_buffer_each_and_end_at_their_limit() {
    let scene = Scene::plain("[timeouts]\nrequest_head = \"2s\"\n").await;
    let begun = Instant::now();
    let mut crowd = scene.crowd(CROWD, "GET /gpt/ HTTP/1.1\r\nHost: a\r\nX: ").await;
    let bound = CROWD * (CONNECTION_KIB + BUFFER_KIB);
    while !crowd.is_empty() {
        for attacker in &mut crowd {
            attacker.try_send("x").await.expect("a head that goes on");
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth("slow heads", bound);
        let late = crowd.extract_if(.., |it| it.has_bytes()).collect::<Vec<_>>();
        for mut attacker in late {
            assert!(begun.elapsed() >= Duration::from_secs(2), "the limit is 2 s for each");
            assert!(attacker.read_head().await.starts_with("HTTP/1.1 408 "));
        }
    }
}

/// The most that heads can cost: each is as long as `limits.head_bytes` allows, and not whole.
#[tokio::test]
async fn incomplete_heads_cost_at_most_twice_their_limit() {
    const COUNT: usize = 50;
    let scene = Scene::plain("").await;
    let mut part = "GET /gpt/ HTTP/1.1\r\nHost: a\r\nX: ".to_owned();
    part += &"x".repeat(64 * 1024 - part.len() - 1);
    let crowd = scene.crowd(COUNT, &part).await;
    scene.serve_an_honest_client().await;
    scene.assert_growth("heads of 64 KiB", COUNT * (CONNECTION_KIB + 2 * 64));
    drop(crowd);
}

#[tokio::test]
async fn slow_bodies_hold_no_buffer_and_end_when_they_stop() {
    for begin in [UPLOAD, CHUNKED_UPLOAD] {
        let scene = Scene::plain("[timeouts]\nto_upstream = { read = \"2s\" }\n").await;
        let (mut crowd, mut upstreams) = (scene.crowd(CROWD, begin).await, Vec::new());
        for _ in 0..CROWD {
            let mut upstream = scene.attacked.accept().await;
            upstream.read_head().await;
            upstreams.push(upstream);
        }
        let byte = if begin == UPLOAD { "x" } else { "1\r\nx\r\n" };
        for _ in 0..5 {
            for attacker in &mut crowd {
                attacker.send(byte).await;
            }
            scene.serve_an_honest_client().await;
            scene.assert_growth("slow bodies", CROWD * 2 * CONNECTION_KIB);
        }
        for attacker in &mut crowd {
            assert!(attacker.read_head().await.starts_with("HTTP/1.1 408 "));
        }
        for upstream in &mut upstreams {
            assert_eq!(upstream.read_to_end().await.1, End::Reset);
        }
    }
}

#[tokio::test]
async fn slow_readers_cost_one_read_each_and_end_when_they_stop_reading() {
    const COUNT: usize = 40;
    let scene = Scene::plain("[timeouts]\nto_client = { write = \"2s\" }\n").await;
    let crowd = scene.crowd(COUNT, ATTACK).await;
    let mut sending = Vec::new();
    for _ in 0..COUNT {
        let mut upstream = scene.attacked.accept().await;
        sending.push(tokio::spawn(async move {
            upstream.read_head().await;
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n").await;
            let part = pattern(0, 256 * 1024);
            while upstream.try_send(&part).await.is_ok() {}
        }));
    }
    let bound = COUNT * (2 * CONNECTION_KIB + READ_KIB + BUFFER_KIB);
    let mut waiting = true;
    while waiting {
        scene.serve_an_honest_client().await;
        scene.assert_growth("slow readers", bound);
        waiting = sending.iter().any(|it| !it.is_finished());
    }
    drop(crowd);
    scene.relay.wait_for_log("cause=\"slow_reader\"").await;
}

#[tokio::test]
async fn stalled_handshakes_end_at_their_limit() {
    // Honest clients have to be done within it, also on a busy machine.
    let scene = Scene::tls("[timeouts]\nhandshake = \"5s\"\n").await;
    let config = client_config(ALL_VERSIONS);
    let mut tls = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut attacker = connect_plain(scene.relay.address()).await;
        // Every other one has said all it has to say, and does not answer what comes back.
        attacker.send(&hello[..hello.len() / (1 + number % 2)]).await;
        crowd.push(attacker);
    }
    let leaving = async {
        for attacker in &mut crowd {
            attacker.read_to_end().await;
        }
    };
    scene.serve_during("handshakes", CROWD * (CONNECTION_KIB + TLS_KIB), leaving).await;
    assert!(begun.elapsed() >= Duration::from_secs(5), "the limit is 5 s for each");
}

#[tokio::test]
async fn a_flood_of_connections_is_refused_and_open_connections_are_served() {
    let limits = "[limits]\nconnections = 100\n[timeouts]\nlinger = \"1s\"\n";
    for tls in [false, true] {
        let scene = if tls { Scene::tls(limits).await } else { Scene::plain(limits).await };
        let mut inside = scene.relay.connect().await;
        let mut crowd = Vec::new();
        for _ in 0..10 {
            for _ in 0..100 {
                crowd.push(connect_plain(scene.relay.address()).await);
            }
            inside.send(HONEST).await;
            let mut upstream = scene.honest.accept().await;
            upstream.read_head().await;
            upstream.send(OK_LAST).await;
            assert_eq!(inside.read_message().await.1, b"ok");
            scene.assert_growth("flood", 164 * CONNECTION_KIB);
        }
        scene.relay.wait_for_log("limits.connections is reached").await;
        drop(crowd);
        // As soon as the flood is gone.
        let serving = async { while !scene.try_to_serve().await {} };
        within("a place after the flood", serving).await;
    }
}

#[tokio::test]
async fn a_flood_from_one_address_does_not_lock_out_others() {
    const ATTACKER: [u8; 4] = [127, 0, 0, 5];
    let limits = "[limits]\nconnections = 100\nconnections_per_address = 50\n";
    let scene = Scene::plain(limits).await;
    let mut crowd = Vec::new();
    for _ in 0..10 {
        for _ in 0..50 {
            crowd.push(connect_plain_from(ATTACKER, scene.relay.address()).await);
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth("flood from one address", 115 * CONNECTION_KIB);
    }
    let line = scene.relay.wait_for_log("per_address is reached").await;
    assert!(line.ends_with("client=127.0.0.5"), "{line}");
}

#[tokio::test]
async fn a_flood_of_pipelined_requests_is_not_read_ahead() {
    let scene = Scene::plain("").await;
    // Those for the upstream wait for its answer; those without a route for their reader.
    for (target, reached) in [("gpt", true), ("nowhere", false)] {
        let mut attacker = scene.relay.connect().await;
        let requests = format!("GET /{target}/ HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2000);
        let mut taken = 0;
        let mut upstream = None;
        for _ in 0..10 {
            while attacker.send_now(requests.as_bytes()).await > 0 {
                taken += 1;
                assert!(taken < 10_000, "{target}: the flood never stops");
            }
            if reached && upstream.is_none() {
                upstream = Some(scene.attacked.accept().await);
            }
            scene.serve_an_honest_client().await;
            scene.assert_growth("pipelined requests", READ_KIB + 2 * BUFFER_KIB);
        }
        scene.attacked.assert_untouched().await;
        attacker.reset();
    }
}

#[tokio::test]
async fn heads_of_one_byte_fields_are_refused_and_cost_little_time() {
    let scene = Scene::plain("").await;
    let mut head = "GET /gpt/ HTTP/1.1\r\nHost: a\r\n".to_owned();
    head += &"a:\r\n".repeat((64 * 1024 - head.len()) / 4 - 1);
    head += "\r\n";
    for _ in 0..5 {
        let mut crowd = scene.crowd(CROWD / 5, &head).await;
        scene.serve_an_honest_client().await;
        for attacker in &mut crowd {
            assert!(attacker.read_head().await.starts_with("HTTP/1.1 431 "));
        }
        scene.assert_growth("heads of one-byte fields", CROWD / 5 * (CONNECTION_KIB + 2 * 64));
    }
    // The rest byte by byte: each is searched once, so that the last costs no more than the first.
    let mut attacker = scene.relay.connect().await;
    let (begin, rest) = head.as_bytes().split_at(head.len() - 8 * 1024);
    attacker.send(begin).await;
    let trickling = async {
        for byte in rest {
            attacker.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    };
    scene.serve_during("a head byte by byte", 2 * 64 + 2 * BUFFER_KIB, trickling).await;
    assert!(attacker.read_head().await.starts_with("HTTP/1.1 431 "));
    scene.serve_an_honest_client().await;
    scene.attacked.assert_untouched().await;

    let mut client = scene.relay.connect().await;
    client.send(ATTACK).await;
    let mut upstream = scene.attacked.accept().await;
    upstream.read_head().await;
    let _cut = upstream.try_send(head.replace("GET /gpt/ HTTP/1.1", "HTTP/1.1 200 OK")).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn chunks_of_one_byte_arrive_and_delay_no_one_else() {
    let scene = Scene::plain("").await;
    let mut client = scene.relay.connect().await;
    client.send(CHUNKED_UPLOAD).await;
    let mut upstream = scene.attacked.accept().await;
    upstream.read_head().await;
    scene.pass_tiny_chunks(&mut client, &mut upstream).await;
    upstream.send(CHUNKED).await;
    client.read_head().await;
    scene.pass_tiny_chunks(&mut upstream, &mut client).await;
}

#[tokio::test]
async fn an_endless_response_costs_no_more_than_another() {
    const READ_BYTES: usize = 16 * 1024 * 1024;
    let scene = Scene::plain("").await;
    for head in [CHUNKED, "HTTP/1.1 200 OK\r\n\r\n"] {
        let (mut client, mut upstream) = scene.answered(head).await;
        let endless = async {
            let part = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while upstream.try_send(&part).await.is_ok() {}
        };
        let reading = async {
            let mut read = 0;
            while read < READ_BYTES {
                read += client.read_some().await.len();
            }
            client.reset();
        };
        // It ends when the client has had enough.
        let passing = async { tokio::join!(endless, reading) };
        scene.serve_during("an endless response", READ_KIB + 2 * BUFFER_KIB, passing).await;
    }
}

#[tokio::test]
async fn endless_framing_in_a_response_is_cut_at_its_bound() {
    let scene = Scene::plain("").await;
    // What never ends, and what the client gets of it: an answer of ours, or a cut.
    for (begin, endless, answered) in [
        ("HTTP/1.1 200 OK\r\n", "a: b\r\n", true),
        ("HTTP/1.1 200 ", "OK", true),
        ("", "x", true),
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n", true),
        (CHUNKED, "0", false),
        (CHUNKED, "1;a=b", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", false),
    ] {
        let mut client = scene.relay.connect().await;
        client.send(ATTACK).await;
        let mut upstream = scene.attacked.accept().await;
        upstream.read_head().await;
        upstream.send(begin).await;
        let part = endless.repeat(1024);
        let sending = async { while upstream.try_send(&part).await.is_ok() {} };
        within("the end of an endless response", sending).await;
        let case = format!("{begin:?} {endless:?}");
        if answered {
            let mut head = client.read_head().await;
            while head.starts_with("HTTP/1.1 103 ") {
                head = client.read_head().await;
            }
            assert!(head.starts_with("HTTP/1.1 502 "), "{case}: {head}");
        } else {
            let (bytes, _) = client.read_to_end().await;
            assert!(!bytes.ends_with(b"\n0\r\n\r\n"), "{case}: the last chunk");
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth("endless framing", 2 * 64 + 2 * BUFFER_KIB);
    }
}
