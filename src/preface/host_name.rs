//! Names of hosts as a `ClientHello` and a certificate have them (RFC 6066, section 3; RFC 1123,
//! section 2.1).
//!
//! Letters, digits, hyphens, and underscores, which RFC 1123 does not allow and networks use: the
//! names that rustls verifies. A name in another alphabet comes in its `xn--` form (RFC 5890).

use alloc::boxed::Box;

/// The name in `bytes`, in lower case and without a dot at its end, or `None` if it is not a name.
///
/// Each label has 1 to 63 letters, digits, hyphens and underscores, with no hyphen first or last.
/// All of them together have at most 253 bytes, dots included. The last label is not a number, or a
/// parser could take the name for an IPv4 address. RFC 6066, section 3 allows no dot at the end; a
/// name that has one means the same host, so a rule about that host must apply.
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

/// Whether a label may begin and end with this byte.
fn is_edge(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether parsers of IPv4 addresses take a label for a number: decimal, or hex after `0x`.
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
