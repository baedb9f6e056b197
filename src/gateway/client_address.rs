//! Where a request comes from: [`AddressRules`] finds the client behind proxies that are trusted,
//! and says whether its address is allowed.
//!
//! A field about the client can be written by anyone, so it counts only in requests from trusted
//! peers. A list of addresses is read from its right end, where the trusted proxy has added the
//! peer that it saw. Each address that is a trusted proxy in turn leads one further to the left;
//! the first that is not is the client. What stands to the left of it may be invented, and is not
//! read at all.
//!
//! Whatever is no address where one has to be, such as `unknown`, makes the connection's peer the
//! client: there is no guess.
//!
//! Not here: the same for connections, by a PROXY header (`preface::proxy_header`).

use crate::gateway::address_ranges::AddressRanges;
use crate::h1::head::RequestHead;
use crate::h1::limits::HeadLimits;
use crate::h1::section::FieldSection;
use crate::h1::token::trim_ows;
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// What a listener knows of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Clients that are served; `None`: all.
    pub allow: Option<AddressRanges>,
    /// Peers whose field about the client is believed.
    pub trusted_proxies: AddressRanges,
    /// That field.
    pub field: ClientAddressField,
}

/// The sender of a request, as far as its connection decides.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the listener serves it.
    pub is_allowed: bool,
    /// Whether someone has checked the name by which it calls us: TLS, which has compared it with
    /// our certificate, or a proxy in front.
    pub name_is_checked: bool,
}

/// A field that has the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddressField {
    name: Box<[u8]>,
    form: Form,
}

/// How a field has addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One address in one field line.
    Single,
    /// A list, to which each proxy adds the address of its peer at the right end.
    List,
    /// The same as `Forwarded` (RFC 7239).
    Forwarded,
}

impl AddressRules {
    /// Whether a connection from `peer` may begin. Whom a trusted proxy speaks for is known only
    /// from its requests.
    pub fn admit_peer(&self, peer: IpAddr) -> bool {
        self.allows(peer) || self.trusts(peer)
    }

    /// Whether `client` is served.
    pub fn allows(&self, client: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.contains(client))
    }

    /// Whether `peer` is a trusted proxy.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.contains(peer)
    }

    /// The client of the request whose whole head is `head`, from `peer`: the other end of the
    /// connection, or the client that a PROXY header has announced. A port that is not known is 0.
    ///
    /// The head is parsed only if the peer is trusted. One that is malformed names no client.
    pub fn client(&self, peer: SocketAddr, head: &[u8], limits: &HeadLimits) -> SocketAddr {
        if !self.trusts(peer.ip()) {
            return peer;
        }
        let head = RequestHead::parse(head, limits).ok();
        head.and_then(|head| self.named_client(&head.fields)).unwrap_or(peer)
    }

    /// The client that a trusted proxy names.
    fn named_client(&self, fields: &FieldSection<'_>) -> Option<SocketAddr> {
        let ClientAddressField { name, form } = &self.field;
        let mut values = fields.named(name).rev();
        match form {
            Form::Single => {
                let address = parse_address(values.next()?)?;
                values.next().is_none().then_some(address)
            }
            Form::List => self.first_untrusted(values.flat_map(from_the_right), parse_address),
            Form::Forwarded => {
                self.first_untrusted(values.flat_map(from_the_right), parse_forwarded)
            }
        }
    }

    /// The first of `elements` that is no trusted proxy, or the last one. `None` if there are none,
    /// or one on the way is not an address.
    fn first_untrusted<'b>(
        &self,
        elements: impl Iterator<Item = &'b [u8]>,
        parse: fn(&[u8]) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let mut farthest = None;
        for element in elements {
            let address = parse(element)?;
            farthest = Some(address);
            if !self.trusts(address.ip()) {
                break;
            }
        }
        farthest
    }
}

/// One whose address nothing depends on.
impl From<IpAddr> for Sender {
    fn from(address: IpAddr) -> Self {
        Self { address, is_allowed: true, name_is_checked: false }
    }
}

impl ClientAddressField {
    /// The field called `name`, in any case. By its name, it is a list or has one address.
    pub fn new(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let form = match lower.as_str() {
            "forwarded" => Form::Forwarded,
            name if name.ends_with("forwarded-for") => Form::List,
            _ => Form::Single,
        };
        Self { name: name.as_bytes().into(), form }
    }

    /// Its name as it was given.
    pub fn name(&self) -> &str {
        str::from_utf8(&self.name).unwrap_or_default()
    }
}

/// What most proxies send.
impl Default for ClientAddressField {
    fn default() -> Self {
        Self::new("X-Forwarded-For")
    }
}

/// The elements of a list, the last one first. A comma in a quoted string makes elements that are
/// no addresses: if quotation marks counted, an open one on the left could hide the element that
/// the trusted proxy has added.
fn from_the_right(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.rsplit(|byte| *byte == b',').map(trim_ows).filter(|element| !element.is_empty())
}

/// An address, as IPv6 with or without brackets, and perhaps a port.
fn parse_address(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?;
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let alone = match in_brackets {
        Some(text) => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
        None => IpAddr::from_str(text).ok(),
    };
    let (ip, port) = match alone {
        Some(ip) => (ip, 0),
        None => match SocketAddr::from_str(text).ok()? {
            SocketAddr::V6(address) if address.scope_id() != 0 => return None,
            address => (address.ip(), address.port()),
        },
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// The parameter `for` of an element of `Forwarded` (RFC 7239, section 4), if it has exactly one.
///
/// An element with half of a quoted string is part of one: a proxy that names the Host as well
/// sends `host="x,for=192.0.2.1"` where a client has written that.
fn parse_forwarded(element: &[u8]) -> Option<SocketAddr> {
    let quotes = element.iter().filter(|byte| **byte == b'"').count();
    if quotes % 2 == 1 || element.contains(&b'\\') {
        return None;
    }
    let mut nodes = element.split(|byte| *byte == b';').filter_map(|pair| {
        let (name, value) = trim_ows(pair).split_at_checked("for=".len())?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let node = nodes.next()?;
    if nodes.next().is_some() {
        return None;
    }
    let quoted = node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\""));
    parse_address(quoted.unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::address_ranges::range_of;
    use alloc::format;
    use alloc::string::{String, ToString};

    const PEER: &str = "10.0.0.1:4711";

    #[test]
    fn the_first_address_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        check("X-Forwarded-For: 203.0.113.9", "203.0.113.9:0");
        check("x-forwarded-for: 203.0.113.9, 10.0.0.2", "203.0.113.9:0");
        check("X-Forwarded-For: 1.1.1.1, 203.0.113.9,10.0.0.3 ,\t10.0.0.2", "203.0.113.9:0");
        check("X-Forwarded-For: 2001:db8::9, fd00::7", "[2001:db8::9]:0");
        check("X-Forwarded-For: , 203.0.113.9, ,", "203.0.113.9:0");
        // All of them are proxies of ours, so one of those asks for itself.
        check("X-Forwarded-For: 10.0.0.9, 10.0.0.2", "10.0.0.9:0");
    }

    #[test]
    fn what_a_client_has_written_before_its_proxy_did_is_not_read() {
        for lie in [
            "10.0.0.9",
            "127.0.0.1",
            "unknown",
            "\"",
            "for=1.1.1.1",
            "(a comment)",
            "1.1.1.1, 10.0.0.2",
            "\u{e9}\u{0}",
            &"1.1.1.1,".repeat(1024),
            &",".repeat(8 * 1024),
            &"9".repeat(8 * 1024),
        ] {
            let lie = lie.replace('\0', "\t");
            check(&format!("X-Forwarded-For: {lie}, 203.0.113.9"), "203.0.113.9:0");
            check(&format!("X-Forwarded-For: {lie}, 203.0.113.9, 10.0.0.2"), "203.0.113.9:0");
            check(
                &format!("X-Forwarded-For: {lie}\r\nA: b\r\nX-Forwarded-For: 203.0.113.9"),
                "203.0.113.9:0",
            );
        }
    }

    #[test]
    fn several_field_lines_are_one_list() {
        let lines = ["1.1.1.1", "203.0.113.9, 10.0.0.3", "10.0.0.2"];
        let fields: String = lines.iter().map(|it| format!("X-Forwarded-For: {it}\r\n")).collect();
        check(fields.trim_end(), "203.0.113.9:0");
    }

    #[test]
    fn what_is_no_address_where_one_has_to_be_leaves_the_peer() {
        for bad in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "client.example.com",
            "203.0.113.256",
            "203.0.113",
            "203.0.113.09",
            "0xcb007109",
            "3405803785",
            "203.0.113.9/32",
            "203.0.113.9 10.0.0.2",
            "203.0.113.9;10.0.0.2",
            "203.0.113.9:",
            "203.0.113.9:65536",
            "203.0.113.9:-1",
            "203.0.113.9:+80",
            "+203.0.113.9",
            "203.0.113.9:http",
            "[203.0.113.9]",
            "[203.0.113.9]:80",
            "2001:db8::9]",
            "[2001:db8::9",
            "[2001:db8::9]]",
            "[2001:db8::9]80",
            "2001:db8:::9",
            "fe80::1%eth0",
            "[fe80::1%2]:80",
            "\"203.0.113.9\"",
            "'203.0.113.9'",
            "203.0.113.9 (a comment)",
            "for=203.0.113.9",
            "\u{663}.1.1.1",
        ] {
            check(&format!("X-Forwarded-For: {bad}"), PEER);
            check(
                &format!("X-Forwarded-For: {bad}, 10.0.0.2"),
                if bad.is_empty() { "10.0.0.2:0" } else { PEER },
            );
            check_in("X-Real-IP", &format!("X-Real-IP: {bad}"), PEER);
        }
        check("A: b", PEER);
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port_and_ipv4_in_the_form_of_ipv6_is_ipv4() {
        check("X-Forwarded-For: 203.0.113.9:4712", "203.0.113.9:4712");
        check("X-Forwarded-For: [2001:db8::9]", "[2001:db8::9]:0");
        check("X-Forwarded-For: [2001:db8::9]:4712", "[2001:db8::9]:4712");
        check("X-Forwarded-For: ::ffff:203.0.113.9", "203.0.113.9:0");
        check("X-Forwarded-For: 203.0.113.9, [::ffff:10.0.0.2]:80", "203.0.113.9:0");
    }

    #[test]
    fn a_field_of_another_name_is_not_asked() {
        for other in ["X_Forwarded_For", "X-Forwarded-Fo", "X-Forwarded-For2", "Forwarded", "XFF"] {
            check(&format!("{other}: 203.0.113.9"), PEER);
        }
        check_in("CF-Connecting-IP", "X-Forwarded-For: 203.0.113.9", PEER);
        check_in("CF-Connecting-IP", "cf-connecting-ip: 203.0.113.9", "203.0.113.9:0");
        check_in("CF-Connecting-IP", "CF_Connecting_IP: 203.0.113.9", PEER);
    }

    #[test]
    fn a_field_with_one_address_that_has_several_leaves_the_peer() {
        let one = "X-Real-IP: 203.0.113.9";
        check_in("X-Real-IP", one, "203.0.113.9:0");
        check_in("X-Real-IP", &format!("{one}, 1.1.1.1"), PEER);
        check_in("X-Real-IP", &format!("{one}\r\n{one}"), PEER);
        check_in("X-Real-IP", &format!("{one}\r\nX-Real-IP:"), PEER);
        // Whom the proxy names is the client, also if it is another proxy.
        check_in("X-Real-IP", "X-Real-IP: 10.0.0.2", "10.0.0.2:0");
    }

    #[test]
    fn forwarded_is_read_like_a_list_by_its_parameter_for() {
        let check = |value: &str, want| check_in("forwarded", &format!("Forwarded: {value}"), want);
        check("for=203.0.113.9", "203.0.113.9:0");
        check("For=\"[2001:db8::9]:4711\";proto=https;by=10.0.0.2", "[2001:db8::9]:4711");
        check("proto=https; for=203.0.113.9, for=10.0.0.2", "203.0.113.9:0");
        check("for=\"1.1.1.1, for=203.0.113.9", "203.0.113.9:0");
        for bad in [
            "for=unknown",
            "for=_secret",
            "proto=https",
            "203.0.113.9",
            "for=203.0.113.9;for=1.1.1.1",
            "for=203.0.113.9;FOR=203.0.113.9",
            "for=\"203.0.113.9",
            "for=\"203.0.113.9\\\"\"",
            "for = 203.0.113.9",
            "host=\"a,b\";for=\"203.0.113.9",
            // What a client has written as its Host, and its proxy has quoted.
            "for=203.0.113.9;host=\"a,for=10.9.9.9\"",
            "for=203.0.113.9;host=\"a,for=10.9.9.9;b=c\"",
            "for=203.0.113.9;host=\"a,for=10.9.9.9;b=c\";by=\"[fd00::1]\"",
            "for=203.0.113.9;host=\"a,for=10.9.9.9;b=\\\"c\"",
        ] {
            check(bad, PEER);
        }
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        for peer in ["203.0.113.1:1", "[2001:db8::1]:1", "11.0.0.1:1"] {
            for name in ["X-Forwarded-For", "CF-Connecting-IP", "Forwarded"] {
                for value in ["10.0.0.9", "127.0.0.1", "for=127.0.0.1"] {
                    assert_eq!(client(name, peer, &format!("{name}: {value}")), peer);
                }
            }
        }
        assert_eq!(client("X-Real-IP", "[::ffff:10.0.0.1]:1", "X-Real-IP: 1.1.1.1"), "1.1.1.1:0");
    }

    #[test]
    fn a_peer_may_begin_if_it_is_allowed_or_may_speak_for_others() {
        let rules = AddressRules { allow: Some(ranges(&["192.0.2.0/24"])), ..rules("X-Real-IP") };
        for (address, begins, is_served) in [
            ("192.0.2.7", true, true),
            ("::ffff:192.0.2.7", true, true),
            ("10.0.0.1", true, false),
            ("203.0.113.9", false, false),
            ("2001:db8::1", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((rules.admit_peer(address), rules.allows(address)), (begins, is_served));
        }
        let open = AddressRules::default();
        assert!(open.admit_peer([203, 0, 113, 9].into()) && open.allows([203, 0, 113, 9].into()));
    }

    #[track_caller]
    fn check(fields: &str, want: &str) {
        check_in("X-Forwarded-For", fields, want);
    }

    #[track_caller]
    fn check_in(name: &str, fields: &str, want: &str) {
        assert_eq!(client(name, PEER, fields), want, "{}", fields.get(..99).unwrap_or(fields));
    }

    fn client(name: &str, peer: &str, fields: &str) -> String {
        let (peer, rules) = (peer.parse().unwrap(), rules(name));
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        let limits = HeadLimits::default();
        assert!(RequestHead::parse(head.as_bytes(), &limits).is_ok());
        rules.client(peer, head.as_bytes(), &limits).to_string()
    }

    fn rules(name: &str) -> AddressRules {
        let trusted_proxies = ranges(&["10.0.0.0/8", "fd00::/8"]);
        AddressRules { trusted_proxies, field: ClientAddressField::new(name), allow: None }
    }

    fn ranges(ranges: &[&str]) -> AddressRanges {
        let range = |text: &&str| {
            let (address, bits) = text.split_once('/').unwrap();
            range_of(address.parse().unwrap(), bits.parse().unwrap())
        };
        ranges.iter().map(range).collect()
    }
}
