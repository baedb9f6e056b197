//! A range of IP addresses as it is written: [`Network`].

use super::problem::quoted;
use super::value::{Invalid, Value};
use crate::gateway::address_ranges::{AddressRanges, range_of};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses with the same prefix (RFC 4632, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Whether `address` is one of them. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && range_of(address.to_canonical(), self.prefix_bits).0 == self.first
            || address.to_canonical() != address && self.contains(address.to_canonical())
    }

    fn range(&self) -> (IpAddr, IpAddr) {
        range_of(self.first, self.prefix_bits)
    }
}

/// All addresses of these networks.
pub(super) fn ranges_of(networks: impl IntoIterator<Item = Network>) -> AddressRanges {
    networks.into_iter().map(|it| it.range()).collect()
}

/// Whether an address is this machine's own, or of a network that the Internet has no route to.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // RFC 6598: the network between a provider and its customers.
            let is_shared = first == 100 && (64..128).contains(&second);
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

impl Value for Network {
    const ALLOWED: &'static str = "an IP address is allowed, or a range such as \"10.0.0.0/8\"";
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(Invalid::new(format!("{} is not an IP address", quoted(address))));
        };
        let bits_max = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let prefix_bits = match bits {
            None => bits_max,
            Some(bits) => prefix_length(bits, bits_max)?,
        };
        if let IpAddr::V6(address) = address
            && let Some(address) = address.to_ipv4_mapped()
        {
            return Err(mapped(text, address, prefix_bits));
        }
        let (first, _) = range_of(address, prefix_bits);
        if first != address {
            // Either the address or the length is wrong.
            let what = format!("{} has bits behind its prefix", quoted(text));
            return Err(Invalid { what, meant: Some(format!("{first}/{prefix_bits}")) });
        }
        Ok(Self { first, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_bits)
    }
}

/// The length of a prefix. No leading zeros, because some programs read `010` as octal.
fn prefix_length(text: &str, bits_max: u32) -> Result<u32, Invalid> {
    let bits = text.parse().ok().filter(|&bits: &u32| bits <= bits_max && bits.to_string() == text);
    bits.ok_or_else(|| {
        let name = quoted(text);
        Invalid::new(format!("{name} is not a number from 0 to {bits_max} without leading zeros"))
    })
}

/// The refusal of an IPv4-mapped range. It would match no peer, because peers' addresses are
/// canonical.
fn mapped(text: &str, address: Ipv4Addr, prefix_bits: u32) -> Invalid {
    let meant = prefix_bits
        .checked_sub(Ipv6Addr::BITS - Ipv4Addr::BITS)
        .map(|bits| format!("{}/{bits}", range_of(address.into(), bits).0));
    Invalid { what: format!("{} is IPv4 in the form of IPv6", quoted(text)), meant }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], true);
        check("10.0.0.0/8", &["11.0.0.0", "9.255.255.255", "::a00:0", "::ffff:11.0.0.0"], false);
        check("192.0.2.7", &["192.0.2.7"], true);
        check("192.0.2.7", &["192.0.2.6"], false);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], true);
        check("0.0.0.0/0", &["::1"], false);
        check("::/0", &["::1"], true);
        check("::/0", &["127.0.0.1"], false);
        check("2001:db8::/33", &["2001:db8::1", "2001:db8:7fff::"], true);
        check("2001:db8::/33", &["2001:db8:8000::"], false);
        check("::1", &["::1"], true);
        check("::1", &["::2"], false);
    }

    #[test]
    fn an_invalid_network_is_refused_with_the_reason() {
        refuse("localhost", "is not an IP address");
        refuse("10.0.0.0/33", "is not a number from 0 to 32");
        refuse("::/129", "is not a number from 0 to 128");
        refuse("10.0.0.0/", "is not a number from 0 to 32");
        refuse("10.0.0.0/+8", "is not a number from 0 to 32");
        refuse("10.0.0.0/-1", "is not a number from 0 to 32");
        refuse("10.0.0.1/8", "did you mean \"10.0.0.0/8\"?");
        refuse("10.0.0.0/08", "is not a number from 0 to 32 without leading zeros");
        refuse("10.0.0.0/00", "is not a number from 0 to 32 without leading zeros");
        refuse("::/0128", "is not a number from 0 to 128 without leading zeros");
        refuse("", "is not an IP address");
    }

    #[test]
    fn an_ipv4_mapped_network_is_refused_with_its_ipv4_form() {
        refuse("::ffff:10.0.0.0/104", "is IPv4 in the form of IPv6");
        refuse("::ffff:10.0.0.0/104", "did you mean \"10.0.0.0/8\"?");
        refuse("::ffff:10.1.2.3/104", "did you mean \"10.0.0.0/8\"?");
        refuse("::ffff:0:0/96", "did you mean \"0.0.0.0/0\"?");
        refuse("::ffff:c000:207", "did you mean \"192.0.2.7/32\"?");
        // Larger than all of IPv4.
        let refusal = Network::from_str("::ffff:10.0.0.0/95").unwrap_err();
        assert_eq!(refusal.what, "\"::ffff:10.0.0.0/95\" is IPv4 in the form of IPv6");
        assert_eq!(refusal.meant, None);
    }

    #[track_caller]
    fn check(network: &str, addresses: &[&str], want: bool) {
        let network = Network::from_str(network).unwrap();
        for address in addresses {
            assert_eq!(network.contains(address.parse().unwrap()), want, "{network} {address}");
        }
    }

    #[track_caller]
    fn refuse(text: &str, why: &str) {
        let message = Network::from_str(text).unwrap_err().explain(Network::ALLOWED);
        assert!(message.contains(why), "{text:?}: {message}");
    }
}
