//! One client connection: its requests in order, its refusals, its end.

use super::bench::{
    CHUNKED_POST, DialOutcome, EMPTY, GET, POST, STREAM, log_of, run, seconds, settle, words,
};
use crate::error::{Cause, ExchangeError, SocketError};
use crate::limits::PIPELINED_BYTES_MAX;
use crate::net::memory::End;
use tokio::time::timeout;

fn get(path: &str) -> String {
    format!("GET /gpt/{path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn answer(content: &str) -> String {
    let len = content.len();
    format!(
        "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
        Content-Length: {len}\r\n\r\n{content}"
    )
}

#[test]
fn pipelined_requests_are_answered_in_their_order_and_one_at_a_time() {
    let log = run(async |bench| {
        let mut client = bench.client();
        client.send([get("a"), get("b"), get("c")].concat()).await;
        let mut upstream = bench.upstream().await;
        for name in ["a", "b", "c"] {
            let head = upstream.read().await;
            assert!(head.starts_with(&format!("GET /{name} HTTP/1.1\r\n")), "{head}");
            settle().await;
            assert_eq!(upstream.here().0, [""; 0], "the next request waits for its turn");
            upstream.send(answer(name)).await;
            assert_eq!(client.read().await, answer(name));
        }
        assert_eq!(bench.dials(), 1);
    });
    assert_eq!(log, ["200 completed"; 3]);
}

#[test]
fn a_request_behind_a_body_begins_where_the_body_ends() {
    let log = run(async |bench| {
        let mut client = bench.client();
        let body = "x".repeat(100);
        client.send(format!("{POST}{body}{}", get("next"))).await;
        let mut upstream = bench.upstream().await;
        let first = upstream.read().await;
        assert!(first.ends_with(&format!("\r\n\r\n{body}")), "{first}");
        upstream.send(EMPTY).await;
        let second = upstream.read().await;
        assert!(second.starts_with("GET /next HTTP/1.1\r\n"), "{second}");
        upstream.send(EMPTY).await;
        assert_eq!([client.read().await, client.read().await], [EMPTY, EMPTY]);
    });
    assert_eq!(log, ["200 completed"; 2]);
}

#[test]
fn a_malformed_trailer_section_of_a_refused_request_ends_the_connection() {
    let head = "POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (section, end) in [("A: b\r\n\r\n", None), ("A b\r\n\r\n", Some(End::Clean))] {
        let log = run(async |bench| {
            let mut client = bench.client();
            client.send(format!("{head}0\r\n{section}")).await;
            let answer = client.read().await;
            assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
            assert_eq!(answer.contains("\r\nConnection: close\r\n"), end.is_some(), "{answer}");
            settle().await;
            assert_eq!(client.here(), (Vec::new(), end));
        });
        assert_eq!(log, ["404 answered client route_not_found"]);
    }
}

#[test]
fn the_content_of_an_exchange_is_counted_and_its_framing_is_not() {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(format!("{CHUNKED_POST}5;a=b\r\nhello\r\n")).await;
        let mut upstream = bench.upstream().await;
        client.send("2\r\n!!\r\n0\r\nA: b\r\n\r\n").await;
        settle().await;
        upstream.send(format!("{STREAM}3\r\nabc\r\n0\r\n\r\n")).await;
        client.read().await;
    });
    let counts: Vec<_> = log.iter().map(|it| words(it, &["to_upstream", "to_client"])).collect();
    assert_eq!(counts, ["7 3"]);
}

#[test]
fn between_pipelined_requests_other_clients_have_their_turn() {
    let log = run(async |bench| {
        let (mut first, mut second) = (bench.client(), bench.client());
        first.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
        second.send("GET /gpt/../../ HTTP/1.1\r\nHost: a\r\n\r\n").await;
        for client in [&mut second, &mut first] {
            assert!(client.read().await.starts_with("HTTP/1.1 40"));
        }
        settle().await;
    });
    let (none, other) =
        ("404 answered client route_not_found", "400 answered client path_leaves_route");
    assert_eq!(log, [none, other, none, none]);
}

#[test]
fn a_flood_of_pipelined_requests_is_read_to_a_limit_and_served_all_the_same() {
    let log = run(async |bench| {
        let (room, count) = (1000, 3000);
        let mut client = bench.narrow_client(room);
        let flood = GET.repeat(count);
        let served = async {
            let mut upstream = bench.upstream().await;
            settle().await;
            for _ in 0..count {
                let head = upstream.read().await;
                assert_eq!(head, "GET /v1 HTTP/1.1\r\nHost: api.test\r\n\r\n");
                upstream.send(EMPTY).await;
            }
        };
        // No one answers while it comes to rest.
        let begun = timeout(seconds(1), client.send(&flood));
        assert!(begun.await.is_err(), "the relay takes everything");
        let taken = client.written() as usize;
        let most = GET.len() + PIPELINED_BYTES_MAX + 2 * room;
        assert!((PIPELINED_BYTES_MAX..=most).contains(&taken), "{taken} bytes");
        let len = EMPTY.len() * count;
        let got = tokio::join!(client.send_and_read(&flood[taken..], len), served).0;
        assert!(got == EMPTY.repeat(count));
    });
    assert_eq!(log.len(), 3000);
    assert!(log.iter().all(|line| line == "200 completed"));
}

#[test]
fn a_refused_head_ends_the_connection_and_what_follows_it_is_not_served() {
    for (head, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /gpt/ HTTP/1.1\r\n\r\n", 400),
        ("GET /gpt/ HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET /gpt/ HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("POST /gpt/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ] {
        let log = run(async |bench| {
            let mut client = bench.client();
            client.send(format!("{head}{GET}")).await;
            let (answer, end) = client.read_to_end().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {answer}");
            assert_eq!(answer.matches("\r\nDate: ").count(), 1, "{head:?}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{head:?}: {answer}");
            assert_eq!(end, End::Clean, "{head:?}");
            assert_eq!(bench.dials(), 0, "{head:?}");
        });
        assert_eq!(log.len(), 1, "{head:?}: {log:?}");
    }
}

#[test]
fn a_request_without_a_route_keeps_the_connection_when_its_body_is_here() {
    for (body, kept) in [
        ("\r\n", true),
        ("Content-Length: 5\r\n\r\nhello", true),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
        ("Content-Length: 5\r\n\r\nhell", false),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\nx", false),
        ("Connection: close\r\n\r\n", false),
    ] {
        run(async |bench| {
            let mut client = bench.client();
            client.send(format!("POST /other HTTP/1.1\r\nHost: a\r\n{body}")).await;
            let answer = client.read().await;
            assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{body:?}: {answer}");
            assert_eq!(answer.contains("Connection: close"), !kept, "{body:?}: {answer}");
            settle().await;
            assert_eq!(client.here(), (Vec::new(), (!kept).then_some(End::Clean)), "{body:?}");
            if kept {
                client.send(GET).await;
                bench.upstream().await.send(EMPTY).await;
                assert_eq!(client.read().await, EMPTY, "{body:?}");
            }
        });
    }
}

#[test]
fn a_dial_that_fails_is_answered_and_the_next_one_may_work() {
    let log = run(async |bench| {
        let refused = Cause::Unreachable(SocketError::ConnectionRefused);
        bench.dials_are(DialOutcome::Fail(ExchangeError::upstream(refused)));
        let mut client = bench.client();
        client.send(GET).await;
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert!(answer.contains("\"upstream_unreachable\""), "{answer}");
        bench.dials_are(DialOutcome::Connect);
        client.send(GET).await;
        bench.upstream().await.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        assert_eq!(bench.dials(), 2);
    });
    assert_eq!(log, ["502 answered upstream upstream_unreachable", "200 completed"]);
}

#[test]
fn a_client_over_the_limit_is_told_so_and_closed() {
    run(async |bench| {
        let (mut client, mut session) = bench.idle_client(1 << 20);
        client.send(GET).await;
        let told = async {
            let (answer, end) = client.read_to_end().await;
            assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
            assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
            assert_eq!(end, End::Clean);
            client.end(End::Clean);
        };
        tokio::join!(session.turn_away(true), told);
        assert_eq!(bench.dials(), 0);
    });
}
