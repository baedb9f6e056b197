//! Renewals, and names that come and go: no client notices.

use crate::scene::{DAY, NAME, OTHER, Scene};
use narrows_kit::acme::{Endpoint, Event, Fault, RenewalInformation, Rules};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const GET: &str = "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A relay with a certificate that has to be renewed, which the authority holds up.
async fn due() -> (Scene, Relay) {
    let scene = Scene::kit(Rules { age: 85 * DAY, ..Rules::default() }).await;
    drop(scene.served(&[NAME]).await.stop().await);
    scene.ca().change(|rules| {
        rules.age = DAY;
        rules.plan(Endpoint::NewOrder, Fault::Hang, usize::MAX);
    });
    let relay = scene.start(&[NAME]).await;
    relay.wait_for_log("a certificate is being renewed").await;
    (scene, relay)
}

#[tokio::test]
async fn a_renewal_under_load_fails_no_handshake_and_cuts_no_stream() {
    let (scene, relay) = due().await;
    let mut streaming = scene.connect(&relay, NAME).await.unwrap();
    let former = streaming.certificate();
    streaming.send(GET).await;
    let mut upstream = scene.origin.accept().await;
    upstream.read_head().await;
    upstream.send(CHUNKED).await;
    streaming.read_head().await;

    let (handshakes, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
    let load = async || {
        while !enough.load(Ordering::Relaxed) {
            let client = scene.connect(&relay, NAME).await;
            let mut client = client.expect("no handshake fails");
            client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            assert!(client.read_message().await.0.starts_with("HTTP/1.1 404 "));
            handshakes.fetch_add(1, Ordering::Relaxed);
        }
    };
    let after = async |count| {
        let until = handshakes.load(Ordering::Relaxed) + count;
        while handshakes.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    };
    let renewal = async {
        after(50).await;
        scene.ca().change(|rules| rules.faults.clear());
        let line = relay.wait_for_log("a certificate was issued").await;
        assert!(line.contains("names=\"api.example.com\""), "{line}");
        for _ in 0..20 {
            upstream.send("5\r\nevent\r\n").await;
            assert_eq!(streaming.read_chunk().await, b"event");
            after(20).await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    within("a renewal", async { tokio::join!(load(), load(), load(), renewal) }).await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(streaming.read_chunk().await, b"");
    assert_ne!(scene.connect(&relay, NAME).await.unwrap().certificate(), former);
    let names = vec![NAME.to_owned()];
    let renewed = Event::Issued { names, profile: Some("classic"), is_replacement: true };
    assert!(scene.ca().history().contains(&renewed), "{:?}", scene.ca().history());
}

#[tokio::test]
async fn the_authority_moves_a_renewal_and_says_why() {
    let scene = Scene::kit(Rules::default()).await;
    drop(scene.served(&[NAME]).await.stop().await);
    let now = RenewalInformation { window: (-7200, -3600), retry_after: 21_600 };
    scene.ca().change(|rules| rules.renewal = Some(now));
    let relay = scene.start(&[NAME]).await;
    let line = relay.wait_for_log("the authority suggests another time for the renewal").await;
    assert!(line.contains("/why"), "{line}");
    relay.wait_for_log("a certificate was issued").await;
    let names = vec![NAME.to_owned()];
    let profile = Some("classic");
    let renewed = Event::Issued { names, profile, is_replacement: true };
    assert!(scene.ca().history().contains(&renewed), "{:?}", scene.ca().history());
}

#[tokio::test]
async fn an_authority_that_wants_to_be_asked_again_at_once_is_not_asked_in_a_loop() {
    let scene = Scene::kit(Rules { nonce_rejection: 0, ..Rules::default() }).await;
    let (status, kind, detail, retry_after) = (503, "serverInternal", "busy", Some(0));
    let fault = Fault::Problem { status, kind, detail, retry_after };
    scene.ca().change(|rules| rules.plan(Endpoint::RenewalInformation, fault, usize::MAX));
    let relay = scene.served(&[NAME]).await;
    let is_question = |it: &Event| matches!(it, Event::Request(Endpoint::RenewalInformation));
    scene.ca().wait_for("a question about the renewal", 1, is_question).await;
    // Another certificate has its turn: that of an address is one of its own.
    relay.reload(&scene.toml(&[NAME, "127.0.0.1"])).await;
    relay.wait_for_log_lines("a certificate was issued", 2).await;
    assert!(scene.ca().requests(Endpoint::RenewalInformation) <= 2);
}

/// Its clock may be wrong, or it may be a test's.
#[tokio::test]
async fn an_authority_that_issues_what_is_due_already_is_not_asked_in_a_loop() {
    // A nonce that is refused would be one more request.
    let rules = Rules { age: 85 * DAY, nonce_rejection: 0, ..Rules::default() };
    let scene = Scene::kit(rules).await;
    let relay = scene.served(&[NAME]).await;
    // Each of these looks at what is due.
    for _ in 0..3 {
        relay.reload(&scene.toml(&[NAME])).await;
        scene.connected(&relay, NAME).await.close().await;
    }
    // Once more because the authority asks for it, by its renewal information.
    assert!(scene.ca().requests(Endpoint::NewOrder) <= 2);
}

#[tokio::test]
async fn a_name_that_a_reload_adds_is_ordered_at_once_and_the_others_are_served_on() {
    let scene = Scene::kit(Rules::default()).await;
    let relay = scene.served(&[NAME]).await;
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, Fault::Hang, usize::MAX));
    let held = scene.ca().requests(Endpoint::NewOrder) + 1;
    relay.reload(&scene.toml(&[NAME, OTHER])).await;
    let is_order = |it: &Event| *it == Event::Request(Endpoint::NewOrder);
    scene.ca().wait_for("an order for both", held, is_order).await;
    scene.expect_ok(&relay, NAME).await;
    scene.expect_refused(&relay, OTHER).await;
    scene.ca().change(|rules| rules.faults.clear());
    relay.wait_for_log_lines("a certificate was issued", 2).await;
    drop(scene.connected(&relay, OTHER).await);
    for name in [NAME, OTHER] {
        scene.expect_ok(&relay, name).await;
    }
    // And back: the first certificate is still stored.
    relay.reload(&scene.toml(&[NAME])).await;
    scene.expect_ok(&relay, NAME).await;
    assert_eq!(scene.ca().issued(), 2);
}

/// The next directory has other accounts, other roots and other certificates. Until its own are
/// there, those of the one before serve.
#[tokio::test]
async fn a_reload_that_names_another_authority_orders_there() {
    let (scene, other) = (Scene::kit(Rules::default()).await, Scene::kit(Rules::default()).await);
    let relay = scene.served(&[NAME]).await;
    let moved = scene.toml(&[NAME]).replace(&scene.ca().url(), &other.ca().url());
    relay.reload(&moved).await;
    scene.expect_ok(&relay, NAME).await;
    let relay = other.found(relay);
    relay.wait_for_log_lines("a certificate was issued", 2).await;
    drop(other.connected(&relay, NAME).await);
    assert_eq!((scene.ca().issued(), other.ca().issued()), (1, 1));
}
