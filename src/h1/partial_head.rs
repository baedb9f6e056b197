//! What the bytes of a request say before its head is parsed, or if it cannot be.
//!
//! A refusal has to be written even if the head is incomplete or malformed, and its form depends on
//! the request: an answer to HEAD has no content, and a page in a browser may read an answer only
//! if it allows that. These functions give a best guess from the bytes that are here. They decide
//! nothing about a request that is forwarded.
//!
//! Not here: reading sound heads (`h1::head`).

use super::limits::LEADING_EMPTY_LINES_MAX;
use super::token::trim_ows;
use memchr::memchr;

/// Whether the first bytes of a connection are those of a request and not of another protocol: a
/// word and the beginning of a target, as far as they are here.
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

/// Whether the first bytes of a request are those of a HEAD, as far as they are here.
pub fn may_be_head(bytes: &[u8]) -> bool {
    const HEAD: &[u8] = b"HEAD ";
    bytes.starts_with(HEAD) || HEAD.starts_with(bytes)
}

/// Whether an incomplete or malformed head is that of a HEAD request, whose answer has no content
/// whatever is wrong with it.
pub fn is_of_head_request(mut bytes: &[u8]) -> bool {
    for _ in 0..LEADING_EMPTY_LINES_MAX {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    }
    bytes.starts_with(b"HEAD ")
}

/// Whether an incomplete or malformed head has an Origin line: a page in a browser asks, and shall
/// be able to read the refusal. Only lines before the first empty one count.
pub fn has_origin_line(bytes: &[u8]) -> bool {
    let lines = bytes.split(|&byte| byte == b'\n').skip_while(|line| is_blank(line)).skip(1);
    lines.take_while(|line| !is_blank(line)).any(|line| {
        let colon = memchr(b':', line).unwrap_or(0);
        trim_ows(&line[..colon]).eq_ignore_ascii_case(b"origin")
    })
}

/// Whether a line, split at its LF, is empty.
fn is_blank(line: &[u8]) -> bool {
    matches!(line, [] | [b'\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_a_request_are_recognised() {
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
    fn the_first_bytes_of_a_head_request_are_recognised_at_every_cut() {
        let request = "HEAD / HTTP/1.1\r\n";
        for cut in 1..=request.len() {
            assert!(may_be_head(&request.as_bytes()[..cut]), "{:?}", &request[..cut]);
        }
        for other in ["G", "GET / HTTP/1.1", "HELLO /", "HEADS / HTTP/1.1", "head / HTTP/1.1"] {
            assert!(!may_be_head(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_head_request_is_recognised_in_a_malformed_head() {
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
    fn an_origin_is_found_in_a_malformed_head() {
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
}
