//! The names that https listeners serve: [`https_names`], for listeners that lead there.

use super::check_domains::serves_https;
use super::credentials::CredentialFiles;
use super::identifier::Identifier;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::own_certificate::OwnCertificate;
use crate::gateway::redirect::HttpsNames;

/// The port of https (RFC 9110, section 4.2.2).
const PORT: u16 = 443;

/// The names of all https listeners: those that certificates are ordered for, and those in
/// `certificates`.
pub(super) fn https_names(config: &Config, certificates: &[OwnCertificate]) -> HttpsNames {
    let mut names = HttpsNames::default();
    for listener in config.listeners.iter().filter(|it| serves_https(config, it)) {
        let port = port(listener);
        let ordered = listener.domains.iter().map(Identifier::to_string);
        let files = listener.certificates.iter();
        let loaded =
            |it: &CredentialFiles| certificates.iter().find(|own| own.file == it.certificate.path);
        let own = files.filter_map(loaded);
        for name in ordered.chain(own.flat_map(|own| own.names.clone())) {
            names.add(&name, port);
        }
    }
    names
}

/// Of several ports that of https, if it is one of them.
fn port(listener: &ListenerConfig) -> u16 {
    let ports = || listener.sockets().map(|it| it.port());
    ports().find(|it| *it == PORT).or_else(|| ports().next()).unwrap_or(PORT)
}
