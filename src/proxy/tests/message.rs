//! A small HTTP parser for the tests: what a peer may conclude from the bytes that it got.
//!
//! Independent of `h1` on purpose, because `h1` is checked with it.

/// One message, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: String,
    pub(super) content: String,
    /// The lines behind the last chunk.
    pub(super) trailers: String,
    /// Nothing of it is missing.
    pub(super) is_complete: bool,
}

impl Message {
    /// Takes the message apart that `bytes` begin with, and gives the bytes behind it. `ended`:
    /// the connection ended in order behind `bytes`. Without a whole head there is none.
    pub(super) fn parse(bytes: &str, ended: bool) -> Option<(Self, &str)> {
        let (head, body) = bytes.split_at(bytes.find("\r\n\r\n")? + 4);
        let is_request = !head.starts_with("HTTP/");
        let has_no_body = ["HTTP/1.1 1", "HTTP/1.1 204"].iter().any(|it| head.starts_with(it));
        let coding = field(head, "transfer-encoding");
        let length = field(head, "content-length");
        assert!(coding.is_none() || length.is_none(), "two lengths in {head:?}");
        let message = |content: &str, is_complete| Self {
            head: head.to_owned(),
            content: content.to_owned(),
            trailers: String::new(),
            is_complete,
        };
        if coding.is_some() {
            return Some(chunked(message("", false), body));
        }
        if let Some(length) = length {
            let length: usize = length.parse().unwrap();
            let (content, rest) = body.split_at(length.min(body.len()));
            return Some((message(content, content.len() == length), rest));
        }
        if is_request || has_no_body {
            return Some((message("", true), body));
        }
        Some((message(body, ended), ""))
    }

    /// All messages in `bytes`, of which the last may be incomplete, and what is none.
    pub(super) fn all(bytes: &str, ended: bool) -> (Vec<Self>, String) {
        let (mut messages, mut rest) = (Vec::new(), bytes);
        while let Some((message, behind)) = Self::parse(rest, ended) {
            messages.push(message);
            rest = behind;
        }
        (messages, rest.to_owned())
    }
}

fn chunked(mut message: Message, mut body: &str) -> (Message, &str) {
    while let Some((line, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(line, 16).expect("a chunk size without extension");
        if size == 0 {
            if let Some(behind) = rest.strip_prefix("\r\n") {
                message.is_complete = true;
                return (message, behind);
            }
            if let Some(end) = rest.find("\r\n\r\n") {
                message.is_complete = true;
                rest[..end + 2].clone_into(&mut message.trailers);
                return (message, &rest[end + 4..]);
            }
            return (message, "");
        }
        message.content.push_str(&rest[..size.min(rest.len())]);
        let Some(behind) = rest.get(size..).and_then(|it| it.strip_prefix("\r\n")) else {
            return (message, "");
        };
        body = behind;
    }
    (message, "")
}

/// The value of the only field of this (lower-case) name.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value);
    assert!(values.next().is_none(), "a second {name} in {head:?}");
    value
}
