//! Attackers of a tcp listener, on which honest clients have tunnels by their server name.

use crate::support::passage::{Pair, forward, hello, listener};
use crate::support::siege::{
    BUFFER_KIB, Besieged, CONNECTION_KIB, CROWD, READ_KIB, Siege, TLS_KIB, all_of,
};
use narrows::limits::{PIPES_KEPT_MAX, REFUSAL_LINES_OF_ADDRESS_MAX};
use narrows_kit::client::{connect_plain, connect_plain_from, connect_tls_as};
use narrows_kit::origin::Origin;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::{GUARD, within};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Whom attackers ask for; honest clients ask for `localhost`.
const ATTACKED: &str = "api.openai.test";
/// Of a tunnel: the connections on both sides.
const TUNNEL_KIB: usize = 2 * CONNECTION_KIB;
/// Of refusals at one time, so many have a line.
const LINES: usize = REFUSAL_LINES_OF_ADDRESS_MAX;
/// What TLS has encrypted and its receiver has not taken: as much as rustls holds by default.
const RECORDS_KIB: usize = 64;

#[tokio::test]
async fn incomplete_hellos_hold_no_buffer_and_end_at_their_limit() {
    slow_hellos(Pair::Through, CROWD * CONNECTION_KIB).await;
}

#[tokio::test]
async fn hellos_to_a_listener_that_terminates_tls_cost_at_most_a_handshake() {
    slow_hellos(Pair::TlsToTcp, CROWD * CONNECTION_KIB + CROWD / 4 * TLS_KIB).await;
}

async fn slow_hellos(pair: Pair, bound: usize) {
    // Honest clients have to be done within it, also on a busy machine.
    let limits = "[timeouts]\nhandshake = \"5s\"\n";
    let scene = Scene::new(pair, ATTACKED, limits).await;
    let hello = hello(ATTACKED);
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut attacker = connect_plain(scene.relay.address()).await;
        let (begin, rest) = match number % 4 {
            0 => (0, 0),
            1 => (hello.len() / 2, 0),
            2 => (1, hello.len() - 1),
            // All but a byte; where the handshake is with us, all, and then no answer.
            _ => (hello.len() - usize::from(!pair.listener_tls()), 0),
        };
        attacker.send(&hello[..begin]).await;
        let rest = hello[begin..begin + rest].to_vec();
        crowd.push(tokio::spawn(async move {
            attacker.trickle(&rest, Duration::from_millis(100)).await;
            attacker.read_to_end().await;
        }));
    }
    scene.serve_during(&format!("slow hellos, {pair:?}"), bound, all_of(crowd)).await;
    assert!(begun.elapsed() >= Duration::from_secs(5), "the limit is 5 s for each");
    scene.relay.wait_for_log_lines("cause=\"handshake_timeout\"", LINES).await;
    scene.attacked.assert_untouched().await;
    scene.wait_for_descriptors().await;
}

#[tokio::test]
async fn bytes_after_a_refusal_are_discarded_until_the_linger_limit() {
    const COUNT: usize = 40;
    let scene = Scene::new(Pair::Through, ATTACKED, "[timeouts]\nlinger = \"2s\"\n").await;
    let (address, begun) = (scene.relay.address(), Instant::now());
    let flood = move || {
        let mut attacker = TcpStream::connect(address).unwrap();
        attacker.set_write_timeout(Some(GUARD)).unwrap();
        attacker.write_all(&hello("wrong-name.test")).unwrap();
        let part = pattern(0, 256 * 1024);
        while attacker.write_all(&part).is_ok() {}
    };
    // Threads, so that honest clients do not wait for a flood to be written.
    let crowd = (0..COUNT).map(|_| spawn_blocking(flood)).collect();
    scene.serve_during("sending on", COUNT * CONNECTION_KIB, all_of(crowd)).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "the limit is 2 s for each");
    scene.relay.wait_for_log_lines("cause=\"forward_not_found\"", LINES).await;
    scene.attacked.assert_untouched().await;
    scene.wait_for_descriptors().await;
}

/// What a pipe holds is the kernel's memory, and no part of the process's.
#[tokio::test]
async fn stuck_tunnels_between_plain_sockets_cost_a_pipe_each() {
    let pipes = stuck_tunnels(Pair::PlainToTcp, STUCK * TUNNEL_KIB).await;
    println!("stuck tunnels: {pipes} pipes of 256 KiB");
    assert!(pipes <= STUCK + PIPES_KEPT_MAX, "{pipes} pipes for {STUCK} tunnels");
}

/// Half of the tunnels are stuck on their plain side, half on that with TLS.
#[tokio::test]
async fn stuck_tunnels_with_tls_cost_one_read_and_its_records() {
    let bytes = STUCK * (READ_KIB + BUFFER_KIB) + STUCK / 2 * RECORDS_KIB;
    for pair in [Pair::TlsToTcp, Pair::PlainToTls] {
        let pipes = stuck_tunnels(pair, STUCK * (TUNNEL_KIB + TLS_KIB) + bytes).await;
        assert!(pipes <= PIPES_KEPT_MAX, "{pipes} pipes for bytes that are copied");
    }
}

/// How many tunnels are flooded by one side while the other reads nothing.
const STUCK: usize = 40;

/// Floods tunnels until they end at their limit; gives the most pipes that there were.
async fn stuck_tunnels(pair: Pair, bound: usize) -> usize {
    // Beside it a tunnel that is in use has to move in time, so it moves whenever it can.
    let scene = Scene::new(pair, "*", "[timeouts]\ntunnel = \"5s\"\n").await;
    let mut healthy = scene.honest_tunnel().await.unwrap();
    let (mut sending, mut stuck, begun) = (Vec::new(), Vec::new(), Instant::now());
    for number in 0..STUCK {
        healthy.pass(1024).await;
        let (client, upstream) = scene.attacked_tunnel().await;
        let (mut sender, receiver) =
            if number % 2 == 0 { (client, upstream) } else { (upstream, client) };
        stuck.push(receiver);
        sending.push(tokio::spawn(async move {
            let part = pattern(0, 256 * 1024);
            while sender.try_send(&part).await.is_ok() {}
        }));
    }
    let (mut waiting, mut pipes) = (true, 0);
    while waiting {
        healthy.pass(256 * 1024).await;
        scene.serve_an_honest_client().await;
        scene.assert_growth(&format!("stuck tunnels, {pair:?}"), bound);
        pipes = pipes.max(scene.new_pipes());
        waiting = sending.iter().any(|it| !it.is_finished());
    }
    assert!(begun.elapsed() >= Duration::from_secs(5), "the limit is 5 s for each");
    scene.relay.wait_for_log_lines("cause=\"tunnel_timeout\"", STUCK).await;
    healthy.pass(256 * 1024).await;
    healthy.close().await;
    drop(stuck);
    scene.wait_for_descriptors().await;
    pipes
}

#[tokio::test]
async fn a_flood_of_connections_is_closed_and_reaches_no_upstream() {
    const PLACES: usize = 100;
    let limits = format!("[limits]\nconnections = {PLACES}\n");
    for (pair, place_kib) in
        [(Pair::PlainToTcp, TUNNEL_KIB), (Pair::TlsToTcp, CONNECTION_KIB + TLS_KIB)]
    {
        let scene = Scene::new(pair, "*", &limits).await;
        let mut inside = scene.honest_tunnel().await.unwrap();
        // Of the one kind become tunnels, of the other handshakes that stop half way.
        let begin = if pair.listener_tls() { hello(ATTACKED) } else { b"x".to_vec() };
        let mut crowd = Vec::new();
        for _ in 0..10 {
            for _ in 0..PLACES {
                let mut attacker = connect_plain(scene.relay.address()).await;
                let _closed = attacker.try_send(&begin).await;
                crowd.push(attacker);
            }
            inside.pass(1024).await;
            scene.assert_growth(&format!("flood, {pair:?}"), PLACES * place_kib);
        }
        scene.relay.wait_for_log("limits.connections is reached").await;
        if !pair.listener_tls() {
            for _ in 0..PLACES - 1 {
                crowd.push(scene.attacked.accept().await);
            }
        }
        scene.attacked.assert_untouched().await;
        drop(crowd);
        // As soon as the flood is gone.
        let serving = async { while !scene.try_to_serve().await {} };
        within("a place after the flood", serving).await;
        inside.pass(1024).await;
        inside.close().await;
        scene.wait_for_descriptors().await;
    }
}

#[tokio::test]
async fn a_flood_of_tunnels_from_one_address_does_not_lock_out_others() {
    const ATTACKER: [u8; 4] = [127, 0, 0, 5];
    const PLACES: usize = 50;
    let limits = format!("[limits]\nconnections = 100\nconnections_per_address = {PLACES}\n");
    let scene = Scene::new(Pair::PlainToTcp, "*", &limits).await;
    let mut crowd = Vec::new();
    for _ in 0..10 {
        for _ in 0..PLACES {
            let mut attacker = connect_plain_from(ATTACKER, scene.relay.address()).await;
            let _closed = attacker.try_send("x").await;
            crowd.push(attacker);
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth("flood of tunnels from one address", PLACES * TUNNEL_KIB);
    }
    let line = scene.relay.wait_for_log("per_address is reached").await;
    assert!(line.ends_with("client=127.0.0.5"), "{line}");
    for _ in 0..PLACES {
        crowd.push(scene.attacked.accept().await);
    }
    scene.attacked.assert_untouched().await;
    drop(crowd);
    scene.wait_for_descriptors().await;
}

/// A relay with a tcp listener, and an origin for attackers and one for honest clients.
struct Scene {
    relay: Besieged,
    /// What an attacker's connection is on both sides.
    pair: Pair,
    attacked: Origin,
    honest: Origin,
}

impl Scene {
    /// Connections for `names` belong to attackers.
    async fn new(pair: Pair, names: &str, toml: &str) -> Self {
        let honestly = if pair.listener_tls() { Pair::TlsToTcp } else { Pair::Through };
        let (attacked, honest) = (pair.origin().await, honestly.origin().await);
        let forwards = forward("localhost", honestly, honest.address())
            + &forward(names, pair, attacked.address());
        let relay = Relay::start(&(listener(pair.listener_tls()) + &forwards)).with(toml).await;
        let relay = Besieged::new(relay);
        let scene = Self { relay, pair, attacked, honest };
        scene.warm_up().await;
        scene
    }

    /// A tunnel of an attacker's: both of its ends.
    async fn attacked_tunnel(&self) -> (Peer, Peer) {
        let connecting = async {
            let mut client = if self.pair.client_tls() {
                connect_tls_as(ATTACKED, self.relay.address()).await.unwrap()
            } else {
                connect_plain(self.relay.address()).await
            };
            // Before it, a client that sends no name is not known to be anything.
            client.send("x").await;
            client
        };
        let (client, mut upstream) = tokio::join!(connecting, self.attacked.accept());
        upstream.read_exactly(1).await;
        (client, upstream)
    }

    /// A tunnel of an honest client's, if that is not turned away.
    async fn honest_tunnel(&self) -> Option<Tunnel> {
        let connecting = connect_tls_as("localhost", self.relay.address());
        let (client, upstream) = tokio::try_join!(connecting, self.honest.try_accept()).ok()?;
        Some(Tunnel { client, upstream })
    }
}

impl Siege for Scene {
    fn relay(&self) -> &Besieged {
        &self.relay
    }

    async fn try_to_serve(&self) -> bool {
        let Some(mut tunnel) = self.honest_tunnel().await else { return false };
        tunnel.pass(1024).await;
        tunnel.close().await;
        true
    }
}

/// Both ends of a tunnel.
struct Tunnel {
    client: Peer,
    upstream: Peer,
}

impl Tunnel {
    /// Passes so many bytes there, and as many back.
    async fn pass(&mut self, count: usize) {
        let Self { client, upstream } = self;
        tokio::join!(client.send_pattern(0, count), upstream.expect_pattern(count));
        tokio::join!(upstream.send_pattern(0, count), client.expect_pattern(count));
    }

    /// Ends both directions.
    async fn close(self) {
        let Self { client, mut upstream } = self;
        client.close().await;
        upstream.expect_end(End::Clean).await;
        upstream.close().await;
    }
}
