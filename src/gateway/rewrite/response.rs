//! The response heads that the client gets.

use super::edit::{Edit, NewValue, copy_fields, length_edit, put_all};
use crate::gateway::request_id::{RequestId, put_request_id};
use crate::gateway::response::FinalResponse;
use crate::gateway::rewrite::uri_reference::{View, refresh_target};
use crate::h1::body::BodyWriter;
use crate::h1::encode::put_decimal;
use crate::h1::field::FieldId;
use crate::h1::framing::BodyLength;
use crate::h1::head::ResponseHead;
use crate::h1::section::{FieldLine, FieldSection};
use crate::h1::token::{parse_decimal, trim_ows};
use bytes::{BufMut, BytesMut};
use memchr::memchr;

/// Appends the final response head that the client gets. Where the upstream sent none, `date` (RFC
/// 9110, section 6.6.1) and the `id` of the exchange are added. With a `view`, references and
/// cookies of the upstream become those of the route.
pub fn put_final_head(
    out: &mut BytesMut,
    head: &ResponseHead<'_>,
    response: &FinalResponse,
    date: &str,
    id: Option<RequestId>,
    view: Option<&View<'_>>,
) {
    put_status_line(out, head);
    let is_stream = is_stream(&head.fields);
    let asks_not_to_buffer = is_stream || may_be_stream(response, &head.fields);
    copy_fields(out, &head.fields, |line| match line.id {
        Some(FieldId::XAccelBuffering) if is_stream => Edit::Drop,
        Some(FieldId::Upgrade) if response.keep_upgrade => Edit::Keep,
        Some(FieldId::ContentLength) => final_length(&head.fields, line, response),
        Some(FieldId::TransferEncoding)
            if response.body == BodyLength::Chunked && response.writer == BodyWriter::Chunked =>
        {
            Edit::Value(NewValue::Bytes(b"chunked"))
        }
        _ => response_edit(&head.fields, line, view),
    });
    if response.body == BodyLength::UntilClose && response.writer == BodyWriter::Chunked {
        out.put_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if asks_not_to_buffer {
        // Asks an nginx in front of us not to hold back what comes in pieces.
        out.put_slice(b"X-Accel-Buffering: no\r\n");
    }
    if !passes(&head.fields, FieldId::Date, b"date") {
        put_all(out, &[b"Date: ", date.as_bytes(), b"\r\n"]);
    }
    put_missing_id(out, &head.fields, id);
    if response.open_to_pages && !names_origins(&head.fields) {
        out.put_slice(b"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: *\r\n");
    }
    put_connection(out, response);
    out.put_slice(b"\r\n");
}

/// Appends an interim response head.
pub fn put_interim_head(out: &mut BytesMut, head: &ResponseHead<'_>, view: Option<&View<'_>>) {
    put_status_line(out, head);
    copy_fields(out, &head.fields, |line| response_edit(&head.fields, line, view));
    out.put_slice(b"\r\n");
}

/// Appends the head of a switch to the WebSocket protocol: the last response of its exchange, so it
/// has the `id`, too.
pub fn put_switch_head(
    out: &mut BytesMut,
    head: &ResponseHead<'_>,
    id: Option<RequestId>,
    view: Option<&View<'_>>,
) {
    put_status_line(out, head);
    copy_fields(out, &head.fields, |line| response_edit(&head.fields, line, view));
    put_missing_id(out, &head.fields, id);
    out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/// For every response; a final one makes its exceptions first.
fn response_edit<'a>(
    fields: &FieldSection<'a>,
    line: &FieldLine,
    view: Option<&'a View<'a>>,
) -> Edit<'a> {
    let Some(id) = line.id else {
        return if is_front_order(fields.name(line)) { Edit::Drop } else { Edit::Keep };
    };
    match id {
        FieldId::Reference
        | FieldId::UploadUrl
        | FieldId::Refresh
        | FieldId::SetCookie => {
            view.map_or(Edit::Keep, |view| seen_by_client(id, fields.value(line), view))
        }
        FieldId::ContentLength
        | FieldId::TransferEncoding
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::Http2Settings
        // It invites to another port of the *upstream's* name, which is not where the client is.
        | FieldId::AltSvc
        // It would bind the relay's name, and with it all other routes.
        | FieldId::HostPolicy => Edit::Drop,
        FieldId::Host
        | FieldId::ProxyAuthorization
        | FieldId::Trailer
        | FieldId::Expect
        | FieldId::MaxForwards
        | FieldId::Via
        | FieldId::Lookalike
        | FieldId::FramingLookalike
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::XAccelBuffering
        | FieldId::Origin
        | FieldId::IdempotencyKey
        | FieldId::XRequestId
        | FieldId::Authorization
        | FieldId::XApiKey
        | FieldId::ApiKey
        | FieldId::XGoogApiKey
        | FieldId::NarrowsToken
        | FieldId::WebSocketProtocol
        | FieldId::KeyLookalike => Edit::Keep,
    }
}

/// Whether a server in front of us takes a field of this name for an order: `X-Accel-*`, which has
/// nginx send a file of its own in place of the answer, `X-Sendfile*` and its like.
pub(super) fn is_front_order(name: &[u8]) -> bool {
    let [b'x' | b'X', b'-', third, fourth, fifth, ..] = name else { return false };
    let front: &[u8] = match [third | 0x20, fourth | 0x20, fifth | 0x20] {
        [b'a', b'c', b'c'] => b"x-accel-",
        [b'l', b'i', b'g'] => b"x-lighttpd-",
        [b'r', b'e', b'p'] => b"x-reproxy-",
        [b's', b'e', b'n'] => b"x-sendfile",
        _ => return false,
    };
    name.get(..front.len()).is_some_and(|name| name.eq_ignore_ascii_case(front))
}

/// What becomes of a field in which the upstream names its own paths.
fn seen_by_client<'a>(id: FieldId, value: &'a [u8], view: &'a View<'a>) -> Edit<'a> {
    if id == FieldId::SetCookie {
        let has_attributes = memchr(b';', value).is_some();
        return if has_attributes {
            Edit::Value(NewValue::Cookie(value, view))
        } else {
            Edit::Keep
        };
    }
    let place = if id == FieldId::Refresh { refresh_target(value) } else { Some((0, value.len())) };
    let Some((start, end)) = place else { return Edit::Keep };
    match view.mapped(&value[start..end]) {
        Some(pieces) if id == FieldId::UploadUrl && !view.token.is_empty() => {
            Edit::Value(NewValue::ReferenceWithToken(pieces, view.token))
        }
        Some(pieces) => {
            let (before, behind) = (&value[..start], &value[end..]);
            Edit::Value(NewValue::Reference { before, pieces, behind })
        }
        None => Edit::Keep,
    }
}

fn final_length<'a>(
    fields: &FieldSection<'_>,
    line: &FieldLine,
    response: &FinalResponse,
) -> Edit<'a> {
    match response.body {
        BodyLength::Exact(length) => length_edit(fields, line, length),
        BodyLength::None if response.describes_absent_body => {
            parse_decimal(fields.value(line)).map_or(Edit::Drop, |it| length_edit(fields, line, it))
        }
        BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => Edit::Drop,
    }
}

fn put_missing_id(out: &mut BytesMut, fields: &FieldSection<'_>, id: Option<RequestId>) {
    if !passes(fields, FieldId::XRequestId, b"x-request-id") {
        put_request_id(out, id);
    }
}

/// Whether the upstream sent a field of this name that is not for one hop.
fn passes(fields: &FieldSection<'_>, id: FieldId, name: &[u8]) -> bool {
    fields.has(id) && !fields.nominates(name)
}

/// Whether the upstream says itself which pages may read its answer (Fetch, section 3.3.3).
fn names_origins(fields: &FieldSection<'_>) -> bool {
    fields.named(b"access-control-allow-origin").next().is_some()
}

fn put_status_line(out: &mut BytesMut, head: &ResponseHead<'_>) {
    out.put_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(head.status));
    put_all(out, &[b" ", head.reason, b"\r\n"]);
}

fn put_connection(out: &mut BytesMut, response: &FinalResponse) {
    let line: &[u8] = match (response.close, response.keep_upgrade, response.tell_keep_alive) {
        (true, true, _) => b"Connection: close, Upgrade\r\n",
        (true, false, _) => b"Connection: close\r\n",
        (false, true, _) => b"Connection: Upgrade\r\n",
        (false, false, true) => b"Connection: keep-alive\r\n",
        (false, false, false) => b"",
    };
    out.put_slice(line);
}

/// Whether the content is of a type that is made to be read while it comes.
fn is_stream(fields: &FieldSection<'_>) -> bool {
    const TYPES: [&[u8]; 11] = [
        b"text/event-stream",
        b"application/json-seq",
        b"application/jsonl",
        b"application/jsonlines",
        b"application/ndjson",
        b"application/stream+json",
        b"application/vnd.amazon.eventstream",
        b"application/x-json-stream",
        b"application/x-jsonlines",
        b"application/x-ndjson",
        b"multipart/x-mixed-replace",
    ];
    // With whatever they carry: `application/grpc-web+proto`.
    const FAMILIES: [&[u8]; 2] = [b"application/grpc", b"application/connect+"];
    fields.values(FieldId::ContentType).any(|value| {
        // Most answers are of this type.
        if value.eq_ignore_ascii_case(b"application/json") {
            return false;
        }
        let media_type = trim_ows(value.split(|&byte| byte == b';').next().unwrap_or_default());
        let begins_with = |family: &&[u8]| {
            media_type.get(..family.len()).is_some_and(|it| it.eq_ignore_ascii_case(family))
        };
        TYPES.iter().any(|it| media_type.eq_ignore_ascii_case(it))
            || FAMILIES.iter().any(begins_with)
    })
}

/// Whether the content has no length, so that it may come in pieces, whatever its type. An upstream
/// that says itself whether to buffer knows better.
fn may_be_stream(response: &FinalResponse, fields: &FieldSection<'_>) -> bool {
    matches!(response.body, BodyLength::Chunked | BodyLength::UntilClose)
        && !fields.has(FieldId::XAccelBuffering)
}
