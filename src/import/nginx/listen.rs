//! The `listen` directive: [`Listen`].

use super::tree::Directive;
use super::work::Work;
use crate::config::listen_address::ListenAddress;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of an address without one.
const DEFAULT_PORT: &str = "80";

/// Where a server listens.
pub(super) struct Listen<'t> {
    /// `None` where nginx's default is meant.
    pub(super) directive: Option<&'t Directive>,
    pub(super) address: ListenAddress,
    pub(super) is_tls: bool,
    pub(super) proxy_protocol: bool,
    pub(super) is_default: bool,
}

impl<'t> Listen<'t> {
    /// Reads a `listen`; notes what cannot be said.
    pub(super) fn read(work: &mut Work, directive: &'t Directive) -> Option<Self> {
        let has = |word: &str| directive.arguments.iter().skip(1).any(|it| it == word);
        if has("quic") {
            work.always(directive, "clients speak HTTP/1.1 over TCP; narrows has no HTTP/3");
            return None;
        }
        if has("udp") {
            work.left_out(directive, "narrows forwards TCP only");
            return None;
        }
        if directive.argument(0).starts_with("unix:") {
            work.left_out(directive, "narrows listens on no unix sockets for clients");
            return None;
        }
        let is_both = directive.arguments.iter().any(|it| it == "ipv6only=off");
        let Some(address) = address(directive.argument(0), is_both) else {
            work.left_out(directive, "an address to listen on is an IP address and a port");
            return None;
        };
        Some(Self {
            directive: Some(directive),
            address,
            is_tls: has("ssl"),
            proxy_protocol: has("proxy_protocol"),
            is_default: has("default_server") || has("default"),
        })
    }

    /// Where nginx listens without a `listen`.
    pub(super) fn default() -> Option<Self> {
        let address = address(DEFAULT_PORT, false)?;
        let (is_tls, proxy_protocol, is_default) = (false, false, false);
        Some(Self { directive: None, address, is_tls, proxy_protocol, is_default })
    }

    /// What its other words become.
    pub(super) fn remark(&self) -> &'static str {
        let words = self.directive.map(|it| it.arguments.as_slice()).unwrap_or_default();
        let has = |words_of: &[&str]| words.iter().skip(1).any(|it| words_of.contains(&&**it));
        if has(&["http2", "spdy"]) {
            "clients speak HTTP/1.1; narrows has no HTTP/2"
        } else if has(&["reuseport", "deferred", "bind"]) {
            "sockets need no options; each worker has its own"
        } else {
            ""
        }
    }

    /// How far it can be reached: from this machine, from the operator's networks, from anywhere.
    pub(super) fn reach(&self) -> u8 {
        let reach = |ip: IpAddr| match ip {
            ip if ip.is_loopback() => 0,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => 1,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => 1,
            IpAddr::V4(_) | IpAddr::V6(_) => 2,
        };
        self.address.sockets().map(|it| reach(it.ip())).max().unwrap_or(0)
    }
}

/// The address that `text` means.
fn address(text: &str, is_both_families: bool) -> Option<ListenAddress> {
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = if is_number(text) {
        ("*", text)
    } else if text.starts_with('[') {
        let (host, rest) = text.split_at(text.find(']')? + 1);
        (host, if rest.is_empty() { DEFAULT_PORT } else { rest.strip_prefix(':')? })
    } else {
        text.split_once(':').unwrap_or((text, DEFAULT_PORT))
    };
    let written = match host {
        "*" => format!("0.0.0.0:{port}"),
        "[::]" if is_both_families => format!(":{port}"),
        host => format!("{host}:{port}"),
    };
    ListenAddress::from_str(&written).ok().filter(|_| is_number(port) && port != "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;

    #[test]
    fn every_form_of_an_address_is_read() {
        check("80", "0.0.0.0:80");
        check("*:8080", "0.0.0.0:8080");
        check("127.0.0.1", "127.0.0.1:80");
        check("127.0.0.1:8080 default_server", "127.0.0.1:8080");
        check("[::]:443 ssl", "[::]:443");
        check("[::1]", "[::1]:80");
        check("[::]:80 ipv6only=off", ":80");
        check("localhost:81", "localhost:81");
        for other in ["unix:/a", "443 quic", "53 udp", "api.example.com:443", "99999", "[::", "0"] {
            let tree = parse(&format!("listen {other};")).unwrap();
            let mut work = Work::default();
            assert!(Listen::read(&mut work, &tree[0]).is_none(), "{other}");
            assert!(work.is_accounted(&tree[0]));
        }
    }

    #[test]
    fn an_address_reaches_as_far_as_its_network() {
        let reach = |text: &str| {
            let tree = parse(&format!("listen {text};")).unwrap();
            Listen::read(&mut Work::default(), &tree[0]).unwrap().reach()
        };
        assert_eq!(reach("localhost:80"), 0);
        assert_eq!(reach("10.0.0.5:80"), 1);
        assert_eq!(reach("[fd00::1]:80"), 1);
        assert_eq!(reach("80"), 2);
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        let tree = parse(&format!("listen {text};")).unwrap();
        let listen = Listen::read(&mut Work::default(), &tree[0]).unwrap();
        assert_eq!(listen.address.to_string(), want);
    }
}
