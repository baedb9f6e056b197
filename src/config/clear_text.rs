//! Warnings about keys that cross a network in clear text: to an upstream that is reached by
//! `http://`, or from clients of a listener without TLS. And about upstreams whose scheme does not
//! fit their port, and an admin listener that other networks may reach.
//!
//! Only addresses that may be on the Internet count for clear text: not loopback, private and
//! link-local ones, nor those of carriers (RFC 6598), nor names without a dot or under a domain for
//! local use.

use super::keys::listener::ListenerConfig;
use super::keys::route::RouteConfig;
use super::keys::top::Config;
use super::listen_address::ListenAddress;
use super::network::is_private;
use super::problem::Problems;
use super::url::{Endpoint, Host, Scheme};
use super::value::Mode;
use std::net::IpAddr;

/// Notes each route and each listener whose traffic may be read on the way, and an open admin
/// listener.
pub(super) fn warnings(config: &Config) -> Problems {
    let mut warnings = Problems::default();
    config.admin.iter().for_each(|admin| admin.check(&mut warnings));
    for route in &config.routes {
        check_route(route, &mut warnings);
    }
    for listener in &config.listeners {
        check_listener(listener, &mut warnings);
    }
    warnings
}

fn check_route(route: &RouteConfig, warnings: &mut Problems) {
    let dialed = &route.reach.connect;
    // `connect` may lead to a tunnel, at any port.
    if *dialed == route.upstream.endpoint && warn_of_port(route, warnings) {
        return;
    }
    if route.reach.is_tls || !is_public(&dialed.host) {
        return;
    }
    let what = format!("requests to {dialed} and the keys in them cross the network in clear text");
    let help = format!("write https://{} if the upstream has it", with_https_port(dialed, route));
    warnings.add_with_help(&route.location, what, [help]);
}

/// Warns if the port is that of the other scheme, where no request is likely to succeed.
fn warn_of_port(route: &RouteConfig, warnings: &mut Problems) -> bool {
    let Endpoint { host, port } = &route.upstream.endpoint;
    let (how, help) = match (route.upstream.scheme, *port) {
        (Scheme::Http, 443) => {
            ("http://, but port 443 is for TLS", format!("write https://{host}"))
        }
        (Scheme::Https, 80) => (
            "https://, but port 80 is for plain HTTP",
            format!("leave the port out: https://{host}"),
        ),
        (Scheme::Http | Scheme::Https, _) => return false,
    };
    let what = format!("{host}:{port} is reached by {how}");
    warnings.add_with_help(&route.location, what, [help]);
    true
}

/// The port of http:// is not that of https://.
fn with_https_port(dialed: &Endpoint, route: &RouteConfig) -> String {
    match dialed.port {
        80 => dialed.host.to_string(),
        _ => route.upstream.authority.to_string(),
    }
}

fn check_listener(listener: &ListenerConfig, warnings: &mut Problems) {
    // A proxy that announces its clients is in front, and it may end TLS.
    let has_proxy = !listener.proxy_protocol.is_empty();
    if listener.mode == Mode::Tcp || listener.is_tls() || listener.redirect || has_proxy {
        return;
    }
    let Some(address) = listener.addresses.iter().find(|it| is_open(**it)) else { return };
    let port = address.sockets().next().map_or(0, |it| it.port());
    let what = format!(
        "clients that reach {address} over a network send their keys in clear text: this listener \
         has no certificate"
    );
    let help = format!(
        "set `domains`, or `certificate` and `key`; or, if a proxy on this machine ends TLS, \
         listen on localhost:{port}"
    );
    warnings.add_with_help(&listener.location, what, [help]);
}

fn is_open(address: ListenAddress) -> bool {
    match address {
        ListenAddress::Any(_) => true,
        ListenAddress::Localhost(_) => false,
        ListenAddress::Ip(address) => address.ip().is_unspecified() || is_global(address.ip()),
    }
}

/// Whether a host may be on the Internet.
pub(super) fn is_public(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => is_global(*ip),
        Host::Zoned(..) => false,
        Host::Name(name) => is_public_name(&name.to_string()),
    }
}

/// A name with a dot, not under a domain for local use (RFC 6761, 6762, 8375, and ICANN's
/// `internal`).
pub(super) fn is_public_name(name: &str) -> bool {
    const LOCAL: [&str; 8] =
        ["localhost", "local", "internal", "home.arpa", "test", "lan", "invalid", "example"];
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_below = |domain: &str| name.strip_suffix(domain).is_some_and(|it| it.ends_with('.'));
    name.contains('.') && !LOCAL.into_iter().any(is_below)
}

/// Whether packets to this address may leave the operator's own networks.
pub(super) fn is_global(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_example = matches!(ip, IpAddr::V4(ip) if ip.is_documentation());
    !(is_private(ip) || ip.is_unspecified() || is_example)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::read;

    #[test]
    fn a_plain_upstream_on_the_internet_is_warned_about() {
        for host in ["api.example.com", "8.8.8.8", "[2606:4700::1]", "ollama.example.com:11434"] {
            let told = of("127.0.0.1:1", "", &format!("http://{host}/"), "");
            assert_eq!(told.len(), 1, "{host}");
            assert!(told[0].starts_with("f:5: route.path: requests to "), "{told:?}");
            assert!(told[0].contains("in clear text; write https://"), "{told:?}");
        }
    }

    #[test]
    fn a_plain_upstream_in_a_network_of_the_operators_is_not() {
        for host in [
            "127.0.0.1:11434",
            "10.0.0.5",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "localhost",
            "ollama",
            "models.internal",
            "a.local",
            "nas.home.arpa",
        ] {
            assert!(of("127.0.0.1:1", "", &format!("http://{host}/"), "").is_empty(), "{host}");
        }
        assert!(of("127.0.0.1:1", "", "https://api.example.com/", "").is_empty());
        let tunnel = "connect = \"127.0.0.1:9443\"";
        assert!(of("127.0.0.1:1", "", "http://api.example.com/", tunnel).is_empty());
        let public = "connect = \"8.8.8.8:80\"";
        assert_eq!(of("127.0.0.1:1", "", "http://10.0.0.5/", public).len(), 1);
    }

    #[test]
    fn a_plain_listener_that_the_internet_may_reach_is_warned_about_once() {
        for address in [":80", "0.0.0.0:80", "[::]:80", "8.8.8.8:80"] {
            let told = of(address, "", "https://h/", "");
            assert_eq!(told.len(), 1, "{address}");
            let want =
                format!("clients that reach {address} over a network send their keys in clear");
            assert!(told[0].contains(&want), "{told:?}");
            assert!(told[0].contains("listen on localhost:80"), "{told:?}");
        }
    }

    #[test]
    fn a_listener_in_a_network_of_the_operators_or_behind_a_proxy_is_not() {
        for address in [
            "127.0.0.1:80",
            "localhost:80",
            "10.0.0.5:80",
            "192.168.1.1:80",
            "100.100.1.1:80",
            "[::1]:80",
            "[fd00::1]:80",
            "[fe80::1%2]:80",
            "169.254.0.1:80",
        ] {
            assert!(of(address, "", "https://h/", "").is_empty(), "{address}");
        }
        assert!(of(":443", "certificate = \"c\"\nkey = \"k\"", "https://h/", "").is_empty());
        assert!(of(":80", "proxy_protocol = [\"10.0.0.0/8\"]", "https://h/", "").is_empty());
    }

    #[test]
    fn a_port_of_the_other_scheme_is_warned_about_unless_connect_leads_elsewhere() {
        for (upstream, want) in [
            ("http://api.example.com:443/", "port 443 is for TLS; write https://api"),
            ("http://10.0.0.5:443/", "10.0.0.5:443 is reached by http://"),
            (
                "https://api.example.com:80/",
                "port 80 is for plain HTTP; leave the port out: https://api",
            ),
        ] {
            let told = of("127.0.0.1:1", "", upstream, "");
            assert_eq!(told.len(), 1, "{upstream}: {told:?}");
            assert!(told[0].contains(want), "{told:?}");
            let tunnel = "connect = \"127.0.0.1:9443\"";
            assert!(of("127.0.0.1:1", "", upstream, tunnel).is_empty(), "{upstream}");
        }
    }

    #[test]
    fn a_second_upstream_at_the_same_wrong_port_is_another_warning() {
        let route = |path: &str, host: &str| {
            format!("[[route]]\npath = \"{path}\"\nupstream = \"http://{host}:443/\"\n")
        };
        let listener = "[[listener]]\naddress = \"127.0.0.1:1\"\n";
        let text = format!("{listener}{}{}", route("/a/", "a.lan"), route("/b/", "b.lan"));
        let told = warnings(&read(&text).unwrap());
        let [first, second] = told.iter().collect::<Vec<_>>()[..] else { panic!("{told}") };
        assert_ne!(first.what, second.what);
    }

    #[test]
    fn an_admin_listener_that_other_networks_may_reach_is_warned_about() {
        let listener = "[[listener]]\naddress = \"127.0.0.1:1\"\n";
        let route = "[[route]]\npath = \"/\"\nupstream = \"https://h/\"\n";
        let with = |address: &str| {
            let text = format!("admin = \"{address}\"\n{listener}{route}");
            warnings(&read(&text).unwrap()).to_string()
        };
        let open = with("0.0.0.0:9145");
        assert!(open.contains(":1: admin: 0.0.0.0:9145 may be open to other networks"), "{open}");
        assert_eq!(with("127.0.0.1:9145"), "");
    }

    /// The warnings about a listener and a route, with more keys for each.
    fn of(address: &str, listener: &str, upstream: &str, route: &str) -> Vec<String> {
        let text = format!(
            "[[listener]]\naddress = \"{address}\"\n{listener}\n[[route]]\npath = \"/\"\n\
             upstream = \"{upstream}\"\n{route}\n"
        );
        warnings(&read(&text).unwrap()).iter().map(|it| it.to_string()).collect()
    }
}
