//! The listeners that the arguments mean.

use crate::config::credentials::CredentialFiles;
use crate::config::identifier::Identifier;
use crate::config::keys::listener::ListenerConfig;
use crate::config::listen_address::ListenAddress;
use crate::config::problem::Location;
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
        return if listen.is_empty() { vec![https(&[HTTPS]), http()] } else { vec![https(listen)] };
    }
    let addresses = if listen.is_empty() { &[ListenAddress::Ip(LISTEN_DEFAULT)] } else { listen };
    let certificates: Vec<_> = certificate.into_iter().collect();
    let with = |address| ListenerConfig { certificates: certificates.clone(), ..new(&[address]) };
    addresses.iter().copied().map(with).collect()
}
