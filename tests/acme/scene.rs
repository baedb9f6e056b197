//! A certificate authority, narrows that orders from it, and clients who trust it alone.

use narrows_kit::acme::forward::Forward;
use narrows_kit::acme::pebble::{Options, Pebble};
use narrows_kit::acme::{Directory, Rules};
use narrows_kit::certificates::certificate_file;
use narrows_kit::client::connect_tls_with;
use narrows_kit::folder::Folder;
use narrows_kit::issuer::roots;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::{Relay, Setup};
use narrows_kit::within;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;

pub(crate) const NAME: &str = "api.example.com";
pub(crate) const OTHER: &str = "b.example.net";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who issues.
pub(crate) enum Authority {
    Kit(Directory, [Forward; 2]),
    Pebble(Pebble),
}

impl Authority {
    /// Both of them, or one where Pebble is not installed.
    pub(crate) async fn all() -> Vec<Self> {
        let pebble = Pebble::start(Options::default()).await.map(Self::Pebble);
        [Some(Self::kit(Rules::default()).await), pebble].into_iter().flatten().collect()
    }

    pub(crate) async fn kit(rules: Rules) -> Self {
        let ways = [Forward::new().await, Forward::new().await];
        let tls_alpn_port = Some(ways[0].port());
        let http_port = Some(ways[1].port());
        Self::Kit(Directory::start(Rules { tls_alpn_port, http_port, ..rules }).await, ways)
    }

    fn url(&self) -> String {
        match self {
            Self::Kit(directory, _) => directory.url(),
            Self::Pebble(pebble) => pebble.url().to_owned(),
        }
    }

    fn root(&self) -> &str {
        match self {
            Self::Kit(directory, _) => directory.root(),
            Self::Pebble(pebble) => pebble.root(),
        }
    }

    /// Where it validates, by TLS-ALPN-01 and by HTTP-01.
    pub(crate) fn ways(&self) -> [&Forward; 2] {
        match self {
            Self::Kit(_, [tls_alpn, http]) => [tls_alpn, http],
            Self::Pebble(pebble) => [&pebble.tls_alpn, &pebble.http],
        }
    }
}

/// An authority, a state directory and an origin, for one relay after another.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) origin: Origin,
    pub(crate) folder: Folder,
    /// Further keys of the table `acme`.
    pub(crate) keys: String,
    trust: Arc<ClientConfig>,
}

impl Scene {
    pub(crate) async fn new(authority: Authority) -> Self {
        let trust = ClientConfig::builder().with_root_certificates(roots(&[authority.root()]));
        let mut trust = trust.with_no_client_auth();
        // Each handshake shows a certificate.
        trust.resumption = Resumption::disabled();
        trust.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            authority,
            origin: Origin::plain().await,
            folder: Folder::new("acme"),
            keys: String::new(),
            trust: Arc::new(trust),
        }
    }

    pub(crate) async fn kit(rules: Rules) -> Self {
        Self::new(Authority::kit(rules).await).await
    }

    /// The authority of the kit.
    pub(crate) fn ca(&self) -> &Directory {
        match &self.authority {
            Authority::Kit(directory, _) => directory,
            Authority::Pebble(_) => panic!("this is Pebble"),
        }
    }

    /// The state directory. It does not exist before narrows makes it.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path.join("state")
    }

    /// An HTTPS listener for these names, a plain one beside it, and a route to the origin.
    pub(crate) fn toml(&self, names: &[&str]) -> String {
        format!(
            "[acme]\nstate = {:?}\ndirectory = \"{}\"\nca = {:?}\n{}\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ndomains = {names:?}\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\nredirect = true\n\
             [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
            self.state(),
            self.authority.url(),
            certificate_file("ca.pem"),
            self.keys,
            self.origin.address()
        )
    }

    pub(crate) fn setup(&self, names: &[&str]) -> Setup {
        Relay::start(&self.toml(names))
    }

    /// Starts narrows, and lets the authority find it.
    pub(crate) async fn start(&self, names: &[&str]) -> Relay {
        self.found(self.setup(names).await)
    }

    /// Lets the authority find it.
    pub(crate) fn found(&self, relay: Relay) -> Relay {
        self.lead_to(&relay);
        relay
    }

    pub(crate) fn lead_to(&self, relay: &Relay) {
        let [tls_alpn, http] = self.authority.ways();
        tls_alpn.lead_to(relay.addresses()[0]);
        http.lead_to(relay.addresses()[1]);
    }

    /// Starts narrows, and waits for its certificate.
    pub(crate) async fn served(&self, names: &[&'static str]) -> Relay {
        let relay = self.start(names).await;
        relay.wait_for_log("a certificate was issued").await;
        for name in names {
            drop(self.connected(&relay, name).await);
        }
        relay
    }

    /// A client of this name or address, or why its handshake failed.
    pub(crate) async fn connect(&self, relay: &Relay, name: &'static str) -> io::Result<Peer> {
        connect_tls_with(&self.trust, name, relay.address()).await
    }

    /// The same as soon as it is let in: a worker hears of a certificate a little after the log.
    pub(crate) async fn connected(&self, relay: &Relay, name: &'static str) -> Peer {
        let connected = async {
            loop {
                if let Ok(client) = self.connect(relay, name).await {
                    return client;
                }
            }
        };
        within("a certificate to be served", connected).await
    }

    /// Asserts that a client of this name gets an answer of the origin.
    pub(crate) async fn expect_ok(&self, relay: &Relay, name: &'static str) {
        let mut client = self.connect(relay, name).await.expect("the handshake of the client");
        client.send("GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = self.origin.accept().await;
        upstream.read_head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        let (head, body) = client.read_message().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, b"ok");
    }

    /// Asserts that a client of this name is refused by an alert.
    pub(crate) async fn expect_refused(&self, relay: &Relay, name: &'static str) {
        let refused = self.connect(relay, name).await.err().expect("no certificate").to_string();
        assert!(refused.contains("AccessDenied"), "{refused}");
    }
}
