//! Orders of `narrows::acme`, without narrows around them.

use crate::run::{Outcome, Runner, seconds, wanted};
use narrows::acme::account::Registration;
use narrows::acme::chain::Issued;
use narrows::acme::challenge::ChallengeKind::{Http01, TlsAlpn01};
use narrows::acme::failure::{Cause, Failure};
use narrows::acme::jws::ExternalAccount as Binding;
use narrows::acme::renewal;
use narrows::acme::wanted::Wanted;
use narrows_kit::acme::forward::Forward;
use narrows_kit::acme::pebble::{Options, Pebble};
use narrows_kit::acme::{Directory, Endpoint, Event, ExternalAccount, Fault, Rules};
use narrows_kit::within;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const NAMES: [&str; 3] = ["api.example.com", "b.example.com", "c.example.net"];
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A directory, the ways to its client's challenges, and the client.
struct Scene {
    directory: Directory,
    ways: [Forward; 2],
    runner: Runner,
}

impl Scene {
    async fn new(rules: Rules) -> Self {
        Self::registered(rules, new_account()).await
    }

    async fn registered(rules: Rules, registration: Registration) -> Self {
        let ways = [Forward::new().await, Forward::new().await];
        let directory = Directory::start(Rules {
            tls_alpn_port: Some(ways[0].port()),
            http_port: Some(ways[1].port()),
            ..rules
        });
        let directory = directory.await;
        let runner = Runner::new(&directory.url(), registration, [&ways[0], &ways[1]]).await;
        Self { directory, ways, runner }
    }

    async fn order(&mut self, wanted: Wanted) -> Outcome {
        within("an order to end", self.runner.order(wanted)).await
    }

    async fn failure(&mut self, wanted: Wanted) -> Failure {
        self.order(wanted).await.issued.unwrap_err()
    }
}

fn new_account() -> Registration {
    let contact = vec!["mailto:operator@example.com".to_owned()];
    Registration { contact, external: None, is_new: true }
}

fn bound_by(key_id: &str, key: &str) -> Registration {
    Registration { external: Some(Binding::new(key_id, key).unwrap()), ..new_account() }
}

/// How many certificates the chain has. Each of them and the key can be read.
#[track_caller]
fn check(outcome: &Outcome) -> usize {
    let Issued { chain_pem, key_pem, not_before, not_after, .. } = outcome.issued.as_ref().unwrap();
    PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    assert!(not_before < not_after);
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes());
    chain.collect::<Result<Vec<_>, _>>().unwrap().len()
}

#[tokio::test]
async fn names_and_addresses_are_proven_to_both_authorities_by_both_challenges() {
    let pebble = Pebble::start(Options::default()).await;
    for challenge in [TlsAlpn01, Http01] {
        for names in [&NAMES[..], &["127.0.0.1"]] {
            let mut scene = Scene::new(Rules { nonce_rejection: 2, ..Rules::default() }).await;
            let outcome = scene.order(wanted(names, challenge)).await;
            assert_eq!(check(&outcome), 2, "{outcome:?}");
            if let Some(pebble) = &pebble {
                let ways = [&pebble.tls_alpn, &pebble.http];
                let mut runner = Runner::new(pebble.url(), new_account(), ways).await;
                let ordered = runner.order(wanted(names, challenge));
                let outcome = within("an order to end", ordered).await;
                assert!(check(&outcome) >= 2, "{outcome:?}");
                assert_eq!(outcome.warnings, [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn an_account_is_found_again_and_used_for_every_order() {
    let mut scene = Scene::new(Rules::default()).await;
    check(&scene.order(wanted(&NAMES, TlsAlpn01)).await);
    let asked = scene.directory.requests(Endpoint::NewAccount);
    check(&scene.order(wanted(&NAMES, Http01)).await);
    assert_eq!(scene.directory.requests(Endpoint::NewAccount), asked);
    assert_eq!(scene.directory.requests(Endpoint::Directory), 1);
}

#[tokio::test]
async fn the_nonce_of_each_answer_serves_the_next_request() {
    let mut scene = Scene::new(Rules { nonce_rejection: 5, ..Rules::default() }).await;
    for _ in 0..3 {
        check(&scene.order(wanted(&NAMES, TlsAlpn01)).await);
    }
    assert_eq!(scene.directory.requests(Endpoint::NewNonce), 1);
    let refused = scene.directory.history().iter().filter(|it| **it == Event::NonceRefused).count();
    assert!(refused > 3, "{refused}");
}

#[tokio::test]
async fn an_external_account_is_bound_and_a_wrong_one_explained() {
    let external = ExternalAccount { key_id: "kid-1".to_owned(), key: decoded(KEY) };
    let rules = Rules { external_account: Some(external), ..Rules::default() };
    for (registration, text) in [
        (new_account(), "the CA requires an external account"),
        (bound_by("kid-2", KEY), "unauthorized"),
        (bound_by("kid-1", "AAAA"), "unauthorized"),
    ] {
        let mut scene = Scene::registered(rules.clone(), registration).await;
        let failure = scene.failure(wanted(&NAMES, TlsAlpn01)).await;
        assert_eq!(failure.cause, Cause::Refused, "{failure:?}");
        assert!(failure.text.contains(text), "{failure:?}");
    }
    let mut scene = Scene::registered(rules, bound_by("kid-1", KEY)).await;
    check(&scene.order(wanted(&NAMES, TlsAlpn01)).await);

    let options = Options { external_account: Some(("kid-1", KEY)) };
    let Some(pebble) = Pebble::start(options).await else { return };
    let ways = [&pebble.tls_alpn, &pebble.http];
    let mut runner = Runner::new(pebble.url(), bound_by("kid-1", KEY), ways).await;
    check(&runner.order(wanted(&NAMES, TlsAlpn01)).await);
}

#[tokio::test]
async fn a_profile_is_asked_for_where_there_is_one_and_an_address_gets_its_own() {
    let mut scene = Scene::new(Rules::default()).await;
    for (names, profile, used, warns) in [
        (&NAMES[..], None, "classic", false),
        (&NAMES, Some("shortlived"), "shortlived", false),
        (&NAMES, Some("gold"), "classic", true),
        (&["127.0.0.1"], Some("classic"), "shortlived", false),
    ] {
        let profile = profile.map(str::to_owned);
        let outcome = scene.order(Wanted { profile, ..wanted(names, TlsAlpn01) }).await;
        check(&outcome);
        let history = scene.directory.history();
        let is_issued = |it: &&Event| matches!(it, Event::Issued { .. });
        let Some(Event::Issued { profile, .. }) = history.iter().rfind(is_issued) else {
            panic!("{history:?}")
        };
        assert_eq!(*profile, Some(used), "{names:?}");
        assert_eq!(!outcome.warnings.is_empty(), warns, "{:?}", outcome.warnings);
    }
}

#[tokio::test]
async fn a_renewal_says_what_it_replaces_and_does_without_if_that_is_refused() {
    let mut scene = Scene::new(Rules::default()).await;
    let outcome = scene.order(wanted(&NAMES, TlsAlpn01)).await;
    check(&outcome);
    let chain = outcome.issued.unwrap().chain_pem;
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let id = renewal::certificate_id(&leaf).unwrap();
    let request = scene.runner.account.renewal_request(&id).unwrap();
    let info = renewal::read(&scene.runner.ask(&request).await, seconds()).unwrap();
    assert!((info.check_at - seconds() - 21_600).abs() < 60, "{info:?}");
    assert!(info.window.start > seconds() + 39 * 86_400, "{info:?}");

    let replaces = Some(id);
    for is_replacement in [true, false] {
        let replaces = replaces.clone();
        check(&scene.order(Wanted { replaces, ..wanted(&NAMES, TlsAlpn01) }).await);
        let names = NAMES.map(str::to_owned).to_vec();
        let issued = Event::Issued { names, profile: Some("classic"), is_replacement };
        assert_eq!(scene.directory.history().last(), Some(&Event::Request(Endpoint::Certificate)));
        let history = scene.directory.history();
        let last = history.iter().rfind(|it| matches!(it, Event::Issued { .. }));
        assert_eq!(last, Some(&issued));
    }
}

#[tokio::test]
async fn a_failed_validation_says_which_name_why_and_what_usually_helps() {
    let mut scene = Scene::new(Rules::default()).await;
    let one = |challenge| wanted(&NAMES[..1], challenge);
    let check = |failure: &Failure, text: &str, first_cause: &str| {
        assert_eq!(failure.cause, Cause::Validation, "{failure:?}");
        assert!(failure.text.contains(text), "{failure:?}");
        assert!(failure.text.contains("api.example.com by "), "{failure:?}");
        assert_eq!(failure.names.len(), 1);
        let advice = failure.advice.as_deref().unwrap();
        assert!(advice.starts_with(&format!("usual causes: {first_cause}")), "{failure:?}");
    };
    scene.directory.change(|rules| rules.http_port = None);
    check(&scene.failure(one(Http01)).await, "connection: 127.0.0.1", "port 80 is closed");
    scene.ways[0].close();
    check(&scene.failure(one(TlsAlpn01)).await, "", "");
    let lead_to = |host| {
        move |rules: &mut Rules| {
            rules.hosts.insert(NAMES[0].to_owned(), host);
        }
    };
    scene.directory.change(lead_to(None));
    check(&scene.failure(one(TlsAlpn01)).await, "dns: DNS problem: NXDOMAIN", "the DNS records");
    scene.directory.change(lead_to(Some([127, 0, 0, 9].into())));
    check(&scene.failure(one(TlsAlpn01)).await, "connection: 127.0.0.9", "port 443 is closed");
    scene.directory.change(|rules| rules.forbidden_by_caa = vec![NAMES[0].to_owned()]);
    check(&scene.failure(one(TlsAlpn01)).await, "caa: CAA record", "a CAA record");
}

#[tokio::test]
async fn of_several_names_the_failed_ones_are_named() {
    let mut scene = Scene::new(Rules::default()).await;
    scene.directory.change(|rules| rules.forbidden_by_caa = vec![NAMES[1].to_owned()]);
    let failure = scene.failure(wanted(&NAMES, TlsAlpn01)).await;
    assert_eq!(failure.names.len(), 1, "{failure:?}");
    assert_eq!(failure.names[0].to_string(), NAMES[1]);
}

#[tokio::test]
async fn a_clock_that_is_off_is_said() {
    for (clock, words) in [(3600, "behind"), (-3600, "ahead of")] {
        let mut scene = Scene::new(Rules { clock, ..Rules::default() }).await;
        let outcome = scene.order(wanted(&NAMES, TlsAlpn01)).await;
        check(&outcome);
        assert!(outcome.warnings[0].contains(words), "{:?}", outcome.warnings);
        let is_early = outcome.warnings.iter().any(|it| it.contains("valid only in"));
        assert_eq!(is_early, clock > 0, "{:?}", outcome.warnings);
    }
}

/// Every request fails in every way, once and for ever.
#[tokio::test]
async fn whatever_fails_an_order_ends_soon_and_says_what_it_asked_for() {
    const ENDPOINTS: [Endpoint; 9] = [
        Endpoint::Directory,
        Endpoint::NewNonce,
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::Order,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Finalize,
        Endpoint::Certificate,
    ];
    let problem = |status, kind, retry_after| Fault::Problem {
        status,
        kind,
        detail: "on purpose\r\n\u{1b}[31m",
        retry_after,
    };
    let faults = [
        (problem(500, "serverInternal", None), true),
        (problem(503, "serverInternal", Some(1)), true),
        (problem(429, "rateLimited", Some(3600)), false),
        (problem(400, "badNonce", None), true),
        (problem(403, "unauthorized", None), false),
        (Fault::Response(502, b"<html>".to_vec()), true),
        (Fault::Response(200, b"<html>".to_vec()), false),
        (Fault::Response(200, b"{}".to_vec()), false),
        (Fault::Response(200, "[".repeat(100_000).into()), false),
        (Fault::Reset, false),
    ];
    for endpoint in ENDPOINTS {
        for (fault, passes) in &faults {
            let mut scene = Scene::new(Rules::default()).await;
            scene.runner.time_passes = true;
            scene.directory.change(|rules| rules.plan(endpoint, fault.clone(), usize::MAX));
            let outcome = scene.order(wanted(&NAMES[..1], TlsAlpn01)).await;
            let Err(failure) = &outcome.issued else {
                // Errors bring a nonce, too.
                assert_eq!(endpoint, Endpoint::NewNonce, "{fault:?}");
                continue;
            };
            let is_clean = failure.text.bytes().all(|it| it == b' ' || it.is_ascii_graphic());
            assert!(is_clean || failure.cause == Cause::Unreachable, "{failure:?}");
            assert!(failure.text.len() < 1000, "{failure:?}");
            assert!(outcome.requests < 200, "{endpoint:?} {fault:?}: {}", outcome.requests);
            // The answer to HEAD has no body that says what is wrong.
            if *passes && endpoint != Endpoint::NewNonce {
                let mut scene = Scene::new(Rules::default()).await;
                scene.directory.change(|rules| rules.plan(endpoint, fault.clone(), 1));
                let outcome = scene.order(wanted(&NAMES[..1], TlsAlpn01)).await;
                assert!(outcome.issued.is_ok(), "{endpoint:?} {fault:?}: {outcome:?}");
            }
        }
    }
}

fn decoded(base64url: &str) -> Vec<u8> {
    narrows::acme::base64url::decode(base64url).unwrap()
}
