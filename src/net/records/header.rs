//! The header of a record (RFC 8446, section 5.1; the same in RFC 5246, section 6.2.1).

use crate::limits::{SCRATCH_BYTES, TLS_SCRATCH_BYTES};
use tokio_rustls::rustls::{ContentType, InvalidMessage};

/// How long it is.
pub(super) const HEADER_BYTES: usize = 5;

/// Most bytes that may follow it: the content, and 2,048 for what protects it, which is TLS 1.2's
/// limit (RFC 5246, section 6.2.3).
const PROTECTED_BYTES_MAX: usize = 16 * 1024 + 2048;

// An incomplete record leaves room for the largest read.
const _: () = assert!(HEADER_BYTES + PROTECTED_BYTES_MAX + SCRATCH_BYTES <= TLS_SCRATCH_BYTES);

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) content_type: ContentType,
    /// As sent. Only the first byte has a meaning; both are authenticated.
    pub(super) version: [u8; 2],
    /// How many bytes follow.
    pub(super) len: usize,
}

impl Header {
    /// Reads the header at the front of `bytes`. There is none while it is incomplete.
    ///
    /// # Errors
    /// The bytes are no record, which may show before the header is complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidMessage> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let content_type = ContentType::from(first);
        if let ContentType::Unknown(_) = content_type {
            return Err(InvalidMessage::InvalidContentType);
        }
        let Some(&[major, minor]) = bytes.get(1..3) else { return Ok(None) };
        if major != 3 {
            return Err(InvalidMessage::UnknownProtocolVersion);
        }
        let Some(&[high, low]) = bytes.get(3..HEADER_BYTES) else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 && content_type != ContentType::ApplicationData {
            return Err(InvalidMessage::InvalidEmptyPayload);
        }
        if len >= PROTECTED_BYTES_MAX {
            return Err(InvalidMessage::MessageTooLarge);
        }
        Ok(Some(Self { content_type, version: [major, minor], len }))
    }

    /// As it is sent.
    pub(super) fn bytes(self) -> [u8; HEADER_BYTES] {
        let ([major, minor], [high, low]) = (self.version, (self.len as u16).to_be_bytes());
        [self.content_type.into(), major, minor, high, low]
    }
}
