//! Floods of wrong tokens.

use super::bench::{Bench, EMPTY, GET, run, seconds, settle};
use super::new_route::rule;
use super::wire::Wire;
use crate::gateway::access::{Client, Clients, Digest, RouteAccess};
use crate::limits::{WRONG_TOKEN_CONNECTIONS_DIVISOR, WRONG_TOKEN_EVERY, WRONG_TOKENS_AT_ONCE};
use crate::net::admission::AddressLimit;
use crate::net::memory::End;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn of_a_flood_of_wrong_tokens_the_answers_wait_and_a_right_one_of_the_same_address_does_not() {
    let log = run(async |bench| {
        ask_for_tokens(bench);
        let (mut flood, mut honest) = (bench.client(), bench.client());
        for _ in 0..WRONG_TOKENS_AT_ONCE {
            assert_eq!(wrong(&mut flood).await, Duration::ZERO);
        }
        assert_eq!(wrong(&mut flood).await, WRONG_TOKEN_EVERY);
        flood.send(with("wrong")).await;
        let begun = Instant::now();
        honest.send(with("right")).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(honest.read().await, EMPTY);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(bench.dials(), 1);
        flood.read().await;
        assert_eq!(begun.elapsed(), WRONG_TOKEN_EVERY);
        // What has no token at all is no attempt, and after a pause a slip is answered at once.
        assert!(honest_without(&mut flood).await.starts_with("HTTP/1.1 401 "));
        tokio::time::advance(seconds(60)).await;
        assert_eq!(wrong(&mut flood).await, Duration::ZERO);
    });
    let wrong = log.iter().filter(|it| *it == "401 answered client token_unknown").count();
    assert!(wrong > 20, "{log:?}");
}

#[test]
fn beyond_their_share_of_the_connections_answers_do_not_wait_and_end_their_connection() {
    run(async |bench| {
        ask_for_tokens(bench);
        let of_address = AddressLimit { connections: usize::MAX, counts_loopback: false };
        bench.context.admission.set_limits(WRONG_TOKEN_CONNECTIONS_DIVISOR, of_address);
        let (mut flood, mut next) = (bench.client(), bench.client());
        for _ in 0..WRONG_TOKENS_AT_ONCE {
            wrong(&mut flood).await;
        }
        flood.send(with("wrong")).await;
        settle().await;
        let begun = Instant::now();
        next.send(with("wrong")).await;
        let (answer, _) = next.read_to_end().await;
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // One that leaves makes room.
        flood.end(End::Clean);
        settle().await;
        assert!(wrong(&mut bench.client()).await > WRONG_TOKEN_EVERY);
    });
}

/// How long the answer to a wrong token takes.
async fn wrong(client: &mut Wire) -> Duration {
    let begun = Instant::now();
    client.send(with("wrong")).await;
    let answer = client.read().await;
    assert!(answer.contains("token_unknown"), "{answer}");
    begun.elapsed()
}

async fn honest_without(client: &mut Wire) -> String {
    let begun = Instant::now();
    client.send(GET).await;
    let answer = client.read().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    answer
}

fn with(token: &str) -> String {
    GET.replacen("\r\n\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n\r\n"), 1)
}

/// The route needs the token `right`.
fn ask_for_tokens(bench: &Bench) {
    let alice = Client::new("alice", Some(digest(b"right")));
    let clients = Clients::new([alice].into(), Vec::new(), digest);
    let clients = Arc::new(clients);
    rule(bench, RouteAccess { clients, needs_token: true, ..RouteAccess::default() });
}

fn digest(token: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.iter_mut().zip(token).for_each(|(digest, byte)| *digest = *byte);
    digest
}
