//! A relay with its origin, and the three questions that tables of cases ask: is this request
//! refused, what does the upstream get, and what does the client get of this response?
//!
//! All bytes are compared exactly. Each case has a connection of its own.

use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::Relay;
use narrows_kit::secrets::assert_none;

/// A relay without TLS and its origin.
pub struct Rig {
    pub origin: Origin,
    pub relay: Relay,
}

/// A response that ends the upstream's connection.
pub const LAST_RESPONSE: &str = "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\
    Connection: close\r\n\r\n";
/// What a client gets of [`LAST_RESPONSE`].
pub const EMPTY_ANSWER: &str = "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\r\n";
/// A request without anything to decide.
pub const GET: &str = "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";

impl Rig {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With more configuration, as for [`super::relay::Setup::with`].
    pub async fn with(toml: &str) -> Self {
        let origin = Origin::plain().await;
        let relay = Relay::plain_to(&origin).with(toml).await;
        Self { origin, relay }
    }

    /// A new client connection that has sent `request`.
    pub async fn client(&self, request: impl AsRef<[u8]>) -> Peer {
        let mut client = self.relay.connect().await;
        client.send(request).await;
        client
    }

    /// Asserts that `request` is answered by the relay with this status and code, that the
    /// connection ends, and that no upstream was touched.
    pub async fn refuses(&self, label: &str, request: impl AsRef<[u8]>, status: u16, code: &str) {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let head = expect_own_error(&mut client, status, code).await;
        assert_eq!(field_value(&head, "connection"), Some("close"), "{label}");
        client.expect_end(End::Clean).await;
        self.origin.assert_untouched().await;
    }

    /// As [`refuses`](Self::refuses), but the connection stays, for the next request to be served.
    pub async fn refuses_and_keeps(
        &self,
        label: &str,
        request: impl AsRef<[u8]>,
        status: u16,
        code: &str,
    ) {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let head = expect_own_error(&mut client, status, code).await;
        assert_eq!(field_value(&head, "connection"), None, "{label}");
        self.origin.assert_untouched().await;
        self.serves_again(&mut client).await;
    }

    /// Asserts that of `request` the upstream gets exactly `want`, and that the client gets the
    /// answer.
    pub async fn forwards(
        &self,
        label: &str,
        request: impl AsRef<[u8]>,
        want: impl AsRef<[u8]>,
    ) -> Peer {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let mut upstream = self.origin.accept().await;
        expect_bytes(&mut upstream, want).await;
        upstream.send(LAST_RESPONSE).await;
        let answer = client.read_head().await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{label}: {answer}");
        upstream.expect_end(End::Clean).await;
        client
    }

    /// Asserts that of `response` to `request` the client gets exactly `want`. Then its connection
    /// has ended, when `want` says so, or carries another exchange that the first has left no
    /// trace in.
    pub async fn answers(
        &self,
        label: &str,
        request: impl AsRef<[u8]>,
        response: impl AsRef<[u8]>,
        want: impl AsRef<[u8]>,
    ) {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_message().await;
        upstream.send(response).await;
        upstream.close().await;
        expect_bytes(&mut client, want.as_ref()).await;
        let head = String::from_utf8_lossy(want.as_ref());
        if head.contains("\r\nConnection: close\r\n") {
            client.expect_end(End::Clean).await;
        } else {
            self.serves_again(&mut client).await;
        }
    }

    /// Asserts that `response` to `request` is answered with 502, that the upstream's connection
    /// is cut, and that the client's carries another exchange.
    pub async fn spoils(&self, label: &str, request: &str, response: impl AsRef<[u8]>) {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_message().await;
        upstream.send(response).await;
        let has_body = !request.starts_with("HEAD ");
        let code = "upstream_malformed_response";
        let head = read_own_error(&mut client, 502, code, has_body).await;
        assert_eq!(field_value(&head, "connection"), None, "{label}");
        upstream.expect_end(End::Reset).await;
        self.serves_again(&mut client).await;
    }

    /// Asserts that the body of `request` is refused, and that the upstream, which may have seen
    /// its beginning, cannot take it for complete.
    pub async fn refuses_body(&self, label: &str, request: impl AsRef<[u8]>) {
        println!("case: {label}");
        let mut client = self.client(request).await;
        let head = expect_own_error(&mut client, 400, "malformed_body").await;
        assert_eq!(field_value(&head, "connection"), Some("close"), "{label}");
        client.expect_end(End::Clean).await;
        expect_cut(&mut self.origin.accept().await, End::Reset).await;
    }

    /// Asserts that of `response`, whose body is broken, the client cannot take for complete what
    /// it gets.
    pub async fn cuts(&self, label: &str, response: impl AsRef<[u8]>) {
        println!("case: {label}");
        let mut client = self.client(GET).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_head().await;
        upstream.send(response).await;
        expect_cut(&mut client, End::Clean).await;
        upstream.expect_end(End::Reset).await;
    }

    /// Asserts that `client` can begin another exchange, which opens a new upstream connection.
    pub async fn serves_again(&self, client: &mut Peer) {
        client.send("GET /gpt/again HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
        let mut upstream = self.origin.accept().await;
        expect_bytes(&mut upstream, forwarded("GET /again", "")).await;
        upstream.send(LAST_RESPONSE).await;
        expect_bytes(client, EMPTY_ANSWER).await;
        upstream.expect_end(End::Clean).await;
    }
}

/// A head as the upstream gets it, when Host was the first field.
pub fn forwarded(method_and_target: &str, fields: &str) -> String {
    format!("{method_and_target} HTTP/1.1\r\nHost: api.openai.test\r\n{fields}\r\n")
}

/// Reads as many bytes as `want` has, and asserts that they are these.
pub async fn expect_bytes(peer: &mut Peer, want: impl AsRef<[u8]>) {
    let want = want.as_ref();
    let got = peer.read_exactly(want.len()).await;
    assert_eq!(got.escape_ascii().to_string(), want.escape_ascii().to_string());
}

/// Asserts that the connection ends so, and that no last chunk comes before.
async fn expect_cut(peer: &mut Peer, want: End) {
    let (bytes, end) = peer.read_to_end().await;
    let ended = bytes.windows(5).any(|bytes| bytes == b"\r\n0\r\n");
    assert!(end == want && !ended, "{end:?} after {}", bytes.escape_ascii());
}

/// Reads an error of the relay's own, and gives its head.
pub async fn expect_own_error(client: &mut Peer, status: u16, code: &str) -> String {
    read_own_error(client, status, code, true).await
}

async fn read_own_error(client: &mut Peer, status: u16, code: &str, has_body: bool) -> String {
    let head = client.read_head().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}: {head}");
    assert_eq!(field_value(&head, "content-type"), Some("application/json"), "{head}");
    if has_body {
        let body = String::from_utf8(client.read_body_to_end(&head).await).unwrap();
        assert_none(&body);
        let tail = format!("\",\"type\":\"narrows\",\"code\":\"{code}\",\"param\":null}}}}\n");
        assert!(body.starts_with("{\"error\":{\"message\":\"") && body.ends_with(&tail), "{body}");
    }
    head
}
