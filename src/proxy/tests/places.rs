//! What counts for the clients behind a trusted proxy: exchanges that run, and nothing after them.

use super::bench::{Bench, EMPTY, GET, run};
use crate::gateway::client_address::AddressRules;
use crate::net::admission::AddressLimit;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const LAST: &str =
    "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

#[test]
fn an_exchange_that_has_ended_counts_no_longer_while_its_connection_lingers_or_is_idle() {
    let log = run(async |bench| {
        trust_the_peer(bench);
        let idle = GET.replacen("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", 1);
        let (mut first, mut second, mut third) = (bench.client(), bench.client(), bench.client());
        first.send(LAST).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        // It runs, and is the only one that may.
        second.send(&idle).await;
        assert!(second.read().await.starts_with("HTTP/1.1 503 "));
        upstream.send(EMPTY).await;
        // Its client has the answer, and has not ended the connection.
        first.read_to_end().await;
        for client in [&mut second, &mut third] {
            client.send(&idle).await;
            upstream.read().await;
            upstream.send(EMPTY).await;
            assert_eq!(client.read().await, EMPTY);
        }
    });
    assert_eq!(log.iter().filter(|it| *it == "200 completed").count(), 3, "{log:?}");
}

/// One exchange at a time for each client behind it.
fn trust_the_peer(bench: &Bench) {
    let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
    let trusted_proxies = [(peer, peer)].into_iter().collect();
    let rules = AddressRules { trusted_proxies, ..AddressRules::default() };
    bench.context.replace_address_rules(Some(Arc::new(rules)));
    let one = AddressLimit { connections: 1, counts_loopback: false };
    bench.context.admission.set_limits(usize::MAX, one);
}
