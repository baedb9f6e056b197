//! What a certificate is for (RFC 8555, section 9.7.7; RFC 8738): [`Identifier`].

use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// A DNS name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// A name in lower case, in A-labels, without a final dot.
    Dns(Box<str>),
    /// An address.
    Ip(IpAddr),
}

impl Identifier {
    /// The server name that a validator sends for TLS-ALPN-01: the reverse name of an address
    /// (RFC 8738, section 6).
    pub fn challenge_name(&self) -> String {
        match self {
            Self::Dns(name) => name.to_string(),
            Self::Ip(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Ip(IpAddr::V6(address)) => {
                let mut name = String::with_capacity(72);
                for byte in address.octets().iter().rev() {
                    // Writing to a string cannot fail.
                    let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
                }
                name + "ip6.arpa"
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let kind = match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        };
        json!({ "type": kind, "value": self.to_string() })
    }

    /// Whether a CA means this one. It may write a name or an address in another way.
    pub(super) fn is(&self, kind: &str, value: &str) -> bool {
        match self {
            Self::Dns(name) => kind == "dns" && name.eq_ignore_ascii_case(value),
            Self::Ip(address) => kind == "ip" && value.parse() == Ok(*address),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Identifier {
        Identifier::Ip(text.parse().unwrap())
    }

    #[test]
    fn validators_ask_for_the_reverse_name_of_an_address() {
        assert_eq!(Identifier::Dns("a.example".into()).challenge_name(), "a.example");
        assert_eq!(ip("127.0.0.1").challenge_name(), "1.0.0.127.in-addr.arpa");
        // RFC 8738, section 6.
        let name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(ip("2001:db8::1").challenge_name(), name);
    }

    #[test]
    fn a_ca_may_write_an_identifier_in_another_way() {
        assert_eq!(ip("::1").json(), json!({ "type": "ip", "value": "::1" }));
        assert!(ip("::1").is("ip", "0:0:0:0:0:0:0:1"));
        assert!(!ip("127.0.0.1").is("dns", "127.0.0.1"));
        let name = Identifier::Dns("a.example".into());
        assert!(name.is("dns", "A.example") && !name.is("dns", "b.example"));
    }
}
