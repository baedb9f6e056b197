//! Copying the field lines of a head or of a trailer section, with edits.

use super::cookie::map_set_cookie;
use super::uri_reference::{Pieces, View};
use crate::gateway::credentials::{Credentials, put_with_token};
use crate::h1::encode::put_decimal;
use crate::h1::field::FieldId;
use crate::h1::section::{FieldLine, FieldSection};
use crate::h1::token::list_elements;
use crate::limits::CONNECTION_OPTIONS_MAX;
use bytes::{BufMut, BytesMut};

/// What becomes of one field line.
pub(super) enum Edit<'a> {
    /// Copied as it came.
    Keep,
    /// Left out.
    Drop,
    /// The name as it came, with this value.
    Value(NewValue<'a>),
    /// Another name and value, also where Connection nominates the line.
    Line(&'a [u8], [&'a [u8]; 2]),
}

pub(super) enum NewValue<'a> {
    Bytes(&'a [u8]),
    Number(u64),
    /// A reference of the upstream's, and what surrounds it.
    Reference {
        before: &'a [u8],
        pieces: Pieces<'a>,
        behind: &'a [u8],
    },
    /// A reference of the upstream's, whose query gets this token.
    ReferenceWithToken(Pieces<'a>, &'a [u8]),
    /// The value of a Set-Cookie field.
    Cookie(&'a [u8], &'a View<'a>),
    /// A list of subprotocols, and the position of its line.
    Subprotocols(&'a [u8], u32, &'a Credentials<'a>),
}

/// Whatever is listed in Connection belongs to the hop it came over (RFC 9110, section 7.6.1).
struct Nominated<'b> {
    names: [&'b [u8]; CONNECTION_OPTIONS_MAX],
    count: usize,
}

impl<'b> Nominated<'b> {
    /// `None` for most messages, which nominate nothing.
    fn of(fields: &FieldSection<'b>) -> Option<Self> {
        if !fields.connection().nominates {
            return None;
        }
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
        Some(nominated)
    }

    /// Host and the framing fields cannot be nominated away: they are ours to write.
    fn includes(&self, fields: &FieldSection<'_>, line: &FieldLine) -> bool {
        let is_ours = matches!(
            line.id,
            Some(
                FieldId::Host
                    | FieldId::ContentLength
                    | FieldId::TransferEncoding
                    | FieldId::Expect
            )
        );
        let name = fields.name(line);
        !is_ours && self.names[..self.count].iter().any(|other| name.eq_ignore_ascii_case(other))
    }
}

pub(super) fn copy_fields<'a>(
    out: &mut BytesMut,
    fields: &FieldSection<'a>,
    edit: impl Fn(&FieldLine) -> Edit<'a>,
) {
    let nominated = Nominated::of(fields);
    let bytes = fields.bytes();
    // The run of kept lines that is not copied yet.
    let (mut run_start, mut run_end) = (0, 0);
    for line in fields.lines() {
        let mut edit = edit(line);
        if nominated.as_ref().is_some_and(|it| it.includes(fields, line))
            && !matches!(edit, Edit::Line(..))
        {
            edit = Edit::Drop;
        }
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
                put_value(out, &value);
                out.put_slice(b"\r\n");
            }
            Edit::Line(name, [before, value]) => {
                put_all(out, &[name, b": ", before, value, b"\r\n"]);
            }
        }
    }
    out.put_slice(&bytes[run_start..run_end]);
}

/// A Content-Length of `length`. Nearly all come as we would write them, and stay in their run.
pub(super) fn length_edit<'a>(
    fields: &FieldSection<'_>,
    line: &FieldLine,
    length: u64,
) -> Edit<'a> {
    let is_ours = fields.is_plain(line) && matches!(fields.value(line), [b'1'..=b'9', ..] | b"0");
    if is_ours { Edit::Keep } else { Edit::Value(NewValue::Number(length)) }
}

fn put_value(out: &mut BytesMut, value: &NewValue<'_>) {
    match value {
        NewValue::Bytes(bytes) => out.put_slice(bytes),
        NewValue::Number(number) => put_decimal(out, *number),
        NewValue::Reference { before, pieces, behind } => {
            put_all(out, &[before]);
            put_all(out, pieces);
            put_all(out, &[behind]);
        }
        NewValue::ReferenceWithToken([before @ .., rest], token) => {
            put_all(out, before);
            put_with_token(out, rest, token);
        }
        NewValue::Cookie(value, view) => {
            map_set_cookie(value, view, |piece| out.put_slice(piece));
        }
        NewValue::Subprotocols(list, start, credentials) => {
            credentials.put_subprotocols(out, list, *start);
        }
    }
}

pub(super) fn put_all(out: &mut BytesMut, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.put_slice(part));
}
