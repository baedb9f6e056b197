//! An encoded `..`: segments of a path that some servers would take for a parent after decoding,
//! although they are forwarded byte for byte.
//!
//! `hides_parent` reads a segment as the most lenient of servers would, all at once: one that
//!
//! - decodes up to [`ROUNDS`] times, and `%u002e` as well;
//! - accepts overlong UTF-8, and broken continuation bytes in it;
//! - folds full-width letters and their like to ASCII, as NFKC and Windows do;
//! - drops what is not UTF-8, what is invisible, blanks and control bytes;
//! - takes `\` for `/`, and ends a segment at `;`, NUL, `?` or `#`.
//!
//! Names that merely have dots, escapes or parameters are not refused.
//!
//! `any_reading` reads a whole path in the same way, for who looks for something else in it.
//!
//! A round of decoding is one pass over a copy of the segment, in place, so the work is linear.
//!
//! Not here: `..` and `%2e%2e` themselves, which are resolved (`h1::dot_segments`).

use crate::h1::token::hex_value;
use alloc::vec::Vec;
use memchr::memchr;

/// How often a path may be decoded on its way. Twice is known from servers whose proxy decodes as
/// well; the third round is for one more proxy.
pub const ROUNDS: usize = 3;

/// Which ASCII bytes a decoder takes for continuation bytes of UTF-8: those below the bound. 0 is a
/// strict decoder, which refuses overlong forms as well. The others only look at the last six bits,
/// some after they have checked that the seventh is not set.
const TAIL_BOUNDS: [u8; 3] = [0, 0x40, 0x80];

const DEL: u8 = 0x7f;

/// Whether `..` is between separators that some decoder finds in `segment`.
pub(super) fn hides_parent(segment: &[u8]) -> bool {
    any_decoding(segment, has_parent)
}

/// Whether `is_wanted` is true of what some decoder reads in `path`: of names between single
/// slashes, without parameters and what else such a decoder leaves out.
pub fn any_reading(path: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> bool {
    any_decoding(path, |text| is_wanted(&simplified(text)))
}

/// Whether `is_wanted` is true of `text`, or of what any decoder makes of it in any round.
fn any_decoding(text: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> bool {
    if is_wanted(text) {
        return true;
    }
    if memchr(b'%', text).is_none() {
        return false;
    }
    TAIL_BOUNDS.into_iter().any(|tail_bound| {
        let mut text = text.to_vec();
        (0..ROUNDS).any(|_| {
            decode(&mut text, tail_bound);
            is_wanted(&text)
        })
    })
}

fn simplified(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    for segment in text.split(|byte| matches!(byte, b'/' | b'\\')) {
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        let before = path.len();
        let end = segment.iter().position(|byte| matches!(byte, 0 | b';' | b'?' | b'#'));
        let name = segment[..end.unwrap_or(segment.len())].iter().copied();
        path.extend(name.filter(|byte| !matches!(*byte, 0..=b' ' | DEL)));
        if path[before..] == *b"." {
            path.truncate(before);
        }
    }
    path
}

/// Whether a piece between two separators is two dots and nothing else that counts.
fn has_parent(text: &[u8]) -> bool {
    let (mut dots, mut is_name, mut has_ended) = (0, false, false);
    for &byte in text {
        match byte {
            b'/' | b'\\' => {
                if dots == 2 && !is_name {
                    return true;
                }
                (dots, is_name, has_ended) = (0, false, false);
            }
            _ if has_ended => {}
            b'.' => dots += 1,
            // Some strings end at a NUL, others go on after it.
            0 if dots == 2 && !is_name => return true,
            b';' | b'?' | b'#' => has_ended = true,
            0..=b' ' | DEL => {}
            _ => is_name = true,
        }
    }
    dots == 2 && !is_name
}

/// One round of decoding: escapes to bytes, then characters beyond ASCII to those in ASCII that
/// they resemble. Broken UTF-8 is read as what it resembles, as far as `tail_bound` (of
/// [`TAIL_BOUNDS`]) allows, and otherwise left out.
fn decode(text: &mut Vec<u8>, tail_bound: u8) {
    // Nothing becomes longer than it was, so writing never overtakes reading.
    let (mut from, mut to) = (0, 0);
    while let Some((unit, len)) = unescape(&text[from..]) {
        let (read, len) = match unit {
            Unit::Byte(byte) if byte.is_ascii() => (Decoded::Byte(byte), len),
            Unit::Byte(lead) => sequence(lead, &text[from + len..], tail_bound)
                .map_or((Decoded::Nothing, len), |(read, tail_len)| (read, len + tail_len)),
            Unit::Char(code) => (fold(code), len),
        };
        from += len;
        let written: &[u8] = match &read {
            Decoded::Nothing => &[],
            Decoded::Byte(byte) => core::slice::from_ref(byte),
            Decoded::TwoDots => b"..",
        };
        text[to..to + written.len()].copy_from_slice(written);
        to += written.len();
    }
    text.truncate(to);
}

/// What the UTF-8 sequence with this first byte means, and how many bytes of `rest` belong to
/// it. `None`: the byte is left out alone, and what follows is read for itself.
fn sequence(lead: u8, rest: &[u8], tail_bound: u8) -> Option<(Decoded, usize)> {
    let (tail_len, least) = match lead {
        0xc0..=0xdf => (1, 0x80),
        0xe0..=0xef => (2, 0x800),
        0xf0..=0xf7 => (3, 0x1_0000),
        0xf8..=0xfb => (4, u32::MAX),
        0xfc..=0xfd => (5, u32::MAX),
        _ => return None,
    };
    let (mut code, mut at) = (u32::from(lead) & (0x3f >> tail_len), 0);
    let (mut has_tail, mut has_ascii) = (true, tail_len == 1);
    for _ in 0..tail_len {
        let Some((Unit::Byte(byte), len)) = unescape(&rest[at..]) else { return None };
        has_tail &= byte & 0xc0 == 0x80;
        has_ascii &= byte < tail_bound;
        code = code << 6 | u32::from(byte & 0x3f);
        at += len;
    }
    if has_tail && code >= least && char::from_u32(code).is_some() {
        return Some((fold(code), at));
    }
    // Some decoders check neither for overlong forms nor for the two bits of a continuation byte.
    match fold(code) {
        Decoded::Byte(byte) if tail_bound > 0 && (has_tail || has_ascii) && is_special(byte) => {
            Some((Decoded::Byte(byte), at))
        }
        Decoded::Byte(_) | Decoded::TwoDots | Decoded::Nothing => {
            has_tail.then_some((Decoded::Nothing, at))
        }
    }
}

enum Unit {
    Byte(u8),
    /// `%u`, beyond ASCII.
    Char(u32),
}

/// What a character is read as.
enum Decoded {
    Byte(u8),
    /// One character that is `..` by itself.
    TwoDots,
    Nothing,
}

/// The first byte of `text`, or what an escape there means, and its length. A `%` that begins
/// no escape is itself.
fn unescape(text: &[u8]) -> Option<(Unit, usize)> {
    let digit = |byte: u8| hex_value(byte).map(u32::from);
    let code =
        |digits: &[u8]| digits.iter().try_fold(0, |code, &byte| Some(code << 4 | digit(byte)?));
    let (escaped, len) = match text {
        [] => return None,
        [b'%', b'u' | b'U', a, b, c, d, ..] => (code(&[*a, *b, *c, *d]), 6),
        [b'%', high, low, ..] => (code(&[*high, *low]), 3),
        [_, ..] => (None, 1),
    };
    Some(match escaped {
        Some(code @ 0x80..) if len == 6 => (Unit::Char(code), len),
        Some(code) => (Unit::Byte(code as u8), len),
        None => (Unit::Byte(text[0]), 1),
    })
}

/// The bytes that mean something in [`has_parent`], or in another round.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'.' | b'/' | b'\\' | b';' | b'%' | b'?' | b'#' | 0)
}

/// What a character is folded to: a sign that is in no route, where it resembles nothing that means
/// something.
fn fold(code: u32) -> Decoded {
    let byte = match code {
        0..=0x7f => code as u8,
        // Full-width forms of the whole of ASCII.
        0xff01..=0xff5e => (code - 0xff01) as u8 + b'!',
        // One dot leader, small full stop, the full stops of East Asia.
        0x2024 | 0xfe52 | 0x3002 | 0xff61 => b'.',
        // Two dot leader, upright and on its side.
        0x2025 | 0xfe30 => return Decoded::TwoDots,
        // Division slash, fraction slash, big solidus.
        0x2215 | 0x2044 | 0x29f8 => b'/',
        // Set minus, small and big reverse solidus.
        0x2216 | 0xfe68 | 0x29f9 => b'\\',
        // Greek question mark, small semicolon.
        0x037e | 0xfe54 => b';',
        0xfe6a => b'%',
        // Soft hyphen, zero-width and directional marks, byte order mark.
        0x00ad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2064 | 0xfeff => {
            return Decoded::Nothing;
        }
        _ => b'^',
    };
    Decoded::Byte(byte)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::h1::dot_segments) const DISGUISES: &[&str] = &[
        // Separators and ends that only some servers know.
        "..%2f",
        "..%2F",
        "%2f..",
        "a%2f..%2fb",
        "a%2F%2e%2E",
        "..\\",
        "\\..",
        "a\\..\\b",
        "%2e%2e%5c",
        "..%5Ca",
        "%5c.%2e",
        "..;",
        "..;a=b",
        "%2e.;a",
        "a%2f..;b",
        "..%2f..",
        "..%3b",
        "..%3Ba=b",
        "..%00",
        "..%00.html",
        "..%3fx",
        "..%23",
        ".%00.",
        "..%20",
        "%09..",
        "..%0a",
        ".%e2%80%8b.",
        "%ef%bb%bf..",
        // Decoded twice and three times.
        "%252e%252e",
        "%252E.",
        ".%252e%252f",
        "..%252f",
        "..%255c",
        "..%253b",
        "%25252e%2e",
        "%%32%65%%32%65",
        "%25%32%65.",
        "%252e%u002e",
        // By code point.
        "%u002e%u002e",
        "%U002e.",
        "..%u002f",
        "..%u2215",
        "%uff0e%uff0e",
        "%uFF0E.",
        "..%uff3c",
        // UTF-8 that is too long, or whose tail is none.
        "%c0%ae%c0%ae",
        "%C0%AE.",
        "..%c0%af",
        "..%c1%9c",
        "%c0%2e%c0%2e",
        // A lead byte that one decoder drops, and another takes together with a letter.
        ".%%c0c1%1c..",
        "..%c0%2f",
        "..%c1%1c",
        "%e0%80%ae.",
        "%f0%80%80%ae.",
        "%f8%80%80%80%ae.",
        "%fc%80%80%80%80%ae.",
        "..%e0%80%af",
        "%25c0%25ae.",
        // Full-width letters and their like.
        "%ef%bc%8e%ef%bc%8e",
        "%EF%BC%8E.",
        "..%ef%bc%8f",
        "..%ef%bc%bc",
        "..%ef%bc%9b",
        "%e2%80%a4%e2%80%a4",
        "%e2%80%a5",
        "%ef%b8%b0",
        "%ef%b9%92.",
        "%e3%80%82%e3%80%82",
        "..%e2%88%95x",
        "..%e2%81%84",
        "%ef%bc%852e.",
        "%ef%bc%85%ef%bc%92e.",
        // What a decoder leaves out.
        "%ff..",
        ".%ff.",
        "..%80",
        ".%c3.",
        ".%e2%80.",
        ".%c0%bb.",
        ".%c1%a1.",
        ".%ed%a0%80.",
    ];

    #[test]
    fn a_parent_is_found_in_any_disguise() {
        for segment in DISGUISES {
            assert!(hides_parent(segment.as_bytes()), "{segment}");
        }
    }

    #[test]
    fn names_with_dots_escapes_and_parameters_are_allowed() {
        for segment in [
            "",
            "a",
            ".a",
            "a.",
            "..a",
            "a..",
            "a..b",
            "...",
            "....",
            "a..b%2fc",
            "%2e%2e%2e",
            ";",
            ";..",
            "a;..",
            ";v=1",
            "a;v=..",
            "a;v=1;w=2",
            ".;a",
            ".",
            "%",
            "%2",
            "%zz",
            "%2e%2",
            ".%2",
            "%u",
            "%u00",
            "%u002",
            "%u002g.",
            "a%2fb",
            "a%2F.%2Fb",
            "a%2f...%5c",
            "%2f.%2f",
            "%00",
            "%252F",
            "a%252fb",
            "a%2525b",
            "gpt-4.1",
            "ft%3Agpt-4.1%3Aorg%3A%3Aid",
            "org%2Fmodel%2Fv1.2",
            "%c3%a9.%c3%a9.",
            "%e2%80%a6",
            "%ef%bc%8e",
            "%ef%bc%8ea.",
            "%e6%97%a5.%e6%9c%ac",
            "%c0%ae",
            "%c1%a1..%c1%a1a",
            "caf%e9",
            "a%20..%20b",
            "%20",
            "%3b",
            "a%3f..",
            "%252e",
            "%25252e",
            "file%2ename",
            "%f0%9f%98%80..",
            "%e3%80%82",
            "1%2e%2e2",
            "%2525252e%2525252e",
        ] {
            assert!(!hides_parent(segment.as_bytes()), "{segment}");
        }
    }

    #[test]
    fn a_path_is_read_as_the_most_lenient_of_servers_would() {
        let is_read =
            |path: &str, want: &str| any_reading(path.as_bytes(), |read| read == want.as_bytes());
        for path in [
            "/a/b/",
            "//a///b//",
            "/a\\b/",
            "/./a/%2e/b/",
            "/%61/b/",
            "/%2561/%252562/",
            "/a;x=y/b;/",
            "/a%3bx/b%2f",
            "/%2fa%5cb/",
            "/a%00x/%20b/",
            "/%ef%bd%81/%u0062/",
            "/a%e2%80%8b/b/",
        ] {
            assert!(is_read(path, "/a/b/"), "{path}");
        }
        for path in ["/a/b", "/ab/", "/a/b/c", "/A/b/", "/%c3%a9/b/", "/a/%e4%bd%a0/", "/a/b%"] {
            assert!(!is_read(path, "/a/b/"), "{path}");
        }
    }
}
