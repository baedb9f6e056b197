//! What is in front of the relay: streams that are held back, bodies that are refused, and ways
//! that lead elsewhere.

use crate::patient::{Diagnosis, free_address};
use crate::servers::{Front, UNAUTHORIZED, front, http, https};
use narrows_kit::certificates::certificate_file;
use narrows_kit::relay::Relay;
use std::net::SocketAddr;

#[test]
fn a_stream_that_passes_and_a_long_body_are_well() {
    let found = through(Front::Streams);
    found.exits(0).has("stream", "ok", "8 of 8 pieces", "").has("upload", "ok", "2 MiB", "");
}

#[test]
fn a_server_in_front_that_buffers_is_named() {
    let found = through(Front::Buffers);
    found.exits(1).has("stream", "failure", "held back to its end", "proxy_buffering off");
    found.has("upload", "ok", "2 MiB", "");
}

#[test]
fn a_server_in_front_that_refuses_long_bodies_is_named() {
    let found = through(Front::RefusesLongBodies);
    found.exits(1).has("upload", "failure", "413", "client_max_body_size");
    found.has("stream", "ok", "8 of 8 pieces", "");
}

#[test]
fn a_server_in_front_that_cuts_streams_is_named() {
    let found = through(Front::CutsAfter(200));
    found.exits(1).has("stream", "failure", "cut after", "log of the server in front");
}

#[test]
fn a_server_in_front_that_says_nothing_is_named() {
    let found = through(Front::ServesOneConnection);
    found.exits(1).has("stream", "failure", "no response came in time", "log of the server");
    found.has("upload", "failure", "no response came in time", "log of the server in front");
}

#[test]
fn a_way_that_leads_nowhere_or_elsewhere_is_named() {
    let serve = free_address();
    let found = from_outside(front(Front::Streams, free_address()), serve);
    found.exits(1).has("arrival", "failure", "cannot reach this machine's listener", "proxy_pass");
    let found = from_outside(http("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), serve);
    found.exits(1).has("arrival", "failure", "another program answers", &serve.to_string());
}

#[test]
fn the_listeners_address_is_used_if_narrows_does_not_run() {
    let listen = free_address().to_string();
    let [certificate, key] = ["server.pem", "server.key"].map(certificate_file);
    let [certificate, key] = [&certificate, &key].map(|it| it.to_str().unwrap());
    let route = format!("/gpt/=http://{}/", http(UNAUTHORIZED));
    let tls = ["--certificate", certificate, "--key", key];
    // Without a way to trust the certificate the handshake is all that can be seen.
    let url = format!("https://{listen}/gpt/");
    let found = Diagnosis::of(&[&["--listen", &listen, "--url", &url, &route], &tls[..]].concat());
    found.exits(1).has("tls", "failure", "\"narrows test CA\"", "");
    let url = format!("http://{listen}/gpt/");
    let found = Diagnosis::of(&["--listen", &listen, "--url", &url, &route]);
    found.exits(0).has("stream", "ok", "8 of 8 pieces", "");
}

#[tokio::test]
async fn a_relay_that_runs_is_left_alone() {
    let upstream = http(UNAUTHORIZED);
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\nupstream = \
         \"http://{upstream}/\"\n"
    );
    let relay = Relay::start(&toml).await;
    let listen = relay.address().to_string();
    let (url, route) = (format!("http://{listen}/gpt/"), format!("/gpt/=http://{upstream}/"));
    let found = Diagnosis::of(&["--listen", &listen, "--url", &url, &route]);
    found.exits(0).has("stream", "skipped", "narrows (pid", "").has("http", "ok", "401", "");
    let url = format!("http://{listen}/gtp/");
    let found = Diagnosis::of(&["--listen", &listen, "--url", &url, &route]);
    found.exits(1).has("arrival", "failure", "no route has this path", "that of a route");
}

#[test]
fn a_certificate_in_front_that_clients_do_not_trust_is_named() {
    let (url, serve) = (format!("https://{}/gpt/", https(&["wrong-name"])), free_address());
    let route = format!("http://{}/", http(UNAUTHORIZED));
    let found = Diagnosis::of_route(&route, &["--url", &url, "--serve", &serve.to_string()]);
    found.exits(1).has("tls", "failure", "clients do not trust the certificate", "fullchain.pem");
}

fn through(what: Front) -> Diagnosis {
    let serve = free_address();
    from_outside(front(what, serve), serve)
}

/// Of a URL that leads to `public`, with the test stream at `serve`.
fn from_outside(public: SocketAddr, serve: SocketAddr) -> Diagnosis {
    let (url, serve) = (format!("http://{public}/gpt/"), serve.to_string());
    let route = format!("http://{}/", http(UNAUTHORIZED));
    Diagnosis::of_route(&route, &["--url", &url, "--serve", &serve])
}
