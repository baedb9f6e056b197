//! The names that https listeners serve: [`https_names`], for listeners that lead there.

use super::check_domains::serves_https;
use super::identifier::Identifier;
use super::keys::listener::ListenerConfig;
use super::keys::top::Config;
use super::tls_files::TlsFiles;
use crate::gateway::redirect::HttpsNames;
use crate::tls::identity::Identity;

/// The ports of http and https (RFC 9110, sections 4.2.1 and 4.2.2).
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The names of all https listeners: those that certificates are ordered for, and all of those in
/// the certificates that were loaded.
pub(super) fn https_names(config: &Config, loaded: &TlsFiles<'_>) -> HttpsNames {
    let mut leading = config.listeners.iter().filter(|it| it.redirect);
    // To a port that the kernel chooses, nothing is mapped.
    let is_mapped = !leading.any(|it| it.sockets().any(|it| [0, HTTP_PORT].contains(&it.port())));
    let mut names = HttpsNames::new(is_mapped);
    for listener in config.listeners.iter().filter(|it| serves_https(config, it)) {
        let port = port(listener);
        let ordered = listener.domains.iter().map(Identifier::to_string);
        let own = listener.certificates.iter().filter_map(|files| loaded.loaded(files));
        for name in ordered.chain(own.flat_map(Identity::every_name)) {
            names.add(&name, port);
        }
    }
    names
}

/// Of several ports that of https, if it is one of them.
fn port(listener: &ListenerConfig) -> u16 {
    let ports = || listener.sockets().map(|it| it.port());
    ports().find(|it| *it == HTTPS_PORT).or_else(|| ports().next()).unwrap_or(HTTPS_PORT)
}

#[cfg(all(test, feature = "acme"))]
mod tests {
    use super::*;
    use crate::acme::pem;
    use crate::config::testing::{MINIMAL, read};
    use crate::tls::testing::pem::Folder;

    #[test]
    fn clients_are_led_to_every_name_of_a_certificate_however_many_it_has() {
        let names: Vec<_> = (0..150).map(|it| format!("n{it}.example")).collect();
        let own = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let folder = Folder::new();
        let certificate = folder.write("own.pem", pem::encode("CERTIFICATE", own.cert.der()));
        let key = pem::encode("PRIVATE KEY", &own.signing_key.serialize_der());
        let key = folder.write("own.key", key);
        let keys = format!("8080\"\ncertificate = {certificate:?}\nkey = {key:?}\n");
        let config = read(&MINIMAL.replacen("8080\"\n", &keys, 1)).unwrap();
        let mut files = TlsFiles::new(None);
        files.identities(&config.listeners[0], None, &config.acme.directory);
        let mut want = HttpsNames::new(true);
        names.iter().for_each(|name| want.add(name, 8080));
        assert_eq!(https_names(&config, &files), want);
    }

    #[test]
    fn ports_are_mapped_if_no_listener_that_leads_to_https_has_port_80() {
        for (ports, is_mapped) in
            [("\":8080\"", true), ("[\":8080\", \":80\"]", false), ("\":0\"", false)]
        {
            let listener = format!("[[listener]]\naddress = {ports}\nredirect = true\n");
            let https = MINIMAL.replacen("8080\"\n", "8443\"\ndomains = \"a.example\"\n", 1);
            let config = read(&format!("{https}{listener}")).unwrap();
            let mut want = HttpsNames::new(is_mapped);
            want.add("a.example", 8443);
            assert_eq!(https_names(&config, &TlsFiles::new(None)), want, "{ports}");
        }
    }
}
