//! `[limits]`: [`Limits`].

use crate::h1::head::HeadLimits;
use crate::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT};
use crate::net::admission::AddressLimit;
use std::ops::RangeInclusive;

/// Client connections at one time by default; `limits.connections` changes it.
///
/// At the 17.5 KB that a TLS connection with a held stream costs on both sides, 175 MB: a third
/// of the smallest machine this is for.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Range that `limits.connections` may be set to; the descriptors end long before it does.
pub const CONNECTIONS_RANGE: RangeInclusive<usize> = 1..=1_000_000;
/// Client connections of one address by default; `limits.connections_per_address` changes it.
///
/// A browser opens six, an SDK as many as it has calls under way: a busy machine, or an office
/// behind one address, fits in. Forty such addresses fill [`CONNECTIONS_DEFAULT`], and not one.
/// Loopback is free by default: whoever is on this machine can do worse, and a proxy or a tunnel
/// that ends here makes all its clients look like one.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: AddressLimit =
    AddressLimit { connections: 256, counts_loopback: false };

/// The `[limits]` table. Fixed bounds are in `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at one time, all workers together. Beyond it: 503 with Retry-After, or
    /// a close before TLS.
    pub connections: usize,
    /// Those of one address. Beyond it: the same.
    pub per_address: AddressLimit,
    /// Of every message head, from clients and upstreams alike.
    pub head: HeadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        let head = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };
        let per_address = CONNECTIONS_PER_ADDRESS_DEFAULT;
        Self { connections: CONNECTIONS_DEFAULT, per_address, head }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test_file::{MINIMAL, refuse};

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
