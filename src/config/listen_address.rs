//! [`ListenAddress`]: an address to listen on, as the operator writes it. It may mean one socket
//! address, or one of each family.

use super::problem::quoted;
use super::value::{Invalid, Value};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address to listen on. Port 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// One IP address.
    Ip(SocketAddr),
    /// `:443` or `443`: every address of the machine, of both families.
    Any(u16),
    /// `localhost:443`: loopback, of both families. No name is looked up.
    Localhost(u16),
}

impl ListenAddress {
    /// The socket addresses that it means, IPv4 first. A machine may lack one of two families.
    pub fn sockets(self) -> impl Iterator<Item = SocketAddr> {
        let (first, second): (SocketAddr, Option<SocketAddr>) = match self {
            Self::Ip(address) => (address, None),
            Self::Any(port) => {
                ((Ipv4Addr::UNSPECIFIED, port).into(), Some((Ipv6Addr::UNSPECIFIED, port).into()))
            }
            Self::Localhost(port) => {
                ((Ipv4Addr::LOCALHOST, port).into(), Some((Ipv6Addr::LOCALHOST, port).into()))
            }
        };
        [Some(first), second].into_iter().flatten()
    }

    /// Those of its socket addresses that the machine has by `exists`. All of them if it has none:
    /// to listen there then fails with the reason.
    pub fn sockets_here(self, exists: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
        let here: Vec<_> = self.sockets().filter(|it| exists(it.ip())).collect();
        let is_one = matches!(self, Self::Ip(_));
        if is_one || here.is_empty() { self.sockets().collect() } else { here }
    }

    /// Whether it includes `other`, so that only one of them can have the port.
    pub fn includes(self, other: Self) -> bool {
        let covers = |wide: SocketAddr, narrow: SocketAddr| {
            let same_family = wide.is_ipv4() == narrow.is_ipv4();
            let ip = wide.ip() == narrow.ip() || (same_family && wide.ip().is_unspecified());
            ip && wide.port() == narrow.port()
        };
        other.sockets().all(|narrow| self.sockets().any(|wide| covers(wide, narrow)))
    }
}

impl Value for ListenAddress {
    const ALLOWED: &'static str =
        "IP:port, \":443\" (every address) and \"localhost:8080\" are allowed";
}

impl FromStr for ListenAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(port) = port(text.strip_prefix(':').unwrap_or(text)) {
            return Ok(Self::Any(port));
        }
        if let Some((host, port)) = text.rsplit_once(':').and_then(|(h, p)| Some((h, port(p)?)))
            && host.eq_ignore_ascii_case("localhost")
        {
            return Ok(Self::Localhost(port));
        }
        let Ok(address) = text.parse::<SocketAddr>() else {
            let what = format!("{} is not an address to listen on", quoted(text));
            return Err(Invalid { what, meant: meant(text) });
        };
        if address.ip().to_canonical() != address.ip() {
            // We bind IPv6-only sockets, which have no IPv4-mapped addresses.
            let what = format!("{} is IPv4 in the form of IPv6", quoted(text));
            let meant = SocketAddr::new(address.ip().to_canonical(), address.port());
            return Err(Invalid { what, meant: Some(meant.to_string()) });
        }
        Ok(Self::Ip(address))
    }
}

/// As it is written, in one of its forms.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Any(port) => write!(f, ":{port}"),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
        }
    }
}

/// Digits alone: `u16` would take a sign.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What was probably meant by something that is not an address: one of another program, a URL, an
/// address without a port, or IPv6 without brackets.
fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = ["http://", "https://", "tcp://"].iter().find_map(|it| text.strip_prefix(it));
    let bare = bare.unwrap_or(text).trim_end_matches('/');
    if let Some(port) = bare.strip_prefix("*:").and_then(port) {
        return Some(format!(":{port}"));
    }
    if let Some((ip, port)) = bare.rsplit_once(':').and_then(|(ip, it)| Some((ip, port(it)?)))
        && let Ok(ip) = ip.parse::<Ipv6Addr>()
    {
        return Some(SocketAddr::new(ip.into(), port).to_string());
    }
    if let Ok(ip) = bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 8080).to_string());
    }
    if bare.eq_ignore_ascii_case("localhost") {
        return Some("localhost:8080".to_owned());
    }
    let is_address = bare != text && ListenAddress::from_str(bare).is_ok();
    is_address.then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_every_address_of_both_families() {
        for text in [":443", "443", "0443"] {
            check(text, ":443", &["0.0.0.0:443", "[::]:443"]);
        }
        check(":0", ":0", &["0.0.0.0:0", "[::]:0"]);
    }

    #[test]
    fn localhost_is_loopback_of_both_families() {
        for text in ["localhost:8080", "LocalHost:8080"] {
            check(text, "localhost:8080", &["127.0.0.1:8080", "[::1]:8080"]);
        }
    }

    #[test]
    fn an_ip_and_a_port_are_one_address() {
        for text in ["0.0.0.0:443", "[::]:443", "127.0.0.1:0", "[fe80::1%2]:1"] {
            check(text, text, &[text]);
        }
    }

    #[test]
    fn a_family_that_the_machine_lacks_is_left_out_unless_it_was_asked_for() {
        let here = |text: &str, exists: fn(IpAddr) -> bool| {
            let sockets = ListenAddress::from_str(text).unwrap().sockets_here(exists);
            sockets.iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        let is_ipv4 = |ip: IpAddr| ip.is_ipv4();
        assert_eq!(here(":1", is_ipv4), ["0.0.0.0:1"]);
        assert_eq!(here("localhost:1", is_ipv4), ["127.0.0.1:1"]);
        assert_eq!(here("[::]:1", is_ipv4), ["[::]:1"]);
        assert_eq!(here(":1", |ip| ip.is_ipv6()), ["[::]:1"]);
        assert_eq!(here(":1", |_| false), ["0.0.0.0:1", "[::]:1"]);
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_what_was_probably_meant() {
        for text in
            ["", ":", "65536", ":65536", "+1", ":-1", "host:443", "::1:443", "0.0.0.0:65536"]
        {
            refuse(text, "is not an address to listen on; IP:port, \":443\"");
        }
        refuse("::1:8080", "did you mean \"[::1]:8080\"?");
        refuse(":::443", "did you mean \"[::]:443\"?");
        refuse("*:443", "did you mean \":443\"?");
        refuse("0.0.0.0", "did you mean \"0.0.0.0:8080\"?");
        refuse("[::1]", "did you mean \"[::1]:8080\"?");
        refuse("localhost", "did you mean \"localhost:8080\"?");
        refuse("https://127.0.0.1:8443/", "did you mean \"127.0.0.1:8443\"?");
        refuse(" :443", "is not an address");
        refuse("[::ffff:192.0.2.7]:443", "is IPv4 in the form of IPv6; IP:port");
        refuse("[::ffff:c000:207]:443", "did you mean \"192.0.2.7:443\"?");
        refuse("[::ffff:0:0]:0", "did you mean \"0.0.0.0:0\"?");
    }

    #[test]
    fn a_wider_address_includes_a_narrower_one() {
        let includes = |wide: &str, narrow: &str| {
            let parse = |text| ListenAddress::from_str(text).unwrap();
            parse(wide).includes(parse(narrow))
        };
        for (wide, narrow) in [
            (":1", "0.0.0.0:1"),
            (":1", "[::]:1"),
            (":1", "localhost:1"),
            (":1", "192.0.2.7:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[fe80::1%2]:1"),
            ("localhost:1", "[::1]:1"),
        ] {
            assert!(includes(wide, narrow) && !includes(narrow, wide), "{wide} {narrow}");
        }
        for apart in [(":1", ":2"), ("0.0.0.0:1", "[::1]:1"), ("localhost:1", "127.0.0.2:1")] {
            assert!(!includes(apart.0, apart.1), "{apart:?}");
        }
    }

    #[track_caller]
    fn check(text: &str, shown: &str, sockets: &[&str]) {
        let address = ListenAddress::from_str(text).unwrap();
        assert_eq!(address.to_string(), shown);
        let all: Vec<_> = address.sockets().map(|it| it.to_string()).collect();
        assert_eq!(all, sockets, "{text}");
    }

    #[track_caller]
    fn refuse(text: &str, why: &str) {
        let message = ListenAddress::from_str(text).unwrap_err().explain(ListenAddress::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
    }
}
