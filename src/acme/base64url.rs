//! Base64 without padding, in the alphabet for URLs (RFC 4648, section 5; RFC 7515, section 2).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes `bytes`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    encode_in(ALPHABET, bytes.as_ref())
}

/// Encodes in another alphabet of 64 characters, also without padding.
pub(super) fn encode_in(alphabet: &[u8; 64], bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for shift in [18, 12, 6, 0].into_iter().take(group.len() + 1) {
            text.push(char::from(alphabet[(bits >> shift) as usize & 63]));
        }
    }
    text
}

/// Decodes `text`. Padding and the standard alphabet are accepted, because keys that are copied
/// from a CA's page come in either form.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for character in group {
            bits = bits << 6 | value(*character)?;
        }
        let (bits, len) = match group.len() {
            4 => (bits, 3),
            3 => (bits << 6, 2),
            2 => (bits << 12, 1),
            _ => return None,
        };
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=len]);
    }
    Some(bytes)
}

fn value(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' | b'+' => 62,
        b'_' | b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_encoded_as_in_the_rfc_and_decoded_again() {
        // RFC 4648, section 10, without padding.
        let vectors = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"].iter().enumerate();
        for (len, text) in vectors {
            let bytes = &b"foobar"[..len];
            assert_eq!(encode(bytes), *text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode([0xfb, 0xff]), "-_8");
    }

    #[test]
    fn padding_and_the_standard_alphabet_are_accepted_and_other_characters_refused() {
        assert_eq!(decode("+/8="), Some(vec![0xfb, 0xff]));
        for bad in ["A", "AAAAA", "AA AA", "A=AA", "AA\n", "ä"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
