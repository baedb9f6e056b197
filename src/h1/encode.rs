//! Writing: decimal numbers and chunk headers.
//!
//! Not here: when a chunk header is due (`h1::body`).

use bytes::{BufMut, BytesMut};

/// Longest chunk header: 16 hexadecimal digits and CRLF.
const CHUNK_HEADER_BYTES_MAX: usize = 18;
/// Digits of `u64::MAX`.
const DECIMAL_DIGITS_MAX: usize = 20;

/// The size line of one chunk, without extensions. Empty by default, for bodies without chunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkHeader {
    bytes: [u8; CHUNK_HEADER_BYTES_MAX],
    start: u8,
    end: u8,
}

impl ChunkHeader {
    /// The line for a chunk of `len` octets. It is empty for a length of 0, because a chunk of that
    /// size would end the body, and only `BodyWriter::after` ends bodies.
    pub fn new(len: usize) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut header = Self::default();
        if len == 0 {
            return header;
        }
        let mut at = CHUNK_HEADER_BYTES_MAX - 2;
        header.bytes[at..].copy_from_slice(b"\r\n");
        let mut rest = len;
        while rest > 0 {
            at -= 1;
            header.bytes[at] = DIGITS[rest % 16];
            rest /= 16;
        }
        header.start = at as u8;
        header.end = CHUNK_HEADER_BYTES_MAX as u8;
        header
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

/// Appends `number` in decimal digits.
pub fn put_decimal(out: &mut BytesMut, number: u64) {
    let mut digits = [0; DECIMAL_DIGITS_MAX];
    let mut at = DECIMAL_DIGITS_MAX;
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_headers_are_hexadecimal_without_leading_zeros() {
        for (len, want) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65536, "10000\r\n")] {
            assert_eq!(ChunkHeader::new(len).as_bytes(), want.as_bytes());
        }
        assert_eq!(ChunkHeader::new(usize::MAX).as_bytes(), b"ffffffffffffffff\r\n");
    }

    #[test]
    fn a_chunk_header_never_ends_a_body() {
        assert_eq!(ChunkHeader::new(0).as_bytes(), b"");
        assert_eq!(ChunkHeader::default().as_bytes(), b"");
    }

    #[test]
    fn decimals_are_exact_at_both_ends() {
        for number in [0, 9, 10, 4096, u64::MAX] {
            let mut out = BytesMut::new();
            put_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
