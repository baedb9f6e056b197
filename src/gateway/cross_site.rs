//! Requests that a web page has its visitor's browser send.
//!
//! A route with keys that asks for no token serves whoever reaches its listener: programs on this
//! machine, or at addresses in `allow`. A browser there is one of them, and it sends what any page
//! asks it to. So a page could spend the operator's money, or read what the API answers if its own
//! name leads to the listener's address (DNS rebinding). Browsers say enough to tell such requests
//! apart:
//!
//! | field | what is refused |
//! |---|---|
//! | `Host` | a name that its owner can point anywhere, if neither TLS nor a proxy has checked it |
//! | `Origin` (RFC 6454, section 7) | a site neither on this machine nor on the host of `Host` |
//! | `Sec-Fetch-Site` (Fetch Metadata) | `cross-site`, without an `Origin` |
//!
//! Other programs send neither of the last two, and `Host` as they were told.

use crate::error::Cause;
use crate::h1::authority::Authority;
use crate::h1::field::FieldId;
use crate::h1::section::FieldSection;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// Ends of names that public DNS does not have: RFC 6761, RFC 6762, RFC 8375, ICANN for `internal`;
/// and `lan`, which routers give to their networks.
const PRIVATE_SUFFIXES: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "test", "lan"];

/// Refuses a request that a page of another site may have caused. `authority` is what the client
/// calls us; `name_is_checked`: someone has checked that it is ours.
///
/// # Errors
/// What gives it away.
pub(super) fn refuse_other_sites(
    fields: &FieldSection<'_>,
    authority: &[u8],
    name_is_checked: bool,
) -> Result<(), Cause> {
    let host = Authority::parse(authority).map(|it| it.host);
    if !name_is_checked && host.is_some_and(|host| !is_private(host)) {
        return Err(Cause::PublicHost);
    }
    let mut origins = fields.values(FieldId::Origin).peekable();
    let is_ours = match origins.peek() {
        Some(_) => origins.all(|origin| is_harmless(origin, host)),
        None => fields.named(b"Sec-Fetch-Site").all(|site| site != b"cross-site"),
    };
    if is_ours { Ok(()) } else { Err(Cause::OtherSite) }
}

/// Whether a page at this origin may use the route: one on this machine, or on the `host` that it
/// asks. Only a program that the user has installed has an origin of another scheme than http and
/// https (`app://`, `tauri://`, `vscode-webview://`, `chrome-extension://`). `null` is none: any
/// page can have it, in a frame of its own.
fn is_harmless(origin: &[u8], host: Option<&[u8]>) -> bool {
    let Some(colon) = memchr::memmem::find(origin, b"://") else { return false };
    let (scheme, rest) = (&origin[..colon], &origin[colon + "://".len()..]);
    let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web.as_bytes()));
    if !is_web {
        return !scheme.is_empty();
    }
    let Some(Authority { host: site, .. }) = Authority::parse(rest) else { return false };
    is_loopback(site) || host.is_some_and(|host| host.eq_ignore_ascii_case(site))
}

/// Whether no stranger can have a page at this host: it is an address, or a name that is not in
/// public DNS, such as one without a dot.
fn is_private(host: &[u8]) -> bool {
    let name = name_of(host);
    address_of(host).is_some()
        || !name.contains(&b'.')
        || PRIVATE_SUFFIXES.iter().any(|suffix| ends_in(name, suffix))
}

fn is_loopback(host: &[u8]) -> bool {
    match address_of(host) {
        Some(address) => address.to_canonical().is_loopback(),
        None => {
            name_of(host).eq_ignore_ascii_case(b"localhost") || ends_in(name_of(host), "localhost")
        }
    }
}

/// A name may end in the dot of the root.
fn name_of(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

fn ends_in(name: &[u8], suffix: &str) -> bool {
    let at = name.len().checked_sub(suffix.len());
    at.and_then(|at| name.split_at_checked(at)).is_some_and(|(front, end)| {
        front.ends_with(b".") && end.eq_ignore_ascii_case(suffix.as_bytes())
    })
}

fn address_of(host: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(host).ok()?;
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(text) => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
        None => IpAddr::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::RequestHead;
    use crate::h1::limits::HeadLimits;

    const HOST: Result<(), Cause> = Err(Cause::PublicHost);
    const SITE: Result<(), Cause> = Err(Cause::OtherSite);

    /// The decision about a request with this Host and these lines, its name unchecked and checked.
    fn decide(host: &str, lines: &str) -> [Result<(), Cause>; 2] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        let head = RequestHead::parse(head.as_bytes(), &HeadLimits::default()).unwrap();
        let decide = |checked| refuse_other_sites(&head.fields, host.as_bytes(), checked);
        [false, true].map(decide)
    }

    #[test]
    fn programs_reach_it_by_addresses_and_by_names_that_no_stranger_can_have() {
        for host in [
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "192.168.1.5:8080",
            "203.0.113.9",
            "localhost",
            "LOCALHOST:8080",
            "localhost.:8080",
            "gpt.localhost:8080",
            "narrows:8080",
            "host.docker.internal:8080",
            "nas.local",
            "nas.lan",
            "nas.home.arpa",
            "api.test",
        ] {
            assert_eq!(decide(host, ""), [Ok(()), Ok(())], "{host}");
        }
        let head = RequestHead::parse(b"GET / HTTP/1.0\r\n\r\n", &HeadLimits::default()).unwrap();
        assert_eq!(refuse_other_sites(&head.fields, b"", false), Ok(()));
    }

    #[test]
    fn a_name_that_can_be_pointed_here_is_refused_unless_it_was_checked() {
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example.",
            "xlocalhost.example",
            "mylocal.dev",
            "127.0.0.1%2eevil.example",
            "a.xinternal",
        ] {
            assert_eq!(decide(host, ""), [HOST, Ok(())], "{host}");
            let itself = format!("Origin: http://{host}\r\n");
            assert_eq!(decide(host, &itself)[0], HOST, "{host}");
        }
    }

    #[test]
    fn pages_on_this_machine_or_on_the_same_host_and_apps_may_use_it() {
        for (host, origin) in [
            ("localhost:8080", "http://localhost:3000"),
            ("127.0.0.1:8080", "http://localhost:3000"),
            ("localhost:8080", "https://127.0.0.1"),
            ("localhost:8080", "http://[::1]:3000"),
            ("localhost:8080", "http://chat.localhost:3000"),
            ("192.168.1.5:8080", "http://192.168.1.5:3000"),
            ("192.168.1.5:8080", "http://localhost:3000"),
            ("NAS.local:8080", "http://nas.local"),
            ("localhost:8080", "app://obsidian.md"),
            ("localhost:8080", "file://"),
            ("localhost:8080", "tauri://localhost"),
            ("localhost:8080", "vscode-webview://1a2b"),
            ("localhost:8080", "chrome-extension://abc"),
        ] {
            let lines = format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\n");
            assert_eq!(decide(host, &lines), [Ok(()), Ok(())], "{host} {origin}");
        }
        let own = "Origin: https://relay.example\r\n";
        assert_eq!(decide("relay.example", own)[1], Ok(()));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        for origin in [
            "https://evil.example",
            "http://192.168.1.9:3000",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://127.0.0.1.evil.example",
            "HTTPS://evil.example",
            "http://evil.example, http://localhost",
            "null",
            "NULL",
            "://",
            "localhost",
            "",
            "http://",
        ] {
            let lines = format!("Origin: {origin}\r\n");
            assert_eq!(decide("127.0.0.1:8080", &lines), [SITE, SITE], "{origin:?}");
            let two = format!("Origin: http://localhost\r\n{lines}");
            assert_eq!(decide("127.0.0.1:8080", &two), [SITE, SITE], "{origin:?}");
        }
    }

    #[test]
    fn what_a_browser_sends_without_an_origin_says_whether_another_site_has_caused_it() {
        for (site, want) in
            [("none", Ok(())), ("same-origin", Ok(())), ("same-site", Ok(())), ("cross-site", SITE)]
        {
            let lines = format!("Sec-Fetch-Site: {site}\r\n");
            assert_eq!(decide("localhost:8080", &lines), [want, want], "{site}");
        }
    }
}
