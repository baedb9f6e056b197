//! Bodies and their lengths.

use super::alphabet::{Verdict, number};
use super::head::{Head, section};
use super::size_line::size_line;
use crate::h1::limits::TRAILER_BYTES_MAX;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuzzing) enum Length {
    None,
    Exact(u64),
    Chunked,
    UntilClose,
}

/// What the length fields announce. `Err`: two things, or something that we refuse.
pub(in crate::fuzzing) fn announced(head: &Head) -> Result<Option<Length>, ()> {
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
pub(in crate::fuzzing) fn response_length(head: &Head, to_head: bool) -> Result<Length, ()> {
    let announced = announced(head)?;
    let has_none = to_head || matches!(head.status(), 100..=199 | 204 | 304);
    Ok(if has_none { Length::None } else { announced.unwrap_or(Length::UntilClose) })
}

/// A body, and how many bytes it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::fuzzing) struct Body {
    pub(in crate::fuzzing) content: Vec<u8>,
    /// The trailer section with its empty line, if there is one with lines.
    pub(in crate::fuzzing) trailers: Option<Vec<u8>>,
    pub(in crate::fuzzing) end: usize,
}

/// The body at the front of `input`. `ended`: the connection ended in order after it.
pub(in crate::fuzzing) fn body(length: Length, input: &[u8], ended: bool) -> Verdict<Body> {
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
pub(in crate::fuzzing) fn chunked(input: &[u8]) -> Verdict<Body> {
    let mut body = Body::default();
    match read_chunks(input, &mut body) {
        Verdict::Whole(()) => Verdict::Whole(body),
        Verdict::Partial => Verdict::Partial,
        Verdict::Bad => Verdict::Bad,
    }
}

/// The content of a chunked body whose end may be missing.
pub(in crate::fuzzing) fn content_so_far(input: &[u8]) -> Vec<u8> {
    let mut body = Body::default();
    read_chunks(input, &mut body);
    body.content
}

fn read_chunks(input: &[u8], body: &mut Body) -> Verdict<()> {
    loop {
        let rest = &input[body.end..];
        let (size, len) = match size_line(rest) {
            Verdict::Whole(found) => found,
            Verdict::Partial => return Verdict::Partial,
            Verdict::Bad => return Verdict::Bad,
        };
        body.end += len;
        if size == 0 {
            break;
        }
        let rest = &rest[len..];
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
