//! A listener that leads to HTTPS (`redirect = true`), and nowhere else.

use narrows_kit::certificates::listener_keys;
use narrows_kit::client::connect_plain;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use std::net::TcpListener;

/// An HTTPS listener with the names of `certs/server.pem`, and one that leads there.
struct Scene {
    origin: Origin,
    relay: Relay,
}

impl Scene {
    async fn new() -> Self {
        let origin = Origin::plain().await;
        // The port is a part of where requests are led, so it has to be known before.
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(&format!(
            "[[listener]]\naddress = \"{}\"\n{}\
             [[listener]]\naddress = \"127.0.0.1:0\"\nredirect = true\n\
             [[route]]\npath = \"/\"\nupstream = \"http://{}/\"\n",
            socket.local_addr().unwrap(),
            listener_keys(),
            origin.address()
        ));
        Self { relay: relay.sockets([socket]).await, origin }
    }

    /// Where HTTPS is, as a part of a URL.
    fn https_port(&self) -> u16 {
        self.relay.address().port()
    }

    /// The head of the answer to these bytes, and its body.
    async fn ask(&self, request: &str) -> (String, Vec<u8>) {
        let mut client = connect_plain(self.relay.addresses()[1]).await;
        client.send(request).await;
        client.read_message().await
    }

    /// Asserts where a request leads.
    async fn expect_location(&self, request: &str, location: &str) {
        let (head, _) = self.ask(request).await;
        assert!(head.starts_with("HTTP/1.1 308 "), "{request:?}: {head}");
        assert_eq!(field_value(&head, "location"), Some(location), "{request:?}");
    }

    /// Asserts that a request leads nowhere.
    async fn expect_status(&self, request: &str, status: u16) {
        let (head, _) = self.ask(request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}");
        assert_eq!(field_value(&head, "location"), None, "{request:?}");
    }
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn a_request_for_one_of_our_names_is_led_to_https_as_it_is() {
    let scene = Scene::new().await;
    let port = scene.https_port();
    for (host, name) in [
        ("localhost", "localhost"),
        ("localhost:80", "localhost"),
        ("localhost:8080", "localhost"),
        ("LocalHost", "localhost"),
        ("api.openai.test", "api.openai.test"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
    ] {
        for path in ["/", "/gpt/v1?a=b&c=%2F..", "//evil.test/", "/a%0d%0aSet-Cookie:%20x"] {
            let location = format!("https://{name}:{port}{path}");
            scene.expect_location(&get(path, host), &location).await;
        }
    }
    // 308 keeps the method and the content (RFC 9110, section 15.4.9).
    let post = "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    scene.expect_location(post, &format!("https://localhost:{port}/x")).await;
    let absolute = "GET http://localhost/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    scene.expect_location(absolute, &format!("https://localhost:{port}/x")).await;
    scene.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_request_for_another_name_leads_nowhere() {
    let scene = Scene::new().await;
    for host in [
        "evil.test",
        "localhost.evil.test",
        "evil.test:80",
        "xlocalhost",
        "openai.test",
        "127.0.0.2",
        "0177.0.0.1",
        "[::2]",
    ] {
        scene.expect_status(&get("/", host), 421).await;
    }
    let absolute = "GET http://evil.test/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    scene.expect_status(absolute, 421).await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost@evil.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost/evil.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.test\\localhost\r\n\r\n",
        "GET http://user@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        scene.expect_status(head, 400).await;
    }
    scene.origin.assert_untouched().await;
}

#[tokio::test]
async fn a_token_that_is_no_challenge_of_ours_is_not_found_and_not_led_away() {
    let scene = Scene::new().await;
    for token in ["unknown", "", "a/b", "..", "%2e%2e", "a?b"] {
        let path = format!("/.well-known/acme-challenge/{token}");
        scene.expect_status(&get(&path, "localhost"), 404).await;
    }
    // A validator asks under the name, which may be one that has no certificate yet.
    scene.expect_status(&get("/.well-known/acme-challenge/unknown", "new.test"), 404).await;
}
