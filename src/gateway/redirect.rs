//! What plain listeners answer without a route: challenges of ACME ([`Challenge`]), and on port 80
//! a redirect to https ([`redirect`]).
//!
//! Only to names that https listeners serve, so that no one can lead a client elsewhere by it
//! (RFC 9110, section 17.14). Of the request, path and query are repeated, and nothing else.
//!
//! Not here: routes (`gateway::plan`).

use crate::error::{Cause, ExchangeError};
use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::client_address::Sender;
use crate::gateway::plan::{OwnAnswer, refuse};
use crate::gateway::request::{ValidRequest, validate};
use crate::h1::authority::Authority;
use crate::h1::head::RequestHead;
use crate::h1::limits::HeadLimits;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

/// Where an authority asks for a key authorization (RFC 8555, section 8.3).
const CHALLENGE_PATH: &[u8] = b"/.well-known/acme-challenge/";
/// Longest token of a challenge. Those of authorities have 22 to 43 characters.
const TOKEN_BYTES_MAX: usize = 128;

/// The names that https listeners serve, each with its port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpsNames {
    /// In lower case, as in a URL; `.example.com` for `*.example.com`.
    ports: BTreeMap<Box<str>, u16>,
    /// Whether something in front of us maps ports.
    is_mapped: bool,
}

impl HttpsNames {
    /// None yet. `is_mapped`: a client that asks at port 80 has come through something that maps
    /// ports, because no listener has that one, so https is at port 443 for it.
    pub fn new(is_mapped: bool) -> Self {
        Self { is_mapped, ..Self::default() }
    }

    /// Adds a name as a certificate has it: a DNS name, a wildcard, or an address. If it is known
    /// with another port, that stays. With port 0 it cannot be led to.
    pub fn add(&mut self, name: &str, port: u16) {
        if port == 0 {
            return;
        }
        let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
        let name = if name.contains(':') { format!("[{name}]") } else { name };
        self.ports.entry(name.into()).or_insert(port);
    }

    /// The URL of the host in `authority`, without a path; `None`: it is not served.
    fn origin(&self, authority: &[u8]) -> Option<String> {
        let Authority { host, port } = Authority::parse(authority)?;
        let is_mapped = self.is_mapped && port.is_none_or(|it| it == 80);
        let host = core::str::from_utf8(host).ok()?.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let wildcard = || host.find('.').and_then(|dot| self.ports.get(&host[dot..]));
        Some(match self.ports.get(host).or_else(wildcard)? {
            443 => format!("https://{host}"),
            _ if is_mapped => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        })
    }
}

/// A redirect to https.
#[derive(Debug)]
pub struct Redirect<'a> {
    /// The request's method.
    pub method: &'a [u8],
    /// The URL to ask instead.
    pub location: String,
    /// How to say it.
    pub options: ResponseOptions,
    /// Bytes after the head that are the request's body, for the caller to skip.
    pub body_bytes: usize,
}

/// Leads the request whose whole head is `head` to https. `behind` are the bytes that follow it so
/// far; `draining`: we are asked to stop; `from`: who sends it.
///
/// # Errors
/// The request is malformed, or its sender is not served, or it asks for a host that is not served.
pub fn redirect<'a>(
    head: &'a [u8],
    behind: &[u8],
    names: &HttpsNames,
    limits: &HeadLimits,
    draining: bool,
    from: Sender,
) -> Result<Redirect<'a>, OwnAnswer<'a>> {
    let parsed =
        RequestHead::parse(head, limits).map_err(|error| refuse(head, b"", error.into()))?;
    let valid = validate(&parsed).map_err(|error| refuse(head, parsed.method, error))?;
    let (options, body_bytes) = ResponseOptions::unforwarded(&valid.request, behind, draining);
    let method = parsed.method;
    // An unknown token has no other place either.
    let cause = match valid.path.starts_with(CHALLENGE_PATH) {
        _ if !from.is_allowed => Err(Cause::AddressNotAllowed),
        true => Err(Cause::NoChallenge),
        false => location(names, &valid).ok_or(Cause::NameNotServed),
    };
    match cause {
        Ok(location) => Ok(Redirect { method, location, options, body_bytes }),
        Err(cause) => {
            let reply = Reply::Error(ExchangeError::client(cause));
            Err(OwnAnswer { method, reply, options, body_bytes, client: None })
        }
    }
}

fn location(names: &HttpsNames, request: &ValidRequest<'_>) -> Option<String> {
    let mut url = names.origin(request.authority)?;
    // The other form of a path is `*`, which means no resource but the server.
    let path = if request.path.starts_with(b"/") { request.path } else { b"/" };
    for part in [path, request.query] {
        url.push_str(core::str::from_utf8(part).ok()?);
    }
    Some(url)
}

/// A request of an authority for the key authorization of a challenge.
#[derive(Debug)]
pub struct Challenge<'a> {
    /// The request's method.
    pub method: &'a [u8],
    /// Which challenge.
    pub token: &'a str,
    /// How to answer.
    pub options: ResponseOptions,
    /// Bytes after the head that are the request's body, for the caller to skip.
    pub body_bytes: usize,
}

impl<'a> Challenge<'a> {
    /// The request whose whole head is `head`, if it is one. `behind` and `draining` as for
    /// [`redirect`].
    pub fn parse(
        head: &'a [u8],
        behind: &[u8],
        limits: &HeadLimits,
        draining: bool,
    ) -> Option<Self> {
        let parsed = RequestHead::parse(head, limits).ok()?;
        let valid = validate(&parsed).ok()?;
        let token = valid.path.strip_prefix(CHALLENGE_PATH).filter(|it| is_token(it))?;
        let token = core::str::from_utf8(token).ok()?;
        let method = parsed.method;
        if !matches!(method, b"GET" | b"HEAD") {
            return None;
        }
        let (options, body_bytes) = ResponseOptions::unforwarded(&valid.request, behind, draining);
        Some(Self { method, token, options, body_bytes })
    }
}

/// The alphabet of base64url (RFC 8555, section 8.3).
fn is_token(text: &[u8]) -> bool {
    let is_allowed = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::answer::answer_to;
    use alloc::borrow::ToOwned;
    use core::net::IpAddr;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

    fn names() -> HttpsNames {
        let mut names = HttpsNames::default();
        for (name, port) in [
            ("api.example.com", 443),
            ("*.wild.example", 8443),
            ("203.0.113.7", 443),
            ("2001:db8::1", 8443),
            ("api.example.com", 9443),
        ] {
            names.add(name, port);
        }
        names
    }

    /// Where a request is led to, or the status of the refusal.
    fn led(head: &str) -> Result<String, u16> {
        match redirect(
            head.as_bytes(),
            b"",
            &names(),
            &LIMITS,
            false,
            IpAddr::from([192, 0, 2, 7]).into(),
        ) {
            Ok(redirect) => Ok(redirect.location),
            Err(OwnAnswer { reply: Reply::Error(error), .. }) => {
                Err(answer_to(&error).unwrap().status)
            }
            Err(OwnAnswer { reply: Reply::Allowed | Reply::Preflight | Reply::Queued, .. }) => {
                Err(0)
            }
        }
    }

    #[track_caller]
    fn check(target: &str, host: &str, want: Result<&str, u16>) {
        let got = led(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(got.as_deref(), want.as_ref().copied(), "{target} {host}");
    }

    #[test]
    fn a_request_is_led_to_the_same_url_of_https() {
        check("/a/b?c=d", "api.example.com", Ok("https://api.example.com/a/b?c=d"));
        check("/", "API.Example.com.:80", Ok("https://api.example.com/"));
        check("/a", "x.wild.example", Ok("https://x.wild.example:8443/a"));
        check("/a", "203.0.113.7:8080", Ok("https://203.0.113.7/a"));
        check("/a", "[2001:DB8::1]", Ok("https://[2001:db8::1]:8443/a"));
        check("http://api.example.com?a", "x", Ok("https://api.example.com/?a"));
        let options = "OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
        assert_eq!(led(options).as_deref(), Ok("https://api.example.com/"));
    }

    #[test]
    fn where_ports_are_mapped_clients_of_port_80_are_led_to_port_443() {
        let mut names = HttpsNames::new(true);
        names.add("a.example", 8443);
        for (host, want) in [
            ("a.example", Some("https://a.example")),
            ("a.example:80", Some("https://a.example")),
            ("a.example:8080", Some("https://a.example:8443")),
            ("b.example", None),
        ] {
            assert_eq!(names.origin(host.as_bytes()).as_deref(), want, "{host}");
        }
    }

    #[test]
    fn no_request_is_led_to_a_host_that_is_not_served() {
        for host in ["evil.example", "wild.example", "a.b.wild.example", "", "203.0.113.8"] {
            check("/", host, Err(if host.is_empty() { 400 } else { 421 }));
        }
        check("//evil.example/", "api.example.com", Ok("https://api.example.com//evil.example/"));
        check("http://evil.example/", "api.example.com", Err(421));
        check("/", "api.example.com@evil.example", Err(400));
        assert_eq!(led("GET / HTTP/1.0\r\n\r\n"), Err(421));
        assert_eq!(led("GET /a\rb HTTP/1.1\r\nHost: api.example.com\r\n\r\n"), Err(400));
        check("/.well-known/acme-challenge/unknown", "api.example.com", Err(404));
    }

    #[test]
    fn a_challenge_has_a_token_of_base64url() {
        let token = |method: &str, path: &str| {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let challenge = Challenge::parse(head.as_bytes(), b"", &LIMITS, false);
            challenge.map(|it| it.token.to_owned())
        };
        let path = |token: &str| format!("/.well-known/acme-challenge/{token}");
        assert_eq!(token("GET", &path("aZ0-_")).as_deref(), Some("aZ0-_"));
        assert_eq!(token("HEAD", &path("a?b")).as_deref(), Some("a"));
        for other in ["", "a/b", "a.b", "a%62", "../a", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(token("GET", &path(other)), None, "{other}");
        }
        assert_eq!(token("POST", &path("a")), None);
        assert_eq!(token("GET", "/a"), None);
    }
}
