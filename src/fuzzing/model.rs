//! What a gateway has to do with a message, decided a second time on the naive reading: which
//! requests are forwarded and as what, and which lines stay.

use super::naive::{self, Field, Head, Length};
use crate::gateway::rewrite::client_info::FAMILIES;
use crate::gateway::route::{Route, RouteTable};
use crate::h1::authority::Authority;
use crate::h1::dot_segments::resolve_dot_segments;
use crate::h1::limits::HeadLimits;
use crate::h1::target::{RequestTarget, split_query};
use crate::limits::CONNECTION_OPTIONS_MAX;
use crate::timeouts::Timeouts;
use std::sync::Arc;

/// Limits of heads, small enough for scripts to reach.
pub(super) const HEADS: HeadLimits = HeadLimits { bytes: 1024, fields: 16 };

/// The routes of the fuzzed relays: one inside the other, to different hosts.
const ROUTES: [(&str, &str, &str); 2] =
    [("/gpt/", "/", "api.test"), ("/gpt/v1/", "/deep/base/", "other.test:8443")];

/// The routes, all of them to `upstream`.
pub(super) fn routes<U: Clone>(upstream: &U) -> RouteTable<U> {
    let timeouts = Arc::new(Timeouts::distinct());
    RouteTable::new(ROUTES.map(|(path, replacement, host)| Route {
        timeouts: Arc::clone(&timeouts),
        head_limits: HEADS,
        ..Route::new(path, replacement, host, upstream.clone())
    }))
}

/// A request as the upstream must receive it, and what matters of it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// Each with its CRLF.
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) body: Length,
    pub(super) facts: RequestFacts,
}

/// What a request means for its connection and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestFacts {
    pub(super) is_http10: bool,
    pub(super) is_head: bool,
    pub(super) persists: bool,
    pub(super) expects_continue: bool,
    pub(super) offers_websocket: bool,
    pub(super) has_content: bool,
    /// The method is one for which every server reads content.
    pub(super) is_about_content: bool,
}

/// The length of a request's body, and its facts. `None` if the head is refused.
pub(super) fn facts(head: &Head) -> Option<(Length, RequestFacts)> {
    let hosts: Vec<&[u8]> = head.values("host").collect();
    match hosts[..] {
        [] if head.is_http10() => {}
        [host] if Authority::parse(host).is_some() => {}
        _ => return None,
    }
    let body = naive::announced(head).ok()?.unwrap_or(Length::None);
    let expectations = if head.is_http10() { Vec::new() } else { head.list("expect") };
    let hops: Vec<&[u8]> = head.values("max-forwards").collect();
    let bad_hops = head.method() == b"OPTIONS"
        && !(hops.is_empty() || hops.len() == 1 && naive::number(hops[0]).is_some());
    let refused = head.list("connection").len() > CONNECTION_OPTIONS_MAX
        || matches!(head.method(), b"CONNECT" | b"TRACE")
        || expectations.iter().any(|it| it != "100-continue")
        || RequestTarget::parse(head.method(), head.target()).is_err()
        || head
            .fields
            .iter()
            .any(|it| is_lookalike_of(&it.name, &["content-length", "transfer-encoding"]))
        || bad_hops;
    let offers_websocket = !head.is_http10()
        && matches!(body, Length::None | Length::Exact(0))
        && head.method() == b"GET"
        && head.list("connection").contains(&"upgrade".to_owned())
        && head.list("upgrade").contains(&"websocket".to_owned());
    let facts = RequestFacts {
        is_http10: head.is_http10(),
        is_head: head.method() == b"HEAD",
        persists: persists(head),
        expects_continue: !expectations.is_empty(),
        offers_websocket,
        has_content: !matches!(body, Length::None | Length::Exact(0)),
        is_about_content: [&b"POST"[..], b"PUT", b"PATCH"].contains(&head.method()),
    };
    (!refused).then_some((body, facts))
}

/// Whether the sender of a head lets its connection persist.
pub(super) fn persists(head: &Head) -> bool {
    let options = head.list("connection");
    let has = |option: &str| options.iter().any(|it| it == option);
    !has("close") && (!head.is_http10() || has("keep-alive"))
}

/// The request that the upstream must receive. `None` if we answer it ourselves.
pub(super) fn forwarded(head: &Head) -> Option<Forwarded> {
    let (body, facts) = facts(head)?;
    let hops = head.values("max-forwards").next().and_then(naive::number);
    let counts_hops = head.method() == b"OPTIONS" && hops.is_some();
    if counts_hops && hops == Some(0) {
        return None;
    }
    let (target, host) = new_target(head)?;
    let mut lines = Vec::new();
    if head.values("host").next().is_none() {
        lines.push(format!("Host: {host}\r\n").into_bytes());
    }
    for field in kept(&head.fields, head) {
        lines.extend(match field.name.as_str() {
            "host" => Some(with_value(field, host)),
            "content-length" => match body {
                Length::Exact(length) => Some(with_value(field, &length.to_string())),
                Length::None | Length::Chunked | Length::UntilClose => None,
            },
            "transfer-encoding" => Some(with_value(field, "chunked")),
            "max-forwards" if counts_hops => {
                Some(with_value(field, &(hops.unwrap_or(1) - 1).to_string()))
            }
            "expect" if !facts.expects_continue => None,
            name if !passes_up(name) => None,
            _ => Some(field.raw.clone()),
        });
    }
    if facts.offers_websocket {
        lines.push(b"Connection: Upgrade\r\n".to_vec());
        lines.push(b"Upgrade: websocket\r\n".to_vec());
    }
    Some(Forwarded { method: head.method().to_vec(), target, lines, body, facts })
}

/// The new request-target and the host of its route.
fn new_target(head: &Head) -> Option<(Vec<u8>, &'static str)> {
    let path_and_query = match RequestTarget::parse(head.method(), head.target()).ok()? {
        RequestTarget::Origin(target) => target,
        RequestTarget::Absolute { path_and_query, .. } => path_and_query,
        RequestTarget::Authority(_) | RequestTarget::Asterisk => return None,
    };
    let (path, query) = split_query(path_and_query);
    let path = if path.is_empty() { b"/" } else { path };
    // Disguised dot segments are checked by the property `target`.
    resolve_dot_segments(path, &mut Vec::new()).ok()?;
    let resolved = naive::resolve(path)?;
    let longest =
        |path: &[u8]| ROUTES.iter().rev().find(|(prefix, ..)| path.starts_with(prefix.as_bytes()));
    let (prefix, replacement, host) = longest(&resolved)?;
    if longest(path).is_some_and(|(begun, ..)| begun != prefix) {
        return None;
    }
    let rest = &resolved[prefix.len()..];
    Some(([replacement.as_bytes(), rest, query].concat(), host))
}

/// The fields that Connection does not name.
fn kept<'f>(fields: &'f [Field], head: &Head) -> impl Iterator<Item = &'f Field> {
    const OURS: [&str; 4] = ["host", "content-length", "transfer-encoding", "expect"];
    let mut nominated = head.list("connection");
    nominated.retain(|it| !matches!(it.as_str(), "close" | "keep-alive" | "upgrade"));
    fields
        .iter()
        .filter(move |it| OURS.contains(&it.name.as_str()) || !nominated.contains(&it.name))
}

/// The field as it came, with another value.
fn with_value(field: &Field, value: &str) -> Vec<u8> {
    [&field.raw[..field.name.len()], b": ", value.as_bytes(), b"\r\n"].concat()
}

/// Whether a field of a request is for the upstream.
fn passes_up(name: &str) -> bool {
    const FOR_ONE_HOP: [&str; 9] = [
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "upgrade",
        "via",
        "x-narrows-token",
    ];
    let read = name.replace('_', "-");
    let is_meant = |pattern: &str| match pattern.split_once('*') {
        Some((front, _)) => read.starts_with(front),
        None => read == pattern,
    };
    let is_about_the_client = FAMILIES.iter().copied().flatten().any(|(pattern, exceptions)| {
        is_meant(pattern) && !exceptions.iter().any(|exception| is_meant(exception))
    });
    !FOR_ONE_HOP.contains(&name)
        && !is_lookalike_of(name, &FOR_ONE_HOP)
        && !is_lookalike_of(name, &["max-forwards"])
        && !is_about_the_client
}

/// Whether CGI would read `name` as one of `names`, though it is another name.
fn is_lookalike_of(name: &str, names: &[&str]) -> bool {
    name.contains('_') && names.contains(&name.replace('_', "-").as_str())
}

/// As [`end_to_end`], of what was sent for a final response: without the id that is added where
/// `meant` has none. `None` if that is not one id of ours.
pub(super) fn end_to_end_without_id(sent: &Head, meant: &Head) -> Option<Vec<Vec<u8>>> {
    let ids = |head: &Head| kept(&head.fields, head).filter(|it| it.name == ID_NAME).count();
    let mut lines = end_to_end(sent);
    if ids(meant) == 0 {
        let is_id = |line: &Vec<u8>| {
            let digits =
                line.strip_prefix(b"X-Request-Id: ").and_then(|it| it.strip_suffix(b"\r\n"));
            let is_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            digits.is_some_and(|it| it.len() == 16 && it.iter().all(is_hex))
        };
        let at = lines.iter().position(is_id).filter(|_| ids(sent) == 1)?;
        lines.remove(at);
    }
    Some(lines)
}

const ID_NAME: &str = "x-request-id";

/// The lines of a response head that are passed on as they came. Those that we write are left out:
/// framing, Connection, and Date and X-Accel-Buffering, which we may add. So may be one line more,
/// with the id of a final response.
pub(super) fn end_to_end(head: &Head) -> Vec<Vec<u8>> {
    const OURS: [&str; 10] = [
        "connection",
        "content-length",
        "date",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-accel-buffering",
    ];
    const FOR_A_WHOLE_HOST: [&str; 12] = [
        "alt-svc",
        "alternate-protocol",
        "clear-site-data",
        "expect-ct",
        "expect-staple",
        "nel",
        "public-key-pins",
        "public-key-pins-report-only",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "strict-transport-security",
    ];
    const ORDERS: [&str; 4] = ["x-accel-", "x-lighttpd-", "x-reproxy-", "x-sendfile"];
    let stays = |name: &str| {
        !OURS.contains(&name)
            && !FOR_A_WHOLE_HOST.contains(&name)
            && !ORDERS.iter().any(|it| name.starts_with(it))
    };
    let fields = kept(&head.fields, head).filter(|it| stays(&it.name));
    fields.map(|it| it.raw.clone()).collect()
}
