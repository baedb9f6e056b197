//! The authority of a target: `host [ ":" port ]` (RFC 3986, sections 3.2.2 and 3.2.3).
//!
//! Host, authority-form and absolute-form all have one, and all of them decide where a request
//! goes, so all are read by [`Authority::parse`]. It is strict: userinfo and an empty host have no
//! place in HTTP (RFC 9110, sections 4.2.1 and 4.2.4), and what is in brackets must be an IPv6
//! address.
//!
//! Not here: resolving the host.

use super::token::{hex_value, parse_decimal};
// Only the parser of addresses: `core` has no sockets.
use core::net::Ipv6Addr;
use core::str::FromStr;

/// A host and an optional port, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A registered name, an IPv4 address, or an IPv6 address with its brackets. Never empty.
    pub host: &'a [u8],
    /// The port, when there is one: `host:` has none.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host [ ":" port ]`, or gives `None` for anything else.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (host, port) = split_port(bytes)?;
        let valid = match host {
            [b'[', address @ .., b']'] => is_ipv6(address),
            name => is_reg_name(name),
        };
        if !valid {
            return None;
        }
        let port = match port {
            None | Some([]) => None,
            Some(digits) => Some(u16::try_from(parse_decimal(digits)?).ok()?),
        };
        Some(Self { host, port })
    }
}

/// Cuts at the colon before the port, which in an IP literal follows the bracket.
fn split_port(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = if bytes.first() == Some(&b'[') {
        memchr::memchr(b']', bytes)? + 1
    } else {
        memchr::memchr(b':', bytes).unwrap_or(bytes.len())
    };
    match bytes.split_at(host_end) {
        (host, []) => Some((host, None)),
        (host, [b':', port @ ..]) => Some((host, Some(port))),
        _ => None,
    }
}

/// `1*( unreserved / pct-encoded / sub-delims )`. RFC 3986 allows an empty name, HTTP does not.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        let plain = rest.iter().take_while(|byte| IS_REG_NAME_BYTE[usize::from(**byte)]).count();
        rest = match &rest[plain..] {
            [] => return !name.is_empty(),
            [b'%', high, low, rest @ ..]
                if hex_value(*high).is_some() && hex_value(*low).is_some() =>
            {
                rest
            }
            _ => return false,
        }
    }
}

/// Which bytes are `unreserved / sub-delims` (RFC 3986, sections 2.2 and 2.3).
static IS_REG_NAME_BYTE: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < table.len() {
        table[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
                | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        byte += 1;
    }
    table
};

/// An IPv6 address without a zone: RFC 6874's zones mean nothing outside one machine.
fn is_ipv6(address: &[u8]) -> bool {
    str::from_utf8(address).is_ok_and(|address| Ipv6Addr::from_str(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        check("example.com", Some(("example.com", None)));
        check("example.com:443", Some(("example.com", Some(443))));
        check("127.0.0.1:8080", Some(("127.0.0.1", Some(8080))));
        check("a", Some(("a", None)));
        check("x%41-._~!$&'()*+,;=:1", Some(("x%41-._~!$&'()*+,;=", Some(1))));
    }

    #[test]
    fn an_ipv6_literal_keeps_its_brackets() {
        check("[::1]", Some(("[::1]", None)));
        check("[2001:DB8::1]:8443", Some(("[2001:DB8::1]", Some(8443))));
        check("[::ffff:192.0.2.1]:", Some(("[::ffff:192.0.2.1]", None)));
    }

    #[test]
    fn an_empty_port_is_none() {
        check("example.com:", Some(("example.com", None)));
    }

    #[test]
    fn ports_are_digits_up_to_65535() {
        check("a:0", Some(("a", Some(0))));
        check("a:65535", Some(("a", Some(65535))));
        for port in ["65536", "-1", "+1", " 1", "1 ", "0x50", "http", "8:0", "99999999999999999999"]
        {
            check(&format!("a:{port}"), None);
        }
    }

    #[test]
    fn userinfo_and_an_empty_host_are_refused() {
        for refused in ["", ":", ":80", "user@a", "user:secret@a", "user:1@a:1", "@"] {
            check(refused, None);
        }
    }

    #[test]
    fn brackets_hold_an_ipv6_address_and_nothing_else() {
        for refused in [
            "[",
            "]",
            "[]",
            "[::1",
            "::1]",
            "::1",
            "[::1]a",
            "[::1]8",
            "[1.2.3.4]",
            "[a]",
            "[::g]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[[::1]]",
            "[::1]]",
            "[1:2:3:4:5:6:7]",
            "[::1 ]",
            "a[::1]",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn percent_needs_two_hex_digits() {
        for refused in ["%", "%4", "a%", "%4g", "%g4", "%%41"] {
            check(refused, None);
        }
    }

    #[test]
    fn every_byte_of_a_name_is_of_the_grammar() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
            for name in [vec![byte], vec![b'a', byte, b'a'], vec![b'a', byte]] {
                // A colon begins the port, which the test above is about.
                let parsed = Authority::parse(&name).filter(|_| byte != b':');
                assert_eq!(parsed.is_some(), allowed, "{byte:#04x}");
            }
        }
    }

    #[track_caller]
    fn check(text: &str, want: Option<(&str, Option<u16>)>) {
        let want = want.map(|(host, port)| Authority { host: host.as_bytes(), port });
        assert_eq!(Authority::parse(text.as_bytes()), want, "{text:?}");
    }
}
