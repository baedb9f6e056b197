//! Finding the end of a head while its bytes arrive (RFC 9112, sections 2.1 and 2.2).
//!
//! A head arrives in pieces of any size. [`HeadReader`] is shown all bytes since the first one,
//! again each time that there are more, and answers where the head begins and ends. It keeps
//! positions and no bytes, and looks at each byte only when it arrives, so a head that trickles in
//! costs little more than one that arrives at once.
//!
//! # Answers
//!
//! | [`find`](HeadReader::find) gives | which means | and the caller |
//! |---|---|---|
//! | `Ok(None)` | this may still become a head | appends bytes and asks again |
//! | `Ok(Some(span))` | a head lies at `span` | parses it; this reader is done |
//! | `Err(error)` | no further byte can make this a head | refuses it; this reader is done |
//!
//! # States
//!
//! | state | its bytes | what ends it |
//! |---|---|---|
//! | empty lines | CRLF, at most [`LEADING_EMPTY_LINES_MAX`] times; requests only | another byte |
//! | start line | each is checked when it arrives, and the line as a whole at its end | its CRLF |
//! | field lines | each line is checked once, when its CRLF is here | the empty line |
//!
//! Checking lines before the head is complete gives a scanner, a shell or a client of another
//! protocol its answer at once, instead of when the time limit for a head has passed. A head that
//! arrives whole, as most do, skips all checks: its parser makes them, and asks `first_fault`
//! what is wrong with one that it refuses.
//!
//! # What must not depend on arrival
//!
//! The same bytes get the same verdict however they are cut. Therefore bytes beyond the limit are
//! never scanned, and of two faults the one that comes first in the message is reported: the start
//! line's before a field line's, and that before a bare CR in a later line.
//!
//! Not here: what a whole head says (`h1::head`).

use super::head_error::HeadError;
use super::limits::{HEAD_BYTES_RANGE, HEADER_FIELDS_MAX, HeadLimits, LEADING_EMPTY_LINES_MAX};
use super::lines::{SectionScanner, find_empty_line};
use super::section::check_field_line;
use super::start_line::{StartLine, check_arrived};
use memchr::memchr;

/// Finds the end of one head while it arrives. See the [module](self) for its states.
#[derive(Clone, Debug)]
pub struct HeadReader {
    kind: StartLine,
    /// Position of the start line: the end of the empty lines skipped so far.
    start: u8,
    /// None until the first byte of the start line is here.
    scanner: Option<SectionScanner>,
    fields: FieldLines,
}

/// Where a head lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpan {
    /// Position of the start line.
    pub start: usize,
    /// Position after the empty line.
    pub end: usize,
}

impl Default for HeadReader {
    /// A reader for a request head.
    fn default() -> Self {
        Self::for_kind(StartLine::Request)
    }
}

impl HeadReader {
    /// A reader for a response head. No empty line may precede one.
    pub fn for_response() -> Self {
        Self::for_kind(StartLine::Status)
    }

    fn for_kind(kind: StartLine) -> Self {
        Self { kind, start: 0, scanner: None, fields: FieldLines::default() }
    }

    /// Looks for the end of the head in all bytes since the first, or gives `None` to ask for more.
    ///
    /// `input` may grow between calls and must not change otherwise.
    ///
    /// # Errors
    /// The bytes cannot become a head within the limits: there is a bare CR or LF, a NUL, a byte
    /// that cannot be part of a start line, or a whole line that is not one.
    pub fn find(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<HeadSpan>, HeadError> {
        if self.scanner.is_none() {
            self.scanner = self.skip_empty_lines(input)?;
        }
        let start = self.start();
        let Some(scanner) = &self.scanner else { return Ok(None) };
        let limit = start.saturating_add(limits.bytes);
        let window = input.get(..limit).unwrap_or(input);
        // Up to three bytes of what ends the head may have come before.
        let from = start.max(scanner.scanned().saturating_sub(3));
        if let Some(len) = window.get(from..).and_then(find_empty_line) {
            return Ok(Some(HeadSpan { start, end: from + len }));
        }
        self.check(window, limits)?;
        match self.kind {
            _ if window.len() < limit => Ok(None),
            StartLine::Request if !self.has_start_line() => Err(HeadError::TargetTooLong),
            StartLine::Request | StartLine::Status => Err(HeadError::HeadTooLarge),
        }
    }

    /// Checks the bytes and the lines of `window` that were not checked before, and reports the
    /// first fault in the message, which need not be the one that the scanner meets.
    fn check(&mut self, window: &[u8], limits: &HeadLimits) -> Result<(), HeadError> {
        let start = self.start();
        let Some(scanner) = &mut self.scanner else { return Ok(()) };
        let (scanned, had_line) = (scanner.scanned(), scanner.has_line());
        let found = scanner.find_end(window);
        if !had_line {
            let line = window.get(start..).unwrap_or(&[]);
            check_arrived(self.kind, line, scanned - start, scanner.has_line())?;
        }
        if scanner.has_line() {
            let most = limits.fields.min(HEADER_FIELDS_MAX);
            self.fields.check(window, start, scanner.line_start(), most)?;
        }
        found?;
        Ok(())
    }

    fn start(&self) -> usize {
        const { assert!(LEADING_EMPTY_LINES_MAX * b"\r\n".len() <= u8::MAX as usize) };
        self.start.into()
    }

    fn has_start_line(&self) -> bool {
        self.scanner.as_ref().is_some_and(SectionScanner::has_line)
    }

    /// Steps over empty lines. Gives a scanner for the head once its first byte is here.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<Option<SectionScanner>, HeadError> {
        loop {
            let may_skip = match self.kind {
                StartLine::Request => self.start() < LEADING_EMPTY_LINES_MAX * b"\r\n".len(),
                StartLine::Status => false,
            };
            match input.get(self.start()..).unwrap_or(&[]) {
                [] => return Ok(None),
                // An LF may follow.
                [b'\r'] if may_skip => return Ok(None),
                [b'\r', b'\n', ..] if may_skip => self.start += 2,
                [b'\r', _, ..] if may_skip => return Err(HeadError::BareCr),
                [b'\n', ..] => return Err(HeadError::BareLf),
                [first, ..] if self.kind.may_begin_with(*first) => {
                    return Ok(Some(SectionScanner::starting_at(self.start())));
                }
                [TLS_ALERT | TLS_HANDSHAKE, ..] => return Err(HeadError::Tls),
                [_, ..] => return Err(HeadError::NotHttp),
            }
        }
    }
}

/// What is wrong with `head`, which is whole, and which its parser has refused. It is the fault
/// that a [`HeadReader`] reports if the head arrives byte by byte, so that arrival does not matter.
pub(super) fn first_fault(
    kind: StartLine,
    head: &[u8],
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    let scanner = Some(SectionScanner::default());
    HeadReader { scanner, ..HeadReader::for_kind(kind) }.check(head, limits)
}

/// The types of the records that begin a TLS connection, or refuse one (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;

/// How many field lines of one head have been checked. A few bytes, because a session keeps them
/// all along; the limits keep both numbers far below these widths.
#[derive(Clone, Copy, Debug, Default)]
struct FieldLines {
    /// Position of the first line that was not checked. 0, which is the start line's, at first.
    next: u32,
    count: u16,
}

impl FieldLines {
    /// Checks the lines of `input` that end before `end` and were not checked before. The start
    /// line, which begins at `start` and is whole, is skipped. At most `most` field lines may come.
    fn check(
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

/// The position after the line of `input` that begins at `start`.
fn line_end(input: &[u8], start: usize) -> usize {
    let rest = input.get(start..).unwrap_or(&[]);
    memchr(b'\n', rest).map_or(input.len(), |at| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::token::is_tchar;
    use super::*;
    use crate::h1::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT};

    const LIMITS: HeadLimits =
        HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };

    #[test]
    fn a_byte_that_cannot_begin_a_head_is_refused_at_once() {
        for byte in 0..=u8::MAX {
            let want = match byte {
                b'\r' => Ok(None),
                b'\n' => Err(HeadError::BareLf),
                _ if is_tchar(byte) => Ok(None),
                0x15 | 0x16 => Err(HeadError::Tls),
                _ => Err(HeadError::NotHttp),
            };
            assert_eq!(HeadReader::default().find(&[byte], &LIMITS), want, "{byte:#04x}");
            let want = match byte {
                b'H' => Ok(None),
                b'\n' => Err(HeadError::BareLf),
                0x15 | 0x16 => Err(HeadError::Tls),
                _ => Err(HeadError::NotHttp),
            };
            assert_eq!(HeadReader::for_response().find(&[byte], &LIMITS), want, "{byte:#04x}");
        }
    }

    #[test]
    fn an_incomplete_start_line_that_may_become_valid_is_not_refused() {
        let limits = &LIMITS;
        for line in [
            "GET / HTTP/1.1\r\n",
            "foo /a HTTP/1.0\r\nA: b\r\n",
            "CONNECT / HTTP/1.1\r\n",
            "G",
            "\r\nOPTIONS * HT",
        ] {
            for cut in 0..=line.len() {
                let mut reader = HeadReader::default();
                assert_eq!(reader.find(&line.as_bytes()[..cut], limits), Ok(None), "{line:?}");
                assert_eq!(reader.find(line.as_bytes(), limits), Ok(None), "{line:?}");
            }
        }
        for line in [b"HTTP/1.1 200\r\n".as_slice(), b"HTTP/1.0 404 N\xe9\t\r\n", b"HTTP/1.1 2"] {
            assert_eq!(HeadReader::for_response().find(line, limits), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn an_incomplete_field_line_that_may_become_valid_is_not_refused() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX_y:\t\u{e9} : ;\r\nEmpty:\r\nno colon yet";
        let mut bytewise = HeadReader::default();
        for cut in 0..=head.len() {
            let mut reader = HeadReader::default();
            for end in [cut, head.len()] {
                assert_eq!(reader.find(&head.as_bytes()[..end], &LIMITS), Ok(None), "{cut}");
            }
            assert_eq!(bytewise.find(&head.as_bytes()[..cut], &LIMITS), Ok(None), "{cut}");
        }
    }
}
