//! Field lines and field sections (RFC 9112, section 5), as ranges of bytes.
//!
//! A [`FieldSection`] borrows the bytes of a head or a trailer section and knows where each line,
//! name and value lies in them. Nothing is copied, lowercased or reordered, so a forwarder can pass
//! on runs of lines exactly as they came. Each line carries the [`FieldId`] of its name, if it has
//! one.
//!
//! `httparse` splits the lines; this file refuses the LF without CR that it lets pass.
//!
//! Not here: which names have an id (`h1::field`), and what happens to which field (the gateway).

use super::connection::ConnectionOptions;
use super::field::FieldId;
use super::head_error::HeadError;
use super::limits::{HEAD_BYTES_RANGE, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use super::lines::SectionScanner;
use super::token::{is_ows, is_token, list_elements};
use alloc::vec::Vec;
use memchr::memchr;

/// Where one field line lies in the bytes of its [`FieldSection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLine {
    /// The id of the name, if it has one.
    pub id: Option<FieldId>,
    /// Position of the name, and so of the line, in [`FieldSection::bytes`].
    pub start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    /// Position after the line's CRLF. The next line starts here.
    pub end: u32,
}

/// The field lines of one head or trailer section, in the order they came.
#[derive(Clone, Debug)]
pub struct FieldSection<'b> {
    bytes: &'b [u8],
    lines: Vec<FieldLine>,
    /// A bit for each [`FieldId`] that a line has: most questions are about fields that are not
    /// there.
    ids: u64,
    /// A bit for each that several lines have.
    repeated: u64,
    connection: ConnectionOptions,
}

/// A field that may occur once occurs more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl<'b> FieldSection<'b> {
    /// Appends the line that begins where the last one ends.
    fn push(&mut self, line: FieldLine) {
        debug_assert_eq!(self.lines.last().map_or(0, |last| last.end), line.start);
        if let Some(id) = line.id {
            self.repeated |= self.ids & id.bit();
            self.ids |= id.bit();
            if id == FieldId::Connection {
                self.connection.read(self.value(&line));
            }
        }
        self.lines.push(line);
    }

    /// Whether any line has this name.
    pub fn has(&self, id: FieldId) -> bool {
        self.ids & id.bit() != 0
    }

    /// What the Connection lines say.
    pub fn connection(&self) -> &ConnectionOptions {
        &self.connection
    }

    /// Whether a Connection line says that the fields of this name are for this connection alone.
    pub fn nominates(&self, name: &[u8]) -> bool {
        self.connection.nominates && self.lists(FieldId::Connection, name)
    }

    /// The lines, in the order they came.
    pub fn lines(&self) -> &[FieldLine] {
        &self.lines
    }

    /// The name of one of these lines, in the case it came in.
    pub fn name(&self, line: &FieldLine) -> &'b [u8] {
        &self.bytes[line.start as usize..line.name_end as usize]
    }

    /// The value of one of these lines, without whitespace around it. It may hold bytes over 127.
    pub fn value(&self, line: &FieldLine) -> &'b [u8] {
        &self.bytes[line.value_start as usize..line.value_end as usize]
    }

    /// Whether the only whitespace of one of these lines is one SP after its colon.
    pub fn is_plain(&self, line: &FieldLine) -> bool {
        let behind_name = &self.bytes[line.name_end as usize..line.value_start as usize];
        behind_name == b": " && line.end - line.value_end == 2
    }

    /// All lines exactly as they came, each with its CRLF, without the empty line after them.
    ///
    /// A run of consecutive lines is `bytes()[first.start as usize..last.end as usize]`.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The values of all lines with this name, in the order they came.
    pub fn values(&self, id: FieldId) -> impl Iterator<Item = &'b [u8]> {
        let lines = if self.has(id) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| line.id == Some(id)).map(|line| self.value(line))
    }

    /// The values of all lines with this name, in any case, in the order they came. For names that
    /// have no id.
    pub fn named(&self, name: &[u8]) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let lines =
            self.lines.iter().filter(move |line| self.name(line).eq_ignore_ascii_case(name));
        lines.map(|line| self.value(line))
    }

    /// The value of the only line with this name, `None` without one.
    ///
    /// Two lines are an error even if they agree. This is for fields such as Host and the two
    /// lengths: the next recipient may pick the other line.
    pub fn single(&self, id: FieldId) -> Result<Option<&'b [u8]>, Repeated> {
        if self.repeated & id.bit() != 0 { Err(Repeated) } else { Ok(self.values(id).next()) }
    }

    /// The value of the first line with this name, in any case, if it is printable ASCII and has at
    /// most `bytes_max` bytes. For fields without an id.
    pub fn printable(&self, name: &str, bytes_max: usize) -> Option<&'b str> {
        let value = self.named(name.as_bytes()).next()?;
        let is_printable =
            value.len() <= bytes_max && value.iter().all(|it| matches!(it, b' '..=b'~'));
        str::from_utf8(value).ok().filter(|_| is_printable)
    }

    /// Whether `token`, in any case, is a list element of any line with this name.
    pub fn lists(&self, id: FieldId, token: &[u8]) -> bool {
        let is_token = |element: &[u8]| element.eq_ignore_ascii_case(token);
        self.has(id) && self.values(id).flat_map(list_elements).any(is_token)
    }
}

/// Parses a trailer section: field lines and the empty line after them (RFC 9112, section 7.1.2).
///
/// It is as strict as for heads. The section may have `max_fields` lines, but no more than
/// [`TRAILER_FIELDS_MAX`], and [`TRAILER_BYTES_MAX`] bytes.
pub fn parse_trailers(bytes: &[u8], max_fields: usize) -> Result<FieldSection<'_>, HeadError> {
    if bytes.len() > TRAILER_BYTES_MAX {
        return Err(HeadError::HeadTooLarge);
    }
    let mut table = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let most = max_fields.min(TRAILER_FIELDS_MAX);
    let table = &mut table[..most];
    match httparse::parse_headers(bytes, table) {
        Ok(httparse::Status::Complete((end, parsed))) if end == bytes.len() => {
            locate(bytes, parsed)
        }
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => {
            SectionScanner::default().find_end(bytes)?;
            Err(HeadError::NotOneHead)
        }
        Err(error) => Err(explain_fields(error, bytes, most)),
    }
}

/// Finds httparse's fields in `section`, which must hold them and an empty line, and nothing else.
///
/// httparse has checked every byte but the line ends, where it accepts LF alone as well. Its names
/// and values are parts of `section`, so their addresses say where they are.
pub(super) fn locate<'b>(
    section: &'b [u8],
    parsed: &[httparse::Header<'b>],
) -> Result<FieldSection<'b>, HeadError> {
    let bytes = section.strip_suffix(b"\r\n").ok_or(HeadError::BareLf)?;
    let place = |part: &[u8]| part.as_ptr().addr() - bytes.as_ptr().addr();
    let mut found = FieldSection {
        bytes,
        lines: Vec::with_capacity(parsed.len()),
        ids: 0,
        repeated: 0,
        connection: ConnectionOptions::default(),
    };
    for (index, field) in parsed.iter().enumerate() {
        let (start, value_start) = (place(field.name.as_bytes()), place(field.value));
        let end = parsed.get(index + 1).map_or(bytes.len(), |next| place(next.name.as_bytes()));
        if !bytes[..end].ends_with(b"\r\n") {
            return Err(HeadError::BareLf);
        }
        found.push(FieldLine {
            id: FieldId::of(field.name.as_bytes()),
            start: position(start),
            name_end: position(start + field.name.len()),
            value_start: position(value_start),
            value_end: position(value_start + field.value.len()),
            end: position(end),
        });
    }
    Ok(found)
}

/// A position in a head, which the limits keep far below 32 bits.
fn position(at: usize) -> u32 {
    const { assert!(*HEAD_BYTES_RANGE.end() <= u32::MAX as usize) };
    const { assert!(TRAILER_BYTES_MAX <= *HEAD_BYTES_RANGE.end()) };
    at as u32
}

/// Says what is wrong with the first faulty line of `section`, which httparse refused.
fn explain_fields(error: httparse::Error, section: &[u8], most: usize) -> HeadError {
    if let Err(error) = SectionScanner::default().find_end(section) {
        return error.into();
    }
    let lines = section.split_inclusive(|&byte| byte == b'\n').enumerate();
    let lines = lines.map(|(count, line)| (count, line.strip_suffix(b"\r\n").unwrap_or(line)));
    let mut wrong = lines
        .filter(|(_, line)| !line.is_empty())
        .filter_map(|(count, line)| check_field_line(line, count, most).err());
    wrong.next().unwrap_or(match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderValue => HeadError::BadFieldValue,
        httparse::Error::HeaderName
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => HeadError::BadFieldName,
    })
}

/// Checks a field line without its line end, which follows `count` others where `most` are allowed.
pub(super) fn check_field_line(line: &[u8], count: usize, most: usize) -> Result<(), HeadError> {
    if line.first().copied().is_some_and(is_ows) {
        return Err(HeadError::FoldedField);
    }
    let colon = memchr(b':', line).ok_or(HeadError::BadFieldName)?;
    if !is_token(&line[..colon]) {
        return Err(HeadError::BadFieldName);
    }
    if count >= most {
        return Err(HeadError::TooManyFields);
    }
    let is_allowed = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if line[colon + 1..].iter().all(is_allowed) { Ok(()) } else { Err(HeadError::BadFieldValue) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_case_and_bytes() {
        let bytes = b"b:1\r\nA-b: \t x \xff y\t \r\nTE:\r\n\r\n";
        let section = parse_trailers(bytes, 8).unwrap();
        let lines = section.lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(section.name(&lines[1]), b"A-b");
        assert_eq!(section.value(&lines[1]), b"x \xff y");
        assert_eq!(section.value(&lines[2]), b"");
        assert_eq!(lines[2].id, Some(FieldId::Te));
        assert_eq!(section.bytes(), &bytes[..bytes.len() - 2]);
        let run = |first: usize, last: usize| {
            &section.bytes()[lines[first].start as usize..lines[last].end as usize]
        };
        assert_eq!(run(1, 1), b"A-b: \t x \xff y\t \r\n");
        assert_eq!(run(0, 1), b"b:1\r\nA-b: \t x \xff y\t \r\n");
    }

    #[test]
    fn a_repeated_line_is_not_single_even_when_both_agree() {
        let section = parse_trailers(b"host: a\r\nTE: x\r\nHost: a\r\n\r\n", 8).unwrap();
        assert_eq!(section.single(FieldId::Host), Err(Repeated));
        assert_eq!(section.single(FieldId::Te), Ok(Some(b"x".as_slice())));
        assert_eq!(section.single(FieldId::Via), Ok(None));
        assert_eq!(section.values(FieldId::Host).count(), 2);
    }

    #[test]
    fn lines_without_an_id_are_found_by_their_name_in_any_case() {
        let section = parse_trailers(b"Sum: 1\r\nSums: 2\r\nsUM: 3\r\n\r\n", 8).unwrap();
        let found = |name: &[u8]| section.named(name).collect::<Vec<_>>();
        assert_eq!(found(b"sum"), [b"1", b"3"]);
        assert!(found(b"su").is_empty());
    }

    #[test]
    fn list_elements_are_found_in_any_line_and_case() {
        let bytes = b"Connection: keep-alive\r\nconnection: a ,\tUpgrade\r\n\r\n";
        let section = parse_trailers(bytes, 8).unwrap();
        assert!(section.lists(FieldId::Connection, b"upgrade"));
        assert!(section.lists(FieldId::Connection, b"Keep-Alive"));
        assert!(!section.lists(FieldId::Connection, b"keep"));
        assert!(!section.lists(FieldId::Upgrade, b"upgrade"));
    }

    #[test]
    fn a_trailer_section_is_parsed_like_the_fields_of_a_head() {
        let section = parse_trailers(b"Sum: 1\r\nTe: x\r\n\r\n", 2).unwrap();
        assert_eq!(section.lines().len(), 2);
        assert_eq!(section.single(FieldId::Te), Ok(Some(b"x".as_slice())));
        assert_eq!(parse_trailers(b"\r\n", 0).map(|section| section.lines().len()), Ok(0));
    }

    #[test]
    fn trailer_sections_are_as_strict_as_heads() {
        for (bytes, error) in [
            ("a: b\n\r\n", HeadError::BareLf),
            ("a: b\rc: d\r\n\r\n", HeadError::BareCr),
            ("a: b\0\r\n\r\n", HeadError::Nul),
            ("a : b\r\n\r\n", HeadError::BadFieldName),
            (" a: b\r\n\r\n", HeadError::FoldedField),
            ("a: b\r\n c\r\n\r\n", HeadError::FoldedField),
            ("a: \x01\r\n\r\n", HeadError::BadFieldValue),
            ("a: b\r\nc: d\r\ne: f\r\n\r\n", HeadError::TooManyFields),
            ("a: b\r\n", HeadError::NotOneHead),
            ("a: b\r\n\r\nc", HeadError::NotOneHead),
            ("", HeadError::NotOneHead),
        ] {
            assert_eq!(parse_trailers(bytes.as_bytes(), 2).err(), Some(error), "{bytes:?}");
        }
        let long = format!("a: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        assert_eq!(parse_trailers(long.as_bytes(), 2).err(), Some(HeadError::HeadTooLarge));
    }
}
