//! An origin with a tcp listener in front of it, in every pair of what both speak.

use narrows_kit::certificates::certificate_file;
use narrows_kit::certificates::{client_config, listener_keys};
use narrows_kit::client::{connect_plain, connect_tls};
use narrows_kit::origin::Origin;
use narrows_kit::peer::{End, Peer};
use narrows_kit::relay::{Relay, Setup};
use narrows_kit::within;
use std::fmt;
use std::net::SocketAddr;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConnection};

/// A PROXY header that announces 192.0.2.7.
pub const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
/// The same in the binary format.
pub const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
/// Keys of a listener that expects a PROXY header from the clients of the tests.
pub const FROM_US: &str = "proxy_protocol = [\"192.0.2.0/24\", \"127.0.0.1\"]\n";

/// What a tcp listener and its upstream speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Bytes as they are.
    PlainToTcp,
    /// Bytes as they are, which happen to be TLS.
    Through,
    /// TLS that the listener terminates.
    TlsToTcp,
    /// TLS that the relay originates.
    PlainToTls,
    /// TLS on both sides, terminated in between.
    TlsToTls,
}

impl Pair {
    pub const ALL: [Self; 5] =
        [Self::PlainToTcp, Self::Through, Self::TlsToTcp, Self::PlainToTls, Self::TlsToTls];

    pub fn client_tls(self) -> bool {
        matches!(self, Self::Through | Self::TlsToTcp | Self::TlsToTls)
    }

    pub fn listener_tls(self) -> bool {
        matches!(self, Self::TlsToTcp | Self::TlsToTls)
    }

    pub fn origin_tls(self) -> bool {
        matches!(self, Self::Through | Self::PlainToTls | Self::TlsToTls)
    }

    /// An origin that speaks what the upstream of this pair does.
    pub async fn origin(self) -> Origin {
        if self.origin_tls() { Origin::tls().await } else { Origin::plain().await }
    }
}

/// An origin with a relay in front of it that forwards everything to it.
pub struct Passage {
    pub origin: Origin,
    pub relay: Relay,
    pub pair: Pair,
}

impl Passage {
    pub async fn new(pair: Pair) -> Self {
        Self::with(pair, "*", "", "").await
    }

    /// For `names`, with `more` keys of the forward, followed by `rest`.
    pub async fn with(pair: Pair, names: &str, more: &str, rest: &str) -> Self {
        let origin = pair.origin().await;
        let toml = format!(
            "{}{}{more}\n{rest}",
            listener(pair.listener_tls()),
            forward(names, pair, origin.address())
        );
        Self { relay: Relay::start(&toml).await, origin, pair }
    }

    pub async fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for pair in Pair::ALL {
            all.push(Self::new(pair).await);
        }
        all
    }

    /// A client and the origin's end of its connection, all handshakes done.
    pub async fn open(&self) -> (Peer, Peer) {
        tokio::join!(self.connect(), self.origin.accept())
    }

    pub async fn connect(&self) -> Peer {
        if self.pair.client_tls() {
            connect_tls(self.relay.address()).await
        } else {
            connect_plain(self.relay.address()).await
        }
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pair.fmt(out)
    }
}

/// A tcp listener at any port.
pub fn listener(tls: bool) -> String {
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n";
    format!("{listener}{}", if tls { listener_keys() } else { String::new() })
}

/// A relay with a tcp listener and an http listener, both with `more` keys, before one origin.
pub fn two_listeners(origin: &Origin, more: &str, sends: &str) -> Setup {
    let address = origin.address();
    let toml = format!(
        "{}{more}[[listener]]\naddress = \"127.0.0.1:0\"\n{more}\
         [[forward]]\nserver_name = \"*\"\nupstream = \"tcp://{address}\"\n{sends}\
         [[route]]\npath = \"/gpt/\"\nupstream = \"http://{address}/\"\n{sends}",
        listener(false)
    );
    Relay::start(&toml)
}

/// A forward of `names` to `origin`.
pub fn forward(names: &str, pair: Pair, origin: SocketAddr) -> String {
    let forward = format!("[[forward]]\nserver_name = \"{names}\"\n");
    if matches!(pair, Pair::PlainToTls | Pair::TlsToTls) {
        let ca = certificate_file("ca.pem");
        let upstream = format!("upstream = \"tls://api.openai.test:{}\"\n", origin.port());
        format!("{forward}{upstream}connect = \"{origin}\"\nca = {ca:?}\n")
    } else {
        format!("{forward}upstream = \"tcp://{origin}\"\n")
    }
}

/// The first flight of a TLS client that asks for `name`.
pub fn hello(name: &'static str) -> Vec<u8> {
    let name = ServerName::try_from(name).unwrap();
    let mut client = ClientConnection::new(client_config(ALL_VERSIONS), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Asserts that the connection gets this fatal alert, in plaintext, and then a proper end.
pub async fn expect_alert(client: &mut Peer, description: u8) {
    let (bytes, end) = client.read_to_end().await;
    let want = [21, 3, 3, 0, 2, 2, description];
    assert_eq!((&*bytes, end), (&want[..], End::Clean));
}

/// Connects without waiting for anything; for listeners that may close at once.
pub async fn connect(relay: &Relay) -> Peer {
    within("a connection", connect_plain(relay.address())).await
}
