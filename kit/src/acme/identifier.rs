//! What a certificate is for: a name, or an address (RFC 8738).

use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;

/// A DNS name in lower case, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier {
    Dns(String),
    Ip(IpAddr),
}

impl Identifier {
    /// From `{"type": …, "value": …}`, or why not.
    pub(super) fn from_json(value: &Value) -> Result<Self, &'static str> {
        let text = value["value"].as_str().ok_or("an identifier has no value")?;
        match value["type"].as_str() {
            Some("dns") if is_host_name(text) => Ok(Self::Dns(text.to_owned())),
            Some("dns") => Err("this is no name for a certificate"),
            Some("ip") => text.parse().map(Self::Ip).map_err(|_| "this is no address"),
            _ => Err("unsupported type of identifier"),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let kind = match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        };
        json!({ "type": kind, "value": self.to_string() })
    }

    /// What a validator sends as the server name: of an address, its name for reverse lookups
    /// (RFC 8738, section 6).
    pub(super) fn server_name(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(IpAddr::V4(ip)) => {
                let [a, b, c, d] = ip.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Ip(IpAddr::V6(ip)) => {
                let nibbles = ip.octets().into_iter().rev().flat_map(|it| [it & 15, it >> 4]);
                nibbles.map(|it| format!("{it:x}.")).collect::<String>() + "ip6.arpa"
            }
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(out),
            Self::Ip(ip) => ip.fmt(out),
        }
    }
}

/// No wildcard: it would need a challenge that this directory does not have.
fn is_host_name(text: &str) -> bool {
    let is_letter = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    text.contains('.')
        && text.split('.').all(|it| !it.is_empty() && it.len() <= 63 && it.bytes().all(is_letter))
        && text.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_validated_under_its_reverse_name() {
        let name = |ip: &str| Identifier::Ip(ip.parse().unwrap()).server_name();
        assert_eq!(name("127.0.0.1"), "1.0.0.127.in-addr.arpa");
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(name("2001:db8::1"), six);
    }

    #[test]
    fn a_wildcard_an_upper_case_name_and_an_address_are_no_dns_identifiers() {
        for value in ["*.example.com", "API.example.com", "127.0.0.1", "example", ""] {
            let identifier = json!({ "type": "dns", "value": value });
            assert!(Identifier::from_json(&identifier).is_err(), "{value}");
        }
    }
}
