//! The request-target and its four forms (RFC 9112, section 3.2).
//!
//! [`RequestTarget::parse`] says where a request wants to go, without copying or decoding. A path
//! is forwarded byte for byte, so `%2F`, `//`, `;` and the case of `%xx` mean here what they mean
//! to the upstream.
//!
//! It is strict about bytes: a target is visible ASCII without `#`. It accepts bytes that RFC 3986
//! wants encoded, such as `|` or `"`, because clients send them and they delimit nothing.
//!
//! Not here: dot segments in a path (`h1::dot_segments`), and which route a path has (the gateway).

use super::authority::Authority;
use memchr::memchr;

/// Where a request wants to go, in one of the four forms of RFC 9112, section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTarget<'b> {
    /// Origin-form: a path that begins with `/`, and perhaps a query. `//a/b` is such a path.
    Origin(&'b [u8]),
    /// Absolute-form, as for a proxy; servers must accept it, too.
    Absolute {
        /// Whether the scheme is `https`. The only other one is `http`.
        https: bool,
        /// Host and port, which outrank the Host field (RFC 9112, section 3.2.2).
        authority: Authority<'b>,
        /// Begins with `/` or `?`, or is empty.
        path_and_query: &'b [u8],
    },
    /// Authority-form, for CONNECT alone. The port is there.
    Authority(Authority<'b>),
    /// Asterisk-form, for OPTIONS alone.
    Asterisk,
}

/// Why a request-target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// A byte that is not visible ASCII, or `#`: fragments stay with the client (RFC 9110,
    /// section 4.2.5).
    BadByte,
    /// None of the four forms, a scheme but `http` and `https`, or a form for another method.
    WrongForm,
    /// The authority is not `host [ ":" port ]`, or authority-form lacks the port.
    BadAuthority,
    /// `..` climbs above the root. RFC 3986, section 5.2.4 would stay at the root; a client that
    /// relies on it is probing.
    AboveRoot,
    /// `..` in a disguise that some servers see through: `..%2f`, `..;x`, `%252e%252e`. The bytes
    /// are forwarded as they are, so there it would climb. See `h1::dot_segments`.
    HiddenDotSegment,
    /// The path leads into a guarded route in a disguise that some servers see through:
    /// `/%61dmin/`, `//admin/`. See `gateway::route`.
    HiddenRoute,
}

impl<'b> RequestTarget<'b> {
    /// Reads the target of a request with this method.
    pub fn parse(method: &[u8], target: &'b [u8]) -> Result<Self, TargetError> {
        if target.iter().any(|&byte| !byte.is_ascii_graphic() || byte == b'#') {
            return Err(TargetError::BadByte);
        }
        match (method, target) {
            (b"CONNECT", authority) => match Authority::parse(authority) {
                Some(authority) if authority.port.is_some() => Ok(Self::Authority(authority)),
                _ => Err(TargetError::BadAuthority),
            },
            (b"OPTIONS", b"*") => Ok(Self::Asterisk),
            (_, [b'/', ..]) => Ok(Self::Origin(target)),
            _ => parse_absolute(target),
        }
    }
}

/// Cuts at the first `?`. The query keeps it, so that both parts together are the whole.
pub fn split_query(path_and_query: &[u8]) -> (&[u8], &[u8]) {
    path_and_query.split_at(memchr(b'?', path_and_query).unwrap_or(path_and_query.len()))
}

fn parse_absolute(target: &[u8]) -> Result<RequestTarget<'_>, TargetError> {
    let colon = memchr(b':', target).ok_or(TargetError::WrongForm)?;
    let (scheme, rest) = target.split_at(colon);
    let https = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"https") => true,
        _ if scheme.eq_ignore_ascii_case(b"http") => false,
        _ => return Err(TargetError::WrongForm),
    };
    let rest = rest.strip_prefix(b"://").ok_or(TargetError::WrongForm)?;
    let authority_end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(authority_end);
    let authority = Authority::parse(authority).ok_or(TargetError::BadAuthority)?;
    Ok(RequestTarget::Absolute { https, authority, path_and_query })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_form_begins_with_a_slash() {
        for target in ["/", "/v1/chat?a=b", "//a/b", "/http://a/", "/*", "/a:1", "/?", "/%zz|\"<>"]
        {
            let want = Ok(RequestTarget::Origin(target.as_bytes()));
            assert_eq!(RequestTarget::parse(b"GET", target.as_bytes()), want, "{target}");
        }
    }

    #[test]
    fn absolute_form_is_for_http_and_https() {
        let absolute = |https, host: &'static str, port, path: &'static str| {
            Ok(RequestTarget::Absolute {
                https,
                authority: Authority { host: host.as_bytes(), port },
                path_and_query: path.as_bytes(),
            })
        };
        check("GET", "http://a/b?c", absolute(false, "a", None, "/b?c"));
        check("GET", "HTTPS://a:1", absolute(true, "a", Some(1), ""));
        check("OPTIONS", "https://[::1]:443?x=/", absolute(true, "[::1]", Some(443), "?x=/"));
        check("GET", "http://a//b", absolute(false, "a", None, "//b"));
        for refused in
            ["ftp://a/", "file:///a", "http:a", "http:/a", "https", "a/b", "?a", "a:80", "://a/"]
        {
            check("GET", refused, Err(TargetError::WrongForm));
        }
        for refused in ["http://", "http:///a", "http://u@a/", "http://a:b/", "http://a\\b/"] {
            check("GET", refused, Err(TargetError::BadAuthority));
        }
    }

    #[test]
    fn authority_form_is_for_connect_only_and_has_a_port() {
        let authority = Authority { host: b"a", port: Some(443) };
        check("CONNECT", "a:443", Ok(RequestTarget::Authority(authority)));
        for refused in ["a", "a:", "/", "*", "http://a:1/", "a:443/"] {
            check("CONNECT", refused, Err(TargetError::BadAuthority));
        }
        check("GET", "a:443", Err(TargetError::WrongForm));
        check("connect", "a:443", Err(TargetError::WrongForm));
    }

    #[test]
    fn asterisk_form_is_for_options_only() {
        check("OPTIONS", "*", Ok(RequestTarget::Asterisk));
        check("GET", "*", Err(TargetError::WrongForm));
        check("OPTIONS", "*a", Err(TargetError::WrongForm));
        check("GET", "", Err(TargetError::WrongForm));
    }

    #[test]
    fn a_target_is_visible_ascii_without_a_fragment() {
        for byte in 0..=u8::MAX {
            let allowed = (0x21..=0x7e).contains(&byte) && byte != b'#';
            for target in [vec![b'/', byte], vec![b'/', b'?', byte, b'a']] {
                let want = if allowed {
                    Ok(RequestTarget::Origin(&target))
                } else {
                    Err(TargetError::BadByte)
                };
                assert_eq!(RequestTarget::parse(b"GET", &target), want, "{byte:#04x}");
            }
        }
    }

    #[test]
    fn the_query_begins_at_the_first_question_mark_and_keeps_it() {
        assert_eq!(split_query(b"/a?b?c"), (b"/a".as_slice(), b"?b?c".as_slice()));
        assert_eq!(split_query(b"/a?"), (b"/a".as_slice(), b"?".as_slice()));
        assert_eq!(split_query(b"/a"), (b"/a".as_slice(), b"".as_slice()));
    }

    #[track_caller]
    fn check(method: &str, target: &str, want: Result<RequestTarget<'_>, TargetError>) {
        let parsed = RequestTarget::parse(method.as_bytes(), target.as_bytes());
        assert_eq!(parsed, want, "{method} {target}");
    }
}
