//! For tests: certificates and keys as text and from `certs/`, folders to put them in, and
//! handshakes in memory.

pub(crate) mod chain;
pub(crate) mod few_records;
pub(crate) mod memory;
pub(crate) mod pem;

use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::identity::Identity;
use std::path::Path;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// `certs/{name}.pem` and its key, as DER.
pub(crate) fn der_of(name: &str) -> (Vec<u8>, Vec<u8>) {
    let file = |kind| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("certs/{name}.{kind}"));
    let certificate = CertificateDer::from_pem_file(file("pem")).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_file(file("key")).unwrap();
    (certificate.to_vec(), key.secret_pkcs8_der().to_vec())
}

/// `certs/{name}.pem` with its key.
pub(crate) fn identity(name: &str) -> Identity {
    let file = |kind| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("certs/{name}.{kind}"));
    let key = PrivateKey::read(&file("key")).unwrap();
    Identity::new(Chain::read(&file("pem")).unwrap(), key).unwrap()
}
