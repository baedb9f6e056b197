//! Whole message heads: a start line and a field section (RFC 9112, sections 2 to 5).
//!
//! [`RequestHead::parse`] and [`ResponseHead::parse`] read what a
//! [`HeadReader`](super::head_reader::HeadReader) has found. Methods, targets, names and values are
//! slices of the caller's bytes.
//!
//! `httparse` does the reading. On top of it we refuse what it lets pass: LF without CR as a line
//! end, empty lines before the start line, a target beyond ASCII, a status outside 100 to 599. And
//! we keep what it drops: a reason phrase beyond ASCII, and where each line begins and ends.
//!
//! Not here: what the fields mean (`h1::framing` and the gateway), the target's form
//! (`h1::target`), the names of the errors (`h1::head_error`).

use super::head_error::HeadError;
use super::head_reader::first_fault;
use super::limits::{HEAD_BYTES_RANGE, HEADER_FIELDS_MAX, HeadLimits};
use super::section::{FieldSection, locate};
use super::start_line::StartLine;
use super::token::is_wrong_case_of_a_standard_method;
use core::mem::MaybeUninit;
use memchr::memchr;

/// The protocol versions that are spoken here (RFC 9112, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no interim responses, and connections close by default.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request (RFC 9112, section 3).
#[derive(Clone, Debug)]
pub struct RequestHead<'b> {
    /// The method: a token, case-sensitive.
    pub method: &'b [u8],
    /// The request-target: visible ASCII, at least one byte. Its form is not checked here.
    pub target: &'b [u8],
    /// The version of the request line.
    pub version: Version,
    /// The field lines.
    pub fields: FieldSection<'b>,
}

impl<'b> RequestHead<'b> {
    /// Parses exactly one whole head.
    pub fn parse(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        check_size(head, limits)?;
        Self::read(head, limits)
            .map_err(|error| first_fault(StartLine::Request, head, limits).err().unwrap_or(error))
    }

    fn read(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        let (line, section) = split_start_line(head)?;
        // httparse would skip empty lines here.
        if line.is_empty() {
            return Err(HeadError::BadRequestLine);
        }
        let mut table = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
        let table = &mut table[..limits.fields.min(HEADER_FIELDS_MAX)];
        let mut parsed = httparse::Request::new(&mut []);
        let end = parsed.parse_with_uninit_headers(head, table);
        check_end(end, head, StartLine::Request)?;
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
            fields: locate(section, parsed.headers)?,
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
    /// Parses exactly one whole head.
    ///
    /// A status line may end right after the status code. RFC 9112, section 4 wants an SP there
    /// even if no reason phrase follows; servers omit it, and the line still has one meaning.
    pub fn parse(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        check_size(head, limits)?;
        Self::read(head, limits)
            .map_err(|error| first_fault(StartLine::Status, head, limits).err().unwrap_or(error))
    }

    fn read(head: &'b [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        let (line, section) = split_start_line(head)?;
        if line.is_empty() {
            return Err(HeadError::BadStatusLine);
        }
        let mut table = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
        let table = &mut table[..limits.fields.min(HEADER_FIELDS_MAX)];
        let mut parsed = httparse::Response::new(&mut []);
        let end = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            table,
        );
        check_end(end, head, StartLine::Status)?;
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
            fields: locate(section, parsed.headers)?,
        })
    }
}

fn check_size(head: &[u8], limits: &HeadLimits) -> Result<(), HeadError> {
    let is_within = head.len() <= limits.bytes.min(*HEAD_BYTES_RANGE.end());
    if is_within { Ok(()) } else { Err(HeadError::HeadTooLarge) }
}

/// The start line without its CRLF, and the bytes after it.
fn split_start_line(head: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let (line, section) =
        head.split_at(memchr(b'\n', head).map(|at| at + 1).ok_or(HeadError::NotOneHead)?);
    let line = line.strip_suffix(b"\r\n").ok_or(HeadError::BareLf)?;
    Ok((line, section))
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// httparse names the first byte that did not fit, which is not what a [`HeadError`] says:
/// [`first_fault`] finds that.
fn check_end(end: httparse::Result<usize>, head: &[u8], kind: StartLine) -> Result<(), HeadError> {
    match end {
        Ok(httparse::Status::Complete(end)) if end == head.len() => Ok(()),
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => Err(HeadError::NotOneHead),
        Err(_) => Err(kind.bad_line()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::FieldId;
    use super::super::token::{is_ows, is_tchar};
    use super::*;
    use crate::h1::limits::{HEAD_BYTES_DEFAULT, HEADER_FIELDS_DEFAULT};
    use crate::h1::section::parse_trailers;

    const LIMITS: HeadLimits =
        HeadLimits { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT };

    #[test]
    fn a_request_head_is_parsed_in_place() {
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
    fn a_response_head_is_parsed_in_place() {
        let bytes = b"HTTP/1.0 404 Not Found \xe9\r\nDate: x\r\n\r\n";
        let head = ResponseHead::parse(bytes, &LIMITS).unwrap();
        assert_eq!((head.version, head.status), (Version::Http10, 404));
        assert_eq!(head.reason, b"Not Found \xe9");
        assert_eq!(head.fields.single(FieldId::Date), Ok(Some(b"x".as_slice())));
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
    fn a_value_is_trimmed_of_sp_and_htab_only() {
        for byte in not_line_ends().filter(|&byte| byte >= 0x21 && byte != 0x7f) {
            check_field(&[b'n', b':', b'\t', b' ', byte, b' ', b'\t'], Ok((b"n", &[byte])));
        }
        check_field(b"n: \t ", Ok((b"n", b"")));
        check_field(b"n::", Ok((b"n", b":")));
    }

    #[test]
    fn field_lines_at_their_limit_are_accepted_and_one_more_is_refused() {
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
    fn the_parsers_accept_exactly_one_head() {
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

    /// All bytes but CR, LF and NUL, which have tests and errors of their own.
    fn not_line_ends() -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|byte| !b"\r\n\0".contains(byte))
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
}
