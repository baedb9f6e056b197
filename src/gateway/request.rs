//! What a request asks for, decided once from its head: RFC 9112, sections 3 and 6, and what
//! RFC 9110 makes every server check before it acts.
//!
//! A refusal here has touched no upstream and needs none. [`Request`] is small and owns nothing,
//! so it outlives the bytes of the head.
//!
//! Not here: which status a refusal gets (`gateway::answer`), and what is forwarded
//! (`gateway::rewrite`).

use crate::error::RequestError;
use crate::h1::authority::Authority;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::field::FieldId;
use crate::h1::framing::{BodyLength, FramingError, request_body_length};
use crate::h1::head::{RequestHead, Version};
use crate::h1::limits::{LEADING_EMPTY_LINES_MAX, TRAILER_FIELDS_MAX};
use crate::h1::section::{FieldSection, parse_trailers};
use crate::h1::target::{RequestTarget, split_query};
use crate::h1::token::{list_elements, parse_decimal};
use crate::limits::CONNECTION_OPTIONS_MAX;

/// The method, as far as it matters to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The response has no body, whatever its head says.
    Head,
    /// May be sent again when the connection failed (RFC 9110, section 9.2.2).
    OtherIdempotent,
    /// Must not be sent twice.
    Other,
}

/// The facts about one request that outlive its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the method means for the response and for a retry.
    pub method: Method,
    /// What the client speaks.
    pub version: Version,
    /// How the body is framed.
    pub body: BodyLength,
    /// Content where the method gives it no meaning. Simple servers do not read it, and take it for
    /// the next request.
    pub content_may_stay_unread: bool,
    /// The client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// The client offers to switch to the WebSocket protocol.
    pub offers_websocket: bool,
    /// The client lets the connection go on (RFC 9112, section 9.3).
    pub persistent: bool,
    /// A page asks, by its browser, which lets it read only answers that say so.
    pub has_origin: bool,
    /// The client gave an Idempotency-Key: the upstream recognises a repeated request.
    pub has_idempotency_key: bool,
    /// Max-Forwards of an OPTIONS request (RFC 9110, section 7.6.2); 0 is for us to answer.
    pub max_forwards: Option<u64>,
}

impl Request {
    /// Whether another request may follow once this one has been declined. Not after an offer to
    /// switch protocols: what follows that may belong to the other protocol already.
    pub fn may_be_followed(&self) -> bool {
        self.persistent && !self.offers_websocket
    }

    /// Whether it does no harm to send the request twice.
    pub fn is_repeatable(&self) -> bool {
        match self.method {
            Method::Head | Method::OtherIdempotent => true,
            Method::Other => self.has_idempotency_key,
        }
    }

    /// How the body is framed for the upstream.
    pub fn writer(&self) -> BodyWriter {
        match self.body {
            BodyLength::Chunked => BodyWriter::Chunked,
            BodyLength::None | BodyLength::Exact(_) | BodyLength::UntilClose => BodyWriter::Bare,
        }
    }

    /// How many bytes at the front of `input` are the body, if all of it is here and well-formed.
    pub fn whole_body(&self, input: &[u8]) -> Option<usize> {
        let mut reader = BodyReader::new(self.body);
        let mut len = 0;
        while !reader.is_finished() {
            let rest = &input[len..];
            let walk = reader.walk(rest).ok()?;
            if let Some(section) = walk.trailers {
                parse_trailers(&rest[section], TRAILER_FIELDS_MAX).ok()?;
            }
            if walk.consumed == 0 {
                return None;
            }
            len += walk.consumed;
        }
        Some(len)
    }
}

/// A request that may be forwarded, and where it wants to go.
#[derive(Debug)]
pub struct ValidRequest<'b> {
    /// The facts.
    pub request: Request,
    /// What the client calls us: the authority of an absolute target, or else Host. Empty in
    /// HTTP/1.0 when it did not say.
    pub authority: &'b [u8],
    /// The path as it came, dot segments and all; never empty.
    pub path: &'b [u8],
    /// The query with its `?`, or nothing.
    pub query: &'b [u8],
}

/// Whether a request has begun with `bytes`. A few empty lines may stand before one: some clients
/// end a body with a stray CRLF (RFC 9112, section 2.2).
pub fn has_begun(bytes: &[u8]) -> bool {
    let may_be_empty_lines = bytes.len() <= 2 * LEADING_EMPTY_LINES_MAX;
    !(may_be_empty_lines && bytes.chunks(2).all(|line| line == b"\r\n"))
}

/// Decides what `head` asks for.
///
/// # Errors
/// The first rule that the head breaks, in the order of the code.
pub fn validate<'b>(head: &RequestHead<'b>) -> Result<ValidRequest<'b>, RequestError> {
    if matches!(head.method, b"CONNECT" | b"TRACE") {
        return Err(RequestError::MethodNotAllowed);
    }
    // What is wrong with the request line comes first, as it does when the line arrives alone.
    let [authority, path, query] = parts(head)?;
    check_connection_options(head)?;
    let host = check_host(head)?;
    if head.fields.has(FieldId::FramingLookalike) {
        return Err(FramingError::Lookalike.into());
    }
    let body = request_body_length(head)?;
    let authority = if authority.is_empty() { host } else { authority };
    let is_http11 = head.version == Version::Http11;
    let request = Request {
        method: method_kind(head.method),
        version: head.version,
        body,
        content_may_stay_unread: !body.is_empty() && !takes_content(head.method),
        expects_continue: expects_continue(head)?,
        offers_websocket: is_http11 && body.is_empty() && offers_websocket(head),
        persistent: persists(head.version, &head.fields),
        has_origin: head.fields.has(FieldId::Origin),
        has_idempotency_key: head.fields.has(FieldId::IdempotencyKey),
        max_forwards: max_forwards(head)?,
    };
    Ok(ValidRequest { request, authority, path, query })
}

/// Whether the sender of a message lets its connection go on: RFC 9112, section 9.3, its rules in
/// order. HTTP/1.0 persistence is honoured on both sides, as nginx and HAProxy do: our client sees
/// a server, not a proxy, and old load tools ask for it.
pub(super) fn persists(version: Version, fields: &FieldSection<'_>) -> bool {
    let options = fields.connection();
    match version {
        Version::Http11 => !options.close,
        Version::Http10 => options.keep_alive && !options.close,
    }
}

/// Methods that repeat safely (RFC 9110, section 9.2.2). TRACE is refused before this.
fn method_kind(method: &[u8]) -> Method {
    match method {
        b"HEAD" => Method::Head,
        b"GET" | b"OPTIONS" | b"PUT" | b"DELETE" => Method::OtherIdempotent,
        _ => Method::Other,
    }
}

/// Methods whose content is what they are about (RFC 9110, section 9.3; RFC 5789), so that even the
/// simplest server reads it.
fn takes_content(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

/// Each option names a field to drop, and each field is compared with each option: without a
/// bound on options, one head of 64 KiB would cost millions of comparisons.
fn check_connection_options(head: &RequestHead<'_>) -> Result<(), RequestError> {
    if head.fields.connection().count > CONNECTION_OPTIONS_MAX {
        return Err(RequestError::TooManyConnectionOptions);
    }
    Ok(())
}

/// The value of Host, empty if there is none in HTTP/1.0.
fn check_host<'b>(head: &RequestHead<'b>) -> Result<&'b [u8], RequestError> {
    match head.fields.single(FieldId::Host) {
        Err(_) => Err(RequestError::RepeatedHost),
        Ok(None) if head.version == Version::Http11 => Err(RequestError::MissingHost),
        Ok(None) => Ok(b""),
        Ok(Some(value)) if Authority::parse(value).is_some() => Ok(value),
        Ok(Some(_)) => Err(RequestError::BadHost),
    }
}

/// The authority of an absolute target, the path to route by, and the query. Routes are paths, so
/// the authority leads nowhere, and another one is sent on (RFC 9112, section 3.2.2).
fn parts<'b>(head: &RequestHead<'b>) -> Result<[&'b [u8]; 3], RequestError> {
    let (authority, target): (&[u8], &[u8]) = match RequestTarget::parse(head.method, head.target)?
    {
        RequestTarget::Origin(target) => (b"", target),
        RequestTarget::Absolute { https, path_and_query, .. } => {
            let scheme = if https { b"https://".len() } else { b"http://".len() };
            let end = head.target.len() - path_and_query.len();
            (&head.target[scheme..end], path_and_query)
        }
        RequestTarget::Asterisk => (b"", b"*"),
        RequestTarget::Authority(_) => return Err(RequestError::MethodNotAllowed),
    };
    let (path, query) = split_query(target);
    // RFC 9110, section 4.2.3: an empty path component is equivalent to "/".
    Ok([authority, if path.is_empty() { b"/" } else { path }, query])
}

/// HTTP/1.0 has no 100, and a server ignores the expectation there (RFC 9110, section 10.1.1).
fn expects_continue(head: &RequestHead<'_>) -> Result<bool, RequestError> {
    if !head.fields.has(FieldId::Expect) {
        return Ok(false);
    }
    let mut expectations = head.fields.values(FieldId::Expect).flat_map(list_elements).peekable();
    if head.version == Version::Http10 || expectations.peek().is_none() {
        return Ok(false);
    }
    if expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
        return Ok(true);
    }
    Err(RequestError::UnknownExpectation)
}

/// A WebSocket handshake is a GET without a body (RFC 6455, section 4.1).
fn offers_websocket(head: &RequestHead<'_>) -> bool {
    head.method == b"GET"
        && head.fields.connection().upgrade
        && head.fields.lists(FieldId::Upgrade, b"websocket")
}

fn max_forwards(head: &RequestHead<'_>) -> Result<Option<u64>, RequestError> {
    if head.method != b"OPTIONS" {
        return Ok(None);
    }
    match head.fields.single(FieldId::MaxForwards) {
        Ok(None) => Ok(None),
        Ok(Some(value)) => match parse_decimal(value) {
            Some(number) => Ok(Some(number)),
            None => Err(RequestError::BadMaxForwards),
        },
        Err(_) => Err(RequestError::BadMaxForwards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::limits::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { bytes: 65536, fields: 256 };

    fn decided(text: &str) -> Result<Request, RequestError> {
        let head = RequestHead::parse(text.as_bytes(), &LIMITS)?;
        validate(&head).map(|decided| decided.request)
    }

    #[track_caller]
    fn accepted(text: &str) -> Request {
        decided(text).unwrap()
    }

    #[track_caller]
    fn path_of(text: &str, path: &str, query: &str) {
        let head = RequestHead::parse(text.as_bytes(), &LIMITS).unwrap();
        let decided = validate(&head).unwrap();
        assert_eq!((decided.path, decided.query), (path.as_bytes(), query.as_bytes()));
    }

    #[test]
    fn only_a_chunked_request_is_chunked_for_the_upstream() {
        for (fields, want) in [
            ("", BodyWriter::Bare),
            ("Content-Length: 5\r\n", BodyWriter::Bare),
            ("Transfer-Encoding: chunked\r\n", BodyWriter::Chunked),
        ] {
            let request = accepted(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            assert_eq!(request.writer(), want, "{fields}");
        }
    }

    #[test]
    fn a_request_begins_behind_the_empty_lines_that_may_stand_before_it() {
        let lines = |count| "\r\n".repeat(count);
        for bytes in [String::new(), lines(1), lines(LEADING_EMPTY_LINES_MAX)] {
            assert!(!has_begun(bytes.as_bytes()), "{bytes:?}");
        }
        let too_many = lines(LEADING_EMPTY_LINES_MAX + 1);
        for bytes in ["G", "\r", "\n", "\r\nG", "\r\n\r", "\n\r", &too_many] {
            assert!(has_begun(bytes.as_bytes()), "{bytes:?}");
        }
    }

    #[test]
    fn http_11_without_host_is_refused_and_http_10_is_not() {
        assert_eq!(decided("GET / HTTP/1.1\r\n\r\n"), Err(RequestError::MissingHost));
        assert!(decided("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn more_than_one_host_is_refused_even_when_they_agree() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n";
        assert_eq!(decided(text), Err(RequestError::RepeatedHost));
    }

    #[test]
    fn a_host_that_is_no_host_is_refused() {
        for host in ["", "a b", "a, b", "user@a", "a:port", "a:99999", "[::1", "a/b", "http://a"] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(decided(&text), Err(RequestError::BadHost), "{host:?}");
        }
    }

    #[test]
    fn connect_and_trace_are_not_allowed() {
        for line in ["CONNECT a:443", "TRACE /"] {
            let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(decided(&text), Err(RequestError::MethodNotAllowed), "{line}");
        }
    }

    #[test]
    fn the_path_of_an_absolute_form_is_what_counts() {
        path_of("GET HTTP://a/b?c HTTP/1.1\r\nHost: x\r\n\r\n", "/b", "?c");
        path_of("GET http://a?c HTTP/1.1\r\nHost: a\r\n\r\n", "/", "?c");
        path_of("GET /b?c?d HTTP/1.1\r\nHost: a\r\n\r\n", "/b", "?c?d");
        path_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "");
    }

    #[test]
    fn only_100_continue_may_be_expected_and_only_by_http_11() {
        let with = |version, value| {
            decided(&format!(
                "POST / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 1\r\n\r\n"
            ))
        };
        assert!(with("1.1", "100-Continue").unwrap().expects_continue);
        assert!(!with("1.0", "100-continue").unwrap().expects_continue);
        assert_eq!(with("1.1", "200-ok"), Err(RequestError::UnknownExpectation));
        assert_eq!(with("1.1", "100-continue, x"), Err(RequestError::UnknownExpectation));
    }

    #[test]
    fn websocket_is_the_only_upgrade_and_needs_a_get_without_a_body() {
        let with = |line: &str, fields: &str| {
            accepted(&format!("{line}\r\nHost: a\r\n{fields}\r\n")).offers_websocket
        };
        let both = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
        assert!(with("GET / HTTP/1.1", both));
        assert!(with("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n"));
        assert!(!with("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n"));
        assert!(!with("GET / HTTP/1.1", "Upgrade: websocket\r\n"));
        assert!(!with("GET / HTTP/1.0", both));
        assert!(!with("POST / HTTP/1.1", both));
        assert!(!with("GET / HTTP/1.1", &format!("{both}Content-Length: 3\r\n")));
        assert!(!with("GET / HTTP/1.1", &format!("{both}Transfer-Encoding: chunked\r\n")));
        // The length that some clients give with each request.
        assert!(with("GET / HTTP/1.1", &format!("{both}Content-Length: 0\r\n")));
    }

    #[test]
    fn content_is_read_by_all_servers_where_the_method_is_about_it() {
        let with = |method: &str, field: &str| {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            accepted(&head).content_may_stay_unread
        };
        for field in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
            for method in ["GET", "HEAD", "DELETE", "OPTIONS", "QUERY", "PROPFIND"] {
                assert!(with(method, field), "{method}, {field}");
                assert!(!with(method, "Content-Length: 0") && !with(method, "A: b"), "{method}");
            }
            for method in ["POST", "PUT", "PATCH"] {
                assert!(!with(method, field), "{method}, {field}");
            }
        }
    }

    #[test]
    fn nothing_may_follow_an_offer_that_is_declined() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n";
        assert!(accepted(&format!("{get}\r\n")).may_be_followed());
        assert!(!accepted(&format!("{get}Connection: close\r\n\r\n")).may_be_followed());
        let offer = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        assert!(!accepted(&format!("{get}{offer}\r\n")).may_be_followed());
    }

    #[test]
    fn persistence_follows_the_version_and_the_connection_options() {
        let with = |version: &str, option: &str| {
            accepted(&format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {option}\r\n\r\n"))
                .persistent
        };
        assert!(with("1.1", "x") && with("1.1", "keep-alive") && with("1.0", "Keep-Alive"));
        assert!(!with("1.1", "Close") && !with("1.0", "x") && !with("1.0", "keep-alive, close"));
    }

    #[test]
    fn connection_options_are_bounded() {
        let with = |count: usize| {
            let options = vec!["a"; count].join(",");
            decided(&format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\n\r\n"))
        };
        assert!(with(CONNECTION_OPTIONS_MAX).is_ok());
        let over = with(CONNECTION_OPTIONS_MAX + 1);
        assert_eq!(over, Err(RequestError::TooManyConnectionOptions));
    }

    #[test]
    fn a_post_is_repeatable_only_with_an_idempotency_key() {
        let with = |start: &str| {
            accepted(&format!("{start}\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).is_repeatable()
        };
        assert!(with("GET / HTTP/1.1") && with("PUT / HTTP/1.1") && with("DELETE / HTTP/1.1"));
        assert!(!with("POST / HTTP/1.1") && !with("PATCH / HTTP/1.1") && !with("FOO / HTTP/1.1"));
        assert!(with("POST / HTTP/1.1\r\nIdempotency-Key: 1"));
    }

    #[test]
    fn max_forwards_counts_for_options_alone() {
        let with = |method: &str, value: &str| {
            decided(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"))
        };
        assert_eq!(with("OPTIONS", "0").unwrap().max_forwards, Some(0));
        assert_eq!(with("GET", "0").unwrap().max_forwards, None);
        assert_eq!(with("OPTIONS", "x"), Err(RequestError::BadMaxForwards));
    }
}
