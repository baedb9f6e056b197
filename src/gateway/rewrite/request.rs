//! The request head that the upstream gets.

use super::client_info::is_client_info;
use super::edit::{Edit, NewValue, copy_fields, length_edit, put_all};
use crate::gateway::credentials::{Credentials, LineEdit};
use crate::gateway::request::Request;
use crate::h1::field::FieldId;
use crate::h1::framing::BodyLength;
use crate::h1::head::RequestHead;
use crate::h1::section::{FieldLine, FieldSection};
use bytes::{BufMut, BytesMut};

/// The new request-target, in its three parts.
#[derive(Clone, Copy, Debug)]
pub struct NewTarget<'a> {
    /// What replaces the route's path; begins and ends with `/`.
    pub replacement: &'a [u8],
    /// The path after the route's path, byte for byte.
    pub rest: &'a [u8],
    /// The query with its `?`, or nothing.
    pub query: &'a [u8],
}

/// Appends the request head that the upstream gets. Without `credentials`, those of the client pass
/// as they are.
pub fn put_request_head(
    out: &mut BytesMut,
    head: &RequestHead<'_>,
    request: &Request,
    target: &NewTarget<'_>,
    host: &[u8],
    credentials: Option<&Credentials<'_>>,
) {
    put_all(out, &[head.method, b" ", target.replacement, target.rest]);
    match credentials {
        Some(credentials) => credentials.put_query(out, target.query),
        None => out.put_slice(target.query),
    }
    out.put_slice(b" HTTP/1.1\r\n");
    if !head.fields.has(FieldId::Host) {
        put_all(out, &[b"Host: ", host, b"\r\n"]);
    }
    let fields = &head.fields;
    copy_fields(out, fields, |line| {
        let edit = credentials.and_then(|it| credential_edit(fields, line, it));
        edit.unwrap_or_else(|| request_edit(fields, line, request, host))
    });
    if let Some((credentials, name)) = credentials.and_then(|it| Some((it, it.name_behind()?))) {
        let [scheme, key] = credentials.key_value();
        put_all(out, &[name.as_bytes(), b": ", scheme, key, b"\r\n"]);
    }
    if request.offers_websocket {
        out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.put_slice(b"\r\n");
}

fn request_edit<'a>(
    fields: &FieldSection<'_>,
    line: &FieldLine,
    request: &Request,
    host: &'a [u8],
) -> Edit<'a> {
    let Some(id) = line.id else {
        return if is_client_info(fields.name(line)) { Edit::Drop } else { Edit::Keep };
    };
    match id {
        FieldId::Host => Edit::Value(NewValue::Bytes(host)),
        FieldId::ContentLength => match request.body {
            BodyLength::Exact(length) => length_edit(fields, line, length),
            BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => Edit::Drop,
        },
        FieldId::TransferEncoding => Edit::Value(NewValue::Bytes(b"chunked")),
        FieldId::MaxForwards => match request.max_forwards {
            Some(hops) => Edit::Value(NewValue::Number(hops.saturating_sub(1))),
            None => Edit::Keep,
        },
        FieldId::Expect if request.expects_continue => Edit::Keep,
        id if is_for_one_hop(id) => Edit::Drop,
        _ => Edit::Keep,
    }
}

/// Whether a field is not for the upstream, or not as it came.
fn is_for_one_hop(id: FieldId) -> bool {
    match id {
        FieldId::Expect
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::ProxyAuthorization
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::Http2Settings
        | FieldId::Via
        | FieldId::NarrowsToken
        | FieldId::Lookalike
        // Refused before it comes here.
        | FieldId::FramingLookalike => true,
        FieldId::Host
        | FieldId::ContentLength
        | FieldId::TransferEncoding
        | FieldId::MaxForwards
        | FieldId::Trailer
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::AltSvc
        | FieldId::XAccelBuffering
        | FieldId::HostPolicy
        | FieldId::Origin
        | FieldId::IdempotencyKey
        | FieldId::XRequestId
        | FieldId::Reference
        | FieldId::UploadUrl
        | FieldId::Refresh
        | FieldId::SetCookie
        | FieldId::Authorization
        | FieldId::XApiKey
        | FieldId::ApiKey
        | FieldId::XGoogApiKey
        | FieldId::WebSocketProtocol
        | FieldId::KeyLookalike => false,
    }
}

/// What becomes of a line because of its credentials; `None`: the same as on a route without rules.
fn credential_edit<'a>(
    fields: &FieldSection<'a>,
    line: &FieldLine,
    credentials: &'a Credentials<'a>,
) -> Option<Edit<'a>> {
    Some(match credentials.edit_line(fields, line) {
        LineEdit::Keep => return None,
        LineEdit::Drop => Edit::Drop,
        LineEdit::Key(name) => {
            let name = name.map_or(fields.name(line), str::as_bytes);
            Edit::Line(name, credentials.key_value())
        }
        LineEdit::Subprotocols(list) => {
            Edit::Value(NewValue::Subprotocols(list, line.start, credentials))
        }
    })
}
