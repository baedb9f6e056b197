//! [`Identifier`]: what a certificate is ordered for, a DNS name or an IP address (RFC 8555 and
//! RFC 8738).

use super::problem::quoted;
use super::value::{Invalid, Value};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest DNS name and longest label, in bytes (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A DNS name or an address that an authority can verify without access to the DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// In lower case and ASCII (`xn--` for other scripts), without a final dot, not a wildcard.
    Dns(Box<str>),
    /// An address, never IPv4 in the form of IPv6.
    Ip(IpAddr),
}

impl Value for Identifier {
    const ALLOWED: &'static str =
        "a DNS name such as \"api.example.com\" or an IP address is allowed";
}

impl FromStr for Identifier {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return of_address(text, address);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match what_is_wrong(&name) {
            None => Ok(Self::Dns(name.into())),
            Some(what) => {
                Err(Invalid { what: format!("{} {what}", quoted(text)), meant: meant(text) })
            }
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

fn of_address(text: &str, address: IpAddr) -> Result<Identifier, Invalid> {
    let canonical = address.to_canonical();
    if canonical != address {
        let what = format!("{} is IPv4 in the form of IPv6", quoted(text));
        return Err(Invalid { what, meant: Some(canonical.to_string()) });
    }
    if address.is_unspecified() || address.is_multicast() {
        let what = format!("{} is not the address of one machine", quoted(text));
        return Err(Invalid::new(format!("{what}; write the one that clients connect to")));
    }
    Ok(Identifier::Ip(address))
}

/// What is wrong with a name in lower case, if anything is.
fn what_is_wrong(name: &str) -> Option<&'static str> {
    let is_number = |label: &str| label.bytes().all(|it| it.is_ascii_digit());
    let is_bad_label = |label: &str| {
        let is_allowed = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        let edge = label.starts_with('-') || label.ends_with('-');
        edge || label.len() > LABEL_BYTES_MAX || !label.bytes().all(is_allowed)
    };
    if name.is_empty() {
        return Some("is not a DNS name");
    }
    if name.starts_with("*.") {
        return Some(
            "is a wildcard, which only DNS-01 verifies; write each name, or use `certificates`",
        );
    }
    if !name.is_ascii() {
        return Some("is not ASCII; write the name as it is in the DNS, which begins with xn--");
    }
    if name.contains('_') {
        return Some("has an underscore, which no certificate may have in a name");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("is longer than 253 bytes");
    }
    let mut labels = name.split('.');
    let is_bad = labels.clone().any(|it| it.is_empty() || is_bad_label(it));
    (is_bad || labels.next_back().is_some_and(is_number)).then_some("is not a DNS name")
}

/// The name in a URL, an authority, or an address in brackets.
fn meant(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim();
    let bare = bare.split(['/', '?', '#']).next().unwrap_or(bare);
    let bare = match bare.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or(inner),
        None => bare.split(':').next().unwrap_or(bare),
    };
    let is_other = bare != text && !bare.is_empty();
    is_other.then(|| Identifier::from_str(bare).ok()).flatten().map(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_have_one_form() {
        for (text, want) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("1.example", "1.example"),
            ("203.0.113.7", "203.0.113.7"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            assert_eq!(Identifier::from_str(text).unwrap().to_string(), want);
        }
        assert_eq!(Identifier::from_str("A.b"), Identifier::from_str("a.B."));
    }

    #[test]
    fn what_no_authority_can_verify_is_refused_with_the_reason() {
        let long = format!("{}example.com", "a.".repeat(130));
        for (text, why) in [
            ("", "is not a DNS name"),
            (".", "is not a DNS name"),
            ("a..b", "is not a DNS name"),
            ("-a.example", "is not a DNS name"),
            ("a-.example", "is not a DNS name"),
            ("a b.example", "is not a DNS name"),
            ("me@example.com", "is not a DNS name"),
            ("203.0.113", "is not a DNS name"),
            ("10.0.0.0/8", "did you mean \"10.0.0.0\"?"),
            ("*.example.com", "is a wildcard, which only DNS-01 verifies; write each name"),
            ("bücher.example", "is not ASCII; write the name as it is in the DNS"),
            ("my_api.example.com", "has an underscore"),
            ("https://api.example.com/", "did you mean \"api.example.com\"?"),
            ("api.example.com:443", "did you mean \"api.example.com\"?"),
            ("[2001:db8::1]:443", "did you mean \"2001:db8::1\"?"),
            ("::ffff:192.0.2.7", "did you mean \"192.0.2.7\"?"),
            ("0.0.0.0", "is not the address of one machine"),
            ("::", "is not the address of one machine"),
            ("ff02::1", "is not the address of one machine"),
            (&long, "is longer than 253 bytes"),
        ] {
            let message = Identifier::from_str(text).unwrap_err().explain(Identifier::ALLOWED);
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }
}
