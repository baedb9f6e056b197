//! From a bare server to HTTPS.

use crate::scene::{Authority, NAME, OTHER, Scene};
use narrows_kit::acme::pebble::{Options, Pebble};
use narrows_kit::acme::{Endpoint, Event, ExternalAccount, Rules};
use narrows_kit::certificates::certificate_file;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[tokio::test]
async fn a_bare_server_serves_https_as_soon_as_it_has_a_certificate() {
    for authority in Authority::all().await {
        let scene = Scene::new(authority).await;
        let relay = scene.setup(&[NAME, OTHER]).await;
        // Its validators wait for the way to it.
        let line = relay.wait_for_log("a certificate is being ordered").await;
        assert!(line.contains(" INFO narrows::acme: "), "{line}");
        assert!(line.contains("names=\"api.example.com b.example.net\""), "{line}");
        scene.expect_refused(&relay, NAME).await;
        relay.wait_for_log("reason=\"certificate_awaited\"").await;
        let relay = scene.found(relay);
        let line = relay.wait_for_log("a certificate was issued").await;
        assert!(line.contains("names=\"api.example.com b.example.net\""), "{line}");
        drop(scene.connected(&relay, NAME).await);
        for name in [NAME, OTHER] {
            scene.expect_ok(&relay, name).await;
        }
        expect_private(&scene.state());
        let (status, log) = relay.stop().await;
        assert!(status.success(), "{log:#?}");
        let complaints = log.iter().filter(|it| it.contains(" WARN ") || it.contains(" ERROR "));
        assert_eq!(complaints.count(), 0, "{log:#?}");
        // One line for one certificate.
        assert!(!log.iter().any(|it| it.contains("a file has changed")), "{log:#?}");
    }
}

/// No one but the owner reads a key, and none is in the log.
#[track_caller]
fn expect_private(folder: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            expect_private(&path);
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            assert!(path.extension().is_none_or(|it| it != "new"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_stored_certificate_serves_at_once_and_the_authority_is_not_asked_for_another() {
    let scene = Scene::kit(Rules::default()).await;
    drop(scene.served(&[NAME]).await.stop().await);
    scene.ca().change(|rules| rules.is_down = true);
    let relay = scene.start(&[NAME]).await;
    scene.expect_ok(&relay, NAME).await;
    let (_, log) = relay.stop().await;
    assert!(!log.iter().any(|it| it.contains("is being ordered")), "{log:#?}");
    assert_eq!(scene.ca().issued(), 1);
}

#[tokio::test]
async fn port_80_serves_the_challenge_where_port_443_does_not_lead_here() {
    let scene = Scene::kit(Rules::default()).await;
    let relay = scene.setup(&[NAME]).await;
    let [tls_alpn, http] = scene.authority.ways();
    tls_alpn.close();
    http.lead_to(relay.addresses()[1]);
    // The first attempt fails, and the other challenge has its turn soon.
    let line = relay.wait_for_log("no certificate: ").await;
    assert!(line.contains(" ERROR ") && line.contains("TLS-ALPN-01"), "{line}");
    assert!(line.contains("usual causes: "), "{line}");
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
}

#[tokio::test]
async fn an_authority_that_offers_one_challenge_gets_that_one() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let rules = Rules { challenges: vec!["dns-01", challenge], ..Rules::default() };
        let scene = Scene::kit(rules).await;
        let relay = scene.served(&[NAME]).await;
        scene.expect_ok(&relay, NAME).await;
        let is_valid = true;
        let validated = Event::Validated { identifier: NAME.to_owned(), challenge, is_valid };
        assert!(scene.ca().history().contains(&validated));
    }
}

#[tokio::test]
async fn an_address_has_a_certificate_of_its_own_beside_those_of_names() {
    for authority in Authority::all().await {
        let scene = Scene::new(authority).await;
        let relay = scene.start(&[NAME, "127.0.0.1"]).await;
        relay.wait_for_log_lines("a certificate was issued", 2).await;
        for name in [NAME, "127.0.0.1"] {
            drop(scene.connected(&relay, name).await);
            scene.expect_ok(&relay, name).await;
        }
        if let Authority::Kit(directory, _) = &scene.authority {
            let names = vec!["127.0.0.1".to_owned()];
            let profile = Some("shortlived");
            let issued = Event::Issued { names, profile, is_replacement: false };
            assert!(directory.history().contains(&issued), "{:?}", directory.history());
        }
    }
}

#[tokio::test]
async fn a_profile_of_the_authority_is_used() {
    let mut scene = Scene::kit(Rules::default()).await;
    scene.keys = "profile = \"shortlived\"".to_owned();
    let relay = scene.served(&[NAME]).await;
    scene.expect_ok(&relay, NAME).await;
    let names = vec![NAME.to_owned()];
    let profile = Some("shortlived");
    let issued = Event::Issued { names, profile, is_replacement: false };
    assert!(scene.ca().history().contains(&issued), "{:?}", scene.ca().history());
}

#[tokio::test]
async fn an_authority_that_asks_for_an_external_account_is_given_it() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let external = ExternalAccount {
        key_id: "kid-1".to_owned(),
        key: narrows::acme::base64url::decode(KEY).unwrap(),
    };
    let rules = Rules { external_account: Some(external), ..Rules::default() };
    let options = Options { external_account: Some(("kid-1", KEY)) };
    let kit = Authority::kit(rules).await;
    let pebble = Pebble::start(options).await.map(Authority::Pebble);
    for authority in [Some(kit), pebble].into_iter().flatten() {
        let mut scene = Scene::new(authority).await;
        let relay = scene.start(&[NAME]).await;
        let line = relay.wait_for_log("no certificate: ").await;
        assert!(line.contains("external_account"), "{line}");
        let file = scene.folder.write("eab.key", format!("{KEY}\n"));
        scene.keys = format!("external_account = {{ key_id = \"kid-1\", key_file = {file:?} }}");
        relay.reload(&scene.toml(&[NAME])).await;
        relay.wait_for_log("a certificate was issued").await;
        drop(scene.connected(&relay, NAME).await);
        scene.expect_ok(&relay, NAME).await;
        let (_, log) = relay.stop().await;
        assert!(!log.iter().any(|it| it.contains(&KEY[..20])), "the key is in the log");
    }
}

#[tokio::test]
async fn a_key_of_an_external_account_that_is_mended_is_read_by_a_reload() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let bytes = narrows::acme::base64url::decode(key).unwrap();
    let external = ExternalAccount { key_id: "kid-1".to_owned(), key: bytes };
    let rules = Rules { external_account: Some(external), ..Rules::default() };
    let mut scene = Scene::kit(rules).await;
    let file = scene.folder.write("eab.key", key.to_lowercase());
    scene.keys = format!("external_account = {{ key_id = \"kid-1\", key_file = {file:?} }}");
    let relay = scene.start(&[NAME]).await;
    relay.wait_for_log("no certificate: ").await;
    scene.folder.write("eab.key", key);
    relay.reload(&scene.toml(&[NAME])).await;
    relay.wait_for_log("a certificate was issued").await;
}

#[tokio::test]
async fn roots_for_a_directory_that_change_are_used_at_once() {
    let scene = Scene::kit(Rules::default()).await;
    let roots = |name| fs::read_to_string(certificate_file(name)).unwrap();
    let file = scene.folder.write("roots.pem", roots("foreign-ca.pem"));
    let right = format!("ca = {:?}", certificate_file("ca.pem"));
    let toml = scene.toml(&[NAME]).replace(&right, &format!("ca = {file:?}"));
    let relay = scene.found(narrows_kit::relay::Relay::start(&toml).await);
    let line = relay.wait_for_log("no certificate: ").await;
    assert!(line.contains("unknown_ca"), "{line}");
    scene.folder.write("roots.pem", roots("ca.pem"));
    relay.wait_for_log("a certificate was issued").await;
}

#[tokio::test]
async fn a_directory_whose_certificate_is_not_trusted_is_not_used() {
    let scene = Scene::kit(Rules::default()).await;
    let toml = scene.toml(&[NAME]).replace("certs/ca.pem", "certs/foreign-ca.pem");
    let relay = scene.found(narrows_kit::relay::Relay::start(&toml).await);
    let line = relay.wait_for_log("no certificate: ").await;
    assert!(line.contains("unknown_ca"), "{line}");
    assert_eq!(scene.ca().requests(Endpoint::Directory), 0);
}
