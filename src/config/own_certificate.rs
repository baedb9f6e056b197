//! A certificate that was loaded, in what the operator wants to know of it: [`OwnCertificate`].

use super::problem::Location;
use super::value::NamedFile;
use crate::tls::identity::Identity;
use crate::tls::validity::Validity;
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate that clients are shown.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// Where it is named.
    pub location: Location,
    /// Its file.
    pub file: PathBuf,
    /// Whom it is for: DNS names and addresses, or else its common name. Printable ASCII, at most
    /// 100 of at most 253 bytes; none if it has none of that kind.
    pub names: Vec<String>,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// When it is valid, with its chain.
    pub validity: Arc<Validity>,
}

impl OwnCertificate {
    pub(super) fn of(own: &Identity, file: &NamedFile) -> Self {
        Self {
            location: file.location.clone(),
            file: file.path.clone(),
            names: own.names.clone(),
            not_after: own.validity.not_after(),
            validity: Arc::clone(&own.validity),
        }
    }
}
