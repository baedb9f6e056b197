//! PEM files into rustls configurations: [`server_config`] for listeners, [`client_config`] for
//! upstreams.
//!
//! TLS 1.2 and 1.3 through AWS-LC, ALPN `http/1.1`. Upstreams are always verified:
//! there is no way to ask otherwise, because a request carries the API key to whoever answers.
//! The provider is named explicitly, so that nothing depends on a process-wide default.
//!
//! The only user of rustls-pemfile: a thin layer over the parser in rustls-pki-types, archived by
//! its authors because the parser moved there.

use rustls_pemfile::Item;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{self, Ticketer};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{
    CipherSuite, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
};

/// Longest PEM file, in bytes. The bundle of all public roots is a quarter of it.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;
/// Servers whose sessions one client configuration remembers: the upstreams of one relay.
const CLIENT_SESSIONS_MAX: usize = 32;
/// Session tickets per TLS 1.3 handshake with a client. rustls sends two; clients that resume
/// hold on to one connection, and each ticket costs us an encryption and a record.
const TICKETS_PER_HANDSHAKE: usize = 1;
/// The protocol we speak (RFC 7301).
const ALPN: &[u8] = b"http/1.1";
/// What a client may offer instead.
const ALPN_HTTP_10: &[u8] = b"http/1.0";

/// Why credentials cannot be used. Displays as one line that names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be opened or read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than [`PEM_BYTES_MAX`].
    TooLong(PathBuf),
    /// A section of the file is damaged.
    NotPem(PathBuf, String),
    /// No `CERTIFICATE` section.
    NoCertificate(PathBuf),
    /// A certificate that cannot be parsed.
    BadCertificate(PathBuf, rustls::Error),
    /// No private key section.
    NoKey(PathBuf),
    /// More than one private key: which of them is meant cannot be told.
    SeveralKeys(PathBuf),
    /// The private key is protected by a passphrase, and there is no one to ask for it.
    EncryptedKey(PathBuf),
    /// A private key of a kind that we cannot sign with, or a damaged one.
    UnusableKey(PathBuf),
    /// The private key belongs to another certificate.
    Mismatch {
        /// Where the certificate came from.
        certificate: PathBuf,
        /// Where the key came from.
        key: PathBuf,
    },
    /// The system gave no random bytes, or rustls refuses its own settings.
    Tls(rustls::Error),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(f, "{file:?} cannot be read: {error}"),
            Self::TooLong(file) => write!(f, "{file:?} is longer than {PEM_BYTES_MAX} bytes"),
            Self::NotPem(file, what) => write!(f, "{file:?} is not PEM: {}", one_line(what)),
            Self::NoCertificate(file) => {
                write!(f, "{file:?} holds no certificate; a PEM section CERTIFICATE is needed")
            }
            Self::BadCertificate(file, error) => {
                let error = one_line(&error.to_string());
                write!(f, "{file:?} holds a certificate that cannot be used: {error}")
            }
            Self::NoKey(file) => {
                write!(f, "{file:?} holds no private key; a PEM section PRIVATE KEY is needed")
            }
            Self::SeveralKeys(file) => {
                write!(f, "{file:?} holds several private keys; one is allowed")
            }
            Self::EncryptedKey(file) => write!(
                f,
                "{file:?} holds a key protected by a passphrase; one without is allowed \
                 (openssl pkey -in FILE -out NEWFILE)"
            ),
            Self::UnusableKey(file) => write!(
                f,
                "{file:?} holds a key of an unknown kind; RSA (2048 to 8192 bits), \
                 ECDSA (P-256, P-384, P-521) and Ed25519 are allowed"
            ),
            Self::Mismatch { certificate, key } => {
                write!(f, "the key {key:?} does not belong to the certificate {certificate:?}")
            }
            Self::Tls(error) => write!(f, "TLS cannot be set up: {}", one_line(&error.to_string())),
        }
    }
}

impl std::error::Error for CredentialError {}

/// A certificate chain from a file: the server's own certificate first.
#[derive(Clone, Debug)]
pub struct Chain {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Reads all certificates of a PEM file; other sections are skipped, so that a file which
    /// also holds the key is fine.
    ///
    /// # Errors
    ///
    /// The file is unreadable, not PEM, or holds no certificate.
    pub fn read(file: &Path) -> Result<Self, CredentialError> {
        let items = parse_pem(file, &read_pem(file)?)?;
        let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
        if certificates.is_empty() {
            return Err(CredentialError::NoCertificate(file.into()));
        }
        Ok(Self { file: file.into(), certificates })
    }
}

/// A private key from a file.
#[derive(Debug)]
pub struct Key {
    file: PathBuf,
    key: PrivateKeyDer<'static>,
}

impl Key {
    /// Reads the private key of a PEM file; other sections are skipped.
    ///
    /// # Errors
    ///
    /// The file is unreadable, not PEM, or does not hold exactly one key in the clear.
    pub fn read(file: &Path) -> Result<Self, CredentialError> {
        let pem = read_pem(file)?;
        let mut keys = parse_pem(file, &pem)?.into_iter().filter_map(private_key);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(Self { file: file.into(), key }),
            (Some(_), Some(_)) => Err(CredentialError::SeveralKeys(file.into())),
            (None, _) if holds(&pem, "BEGIN ENCRYPTED PRIVATE KEY") => {
                Err(CredentialError::EncryptedKey(file.into()))
            }
            (None, _) => Err(CredentialError::NoKey(file.into())),
        }
    }
}

/// What is spoken inside of TLS, as far as the handshake can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inside {
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
/// The certificate cannot be parsed, the key is of a kind we cannot sign with, or they do not
/// belong together.
pub fn server_config(
    chain: Chain,
    key: Key,
    inside: Inside,
) -> Result<Arc<ServerConfig>, CredentialError> {
    let signer = PROVIDER.key_provider.load_private_key(key.key.clone_key());
    if signer.is_err() {
        return Err(CredentialError::UnusableKey(key.file));
    }
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(CredentialError::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain.certificates, key.key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CredentialError::Mismatch { certificate: chain.file, key: key.file }
            }
            error => CredentialError::BadCertificate(chain.file, error),
        })?;
    config.alpn_protocols = match inside {
        // A client that speaks HTTP/1.0 may say so (RFC 7301, section 6), and would be refused
        // without a word of it here; in HTTP itself the request's own version counts.
        Inside::Http => vec![ALPN.to_vec(), ALPN_HTTP_10.to_vec()],
        Inside::Anything => Vec::new(),
    };
    // Many clients list AES-256 first, out of habit, and would undo the order of `PROVIDER`. The
    // price: one that lists ChaCha20 first, for want of AES instructions, gets AES-128, too.
    // rustls cannot prefer ChaCha20 for such clients alone.
    config.ignore_client_order = true;
    // Without a ticketer rustls sends no TLS 1.3 tickets to be resumed by any worker.
    config.ticketer = Ticketer::new().map_err(CredentialError::Tls)?;
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    Ok(Arc::new(config))
}

/// Whom we believe to be an upstream: the built-in roots, or those in the file `ca` alone.
/// Verification is always on; sessions are remembered in the configuration.
///
/// # Errors
///
/// `ca` is unreadable, not PEM, or holds no usable certificate.
pub fn client_config(
    ca: Option<&Path>,
    inside: Inside,
) -> Result<Arc<ClientConfig>, CredentialError> {
    let roots = match ca {
        Some(file) => read_roots(file)?,
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
    };
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(CredentialError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match inside {
        Inside::Http => vec![ALPN.to_vec()],
        Inside::Anything => Vec::new(),
    };
    config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// AWS-LC with AES-128 before the other suites. Against rustls's own order, AES-256 with SHA-384,
/// that saves 15 % of a handshake's CPU time and a quarter of bulk's, and nobody breaks either.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
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

fn read_roots(file: &Path) -> Result<RootCertStore, CredentialError> {
    let mut roots = RootCertStore::empty();
    for certificate in Chain::read(file)?.certificates {
        roots
            .add(certificate)
            .map_err(|error| CredentialError::BadCertificate(file.into(), error))?;
    }
    Ok(roots)
}

fn read_pem(file: &Path) -> Result<Vec<u8>, CredentialError> {
    let unreadable = |error| CredentialError::Unreadable(file.into(), error);
    let mut bytes = Vec::new();
    let reader = File::open(file).map_err(unreadable)?;
    reader.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(CredentialError::TooLong(file.into()));
    }
    Ok(bytes)
}

fn parse_pem(file: &Path, pem: &[u8]) -> Result<Vec<Item>, CredentialError> {
    rustls_pemfile::read_all(&mut &*pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CredentialError::NotPem(file.into(), error.to_string()))
}

fn certificate(item: Item) -> Option<CertificateDer<'static>> {
    if let Item::X509Certificate(certificate) = item { Some(certificate) } else { None }
}

fn private_key(item: Item) -> Option<PrivateKeyDer<'static>> {
    // Item is another crate's, and may grow.
    match item {
        Item::Pkcs1Key(key) => Some(key.into()),
        Item::Pkcs8Key(key) => Some(key.into()),
        Item::Sec1Key(key) => Some(key.into()),
        _ => None,
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

/// Messages of others may hold line breaks; ours are one line.
fn one_line(message: &str) -> String {
    message.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
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
        refuse(Chain::read(Path::new("/dev/zero")), "\"/dev/zero\" is longer than 1048576 bytes");
    }

    #[test]
    fn an_upstream_is_believed_on_the_built_in_roots_or_on_those_of_a_file() {
        let folder = Folder::new();
        assert_eq!(client_config(None, Inside::Http).unwrap().alpn_protocols, [b"http/1.1"]);
        assert!(client_config(Some(&folder.write("ca.pem", CERTIFICATE)), Inside::Http).is_ok());
        let empty = folder.write("empty.pem", "");
        refuse(client_config(Some(&empty), Inside::Http), "empty.pem\" holds no certificate");
    }

    fn server(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, CredentialError> {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("certificate.pem", certificate))?;
        server_config(chain, Key::read(&folder.write("key.pem", key))?, Inside::Http)
    }

    #[track_caller]
    fn refuse<T>(result: Result<T, CredentialError>, why: &str) {
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(why), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
