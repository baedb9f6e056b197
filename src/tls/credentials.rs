//! PEM files into rustls configurations: [`server_config`] for listeners, [`client_config`] for
//! upstreams.
//!
//! TLS 1.2 and 1.3 through AWS-LC, ALPN `http/1.1`. Upstreams are always verified:
//! there is no way to ask otherwise, because a request carries the API key to whoever answers.
//! The provider is named explicitly, so that nothing depends on a process-wide default.

use super::contents::Chain;
use super::credential_error::{CertificateFault, CredentialError};
use super::offer::Noting;
use super::own::Own;
use super::verifier::verifier;
use crate::error::TlsFault;
use crate::tls::fault;
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{self, Ticketer};
use tokio_rustls::rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};

/// Servers whose sessions one client configuration remembers: the upstreams of one relay.
const CLIENT_SESSIONS_MAX: usize = 32;
/// Session tickets per TLS 1.3 handshake with a client. rustls sends two; clients that resume
/// hold on to one connection, and each ticket costs us an encryption and a record.
const TICKETS_PER_HANDSHAKE: usize = 1;
/// The protocol we speak (RFC 7301).
const ALPN: &[u8] = b"http/1.1";
/// What a client may offer instead.
const ALPN_HTTP_10: &[u8] = b"http/1.0";

/// What is spoken inside of TLS, as far as the handshake can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1, and no other protocol (ALPN).
    Http,
    /// Whatever both ends agree on later. No protocol is offered, and none is chosen of those that
    /// a client offers: we could only guess what the other end speaks.
    Anything,
}

/// What a listener shows to its clients: TLS 1.2 and 1.3, session tickets, no client
/// certificates.
///
/// # Errors
///
/// TLS has no use for the certificate.
pub fn server_config(own: &Own, alpn: Alpn) -> Result<Arc<ServerConfig>, CredentialError> {
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| {
            let fault = CertificateFault::Refused(fault::of_rustls(&error));
            CredentialError::BadCertificate(own.file.clone(), own.line, fault)
        })?;
    config.alpn_protocols = match alpn {
        // A client that speaks HTTP/1.0 may say so (RFC 7301, section 6), and would be refused
        // without a word of it here; in HTTP itself the request's own version counts.
        Alpn::Http => vec![ALPN.to_vec(), ALPN_HTTP_10.to_vec()],
        Alpn::Anything => Vec::new(),
    };
    // Many clients list AES-256 first, out of habit, and would undo the order of `PROVIDER`. The
    // price: one that lists ChaCha20 first, for want of AES instructions, gets AES-128, too.
    // rustls cannot prefer ChaCha20 for such clients alone.
    config.ignore_client_order = true;
    config.cert_resolver = Arc::new(Noting(Arc::clone(&config.cert_resolver)));
    // Without a ticketer rustls sends no TLS 1.3 tickets to be resumed by any worker.
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    Ok(Arc::new(config))
}

/// Whom we believe to be an upstream: the built-in roots, or those in `ca` alone.
/// Verification is always on; sessions are remembered in the configuration.
///
/// # Errors
///
/// TLS has no use for a certificate in `ca`.
pub fn client_config(ca: Option<&Chain>, alpn: Alpn) -> Result<Arc<ClientConfig>, CredentialError> {
    let config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()?;
    let mut config = match ca {
        None => {
            let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            config.with_root_certificates(roots)
        }
        Some(chain) => {
            let named = chain.certificates.iter().map(|(_, certificate)| certificate);
            let verifier = verifier(roots_of(chain)?, named, PROVIDER.clone());
            // A chain has a certificate at least.
            let verifier = verifier.map_err(|_| CredentialError::Tls(TlsFault::Other))?;
            config.dangerous().with_custom_certificate_verifier(verifier)
        }
    }
    .with_no_client_auth();
    config.alpn_protocols = match alpn {
        Alpn::Http => vec![ALPN.to_vec()],
        Alpn::Anything => Vec::new(),
    };
    config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// AWS-LC with AES-128 before the other suites. Against rustls's own order, AES-256 with SHA-384,
/// that saves 15 % of a handshake's CPU time and a quarter of bulk's, and nobody breaks either.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    // AWS-LC seeds itself with its first random bytes, which takes some 40 ms: spent here, at
    // start, and not in the first handshake. A failure will show there, with someone to tell.
    let _seeded = provider.secure_random.fill(&mut [0]);
    Arc::new(provider)
});

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

fn roots_of(chain: &Chain) -> Result<RootCertStore, CredentialError> {
    let mut roots = RootCertStore::empty();
    for (line, certificate) in &chain.certificates {
        roots.add(certificate.clone()).map_err(|error| {
            let fault = CertificateFault::Refused(fault::of_rustls(&error));
            CredentialError::BadCertificate(chain.file.clone(), *line, fault)
        })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::contents::Key;
    use crate::tls::test_pem::{
        CERTIFICATE, ENCRYPTED_KEY, Folder, KEY, KEY_OF_ANOTHER, KEY_OF_UNKNOWN_KIND,
    };

    #[test]
    fn a_certificate_and_its_key_make_a_server() {
        let config = server(CERTIFICATE, KEY).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1", b"http/1.0"]);
        assert!(config.ticketer.enabled());
        assert_eq!(config.send_tls13_tickets, 1);
    }

    #[test]
    fn one_file_may_hold_both_the_certificate_and_the_key() {
        let both = format!("text before\n{CERTIFICATE}{KEY}");
        assert!(server(&both, &both).is_ok());
    }

    #[test]
    fn aes_128_comes_first_in_both_versions() {
        let suites = PROVIDER.cipher_suites.iter().map(|suite| suite.suite());
        let suites: Vec<_> = suites.collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites.iter().position(|suite| !is_aes_128(*suite)), Some(3));
        assert_eq!(suites.len(), aws_lc_rs::default_provider().cipher_suites.len());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        refuse(server(CERTIFICATE, KEY_OF_ANOTHER), "key.pem\" does not belong to the certificate");
    }

    #[test]
    fn a_file_without_the_right_section_is_refused() {
        refuse(server("", KEY), "certificate.pem\" holds no certificate");
        refuse(server(KEY, KEY), "certificate.pem\" holds no certificate");
        refuse(server(CERTIFICATE, ""), "key.pem\" holds no private key");
        refuse(server(CERTIFICATE, CERTIFICATE), "key.pem\" holds no private key");
    }

    #[test]
    fn two_keys_in_one_file_are_refused() {
        let two = format!("{KEY}{KEY_OF_ANOTHER}");
        refuse(server(CERTIFICATE, &two), "key.pem\" holds several private keys");
    }

    #[test]
    fn a_key_with_a_passphrase_is_refused_as_such() {
        refuse(server(CERTIFICATE, ENCRYPTED_KEY), "key.pem\" holds a key protected");
    }

    #[test]
    fn a_key_that_cannot_sign_for_tls_is_refused() {
        refuse(
            server(CERTIFICATE, KEY_OF_UNKNOWN_KIND),
            "key.pem\" holds a key of an unknown kind",
        );
    }

    #[test]
    fn damaged_pem_is_refused() {
        refuse(
            server(&CERTIFICATE.replace("-----END", "END"), KEY),
            "certificate.pem\" is not PEM",
        );
        refuse(server(&CERTIFICATE.replace('M', "*"), KEY), "certificate.pem\" is not PEM");
    }

    #[test]
    fn a_certificate_that_is_none_is_refused() {
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        refuse(server(nonsense, KEY), "certificate.pem\" holds a certificate that cannot be used");
    }

    #[test]
    fn a_file_that_is_missing_or_endless_is_refused() {
        let folder = Folder::new();
        refuse(Chain::read(&folder.path("none.pem")), "none.pem\" cannot be read: ");
        refuse(Key::read(&folder.path("none.pem")), "none.pem\" cannot be read: ");
        refuse(Chain::read("/dev/zero".as_ref()), "\"/dev/zero\" is longer than 1048576 bytes");
    }

    #[test]
    fn an_upstream_is_believed_on_the_built_in_roots_or_on_those_of_a_file() {
        let folder = Folder::new();
        assert_eq!(client_config(None, Alpn::Http).unwrap().alpn_protocols, [b"http/1.1"]);
        let ca = Chain::read(&folder.write("ca.pem", CERTIFICATE)).unwrap();
        assert!(client_config(Some(&ca), Alpn::Http).is_ok());
        let empty = folder.write("empty.pem", "");
        refuse(Chain::read(&empty), "empty.pem\" holds no certificate");
    }

    fn server(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, CredentialError> {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("certificate.pem", certificate))?;
        let own = Own::new(chain, Key::read(&folder.write("key.pem", key))?)?;
        server_config(&own, Alpn::Http)
    }

    #[track_caller]
    fn refuse<T>(result: Result<T, CredentialError>, why: &str) {
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(why), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
