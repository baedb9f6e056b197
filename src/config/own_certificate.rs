//! A certificate that was loaded, in what the operator wants to know of it: [`OwnCertificate`].

use super::credentials::CredentialFiles;
use super::keys::top::Config;
use super::problem::Location;
use crate::tls::identity::Identity;
use crate::tls::validity::Validity;
use std::sync::Arc;

/// A certificate that clients are shown.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// Where it is named.
    pub location: Location,
    /// Whom it is for: DNS names and addresses, or else its common name. Printable ASCII, at most
    /// 100 of at most 253 bytes; none if it has none of that kind.
    pub names: Vec<String>,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// When it is valid, with its chain.
    pub validity: Arc<Validity>,
}

impl OwnCertificate {
    pub(super) fn of(own: &Identity, location: &Location) -> Self {
        Self {
            location: location.clone(),
            names: own.names.clone(),
            not_after: own.validity.not_after(),
            validity: Arc::clone(&own.validity),
        }
    }
}

/// The certificate that was loaded from `files`. Files that several listeners name are loaded for
/// the first of them.
pub(super) fn of_files<'a>(
    config: &Config,
    certificates: &'a [OwnCertificate],
    files: &CredentialFiles,
) -> Option<&'a OwnCertificate> {
    let same = config.listeners.iter().flat_map(|it| &it.certificates).filter(|it| *it == files);
    let mut places = same.map(|it| &it.certificate.location);
    places.find_map(|place| certificates.iter().find(|it| it.location == *place))
}
