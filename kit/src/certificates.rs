//! The certificates in `certs/`, and TLS configurations made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{WantsServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};

/// Absolute path of a file in `certs/`.
pub fn certificate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("certs").join(name)
}

/// The keys of a listener that terminates TLS as `localhost`, in the configuration of narrows.
pub fn listener_keys() -> String {
    let (certificate, key) = (certificate_file("server.pem"), certificate_file("server.key"));
    format!("certificate = {certificate:?}\nkey = {key:?}\n")
}

/// A client that trusts `certs/ca.pem` and offers `http/1.1`.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    Arc::new(client_config_offering(versions, &["http/1.1"]))
}

/// As [`client_config`], with another offer of protocols.
pub fn client_config_offering(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> ClientConfig {
    client(versions, protocols, "ca.pem")
}

/// As [`client_config`], but trusts only `certs/{ca}`.
pub fn client_config_trusting(ca: &str) -> Arc<ClientConfig> {
    Arc::new(client(ALL_VERSIONS, &["http/1.1"], ca))
}

/// As [`client_config`], with this group for the key exchange before the others.
pub fn client_config_preferring(group: &'static dyn SupportedKxGroup) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|it| it.name() != group.name());
    provider.kx_groups.insert(0, group);
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots("ca.pem")).with_no_client_auth())
}

/// As [`client_config`], with this cipher suite alone.
pub fn client_config_with_suite(suite: SupportedCipherSuite) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider_of(suite));
    let config = config.with_protocol_versions(&[suite.version()]).unwrap();
    Arc::new(config.with_root_certificates(roots("ca.pem")).with_no_client_auth())
}

/// As [`acceptor`], with this cipher suite alone.
pub fn acceptor_with_suite(name: &str, suite: SupportedCipherSuite) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(provider_of(suite));
    let config = config.with_protocol_versions(&[suite.version()]).unwrap();
    with_certificate(config.with_no_client_auth(), name)
}

/// A server with `certs/{name}.pem` and its key, which accepts `http/1.1`.
pub fn acceptor(name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let config = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    with_certificate(config, name)
}

/// As [`acceptor`] with TLS 1.3, for clients that present a certificate of one of these roots.
pub fn acceptor_for_certified_clients(name: &str, roots: RootCertStore) -> TlsAcceptor {
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = ServerConfig::builder_with_protocol_versions(&[&TLS13]);
    with_certificate(config.with_client_cert_verifier(verifier), name)
}

fn client(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
    ca: &str,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots(ca))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn with_certificate(
    config: ConfigBuilder<ServerConfig, WantsServerCert>,
    name: &str,
) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(certificate_file(&format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(certificate_file(&format!("{name}.key")));
    let mut config = config.with_single_cert(vec![chain.unwrap()], key.unwrap()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

fn provider_of(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![suite];
    provider.into()
}

/// The root in `certs/{ca}`.
pub(crate) fn roots(ca: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate_file(ca)).unwrap()).unwrap();
    roots
}
