//! The id of an exchange, which is in our log, and in `X-Request-Id` of responses that have none:
//! [`RequestId`].
//!
//! Not here: where ids come from (`telemetry::request_ids`), and which responses get one
//! (`gateway::rewrite`, `gateway::own_response`).

use bytes::{BufMut, BytesMut};

/// The id of an exchange: 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The id with these bits.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// In lower case.
    pub fn digits(self) -> [u8; 16] {
        let mut digits = [[0; 2]; 8];
        for (pair, byte) in digits.iter_mut().zip(self.0.to_be_bytes()) {
            *pair = HEX_PAIRS[usize::from(byte)];
        }
        digits.as_flattened().first_chunk().copied().unwrap_or_default()
    }
}

/// The two digits of each byte.
static HEX_PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut pairs, mut byte) = ([[0; 2]; 256], 0);
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Appends the field that tells the client `id`, if there is one.
pub(super) fn put_request_id(out: &mut BytesMut, id: Option<RequestId>) {
    if let Some(id) = id {
        out.put_slice(b"X-Request-Id: ");
        out.put_slice(&id.digits());
        out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_16_hexadecimal_digits() {
        for bits in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX, 1 << 63] {
            let digits = RequestId::new(bits).digits();
            assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{bits:016x}"));
        }
    }
}
