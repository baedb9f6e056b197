//! Field lines that can never become right (RFC 9112, section 5), found before their head has
//! ended.
//!
//! [`FieldLines`] looks at the lines of a head that does not come in one read, each once, when its
//! line end is here. [`check_field_line`] is also what a whole head is explained by when `httparse`
//! has refused it, so that arrival does not change what is said of it.
//!
//! Not here: which heads are taken (`h1::head`).

use super::head_error::HeadError;
use super::limits::{HEAD_BYTES_RANGE, HEADER_FIELDS_MAX};
use super::token::{is_ows, is_token};
use memchr::memchr;

/// The field lines of one head, as far as they are whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldLines {
    /// Position of the first line that was not looked at; 0: of the start line. A few bytes, which
    /// a session has all along; the limits keep both far below these widths.
    next: u32,
    count: u16,
}

impl FieldLines {
    /// Looks at the lines of `input` that end before `end` and were not looked at before. The start
    /// line begins at `start`, is whole, and somebody else's. `most`: so many field lines may come.
    pub(super) fn check(
        &mut self,
        input: &[u8],
        start: usize,
        end: usize,
        most: usize,
    ) -> Result<(), HeadError> {
        const { assert!(HEADER_FIELDS_MAX < u16::MAX as usize) };
        const { assert!(*HEAD_BYTES_RANGE.end() < u32::MAX as usize) };
        let (mut next, mut count) = (self.next as usize, usize::from(self.count));
        if next == 0 {
            next = line_end(input, start);
        }
        while next < end {
            let line_end = line_end(input, next);
            let line = input.get(next..line_end).unwrap_or(&[]);
            check_field_line(line.strip_suffix(b"\r\n").unwrap_or(line), count, most)?;
            (next, count) = (line_end, count + 1);
        }
        (self.next, self.count) = (next as u32, count as u16);
        Ok(())
    }
}

/// The position behind the line of `input` that begins at `start`.
fn line_end(input: &[u8], start: usize) -> usize {
    let behind = input.get(start..).unwrap_or(&[]);
    memchr(b'\n', behind).map_or(input.len(), |at| start + at + 1)
}

/// Whether `line`, without its line end, is a field line, and may come behind `count` others, where
/// `most` may.
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
