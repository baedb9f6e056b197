//! PEM (RFC 7468), written. What is read goes through [`tls::pem`](crate::tls::pem).

use super::base64url;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters of base64 on a line (section 2).
const LINE_CHARS: usize = 64;

/// One block with this label.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut base64 = base64url::encode_in(ALPHABET, der);
    while !base64.len().is_multiple_of(4) {
        base64.push('=');
    }
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::pem::{Content, blocks};
    use crate::tls::testing::pem::CERTIFICATE;

    #[test]
    fn a_block_is_written_as_openssl_writes_it() {
        let blocks = blocks(CERTIFICATE.as_bytes()).unwrap();
        let Content::Certificate(der) = &blocks[0].content else { panic!() };
        assert_eq!(encode("CERTIFICATE", der), CERTIFICATE);
    }

    #[test]
    fn lines_break_after_64_characters_and_padding_fills_the_last() {
        assert_eq!(encode("X", b"f"), "-----BEGIN X-----\nZg==\n-----END X-----\n");
        assert_eq!(encode("X", b""), "-----BEGIN X-----\n-----END X-----\n");
        assert_eq!(encode("X", &[0; 96]).lines().map(str::len).max(), Some(64));
    }
}
