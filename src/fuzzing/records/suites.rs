//! Peers of each cipher suite.

use crate::fuzzing::far_end::{file, name};
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::crypto::aws_lc_rs::kx_group::X25519;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, Connection, KeyLog, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite,
};

/// Of TLS 1.3, then of TLS 1.2.
pub(super) fn suites() -> [SupportedCipherSuite; 6] {
    [
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
}

/// A peer of the relay that speaks only `suite`: a client, or a server without tickets. It keeps
/// no session, so that each handshake is whole.
pub(super) fn peer(suite: SupportedCipherSuite, is_client: bool) -> Connection {
    let position = suites().iter().position(|it| *it == suite).expect("one of the suites");
    let (server, client) = &CONFIGS[position];
    match is_client {
        true => ClientConnection::new(Arc::clone(client), name()).expect("a client").into(),
        false => ServerConnection::new(Arc::clone(server)).expect("a server").into(),
    }
}

/// The first traffic secrets of the client and of the server in the last handshake of TLS 1.3 on
/// this thread.
pub(super) fn last_secrets() -> (Vec<u8>, Vec<u8>) {
    LAST_SECRETS.with_borrow(Clone::clone)
}

type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

static CONFIGS: LazyLock<Vec<Configs>> = LazyLock::new(|| suites().map(configs).to_vec());

thread_local! {
    static LAST_SECRETS: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

fn configs(suite: SupportedCipherSuite) -> Configs {
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    provider.kx_groups = vec![X25519];
    let (provider, versions) = (Arc::new(provider), [suite.version()]);
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&versions).expect("a version");
    let builder = builder.with_no_client_auth();
    let mut server =
        builder.with_single_cert(certificates("server.pem"), key).expect("an identity");
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.enable_secret_extraction = true;
    server.key_log = Arc::new(Secrets);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];

    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem"));
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&versions).expect("a version");
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    client.enable_secret_extraction = true;
    client.key_log = Arc::new(Secrets);
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    (Arc::new(server), Arc::new(client))
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(file(name)).expect("a file");
    certificates.map(|it| it.expect("a certificate")).collect()
}

/// Keeps the traffic secrets of this thread.
#[derive(Debug)]
struct Secrets;

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        LAST_SECRETS.with_borrow_mut(|(client, server)| match label {
            "CLIENT_TRAFFIC_SECRET_0" => *client = secret.to_vec(),
            "SERVER_TRAFFIC_SECRET_0" => *server = secret.to_vec(),
            _ => {}
        });
    }
}
