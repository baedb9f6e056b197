//! Set-Cookie as the client has to see it (RFC 6265, sections 4.1 and 5).
//!
//! To a browser all routes are one host, so a cookie that an API sets for `/` would go to all the
//! other APIs as well. `Path` is mapped into the route, as nginx's `proxy_cookie_path` does, and a
//! `Domain` that names the upstream, or us, is left out, so that the cookie is the relay's host's
//! alone and not that of others in the operator's domain.
//!
//! All other bytes stay. A cookie without `Path` is for the folder of the client's own URL, which
//! is inside the route already.
//!
//! Not here: the Cookie field of requests, which passes as it is.

use super::uri_reference::{View, is_same_host};
use crate::h1::authority::Authority;
use crate::h1::token::{is_ows, trim_ows};
use core::ops::Range;
use memchr::memchr;

/// Browsers take a cookie with this prefix only with `Path=/` and without `Domain`: it stays as it
/// is, because any change would lose it.
const HOST_PREFIX: &[u8] = b"__Host-";

/// Most `Path` attributes of a cookie that are passed on. The route's path may be much longer than
/// what it replaces, and the last attribute is the one that counts (RFC 6265, section 5.3).
const PATHS_MAX: usize = 2;

/// Gives the new value of a Set-Cookie field to `put`, piece by piece.
pub fn map_set_cookie<'v>(value: &'v [u8], view: &View<'v>, mut put: impl FnMut(&'v [u8])) {
    let (pair, mut attributes) = cut_at_semicolon(value);
    put(pair);
    let is_bound =
        pair.get(..HOST_PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(HOST_PREFIX));
    if is_bound {
        put(attributes);
        return;
    }
    let mut paths = 0;
    while let [b';', behind @ ..] = attributes {
        let (attribute, rest) = cut_at_semicolon(behind);
        let whole = &attributes[..attributes.len() - rest.len()];
        attributes = rest;
        match meaning(attribute, view) {
            Meaning::Other => put(whole),
            Meaning::OwnDomain => {}
            Meaning::Path(..) if paths == PATHS_MAX => {}
            Meaning::Path(place, [route, rest]) => {
                paths += 1;
                put(b";");
                [&attribute[..place.start], route, rest, &attribute[place.end..]]
                    .into_iter()
                    .for_each(&mut put);
            }
        }
    }
}

enum Meaning<'v> {
    Other,
    /// A Domain that names the upstream or us.
    OwnDomain,
    /// A Path, which stands at this range of the attribute, and what it is to the client.
    Path(Range<usize>, [&'v [u8]; 2]),
}

fn meaning<'v>(attribute: &'v [u8], view: &View<'v>) -> Meaning<'v> {
    // Most attributes are neither Domain nor Path.
    let first = attribute.iter().find(|byte| !is_ows(**byte));
    if !first.is_some_and(|first| matches!(first | 0x20, b'd' | b'p')) {
        return Meaning::Other;
    }
    let Some(equals) = memchr(b'=', attribute) else { return Meaning::Other };
    let (name, value) = (trim_ows(&attribute[..equals]), &attribute[equals + 1..]);
    // Some libraries take the quotes off, so they must hide neither a path nor a domain.
    let is_around = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"');
    let front = value.iter().take_while(|byte| is_around(byte)).count();
    let tail = value[front..].iter().rev().take_while(|byte| is_around(byte)).count();
    let bare = &value[front..value.len() - tail];
    if name.eq_ignore_ascii_case(b"domain") {
        let is_own = is_own_domain(bare, view);
        return if is_own { Meaning::OwnDomain } else { Meaning::Other };
    }
    // RFC 6265, section 5.2.4: anything else is no path, and the cookie has none.
    if !name.eq_ignore_ascii_case(b"path") || bare.first() != Some(&b'/') {
        return Meaning::Other;
    }
    let start = equals + 1 + front;
    Meaning::Path(start..start + bare.len(), mapped_path(bare, view))
}

/// Whether a cookie with this `domain` is for the upstream, or for us. A client that did not say
/// what it calls us may call us by any name.
fn is_own_domain(domain: &[u8], view: &View<'_>) -> bool {
    let is_ours = match Authority::parse(view.client_authority) {
        Some(authority) => domain_matches(authority.host, domain),
        None => true,
    };
    is_ours || view.origins.hosts().any(|host| domain_matches(host, domain))
}

/// The path of a cookie as the client has to see it. One beside the upstream's path, or above it,
/// is the whole route, because that is all of it that the client can reach.
fn mapped_path<'v>(path: &'v [u8], view: &View<'v>) -> [&'v [u8]; 2] {
    [view.route, path.strip_prefix(view.base).unwrap_or_default()]
}

/// Whether a cookie with this `domain` is for `host`: RFC 6265, section 5.1.3, without the dot in
/// front that section 5.2.3 ignores. An address has no parents.
fn domain_matches(host: &[u8], domain: &[u8]) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    if is_same_host(host, domain) {
        return true;
    }
    let is_address = host.last().is_some_and(|byte| byte.is_ascii_digit() || *byte == b']');
    let Some(at) = host.len().checked_sub(domain.len() + 1) else { return false };
    let (below, parent) = host.split_at(at);
    !is_address
        && !below.is_empty()
        && !domain.is_empty()
        && parent[0] == b'.'
        && parent[1..].eq_ignore_ascii_case(domain)
}

/// Cuts in front of the first semicolon. Quotes hide none (RFC 6265, section 5.2).
fn cut_at_semicolon(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(memchr(b';', bytes).unwrap_or(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::rewrite::uri_reference::Origins;

    #[test]
    fn a_path_of_the_upstream_becomes_the_path_of_the_route() {
        for (base, route, path, want) in [
            ("/", "/gpt/", "/", "/gpt/"),
            ("/", "/gpt/", "/v1/chat", "/gpt/v1/chat"),
            ("/v1/", "/gpt/", "/v1/", "/gpt/"),
            ("/v1/", "/gpt/", "/v1/chat", "/gpt/chat"),
            ("/v1/", "/", "/v1/chat", "/chat"),
            ("/gpt/", "/gpt/", "/gpt/x", "/gpt/x"),
            // Above the upstream's path or beside it: the route is all that can be reached.
            ("/v1/", "/gpt/", "/", "/gpt/"),
            ("/v1/", "/gpt/", "/v1", "/gpt/"),
            ("/v1/", "/gpt/", "/v1x", "/gpt/"),
            ("/v1/", "/gpt/", "/other", "/gpt/"),
            ("/v1/", "/gpt/", "/V1/x", "/gpt/"),
        ] {
            let cookie = |path: &str| format!("a=b; Secure; Path={path}; HttpOnly");
            check(base, route, &cookie(path), &cookie(want));
        }
    }

    #[test]
    fn attributes_keep_their_order_case_and_blanks() {
        for (value, want) in [
            ("a=b;path=/", "a=b;path=/gpt/"),
            ("a=b ;  PATH\t=  /x  ;SameSite=Lax", "a=b ;  PATH\t=  /gpt/x  ;SameSite=Lax"),
            ("a=b; Path=/; path=/y;;", "a=b; Path=/gpt/; path=/gpt/y;;"),
            ("a=\"x;Path=/\";Path=\"/y\"", "a=\"x;Path=/gpt/\";Path=\"/gpt/y\""),
            ("a=Path=/; Path=/\u{fc}", "a=Path=/; Path=/gpt/\u{fc}"),
            ("a=b; Domain=api.test; Path=/; Secure", "a=b; Path=/gpt/; Secure"),
            ("a=b; Path=/;  domain = .API.test ", "a=b; Path=/gpt/"),
        ] {
            check("/", "/gpt/", value, want);
        }
    }

    #[test]
    fn a_cookie_without_a_path_or_a_domain_of_ours_stays_as_it_is() {
        for value in [
            "",
            "a",
            "a=b",
            "a=b;",
            ";",
            "Path=/; x",
            "a=b; Path",
            "a=b; Path=",
            "a=b; Path=x",
            "a=b; Path=x/y",
            "a=b; Path=\"\"",
            "a=b; XPath=/; Pathx=/",
            "a=b; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure",
            "a=b; Domain=other.test",
            "a=b; Domain=xapi.test",
            "a=b; Domain=v1.api.test",
            "a=b; Domain=",
            "a=b; Domain=.",
        ] {
            check("/", "/gpt/", value, value);
        }
    }

    #[test]
    fn a_domain_that_the_upstream_or_the_relay_is_in_is_left_out() {
        for domain in
            ["api.test", ".api.test", "API.TEST", "test", ".test", "api.test.", "10.0.0.1"]
        {
            check("/", "/", &format!("a=b; Domain={domain}"), "a=b");
        }
        // Those that we are in: the other hosts of the operator's have no use for it.
        for domain in ["relay.example", ".Relay.Example", "example"] {
            check("/", "/", &format!("a=b; Domain={domain}"), "a=b");
        }
        for domain in ["\"relay.example\"", " \" .example\" ", "\"API.test"] {
            check("/", "/", &format!("a=b; Domain={domain}"), "a=b");
        }
        for domain in ["0.0.1", "1", ".0.0.1", "\"other.test\""] {
            let value = format!("a=b; Domain={domain}");
            check("/", "/", &value, &value);
        }
    }

    /// Of several the last one counts, and no cookie has many: they would only make a head grow.
    #[test]
    fn a_cookie_with_many_paths_has_a_few_of_them() {
        let many = format!("a=b{}; Secure", ";path=/".repeat(1000));
        let few = format!("a=b{}; Secure", ";path=/gpt/".repeat(PATHS_MAX));
        check("/", "/gpt/", &many, &few);
    }

    #[test]
    fn no_domain_passes_to_a_client_that_may_call_us_by_any_name() {
        let origins = Origins::new(true, [b"api.test".as_slice()]);
        let view = View {
            origins: &origins,
            base: b"/",
            route: b"/",
            client_https: true,
            client_authority: b"",
            token: b"",
        };
        let mut out = Vec::new();
        map_set_cookie(b"a=b; Domain=other.test; Secure", &view, |piece| {
            out.extend_from_slice(piece);
        });
        assert_eq!(out, b"a=b; Secure");
    }

    #[test]
    fn a_cookie_that_a_browser_takes_only_for_the_whole_host_stays_as_it_is() {
        for value in [
            "__Host-a=b; Secure; Path=/",
            "__host-a=b; Path=/; Secure",
            "__Host-Http-a=b; Secure; Path=/; HttpOnly",
            "__Host-a=b; Path=/; Domain=api.test",
        ] {
            check("/", "/gpt/", value, value);
        }
        check("/", "/gpt/", "__Secure-a=b; Secure; Path=/", "__Secure-a=b; Secure; Path=/gpt/");
    }

    #[track_caller]
    fn check(base: &str, route: &str, value: &str, want: &str) {
        let names = [b"api.test".as_slice(), b"10.0.0.1:8443"];
        let view = View {
            origins: &Origins::new(true, names),
            base: base.as_bytes(),
            route: route.as_bytes(),
            client_https: true,
            client_authority: b"gpt.relay.example:8443",
            token: b"",
        };
        let mut out = Vec::new();
        map_set_cookie(value.as_bytes(), &view, |piece| out.extend_from_slice(piece));
        assert_eq!(String::from_utf8_lossy(&out), want, "{value}");
    }
}
