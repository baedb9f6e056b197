//! The reader of HTTP/1.1: a head ends at an empty line, a body in one of three ways.
//!
//! [`Received`] holds what has arrived and gives it away in whole parts, or `None` while a part is
//! incomplete. It reads no socket: [`Connection`](crate::connection::Connection) and
//! [`Peer`](crate::peer::Peer) do. It accepts what narrows may send and panics at all else.

use memchr::memmem;

const CRLF: &[u8] = b"\r\n";
const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length; 0 where there is no body.
    Length(usize),
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl Framing {
    /// The framing that this head announces. It does not know of responses to HEAD.
    pub fn of(head: &str) -> Self {
        match (field_value(head, "transfer-encoding"), field_value(head, "content-length")) {
            (Some(_), Some(_)) => panic!("two lengths in {head:?}"),
            (Some(coding), None) => {
                assert_eq!(coding, "chunked", "in {head:?}");
                Self::Chunked
            }
            (None, Some(digits)) => {
                assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "in {head:?}");
                Self::Length(digits.parse().expect("a length"))
            }
            (None, None) if is_bodiless(head) => Self::Length(0),
            (None, None) => Self::UntilClose,
        }
    }
}

/// The value of the only field with this (lower-case) name; a second one is a panic.
pub fn field_value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches([' ', '\t']));
    let value = values.next();
    assert_eq!(values.next(), None, "a second {name} in {head:?}");
    value
}

/// Whether a message without any length has no body: a request, and some responses.
fn is_bodiless(head: &str) -> bool {
    let Some((_version, rest)) = head.strip_prefix("HTTP/").and_then(|it| it.split_once(' '))
    else {
        return true;
    };
    rest.starts_with('1') || rest.starts_with("204") || rest.starts_with("304")
}

/// As an SDK asks for a streamed answer.
pub fn chat_request(path: &str) -> String {
    let body = r#"{"model":"strait-1","stream":true,"messages":[]}"#;
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-example\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// `content` as one chunk. Without content it would be the last one.
pub fn chunk(content: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", content.len()).as_bytes(), content, CRLF].concat()
}

/// Bytes that have arrived and were not taken yet.
#[derive(Debug, Default)]
pub struct Received {
    /// What a socket is read into.
    pub bytes: Vec<u8>,
    /// The trailer section of the last chunked body.
    trailers: String,
}

impl Received {
    /// Takes a message head, up to and including its empty line.
    pub fn take_head(&mut self) -> Option<String> {
        self.take_through(EMPTY_LINE)
    }

    /// Takes everything up to and including `delimiter`.
    pub fn take_through(&mut self, delimiter: &[u8]) -> Option<String> {
        let at = memmem::find(&self.bytes, delimiter)?;
        let bytes = self.bytes.drain(..at + delimiter.len()).collect();
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    /// Takes exactly `count` bytes.
    pub fn take_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        (self.bytes.len() >= count).then(|| self.bytes.drain(..count).collect())
    }

    /// Takes between one and `most` bytes.
    pub fn take_up_to(&mut self, most: usize) -> Option<Vec<u8>> {
        let count = most.min(self.bytes.len());
        (count > 0).then(|| self.bytes.drain(..count).collect())
    }

    /// Takes all that is here.
    pub fn take_all(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Takes one chunk and gives its content. The last chunk has none, and is taken together with
    /// its trailer section.
    pub fn take_chunk(&mut self) -> Option<Vec<u8>> {
        let line_end = memmem::find(&self.bytes, CRLF)?;
        let size = chunk_size(&self.bytes[..line_end]);
        let start = line_end + CRLF.len();
        if size == 0 {
            // The CRLF of the size line may already be a part of the empty line.
            let end = line_end + memmem::find(&self.bytes[line_end..], EMPTY_LINE)?;
            let end = end + EMPTY_LINE.len();
            let trailers = self.bytes[start..end - CRLF.len()].to_vec();
            self.trailers = String::from_utf8(trailers).expect("UTF-8");
            self.bytes.drain(..end);
            return Some(Vec::new());
        }
        let end = start + size;
        let delimiter = self.bytes.get(end..end + CRLF.len())?;
        assert_eq!(delimiter, CRLF, "after a chunk of {size} bytes");
        let content = self.bytes[start..end].to_vec();
        self.bytes.drain(..end + CRLF.len());
        Some(content)
    }

    /// The trailer section of the last chunked body, without its empty line.
    pub fn trailers(&self) -> &str {
        &self.trailers
    }
}

fn chunk_size(line: &[u8]) -> usize {
    let shown = line.escape_ascii();
    let is_number = !line.is_empty() && line.iter().all(u8::is_ascii_hexdigit);
    assert!(is_number, "\"{shown}\" is no chunk-size line without extension");
    let digits = str::from_utf8(line).expect("ASCII");
    usize::from_str_radix(digits, 16).expect("a chunk size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_when_it_is_whole_and_not_before() {
        let mut received = Received::default();
        let mut heads = Vec::new();
        for byte in b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nGET" {
            received.bytes.push(*byte);
            heads.extend(received.take_head());
        }
        assert_eq!(heads, ["HTTP/1.1 200 OK\r\nA: b\r\n\r\n"]);
        assert_eq!(received.take_exactly(4), None);
        assert_eq!(received.take_up_to(4), Some(b"GET".to_vec()));
        assert_eq!(received.take_up_to(4), None);
    }

    #[test]
    fn chunks_are_read_byte_by_byte_with_and_without_trailers() {
        for (end, trailers) in
            [("0\r\n\r\n", ""), ("0\r\na: b\r\nc: d\r\n\r\n", "a: b\r\nc: d\r\n")]
        {
            let (mut received, mut chunks) = (Received::default(), Vec::new());
            for byte in format!("3\r\nabc\r\nA\r\n0123456789\r\n{end}").bytes() {
                received.bytes.push(byte);
                chunks.extend(received.take_chunk());
            }
            assert_eq!(chunks, [&b"abc"[..], b"0123456789", b""]);
            assert_eq!((received.trailers(), received.bytes.len()), (trailers, 0));
        }
        assert_eq!(chunk(b"0123456789"), b"a\r\n0123456789\r\n");
    }

    #[test]
    fn a_head_says_how_its_body_is_delimited() {
        for (head, framing) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Framing::Length(12)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Framing::Chunked),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0)),
            ("GET / HTTP/1.1\r\n\r\n", Framing::Length(0)),
        ] {
            assert_eq!(Framing::of(head), framing, "{head}");
        }
    }
}
