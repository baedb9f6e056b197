//! For tests: certificates and keys as text and from `certs/`, folders to put them in, and
//! handshakes in memory.

pub(crate) mod chain;
pub(crate) mod memory;
pub(crate) mod pem;

use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::identity::Identity;
use std::path::Path;

/// `certs/{name}.pem` with its key.
pub(crate) fn identity(name: &str) -> Identity {
    let file = |kind| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("certs/{name}.{kind}"));
    let key = PrivateKey::read(&file("key")).unwrap();
    Identity::new(Chain::read(&file("pem")).unwrap(), key).unwrap()
}
