//! TLS alerts (RFC 8446, section 6) as whole records, to refuse a handshake before it begins.
//!
//! All of them are fatal and in plaintext, because no keys are agreed on yet.
//!
//! Not here: which fault gets which alert (`preface::client_hello` and the drivers).

/// Length of the record of an alert.
pub const RECORD_BYTES: usize = 7;

/// The description of a fatal alert. Its value is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Alert {
    /// A record or a message that may not come now.
    UnexpectedMessage = 10,
    /// A record longer than the protocol allows.
    RecordOverflow = 22,
    /// A field that is well-formed and wrong.
    IllegalParameter = 47,
    /// A field or a length out of its range.
    DecodeError = 50,
    /// A version that is not supported.
    ProtocolVersion = 70,
    /// We cannot go on, and the peer is not to blame.
    InternalError = 80,
    /// No server has the name that the client asks for (RFC 6066, section 3).
    UnrecognizedName = 112,
}

impl Alert {
    /// The whole record of a fatal alert.
    ///
    /// Its version is that of TLS 1.2, which RFC 8446, section 5.1 requires of every record but
    /// that of a first hello. Clients accept it before a version is negotiated.
    pub const fn record(self) -> [u8; RECORD_BYTES] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self as u8]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_a_record_of_two_bytes() {
        assert_eq!(Alert::UnrecognizedName.record(), *b"\x15\x03\x03\0\x02\x02\x70");
        assert_eq!(Alert::DecodeError.record(), *b"\x15\x03\x03\0\x02\x02\x32");
    }
}
