//! Mutual TLS: clients that have to show a certificate, and upstreams that ask for ours.

use crate::support::stage::{GET, OK_LAST};
use narrows_kit::certificates::{certificate_file, listener_keys};
use narrows_kit::client::{connect_plain, connect_tls_with};
use narrows_kit::connection::Connection;
use narrows_kit::folder::Folder;
use narrows_kit::issuer::{Issuer, KeyKind, Pair, Wanted, roots};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::sync::Arc;
use std::{fs, io};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A relay that lets clients of one issuer in.
struct Scene {
    issuer: Issuer,
    folder: Folder,
    relay: Relay,
}

impl Scene {
    /// With a list of revoked certificates, if `revoked` is there.
    async fn new(issuer: Issuer, revoked: Option<&[&Pair]>) -> Self {
        let folder = Folder::new("clients");
        let ca = folder.write("clients.pem", issuer.root());
        let mut rules = format!("client_ca = {ca:?}\n");
        if let Some(revoked) = revoked {
            let list = folder.write("clients.crl", issuer.revocation_list(revoked));
            rules += &format!("client_crl = {list:?}\n");
        }
        let relay = Relay::start(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{}{rules}\
             [[route]]\npath = \"/gpt/\"\nupstream = \"http://127.0.0.1:9/\"\n",
            listener_keys(),
        ));
        Self { relay: relay.await, issuer, folder }
    }

    fn client(&self, name: &str) -> Pair {
        self.issuer.client(Wanted { common_name: Some(name), ..Wanted::default() })
    }

    /// Connects and asks; with TLS 1.3 a client learns only then whether it is let in.
    async fn ask(&self, config: &Arc<ClientConfig>) -> io::Result<HandshakeKind> {
        let tcp = TcpStream::connect(self.relay.address()).await?;
        let mut client = Connection::over_tls(tcp, config).await?;
        client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let head = within("an answer, or an end", client.read_head()).await?;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        Ok(client.wire.tls().unwrap().get_ref().1.handshake_kind().unwrap())
    }
}

fn config(version: &'static SupportedProtocolVersion, pair: Option<&Pair>) -> Arc<ClientConfig> {
    let ca = fs::read_to_string(certificate_file("ca.pem")).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots(&[&ca]));
    Arc::new(match pair {
        None => config.with_no_client_auth(),
        Some(pair) => config.with_client_auth_cert(vec![pair.der()], pair.private_key()).unwrap(),
    })
}

#[tokio::test]
async fn others_are_refused_and_the_log_says_why() {
    let issuer = Issuer::new("clients");
    let revoked = issuer.client(Wanted { common_name: Some("mallory"), ..Wanted::default() });
    let expired = Wanted { common_name: Some("old"), years: (2020, 2021), ..Wanted::default() };
    let expired = issuer.client(expired);
    let foreign = Issuer::new("others").client(Wanted::default());
    let server = issuer.server(&["localhost"], KeyKind::Ecdsa);
    let scene = Scene::new(issuer, Some(&[&revoked])).await;
    for (number, version) in VERSIONS.into_iter().enumerate() {
        for (pair, reason) in [
            (None, "no_certificate"),
            (Some(&revoked), "revoked"),
            (Some(&expired), "expired"),
            (Some(&foreign), "unknown_ca"),
            (Some(&server), "wrong_purpose"),
        ] {
            assert!(scene.ask(&config(version, pair)).await.is_err(), "{reason}");
            let words = format!("cause=\"client_tls_failed\" reason=\"{reason}\"");
            scene.relay.wait_for_log_lines(&words, number + 1).await;
        }
        scene.ask(&config(version, Some(&scene.client("alice")))).await.unwrap();
    }
    let lines = scene.relay.log_lines();
    assert!(!lines.iter().any(|it| it.contains("mallory") || it.contains("\"old\"")), "{lines:#?}");
}

/// With TLS 1.3 its request is on the way by then, and unread bytes would make the end a reset.
#[tokio::test]
async fn a_client_that_is_refused_learns_why() {
    let scene = Scene::new(Issuer::new("clients"), None).await;
    let foreign = Issuer::new("others").client(Wanted::default());
    for version in VERSIONS {
        for (pair, alert) in [(None, "CertificateRequired"), (Some(&foreign), "UnknownCA")] {
            let error = scene.ask(&config(version, pair)).await.unwrap_err().to_string();
            assert!(error.contains(alert), "{error}");
        }
    }
}

#[tokio::test]
async fn the_name_in_a_certificate_is_that_of_the_client_in_the_log() {
    let scene = Scene::new(Issuer::new("clients"), None).await;
    let alice = config(&TLS13, Some(&scene.client("alice \"a\"")));
    scene.ask(&alice).await.unwrap();
    let line = scene.relay.wait_for_log("status=404").await;
    assert!(line.contains(r#" client_name="alice \"a\"" "#), "{line}");
    // Also of a session that is resumed, and in tcp mode.
    assert_eq!(scene.ask(&alice).await.unwrap(), HandshakeKind::Resumed);
    scene.relay.wait_for_log_lines(r#" client_name="alice \"a\"" "#, 2).await;
    let origin = Origin::plain().await;
    let tcp = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n{}client_ca = {:?}\n\
         [[forward]]\nserver_name = \"*\"\nupstream = \"tcp://{}\"\n",
        listener_keys(),
        scene.folder.path.join("clients.pem"),
        origin.address()
    );
    let relay = Relay::start(&tcp).await;
    let connecting = connect_tls_with(&alice, "localhost", relay.address());
    let client = connecting.await.unwrap();
    let upstream = origin.accept().await;
    upstream.close().await;
    client.close().await;
    let line = relay.wait_for_log(" connection ").await;
    assert!(line.contains(r#" client_name="alice \"a\"" "#), "{line}");
}

/// Otherwise a ticket would outlive what it was given for.
#[tokio::test]
async fn who_is_revoked_is_refused_from_then_on_also_with_a_session() {
    let scene = Scene::new(Issuer::new("clients"), Some(&[])).await;
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    for version in VERSIONS {
        scene.folder.write("clients.crl", scene.issuer.revocation_list(&[]));
        let alices = config(version, Some(&alice));
        let let_in = async { while scene.ask(&alices).await.is_err() {} };
        within("alice to be let in", let_in).await;
        assert_eq!(scene.ask(&alices).await.unwrap(), HandshakeKind::Resumed);
        scene.folder.write("clients.crl", scene.issuer.revocation_list(&[&alice]));
        let refused = async { while scene.ask(&alices).await.is_ok() {} };
        within("alice to be refused", refused).await;
        scene.ask(&config(version, Some(&bob))).await.unwrap();
    }
}

#[tokio::test]
async fn an_upstream_is_shown_the_certificate_of_its_route() {
    let (folder, issuer) = (Folder::new("clients"), Issuer::new("clients"));
    let origin = Origin::tls_for_clients_of(&issuer).await;
    let present = |pair: &Pair| {
        folder.write("pem", &pair.certificate);
        folder.write("key", &pair.key);
    };
    present(&issuer.client(Wanted::default()));
    let keys = format!(
        "client_certificate = {:?}\nclient_key = {:?}",
        folder.path.join("pem"),
        folder.path.join("key")
    );
    let relay = Relay::plain_to(&origin).with(&keys).await;
    let mut client = connect_plain(relay.address()).await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
    // Another one, of which the origin knows nothing.
    present(&Issuer::new("strangers").client(Wanted::default()));
    relay.wait_for_log("a file has changed; new connections use what it holds now").await;
    let refused = async {
        loop {
            client.send(GET).await;
            match origin.try_accept().await {
                Err(_refused) => return client.read_message().await,
                // The worker hears of it at about the same time.
                Ok(mut upstream) => {
                    upstream.read_head().await;
                    upstream.send(OK_LAST).await;
                    client.read_message().await;
                }
            }
        }
    };
    let (head, _) = within("the new certificate to be shown", refused).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}
