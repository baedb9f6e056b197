//! A set of IP addresses: [`AddressRanges`].
//!
//! The ranges are sorted and merged, so that one is found by bisection: the lists of CDNs and cloud
//! providers have thousands.
//!
//! Not here: how a range is written (`config::network`).

use alloc::boxed::Box;
use alloc::vec::Vec;
// Only addresses: `core` has no sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses, IPv4 and IPv6 apart. An IPv4-mapped IPv6 address counts as the IPv4 address
/// in it (RFC 4291, section 2.5.5.2), so no range of IPv6 has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// First and last address of each range, in ascending order, with a gap after each.
type Ranges<T> = Box<[(T, T)]>;

impl AddressRanges {
    /// Whether `address` is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => includes(&self.v4, address.to_bits()),
            IpAddr::V6(address) => includes(&self.v6, address.to_bits()),
        }
    }

    /// Whether every IPv4 address is in the set, and whether every IPv6 address is.
    pub fn are_all(&self) -> (bool, bool) {
        (*self.v4 == [(0, u32::MAX)], *self.v6 == [(0, u128::MAX)])
    }

    /// The number of ranges, after merging.
    pub fn count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// From the first and the last address of each range, which are of one family.
impl FromIterator<(IpAddr, IpAddr)> for AddressRanges {
    fn from_iter<I: IntoIterator<Item = (IpAddr, IpAddr)>>(ranges: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits())),
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                    debug_assert!(false, "a range of two families");
                }
            }
        }
        Self {
            v4: merged(v4, |last| last.saturating_add(1)),
            v6: merged(v6, |last| last.saturating_add(1)),
        }
    }
}

/// The first and the last address that begin with the first `prefix_bits` bits of `address`.
pub fn range_of(address: IpAddr, prefix_bits: u32) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (bits, host) = (address.to_bits(), u32::MAX.checked_shr(prefix_bits).unwrap_or(0));
            (Ipv4Addr::from_bits(bits & !host).into(), Ipv4Addr::from_bits(bits | host).into())
        }
        IpAddr::V6(address) => {
            let (bits, host) = (address.to_bits(), u128::MAX.checked_shr(prefix_bits).unwrap_or(0));
            (Ipv6Addr::from_bits(bits & !host).into(), Ipv6Addr::from_bits(bits | host).into())
        }
    }
}

fn includes<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    let before = after.checked_sub(1).and_then(|at| ranges.get(at));
    before.is_some_and(|(_, last)| address <= *last)
}

/// Sorts, and joins what overlaps or touches. `next` gives the address after another.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> T) -> Ranges<T> {
    ranges.sort_unstable();
    ranges.dedup_by(|(first, last), (_, end)| {
        let joins = *first <= next(*end);
        if joins {
            *end = (*end).max(*last);
        }
        joins
    });
    ranges.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_is_found_in_its_range_and_its_neighbours_are_not() {
        let ranges = of(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/33", "::1/128"]);
        for address in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8::",
            "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
            "::1",
        ] {
            assert!(contains(&ranges, address), "{address}");
        }
        for address in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "0.0.0.0",
            "255.255.255.255",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8:8000::",
            "::",
            "::2",
            "::a00:1",
        ] {
            assert!(!contains(&ranges, address), "{address}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_its_ipv4_address_and_no_address_of_ipv6() {
        assert!(contains(&of(&["10.0.0.0/8"]), "::ffff:10.1.2.3"));
        assert!(!contains(&of(&["10.0.0.0/8"]), "::ffff:11.0.0.0"));
        assert!(!contains(&of(&["::/0"]), "::ffff:10.1.2.3"));
        assert!(!contains(&of(&["::/0"]), "10.1.2.3"));
        assert!(!contains(&of(&["0.0.0.0/0"]), "::1"));
    }

    #[test]
    fn ranges_that_overlap_or_touch_are_one() {
        for (ranges, count) in [
            (&["10.0.0.0/9", "10.128.0.0/9"][..], 1),
            (&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "11.0.0.0/8"], 1),
            (&["10.0.0.0/32", "10.0.0.2/32"], 2),
            (&["255.255.255.255/32", "0.0.0.0/0"], 1),
            (&["::/1", "8000::/1", "0.0.0.0/0"], 2),
            (&["10.0.0.0/8", "10.0.0.0/8"], 1),
            (&[], 0),
        ] {
            assert_eq!(of(ranges).count(), count, "{ranges:?}");
        }
        assert_eq!(of(&["::/1", "8000::/1"]).are_all(), (false, true));
        assert_eq!(of(&["128.0.0.0/1", "0.0.0.0/1"]).are_all(), (true, false));
        assert_eq!(of(&["0.0.0.0/1"]).are_all(), (false, false));
    }

    #[test]
    fn among_thousands_of_ranges_in_any_order_each_address_is_found() {
        // Every other /24 of 10.0.0.0/8, by a step that visits all of them.
        let blocks = (0..1_u32 << 15).map(|it| (it * 12_345) % (1 << 15) * 2);
        let network = |block: u32| Ipv4Addr::from_bits(0x0a00_0000 | block << 8);
        let ranges: AddressRanges = blocks.map(|it| range_of(network(it).into(), 24)).collect();
        assert_eq!(ranges.count(), 1 << 15);
        for block in 0..1_u32 << 16 {
            for host in [0, 255] {
                let address = Ipv4Addr::from_bits(network(block).to_bits() | host);
                assert_eq!(ranges.contains(address.into()), block % 2 == 0, "{address}");
            }
        }
    }

    fn contains(ranges: &AddressRanges, address: &str) -> bool {
        ranges.contains(address.parse().unwrap())
    }

    fn of(ranges: &[&str]) -> AddressRanges {
        let parse = |range: &&str| {
            let (address, bits) = range.split_once('/').unwrap();
            let range = range_of(address.parse().unwrap(), bits.parse().unwrap());
            assert_eq!(range.0.to_string(), address);
            range
        };
        ranges.iter().map(parse).collect()
    }
}
