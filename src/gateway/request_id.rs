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
        // Without a table, so that all of them are computed at once.
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let bytes = self.0.to_be_bytes();
        core::array::from_fn(|at| {
            let byte = bytes[at / 2];
            digit(if at % 2 == 0 { byte >> 4 } else { byte & 15 })
        })
    }
}

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
