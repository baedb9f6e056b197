//! The request head that the upstream gets.

use super::client_info::is_client_info;
use super::edit::{Edit, NewValue, copy_fields, put_all};
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

/// Appends the request head that the upstream gets.
pub fn put_request_head(
    out: &mut BytesMut,
    head: &RequestHead<'_>,
    request: &Request,
    target: &NewTarget<'_>,
    host: &[u8],
) {
    put_all(out, &[head.method, b" ", target.replacement, target.rest, target.query]);
    out.put_slice(b" HTTP/1.1\r\n");
    if head.fields.values(FieldId::Host).next().is_none() {
        put_all(out, &[b"Host: ", host, b"\r\n"]);
    }
    copy_fields(out, &head.fields, |line| request_edit(&head.fields, line, request, host));
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
            BodyLength::Exact(length) => Edit::Value(NewValue::Number(length)),
            BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => Edit::Drop,
        },
        FieldId::TransferEncoding => Edit::Value(NewValue::Bytes(b"chunked")),
        FieldId::MaxForwards => match request.max_forwards {
            Some(hops) => Edit::Value(NewValue::Number(hops.saturating_sub(1))),
            None => Edit::Keep,
        },
        FieldId::Expect if request.expects_continue => Edit::Keep,
        FieldId::Expect
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::ProxyAuthorization
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::Http2Settings
        | FieldId::Via
        | FieldId::Lookalike
        // Refused before it comes here.
        | FieldId::FramingLookalike => Edit::Drop,
        FieldId::Trailer
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::AltSvc
        | FieldId::XAccelBuffering
        | FieldId::HostPolicy
        | FieldId::Origin
        | FieldId::IdempotencyKey
        | FieldId::XRequestId
        | FieldId::Reference
        | FieldId::Refresh
        | FieldId::SetCookie => Edit::Keep,
    }
}
