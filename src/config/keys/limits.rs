//! `[limits]`: [`Limits`] and its keys.

use crate::config::key::Default::{Number, Words};
use crate::config::key::Key;
use crate::h1::limits::{
    HEAD_BYTES_DEFAULT, HEAD_BYTES_RANGE, HEADER_FIELDS_DEFAULT, HEADER_FIELDS_MAX, HeadLimits,
};
use crate::net::admission::AddressLimit;
use std::ops::RangeInclusive;

/// Client connections at one time by default; `limits.connections` changes it.
///
/// At the 8 KB that a held stream with TLS on both sides takes, 80 MB: a sixth of the smallest
/// machine this is for.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Range of `limits.connections`. File descriptors run out long before its end.
pub const CONNECTIONS_RANGE: RangeInclusive<usize> = 1..=1_000_000;
/// Client connections of one address by default; `limits.connections_per_address` changes it.
///
/// A browser opens six, and an SDK one for each call in progress, so this is enough for a busy
/// machine or an office that shares one address, and it takes forty such addresses to fill
/// [`CONNECTIONS_DEFAULT`]. Loopback is not limited by default: a local user can do worse, and all
/// clients of a local proxy or tunnel have the same loopback address.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: AddressLimit =
    AddressLimit { connections: 256, counts_loopback: false };

/// The `[limits]` table. Fixed bounds are in `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at one time, all workers together. Beyond it: 503 with Retry-After, or
    /// a close before TLS.
    pub connections: usize,
    /// Client connections of one address. Beyond it: the same.
    pub per_address: AddressLimit,
    /// Of every message head, from clients and upstreams alike.
    pub head: HeadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        let per_address = CONNECTIONS_PER_ADDRESS_DEFAULT;
        Self { connections: CONNECTIONS_DEFAULT, per_address, head: HeadLimits::default() }
    }
}

pub(super) const KEYS: &[Key<Limits>] = &[
    Key::number(
        "connections",
        CONNECTIONS_RANGE,
        |it, number| it.connections = number,
        Number(CONNECTIONS_DEFAULT),
        "Client connections at one time, all workers together. Beyond it: 503 with Retry-After, \
         or a close before TLS.",
    ),
    Key::number(
        "connections_per_address",
        CONNECTIONS_RANGE,
        // An explicit number applies to loopback as well.
        |it, connections| it.per_address = AddressLimit { connections, counts_loopback: true },
        Words("`256`, loopback not counted"),
        "The same for each client address; for IPv6, each /64. \
             Behind [`trusted_proxies`](access.md#behind-a-proxy-or-a-cdn), running exchanges \
         count.",
    ),
    Key::number(
        "head_bytes",
        HEAD_BYTES_RANGE,
        |it, number| it.head.bytes = number,
        Number(HEAD_BYTES_DEFAULT),
        "Bytes of a message head. More is 431 (414 in the request line) from a client, 502 from \
         an upstream.",
    ),
    Key::number(
        "header_fields",
        1..=HEADER_FIELDS_MAX,
        |it, number| it.head.fields = number,
        Number(HEADER_FIELDS_DEFAULT),
        "Field lines of a message head. More is 431 from a client, 502 from an upstream.",
    ),
];

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, refuse};

    #[test]
    fn numbers_outside_their_range_are_refused() {
        let limits = |text: &str| format!("{MINIMAL}\n[limits]\n{text}");
        refuse(
            &limits("head_bytes = 1023"),
            "limits.head_bytes: 1023 is out of range; 1024 to 1048576",
        );
        refuse(&limits("head_bytes = 1048577"), "limits.head_bytes: 1048577 is out of range");
        refuse(&limits("header_fields = 0"), "limits.header_fields: 0 is out of range; 1 to 1024");
        refuse(&limits("header_fields = 1025"), "limits.header_fields: 1025 is out of range");
        refuse(&limits("connections = 1000001"), "limits.connections: 1000001 is out of range");
        refuse(&format!("workers = 257\n{MINIMAL}"), "workers: 257 is out of range; 1 to 256");
    }
}
