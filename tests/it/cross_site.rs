//! Routes with keys that ask for no token: what a web page has its visitor's browser send is
//! refused, and what programs send is served.

use crate::support::rig::expect_own_error;
use crate::support::stage::OK;
use narrows_kit::certificates::listener_keys;
use narrows_kit::client::connect_plain_from;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;

/// A relay with these keys of its listener and its route, and the folder of its API keys.
async fn relay(origin: &Origin, listener: &str, route: &str) -> (Relay, Folder) {
    let folder = Folder::new("cross_site");
    let keys = folder.write("api.keys", "sk-canary-0123456789\n");
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"http://{}/\"\nkey_file = {keys:?}\n{route}\n",
        origin.address()
    );
    (Relay::start(&toml).await, folder)
}

/// A request as a page may cause it: a simple one, which needs no preflight.
fn post(host: &str, lines: &str) -> String {
    format!(
        "POST /gpt/v1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n{lines}\
         Content-Length: 2\r\n\r\n{{}}"
    )
}

async fn is_served(client: &mut Peer, origin: &Origin, request: &str) {
    client.send(request).await;
    let mut upstream = origin.accept().await;
    let (head, _) = upstream.read_message().await;
    assert!(head.contains("Bearer sk-canary"), "{head}");
    upstream.send(OK.replacen("\r\n", "\r\nConnection: close\r\n", 1)).await;
    assert_eq!(client.read_message().await.1, b"ok", "{request}");
}

const OTHER_SITE: &str = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n";

#[tokio::test]
async fn a_page_of_another_site_reaches_no_key_and_programs_and_own_pages_do() {
    let origin = Origin::plain().await;
    let (relay, _folder) = relay(&origin, "", "").await;
    let mut client = relay.connect().await;
    let port = relay.address().port();
    for (host, lines) in [
        (format!("127.0.0.1:{port}"), ""),
        (format!("localhost:{port}"), "Origin: http://localhost:3000\r\n"),
        ("narrows".to_owned(), "Origin: tauri://localhost\r\n"),
    ] {
        is_served(&mut client, &origin, &post(&host, lines)).await;
    }
    for (host, lines, reason) in [
        (format!("localhost:{port}"), OTHER_SITE, "other_site"),
        (format!("127.0.0.1:{port}"), "Origin: null\r\n", "other_site"),
        (format!("localhost:{port}"), "Sec-Fetch-Site: cross-site\r\n", "other_site"),
        (format!("evil.example:{port}"), "Origin: http://evil.example\r\n", "public_host"),
        ("evil.example".to_owned(), "", "public_host"),
    ] {
        client.send(post(&host, lines)).await;
        let head = expect_own_error(&mut client, 403, "address_not_allowed").await;
        let is_page = lines.contains("Origin");
        assert_eq!(head.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), is_page, "{head}");
        let line = relay.wait_for_log(&format!(" reason=\"{reason}\"")).await;
        assert!(
            line.contains(" cause=\"address_not_allowed\"") && !line.contains("evil"),
            "{line}"
        );
    }
    // The connection goes on.
    is_served(&mut client, &origin, &post("localhost", "")).await;
}

#[tokio::test]
async fn a_name_that_tls_or_a_proxy_has_checked_is_served_and_its_own_pages_too() {
    let origin = Origin::plain().await;
    let own = post("relay.example", "Origin: https://relay.example\r\n");
    let (tls, _folder) = relay(&origin, &listener_keys(), "").await;
    let mut client = tls.connect().await;
    is_served(&mut client, &origin, &own).await;
    client.send(post("relay.example", OTHER_SITE)).await;
    expect_own_error(&mut client, 403, "address_not_allowed").await;

    let guarded = "trusted_proxies = [\"127.0.0.2\"]\nallow = [\"192.0.2.0/24\", \"127.0.0.1\"]";
    let (proxied, _folder) = relay(&origin, guarded, "").await;
    let mut proxy = connect_plain_from([127, 0, 0, 2], proxied.address()).await;
    let forwarded = own.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n", 1);
    is_served(&mut proxy, &origin, &forwarded).await;
    let mut direct = proxied.connect().await;
    direct.send(&own).await;
    expect_own_error(&mut direct, 403, "address_not_allowed").await;
}

#[tokio::test]
async fn a_route_that_says_so_is_for_all_pages() {
    let origin = Origin::plain().await;
    for meant in ["cors = true", "clients = \"anyone\""] {
        let (relay, _folder) = relay(&origin, "", meant).await;
        let mut client = relay.connect().await;
        is_served(&mut client, &origin, &post("evil.example", OTHER_SITE)).await;
    }
}
