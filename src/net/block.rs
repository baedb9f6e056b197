//! What counts as one address: [`Block`].

use std::net::{IpAddr, Ipv4Addr};

/// What counts as one address. As small as possible, because each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Block {
    /// An IPv4 address, also one written as IPv6 (RFC 4291, section 2.5.5.2).
    V4(Ipv4Addr),
    /// A /64 of IPv6, because one host can use all of its addresses (RFC 4291, section 2.5.1).
    V6([u8; 8]),
    /// The loopback address of IPv6: others in its /64 are not this machine.
    V6Loopback,
}

impl Block {
    /// What `address` counts as.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) if address.is_loopback() => Self::V6Loopback,
            IpAddr::V6(address) => {
                let [prefix @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(prefix)
            }
        }
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            Self::V6(_) => false,
            Self::V6Loopback => true,
        }
    }
}
