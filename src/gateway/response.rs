//! What a response head means for a gateway: [`ResponseKind`], and the rules that decide it.
//!
//! Not here: what follows for the two connections (`gateway::exchange`), and what of the head is
//! changed (`gateway::rewrite`).

use crate::gateway::request::{Method, Request};
use crate::h1::body::BodyWriter;
use crate::h1::field::FieldId;
use crate::h1::framing::{BodyLength, announces_body};
use crate::h1::head::{ResponseHead, Version};
use crate::h1::token::{list_elements, parse_decimal};

/// What to do about a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// An interim response that this client would not understand: drop it.
    DropInterim,
    /// Pass the interim response on, and expect another response.
    Interim,
    /// The upstream switched protocols: pass the head on; what follows is a tunnel.
    Switch,
    /// The final response.
    Final(FinalResponse),
}

/// How the final response travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// How the upstream frames the body.
    pub body: BodyLength,
    /// How we frame it for the client.
    pub writer: BodyWriter,
    /// Length fields of the head describe a body that is not sent (HEAD, 304): keep them.
    pub describes_absent_body: bool,
    /// The client's connection ends with this response.
    pub close: bool,
    /// The client speaks HTTP/1.0, so the response has to say that the connection stays open.
    pub tell_keep_alive: bool,
    /// A 426: `Upgrade` says what the client should have asked for (RFC 9110, section 15.5.22).
    pub keep_upgrade: bool,
    /// Pages of every origin may read it, unless the upstream says which.
    pub open_to_pages: bool,
}

/// Whether a 101 switches to what `request` offered, and to nothing else.
pub(super) fn is_agreed_switch(request: &Request, head: &ResponseHead<'_>) -> bool {
    request.offers_websocket
        && head.fields.connection().upgrade
        && head.fields.values(FieldId::Upgrade).flat_map(list_elements).count() == 1
        && head.fields.lists(FieldId::Upgrade, b"websocket")
}

/// How a body that the upstream frames as `body` is framed for a client of `version`.
pub(super) fn writer(body: BodyLength, version: Version) -> BodyWriter {
    match (body, version) {
        (BodyLength::None | BodyLength::Exact(_), _) => BodyWriter::Bare,
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http11) => BodyWriter::Chunked,
        // HTTP/1.0 has no chunks.
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => BodyWriter::UntilClose,
    }
}

/// Whether the upstream may take the rest of this request for the next one, or may still send
/// what we would take for the next response: simple servers do, and what they misread would
/// be another client's.
pub(super) fn may_be_out_of_step(
    request: &Request,
    head: &ResponseHead<'_>,
    body: BodyLength,
) -> bool {
    let is_refused = match head.status {
        // Said by servers that have given up on a request somewhere in its head.
        400 | 408 | 411 | 413 | 414 | 417 | 431 | 501 | 505 => true,
        // Said by those that count requests in front of whole fleets, and their clients ask
        // again.
        429 => false,
        // A head alone is enough to say it, and some read no content then.
        400.. => !request.body.is_empty(),
        _ => false,
    };
    let sends_more = match (body, request.method, head.status) {
        (BodyLength::None, _, 204 | 304)
        | (BodyLength::None, Method::OtherIdempotent | Method::Other, _) => announces_body(head),
        // A body that must not come does come, a moment later, announced or not.
        (BodyLength::None, Method::Head, _) => !says_empty(head),
        (BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose, ..) => false,
    };
    request.content_may_stay_unread || is_refused || sends_more
}

/// Whether the length that `head` gives is 0.
fn says_empty(head: &ResponseHead<'_>) -> bool {
    head.fields.has(FieldId::ContentLength) && !announces_body(head)
}

/// `timeout` of the Keep-Alive field, in seconds: not in any RFC since 2068, and sent by most
/// servers. Who says more than a century means for ever.
pub(super) fn keep_alive_timeout(head: &ResponseHead<'_>) -> Option<u32> {
    let mut parameters = head.fields.values(FieldId::KeepAlive).flat_map(list_elements);
    let seconds = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"timeout=".len())?;
        if name.eq_ignore_ascii_case(b"timeout=") { parse_decimal(value) } else { None }
    });
    seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}
