//! Who a client is, by its address: `allow`, `trusted_proxies` and `client_address`. 127.0.0.0/8
//! has an address for each part: the proxy is 127.0.0.2.

use crate::support::stage::{GET, OK_LAST, expect_ok};
use narrows_kit::certificates::listener_keys;
use narrows_kit::client::connect_plain_from;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, iter};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

const PROXY: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

/// Only clients of 203.0.113.0/24, or 127.0.0.9, and the proxy may say who they are.
const GUARDED: &str =
    "allow = [\"203.0.113.0/24\", \"127.0.0.9\"]\ntrusted_proxies = [\"127.0.0.2\"]\n";

fn listener(keys: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{keys}")
}

fn route(origin: &Origin, keys: &str) -> String {
    let address = origin.address();
    format!("[[route]]\npath = \"/gpt/\"\nupstream = \"http://{address}/\"\n{keys}")
}

/// A request with these further field lines.
fn ask(fields: &str) -> String {
    GET.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"), 1)
}

/// The status of the next answer, which the origin gives if it is asked.
async fn status(client: &mut Peer, origin: &Origin, request: &str) -> String {
    client.send(request).await;
    let upstream = async {
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(OK_LAST).await;
        upstream
    };
    let (head, body) = tokio::select! {
        _ = async { upstream.await; std::future::pending::<()>().await } => unreachable!(),
        message = client.read_message() => message,
    };
    if head.contains(" 403 ") {
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("\"code\":\"address_not_allowed\""), "{body}");
    }
    head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_for_the_log_allow_and_proxy_headers() {
    let origin = Origin::plain().await;
    let toml = listener(GUARDED) + &route(&origin, "proxy_protocol = \"v1\"\n");
    let relay = Relay::start(&toml).await;
    let mut client = connect_plain_from(PROXY, relay.address()).await;
    for (named, header, logged) in [
        (
            "203.0.113.9",
            "PROXY TCP4 203.0.113.9 127.0.0.1 0 ",
            "client=203.0.113.9 peer=127.0.0.2:",
        ),
        (
            "10.0.0.1, 203.0.113.8:4711, 127.0.0.2",
            "PROXY TCP4 203.0.113.8 127.0.0.1 4711 ",
            "client=203.0.113.8:4711 peer=127.0.0.2:",
        ),
    ] {
        client.send(ask(&format!("X-Forwarded-For: {named}"))).await;
        let mut upstream = origin.accept().await;
        let line = upstream.read_through(b"\r\n").await;
        assert!(line.starts_with(header), "{line}");
        let head = upstream.read_head().await;
        assert!(!head.to_lowercase().contains("forwarded"), "{head}");
        upstream.send(OK_LAST).await;
        assert_eq!(client.read_message().await.1, b"ok");
        relay.wait_for_log(logged).await;
    }
}

#[tokio::test]
async fn whoever_is_not_allowed_gets_403_and_cannot_pass_for_another() {
    let origin = Origin::plain().await;
    let relay = Relay::start(&(listener(GUARDED) + &route(&origin, ""))).await;
    let from = |source| connect_plain_from(source, relay.address());
    // One connection of the proxy serves one client after the other.
    let mut proxy = from(PROXY).await;
    for (fields, want) in [
        ("X-Forwarded-For: 198.51.100.1", "403"),
        ("X-Forwarded-For: 203.0.113.9", "200"),
        ("X-Forwarded-For: 203.0.113.9, 198.51.100.1", "403"),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1", "403"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9", "200"),
        ("X_Forwarded_For: 203.0.113.9", "403"),
        ("X-Real-IP: 203.0.113.9", "403"),
        ("Forwarded: for=203.0.113.9", "403"),
        ("X-Forwarded-For: unknown", "403"),
        ("X-Forwarded-For: 203.0.113.9, unknown", "403"),
        ("X-Forwarded-For: ::ffff:203.0.113.9", "200"),
        ("X-Forwarded-For: 2001:db8::1", "403"),
        ("A: b", "403"),
    ] {
        assert_eq!(status(&mut proxy, &origin, &ask(fields)).await, want, "{fields}");
    }
    for (source, want) in [(OTHER, "403"), ([127, 0, 0, 9], "200")] {
        for fields in ["A: b", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.2"] {
            let mut client = from(source).await;
            assert_eq!(status(&mut client, &origin, &ask(fields)).await, want, "{fields}");
        }
    }
    // Of the path, whoever is not allowed learns nothing.
    let mut other = from(OTHER).await;
    other.send("OPTIONS /none HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n").await;
    assert!(other.read_message().await.0.starts_with("HTTP/1.1 403 "));
    let line = relay.wait_for_log("client=127.0.0.3:").await;
    assert!(
        line.contains("end=\"answered\" fault=\"client\" cause=\"address_not_allowed\""),
        "{line}"
    );
}

#[tokio::test]
async fn whoever_is_not_allowed_is_closed_before_tls_and_in_tcp_mode_and_a_proxy_is_not() {
    let origin = Origin::plain().await;
    let tls = listener(&format!("{GUARDED}{}", listener_keys())) + &route(&origin, "");
    let forward =
        format!("[[forward]]\nserver_name = \"*\"\nupstream = \"tcp://{}\"\n", origin.address());
    let tcp = listener("mode = \"tcp\"\nallow = [\"127.0.0.2\"]\n") + &forward;
    for (toml, line) in
        [(tls, "handshake failed client=127.0.0.3:"), (tcp, "connection client=127.0.0.3:")]
    {
        let relay = Relay::start(&toml).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((OTHER, 0))).unwrap();
        // It may be closed, or reset, at any moment from here on.
        if let Ok(mut client) = socket.connect(relay.address()).await {
            let mut bytes = Vec::new();
            let _closed = within("the end", client.read_to_end(&mut bytes)).await;
            assert_eq!(bytes, b"", "not even an alert");
        }
        let line = relay.wait_for_log(line).await;
        assert!(line.contains("fault=\"client\" cause=\"address_not_allowed\""), "{line}");
        let mut proxy = connect_plain_from(PROXY, relay.address()).await;
        proxy.send(b"\x16\x03\x01").await;
        proxy.assert_silent().await;
    }
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_counted_by_its_exchanges_and_the_proxy_is_not() {
    let origin = Origin::plain().await;
    let limits = "[limits]\nconnections_per_address = 2\n";
    let keys = "trusted_proxies = [\"127.0.0.2\"]\nclient_address = \"CF-Connecting-IP\"\n";
    let relay = Relay::start(&(listener(keys) + &route(&origin, "") + limits)).await;
    let connections = iter::repeat_with(|| connect_plain_from(PROXY, relay.address())).take(6);
    let mut clients = Vec::new();
    for connection in connections {
        clients.push(connection.await);
    }
    let one = ask("CF-Connecting-IP: 203.0.113.9");
    let mut upstreams = Vec::new();
    for client in &mut clients[..2] {
        client.send(&one).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstreams.push(upstream);
    }
    clients[2].send(&one).await;
    let (head, body) = clients[2].read_message().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && !head.contains("close"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("too_many_connections"));
    let line = relay.wait_for_log("reason=\"connections_per_address\"").await;
    assert!(line.contains("client=203.0.113.9 peer=127.0.0.2:"), "{line}");
    // Another client has places of its own, and an exchange that ends gives its place back.
    let other = ask("CF-Connecting-IP: 203.0.113.8");
    assert_eq!(status(&mut clients[3], &origin, &other).await, "200");
    upstreams[0].send(OK_LAST).await;
    clients[0].read_message().await;
    let served = async { while status(&mut clients[2], &origin, &one).await != "200" {} };
    within("the place of an exchange that has ended", served).await;
}

#[tokio::test]
async fn a_route_has_an_allow_of_its_own() {
    let origin = Origin::plain().await;
    let closed = format!(
        "[[route]]\npath = \"/closed/\"\nupstream = \"http://{}/\"\nallow = [\"127.0.0.2\"]\n",
        origin.address()
    );
    let relay = Relay::start(&(listener("") + &route(&origin, "") + &closed)).await;
    let request = GET.replace("/gpt/", "/closed/");
    for (source, want) in [(PROXY, "200"), (OTHER, "403")] {
        let mut client = connect_plain_from(source, relay.address()).await;
        assert_eq!(status(&mut client, &origin, &request).await, want);
        if want == "403" {
            expect_ok(&mut client, &origin).await;
        }
    }
}

#[tokio::test]
async fn a_file_of_ranges_is_read_again_when_it_changes_also_for_connections_that_are_open() {
    let (origin, folder) = (Origin::plain().await, Folder::new("ranges"));
    let file = folder.write("office.txt", "# the office\n127.0.0.3\n");
    let toml = listener(&format!("allow = [{file:?}]\n")) + &route(&origin, "");
    let relay = Relay::start(&toml).await;
    let mut client = connect_plain_from(OTHER, relay.address()).await;
    assert_eq!(status(&mut client, &origin, GET).await, "200");

    fs::write(&file, "127.0.0.3/8\n").unwrap();
    let line = relay.wait_for_log("a file has changed and cannot be used").await;
    assert!(line.contains(" has a mistake in line 1: "), "{line}");
    assert_eq!(status(&mut client, &origin, GET).await, "200", "what it held before counts");

    fs::write(&file, "203.0.113.0/24\n").unwrap();
    relay.wait_for_log("a file has changed; ").await;
    let refused = async { while status(&mut client, &origin, GET).await != "403" {} };
    within("the new list", refused).await;
    // A reload that removes the list lets it in again.
    relay.reload(&(listener("") + &route(&origin, ""))).await;
    assert_eq!(status(&mut client, &origin, GET).await, "200");
    relay.signal(Signal::TERM);
}

#[tokio::test]
async fn a_listener_that_leads_to_https_serves_only_whom_it_allows() {
    let origin = Origin::plain().await;
    let plain = listener("redirect = true\nallow = [\"127.0.0.3\"]\n");
    let relay = Relay::start(&(plain + &listener(&listener_keys()) + &route(&origin, ""))).await;
    // Of this host it has no certificate.
    for (source, want) in [(OTHER, "421"), (PROXY, "403")] {
        let mut client = connect_plain_from(source, relay.addresses()[0]).await;
        assert_eq!(status(&mut client, &origin, GET).await, want);
    }
}

/// The configuration of docs/access.md, with addresses of this machine.
#[tokio::test]
async fn behind_cloudflare_the_client_is_whom_it_names_as_the_manual_has_it() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/access.md");
    let manual = fs::read_to_string(manual).unwrap();
    let example = manual.split("```toml\n").find(|it| it.contains("CF-Connecting-IP")).unwrap();
    let example = example.split("```").next().unwrap();
    let (origin, folder) = (Origin::plain().await, Folder::new("cloudflare"));
    let cloudflare = folder.write("cloudflare.txt", "127.0.0.2/32\n2400:cb00::/32\n");
    let mut toml = example.to_owned();
    for (written, here) in [
        ("\":443\"", "\"127.0.0.1:0\"".to_owned()),
        ("certificate = \"origin.pem\"\nkey = \"origin.key\"\n", String::new()),
        ("\"cloudflare.txt\"", format!("{cloudflare:?}")),
        ("https://api.openai.com/", format!("http://{}/", origin.address())),
    ] {
        assert!(toml.contains(written), "{written}: {example}");
        toml = toml.replace(written, &here);
    }
    let relay = Relay::start(&toml).await;
    let mut cloudflare = connect_plain_from(PROXY, relay.address()).await;
    let named = ask("CF-Connecting-IP: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1");
    assert_eq!(status(&mut cloudflare, &origin, &named).await, "200");
    relay.wait_for_log("client=203.0.113.9 peer=127.0.0.2:").await;
    // Of anyone else the field says nothing.
    let mut other = connect_plain_from(OTHER, relay.address()).await;
    assert_eq!(status(&mut other, &origin, &named).await, "200");
    relay.wait_for_log("client=127.0.0.3:").await;
}
