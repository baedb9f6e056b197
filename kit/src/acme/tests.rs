//! The directory, and Pebble beside it, against a client that is as small as one can be.

use super::forward::Forward;
use super::pebble::{Options, Pebble};
use super::testing::Client;
use super::*;
use serde_json::{Value, json};
use std::future::ready;
use std::pin::pin;

const NAME: &str = "api.example.com";

fn order(identifiers: Value) -> Value {
    json!({ "identifiers": identifiers })
}

fn for_name() -> Value {
    order(json!([{ "type": "dns", "value": NAME }]))
}

/// A directory, a door to whoever meets its challenges, and a client with an account.
async fn scene(rules: Rules) -> (Directory, Forward, Client) {
    let door = Forward::new().await;
    let tls_alpn_port = Some(door.port());
    let directory = Directory::start(Rules { tls_alpn_port, ..rules }).await;
    let mut client = Client::new(&directory.url()).await;
    assert_eq!(client.register(None).await.status, 201);
    (directory, door, client)
}

#[tokio::test]
async fn a_name_that_is_proven_gets_a_certificate() {
    let (directory, door, mut client) =
        scene(Rules { nonce_rejection: 3, ..Rules::default() }).await;
    let order = client.order(for_name()).await;
    let chain = client.obtain(NAME, order, &door, ready(())).await.unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(client.bad_nonces > 0, "one in three was refused");
    let names = vec![NAME.to_owned()];
    let profile = Some("classic");
    let issued = Event::Issued { names, profile, is_replacement: false };
    assert!(directory.history().contains(&issued), "{:?}", directory.history());
}

/// The same steps with the independent directory, so that ours asks for what others ask for.
#[tokio::test]
async fn pebble_agrees_with_the_directory() {
    let Some(pebble) = Pebble::start(Options::default()).await else { return };
    let mut client = Client::new(pebble.url()).await;
    assert_eq!(client.register(None).await.status, 201);
    let order = client.order(for_name()).await;
    let chain = client.obtain(NAME, order, &pebble.tls_alpn, pebble.has_issued()).await.unwrap();
    assert!(chain.matches("BEGIN CERTIFICATE").count() >= 2, "{chain}");
    assert!(pebble.root().contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn an_address_is_proven_under_its_reverse_name_and_needs_a_profile_for_it() {
    let (_directory, door, mut client) = scene(Rules::default()).await;
    let mut wanted = order(json!([{ "type": "ip", "value": "127.0.0.1" }]));
    assert_eq!(client.order(wanted.clone()).await.problem(), "rejectedIdentifier");
    wanted["profile"] = "short".into();
    assert_eq!(client.order(wanted.clone()).await.problem(), "invalidProfile");
    wanted["profile"] = "shortlived".into();
    let order = client.order(wanted).await;
    client.obtain("127.0.0.1", order, &door, ready(())).await.unwrap();
}

#[tokio::test]
async fn a_challenge_that_is_not_met_says_why() {
    let (directory, door, mut client) = scene(Rules::default()).await;
    for (change, kind) in [
        (None, "unauthorized"),
        (Some((None, "")), "dns"),
        (Some((Some([127, 0, 0, 9].into()), "")), "connection"),
        (Some((None, NAME)), "caa"),
    ] {
        if let Some((host, forbidden)) = change {
            directory.change(|rules| {
                rules.hosts.insert(NAME.to_owned(), host);
                rules.forbidden_by_caa = vec![forbidden.to_owned()];
            });
        }
        let order = client.order(for_name()).await;
        // A proof of another name.
        let failed = client.obtain("other.example.com", order, &door, ready(())).await.unwrap_err();
        let challenges = failed["challenges"].as_array().unwrap();
        let error = challenges.iter().find(|it| !it["error"].is_null()).unwrap();
        let urn = format!("urn:ietf:params:acme:error:{kind}");
        assert_eq!(error["error"]["type"], urn, "{failed}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let (directory, door, mut client) = scene(Rules::default()).await;
    let order = client.order(for_name()).await;
    client.obtain(NAME, order, &door, ready(())).await.unwrap();
    let id = directory.ca.state().certificates[0].id.clone();
    let url = format!("{}/{id}", client.directory["renewalInfo"].as_str().unwrap());
    let reply = client.get(&url).await;
    assert_eq!(reply.retry_after.as_deref(), Some("21600"), "{reply:?}");
    assert!(reply.json()["suggestedWindow"]["start"].as_str().unwrap().ends_with('Z'));
    assert_eq!(client.get(&(url + "x")).await.status, 404);

    let mut wanted = for_name();
    wanted["replaces"] = "AAAA.AAAA".into();
    assert_eq!(client.order(wanted.clone()).await.problem(), "malformed");
    wanted["replaces"] = id.into();
    let order = client.order(wanted.clone()).await;
    client.obtain(NAME, order, &door, ready(())).await.unwrap();
    let again = client.order(wanted).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "alreadyReplaced"));
}

#[tokio::test]
async fn an_account_needs_the_external_one_if_there_is_one() {
    let key = b"a key of thirty-two bytes, as is".to_vec();
    let external = ExternalAccount { key_id: "kid-1".to_owned(), key: key.clone() };
    let rules = Rules { external_account: Some(external), ..Rules::default() };
    let directory = Directory::start(rules).await;
    let mut client = Client::new(&directory.url()).await;
    assert_eq!(client.register(None).await.problem(), "externalAccountRequired");
    for wrong in [("kid-2", &key[..]), ("kid-1", b"another")] {
        assert_eq!(client.register(Some(wrong)).await.problem(), "unauthorized");
    }
    assert_eq!(client.register(Some(("kid-1", &key))).await.status, 201);
}

#[tokio::test]
async fn a_nonce_is_good_once_and_a_signature_for_one_url() {
    let (_directory, _door, mut client) =
        scene(Rules { nonce_rejection: 0, ..Rules::default() }).await;
    let url = client.directory["newOrder"].as_str().unwrap().to_owned();
    let body = client.signed(&url, Some(&for_name()));
    assert_eq!(client.send("POST", &url, &body).await.status, 201);
    assert_eq!(client.send("POST", &url, &body).await.problem(), "badNonce");
    let body = client.signed(&(url.clone() + "x"), Some(&for_name()));
    assert_eq!(client.send("POST", &url, &body).await.problem(), "unauthorized");
    let body =
        client.signed(&url, Some(&for_name())).replace("\"signature\":\"", "\"signature\":\"AA");
    assert_eq!(client.send("POST", &url, &body).await.problem(), "malformed");
}

#[tokio::test]
async fn a_planned_fault_happens_as_often_as_planned() {
    let (directory, _door, mut client) = scene(Rules::default()).await;
    let fault = Fault::Problem {
        status: 429,
        kind: "rateLimited",
        detail: "too many",
        retry_after: Some(7),
    };
    directory.change(|rules| rules.plan(Endpoint::NewOrder, fault, 1));
    let reply = client.order(for_name()).await;
    assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("7")));
    assert_eq!(client.order(for_name()).await.status, 201);
    directory.change(|rules| rules.plan(Endpoint::NewOrder, Fault::Hang, usize::MAX));
    {
        let mut waiting = pin!(client.order(for_name()));
        let is_order = |it: &Event| *it == Event::Request(Endpoint::NewOrder);
        let seen = directory.wait_for("the third request", 3, is_order);
        tokio::select! { reply = &mut waiting => panic!("{reply:?}"), () = seen => {} }
        directory.change(|rules| rules.faults.clear());
        assert_eq!(waiting.await.status, 201);
    }
    directory.change(|rules| rules.is_down = true);
    let connection = &mut client.connection;
    connection.send("GET /directory HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(within("the reset", connection.read_head()).await.is_err());
}
