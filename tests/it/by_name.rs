//! Several certificates on one port: by the name that a client asks for, and by what it verifies.

use narrows_kit::folder::Folder;
use narrows_kit::issuer::{Issuer, KeyKind, Pair, roots};
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, SupportedProtocolVersion};

/// What a client can do.
#[derive(Clone, Copy)]
struct Client {
    version: &'static SupportedProtocolVersion,
    /// The only kind of keys that it can verify with, if it is not both.
    only: Option<KeyKind>,
    sends_name: bool,
}

const ANY: Client = Client { version: &TLS13, only: None, sends_name: true };
const CLIENTS: [Client; 2] = [ANY, Client { version: &TLS12, ..ANY }];

impl Client {
    fn config(self, issuer: &Issuer) -> Arc<ClientConfig> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(kind) = self.only {
            let all = provider.signature_verification_algorithms;
            let of_kind = |name: &str| match kind {
                KeyKind::Ecdsa => name.starts_with("ECDSA"),
                KeyKind::Rsa => name.starts_with("RSA"),
            };
            let mapping = all.mapping.iter().copied();
            let mapping: Vec<_> =
                mapping.filter(|(scheme, _)| of_kind(scheme.as_str().unwrap_or(""))).collect();
            provider.signature_verification_algorithms =
                WebPkiSupportedAlgorithms { mapping: mapping.leak(), ..all };
        }
        self.config_with(provider, issuer)
    }

    fn config_with(self, provider: CryptoProvider, issuer: &Issuer) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_protocol_versions(&[self.version]).unwrap();
        let config = config.with_root_certificates(roots(&[issuer.root()]));
        let mut config = config.with_no_client_auth();
        config.enable_sni = self.sends_name;
        Arc::new(config)
    }

    /// The certificate that a server presents for this name.
    async fn is_shown(
        self,
        issuer: &Issuer,
        name: &str,
        address: SocketAddr,
    ) -> Result<CertificateDer<'static>, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let handshake = TlsConnector::from(self.config(issuer)).connect(name, tcp);
        let tls = within("the handshake", handshake).await.map_err(|error| error.to_string())?;
        Ok(tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
    }
}

/// A relay with several certificates, in order.
struct Scene {
    issuer: Issuer,
    folder: Folder,
    pairs: Vec<Pair>,
    relay: Relay,
}

impl Scene {
    async fn new(wanted: &[(&[&str], KeyKind)]) -> Self {
        let (issuer, folder) = (Issuer::new("by name"), Folder::new("by-name"));
        let pairs: Vec<_> =
            wanted.iter().map(|(names, kind)| issuer.server(names, *kind)).collect();
        let relay = Relay::start(&toml(&folder, &pairs)).await;
        Self { issuer, folder, pairs, relay }
    }

    /// Which certificate a client is shown for a name that it has.
    async fn shown(&self, client: Client, name: &str) -> usize {
        let shown = client.is_shown(&self.issuer, name, self.relay.address()).await;
        let shown = shown.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.pairs.iter().position(|it| it.der() == shown).expect("one of ours")
    }
}

fn toml(folder: &Folder, pairs: &[Pair]) -> String {
    let files = pairs.iter().enumerate().map(|(number, pair)| {
        let certificate = folder.write(&format!("{number}.pem"), &pair.certificate);
        let key = folder.write(&format!("{number}.key"), &pair.key);
        format!("  {{ certificate = {certificate:?}, key = {key:?} }},\n")
    });
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificates = [\n{}]\n\
         [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n",
        files.collect::<String>()
    )
}

#[tokio::test]
async fn the_exact_name_comes_before_a_wildcard_and_that_before_the_first() {
    use KeyKind::Ecdsa;
    let scene = Scene::new(&[
        (&["first.test", "unknown.test"], Ecdsa),
        (&["*.example.test", "deep.a.example.test"], Ecdsa),
        (&["api.example.test", "*.api.example.test"], Ecdsa),
        (&["*.example.test"], Ecdsa),
    ])
    .await;
    for client in CLIENTS {
        for (name, number) in [
            ("first.test", 0),
            ("api.example.test", 2),
            ("other.example.test", 1),
            ("v1.api.example.test", 2),
            ("deep.a.example.test", 1),
            ("API.Example.test", 2),
        ] {
            assert_eq!(scene.shown(client, name).await, number, "{name}");
        }
        // A wildcard stands for one label, and not for none. The first is for neither name.
        for name in ["a.b.example.test", "example.test", "unknown.other.test"] {
            let shown = client.is_shown(&scene.issuer, name, scene.relay.address()).await;
            assert!(shown.unwrap_err().contains("not valid for name"), "{name}");
        }
        let silent = Client { sends_name: false, ..client };
        assert_eq!(scene.shown(silent, "unknown.test").await, 0);
    }
}

#[tokio::test]
async fn a_client_is_shown_the_kind_of_key_that_it_can_verify() {
    use KeyKind::{Ecdsa, Rsa};
    let scene = Scene::new(&[
        (&["both.test"], Rsa),
        (&["both.test"], Ecdsa),
        (&["rsa.test"], Rsa),
        (&["ecdsa.test"], Ecdsa),
    ])
    .await;
    for client in CLIENTS {
        let (only_rsa, only_ecdsa) =
            (Client { only: Some(Rsa), ..client }, Client { only: Some(Ecdsa), ..client });
        assert_eq!(scene.shown(client, "both.test").await, 1, "ECDSA is smaller and faster");
        assert_eq!(scene.shown(only_rsa, "both.test").await, 0);
        assert_eq!(scene.shown(only_ecdsa, "both.test").await, 1);
        assert_eq!(scene.shown(only_rsa, "rsa.test").await, 2);
        assert_eq!(scene.shown(only_ecdsa, "ecdsa.test").await, 3);
        // No certificate for both the name and the client: a fatal alert, and the next is served.
        for (client, name) in [(only_rsa, "ecdsa.test"), (only_ecdsa, "rsa.test")] {
            client.is_shown(&scene.issuer, name, scene.relay.address()).await.unwrap_err();
        }
        assert_eq!(scene.shown(client, "rsa.test").await, 2);
    }
}

/// Clients send no address as a name (RFC 6066, section 3).
#[tokio::test]
async fn a_client_of_an_address_is_shown_the_certificate_for_it() {
    use KeyKind::Ecdsa;
    let scene = Scene::new(&[
        (&["first.test"], Ecdsa),
        (&["127.0.0.2", "two.test"], Ecdsa),
        (&["127.0.0.1"], Ecdsa),
    ])
    .await;
    for client in CLIENTS {
        assert_eq!(scene.shown(client, "127.0.0.1").await, 2);
        assert_eq!(scene.shown(client, "two.test").await, 1);
        assert_eq!(scene.shown(client, "first.test").await, 0);
    }
}

#[tokio::test]
async fn a_reload_adds_a_certificate_and_a_renewed_one_takes_the_place_of_its_former() {
    use KeyKind::Ecdsa;
    let mut scene = Scene::new(&[(&["first.test"], Ecdsa)]).await;
    let second = scene.issuer.server(&["second.test"], Ecdsa);
    scene.pairs.push(second);
    scene.relay.reload(&toml(&scene.folder, &scene.pairs)).await;
    assert_eq!(scene.shown(ANY, "second.test").await, 1);
    scene.pairs[1] = scene.issuer.server(&["second.test", "third.test"], Ecdsa);
    toml(&scene.folder, &scene.pairs);
    scene.relay.wait_for_log("a file has changed; new connections use what it holds now").await;
    let renewed = async {
        // The worker hears of it at about the same time.
        while ANY.is_shown(&scene.issuer, "third.test", scene.relay.address()).await.is_err() {}
    };
    within("the renewed certificate", renewed).await;
    assert_eq!(scene.shown(ANY, "second.test").await, 1);
    assert_eq!(scene.shown(ANY, "first.test").await, 0);
}

#[tokio::test]
async fn the_last_of_a_thousand_names_is_served_as_the_first() {
    let names: Vec<_> = (0..1000).map(|it| format!("n{it}.example.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let sets: Vec<_> = names.chunks(50).map(|it| (it, KeyKind::Ecdsa)).collect();
    let scene = Scene::new(&sets).await;
    assert_eq!(scene.shown(ANY, "n0.example.test").await, 0);
    assert_eq!(scene.shown(ANY, "n999.example.test").await, 19);
}
