//! The size line of a chunk, as the grammar of RFC 9112, section 7.1 has it.

use super::alphabet::{Verdict, is_field_byte, is_tchar, text};
use crate::h1::limits::CHUNK_LINE_BYTES_MAX;

/// The size on a chunk's line, and the length of that line with its CRLF.
pub(super) fn size_line(input: &[u8]) -> Verdict<(u64, usize)> {
    let digits = input.iter().take_while(|it| it.is_ascii_hexdigit()).count();
    let size = match u64::from_str_radix(&text(&input[..digits.min(16)]), 16) {
        _ if digits == 0 && input.is_empty() => return Verdict::Partial,
        Ok(size) if digits <= 16 && i64::try_from(size).is_ok() => size,
        _ => return Verdict::Bad,
    };
    match extensions(&input[digits..]) {
        Verdict::Whole(len) if digits + len > CHUNK_LINE_BYTES_MAX => Verdict::Bad,
        Verdict::Whole(len) => Verdict::Whole((size, digits + len + 2)),
        Verdict::Partial if input.len() > CHUNK_LINE_BYTES_MAX + 1 => Verdict::Bad,
        Verdict::Partial if input.len() == CHUNK_LINE_BYTES_MAX + 1 && !input.ends_with(b"\r") => {
            Verdict::Bad
        }
        Verdict::Partial => Verdict::Partial,
        Verdict::Bad => Verdict::Bad,
    }
}

/// The length of the extensions before a CRLF. Each is a `;`, a name, and optionally `=` and a
/// value, with blanks around both signs.
fn extensions(input: &[u8]) -> Verdict<usize> {
    let blanks = |at: usize| at + input[at..].iter().take_while(|it| is_blank(**it)).count();
    let token = |at: usize| at + input[at..].iter().take_while(|it| is_tchar(**it)).count();
    let mut at = 0;
    loop {
        match &input[at..] {
            [] | [b'\r'] => return Verdict::Partial,
            [b'\r', b'\n', ..] => return Verdict::Whole(at),
            _ => {}
        }
        at = blanks(at);
        match input.get(at) {
            None => return Verdict::Partial,
            Some(b';') => at = blanks(at + 1),
            Some(_) => return Verdict::Bad,
        }
        let name_end = token(at);
        match input.get(at) {
            None => return Verdict::Partial,
            Some(_) if name_end == at => return Verdict::Bad,
            Some(_) => {}
        }
        at = name_end;
        if input.get(blanks(at)) != Some(&b'=') {
            continue;
        }
        at = blanks(blanks(at) + 1);
        match input.get(at) {
            None => return Verdict::Partial,
            Some(b'"') => match quoted(&input[at..]) {
                Verdict::Whole(len) => at += len,
                Verdict::Partial => return Verdict::Partial,
                Verdict::Bad => return Verdict::Bad,
            },
            Some(_) if token(at) == at => return Verdict::Bad,
            Some(_) => at = token(at),
        }
    }
}

/// The length of the quoted string at the front of `input`.
fn quoted(input: &[u8]) -> Verdict<usize> {
    let mut at = 1;
    loop {
        match input[at..] {
            [] | [b'\\'] => return Verdict::Partial,
            [b'"', ..] => return Verdict::Whole(at + 1),
            [b'\\', byte, ..] if is_field_byte(byte) => at += 2,
            [byte, ..] if byte != b'\\' && is_field_byte(byte) => at += 1,
            _ => return Verdict::Bad,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
