//! Attackers of listeners that expect a PROXY header: they make the operator's own proxy connect,
//! or have an address that the operator has listed by mistake.

use crate::support::passage::{FROM_US, V1, V2, two_listeners};
use crate::support::siege::{Besieged, CONNECTION_KIB, CROWD, Siege, all_of};
use crate::support::stage::{GET, OK_LAST};
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use std::time::{Duration, Instant};

/// The binary format with the command PROXY and unspecified addresses.
const V2_UNSPECIFIED: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0";

#[tokio::test]
async fn incomplete_headers_hold_no_buffer_and_end_at_their_limit() {
    // Honest clients have to be done within it, also on a busy machine.
    let scene = Scene::new("[timeouts]\nhandshake = \"5s\"\n").await;
    // As long as a header may be, so that none of a trickle is too much.
    let longest = [V2_UNSPECIFIED, &(4096_u16 - 16).to_be_bytes(), &[0; 4000]].concat();
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut attacker = scene.connect(number).await;
        let (begin, rest) = match number % 10 / 2 {
            0 => (&[][..], &[][..]),
            1 => (&V1.as_bytes()[..20], &[][..]),
            2 => (&V2[..14], &[][..]),
            3 => (&longest[..], &[][..]),
            _ => longest.split_at(1),
        };
        attacker.send(begin).await;
        let rest = rest.to_vec();
        crowd.push(tokio::spawn(async move {
            attacker.trickle(&rest, Duration::from_millis(100)).await;
            let (bytes, end) = attacker.read_to_end().await;
            // Of a trickle, a send may have met the reset before.
            assert!(bytes.is_empty() && (end == End::Reset || !rest.is_empty()), "{end:?}");
        }));
    }
    scene.serve_during("slow PROXY headers", CROWD * CONNECTION_KIB, all_of(crowd)).await;
    assert!(begun.elapsed() >= Duration::from_secs(5), "the limit is 5 s for each");
    let line = scene.relay.wait_for_log("no PROXY header came").await;
    assert!(line.ends_with("cause=\"handshake_timeout\""), "{line}");
    scene.origin.assert_untouched().await;
    scene.wait_for_descriptors().await;
}

#[tokio::test]
async fn headers_without_an_end_are_refused_at_their_bound() {
    // No limit of time ends one before the test would fail.
    let scene = Scene::new("[timeouts]\nhandshake = \"1m\"\n").await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut attacker = scene.connect(number).await;
        let (begin, endless) = match number % 10 / 2 {
            0 => (b"PROXY UNKNOWN ".to_vec(), b"x"),
            1 => (b"PROXY TCP4 ".to_vec(), b"1"),
            2 => (b"PROXY TCP4 192.0.2.7 198.51.100.1 ".to_vec(), b"4"),
            // One byte more than a header may have, and all that its length can say.
            3 => ([V2_UNSPECIFIED, &(4097_u16 - 16).to_be_bytes()].concat(), b"\0"),
            _ => ([V2_UNSPECIFIED, &u16::MAX.to_be_bytes()].concat(), b"\0"),
        };
        crowd.push(tokio::spawn(async move {
            attacker.send(begin).await;
            let part = endless.repeat(16 * 1024);
            while attacker.try_send(&part).await.is_ok() {}
        }));
    }
    scene.serve_during("endless PROXY headers", CROWD * CONNECTION_KIB, all_of(crowd)).await;
    let line = scene.relay.wait_for_log("a malformed PROXY header came").await;
    assert!(line.contains("cause=\"bad_proxy_header\" reason="), "{line}");
    scene.origin.assert_untouched().await;
    scene.wait_for_descriptors().await;
}

/// A relay with a tcp listener and an http listener in front of an origin.
struct Scene {
    relay: Besieged,
    origin: Origin,
}

impl Scene {
    async fn new(toml: &str) -> Self {
        let origin = Origin::plain().await;
        let relay = two_listeners(&origin, FROM_US, "").with(toml).await;
        let relay = Besieged::new(relay);
        let scene = Self { relay, origin };
        scene.warm_up().await;
        scene
    }

    /// A connection to one listener or the other.
    async fn connect(&self, number: usize) -> Peer {
        connect_plain(self.relay.addresses()[number % 2]).await
    }
}

impl Siege for Scene {
    fn relay(&self) -> &Besieged {
        &self.relay
    }

    /// By either listener. There is no limit by which one could be turned away.
    async fn try_to_serve(&self) -> bool {
        let mut client = self.connect(0).await;
        client.send(format!("{V1}hello")).await;
        let mut upstream = self.origin.accept().await;
        assert_eq!(upstream.read_exactly(5).await, b"hello");
        client.close().await;
        upstream.expect_end(End::Clean).await;
        upstream.close().await;

        let mut client = self.connect(1).await;
        client.send([V2, GET.as_bytes()].concat()).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        assert_eq!(client.read_message().await.1, b"ok");
        client.close().await;
        true
    }
}
