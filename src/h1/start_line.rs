//! The grammar of start lines (RFC 9112, sections 3 and 4), for lines whose head is not complete.
//!
//! A scanner, a shell or a client of another protocol sends one line and waits. With
//! [`check_arrived`] it is refused when the line ends, or at the first byte that no start line has,
//! and not when the time limit for a head has passed. The same check explains a whole head that
//! `httparse` has refused, so that arrival does not change what is reported.
//!
//! Not here: parsing whole heads (`h1::head`).

use super::head_error::HeadError;
use super::target::RequestTarget;
use super::token::{is_tchar, is_token, is_wrong_case_of_a_standard_method};
use memchr::memchr3;

/// Which of the two start lines a head has (RFC 9112, section 2.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum StartLine {
    /// `request-line`
    Request,
    /// `status-line`
    Status,
}

impl StartLine {
    /// Whether a start line may begin with this byte: of a method, or of `HTTP`.
    pub(super) fn may_begin_with(self, byte: u8) -> bool {
        match self {
            Self::Request => is_tchar(byte),
            Self::Status => byte == b'H',
        }
    }

    /// The error for a line that breaks the grammar.
    pub(super) fn bad_line(self) -> HeadError {
        match self {
            Self::Request => HeadError::BadRequestLine,
            Self::Status => HeadError::BadStatusLine,
        }
    }
}

/// Checks the start line at the front of `arrived`, as far as it is here. Its first `checked` bytes
/// were checked before. `is_whole`: its line end is here.
pub(super) fn check_arrived(
    kind: StartLine,
    arrived: &[u8],
    checked: usize,
    is_whole: bool,
) -> Result<(), HeadError> {
    let checked = if is_whole { 0 } else { checked };
    let line = arrived.get(checked..).unwrap_or(&[]);
    let line = &line[..memchr3(b'\r', b'\n', 0, line).unwrap_or(line.len())];
    if is_whole { check_line(kind, line) } else { check_bytes(kind, line) }
}

/// Checks that `begun` may be a part of a start line, without its line end.
fn check_bytes(kind: StartLine, begun: &[u8]) -> Result<(), HeadError> {
    let may_be = |byte: &u8| match kind {
        StartLine::Request => matches!(byte, b' '..=b'~'),
        // A reason phrase may hold HTAB and obs-text.
        StartLine::Status => matches!(byte, b'\t' | b' '..=b'~' | 0x80..),
    };
    if begun.iter().all(may_be) { Ok(()) } else { Err(kind.bad_line()) }
}

/// Checks a whole start line, without its line end.
fn check_line(kind: StartLine, line: &[u8]) -> Result<(), HeadError> {
    check_bytes(kind, line)?;
    match kind {
        StartLine::Request => check_request_line(line),
        StartLine::Status => check_status_line(line),
    }
}

fn check_request_line(line: &[u8]) -> Result<(), HeadError> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::BadRequestLine);
    };
    if !is_token(method) || target.is_empty() {
        return Err(HeadError::BadRequestLine);
    }
    check_version(version, StartLine::Request)?;
    if is_wrong_case_of_a_standard_method(method) {
        return Err(HeadError::MethodCase);
    }
    // These two are refused for what they are, whatever their target.
    if !matches!(method, b"CONNECT" | b"TRACE") {
        RequestTarget::parse(method, target).map_err(HeadError::Target)?;
    }
    Ok(())
}

fn check_status_line(line: &[u8]) -> Result<(), HeadError> {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    check_version(words.next().unwrap_or_default(), StartLine::Status)?;
    match words.next() {
        Some(
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']
            | [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..],
        ) => Ok(()),
        Some(_) | None => Err(HeadError::BadStatusLine),
    }
}

fn check_version(version: &[u8], kind: StartLine) -> Result<(), HeadError> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(HeadError::UnsupportedVersion)
        }
        _ => Err(kind.bad_line()),
    }
}
