//! Whom a request is taken to come from.

use crate::gateway::address_ranges::{AddressRanges, range_of};
use crate::gateway::client_address::{AddressRules, ClientAddressField};
use crate::h1::head::RequestHead;
use crate::h1::limits::HeadLimits;
use std::net::{IpAddr, SocketAddr};

/// A line with the name of a field, and field lines: of an untrusted peer they say nothing. What
/// the trusted proxy appends is what counts, whatever stands before it.
pub fn client_address(data: &[u8]) {
    let end = data.iter().position(|it| *it == b'\n').unwrap_or(data.len());
    let (name, rest) = data.split_at(end);
    let Ok(name) = str::from_utf8(name) else { return };
    let rules = AddressRules {
        allow: None,
        trusted_proxies: AddressRanges::from_iter([range_of(IpAddr::from([10, 0, 0, 0]), 8)]),
        field: ClientAddressField::new(name),
    };
    let limits = HeadLimits::default();
    let [proxy, other] = [[10, 0, 0, 1], [192, 0, 2, 7]].map(|it| SocketAddr::from((it, 4711)));
    let head = |appended: &str| {
        let lines = rest.strip_prefix(b"\n").unwrap_or_default();
        [b"GET / HTTP/1.1\r\n", lines, appended.as_bytes(), b"\r\n\r\n"].concat()
    };
    rules.client(proxy, &head(""), &limits);
    assert_eq!(rules.client(other, &head(""), &limits), other);
    let lower = name.to_ascii_lowercase();
    let (first, last) = match lower.as_str() {
        "forwarded" => ("for=203.0.113.9", "for=10.0.0.2"),
        name if name.ends_with("forwarded-for") => ("203.0.113.9", "10.0.0.2"),
        _ => return,
    };
    let client = SocketAddr::from(([203, 0, 113, 9], 0));
    for appended in [
        format!(", {first}"),
        format!(",{first},\t{last}"),
        format!("\r\n{name}: {first}"),
        format!("\r\n{name}: {first}\r\nA: b\r\n{name}: {last}"),
    ] {
        let head = head(&appended);
        let Ok(parsed) = RequestHead::parse(&head, &limits) else { continue };
        // What is appended to the line of another field does not count.
        let is_in_field = parsed
            .fields
            .lines()
            .last()
            .is_some_and(|line| parsed.fields.name(line).eq_ignore_ascii_case(name.as_bytes()));
        if is_in_field {
            assert_eq!(rules.client(proxy, &head, &limits), client, "{appended}");
        }
    }
}
