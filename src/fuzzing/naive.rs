//! HTTP/1.1 written down a second time, as plainly as it can be: what `h1` is compared with.
//!
//! Everything here looks at a whole input, keeps no state between calls, copies freely and knows
//! nothing of `h1`. It is as strict as docs/protocol.md says that we are.

mod size_line;

use self::size_line::size_line;
use crate::h1::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// What the beginning of some bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// Nothing that could follow would make it right.
    Bad,
    /// Right so far.
    Partial,
    /// Right, and complete.
    Whole(T),
}

impl<T> Verdict<T> {
    /// What is complete.
    pub(super) fn whole(self) -> Option<T> {
        match self {
            Self::Bad | Self::Partial => None,
            Self::Whole(it) => Some(it),
        }
    }
}

/// One field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// In lower case.
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    /// As it came, with its CRLF.
    pub(super) raw: Vec<u8>,
}

/// The lines of a head or a trailer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Empty for a trailer section.
    pub(super) start_line: Vec<u8>,
    pub(super) fields: Vec<Field>,
    /// Position behind the empty line.
    pub(super) end: usize,
}

impl Head {
    /// The words of the start line: all of it between the first and the second SP, and so on.
    pub(super) fn word(&self, number: usize) -> &[u8] {
        self.start_line.split(|it| *it == b' ').nth(number).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &[u8] {
        self.word(0)
    }

    pub(super) fn target(&self) -> &[u8] {
        self.word(1)
    }

    pub(super) fn is_http10(&self) -> bool {
        let is_response = self.start_line.starts_with(b"HTTP/");
        self.word(if is_response { 0 } else { 2 }) == b"HTTP/1.0"
    }

    pub(super) fn status(&self) -> u16 {
        self.word(1).iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
    }

    /// The reason phrase: all that stands behind the status, SP included.
    pub(super) fn reason(&self) -> &[u8] {
        self.start_line.get(13..).unwrap_or_default()
    }

    /// The values of all fields of this name.
    pub(super) fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(move |it| it.name == name).map(|it| it.value.as_slice())
    }

    /// The elements of all fields of this name, in lower case, empty ones left out.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let elements = self.values(name).flat_map(|it| it.split(|byte| *byte == b','));
        let elements = elements.map(|it| text(trim(it)).to_ascii_lowercase());
        elements.filter(|it| !it.is_empty()).collect()
    }
}

/// A head's limits, as far as they are not the grammar's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// The head of a request: up to four empty lines, a request line, fields.
pub(super) fn request_head(input: &[u8], limits: Limits) -> Verdict<Head> {
    let mut start = 0;
    while input[start..].starts_with(b"\r\n") && start < 8 {
        start += 2;
    }
    match input[start..] {
        [] => return Verdict::Partial,
        [b'\r'] if start < 8 => return Verdict::Partial,
        [first, ..] if !is_tchar(first) => return Verdict::Bad,
        _ => {}
    }
    let input = &input[start..];
    match head(input, limits) {
        Verdict::Whole(head) if is_request_line(&head.start_line) => {
            Verdict::Whole(Head { end: start + head.end, ..head })
        }
        Verdict::Partial
            if may_begin(input, is_request_line, |it| it.is_ascii_graphic())
                && may_go_on(input, limits) =>
        {
            Verdict::Partial
        }
        Verdict::Whole(_) | Verdict::Partial | Verdict::Bad => Verdict::Bad,
    }
}

/// Whether the start line of a head that has not ended may be one, as far as it is here.
fn may_begin(input: &[u8], is_line: fn(&[u8]) -> bool, is_byte: fn(&u8) -> bool) -> bool {
    match input.iter().position(|it| *it == b'\r') {
        Some(end) if input[end..].starts_with(b"\r\n") => is_line(&input[..end]),
        end => input[..end.unwrap_or(input.len())].iter().all(|it| *it == b' ' || is_byte(it)),
    }
}

/// Whether the field lines of a head that has not ended may be some, as far as they are whole.
fn may_go_on(input: &[u8], limits: Limits) -> bool {
    let mut lines: Vec<&[u8]> = input.split(|it| *it == b'\n').collect();
    lines.pop();
    let lines: Vec<&[u8]> = lines.iter().map(|it| it.strip_suffix(b"\r").unwrap_or(it)).collect();
    match lines.split_first() {
        Some((_, lines)) => fields(lines).is_some_and(|it| it.len() <= limits.fields),
        None => true,
    }
}

/// The head of a response.
pub(super) fn response_head(input: &[u8], limits: Limits) -> Verdict<Head> {
    match input {
        [] => return Verdict::Partial,
        [b'H', ..] => {}
        _ => return Verdict::Bad,
    }
    match head(input, limits) {
        Verdict::Whole(head) if !is_status_line(&head.start_line) => Verdict::Bad,
        Verdict::Partial
            if !may_begin(input, is_status_line, |it| is_field_byte(*it))
                || !may_go_on(input, limits) =>
        {
            Verdict::Bad
        }
        verdict => verdict,
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.split(|it| *it == b' ').collect();
    let [method, target, version] = words[..] else { return false };
    let is_version = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    let upper = method.to_ascii_uppercase();
    let is_standard = STANDARD_METHODS.contains(&text(&upper).as_str());
    let is_method = is_token(method) && (method == upper || !is_standard);
    is_method && !target.is_empty() && target.iter().all(u8::is_ascii_graphic) && is_version
}

const STANDARD_METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

fn is_status_line(line: &[u8]) -> bool {
    let version = line.starts_with(b"HTTP/1.1 ") || line.starts_with(b"HTTP/1.0 ");
    let Some(behind) = line.get(9..).filter(|_| version) else { return false };
    let [first @ b'1'..=b'5', second, third, reason @ ..] = behind else { return false };
    let is_status = [first, second, third].iter().all(|it| it.is_ascii_digit());
    let reason_follows = reason.is_empty() || reason.starts_with(b" ");
    is_status && reason_follows && reason.iter().copied().all(is_field_byte)
}

fn head(input: &[u8], limits: Limits) -> Verdict<Head> {
    let (lines, end) = match section(input, limits.bytes) {
        Verdict::Whole(found) => found,
        Verdict::Partial => return Verdict::Partial,
        Verdict::Bad => return Verdict::Bad,
    };
    let Some((start_line, lines)) = lines.split_first() else { return Verdict::Bad };
    match fields(lines).filter(|it| it.len() <= limits.fields) {
        Some(fields) => Verdict::Whole(Head { start_line: start_line.to_vec(), fields, end }),
        None => Verdict::Bad,
    }
}

/// The trailer section that `input` is, or nothing.
pub(super) fn trailers(input: &[u8]) -> Option<Vec<Field>> {
    let (lines, end) = section(input, TRAILER_BYTES_MAX).whole()?;
    fields(&lines).filter(|it| it.len() <= TRAILER_FIELDS_MAX && end == input.len())
}

/// Lines up to an empty one, within the first `limit` bytes, and the position behind that.
fn section(input: &[u8], limit: usize) -> Verdict<(Vec<&[u8]>, usize)> {
    let window = &input[..limit.min(input.len())];
    let (mut lines, mut start) = (Vec::new(), 0);
    loop {
        let is_mark = |it: &u8| matches!(it, b'\r' | b'\n' | 0);
        let Some(length) = window[start..].iter().position(is_mark) else { break };
        match &window[start + length..] {
            [b'\r'] => break,
            [b'\r', b'\n', ..] if length == 0 => return Verdict::Whole((lines, start + 2)),
            [b'\r', b'\n', ..] => lines.push(&window[start..start + length]),
            _ => return Verdict::Bad,
        }
        start += length + 2;
    }
    if window.len() < limit { Verdict::Partial } else { Verdict::Bad }
}

fn fields(lines: &[&[u8]]) -> Option<Vec<Field>> {
    let field = |line: &&[u8]| {
        let colon = line.iter().position(|it| *it == b':')?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        let is_right = is_token(name) && line[colon + 1..].iter().copied().all(is_field_byte);
        let name = text(name).to_ascii_lowercase();
        is_right.then(|| Field { name, value: value.to_vec(), raw: [*line, b"\r\n"].concat() })
    };
    lines.iter().map(field).collect()
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    None,
    Exact(u64),
    Chunked,
    UntilClose,
}

/// What the length fields say. `Err`: two things, or nothing that we take.
pub(super) fn announced(head: &Head) -> Result<Option<Length>, ()> {
    let codings: Vec<&[u8]> = head.values("transfer-encoding").collect();
    let lengths: Vec<&[u8]> = head.values("content-length").collect();
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && !head.is_http10() => {
            Ok(Some(Length::Chunked))
        }
        ([], [digits]) => match number(digits) {
            Some(length) if i64::try_from(length).is_ok() => Ok(Some(Length::Exact(length))),
            _ => Err(()),
        },
        _ => Err(()),
    }
}

/// The length of a response's body.
pub(super) fn response_length(head: &Head, to_head: bool) -> Result<Length, ()> {
    let announced = announced(head)?;
    let has_none = to_head || matches!(head.status(), 100..=199 | 204 | 304);
    Ok(if has_none { Length::None } else { announced.unwrap_or(Length::UntilClose) })
}

/// A body, and how many bytes it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) content: Vec<u8>,
    /// The trailer section with its empty line, if there is one with lines.
    pub(super) trailers: Option<Vec<u8>>,
    pub(super) end: usize,
}

/// The body at the front of `input`. `ended`: the connection ended in order behind it.
pub(super) fn body(length: Length, input: &[u8], ended: bool) -> Verdict<Body> {
    let exact = |end: usize| Body { content: input[..end].to_vec(), trailers: None, end };
    match length {
        Length::None => Verdict::Whole(Body::default()),
        Length::Exact(octets) => match usize::try_from(octets) {
            Ok(octets) if octets <= input.len() => Verdict::Whole(exact(octets)),
            _ => Verdict::Partial,
        },
        Length::UntilClose if ended => Verdict::Whole(exact(input.len())),
        Length::UntilClose => Verdict::Partial,
        Length::Chunked => chunked(input),
    }
}

/// A chunked body at the front of `input`.
pub(super) fn chunked(input: &[u8]) -> Verdict<Body> {
    let mut body = Body::default();
    match read_chunks(input, &mut body) {
        Verdict::Whole(()) => Verdict::Whole(body),
        Verdict::Partial => Verdict::Partial,
        Verdict::Bad => Verdict::Bad,
    }
}

/// The content of a chunked body whose end may be missing.
pub(super) fn content_so_far(input: &[u8]) -> Vec<u8> {
    let mut body = Body::default();
    read_chunks(input, &mut body);
    body.content
}

fn read_chunks(input: &[u8], body: &mut Body) -> Verdict<()> {
    loop {
        let rest = &input[body.end..];
        let (size, behind) = match size_line(rest) {
            Verdict::Whole(found) => found,
            Verdict::Partial => return Verdict::Partial,
            Verdict::Bad => return Verdict::Bad,
        };
        body.end += behind;
        if size == 0 {
            break;
        }
        let rest = &rest[behind..];
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        body.content.extend_from_slice(&rest[..size]);
        body.end += size;
        match &rest[size..] {
            [] | [b'\r'] => return Verdict::Partial,
            [b'\r', b'\n', ..] => body.end += 2,
            _ => return Verdict::Bad,
        }
    }
    match section(&input[body.end..], TRAILER_BYTES_MAX) {
        Verdict::Bad => Verdict::Bad,
        Verdict::Partial => Verdict::Partial,
        Verdict::Whole((lines, length)) => {
            let end = body.end + length;
            body.trailers = (!lines.is_empty()).then(|| input[body.end..end].to_vec());
            body.end = end;
            Verdict::Whole(())
        }
    }
}

/// `1*DIGIT` in 64 bits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    text(digits).parse().ok().filter(|_| are_digits)
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

/// What may stand in a value or a reason phrase: `HTAB / SP / VCHAR / obs-text`.
fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The bytes as text, for comparing and for messages.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
