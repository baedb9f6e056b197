//! The listeners that the arguments mean.

use crate::config::credentials::CredentialFiles;
use crate::config::identifier::Identifier;
use crate::config::keys::listener::ListenerConfig;
use crate::config::listen_address::ListenAddress;
use crate::config::problem::{Location, Problems};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where to listen if no address is given: loopback only.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The ports of https and http (RFC 9110, section 4.2), where authorities connect to.
const HTTPS: ListenAddress = ListenAddress::Any(443);
const HTTP: ListenAddress = ListenAddress::Any(80);

/// One for each address; with names to order for, one for all, because they share the certificate.
pub(super) fn listeners(
    listen: &[ListenAddress],
    domains: &[Identifier],
    certificate: Option<CredentialFiles>,
) -> Vec<ListenerConfig> {
    let new = |addresses: &[ListenAddress]| {
        ListenerConfig::new(addresses.to_vec(), Location::Argument("--listen"))
    };
    if !domains.is_empty() {
        let https = |addresses| ListenerConfig {
            domains: domains.to_vec(),
            domains_location: Location::Argument("--domain"),
            ..new(addresses)
        };
        let http = || ListenerConfig { redirect: true, is_optional: true, ..new(&[HTTP]) };
        if listen.is_empty() {
            return vec![https(&[HTTPS]), http()];
        }
        let (to_https, of_https): (Vec<_>, Vec<_>) =
            listen.iter().copied().partition(|it| is_http(*it));
        let mut listeners = vec![https(&of_https)];
        let redirect = |address| ListenerConfig { redirect: true, ..new(&[address]) };
        listeners.extend(to_https.into_iter().map(redirect));
        return listeners;
    }
    let addresses = if listen.is_empty() { &[ListenAddress::Ip(LISTEN_DEFAULT)] } else { listen };
    let certificates: Vec<_> = certificate.into_iter().collect();
    let with = |address| ListenerConfig { certificates: certificates.clone(), ..new(&[address]) };
    addresses.iter().copied().map(with).collect()
}

/// Notes names that are to be served at no address but the port of http.
pub(super) fn check_listeners(
    listen: &[ListenAddress],
    domains: &[Identifier],
    problems: &mut Problems,
) {
    if !domains.is_empty() && !listen.is_empty() && listen.iter().all(|it| is_http(*it)) {
        let what = "port 80 only leads to https, and --domain needs an address for that, too";
        let help = ["add --listen :443".to_owned(), "or leave out --listen".to_owned()];
        problems.add_with_help(&Location::Argument("--listen"), what, help);
    }
}

fn is_http(address: ListenAddress) -> bool {
    address.sockets().all(|it| it.port() == 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_80_beside_another_one_leads_to_https() {
        let of = |listen: &[&str]| {
            let listen: Vec<ListenAddress> = listen.iter().map(|it| it.parse().unwrap()).collect();
            let domains = ["a.example".parse().unwrap()];
            let mut problems = Problems::default();
            check_listeners(&listen, &domains, &mut problems);
            let listeners = listeners(&listen, &domains, None).into_iter();
            let shown = listeners.map(|it| (it.name(), it.redirect, it.is_tls()));
            (shown.collect::<Vec<_>>(), problems.to_string())
        };
        let https = |name: &str| (name.to_owned(), false, true);
        let http = |name: &str| (name.to_owned(), true, false);
        let (listeners, problems) = of(&[":443", ":80"]);
        assert_eq!((listeners, &*problems), (vec![https(":443"), http(":80")], ""));
        assert_eq!(of(&["127.0.0.1:80", ":8443"]).0, [https(":8443"), http("127.0.0.1:80")]);
        assert_eq!(of(&[":8443"]).0, [https(":8443")]);
        assert!(of(&[":80"]).1.contains("add --listen :443"));
    }
}
