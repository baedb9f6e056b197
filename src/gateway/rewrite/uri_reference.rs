//! References of an upstream to itself, as its client has to see them (RFC 3986, section 4).
//!
//! An upstream names its own paths, and by its own host; a client reaches it below a route of
//! ours. [`View`] has both sides of one exchange: [`View::mapped`] turns a reference that begins
//! with the upstream's URL, or with its path, into one that leads through the route. Everything
//! else is not ours to change: other hosts and schemes, paths beside the route's, relative
//! references, and what is no reference at all.
//!
//! The paths below the two prefixes are the same bytes, so a relative reference means the same
//! on both sides, as long as it stays below them.
//!
//! Not here: which fields hold references (`gateway::rewrite`), and cookies (`cookie`).

use crate::h1::authority::Authority;
use crate::h1::dot_segments::{has_dot_segments, resolve_dot_segments};
// The address parser alone; nothing here can open a socket.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::str::FromStr;
use memchr::{memchr2, memchr3};

/// The origins (RFC 9110, section 4.3.1) by which an upstream calls itself in an absolute
/// reference: one scheme, several authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    https: bool,
    names: Box<[Name]>,
}

/// A host with its port, which the scheme's default fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    host: Box<[u8]>,
    port: u16,
}

impl Origins {
    /// `names` are authorities: that of the upstream's URL, the Host that it is sent, from which
    /// many servers build their references, and what is dialled. One that is none, such as an
    /// address with a zone, is left out.
    pub fn new<'a>(https: bool, names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut known: Vec<Name> = Vec::new();
        for Authority { host, port } in names.into_iter().filter_map(Authority::parse) {
            let name =
                Name { host: host.into(), port: port.unwrap_or_else(|| default_port(https)) };
            if !known.contains(&name) {
                known.push(name);
            }
        }
        Self { https, names: known.into() }
    }

    /// The hosts, without their ports, as they were written.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &*name.host)
    }

    /// Whether `authority` is one of the names. User information makes it another one.
    fn has(&self, authority: &[u8]) -> bool {
        let Some(Authority { host, port }) = Authority::parse(authority) else { return false };
        let port = port.unwrap_or_else(|| default_port(self.https));
        self.names.iter().any(|name| name.port == port && is_same_host(&name.host, host))
    }
}

/// One exchange's two sides.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the upstream calls itself.
    pub origins: &'a Origins,
    /// The upstream's path; begins and ends with `/`.
    pub base: &'a [u8],
    /// The route's path, which replaces it; begins and ends with `/`.
    pub route: &'a [u8],
    /// The client speaks TLS, with us or with what is in front of us.
    pub client_https: bool,
    /// What the client calls us; empty when it did not say.
    pub client_authority: &'a [u8],
    /// The client's token, where a URL may hold it for the upstream's key; empty elsewhere.
    pub token: &'a [u8],
}

/// A reference in pieces.
pub type Pieces<'a> = [&'a [u8]; 5];

impl<'a> View<'a> {
    /// What `reference` is for the client, or `None` where it stays as it is.
    ///
    /// An absolute reference stays absolute, a path stays a path. A client that did not say what
    /// it calls us gets a path in any case.
    pub fn mapped<'r>(&self, reference: &'r [u8]) -> Option<Pieces<'r>>
    where
        'a: 'r,
    {
        let (scheme, path): (&[u8], &[u8]) = match reference {
            [b'/', b'/', rest @ ..] => (b"//", self.own_path(rest)?),
            // Browsers read this as the one before, others as a path.
            [b'/', b'\\', ..] => return None,
            [b'/', ..] => (b"", reference),
            _ => {
                (self.client_scheme(), self.own_path(after_scheme(self.origins.https, reference)?)?)
            }
        };
        let rest = self.below_base(path)?;
        let (scheme, authority): (&[u8], &[u8]) =
            if scheme.is_empty() || self.client_authority.is_empty() {
                (b"", b"")
            } else {
                (scheme, self.client_authority)
            };
        // Two slashes in front would make a host of the next segment (RFC 3986, section 4.2).
        // Browsers drop tabs first.
        let next = rest.iter().find(|byte| **byte != b'\t');
        let would_name_host =
            scheme.is_empty() && self.route == b"/" && matches!(next, Some(b'/' | b'\\'));
        let guard: &[u8] = if would_name_host { b"/." } else { b"" };
        let is_the_same =
            scheme.is_empty() && guard.is_empty() && reference.starts_with(self.route);
        (!is_the_same || self.base != self.route)
            .then_some([scheme, authority, guard, self.route, rest])
    }

    fn client_scheme(&self) -> &'static [u8] {
        if self.client_https { b"https://" } else { b"http://" }
    }

    /// What follows the authority, if it is the upstream's.
    fn own_path<'r>(&self, after_slashes: &'r [u8]) -> Option<&'r [u8]> {
        let end = memchr3(b'/', b'?', b'#', after_slashes).unwrap_or(after_slashes.len());
        let (authority, path) = after_slashes.split_at(end);
        self.origins.has(authority).then_some(path)
    }

    /// What follows the upstream's path in `path`, which may have a query and a fragment. Nothing
    /// that leads out of it again, in whatever disguise.
    fn below_base<'r>(&self, path: &'r [u8]) -> Option<&'r [u8]> {
        // RFC 9110, section 4.2.3: an empty path is equivalent to "/".
        if matches!(path, [] | [b'?' | b'#', ..]) {
            return (self.base == b"/").then_some(path);
        }
        let rest = path.strip_prefix(self.base)?;
        let from_slash = &path[self.base.len() - b"/".len()..];
        let end = memchr2(b'?', b'#', from_slash).unwrap_or(from_slash.len());
        let segments = &from_slash[..end];
        let stays =
            !has_dot_segments(segments) || resolve_dot_segments(segments, &mut Vec::new()).is_ok();
        stays.then_some(rest)
    }
}

/// Where the reference in the value of a Refresh field begins and ends: `5; url=/x`, also in
/// quotes, with a comma, in capitals, and without `url=`, as browsers read it.
pub fn refresh_target(value: &[u8]) -> Option<(usize, usize)> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let mut at = skip_blanks(value, digits);
    if digits == 0 || !matches!(value.get(at), Some(b';' | b',')) {
        return None;
    }
    at = skip_blanks(value, at + 1);
    if value.get(at..at + b"url".len()).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let equals = skip_blanks(value, at + b"url".len());
        if value.get(equals) == Some(&b'=') {
            at = skip_blanks(value, equals + 1);
        }
    }
    let end = match value.get(at) {
        Some(quote @ (b'"' | b'\'')) => {
            at += 1;
            value[at..].iter().position(|byte| byte == quote).map_or(value.len(), |len| at + len)
        }
        _ => value.len(),
    };
    (at < end).then_some((at, end))
}

fn skip_blanks(value: &[u8], from: usize) -> usize {
    let rest = value.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count()
}

/// What follows `http://` or `https://`, whichever it has to be.
fn after_scheme(https: bool, reference: &[u8]) -> Option<&[u8]> {
    let scheme: &[u8] = if https { b"https://" } else { b"http://" };
    let (front, rest) = reference.split_at_checked(scheme.len())?;
    front.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Names are compared without case and without the dot that ends an absolute name, IPv6 addresses
/// as addresses.
pub(super) fn is_same_host(one: &[u8], other: &[u8]) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => relative(one).eq_ignore_ascii_case(relative(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn address(host: &[u8]) -> Option<Ipv6Addr> {
    let digits = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Ipv6Addr::from_str(str::from_utf8(digits).ok()?).ok()
}

/// A name without its final dot.
fn relative(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_the_upstreams_url_leads_through_the_route() {
        for (reference, want) in [
            ("https://api.test/v1/x", "https://relay.test:8443/gpt/x"),
            ("https://api.test/v1/", "https://relay.test:8443/gpt/"),
            ("HTTPS://API.test:443/v1/x?a=b#c", "https://relay.test:8443/gpt/x?a=b#c"),
            ("https://api.test./v1/x", "https://relay.test:8443/gpt/x"),
            ("https://api.test:/v1/x", "https://relay.test:8443/gpt/x"),
            ("https://127.0.0.1:9443/v1/a%2Fb//c", "https://relay.test:8443/gpt/a%2Fb//c"),
            ("https://[::1]:9443/v1/\u{fc} ", "https://relay.test:8443/gpt/\u{fc} "),
            ("https://[0:0::1]:9443/v1/./a/../b", "https://relay.test:8443/gpt/./a/../b"),
            ("//api.test/v1/x", "//relay.test:8443/gpt/x"),
            ("/v1/x", "/gpt/x"),
            ("/v1/?a=/../..", "/gpt/?a=/../.."),
            ("/v1//x", "/gpt//x"),
        ] {
            assert_eq!(mapped(&V1, reference).as_deref(), Some(want), "{reference}");
        }
    }

    #[test]
    fn what_leads_elsewhere_stays_as_it_is() {
        for reference in [
            "",
            "x",
            "v1/x",
            "?a=b",
            "#c",
            "../x",
            "./v1/x",
            "/",
            "/v1",
            "/v1?a",
            "/v1x",
            "/v2/x",
            "/V1/x",
            "/%761/x",
            "//v1/x",
            "///v1/x",
            "/\\api.test/v1/x",
            "https://api.test",
            "https://api.test/",
            "https://api.test/v1",
            "https://api.test/v2/x",
            "http://api.test/v1/x",
            "https://api.test:80/v1/x",
            "https://api.test:8443/v1/x",
            "https://api.test.evil.test/v1/x",
            "https://xapi.test/v1/x",
            "https://user@api.test/v1/x",
            "https://api.test@evil.test/v1/x",
            "https://api.test\\/v1/x",
            "https://api.test:99999/v1/x",
            "https:/api.test/v1/x",
            "https:api.test/v1/x",
            "https:",
            "wss://api.test/v1/x",
            "javascript:alert(1)",
            "https://[::1/v1/x",
            "https://",
            "//",
        ] {
            assert_eq!(mapped(&V1, reference), None, "{reference}");
        }
    }

    #[test]
    fn what_climbs_out_of_the_upstreams_path_stays_as_it_is() {
        for reference in [
            "/v1/..",
            "/v1/../x",
            "/v1/a/../../x",
            "/v1/%2e%2E/x",
            "/v1/..%2fx",
            "/v1/..;a/x",
            "https://api.test/v1/../x",
            "//api.test/v1/.%2e?a",
        ] {
            assert_eq!(mapped(&V1, reference), None, "{reference}");
        }
    }

    #[test]
    fn a_url_without_a_path_is_its_root() {
        let root = Sides { base: "/", ..V1 };
        for (reference, want) in [
            ("https://api.test", "https://relay.test:8443/gpt/"),
            ("https://api.test?a", "https://relay.test:8443/gpt/?a"),
            ("//api.test#b", "//relay.test:8443/gpt/#b"),
            ("/", "/gpt/"),
            ("/gpt/x", "/gpt/gpt/x"),
        ] {
            assert_eq!(mapped(&root, reference).as_deref(), Some(want), "{reference}");
        }
    }

    #[test]
    fn a_path_never_becomes_a_host() {
        let root = Sides { route: "/", ..V1 };
        for (reference, want) in [
            ("/v1//evil.test/x", "/.//evil.test/x"),
            ("/v1/\\evil.test/x", "/./\\evil.test/x"),
            // Browsers drop tabs from a reference before they read it.
            ("/v1/\t/evil.test/x", "/./\t/evil.test/x"),
            ("/v1/\t\t\\evil.test/x", "/./\t\t\\evil.test/x"),
            ("/v1/\tx", "/\tx"),
            ("https://api.test/v1//evil.test", "https://relay.test:8443//evil.test"),
            ("/v1/x", "/x"),
        ] {
            assert_eq!(mapped(&root, reference).as_deref(), Some(want), "{reference}");
        }
        let unknown = Sides { authority: "", ..root };
        let got = mapped(&unknown, "https://api.test/v1//evil.test");
        assert_eq!(got.as_deref(), Some("/.//evil.test"));
    }

    #[test]
    fn scheme_and_authority_are_those_of_the_client() {
        let plain = Sides { client_https: false, authority: "127.0.0.1:8080", ..V1 };
        let got = mapped(&plain, "https://api.test/v1/x");
        assert_eq!(got.as_deref(), Some("http://127.0.0.1:8080/gpt/x"));
        // A client of HTTP/1.0 may not say what it calls us.
        let unknown = Sides { authority: "", ..V1 };
        for reference in ["https://api.test/v1/x", "//api.test/v1/x", "/v1/x"] {
            assert_eq!(mapped(&unknown, reference).as_deref(), Some("/gpt/x"));
        }
    }

    #[test]
    fn a_plain_upstream_is_known_by_its_scheme_and_port() {
        let origins =
            Origins::new(false, [b"127.0.0.1:8000".as_slice(), b"api.test", b"[fe80::1%1]:1"]);
        for (authority, want) in [
            (b"127.0.0.1:8000".as_slice(), true),
            (b"api.test:80", true),
            (b"api.test", true),
            (b"127.0.0.1", false),
            (b"api.test:443", false),
            (b"", false),
        ] {
            assert_eq!(origins.has(authority), want, "{}", String::from_utf8_lossy(authority));
        }
        assert_eq!(after_scheme(false, b"hTTp://a"), Some(b"a".as_slice()));
        assert_eq!(after_scheme(false, b"https://a"), None);
    }

    #[test]
    fn the_reference_of_a_refresh_is_found_as_browsers_find_it() {
        for (value, want) in [
            ("5; url=/x", Some("/x")),
            ("0;URL=/x", Some("/x")),
            ("0.5 , url\t= /x y", Some("/x y")),
            ("5; url=\"/x\" z", Some("/x")),
            ("5; url='/x", Some("/x")),
            ("5; /x", Some("/x")),
            ("5;'/x'", Some("/x")),
            ("5; urls=/x", Some("urls=/x")),
            ("5; url", Some("url")),
            ("5", None),
            ("5;", None),
            ("5; url=", None),
            ("5; url=\"\"", None),
            ("5 url=/x", None),
            ("url=/x", None),
            ("; url=/x", None),
            ("", None),
        ] {
            let got = refresh_target(value.as_bytes()).map(|(start, end)| &value[start..end]);
            assert_eq!(got, want, "{value}");
        }
    }

    #[derive(Clone, Copy)]
    struct Sides {
        base: &'static str,
        route: &'static str,
        client_https: bool,
        authority: &'static str,
    }

    const V1: Sides =
        Sides { base: "/v1/", route: "/gpt/", client_https: true, authority: "relay.test:8443" };

    fn mapped(sides: &Sides, reference: &str) -> Option<String> {
        let names = [b"api.test".as_slice(), b"127.0.0.1:9443", b"[::1]:9443", b"API.test:443"];
        let view = View {
            origins: &Origins::new(true, names),
            base: sides.base.as_bytes(),
            route: sides.route.as_bytes(),
            client_https: sides.client_https,
            client_authority: sides.authority.as_bytes(),
            token: b"",
        };
        let pieces = view.mapped(reference.as_bytes())?;
        Some(String::from_utf8(pieces.concat()).unwrap())
    }
}
