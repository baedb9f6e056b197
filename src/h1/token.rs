//! Tokens, optional whitespace, list elements and digits (RFC 9110, section 5.6).
//!
//! Numbers are parsed here and never by `str::parse`, which accepts a leading `+`: in a length or a
//! chunk size, that is a way to smuggle a request.
//!
//! Not here: chunk sizes, which `h1::chunked` reads digit by digit with [`hex_value`].

/// Whether `byte` may be in a token: a `tchar` (RFC 9110, section 5.6.2).
pub fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
            | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

/// Whether `bytes` are one token: `1*tchar`.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

/// Whether `byte` is optional whitespace: SP or HTAB (RFC 9110, section 5.6.3).
pub fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without SP and HTAB on both ends. No other byte counts as a blank.
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed, empty ones skipped (RFC 9110, section 5.6.1.2).
///
/// Quoted strings are not recognised. The lists that a gateway reads are lists of tokens, and a
/// comma in a string only makes elements that are not tokens.
pub fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows).filter(|element| !element.is_empty())
}

/// The number that `digits` spell, or `None` for anything but `1*DIGIT`, and beyond 64 bits.
///
/// There is no sign and no blank. Leading zeros are digits like others.
pub fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The value, 0 to 15, of a `HEXDIG` in either case.
pub fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether `method` is one of RFC 9110, section 9.3, or PATCH, in the wrong case.
pub fn is_wrong_case_of_a_standard_method(method: &[u8]) -> bool {
    const STANDARD: [&[u8]; 9] =
        [b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"];
    method.iter().any(u8::is_ascii_lowercase)
        && STANDARD.iter().any(|it| it.eq_ignore_ascii_case(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tchars_are_visible_bytes_other_than_delimiters() {
        for byte in 0..=u8::MAX {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_tchar(byte), byte.is_ascii_graphic() && !delimiter, "{byte:#04x}");
        }
    }

    #[test]
    fn a_token_is_not_empty_and_holds_only_tchars() {
        assert!(is_token(b"PROPFIND"));
        assert!(!is_token(b""));
        assert!(!is_token(b"a b"));
        assert!(!is_token(b"a\xc3\xa9"));
    }

    #[test]
    fn only_sp_and_htab_are_trimmed() {
        assert_eq!(trim_ows(b" \t a \tb\t "), b"a \tb");
        assert_eq!(trim_ows(b" \t "), b"");
        for byte in 0..=u8::MAX {
            let (blank, framed) = (byte == b' ' || byte == b'\t', [byte, b'x', byte]);
            assert_eq!(is_ows(byte), blank, "{byte:#04x}");
            let want: &[u8] = if blank { b"x" } else { &framed };
            assert_eq!(trim_ows(&framed), want, "{byte:#04x}");
        }
    }

    #[test]
    fn empty_list_elements_are_skipped() {
        let elements: Vec<_> = list_elements(b", a ,,\tb c\t,").collect();
        assert_eq!(elements, [b"a".as_slice(), b"b c"]);
        assert_eq!(list_elements(b" , ").count(), 0);
        assert_eq!(list_elements(b"").count(), 0);
    }

    #[test]
    fn decimals_are_digits_and_nothing_else() {
        assert_eq!(parse_decimal(b"0"), Some(0));
        assert_eq!(parse_decimal(b"00012"), Some(12));
        for refused in ["", "+1", "-1", " 1", "1 ", "1,1", "0x1", "1.0", "1e3", "\u{0661}"] {
            assert_eq!(parse_decimal(refused.as_bytes()), None, "{refused:?}");
        }
        for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            assert_eq!(parse_decimal(&[b'1', byte]), None, "{byte:#04x}");
        }
    }

    #[test]
    fn decimals_beyond_64_bits_are_refused_not_wrapped() {
        assert_eq!(parse_decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_decimal(b"018446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_decimal(b"18446744073709551616"), None);
        assert_eq!(parse_decimal(b"100000000000000000000"), None);
    }

    #[test]
    fn hex_digits_have_their_value_in_either_case() {
        for byte in 0..=u8::MAX {
            let want = char::from(byte).to_digit(16).filter(|_| byte.is_ascii());
            assert_eq!(hex_value(byte).map(u32::from), want, "{byte:#04x}");
        }
    }
}
