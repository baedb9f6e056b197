//! Several keys of an API: which one a request is sent with, and what the client gets.

use super::bench::{Bench, EMPTY, GET, run, settle};
use super::new_route::rule;
use super::wire::Wire;
use crate::gateway::access::{ApiKeys, RouteAccess};
use crate::limits::REPLAY_BYTES_MAX;
use crate::net::memory::End;
use std::sync::Arc;

const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nDate: now\r\nRetry-After: 3600\r\n\
    X-Request-Id: i\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nbusy";
const POST: &str = "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// The route has so many keys.
fn with_keys(bench: &Bench, count: u32) {
    let key = |line| (line, format!("sk-{line}").into_bytes().into());
    let keys = ApiKeys::new((1..=count).map(key).collect()).unwrap();
    rule(bench, RouteAccess { keys: Some(Arc::new(keys)), ..RouteAccess::default() });
}

/// What the next upstream connection gets, and with which key.
async fn sent(upstream: &mut Wire, body: &str) -> String {
    let got = upstream.read().await;
    let (head, got_body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(got_body, body);
    head.split_once("Authorization: Bearer ").unwrap().1.split("\r\n").next().unwrap().to_owned()
}

/// Answers a request that comes on a new connection, and gives its key.
async fn answer(bench: &Bench, body: &str, answer: &str) -> String {
    let mut upstream = bench.upstream().await;
    let key = sent(&mut upstream, body).await;
    upstream.send(answer).await;
    settle().await;
    key
}

/// A client whose request the first of two keys is over its limits for.
async fn refused_with_the_first_of_two(bench: &Bench) -> Wire {
    with_keys(bench, 2);
    let mut client = bench.client();
    client.send(POST).await;
    assert_eq!(answer(bench, "hello", BUSY).await, "sk-1");
    client
}

fn status(answer: &str, status: &str) -> String {
    answer.replacen("429 Too Many Requests", status, 1)
}

#[test]
fn a_request_that_the_first_key_is_over_its_limits_for_is_sent_with_the_second() {
    let log = run(async |bench| {
        let mut client = refused_with_the_first_of_two(bench).await;
        let mut upstream = bench.upstream().await;
        assert_eq!(sent(&mut upstream, "hello").await, "sk-2");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        client.send(POST).await;
        assert_eq!(sent(&mut upstream, "hello").await, "sk-2");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log.len(), 2);
}

#[test]
fn the_rest_of_a_body_that_is_still_coming_follows_the_second_key() {
    run(async |bench| {
        with_keys(bench, 2);
        let mut client = bench.client();
        client.send(&POST[..POST.len() - 3]).await;
        assert_eq!(answer(bench, "he", BUSY).await, "sk-1");
        let mut upstream = bench.upstream().await;
        assert_eq!(sent(&mut upstream, "he").await, "sk-2");
        client.send("llo").await;
        assert_eq!(upstream.read().await, "llo");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
}

#[test]
fn a_key_is_used_no_more_if_another_one_is_not_refused_for_the_same_request() {
    for refused in ["401 Unauthorized", "402 Payment Required", "403 Forbidden"] {
        run(async |bench| {
            with_keys(bench, 2);
            let (mut client, answered) = (bench.client(), status(BUSY, refused));
            client.send(GET).await;
            assert_eq!(answer(bench, "", &answered).await, "sk-1");
            assert_eq!(answer(bench, "", &answered).await, "sk-2");
            assert!(client.read().await.starts_with(&format!("HTTP/1.1 {refused}\r\n")));
            let mut client = bench.client();
            client.send(GET).await;
            assert_eq!(answer(bench, "", &answered).await, "sk-1", "the request was at fault");
            let mut upstream = bench.upstream().await;
            assert_eq!(sent(&mut upstream, "").await, "sk-2");
            upstream.send(EMPTY).await;
            assert_eq!(client.read().await, EMPTY);
            client.send(GET).await;
            assert_eq!(sent(&mut upstream, "").await, "sk-2");
            client.end(End::Clean);
        });
    }
}

#[test]
fn a_request_that_is_too_large_for_every_key_lets_others_use_the_last_one() {
    run(async |bench| {
        with_keys(bench, 2);
        let (mut client, busy) = (bench.client(), BUSY.replace("Retry-After: 3600\r\n", ""));
        client.send(GET).await;
        assert_eq!(answer(bench, "", &busy).await, "sk-1");
        let mut upstream = bench.upstream().await;
        assert_eq!(sent(&mut upstream, "").await, "sk-2");
        upstream.send(&busy).await;
        assert_eq!(client.read().await, busy);
        client.send(GET).await;
        assert_eq!(sent(&mut upstream, "").await, "sk-2");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
}

#[test]
fn the_answer_to_the_last_key_is_passed_on_and_is_the_answer_while_all_rest() {
    let log = run(async |bench| {
        let mut client = refused_with_the_first_of_two(bench).await;
        let last = BUSY.replace("3600", "1800").replace("busy", "last");
        assert_eq!(answer(bench, "hello", &last).await, "sk-2");
        assert_eq!(client.read().await, last);

        let dials = bench.dials();
        client.send(POST).await;
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{answer}");
        assert!(answer.contains("\r\nContent-Type: application/json\r\n"), "{answer}");
        let (_, after) = answer.split_once("\r\nRetry-After: ").unwrap();
        let seconds: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
        assert!((1700..=1800).contains(&seconds), "{seconds}");
        assert!(answer.ends_with("\r\n\r\nlast"), "{answer}");
        assert_eq!(bench.dials(), dials, "nobody asks the API");
    });
    assert_eq!(log, ["429 completed", "429 completed"]);
}

#[test]
fn while_all_keys_rest_an_answer_that_cannot_be_kept_is_one_of_ours() {
    let coded = BUSY.replace("Content-Type: application/json", "Content-Encoding: gzip");
    let late = BUSY.replace("Content-Length: 4\r\n\r\nbusy", "Content-Length: 5\r\n\r\nbusy");
    for answered in [coded, late] {
        run(async |bench| {
            with_keys(bench, 2);
            let mut client = bench.client();
            client.send(GET).await;
            answer(bench, "", BUSY).await;
            let mut upstream = bench.upstream().await;
            sent(&mut upstream, "").await;
            upstream.send(&answered).await;
            settle().await;
            upstream.send(".").await;
            assert!(client.read().await.starts_with("HTTP/1.1 429 "));
            let mut another = bench.client();
            another.send(GET).await;
            let answer = another.read().await;
            assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
            assert!(answer.contains("\r\nRetry-After: ") && answer.contains("keys_cooling"));
        });
    }
}

#[test]
fn a_request_whose_body_is_no_longer_here_gets_the_answer_and_the_next_one_the_second_key() {
    let log = run(async |bench| {
        with_keys(bench, 2);
        let body = "x".repeat(REPLAY_BYTES_MAX);
        let head = POST.split_once("5\r\n").unwrap().0;
        let mut client = bench.client();
        client.send(format!("{head}{}\r\n\r\n{body}", body.len())).await;
        let mut upstream = bench.upstream().await;
        let mut got = String::new();
        while got.split_once("\r\n\r\n").is_none_or(|(_, it)| it.len() < body.len()) {
            got.push_str(&upstream.read().await);
        }
        upstream.send(BUSY).await;
        assert_eq!(client.read().await, BUSY);
        client.send(GET).await;
        assert_eq!(sent(&mut upstream, "").await, "sk-2");
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log[0], "429 completed");
}

#[test]
fn what_is_no_fault_of_the_key_is_passed_on() {
    for other in ["400 Bad Request", "500 Oops", "503 Service Unavailable", "529 Overloaded"] {
        run(async |bench| {
            with_keys(bench, 2);
            let mut client = bench.client();
            client.send(GET).await;
            let answered = status(BUSY, other);
            assert_eq!(answer(bench, "", &answered).await, "sk-1");
            assert!(client.read().await.starts_with(&format!("HTTP/1.1 {other}\r\n")));
            let mut another = bench.client();
            another.send(GET).await;
            let mut upstream = bench.upstream().await;
            assert_eq!(sent(&mut upstream, "").await, "sk-1");
        });
    }
}

#[test]
fn a_client_that_leaves_ends_the_search_for_a_key() {
    let log = run(async |bench| {
        let mut client = refused_with_the_first_of_two(bench).await;
        let mut upstream = bench.upstream().await;
        sent(&mut upstream, "hello").await;
        client.end(End::Reset);
        settle().await;
        assert_eq!(upstream.here().1, Some(End::Reset));
    });
    assert_eq!(log.len(), 1);
}

#[test]
fn a_refusal_behind_a_100_is_not_passed_on_either() {
    run(async |bench| {
        with_keys(bench, 2);
        let mut client = bench.client();
        client.send(POST.replace("\r\nContent", "\r\nExpect: 100-continue\r\nContent")).await;
        let mut upstream = bench.upstream().await;
        sent(&mut upstream, "hello").await;
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        upstream.send(go_on).await;
        assert_eq!(client.read().await, go_on);
        upstream.send(BUSY).await;
        let mut second = bench.upstream().await;
        assert_eq!(sent(&mut second, "hello").await, "sk-2");
        second.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
}
