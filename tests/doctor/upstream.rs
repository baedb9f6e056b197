//! Upstreams that are broken, or what is on the way to them.

use crate::patient::Diagnosis;
use crate::servers::{UNAUTHORIZED, http, https, https_for_short_hellos, https_with, start};
use narrows_kit::certificates::certificate_file;
use narrows_kit::folder::Folder;
use narrows_kit::issuer::{Issuer, KeyKind};
use std::io::{Read, Write};
use std::net::SocketAddr;

#[test]
fn an_api_that_asks_for_a_key_is_well() {
    let found = trusting("ca.pem", https(&["server"]));
    found.exits(0).has("http", "ok", "401: it asks for a key", "");
    found.has("tls", "ok", "verified, TLS 1.3; issuer \"narrows test CA\"", "");
    found.has("times", "ok", "warm", "").has("times", "ok", "resumed", "");
    found.has("clock", "skipped", "no server has said", "");
}

#[test]
fn an_upstream_that_is_down_is_named() {
    // A port that was free a moment ago.
    let down = crate::patient::free_address();
    let found = Diagnosis::of_route(&format!("http://{down}/"), &[]);
    found.exits(1).has("tcp", "failure", "refused", "whether the server runs");
}

#[test]
fn an_expired_certificate_is_named_with_its_age() {
    let found = trusting("ca.pem", https(&["expired"]));
    found.exits(1).has("tls", "failure", "expired", "check this machine's clock");
}

#[test]
fn a_certificate_of_the_future_blames_the_clock() {
    let found = trusting("ca.pem", https(&["not-yet-valid"]));
    found.exits(1).has("tls", "failure", "valid only in", "timedatectl");
}

#[test]
fn a_certificate_of_another_name_is_named() {
    let found = trusting("ca.pem", https(&["wrong-name"]));
    found.exits(1).has("tls", "failure", "is for wrong-name.test, not for", "host in the URL");
}

#[test]
fn an_inspecting_proxy_is_recognized_by_its_issuer() {
    let proxy = Issuer::new("Zscaler Intermediate\u{7}CA");
    let shown = proxy.server(&["127.0.0.1"], KeyKind::Ecdsa);
    let chain = shown.certificate.clone() + proxy.root();
    let address = https_with(&chain, &shown.key);
    let found = Diagnosis::of_route(&format!("https://{address}/"), &[]);
    found.exits(1).has("tls", "failure", "not a known authority", "inspects TLS");
    let proxy = Issuer::new("Zscaler Intermediate CA");
    let shown = proxy.server(&["127.0.0.1"], KeyKind::Ecdsa);
    let address = https_with(&(shown.certificate.clone() + proxy.root()), &shown.key);
    let found = Diagnosis::of_route(&format!("https://{address}/"), &[]);
    found.exits(1).has("tls", "failure", "inspects TLS", "ask its administrator");
    // Its root is trusted, so it works, and it reads the keys.
    let folder = Folder::new("doctor");
    let ca = folder.write("corp.pem", proxy.root());
    let route = format!("https://{address}/");
    let found = Diagnosis::of_route(&route, &["--ca", ca.to_str().unwrap()]);
    found.exits(0).has("tls", "warning", "issuer \"Zscaler", "reads all requests");
}

#[test]
fn an_unknown_authority_may_be_a_middlebox_or_the_operators_own() {
    let found = Diagnosis::of_route(&format!("https://{}/", https(&["server"])), &[]);
    found.exits(1).has("tls", "failure", "only certificate is of \"narrows test CA\"", "ca = ");
}

#[test]
fn a_server_that_sends_a_chain_of_one_is_named() {
    let found = trusting("chain-root.pem", https(&["chain-leaf"]));
    found.exits(1).has("tls", "failure", "the only certificate is of", "fullchain.pem");
    let found = trusting("chain-root.pem", https(&["chain-leaf", "chain-intermediate"]));
    found.exits(0);
}

#[test]
fn a_server_that_signs_its_own_certificate_is_named() {
    let found = Diagnosis::of_route(&format!("https://{}/", https(&["authority"])), &[]);
    found.exits(1).has("tls", "failure", "signed by itself", "ca = ");
}

#[test]
fn a_port_without_tls_is_named() {
    let found = Diagnosis::of_route(&format!("https://{}/", http(UNAUTHORIZED)), &[]);
    // What is no request gets no answer of this server; another one answers 400.
    found.exits(1);
    let talks = start(|mut tcp| {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
        tcp.read(&mut [0; 4096]).map(drop)
    });
    let found = Diagnosis::of_route(&format!("https://{talks}/"), &[]);
    found.exits(1).has("tls", "failure", "does not speak TLS", "http://");
}

#[test]
fn a_port_that_wants_tls_is_named() {
    let page = "<center>The plain HTTP request was sent to HTTPS port</center>";
    let address = answering("400 Bad Request", "", page);
    let found = Diagnosis::of_route(&format!("http://{address}/"), &[]);
    found.exits(1).has("http", "failure", "this port wants TLS", "https://");
}

#[test]
fn a_service_that_is_not_http_is_named() {
    let ssh = start(|mut tcp| {
        tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
        tcp.read(&mut [0; 4096]).map(drop)
    });
    let found = Diagnosis::of_route(&format!("http://{ssh}/"), &[]);
    found.exits(1).has("http", "failure", "does not speak HTTP/1", "another service");
}

#[test]
fn a_handshake_that_is_cut_because_of_its_size_has_a_remedy_of_its_own() {
    let found = trusting("ca.pem", https_for_short_hellos(1000));
    found.exits(1).has("tls", "failure", "unless it is made smaller", "key_exchange = \"classic\"");
}

#[test]
fn a_handshake_that_is_cut_for_its_name_is_named() {
    let found = trusting("ca.pem", https_for_short_hellos(0));
    found.exits(1).has(
        "tls",
        "failure",
        "cut during the handshake",
        "blocks this server by its name",
    );
}

#[test]
fn a_country_that_the_api_does_not_serve_is_named() {
    let body = r#"{"error":{"code":"unsupported_country_region_territory"}}"#;
    let found = of(answering("403 Forbidden", "", body));
    found.exits(1).has("http", "failure", "does not serve the country", "in a country");
}

#[test]
fn a_firewall_in_front_of_the_api_is_named() {
    let found = of(answering("403 Forbidden", "Server: cloudflare\r\n", "error code: 1020"));
    found.exits(1).has(
        "http",
        "failure",
        "refuses this machine's public address",
        "another public",
    );
}

#[test]
fn a_proxy_and_a_portal_that_want_a_login_are_named() {
    let found = of(answering("407 Proxy Authentication Required", "", ""));
    found.exits(1).has("http", "failure", "wants a login first", "log in");
    let portal = "Location: http://portal.example/?secret=1\r\n";
    let found = of(answering("302 Found", portal, ""));
    found.exits(0).has("http", "warning", "leads to portal.example", "login page");
    assert!(!found.text.contains("secret"), "{}", found.text);
}

#[test]
fn an_upstream_that_fails_itself_and_one_that_does_not_stay_are_warnings() {
    let found = of(answering("502 Bad Gateway", "Server: nginx\r\n", ""));
    found.exits(0).has("http", "warning", "fails itself (Server: nginx)", "status page");
    let found = of(answering("401 Unauthorized", "Connection: close\r\n", ""));
    found.exits(0).has("times", "warning", "does not stay open", "new connection");
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let found = of(answering("401 Unauthorized", "Date: Wed, 01 Jan 2020 00:00:00 GMT\r\n", ""));
    found.exits(1).has("clock", "failure", "days ahead", "timedatectl");
}

#[test]
fn a_web_page_is_told_from_an_api() {
    let found = of(answering("200 OK", "Content-Type: text/html\r\n", "<html>"));
    found.exits(0).has("http", "warning", "web page", "website");
}

fn trusting(ca: &str, address: SocketAddr) -> Diagnosis {
    let ca = certificate_file(ca);
    Diagnosis::of_route(&format!("https://{address}/"), &["--ca", ca.to_str().unwrap()])
}

fn of(address: SocketAddr) -> Diagnosis {
    Diagnosis::of_route(&format!("http://{address}/"), &[])
}

fn answering(status: &str, fields: &str, body: &str) -> SocketAddr {
    let len = body.len();
    http(&format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{fields}\r\n{body}"))
}
