//! What a gateway changes in a head (RFC 9110, section 7.6; RFC 9112, sections 3.2 and 6.1).
//!
//! Lines that stay are copied as they came, byte for byte and in order; a run of them is one
//! copy. Changed lines keep their place and the case of their name. A head has been parsed
//! strictly before it comes here, so a copied line cannot hold a second one.
//!
//! Not here: whether a message may be forwarded (`h1::request`, `h1::exchange`).

use crate::h1::body::BodyWriter;
use crate::h1::encode::put_decimal;
use crate::h1::exchange::FinalResponse;
use crate::h1::field::{FieldId, FieldLine, FieldSection};
use crate::h1::framing::BodyLength;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::request::Request;
use crate::h1::token::{list_elements, parse_decimal, trim_ows};
use crate::limits::CONNECTION_OPTIONS_MAX;
use bytes::{BufMut, BytesMut};

/// The new request-target, in its three parts.
#[derive(Clone, Copy, Debug)]
pub struct NewTarget<'a> {
    /// What stands in place of the route's path; begins and ends with `/`.
    pub replacement: &'a [u8],
    /// The path behind the route's path, byte for byte.
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
    copy_fields(out, &head.fields, |line| request_edit(line.id, request, host));
    if request.offers_websocket {
        out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.put_slice(b"\r\n");
}

/// Appends the final response head that the client gets. `date` is added where the upstream sent
/// none (RFC 9110, section 6.6.1).
pub fn put_final_head(
    out: &mut BytesMut,
    head: &ResponseHead<'_>,
    response: &FinalResponse,
    date: &str,
) {
    put_status_line(out, head);
    let is_event_stream = is_event_stream(&head.fields);
    copy_fields(out, &head.fields, |line| match line.id {
        Some(FieldId::XAccelBuffering) if is_event_stream => Edit::Drop,
        Some(FieldId::Upgrade) if response.keep_upgrade => Edit::Keep,
        Some(FieldId::ContentLength) => final_length(head.fields.value(line), response),
        Some(FieldId::TransferEncoding)
            if response.body == BodyLength::Chunked && response.writer == BodyWriter::Chunked =>
        {
            Edit::Value(Value::Bytes(b"chunked"))
        }
        id => response_edit(id),
    });
    if response.body == BodyLength::UntilClose && response.writer == BodyWriter::Chunked {
        out.put_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if is_event_stream {
        // Asks an nginx in front of us not to hold events back.
        out.put_slice(b"X-Accel-Buffering: no\r\n");
    }
    if head.fields.values(FieldId::Date).next().is_none() {
        put_all(out, &[b"Date: ", date.as_bytes(), b"\r\n"]);
    }
    put_connection(out, response);
    out.put_slice(b"\r\n");
}

/// Appends an interim response head.
pub fn put_interim_head(out: &mut BytesMut, head: &ResponseHead<'_>) {
    put_status_line(out, head);
    copy_fields(out, &head.fields, |line| response_edit(line.id));
    out.put_slice(b"\r\n");
}

/// Appends the head of a switch to the WebSocket protocol.
pub fn put_switch_head(out: &mut BytesMut, head: &ResponseHead<'_>) {
    put_status_line(out, head);
    copy_fields(out, &head.fields, |line| response_edit(line.id));
    out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/// Appends a trailer section with its final empty line, without the fields that mean something
/// else in a trailer than where they belong (RFC 9110, section 6.5.1): framing, routing,
/// authentication, and everything that a head would have been changed for.
pub fn put_trailers(out: &mut BytesMut, trailers: &FieldSection<'_>) {
    const NOT_IN_TRAILERS: [&[u8]; 10] = [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"cookie",
        b"location",
        b"proxy-authenticate",
        b"range",
        b"set-cookie",
        b"www-authenticate",
    ];
    copy_fields(out, trailers, |line| {
        let name = trailers.name(line);
        if line.id.is_some() || NOT_IN_TRAILERS.iter().any(|no| name.eq_ignore_ascii_case(no)) {
            Edit::Drop
        } else {
            Edit::Keep
        }
    });
    out.put_slice(b"\r\n");
}

/// What becomes of one field line.
enum Edit<'a> {
    /// Copied as it came.
    Keep,
    /// Left out.
    Drop,
    /// The name as it came, with this value.
    Value(Value<'a>),
}

enum Value<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

fn request_edit<'a>(id: Option<FieldId>, request: &Request, host: &'a [u8]) -> Edit<'a> {
    let Some(id) = id else { return Edit::Keep };
    match id {
        FieldId::Host => Edit::Value(Value::Bytes(host)),
        FieldId::ContentLength => match request.body {
            BodyLength::Exact(length) => Edit::Value(Value::Number(length)),
            BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => Edit::Drop,
        },
        FieldId::TransferEncoding => Edit::Value(Value::Bytes(b"chunked")),
        FieldId::MaxForwards => match request.max_forwards {
            Some(hops) => Edit::Value(Value::Number(hops.saturating_sub(1))),
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
        | FieldId::ClientInfo => Edit::Drop,
        FieldId::Trailer
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::AltSvc
        | FieldId::XAccelBuffering
        | FieldId::IdempotencyKey => Edit::Keep,
    }
}

/// For every response; a final one makes its exceptions first.
fn response_edit<'a>(id: Option<FieldId>) -> Edit<'a> {
    let Some(id) = id else { return Edit::Keep };
    match id {
        FieldId::ContentLength
        | FieldId::TransferEncoding
        | FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::Http2Settings
        // It invites to another port of the *upstream's* name, which is not where the client is.
        | FieldId::AltSvc => Edit::Drop,
        FieldId::Host
        | FieldId::ProxyAuthorization
        | FieldId::Trailer
        | FieldId::Expect
        | FieldId::MaxForwards
        | FieldId::Via
        | FieldId::ClientInfo
        | FieldId::ContentType
        | FieldId::Date
        | FieldId::XAccelBuffering
        | FieldId::IdempotencyKey => Edit::Keep,
    }
}

fn final_length<'a>(value: &[u8], response: &FinalResponse) -> Edit<'a> {
    match response.body {
        BodyLength::Exact(length) => Edit::Value(Value::Number(length)),
        BodyLength::None if response.describes_absent_body => {
            parse_decimal(value).map_or(Edit::Drop, |length| Edit::Value(Value::Number(length)))
        }
        BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => Edit::Drop,
    }
}

/// Whatever is listed in Connection belongs to the hop it came over (RFC 9110, section 7.6.1).
struct Nominated<'b> {
    names: [&'b [u8]; CONNECTION_OPTIONS_MAX],
    count: usize,
}

impl<'b> Nominated<'b> {
    fn of(fields: &FieldSection<'b>) -> Self {
        let mut nominated = Self { names: [b""; CONNECTION_OPTIONS_MAX], count: 0 };
        for name in fields.values(FieldId::Connection).flat_map(list_elements) {
            let is_plain_option = [b"close".as_slice(), b"keep-alive", b"upgrade"]
                .iter()
                .any(|option| name.eq_ignore_ascii_case(option));
            if !is_plain_option && nominated.count < CONNECTION_OPTIONS_MAX {
                nominated.names[nominated.count] = name;
                nominated.count += 1;
            }
        }
        nominated
    }

    /// Host and the framing fields cannot be nominated away: they are ours to write.
    fn includes(&self, fields: &FieldSection<'_>, line: &FieldLine) -> bool {
        let is_ours = matches!(
            line.id,
            Some(FieldId::Host | FieldId::ContentLength | FieldId::TransferEncoding)
        );
        let name = fields.name(line);
        !is_ours && self.names[..self.count].iter().any(|other| name.eq_ignore_ascii_case(other))
    }
}

fn copy_fields<'a>(
    out: &mut BytesMut,
    fields: &FieldSection<'_>,
    edit: impl Fn(&FieldLine) -> Edit<'a>,
) {
    let nominated = Nominated::of(fields);
    let bytes = fields.bytes();
    // The run of kept lines that is not copied yet.
    let (mut run_start, mut run_end) = (0, 0);
    for line in fields.lines() {
        let edit = if nominated.includes(fields, line) { Edit::Drop } else { edit(line) };
        if matches!(edit, Edit::Keep) && run_end == line.start as usize {
            run_end = line.end as usize;
            continue;
        }
        out.put_slice(&bytes[run_start..run_end]);
        (run_start, run_end) = (line.end as usize, line.end as usize);
        match edit {
            Edit::Keep => run_start = line.start as usize,
            Edit::Drop => {}
            Edit::Value(value) => {
                put_all(out, &[fields.name(line), b": "]);
                match value {
                    Value::Bytes(bytes) => out.put_slice(bytes),
                    Value::Number(number) => put_decimal(out, number),
                }
                out.put_slice(b"\r\n");
            }
        }
    }
    out.put_slice(&bytes[run_start..run_end]);
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

fn is_event_stream(fields: &FieldSection<'_>) -> bool {
    fields.values(FieldId::ContentType).any(|value| {
        let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default();
        trim_ows(media_type).eq_ignore_ascii_case(b"text/event-stream")
    })
}

fn put_all(out: &mut BytesMut, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.put_slice(part));
}
