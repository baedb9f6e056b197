//! Upstreams with a certificate of their own making that calls itself an authority, as
//! `openssl req -x509` makes it, which the operator names in `ca`.

use crate::support::stage::{GET, OK};
use narrows_kit::certificates::certificate_file;
use narrows_kit::client::connect_plain;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use std::net::SocketAddr;

/// The names in it: one of DNS, one of an address.
const NAMES: [&str; 2] = ["api.openai.test", "127.0.0.1"];

#[tokio::test]
async fn a_route_trusts_exactly_the_certificate_that_it_names() {
    for name in NAMES {
        let mut origin = Origin::tls_with("authority").await;
        let relay = Relay::start(&route(origin.address(), name, "authority.pem")).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK).await;
        let (head, _) = client.read_message().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        upstream.close().await;
        // The same names, another key.
        origin.present("impostor");
        client.send(GET).await;
        assert!(origin.try_accept().await.is_err());
        client.read_message().await;
        let line = relay.wait_for_log("status=502").await;
        assert!(line.contains("reason=\"ca_as_server\""), "{line}");
    }
}

#[tokio::test]
async fn a_named_certificate_is_trusted_for_its_own_names_and_dates() {
    for (certificate, name, reason) in [
        ("authority", "elsewhere.test", "wrong_name"),
        ("authority-expired", "api.openai.test", "expired"),
    ] {
        let origin = Origin::tls_with(certificate).await;
        let toml = route(origin.address(), name, &format!("{certificate}.pem"));
        let relay = Relay::start(&toml).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        assert!(origin.try_accept().await.is_err(), "{certificate}");
        client.read_message().await;
        let line = relay.wait_for_log("status=502").await;
        assert!(line.contains(&format!("reason=\"{reason}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_forward_trusts_exactly_the_certificate_that_it_names() {
    let mut origin = Origin::tls_with("authority").await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n\
         [[forward]]\nserver_name = \"*\"\nupstream = \"tls://{}\"\nca = {:?}\n",
        origin.address(),
        certificate_file("authority.pem"),
    ))
    .await;
    let mut client = connect_plain(relay.address()).await;
    client.send("hello").await;
    origin.accept().await.read_exactly(5).await;
    origin.present("impostor");
    let mut client = connect_plain(relay.address()).await;
    client.send("hello").await;
    assert!(origin.try_accept().await.is_err());
    let line = relay.wait_for_log("end=\"refused\"").await;
    assert!(line.contains("reason=\"ca_as_server\" step=\"tls\""), "{line}");
    client.read_to_end().await;
}

fn route(origin: SocketAddr, name: &str, ca: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\n\
         upstream = \"https://api.openai.test/\"\ntls_name = \"{name}\"\nconnect = \"{origin}\"\n\
         ca = {:?}\n",
        certificate_file(ca),
    )
}
