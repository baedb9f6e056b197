//! Names of hosts as they stand in a hello and in a certificate (RFC 6066, section 3; RFC 1123,
//! section 2.1).
//!
//! Letters, digits, hyphens, and the underscores that RFC 1123 has not and networks have: the names
//! that rustls verifies. A name in another alphabet comes in its `xn--` form (RFC 5890).

use alloc::boxed::Box;

/// The name in `bytes` in its one form: lower case, no dot at its end.
///
/// None for what is no name: each label has 1 to 63 letters, digits, hyphens and underscores, no
/// hyphen first or last; all of them have 253 bytes at most, dots included; and the last label is
/// no number, or somebody would take the name for an IPv4 address. RFC 6066, section 3 wants no
/// dot at the end; with it, the same host is meant, and a rule about that host has to hold.
pub fn host_name(bytes: &[u8]) -> Option<Box<str>> {
    let name = bytes.strip_suffix(b".").unwrap_or(bytes);
    let last = name.rsplit(|&byte| byte == b'.').next()?;
    let is_name = name.len() <= HOST_NAME_BYTES_MAX
        && name.split(|&byte| byte == b'.').all(is_label)
        && !is_number(last);
    let name = str::from_utf8(name).ok().filter(|_| is_name)?;
    Some(name.to_ascii_lowercase().into_boxed_str())
}

const HOST_NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

fn is_label(label: &[u8]) -> bool {
    let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let [first, .., last] = label else { return matches!(label, [byte] if is_edge(*byte)) };
    let fits = label.len() <= LABEL_BYTES_MAX;
    fits && is_edge(*first) && is_edge(*last) && label.iter().all(is_name_byte)
}

/// Whether a label may begin and end with this.
fn is_edge(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether parsers of IPv4 addresses take a label for a number: decimal, or hex behind `0x`.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_is_a_letter_a_digit_a_hyphen_or_an_underscore() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert_eq!(host_name(&[b'a', byte, b'a']).is_some(), allowed, "{byte:#04x}");
            let at_edge = byte.is_ascii_alphabetic() || byte == b'_';
            assert_eq!(host_name(&[byte]).is_some(), at_edge, "{byte:#04x}");
        }
    }

    // More in the tests of `client_hello`, beside what rustls says to the same names.
}
