//! Message heads: a start line and a field section (RFC 9112, sections 2 to 5).
//!
//! [`HeadReader`] finds where a head ends while its bytes arrive, looking at each byte once. Then
//! [`RequestHead::parse`] or [`ResponseHead::parse`] reads the whole of it once. Names, values and
//! targets are slices of the caller's bytes.
//!
//! `httparse` does the reading. What it lets pass and we do not: LF without CR as a line end, empty
//! lines in front, a target beyond ASCII, a status outside 100 to 599. What it throws away and we
//! keep: a reason phrase beyond ASCII, and where each line began and ended.
//!
//! Not here: what the fields mean (`h1::framing`, `gateway::exchange`), the target's form
//! (`h1::target`), the names of the errors (`h1::head_error`).

use super::field::{FieldId, FieldLine, FieldSection};
use super::field_line::FieldLines;
use super::head_error::{Message, explain, explain_fields};
use super::limits::{
    HEAD_BYTES_RANGE, HEADER_FIELDS_MAX, HeadLimits, LEADING_EMPTY_LINES_MAX, TRAILER_BYTES_MAX,
    TRAILER_FIELDS_MAX,
};
use super::lines::SectionScanner;
use super::start_line::check_arrived;
use super::token::{is_ows, is_wrong_case_of_a_standard_method, trim_ows};
use memchr::memchr;
use std::mem::MaybeUninit;

pub use super::head_error::HeadError;

/// The protocol versions we speak (RFC 9112, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no interim responses, closes unless told otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Finds the end of a head while it arrives. One reader finds one head.
#[derive(Clone, Debug)]
pub struct HeadReader {
    message: Message,
    /// Where the start line begins: behind the empty lines skipped so far.
    start: u8,
    /// Set when the first byte of the start line has been seen.
    scanner: Option<SectionScanner>,
    fields: FieldLines,
}

/// The types of the records that begin a connection of TLS, or refuse one (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;

/// Where a head stands in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpan {
    /// Position of the start line.
    pub start: usize,
    /// Position behind the empty line.
    pub end: usize,
}

impl Default for HeadReader {
    /// A reader for a request head.
    fn default() -> Self {
        Self::for_message(Message::Request)
    }
}

impl HeadReader {
    /// A reader for a response head. Nothing may stand in front of one.
    pub fn for_response() -> Self {
        Self::for_message(Message::Response)
    }

    fn for_message(message: Message) -> Self {
        Self { message, start: 0, scanner: None, fields: FieldLines::default() }
    }

    /// Looks for the end of the head, or gives `None` to ask for more bytes.
    ///
    /// `input` may grow between calls and must not change otherwise. Up to
    /// [`LEADING_EMPTY_LINES_MAX`] empty lines in front of a request are skipped and not counted
    /// (RFC 9112, section 2.2). Fails as soon as the bytes cannot become a head within the limits:
    /// at a bare CR or LF, a NUL, a byte that no start line has there, or the end of a line that is
    /// none. The field lines of a head that is here at once are left to its parser.
    pub fn find(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<HeadSpan>, HeadError> {
        if self.scanner.is_none() {
            self.scanner = self.skip_empty_lines(input)?;
        }
        let start = self.start();
        let Some(scanner) = &mut self.scanner else { return Ok(None) };
        // Bytes beyond the limit are not looked at, so arrival does not change the verdict.
        let limit = start.saturating_add(limits.bytes);
        let window = input.get(..limit).unwrap_or(input);
        let (scanned, had_line) = (scanner.scanned(), scanner.has_line());
        let found = scanner.find_end(window);
        if let Ok(Some(end)) = found {
            return Ok(Some(HeadSpan { start, end }));
        }
        if !had_line {
            // What is wrong with the start line comes before what is wrong behind it.
            let line = window.get(start..).unwrap_or(&[]);
            check_arrived(self.message, line, scanned - start, scanner.has_line())?;
        }
        // And what is wrong with a field line before what is wrong behind that.
        if scanner.has_line() {
            let most = limits.fields.min(HEADER_FIELDS_MAX);
            self.fields.check(window, start, scanner.line_start(), most)?;
        }
        found?;
        match self.message {
            _ if window.len() < limit => Ok(None),
            Message::Request if !scanner.has_line() => Err(HeadError::TargetTooLong),
            Message::Request | Message::Response => Err(HeadError::HeadTooLarge),
        }
    }

    fn start(&self) -> usize {
        const { assert!(LEADING_EMPTY_LINES_MAX * b"\r\n".len() <= u8::MAX as usize) };
        self.start.into()
    }

    /// A scanner for the head, once its first byte is there.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<Option<SectionScanner>, HeadError> {
        loop {
            let may_skip = match self.message {
                Message::Request => self.start() < LEADING_EMPTY_LINES_MAX * b"\r\n".len(),
                Message::Response => false,
            };
            match input.get(self.start()..).unwrap_or(&[]) {
                [] => return Ok(None),
                [b'\r'] if may_skip => return Ok(None),
                [b'\r', b'\n', ..] if may_skip => self.start += 2,
                [b'\r', _, ..] if may_skip => return Err(HeadError::BareCr),
                [b'\n', ..] => return Err(HeadError::BareLf),
                [first, ..] if self.message.may_begin_with(*first) => {
                    return Ok(Some(SectionScanner::starting_at(self.start())));
                }
                [TLS_ALERT | TLS_HANDSHAKE, ..] => return Err(HeadError::Tls),
                [_, ..] => return Err(HeadError::NotHttp),
            }
        }
    }
}

/// The head of a request (RFC 9112, section 3).
#[derive(Clone, Debug)]
pub struct RequestHead<'b> {
    /// The method: a token, whose case counts.
    pub method: &'b [u8],
    /// The request-target: visible ASCII, at least one byte. Its form is not checked here.
    pub target: &'b [u8],
    /// The version of the request line.
    pub version: Version,
    /// The field lines.
    pub fields: FieldSection<'b>,
}

impl<'b> RequestHead<'b> {
    /// Reads a whole head, which is what [`HeadReader`] found and nothing more.
    pub fn parse(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        let (line, section) = split_start_line(head, limits)?;
        // httparse would skip empty lines here.
        if line.is_empty() {
            return Err(HeadError::BadRequestLine);
        }
        let mut table = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
        let most = limits.fields.min(HEADER_FIELDS_MAX);
        let table = &mut table[..most];
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(head, table);
        is_complete(status).map_err(|error| explain(error, Message::Request, head, line, most))?;
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(HeadError::NotOneHead);
        };
        if !target.is_ascii() {
            return Err(HeadError::BadRequestLine);
        }
        if is_wrong_case_of_a_standard_method(method.as_bytes()) {
            return Err(HeadError::MethodCase);
        }
        Ok(Self {
            method: method.as_bytes(),
            target: target.as_bytes(),
            version: version(minor),
            fields: locate(section, parsed.headers, FieldId::of)?,
        })
    }
}

/// The head of a response, interim or final (RFC 9112, section 4).
#[derive(Clone, Debug)]
pub struct ResponseHead<'b> {
    /// The version of the status line.
    pub version: Version,
    /// The status code, 100 to 599.
    pub status: u16,
    /// The reason phrase, often empty. It may hold bytes over 127.
    pub reason: &'b [u8],
    /// The field lines.
    pub fields: FieldSection<'b>,
}

impl<'b> ResponseHead<'b> {
    /// Reads a whole head, which is what [`HeadReader`] found and nothing more.
    ///
    /// A status line that ends behind the status code, without the SP that RFC 9112, section 4
    /// asks for even then, is accepted: servers send it, and it can only be read in one way.
    pub fn parse(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        let (line, section) = split_start_line(head, limits)?;
        if line.is_empty() {
            return Err(HeadError::BadStatusLine);
        }
        let mut table = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
        let most = limits.fields.min(HEADER_FIELDS_MAX);
        let table = &mut table[..most];
        let mut parsed = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            table,
        );
        is_complete(status).map_err(|error| explain(error, Message::Response, head, line, most))?;
        let (Some(minor), Some(status)) = (parsed.version, parsed.code) else {
            return Err(HeadError::NotOneHead);
        };
        if !(100..=599).contains(&status) {
            return Err(HeadError::BadStatusLine);
        }
        Ok(Self {
            version: version(minor),
            status,
            reason: line.get(b"HTTP/1.1 200 ".len()..).unwrap_or(&[]),
            fields: locate(section, parsed.headers, FieldId::of_response)?,
        })
    }
}

/// Whether what may be the beginning of a request head, and no good one, is that of a HEAD: its
/// answer has no content whatever is wrong.
pub fn is_of_head_request(mut bytes: &[u8]) -> bool {
    for _ in 0..LEADING_EMPTY_LINES_MAX {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    }
    bytes.starts_with(b"HEAD ")
}

/// Whether there is an Origin line in what may be the beginning of a request head, and no good one:
/// to answer a page so that it can read why. Nothing behind an empty line is looked at.
pub fn has_origin_line(bytes: &[u8]) -> bool {
    let lines = bytes.split(|&byte| byte == b'\n').skip_while(|line| is_blank(line)).skip(1);
    lines.take_while(|line| !is_blank(line)).any(|line| {
        let colon = memchr(b':', line).unwrap_or(0);
        trim_ows(&line[..colon]).eq_ignore_ascii_case(b"origin")
    })
}

/// Whether nothing stands before the end of a line.
fn is_blank(line: &[u8]) -> bool {
    matches!(line, [] | [b'\r'])
}

/// Reads a trailer section: field lines and the empty line behind them (RFC 9112, section 7.1.2).
///
/// As strict as a head. At most [`TRAILER_FIELDS_MAX`] of `max_fields` and [`TRAILER_BYTES_MAX`]
/// bytes count.
pub fn parse_trailers(bytes: &[u8], max_fields: usize) -> Result<FieldSection<'_>, HeadError> {
    if bytes.len() > TRAILER_BYTES_MAX {
        return Err(HeadError::HeadTooLarge);
    }
    let mut table = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let most = max_fields.min(TRAILER_FIELDS_MAX);
    let table = &mut table[..most];
    match httparse::parse_headers(bytes, table) {
        Ok(httparse::Status::Complete((_, parsed))) => locate(bytes, parsed, FieldId::of),
        Ok(httparse::Status::Partial) => {
            SectionScanner::default().find_end(bytes)?;
            Err(HeadError::NotOneHead)
        }
        Err(error) => Err(explain_fields(error, bytes, most)),
    }
}

/// The start line without its CRLF, and the bytes behind it.
fn split_start_line<'b>(
    head: &'b [u8],
    limits: &HeadLimits,
) -> Result<(&'b [u8], &'b [u8]), HeadError> {
    if head.len() > limits.bytes.min(*HEAD_BYTES_RANGE.end()) {
        return Err(HeadError::HeadTooLarge);
    }
    let (line, section) =
        head.split_at(memchr(b'\n', head).map(|at| at + 1).ok_or(HeadError::NotOneHead)?);
    let line = line.strip_suffix(b"\r\n").ok_or(HeadError::BareLf)?;
    Ok((line, section))
}

/// Where httparse's fields stand in `section`, which must be all of them and an empty line.
///
/// Walks from line to line by the lengths that httparse found. It has checked every byte but the
/// line ends, where it takes LF alone as well.
fn locate<'b>(
    section: &'b [u8],
    parsed: &[httparse::Header<'b>],
    id_of: impl Fn(&[u8]) -> Option<FieldId>,
) -> Result<FieldSection<'b>, HeadError> {
    let mut lines = Vec::with_capacity(parsed.len());
    let mut start = 0;
    for field in parsed {
        let name_end = start + field.name.len();
        let value_start = skip_ows(section, name_end + b":".len());
        let value_end = value_start + field.value.len();
        let end = skip_crlf(section, skip_ows(section, value_end))?;
        lines.push(FieldLine {
            id: id_of(field.name.as_bytes()),
            start: position(start),
            name_end: position(name_end),
            value_start: position(value_start),
            value_end: position(value_end),
            end: position(end),
        });
        start = end;
    }
    if skip_crlf(section, start)? != section.len() {
        return Err(HeadError::NotOneHead);
    }
    Ok(FieldSection::new(&section[..start], lines))
}

/// A position in a head, which the limits keep far below 32 bits.
fn position(at: usize) -> u32 {
    const { assert!(*HEAD_BYTES_RANGE.end() <= u32::MAX as usize) };
    const { assert!(TRAILER_BYTES_MAX <= *HEAD_BYTES_RANGE.end()) };
    at as u32
}

fn skip_ows(section: &[u8], from: usize) -> usize {
    let blanks = section.get(from..).unwrap_or(&[]).iter().take_while(|&&byte| is_ows(byte));
    from + blanks.count()
}

/// The position behind the CRLF at `at`. httparse has seen a line end there.
fn skip_crlf(section: &[u8], at: usize) -> Result<usize, HeadError> {
    let behind = at + b"\r\n".len();
    if section.get(at..behind) == Some(b"\r\n") { Ok(behind) } else { Err(HeadError::BareLf) }
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// `None` in the error: the head is not wrong, it is incomplete.
fn is_complete(status: httparse::Result<usize>) -> Result<(), Option<httparse::Error>> {
    match status {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Ok(httparse::Status::Partial) => Err(None),
        Err(error) => Err(Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::is_tchar;
    use super::*;
    use crate::h1::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT};
    use crate::h1::target::TargetError;

    const LIMITS: HeadLimits =
        HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };

    #[test]
    fn a_request_head_is_read_where_it_stands() {
        let bytes = b"POST /v1?a=%2F HTTP/1.1\r\nHost: a\r\nX_y:\tb c \r\nEmpty:\r\n\r\n";
        let head = RequestHead::parse(bytes, &LIMITS).unwrap();
        assert_eq!((head.method, head.target), (b"POST".as_slice(), b"/v1?a=%2F".as_slice()));
        assert_eq!(head.version, Version::Http11);
        let fields: Vec<_> = head
            .fields
            .lines()
            .iter()
            .map(|line| (line.id, head.fields.name(line), head.fields.value(line)))
            .collect();
        assert_eq!(
            fields,
            [
                (Some(FieldId::Host), b"Host".as_slice(), b"a".as_slice()),
                (None, b"X_y", b"b c"),
                (None, b"Empty", b""),
            ]
        );
        assert_eq!(head.fields.bytes(), b"Host: a\r\nX_y:\tb c \r\nEmpty:\r\n");
    }

    #[test]
    fn a_response_head_is_read_where_it_stands() {
        let bytes = b"HTTP/1.0 404 Not Found \xe9\r\nDate: x\r\n\r\n";
        let head = ResponseHead::parse(bytes, &LIMITS).unwrap();
        assert_eq!((head.version, head.status), (Version::Http10, 404));
        assert_eq!(head.reason, b"Not Found \xe9");
        assert_eq!(head.fields.single(FieldId::Date), Ok(Some(b"x".as_slice())));
    }

    #[test]
    fn a_head_request_is_known_by_a_head_that_is_none() {
        for head in ["HEAD ", "HEAD /x\r\n", "\r\n\r\nHEAD / HTTP/9\r\nA : b", "HEAD  \0"] {
            assert!(is_of_head_request(head.as_bytes()), "{head:?}");
        }
        for head in [
            "",
            "\r\n",
            "HEAD",
            "HEADS /",
            "head / HTTP/1.1",
            "GET /\r\nHEAD / HTTP/1.1",
            "\nHEAD /",
        ] {
            assert!(!is_of_head_request(head.as_bytes()), "{head:?}");
        }
    }

    #[test]
    fn an_origin_is_found_in_a_head_that_is_none() {
        for head in [
            "GET / HTTP/1.1\r\nOrigin: http://a",
            "GET / HTTP/1.1\r\nA\r\nORIGIN:\r\n",
            "GET / HTTP/9\norigin : x\n\n",
            "\r\n\r\nGET / HTTP/1.1\r\nOrigin:null\r\n\r\n",
        ] {
            assert!(has_origin_line(head.as_bytes()), "{head}");
        }
        for head in [
            "",
            "\r\n",
            "Origin: a\r\n",
            "GET / HTTP/1.1\r\nOrigins: a\r\nX-Origin: b\r\nOrigin\r\n",
            "GET / HTTP/1.1\r\nA: Origin:\r\n\r\nOrigin: a\r\n",
        ] {
            assert!(!has_origin_line(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn heads_without_fields_are_heads() {
        request("GET / HTTP/1.0\r\n\r\n", Ok("GET"));
        response("HTTP/1.1 200 OK\r\n\r\n", Ok(200));
    }

    #[test]
    fn the_reason_phrase_and_the_space_before_it_may_be_missing() {
        for (line, reason) in [
            ("HTTP/1.1 200", ""),
            ("HTTP/1.1 200 ", ""),
            ("HTTP/1.1 200  ", " "),
            ("HTTP/1.1 200 \tOK ", "\tOK "),
        ] {
            let bytes = format!("{line}\r\n\r\n");
            let head = ResponseHead::parse(bytes.as_bytes(), &LIMITS).unwrap();
            assert_eq!(head.reason, reason.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn empty_lines_in_front_of_a_request_are_skipped_up_to_a_limit() {
        let empty = "\r\n".repeat(LEADING_EMPTY_LINES_MAX);
        request(&format!("{empty}GET / HTTP/1.1\r\n\r\n"), Ok("GET"));
        request(&format!("{empty}\r\nGET / HTTP/1.1\r\n\r\n"), Err(HeadError::NotHttp));
        request("\nGET / HTTP/1.1\r\n\r\n", Err(HeadError::BareLf));
        request("\rGET / HTTP/1.1\r\n\r\n", Err(HeadError::BareCr));
        response("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(HeadError::NotHttp));
        // The parsers do not skip anything: that is the reader's.
        let parsed = RequestHead::parse(b"\r\nGET / HTTP/1.1\r\n\r\n", &LIMITS);
        assert_eq!(parsed.err(), Some(HeadError::BadRequestLine));
        let parsed = ResponseHead::parse(b"\r\nHTTP/1.1 200 OK\r\n\r\n", &LIMITS);
        assert_eq!(parsed.err(), Some(HeadError::BadStatusLine));
    }

    #[test]
    fn what_cannot_begin_a_head_is_refused_at_its_first_byte() {
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
    fn bare_line_ends_and_nul_are_refused_before_the_head_is_complete() {
        for (bytes, error) in [("\n", HeadError::BareLf), ("\rx", HeadError::BareCr)] {
            for front in ["GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nA: b"] {
                request(&format!("{front}{bytes}"), Err(error));
                request(&format!("{front}{bytes}\r\n\r\n"), Err(error));
            }
            for front in ["HTTP/1.1 200", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nA: b"] {
                response(&format!("{front}{bytes}\r\n\r\n"), Err(error));
            }
        }
        request("GET /\0", Err(HeadError::Nul));
        request("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", Err(HeadError::Nul));
        response("HTTP/1.1 200 O\0K\r\n\r\n", Err(HeadError::Nul));
    }

    /// As soon as a byte proves it, and at the end of the line at the latest.
    #[test]
    fn a_start_line_that_can_never_become_one_is_refused_before_its_head_has_ended() {
        let target = HeadError::Target;
        for (line, error) in [
            ("GET /x\r\n", HeadError::BadRequestLine),
            ("GET\r\n", HeadError::BadRequestLine),
            ("GET / HTTP/1.1 \r\n", HeadError::BadRequestLine),
            ("SSH-2.0-OpenSSH_9.6\r\n", HeadError::BadRequestLine),
            ("EHLO a b c\r\n", HeadError::BadRequestLine),
            ("hello there\x08", HeadError::BadRequestLine),
            ("GET /\u{e9}", HeadError::BadRequestLine),
            ("GET\t", HeadError::BadRequestLine),
            ("GET / HTTP/2.0\r\n", HeadError::UnsupportedVersion),
            ("PRI * HTTP/2.0\r\n", HeadError::UnsupportedVersion),
            ("get / HTTP/1.1\r\n", HeadError::MethodCase),
            ("Post / HTTP/1.1\r\n", HeadError::MethodCase),
            ("connect a:1 HTTP/1.1\r\n", HeadError::MethodCase),
            ("GET x HTTP/1.1\r\n", target(TargetError::WrongForm)),
            ("GET /#x HTTP/1.1\r\n", target(TargetError::BadByte)),
            ("GET ftp://a/ HTTP/1.1\r\n", target(TargetError::WrongForm)),
        ] {
            request(line, Err(error));
            // What follows in the same read does not change what is said.
            for behind in ["\n", "a\0", "A : b\r\n\r\n"] {
                if line.ends_with('\n') {
                    let found =
                        HeadReader::default().find((line.to_owned() + behind).as_bytes(), &LIMITS);
                    assert!(
                        found == Err(error) || matches!(found, Ok(Some(_))),
                        "{line:?} {found:?}"
                    );
                }
            }
        }
        for line in
            ["HTTP/1.1 20\r\n", "HTTP/1.1 200 \x01", "HTTP 200 OK\r\n", "H2\r\n", "HTTP/1.1\r\n"]
        {
            response(line, Err(HeadError::BadStatusLine));
        }
        response("HTTP/2.0 200 OK\r\n", Err(HeadError::UnsupportedVersion));
    }

    #[test]
    fn a_field_line_that_can_never_become_one_is_refused_before_its_head_has_ended() {
        for (lines, error) in [
            ("no colon here\r\n", HeadError::BadFieldName),
            ("A : b\r\n", HeadError::BadFieldName),
            (": b\r\n", HeadError::BadFieldName),
            ("\u{e9}: b\r\n", HeadError::BadFieldName),
            (" a: b\r\n", HeadError::FoldedField),
            ("a: b\r\n\tc\r\n", HeadError::FoldedField),
            ("a: b\r\nc: \x01\r\n", HeadError::BadFieldValue),
            ("a: b\r\nc: d\x7f\r\n", HeadError::BadFieldValue),
        ] {
            request(&format!("GET / HTTP/1.1\r\n{lines}"), Err(error));
            request(&format!("\r\nGET / HTTP/1.1\r\na: b\r\n{lines}"), Err(error));
            response(&format!("HTTP/1.1 200\r\n{lines}"), Err(error));
            // Nothing behind it changes what is said, whether it comes in the same read or not.
            for behind in ["c: d", "c: d\r\n\r\n", "c\n", "\0", " x\r\n", "y\r\n\r\n"] {
                request(&format!("GET / HTTP/1.1\r\n{lines}{behind}"), Err(error));
            }
        }
        let limits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: 2 };
        for end in ["", "\r\n", "d : e\r\n", "d:\x01\r\n\r\n"] {
            let head = format!("GET / HTTP/1.1\r\na:b\r\na:b\r\na:\x01\r\n{end}");
            let found = decide_at_every_cut(Message::Request, head.as_bytes(), &limits);
            assert_eq!(found, Err(HeadError::TooManyFields), "{end:?}");
        }
    }

    #[test]
    fn field_lines_that_may_become_some_are_waited_for() {
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

    #[test]
    fn a_start_line_that_may_become_one_is_waited_for() {
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
    fn methods_that_are_standard_but_for_their_case_are_refused_and_others_are_not() {
        for method in
            ["get", "Get", "hEAD", "post", "Put", "delete", "Connect", "options", "trace", "patch"]
        {
            request(&format!("{method} / HTTP/1.1\r\n\r\n"), Err(HeadError::MethodCase));
            request(&format!("{method} / HTTP/1.1\r\nA: b\r\n\r\n"), Err(HeadError::MethodCase));
        }
        for method in ["GET", "PATCH", "query", "Foo", "gets", "ge"] {
            request(&format!("{method} / HTTP/1.1\r\n\r\n"), Ok(method));
        }
    }

    #[test]
    fn the_parsers_refuse_bare_line_ends_without_the_reader_too() {
        for bytes in [
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\n\r\n",
            "GET / HTTP/1.1\r\n\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nA:\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n\n",
            "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        ] {
            let parsed = RequestHead::parse(bytes.as_bytes(), &LIMITS);
            assert_eq!(parsed.err(), Some(HeadError::BareLf), "{bytes:?}");
            let bytes = bytes.replace("GET / HTTP/1.1", "HTTP/1.1 200");
            let parsed = ResponseHead::parse(bytes.as_bytes(), &LIMITS);
            assert_eq!(parsed.err(), Some(HeadError::BareLf), "{bytes:?}");
        }
    }

    #[test]
    fn the_request_line_is_three_words_with_single_spaces() {
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET\t/ HTTP/1.1",
            "GET /\tHTTP/1.1",
            "GET /\x0bHTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /a b HTTP/2.0",
            "GET HTTP/1.1",
            "GET / HTTP/1.1\t",
            "GET / HTTP/1.10",
            "GET / HTTP/1.",
            "GET / HTTP/1",
            "GET / HTTP/01.1",
            "GET / http/1.1",
            "GET / HTTP/1,1",
            "GET / HTTPS/1.1",
            "G{T / HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
        ] {
            request(&format!("{line}\r\n\r\n"), Err(HeadError::BadRequestLine));
        }
    }

    #[test]
    fn the_status_line_has_three_digits_from_100_to_599() {
        for line in [
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.1  200",
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1 +20",
            "HTTP/1.1 2 0",
            "HTTP/1.1 099 a",
            "HTTP/1.1 600 a",
            "HTTP/1.1 000 a",
            "HTTP/1.1 999 a",
            "HTTP/1.1 200\tOK",
            "HTTP/1.1 200 O\x01K",
            "HTTP/1.1 200 O\x7fK",
            "HTTP/1.10 200 OK",
            "Http/1.1 200 OK",
            "HTTP 200 OK",
        ] {
            response(&format!("{line}\r\n\r\n"), Err(HeadError::BadStatusLine));
        }
        response("HTTP/1.1 100 a\r\n\r\n", Ok(100));
        response("HTTP/1.1 599 a\r\n\r\n", Ok(599));
    }

    #[test]
    fn other_versions_are_told_from_nonsense() {
        for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"] {
            request(&format!("GET / {version}\r\n\r\n"), Err(HeadError::UnsupportedVersion));
            response(&format!("{version} 200 OK\r\n\r\n"), Err(HeadError::UnsupportedVersion));
        }
        request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(HeadError::UnsupportedVersion));
    }

    #[test]
    fn field_names_are_tokens_right_in_front_of_a_colon() {
        for line in ["A : b", "A\t: b", ": b", "A", "A b: c", "A(b): c", "\u{e9}: a", "\x7f: a"] {
            field(line, Err(HeadError::BadFieldName));
        }
    }

    #[test]
    fn lines_that_begin_with_a_blank_are_refused_as_folded() {
        for line in [" A: b", "\tA: b", "A: b\r\n c", "A: b\r\n\tc: d", "A:\r\n \r\n b"] {
            field(line, Err(HeadError::FoldedField));
        }
    }

    #[test]
    fn every_byte_of_a_method_is_a_tchar() {
        for byte in not_line_ends() {
            for method in [vec![byte], vec![b'X', byte], vec![b'X', byte, b'Y']] {
                let head = [method.as_slice(), b" / HTTP/1.1\r\n\r\n"].concat();
                let parsed = RequestHead::parse(&head, &LIMITS);
                let want = (!is_tchar(byte)).then_some(HeadError::BadRequestLine);
                assert_eq!(parsed.err(), want, "{byte:#04x}");
            }
        }
    }

    #[test]
    fn every_byte_of_a_target_is_visible_ascii() {
        for byte in not_line_ends() {
            // At every place in the blocks that httparse looks at.
            for front in 0..40 {
                let target = ["/".repeat(front).as_bytes(), &[byte], &[b'a'; 33]].concat();
                let head = [b"GET ", target.as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
                let parsed = RequestHead::parse(&head, &LIMITS).map(|head| head.target);
                let visible = (0x21..=0x7e).contains(&byte);
                let want =
                    if visible { Ok(target.as_slice()) } else { Err(HeadError::BadRequestLine) };
                assert_eq!(parsed, want, "{byte:#04x} at {front}");
            }
        }
    }

    #[test]
    fn every_byte_of_a_field_name_is_a_tchar() {
        for byte in not_line_ends().filter(|&byte| byte != b':') {
            for front in 0..40 {
                let name = ["a".repeat(front).as_bytes(), &[byte], &[b'a'; 33]].concat();
                let folded = front == 0 && is_ows(byte);
                let want = match is_tchar(byte) {
                    true => Ok((name.as_slice(), b"x".as_slice())),
                    false if folded => Err(HeadError::FoldedField),
                    false => Err(HeadError::BadFieldName),
                };
                check_field(&[name.as_slice(), b": x"].concat(), want);
            }
        }
    }

    #[test]
    fn every_byte_of_a_field_value_is_htab_sp_visible_or_obs_text() {
        for byte in not_line_ends() {
            for front in 0..40 {
                let value = [&[b'a'; 40][..=front], &[byte], &[b'a'; 33]].concat();
                let allowed = is_ows(byte) || byte.is_ascii_graphic() || byte >= 0x80;
                let want = match allowed {
                    true => Ok((b"n".as_slice(), value.as_slice())),
                    false => Err(HeadError::BadFieldValue),
                };
                check_field(&[b"n: ", value.as_slice()].concat(), want);
            }
        }
    }

    #[test]
    fn a_value_is_trimmed_of_blanks_alone() {
        for byte in not_line_ends().filter(|&byte| byte >= 0x21 && byte != 0x7f) {
            check_field(&[b'n', b':', b'\t', b' ', byte, b' ', b'\t'], Ok((b"n", &[byte])));
        }
        check_field(b"n: \t ", Ok((b"n", b"")));
        check_field(b"n::", Ok((b"n", b":")));
    }

    #[test]
    fn a_head_at_its_limit_of_bytes_is_read_and_one_byte_more_is_refused() {
        let head = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let with = |bytes| {
            let limits = HeadLimits { bytes, fields: 1 };
            decide_at_every_cut(Message::Request, head.as_bytes(), &limits)
        };
        assert_eq!(with(head.len()), Ok(HeadSpan { start: 0, end: head.len() }));
        assert_eq!(with(head.len() - 1), Err(HeadError::HeadTooLarge));
        assert_eq!(with(17), Err(HeadError::HeadTooLarge));
        assert_eq!(with(16), Err(HeadError::HeadTooLarge));
        assert_eq!(with(15), Err(HeadError::TargetTooLong));
        assert_eq!(with(0), Err(HeadError::TargetTooLong));
        let limits = HeadLimits { bytes: head.len() - 1, fields: 1 };
        let parsed = RequestHead::parse(head.as_bytes(), &limits);
        assert_eq!(parsed.err(), Some(HeadError::HeadTooLarge));
    }

    #[test]
    fn a_status_line_over_the_limit_is_a_head_over_the_limit() {
        let limits = HeadLimits { bytes: 10, fields: 1 };
        let found = decide_at_every_cut(Message::Response, b"HTTP/1.1 200 OK\r\n\r\n", &limits);
        assert_eq!(found, Err(HeadError::HeadTooLarge));
    }

    #[test]
    fn empty_lines_in_front_do_not_count_against_the_limit() {
        let head = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let limits = HeadLimits { bytes: head.len() - 4, fields: 0 };
        let found = decide_at_every_cut(Message::Request, head.as_bytes(), &limits);
        assert_eq!(found, Ok(HeadSpan { start: 4, end: head.len() }));
    }

    #[test]
    fn field_lines_at_their_limit_are_read_and_one_more_is_refused() {
        for most in [0, 1, 7, HEADER_FIELDS_MAX] {
            let limits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: most };
            for (count, want) in [(most, None), (most + 1, Some(HeadError::TooManyFields))] {
                let fields = "a:b\r\n".repeat(count);
                let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
                let parsed = RequestHead::parse(head.as_bytes(), &limits);
                assert_eq!(parsed.err(), want, "{count}");
                let head = format!("HTTP/1.1 200\r\n{fields}\r\n");
                let parsed = ResponseHead::parse(head.as_bytes(), &limits);
                assert_eq!(parsed.err(), want, "{count}");
            }
        }
        let limits = HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: usize::MAX };
        let fields = "a:b\r\n".repeat(HEADER_FIELDS_MAX + 1);
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let parsed = RequestHead::parse(head.as_bytes(), &limits);
        assert_eq!(parsed.err(), Some(HeadError::TooManyFields));
    }

    #[test]
    fn the_parsers_take_exactly_one_head() {
        let head = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for cut in 0..head.len() {
            let parsed = RequestHead::parse(&head.as_bytes()[..cut], &LIMITS);
            assert!(parsed.is_err(), "cut at {cut}");
        }
        let more = format!("{head}x");
        let parsed = RequestHead::parse(more.as_bytes(), &LIMITS);
        assert_eq!(parsed.err(), Some(HeadError::NotOneHead));
        let parsed = ResponseHead::parse(b"HTTP/1.1 200\r\n\r\n\r\n", &LIMITS);
        assert_eq!(parsed.err(), Some(HeadError::NotOneHead));
    }

    #[test]
    fn what_the_reader_finds_is_one_head_however_mangled() {
        let sound = b"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nX: \t b \r\nY:\r\n\r\nHTTP/1.0 200 OK";
        let alphabet = b"\r\n\r\n\0 \t:aH/1.\x7f\xc3\xa9";
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize % bound
        };
        for _ in 0..20_000 {
            let mut bytes = sound.to_vec();
            for _ in 0..below(4) {
                let at = below(bytes.len());
                let byte = alphabet[below(alphabet.len())];
                match below(3) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let Ok(Some(span)) = HeadReader::default().find(&bytes, &LIMITS) else { continue };
            let head = &bytes[span.start..span.end];
            let shown = head.escape_ascii();
            match RequestHead::parse(head, &LIMITS) {
                Ok(parsed) => {
                    let RequestHead { method, target, version, fields } = &parsed;
                    let version = if *version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
                    let line = [*method, *target, version.as_bytes()].join(&b' ');
                    let again = [&line, b"\r\n".as_slice(), fields.bytes(), b"\r\n"].concat();
                    assert_eq!(again, head, "{shown}");
                }
                Err(error) => assert_ne!(error, HeadError::NotOneHead, "{shown}"),
            }
            let error = ResponseHead::parse(head, &LIMITS).err();
            assert_ne!(error, Some(HeadError::NotOneHead), "{shown}");
        }
    }

    #[test]
    fn trailer_sections_are_read_like_field_lines() {
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

    /// All bytes but CR, LF and NUL, which have tests and errors of their own.
    fn not_line_ends() -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|byte| !b"\r\n\0".contains(byte))
    }

    /// Reads `bytes` as requests arrive: found, then parsed. The verdict is the method.
    #[track_caller]
    fn request(bytes: &str, want: Result<&str, HeadError>) {
        let bytes = bytes.as_bytes();
        let got = decide_at_every_cut(Message::Request, bytes, &LIMITS)
            .and_then(|span| RequestHead::parse(&bytes[span.start..span.end], &LIMITS))
            .map(|head| head.method);
        assert_eq!(got, want.map(str::as_bytes), "{:?}", bytes.escape_ascii().to_string());
    }

    /// Reads `bytes` as responses arrive: found, then parsed. The verdict is the status.
    #[track_caller]
    fn response(bytes: &str, want: Result<u16, HeadError>) {
        let bytes = bytes.as_bytes();
        let got = decide_at_every_cut(Message::Response, bytes, &LIMITS)
            .and_then(|span| ResponseHead::parse(&bytes[span.start..span.end], &LIMITS))
            .map(|head| head.status);
        assert_eq!(got, want, "{:?}", bytes.escape_ascii().to_string());
    }

    /// One field line, or a few, in heads of both kinds, alone and between others.
    #[track_caller]
    fn field(line: &str, want: Result<(), HeadError>) {
        for front in ["", "First: 1\r\n"] {
            let fields = format!("{front}{line}\r\nLast: 1\r\n\r\n");
            request(&format!("GET / HTTP/1.1\r\n{fields}"), want.map(|()| "GET"));
            response(&format!("HTTP/1.1 200\r\n{fields}"), want.map(|()| 200));
        }
    }

    /// One field line of any bytes, in a request, a response and a trailer section.
    #[track_caller]
    fn check_field(line: &[u8], want: Result<(&[u8], &[u8]), HeadError>) {
        let parts = |fields: FieldSection<'_>| {
            let line = fields.lines()[0];
            (fields.name(&line).to_vec(), fields.value(&line).to_vec())
        };
        let section = [line, b"\r\n\r\n"].concat();
        let request = [b"GET / HTTP/1.1\r\n", section.as_slice()].concat();
        let response = [b"HTTP/1.1 200 OK\r\n", section.as_slice()].concat();
        let want = want.map(|(name, value)| (name.to_vec(), value.to_vec()));
        let shown = line.escape_ascii();
        let got = RequestHead::parse(&request, &LIMITS).map(|head| parts(head.fields));
        assert_eq!(got, want, "request: {shown}");
        let got = ResponseHead::parse(&response, &LIMITS).map(|head| parts(head.fields));
        assert_eq!(got, want, "response: {shown}");
        assert_eq!(parse_trailers(&section, 1).map(parts), want, "trailers: {shown}");
    }

    /// The span, if what is there is a head. A start line that is none is refused here, or before
    /// the head has ended.
    fn parsed(
        message: Message,
        bytes: &[u8],
        span: HeadSpan,
        limits: &HeadLimits,
    ) -> Result<HeadSpan, HeadError> {
        let head = &bytes[span.start..span.end];
        match message {
            Message::Request => RequestHead::parse(head, limits).map(|_| span),
            Message::Response => ResponseHead::parse(head, limits).map(|_| span),
        }
    }

    /// Finds the head in `bytes` whole, in two parts cut at every offset, and byte by byte.
    #[track_caller]
    fn decide_at_every_cut(
        message: Message,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<HeadSpan, HeadError> {
        let find = |cuts: &mut dyn Iterator<Item = usize>| {
            let mut reader = match message {
                Message::Request => HeadReader::default(),
                Message::Response => HeadReader::for_response(),
            };
            for cut in cuts.chain([bytes.len()]) {
                if let Some(decided) = reader.find(&bytes[..cut], limits).transpose() {
                    return decided.and_then(|span| parsed(message, bytes, span, limits));
                }
            }
            panic!("undecided: {:?}", bytes.escape_ascii().to_string());
        };
        let whole = find(&mut std::iter::empty());
        for cut in 0..bytes.len() {
            assert_eq!(find(&mut [cut].into_iter()), whole, "cut at {cut}");
        }
        assert_eq!(find(&mut (0..bytes.len())), whole, "byte by byte");
        whole
    }
}
