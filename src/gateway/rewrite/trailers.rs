//! The trailer section that the receiver of a body gets (RFC 9110, section 6.5).

use super::client_info::is_client_info;
use super::edit::{Edit, copy_fields};
use super::response::is_front_order;
use crate::h1::body::BodyWriter;
use crate::h1::head_error::HeadError;
use crate::h1::limits::TRAILER_FIELDS_MAX;
use crate::h1::section::{FieldSection, parse_trailers};
use bytes::{BufMut, BytesMut};

/// The fields of `section`, if a receiver whose body is framed by `writer` can get any: only chunks
/// have a place for them.
///
/// # Errors
/// The section is malformed, which breaks the message for any receiver.
pub fn trailers_for(
    writer: BodyWriter,
    section: &[u8],
) -> Result<Option<FieldSection<'_>>, HeadError> {
    let fields = parse_trailers(section, TRAILER_FIELDS_MAX)?;
    Ok((writer == BodyWriter::Chunked).then_some(fields))
}

/// Appends a trailer section with its final empty line, without the fields that mean something
/// else in a trailer than where they belong (RFC 9110, section 6.5.1): framing, routing,
/// authentication, and everything that a head would have been changed for.
pub fn put_trailers(out: &mut BytesMut, trailers: &FieldSection<'_>) {
    const NOT_IN_TRAILERS: [&[u8]; 8] = [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"cookie",
        b"proxy-authenticate",
        b"range",
        b"www-authenticate",
    ];
    copy_fields(out, trailers, |line| {
        let name = trailers.name(line);
        let is_known = line.id.is_some() || is_client_info(name) || is_front_order(name);
        if is_known || NOT_IN_TRAILERS.iter().any(|no| name.eq_ignore_ascii_case(no)) {
            Edit::Drop
        } else {
            Edit::Keep
        }
    });
    out.put_slice(b"\r\n");
}
