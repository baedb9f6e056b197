//! Heads and trailer sections.

use super::alphabet::{Verdict, is_field_byte, is_tchar, is_token, text, trim};
use crate::h1::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// One field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fuzzing) struct Field {
    /// In lower case.
    pub(in crate::fuzzing) name: String,
    pub(in crate::fuzzing) value: Vec<u8>,
    /// As it came, with its CRLF.
    pub(in crate::fuzzing) raw: Vec<u8>,
}

/// The lines of a head or a trailer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fuzzing) struct Head {
    /// Empty for a trailer section.
    pub(in crate::fuzzing) start_line: Vec<u8>,
    pub(in crate::fuzzing) fields: Vec<Field>,
    /// Position after the empty line.
    pub(in crate::fuzzing) end: usize,
}

impl Head {
    /// The words of the start line: all of it between the first and the second SP, and so on.
    pub(in crate::fuzzing) fn word(&self, number: usize) -> &[u8] {
        self.start_line.split(|it| *it == b' ').nth(number).unwrap_or_default()
    }

    pub(in crate::fuzzing) fn method(&self) -> &[u8] {
        self.word(0)
    }

    pub(in crate::fuzzing) fn target(&self) -> &[u8] {
        self.word(1)
    }

    pub(in crate::fuzzing) fn is_http10(&self) -> bool {
        let is_response = self.start_line.starts_with(b"HTTP/");
        self.word(if is_response { 0 } else { 2 }) == b"HTTP/1.0"
    }

    pub(in crate::fuzzing) fn status(&self) -> u16 {
        self.word(1).iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
    }

    /// The reason phrase: all that follows the status and its SP.
    pub(in crate::fuzzing) fn reason(&self) -> &[u8] {
        self.start_line.get(13..).unwrap_or_default()
    }

    /// The values of all fields of this name.
    pub(in crate::fuzzing) fn values<'h>(
        &'h self,
        name: &'h str,
    ) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(move |it| it.name == name).map(|it| it.value.as_slice())
    }

    /// The elements of all fields of this name, in lower case, empty ones left out.
    pub(in crate::fuzzing) fn list(&self, name: &str) -> Vec<String> {
        let elements = self.values(name).flat_map(|it| it.split(|byte| *byte == b','));
        let elements = elements.map(|it| text(trim(it)).to_ascii_lowercase());
        elements.filter(|it| !it.is_empty()).collect()
    }
}

/// The limits of a head that the grammar does not set.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuzzing) struct HeadBounds {
    pub(in crate::fuzzing) bytes: usize,
    pub(in crate::fuzzing) fields: usize,
}

/// The head of a request: up to four empty lines, a request line, fields.
pub(in crate::fuzzing) fn request_head(input: &[u8], limits: HeadBounds) -> Verdict<Head> {
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
fn may_go_on(input: &[u8], limits: HeadBounds) -> bool {
    let mut lines: Vec<&[u8]> = input.split(|it| *it == b'\n').collect();
    lines.pop();
    let lines: Vec<&[u8]> = lines.iter().map(|it| it.strip_suffix(b"\r").unwrap_or(it)).collect();
    match lines.split_first() {
        Some((_, lines)) => fields(lines).is_some_and(|it| it.len() <= limits.fields),
        None => true,
    }
}

/// The head of a response.
pub(in crate::fuzzing) fn response_head(input: &[u8], limits: HeadBounds) -> Verdict<Head> {
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
    let Some(rest) = line.get(9..).filter(|_| version) else { return false };
    let [first @ b'1'..=b'5', second, third, reason @ ..] = rest else { return false };
    let is_status = [first, second, third].iter().all(|it| it.is_ascii_digit());
    let reason_follows = reason.is_empty() || reason.starts_with(b" ");
    is_status && reason_follows && reason.iter().copied().all(is_field_byte)
}

fn head(input: &[u8], limits: HeadBounds) -> Verdict<Head> {
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
pub(in crate::fuzzing) fn trailers(input: &[u8]) -> Option<Vec<Field>> {
    let (lines, end) = section(input, TRAILER_BYTES_MAX).whole()?;
    fields(&lines).filter(|it| it.len() <= TRAILER_FIELDS_MAX && end == input.len())
}

/// Lines up to an empty one, within the first `limit` bytes, and the position after it.
pub(super) fn section(input: &[u8], limit: usize) -> Verdict<(Vec<&[u8]>, usize)> {
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
