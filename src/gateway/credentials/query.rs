//! The parameter `key` of a query.
//!
//! Parameters end at `&`. They end at `;`, too, because some servers read it so, and would see a
//! credential that we do not.

use crate::h1::token::hex_value;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};

/// The name, percent-encoded or not. Its case counts, as it does for Google's APIs.
const NAME: &[u8] = b"key";

/// One parameter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    /// What precedes it: `?`, `&` or `;`.
    separator: u8,
    name: &'a [u8],
    /// Whether `=` follows the name.
    has_value: bool,
    pub(super) value: &'a [u8],
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterEdit<'a> {
    Keep,
    Drop,
    /// The name as it came, with this value, encoded.
    Value(&'a [u8]),
}

/// The parameters of a query that begins with `?`; none of an empty one.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let mut rest = query;
    core::iter::from_fn(move || {
        let (&separator, behind) = rest.split_first()?;
        let is_separator = |byte: &u8| matches!(byte, b'&' | b';');
        let len = behind.iter().position(is_separator).unwrap_or(behind.len());
        let (text, next) = behind.split_at(len);
        rest = next;
        let name_len = text.iter().position(|&byte| byte == b'=').unwrap_or(len);
        let (name, value) = text.split_at(name_len);
        let has_value = !value.is_empty();
        Some(Parameter { separator, name, has_value, value: value.get(1..).unwrap_or_default() })
    })
}

impl Parameter<'_> {
    /// Its name, decoded.
    pub(super) fn name(&self) -> Cow<'_, [u8]> {
        percent_decoded(self.name)
    }

    /// Whether it is where a key is.
    pub(super) fn is_key(&self) -> bool {
        *self.name() == *NAME
    }
}

/// Appends `query` with edits, by the number of the parameter and what it is. Separators stay with
/// the parameters after them; what comes first follows a `?`.
pub(super) fn put_query<'a>(
    out: &mut BytesMut,
    query: &[u8],
    edit: impl Fn(u32, &Parameter<'_>) -> ParameterEdit<'a>,
) {
    let mut is_first = true;
    for (number, parameter) in (0..).zip(parameters(query)) {
        let edit = edit(number, &parameter);
        if edit == ParameterEdit::Drop {
            continue;
        }
        out.put_u8(if is_first { b'?' } else { parameter.separator });
        is_first = false;
        out.put_slice(parameter.name);
        if parameter.has_value || edit != ParameterEdit::Keep {
            out.put_u8(b'=');
        }
        match edit {
            ParameterEdit::Keep => out.put_slice(parameter.value),
            ParameterEdit::Value(value) => out.put_slice(&percent_encoded(value)),
            ParameterEdit::Drop => {}
        }
    }
}

/// Appends what a reference has from its path on, with `token`, as it is in a query, for its key.
pub fn put_with_token(out: &mut BytesMut, rest: &[u8], token: &[u8]) {
    let end = memchr::memchr(b'#', rest).unwrap_or(rest.len());
    let (rest, fragment) = rest.split_at(end);
    let (path, query) = rest.split_at(memchr::memchr(b'?', rest).unwrap_or(rest.len()));
    out.put_slice(path);
    let start = out.len();
    put_query(out, query, |_, parameter| {
        if parameter.is_key() { ParameterEdit::Drop } else { ParameterEdit::Keep }
    });
    out.put_u8(if out.len() == start { b'?' } else { b'&' });
    out.put_slice(NAME);
    out.put_u8(b'=');
    out.put_slice(token);
    out.put_slice(fragment);
}

/// `text` with each `%` and two digits as the byte that they mean; others stay.
pub(super) fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digits = if let [high, low, ..] = behind { (*high, *low) } else { (0, 0) };
        match (first, hex_value(digits.0), hex_value(digits.1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                rest = &behind[2..];
            }
            (byte, ..) => {
                decoded.push(*byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(decoded)
}

/// `text`, every byte but the unreserved ones encoded; borrowed if it has no others.
pub(super) fn percent_encoded(text: &[u8]) -> Cow<'_, [u8]> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.iter().all(is_unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = Vec::with_capacity(3 * text.len());
    for byte in text {
        if is_unreserved(byte) {
            encoded.push(*byte);
        } else {
            let [high, low] = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
            encoded.extend([b'%', high, low]);
        }
    }
    Cow::Owned(encoded)
}

/// Whether `byte` means itself in a query wherever it is: unreserved (RFC 3986, section 2.3).
pub(super) fn is_unreserved(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_edits_stays_as_it_came() {
        for query in ["", "?", "?a", "?a=", "?a=b&c", "?&&a=;b=c;", "?=a", "?a=b=c?d", "?%zz=%"] {
            let mut out = BytesMut::new();
            put_query(&mut out, query.as_bytes(), |_, _| ParameterEdit::Keep);
            assert_eq!(out, query.as_bytes());
        }
    }

    #[test]
    fn a_token_takes_the_place_of_every_key_of_a_reference() {
        for (rest, want) in [
            ("files", "files?key=nrw_1"),
            ("files?", "files?&key=nrw_1"),
            ("files?id=a", "files?id=a&key=nrw_1"),
            ("files?key=a&id=b;k%65y=c", "files?id=b&key=nrw_1"),
            ("files?key=a#key=b", "files?key=nrw_1#key=b"),
        ] {
            let mut out = BytesMut::from("/g/");
            put_with_token(&mut out, rest.as_bytes(), b"nrw_1");
            assert_eq!(out, format!("/g/{want}"));
        }
    }

    #[test]
    fn key_is_found_in_any_encoding_and_behind_either_separator() {
        for (query, want) in [
            ("?key=a", &["a"][..]),
            ("?key=a&key=b;key=c", &["a", "b", "c"]),
            ("?%6bey=a&k%65%79=b", &["a", "b"]),
            ("?x;key=a", &["a"]),
            ("?key", &[""]),
            ("?key==", &["="]),
            ("?Key=a&keys=b&=key&xkey=c&key%20=d&a=key=b&?key=c&ke%79%=d", &[]),
            ("", &[]),
        ] {
            let found = parameters(query.as_bytes()).filter(Parameter::is_key);
            let found: Vec<_> = found.map(|it| str::from_utf8(it.value).unwrap()).collect();
            assert_eq!(found, want, "{query}");
        }
    }

    #[test]
    fn what_is_left_of_a_query_keeps_its_separators() {
        for (query, want) in [
            ("?key=a", ""),
            ("?key=a&b", "?b"),
            ("?a;key=b&c", "?a&c"),
            ("?a&key=b;c", "?a;c"),
            ("?a&key", "?a"),
            ("?key=a&key=b", ""),
        ] {
            let mut out = BytesMut::new();
            let drop = |_, parameter: &Parameter<'_>| {
                if parameter.is_key() { ParameterEdit::Drop } else { ParameterEdit::Keep }
            };
            put_query(&mut out, query.as_bytes(), drop);
            assert_eq!(out, want.as_bytes(), "{query}");
        }
    }

    #[test]
    fn a_new_value_is_encoded_and_follows_the_name_as_it_came() {
        let mut out = BytesMut::new();
        let edit = |number, _: &Parameter<'_>| {
            if number == 1 { ParameterEdit::Value(b"s/k+1~&=%") } else { ParameterEdit::Keep }
        };
        put_query(&mut out, b"?a&k%65y&key=b", edit);
        assert_eq!(out, "?a&k%65y=s%2Fk%2B1~%26%3D%25&key=b".as_bytes());
    }

    #[test]
    fn only_a_percent_sign_and_two_digits_are_decoded() {
        for (text, want) in [("%41b%4a%4A", "AbJJ"), ("%", "%"), ("%4", "%4"), ("%%41%4g", "%A%4g")]
        {
            assert_eq!(*percent_decoded(text.as_bytes()), *want.as_bytes(), "{text}");
        }
    }
}
