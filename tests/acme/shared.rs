//! Managed certificates beside what else is on their port.

use crate::scene::{NAME, OTHER, Scene};
use narrows_kit::acme::{Endpoint, Fault, Rules};
use narrows_kit::certificates::{certificate_file, client_config_offering};
use narrows_kit::client::{connect_tls, connect_tls_with};
use narrows_kit::relay::Relay;
use std::sync::Arc;
use tokio_rustls::rustls::ALL_VERSIONS;

#[tokio::test]
async fn a_certificate_from_files_serves_beside_those_that_are_ordered() {
    let scene = Scene::kit(Rules::default()).await;
    scene.ca().change(|rules| rules.plan(Endpoint::NewOrder, Fault::Hang, usize::MAX));
    let files = format!(
        "certificates = [{{ certificate = {:?}, key = {:?} }}]\ndomains = ",
        certificate_file("server.pem"),
        certificate_file("server.key")
    );
    let toml = scene.toml(&[NAME]).replace("domains = ", &files);
    let relay = scene.found(Relay::start(&toml).await);
    relay.wait_for_log("a certificate is being ordered").await;
    drop(connect_tls(relay.address()).await);
    scene.expect_refused(&relay, NAME).await;
    scene.ca().change(|rules| rules.faults.clear());
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
    drop(connect_tls(relay.address()).await);
}

/// In tcp mode the name decides where a connection goes, but a challenge is ours. A listener that
/// leads to HTTPS is none to serve its requests.
#[tokio::test]
async fn a_port_whose_connections_are_forwarded_by_name_answers_its_challenges() {
    let scene = Scene::kit(Rules::default()).await;
    let toml = scene.toml(&[NAME]).replacen(
        "address = \"127.0.0.1:0\"\ndomains",
        "address = \"127.0.0.1:0\"\nmode = \"tcp\"\ndomains",
        1,
    );
    let forwards = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[forward]]\nserver_name = \"{OTHER}\"\nupstream = \"tcp://{}\"\n\
         [[forward]]\nserver_name = \"*\"\nupstream = \"http\"\n",
        scene.origin.address()
    );
    let relay = scene.found(Relay::start(&(toml + &forwards)).await);
    relay.wait_for_log("a certificate was issued").await;
    drop(scene.connected(&relay, NAME).await);
    scene.expect_ok(&relay, NAME).await;
}

/// Whoever offers the protocol of a challenge that is not under way learns nothing by it.
#[tokio::test]
async fn the_protocol_of_challenges_opens_nothing_when_there_is_none() {
    let scene = Scene::kit(Rules::default()).await;
    let relay = scene.served(&[NAME]).await;
    let config = Arc::new(client_config_offering(ALL_VERSIONS, &["acme-tls/1"]));
    for name in [NAME, OTHER] {
        connect_tls_with(&config, name, relay.address()).await.err().expect("a refusal");
    }
    scene.expect_ok(&relay, NAME).await;
}
