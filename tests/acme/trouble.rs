//! What goes wrong, and the line that an operator sees of it.

use crate::scene::{DAY, NAME, OTHER, Scene};
use narrows_kit::acme::{Endpoint, Event, Fault, Rules};
use narrows_kit::relay::Relay;
use rustix::process::Signal;

/// The one line of a failed order, which names the names, the reason and when it is tried again.
async fn failed(relay: &Relay, reason: &str) -> String {
    let line = relay.wait_for_log(reason).await;
    assert!(line.contains(" narrows::acme: "), "{line}");
    assert!(line.contains("names=\"api.example.com"), "{line}");
    assert!(line.contains("next=\"20"), "{line}");
    line
}

/// The authority is well again, and the operator does not wait for the next attempt.
async fn mended(scene: &Scene, relay: &Relay) {
    relay.reload(&scene.toml(&[NAME])).await;
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(relay, NAME).await);
    scene.expect_ok(relay, NAME).await;
}

#[tokio::test]
async fn an_authority_that_is_down_at_the_start_is_tried_again_until_it_is_up() {
    let scene = Scene::kit(Rules { is_down: true, ..Rules::default() }).await;
    let relay = scene.start(&[NAME]).await;
    let line = failed(&relay, "no certificate: ").await;
    assert!(line.contains(" ERROR ") && line.contains("localhost"), "{line}");
    assert!(line.contains("advice=\"usual causes: the CA is down, or"), "{line}");
    scene.expect_refused(&relay, NAME).await;
    scene.ca().change(|rules| rules.is_down = false);
    // Without a word of the operator.
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
}

#[tokio::test]
async fn an_authority_that_is_down_for_the_last_third_of_a_lifetime_stops_no_one() {
    // Without renewal information the lifetime decides: a third is left.
    let rules = Rules { age: 70 * DAY, renewal: None, ..Rules::default() };
    let scene = Scene::kit(rules).await;
    drop(scene.served(&[NAME]).await.stop().await);
    scene.ca().change(|rules| (rules.is_down, rules.age) = (true, DAY));
    let relay = scene.start(&[NAME]).await;
    let line = failed(&relay, "the certificate is not renewed: ").await;
    assert!(line.contains(" WARN ") && line.contains("days_left=19"), "{line}");
    scene.expect_ok(&relay, NAME).await;
    scene.ca().change(|rules| rules.is_down = false);
    mended(&scene, &relay).await;
}

#[tokio::test]
async fn what_the_authority_finds_wrong_with_a_name_is_said_with_what_usually_helps() {
    type Change = fn(&mut Rules);
    let wrong: [(Change, &str, &str); 4] = [
        (|it| lead(it, None), "dns: DNS problem: NXDOMAIN", "the DNS records"),
        (|it| lead(it, Some([127, 0, 0, 9].into())), "connection: 127.0.0.9", "port 443"),
        (|it| it.forbidden_by_caa = vec![NAME.to_owned()], "caa: CAA record", "a CAA record"),
        (|it| (it.http_port, it.challenges) = (None, vec!["http-01"]), "connection: ", "port 80"),
    ];
    for (change, reason, first_cause) in wrong {
        let scene = Scene::kit(Rules::default()).await;
        scene.ca().change(change);
        let relay = scene.start(&[NAME]).await;
        let line = failed(&relay, reason).await;
        assert!(line.contains(&format!("advice=\"usual causes: {first_cause}")), "{line}");
        scene.expect_refused(&relay, NAME).await;
        let port = scene.authority.ways()[1].port();
        scene.ca().change(|rules| {
            *rules = Rules {
                tls_alpn_port: rules.tls_alpn_port,
                http_port: Some(port),
                ..Rules::default()
            };
        });
        mended(&scene, &relay).await;
    }
}

fn lead(rules: &mut Rules, host: Option<std::net::IpAddr>) {
    rules.hosts.insert(NAME.to_owned(), host);
}

#[tokio::test]
async fn a_limit_of_the_authority_is_kept_whatever_the_operator_does() {
    let scene = Scene::kit(Rules::default()).await;
    scene.ca().change(|rules| lead(rules, None));
    let is_failed = |it: &Event| matches!(it, Event::Validated { is_valid: false, .. });
    let (mut relay, mut lines) = (scene.start(&[NAME]).await, 0);
    // Who mends his DNS by trial and error reloads and restarts.
    for failed in 1..=5 {
        scene.ca().wait_for("a validation to fail", failed, is_failed).await;
        lines += 1;
        relay.wait_for_log_lines("no certificate: ", lines).await;
        if failed % 2 == 0 {
            drop(relay.stop().await);
            (relay, lines) = (scene.start(&[NAME]).await, 0);
        } else {
            relay.reload(&scene.toml(&[NAME])).await;
        }
    }
    let line = relay.wait_for_log("the authority limits how many validations").await;
    assert!(line.contains(" ERROR ") && line.contains("next=\"20"), "{line}");
    assert!(line.contains("neither a reload nor a restart"), "{line}");
    assert!(line.contains("last_error=\"the CA could not validate"), "{line}");
    assert_eq!(scene.ca().history().iter().filter(|it| is_failed(it)).count(), 5);
}

#[tokio::test]
async fn an_authority_that_limits_requests_is_left_alone_for_as_long_as_it_says() {
    let scene = Scene::kit(Rules::default()).await;
    let fault = Fault::Problem {
        status: 429,
        kind: "rateLimited",
        detail: "too many certificates already issued for this name",
        retry_after: Some(86_400),
    };
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, fault, usize::MAX));
    let relay = scene.start(&[NAME]).await;
    let line = failed(&relay, "rateLimited: too many certificates").await;
    assert!(line.contains("no certificate"), "{line}");
    drop(relay.stop().await);
    let relay = scene.start(&[NAME]).await;
    let line = relay.wait_for_log("the authority has asked not to be asked again before").await;
    assert!(line.contains(" ERROR ") && line.contains("next=\"20"), "{line}");
    assert_eq!(scene.ca().requests(Endpoint::NewOrder), 1);
}

#[tokio::test]
async fn a_validation_whose_result_a_process_does_not_learn_counts_as_failed() {
    let scene = Scene::kit(Rules::default()).await;
    scene.ca().change(|rules| rules.plan(Endpoint::Challenge, Fault::Hang, usize::MAX));
    let is_begun = |it: &Event| *it == Event::Request(Endpoint::Challenge);
    for begun in 1..=5 {
        let mut relay = scene.start(&[NAME]).await;
        scene.ca().wait_for("a validation to begin", begun, is_begun).await;
        match begun % 2 {
            0 => drop(relay.stop().await),
            _ => {
                relay.signal(Signal::KILL);
                relay.ended().await;
            }
        }
    }
    let relay = scene.start(&[NAME]).await;
    relay.wait_for_log("the authority limits how many validations").await;
    assert_eq!(scene.ca().requests(Endpoint::Challenge), 5);
}

#[tokio::test]
async fn an_order_that_takes_long_does_not_hold_up_another() {
    let scene = Scene::kit(Rules::default()).await;
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, Fault::Hang, 1));
    let relay = scene.start(&["127.0.0.1", NAME]).await;
    let line = relay.wait_for_log("a certificate was issued").await;
    let hung = ["127.0.0.1", NAME].iter().filter(|name| !line.contains(**name)).count();
    assert_eq!(hung, 1, "{line}");
    assert_eq!(scene.ca().requests(Endpoint::NewOrder), 2);
    assert_eq!(scene.ca().requests(Endpoint::NewAccount), 1);
}

#[tokio::test]
async fn a_problem_document_cannot_write_into_the_log() {
    let scene = Scene::kit(Rules::default()).await;
    let fault = Fault::Problem {
        status: 403,
        kind: "rejectedIdentifier",
        detail: "no\r\n2026-01-01 ERROR \u{1b}[31mforged\u{7f}\u{202e}",
        retry_after: None,
    };
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, fault, usize::MAX));
    let relay = scene.start(&[NAME, OTHER]).await;
    let line = failed(&relay, "rejectedIdentifier").await;
    assert!(line.is_ascii() && !line.contains('\u{1b}') && !line.contains('\u{7f}'), "{line}");
    assert!(line.contains("forged"), "on one line: {line}");
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_is_said_and_costs_no_certificate() {
    for (clock, words) in [(3600, "behind the CA's"), (-3600, "ahead of the CA's")] {
        let scene = Scene::kit(Rules { clock, ..Rules::default() }).await;
        let relay = scene.start(&[NAME]).await;
        let line = relay.wait_for_log("the clock of this machine is ").await;
        assert!(line.contains(" WARN ") && line.contains(words), "{line}");
        relay.wait_for_log("a certificate was issued").await;
        assert_eq!(scene.ca().issued(), 1);
    }
}
