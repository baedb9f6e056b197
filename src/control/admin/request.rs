//! What a request to the admin listener asks for: a pure function of its bytes.
//!
//! The parser and the rules are those of every request (`h1`, `gateway::request`). What is
//! different here: paths are compared as they are written, only GET and HEAD are allowed, and a
//! page of a browser may read nothing.

use crate::config::admin_address::AdminAddress;
use crate::control::admin::exposition::negotiate;
use crate::control::admin::page::Page;
use crate::error::{Cause, ExchangeError, RequestError};
use crate::gateway::answer::{Answer, ResponseOptions, answer_to};
use crate::gateway::request::{ValidRequest, validate};
use crate::h1::authority::Authority;
use crate::h1::head::RequestHead;
use crate::h1::limits::HeadLimits;
use std::net::IpAddr;

/// A request, as far as the answer needs it.
#[derive(Debug)]
pub(super) struct Request {
    /// The page, or why there is none.
    pub(super) asks: Result<Page, Answer>,
    /// How to answer.
    pub(super) options: ResponseOptions,
    /// Bytes after the head that are the request's body, for the caller to skip.
    pub(super) body_bytes: usize,
}

/// By which names the pages with facts about the relay may be requested.
///
/// A page of a browser may read what its own name serves. By changing the address of its name to
/// 127.0.0.1 (DNS rebinding), it reaches a listener on loopback by that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Any. Whoever operates a listener for other machines protects it otherwise.
    Any,
    /// Addresses, names without a dot, and names below `.localhost`: the internet resolves none of
    /// these.
    OfThisMachine,
}

impl Names {
    /// The names for a listener at `address`.
    pub(super) fn of(address: &AdminAddress) -> Self {
        match address {
            AdminAddress::Tcp(address) if address.sockets().all(|it| it.ip().is_loopback()) => {
                Self::OfThisMachine
            }
            AdminAddress::Tcp(_) | AdminAddress::Unix(_) => Self::Any,
        }
    }

    /// Whether a request for `authority` may have facts. It is empty if HTTP/1.0 gives none.
    fn include(self, authority: &[u8]) -> bool {
        let Some(Authority { host, .. }) = Authority::parse(authority) else { return true };
        let host = str::from_utf8(host).unwrap_or_default().trim_end_matches('.');
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        let is_local = !host.contains('.') || host.to_ascii_lowercase().ends_with(".localhost");
        self == Self::Any || is_address || is_local
    }
}

/// Reads the request whose whole head is `head`. `behind` are the bytes that follow it so far.
pub(super) fn read_request(
    head: &[u8],
    behind: &[u8],
    limits: &HeadLimits,
    names: Names,
    draining: bool,
) -> Request {
    let parsed = match RequestHead::parse(head, limits) {
        Ok(parsed) => parsed,
        Err(error) => return malformed(head, error.into()),
    };
    let valid = match validate(&parsed) {
        Ok(valid) => valid,
        Err(error) => return malformed(head, error),
    };
    let (options, body_bytes) = ResponseOptions::unforwarded(&valid.request, behind, draining);
    let options = ResponseOptions { for_page: false, ..options };
    Request { asks: page(&parsed, &valid, names), options, body_bytes }
}

/// The answer to a head that is malformed or incomplete. `None` if no one is left to read it.
pub(super) fn refuse(head: &[u8], error: &ExchangeError) -> Option<Request> {
    let asks = Err(answer_to(error)?);
    let options = ResponseOptions { for_page: false, ..ResponseOptions::malformed(head) };
    Some(Request { asks, options, body_bytes: 0 })
}

fn malformed(head: &[u8], error: RequestError) -> Request {
    let allowed =
        Request { asks: Err(NOT_ALLOWED), options: ResponseOptions::CLOSE, body_bytes: 0 };
    match error {
        RequestError::MethodNotAllowed => allowed,
        error => {
            let error = ExchangeError::client(Cause::Request(error));
            refuse(head, &error).unwrap_or(allowed)
        }
    }
}

fn page(head: &RequestHead<'_>, valid: &ValidRequest<'_>, names: Names) -> Result<Page, Answer> {
    let page = match valid.path {
        b"/livez" => Page::Live,
        b"/readyz" => Page::Ready,
        b"/metrics" => Page::Metrics(negotiate(&head.fields)),
        b"/status" => Page::Status,
        b"*" => return Err(NOT_ALLOWED),
        _ => return Err(NOT_FOUND),
    };
    if !matches!(head.method, b"GET" | b"HEAD") {
        return Err(NOT_ALLOWED);
    }
    match page {
        Page::Metrics(_) | Page::Status if !names.include(valid.authority) => Err(MISDIRECTED),
        Page::Live | Page::Ready | Page::Metrics(_) | Page::Status => Ok(page),
    }
}

const NOT_FOUND: Answer = Answer {
    status: 404,
    reason: "Not Found",
    code: "page_not_found",
    message: "The admin listener has /livez, /readyz, /metrics and /status.",
    fields: "",
    retry_after: None,
};

const NOT_ALLOWED: Answer = Answer {
    status: 405,
    reason: "Method Not Allowed",
    code: "method_not_allowed",
    message: "The admin listener answers GET and HEAD.",
    fields: "Allow: GET, HEAD\r\n",
    retry_after: None,
};

const MISDIRECTED: Answer = Answer {
    status: 421,
    reason: "Misdirected Request",
    code: "host_not_allowed",
    message: "On a loopback address this page is served by IP address or as localhost.",
    fields: "",
    retry_after: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Format;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

    fn read(text: &str) -> Request {
        let end = text.find("\r\n\r\n").unwrap() + 4;
        let (head, behind) = text.as_bytes().split_at(end);
        read_request(head, behind, &LIMITS, Names::OfThisMachine, false)
    }

    #[track_caller]
    fn asks(text: &str) -> Result<Page, (u16, &'static str)> {
        read(text).asks.map_err(|answer| (answer.status, answer.code))
    }

    #[test]
    fn each_page_has_its_path_and_a_query_changes_nothing() {
        let get = |target: &str| asks(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(get("/livez"), Ok(Page::Live));
        assert_eq!(get("/readyz?verbose"), Ok(Page::Ready));
        assert_eq!(get("/metrics?name[]=up"), Ok(Page::Metrics(Format::Text)));
        assert_eq!(get("http://127.0.0.1:9145/status"), Ok(Page::Status));
        for target in ["/", "/livez/", "/LIVEZ", "//livez", "/./livez", "/%6civez", "/a/../livez"] {
            assert_eq!(get(target), Err((404, "page_not_found")), "{target}");
        }
        let accept = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text\r\n\r\n";
        assert_eq!(asks(accept), Ok(Page::Metrics(Format::OpenMetrics)));
    }

    #[test]
    fn only_get_and_head_are_allowed() {
        let with = |line: &str| asks(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(with("HEAD /livez"), Ok(Page::Live));
        for line in [
            "POST /livez",
            "DELETE /status",
            "FOO /metrics",
            "OPTIONS /readyz",
            "OPTIONS *",
            "TRACE /livez",
            "CONNECT a:443",
        ] {
            assert_eq!(with(line), Err((405, "method_not_allowed")), "{line}");
        }
        assert_eq!(with("POST /none"), Err((404, "page_not_found")));
        let options = read("OPTIONS /livez HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
        assert_eq!(options.asks.unwrap_err().fields, "Allow: GET, HEAD\r\n");
    }

    #[test]
    fn a_malformed_request_is_refused_as_by_every_listener_and_ends_the_connection() {
        for (text, want) in [
            ("GET /livez HTTP/1.1\r\n\r\n", (400, "bad_host")),
            ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", (400, "bad_host")),
            ("GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", (400, "bad_host")),
            ("GET /livez HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n", (400, "malformed_head")),
            ("GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", (505, "unsupported_version")),
            ("get /livez HTTP/1.1\r\nHost: a\r\n\r\n", (501, "unknown_method")),
            (
                "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: \
                 chunked\r\n\r\n",
                (400, "ambiguous_length"),
            ),
        ] {
            let Request { asks, options, .. } = read(text);
            assert_eq!(asks.map_err(|it| (it.status, it.code)), Err(want), "{text}");
            assert!(options.close, "{text}");
        }
    }

    #[test]
    fn a_body_is_skipped_if_it_is_here_and_ends_the_connection_otherwise() {
        let get = "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        let whole = read(&format!("{get}abcGET"));
        assert_eq!((whole.body_bytes, whole.options.close), (3, false));
        let part = read(&format!("{get}ab"));
        assert_eq!((part.body_bytes, part.options.close), (0, true));
    }

    #[test]
    fn a_page_of_a_browser_may_read_nothing() {
        for target in ["/livez", "/none"] {
            let origin = format!("GET {target} HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
            assert!(!read(&origin).options.for_page);
        }
    }

    #[test]
    fn facts_are_not_served_on_loopback_by_a_name_that_the_internet_resolves() {
        let get = |page: &str, host: &str| {
            asks(&format!("GET {page} HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok()
        };
        for host in
            ["127.0.0.1:9145", "[::1]:9145", "localhost", "LocalHost:1", "a.localhost.", "relay"]
        {
            assert!(get("/status", host) && get("/metrics", host), "{host}");
        }
        for host in ["rebound.example", "127.0.0.1.example:9145", "localhost.example", "a.b."] {
            assert!(!get("/status", host) && !get("/metrics", host), "{host}");
            assert!(get("/livez", host) && get("/readyz", host), "{host}");
        }
        let absolute = "GET http://rebound.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(asks(absolute), Err((421, "host_not_allowed")));
        assert_eq!(asks("GET /status HTTP/1.0\r\n\r\n"), Ok(Page::Status));
        assert!(Names::Any.include(b"rebound.example"));
    }

    #[test]
    fn names_are_checked_on_loopback_alone() {
        let of = |text: &str| Names::of(&text.parse().unwrap());
        assert_eq!(of("127.0.0.2:1"), Names::OfThisMachine);
        assert_eq!(of("[::1]:1"), Names::OfThisMachine);
        assert_eq!(of("localhost:1"), Names::OfThisMachine);
        for text in ["0.0.0.0:1", ":1", "192.168.1.1:1", "unix:/run/admin.sock"] {
            assert_eq!(of(text), Names::Any, "{text}");
        }
    }
}
