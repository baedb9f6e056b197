//! An origin with a relay in front of it, in the four combinations of TLS and none.

use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use std::fmt;

/// An origin with a relay in front of it.
pub struct Stage {
    pub origin: Origin,
    pub relay: Relay,
    pub client_tls: bool,
}

impl Stage {
    /// TLS on both sides.
    pub async fn tls() -> Self {
        Self::new(true, true, "").await
    }

    /// TLS on neither side.
    pub async fn plain() -> Self {
        Self::new(false, false, "").await
    }

    /// `extra` is appended to the configuration.
    pub async fn new(client_tls: bool, origin_tls: bool, extra: &str) -> Self {
        let origin = if origin_tls { Origin::tls().await } else { Origin::plain().await };
        let setup = if client_tls { Relay::to(&origin) } else { Relay::plain_to(&origin) };
        Self { relay: setup.with(extra).await, origin, client_tls }
    }

    /// All four combinations.
    pub async fn all() -> [Self; 4] {
        [
            Self::new(false, false, "").await,
            Self::new(false, true, "").await,
            Self::new(true, false, "").await,
            Self::new(true, true, "").await,
        ]
    }

    /// A new client that has sent `request`, and the new connection of the origin on which the
    /// request's head has arrived. No connection to the origin may be idle, because it would be
    /// used: end earlier exchanges with [`OK_LAST`] or [`CHUNKED_LAST`].
    pub async fn begin(&self, request: &str) -> (Peer, Peer) {
        let mut client = self.relay.connect().await;
        client.send(request).await;
        let mut upstream = self.origin.accept().await;
        upstream.read_head().await;
        (client, upstream)
    }

    /// As [`Stage::begin`], up to a response head that has reached the client.
    pub async fn answered(&self, request: &str, head: &str) -> (Peer, Peer) {
        let (mut client, mut upstream) = self.begin(request).await;
        upstream.send(head).await;
        client.read_head().await;
        (client, upstream)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |tls| if tls { "TLS" } else { "plain" };
        write!(out, "{} client, {} origin", word(self.client_tls), word(self.origin.is_tls()))
    }
}

/// Asserts that the next request of `client` is served, over a new connection to the origin.
pub async fn expect_ok(client: &mut Peer, origin: &Origin) {
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
}

/// A request without a body.
pub const GET: &str = "GET /gpt/v1/x HTTP/1.1\r\nHost: a\r\n\r\n";
/// The same of a client that understands no chunks.
pub const GET_10: &str = "GET /gpt/v1/x HTTP/1.0\r\n\r\n";
/// A response head before a chunked body.
pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// A response head before a body that the close ends.
pub const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";
/// The same, with the announcement that the connection will not be used again.
pub const CHUNKED_LAST: &str =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
/// A whole response, with that announcement.
pub const OK_LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
/// A whole response.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
