//! The keys of an API, where a route has several: what becomes of a request that one of them is
//! refused for, and what is answered while all of them rest.
//!
//! Which key is used is decided in `gateway::access`.

use crate::gateway::access::{KeyRefusal, KeyTurn, Refused};
use crate::gateway::answer::{Reply, ResponseOptions};
use crate::gateway::credentials::put_other_key;
use crate::gateway::own_response::OwnHead;
use crate::h1::head::ResponseHead;
use crate::h1::token::parse_decimal;
use crate::net::buffer::Buffer;
use crate::net::date::unix_seconds;
use crate::proxy::client_connection::ClientConnection;
use crate::proxy::refusal::Content;
use crate::proxy::site::Route;
use crate::telemetry::ExchangeRecorder;
use crate::telemetry::targets::UPSTREAM;
use std::rc::Rc;
use std::str;
use std::time::{Duration, SystemTime};

/// Notes what the head of a final response says of the key that the request had. `behind` follows
/// the head, as far as it is here; `has_copy`: the request can be sent once more.
pub(super) fn judge(
    turn: &mut KeyTurn,
    route: &Route,
    head: &ResponseHead<'_>,
    behind: &[u8],
    has_copy: bool,
) {
    let Some(keys) = route.keys() else { return };
    if head.status >= 500 {
        // An API that fails says nothing about a key.
        return;
    }
    let refusal = KeyRefusal::of(head.status, || retry_after(head));
    let refused = turn.answered(keys, refusal, has_copy, unix_seconds);
    if let Some(refused) = refused {
        tell(route, head.status, refused, turn.is_to_go_on());
    }
    let Some(refusal) = refusal else { return };
    if !turn.is_to_go_on()
        && matches!(refusal, KeyRefusal::Busy(Some(_)))
        && let Some(last) = &route.upstream.last_refusal
    {
        last.set(Content::of(head, behind));
    }
}

/// What was sent of the request, with the key that it is to be sent with now. `None`: it cannot be
/// sent once more, so the answer that is here is passed on.
pub(super) fn sent_with_next_key(
    turn: &mut KeyTurn,
    route: &Route,
    sent: Option<Buffer>,
    recorder: &mut ExchangeRecorder,
) -> Option<Buffer> {
    let [before, next] = turn.next(route.keys()?)?;
    let with_next =
        sent.and_then(|mut sent| put_other_key(sent.to_append(), before, next).then_some(sent));
    match &with_next {
        Some(_) => recorder.key(next.line),
        // It has not been sent with that key, so no answer is about it.
        None => *turn = KeyTurn::default(),
    }
    with_next
}

/// What to answer to a request while all keys of its route rest.
pub(super) struct Rest {
    content: Rc<Content>,
    /// How long they will.
    seconds: u64,
}

/// What to answer to a request while all keys of its route rest. `None`: one of them may be used,
/// or it is unknown what the API would say.
pub(super) fn at_rest(route: &Route) -> Option<Rest> {
    let content = route.upstream.last_refusal.as_ref()?.get()?;
    Some(Rest { content, seconds: route.keys()?.rest(unix_seconds)? })
}

/// Queues that answer.
pub(super) fn put_refusal(
    client: &mut ClientConnection,
    Rest { content, seconds }: &Rest,
    options: ResponseOptions,
) -> Reply {
    let id = client.recorder.request_id();
    let Content { status, reason, media_type, body } = &**content;
    let fields = format!("Retry-After: {seconds}\r\n");
    let (status, length) = (*status, body.len());
    let head = OwnHead { status, reason, media_type, length, id, fields: &fields };
    client.queue_own(&head, body, options)
}

/// In seconds (RFC 9110, section 10.2.3).
fn retry_after(head: &ResponseHead<'_>) -> Option<u64> {
    let value = head.fields.named(b"Retry-After").next()?.trim_ascii();
    parse_decimal(value).or_else(|| {
        let at = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
        // What is over by the time that it arrives can be tried at once.
        let left = at.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
        Some(left.as_secs())
    })
}

/// Once for each change, so no flood of refusals is a flood of lines.
fn tell(route: &Route, status: u16, Refused { line, rests }: Refused, goes_on: bool) {
    let (route_name, key) = (&*route.name, line);
    route.upstream.metrics.key_refused();
    match rests {
        Some(seconds) => tracing::warn!(
            target: UPSTREAM,
            route = route_name,
            key,
            status,
            rests_s = seconds,
            sent_again = goes_on,
            "the API is over its limits for a key, which rests"
        ),
        None => tracing::warn!(
            target: UPSTREAM,
            route = route_name,
            key,
            status,
            sent_again = goes_on,
            "the API refuses a key, which is not used until a reload, or until its file changes"
        ),
    }
}
