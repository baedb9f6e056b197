//! Start lines that can never become right (RFC 9112, sections 3 and 4), found before their head
//! has ended.
//!
//! A scanner, a shell or a client of another protocol sends one line and waits. It gets its answer
//! when the line is here, or when a byte of it is that no start line has, and not when the limit of
//! time for a head has passed. `check_line` is also what a whole head is explained by when
//! `httparse` has refused it, so that arrival does not change what is said of it.
//!
//! Not here: which heads are taken (`h1::head`).

use super::head_error::{HeadError, Message};
use super::target::RequestTarget;
use super::token::{is_token, is_wrong_case_of_a_standard_method};
use memchr::memchr3;

/// Whether `bytes`, the first of a connection, are those of a request and not of another protocol:
/// a word and the beginning of a target, as far as they are here.
pub fn begins_request(bytes: &[u8]) -> bool {
    let word_end = bytes.iter().position(|byte| !byte.is_ascii_alphabetic());
    let (word, rest) = bytes.split_at(word_end.unwrap_or(bytes.len()));
    !word.is_empty()
        && match rest {
            [] | [b' '] => true,
            [b' ', first, ..] => word == b"CONNECT" || matches!(first, b'/' | b'*' | b'h' | b'H'),
            [_, ..] => false,
        }
}

/// Whether `bytes`, the first of a request, are those of a HEAD as far as they are here.
pub fn may_be_head(bytes: &[u8]) -> bool {
    const HEAD: &[u8] = b"HEAD ";
    bytes.starts_with(HEAD) || HEAD.starts_with(bytes)
}

/// Whether the start line that `arrived` begins with may become one. Its first `checked` bytes have
/// been asked about before; `is_whole`: its line end is here.
pub(super) fn check_arrived(
    message: Message,
    arrived: &[u8],
    checked: usize,
    is_whole: bool,
) -> Result<(), HeadError> {
    let checked = if is_whole { 0 } else { checked };
    let line = arrived.get(checked..).unwrap_or(&[]);
    let line = &line[..memchr3(b'\r', b'\n', 0, line).unwrap_or(line.len())];
    if is_whole { check_line(message, line) } else { check_bytes(message, line) }
}

/// Whether `begun`, some bytes of a start line without its line end, may be a part of one.
fn check_bytes(message: Message, begun: &[u8]) -> Result<(), HeadError> {
    let may_be = |byte: &u8| match message {
        Message::Request => matches!(byte, b' '..=b'~'),
        // A reason phrase may hold HTAB and obs-text.
        Message::Response => matches!(byte, b'\t' | b' '..=b'~' | 0x80..),
    };
    if begun.iter().all(may_be) { Ok(()) } else { Err(message.bad_line()) }
}

/// Whether `line`, without its line end, may begin a head, as far as a line alone can tell.
pub(super) fn check_line(message: Message, line: &[u8]) -> Result<(), HeadError> {
    check_bytes(message, line)?;
    match message {
        Message::Request => check_request_line(line),
        Message::Response => check_status_line(line),
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
    check_version(version, Message::Request)?;
    if is_wrong_case_of_a_standard_method(method) {
        return Err(HeadError::MethodCase);
    }
    // Those two are refused for what they are, wherever they want to go.
    if !matches!(method, b"CONNECT" | b"TRACE") {
        RequestTarget::parse(method, target).map_err(HeadError::Target)?;
    }
    Ok(())
}

fn check_status_line(line: &[u8]) -> Result<(), HeadError> {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    check_version(words.next().unwrap_or_default(), Message::Response)?;
    match words.next() {
        Some(
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']
            | [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..],
        ) => Ok(()),
        Some(_) | None => Err(HeadError::BadStatusLine),
    }
}

fn check_version(version: &[u8], message: Message) -> Result<(), HeadError> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(HeadError::UnsupportedVersion)
        }
        _ => Err(message.bad_line()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_a_request_are_told_from_those_of_other_protocols() {
        for request in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1", "CONNECT a:1 HTTP/1.1"] {
            for cut in 1..=request.len() {
                assert!(begins_request(&request.as_bytes()[..cut]), "{:?}", &request[..cut]);
            }
        }
        assert!(begins_request(b"get http://a/ HTTP/1.1"));
        for other in ["", "\x16\x03\x01", "\u{80}.", "SSH-2.0-a\r\n", "EHLO a\r\n", "PROXY TCP4 "] {
            assert!(!begins_request(other.as_bytes()), "{other:?}");
        }
        assert!(!begins_request(b" GET / ") && !begins_request(b"GET\t/"));
    }

    #[test]
    fn the_first_bytes_of_a_head_may_be_those_of_a_head_at_every_cut() {
        let request = "HEAD / HTTP/1.1\r\n";
        for cut in 1..=request.len() {
            assert!(may_be_head(&request.as_bytes()[..cut]), "{:?}", &request[..cut]);
        }
        for other in ["G", "GET / HTTP/1.1", "HELLO /", "HEADS / HTTP/1.1", "head / HTTP/1.1"] {
            assert!(!may_be_head(other.as_bytes()), "{other}");
        }
    }
}
