//! The bounds of the parser, each with its reason and with what happens beyond it.
//!
//! [`HeadLimits`] is what a caller may choose; the constants are fixed. Relations between them are
//! compile-time assertions, so that a change which breaks one does not build.

use core::ops::RangeInclusive;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes, from the start line to the empty line, both included. At most the end of
    /// [`HEAD_BYTES_RANGE`] counts.
    pub bytes: usize,
    /// Most field lines. At most [`HEADER_FIELDS_MAX`] counts.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes: HEAD_BYTES_DEFAULT, fields: HEADER_FIELDS_DEFAULT }
    }
}

/// Longest message head by default; `limits.head_bytes` changes it. A longer one is 431 from a
/// client, or 414 if the request line alone is too long, and 502 from an upstream.
///
/// Cloudflare lets 128 KiB of response fields through, and nginx 32 KiB of request fields. 64 KiB
/// holds every head that the APIs' own clients send, several times over.
pub const HEAD_BYTES_DEFAULT: usize = 64 * 1024;
/// Range that `limits.head_bytes` may be set to. Positions of fields are kept in 32 bits, and a
/// head of a megabyte is a mistake.
pub const HEAD_BYTES_RANGE: RangeInclusive<usize> = 1024..=1024 * 1024;

/// Most field lines in one head by default; `limits.header_fields` changes it.
pub const HEADER_FIELDS_DEFAULT: usize = 256;
/// Most field lines that `limits.header_fields` may allow: they are parsed into a table on the
/// stack, 32 bytes a line.
pub const HEADER_FIELDS_MAX: usize = 1024;

/// Most empty lines that are skipped before a request line. RFC 9112, section 2.2 asks for "at
/// least one", for the sake of clients that end a body with a stray CRLF.
pub const LEADING_EMPTY_LINES_MAX: usize = 4;

/// Longest chunk-size line we accept, chunk extensions included, CRLF excluded.
///
/// The size itself is at most 16 hex digits. Extensions are legal (RFC 9112, section 7.1.1) but
/// rare, and an unbounded line lets a peer spend our time on bytes that carry no content. 256
/// leaves room for a signature in an extension, and for little more.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Longest trailer section we accept. Trailers hold checksums and timings, a few lines.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Most field lines in one trailer section.
pub const TRAILER_FIELDS_MAX: usize = 64;

/// Most content ranges that one walk gives and one vectored write carries. More chunks of one read
/// go out in a further write. Linux allows 1024 (`IOV_MAX`); the slices live on the stack.
pub const CONTENT_RANGES_MAX: usize = 62;

const _: () = assert!(*HEAD_BYTES_RANGE.end() <= u32::MAX as usize);
const _: () = assert!(HEADER_FIELDS_DEFAULT <= HEADER_FIELDS_MAX);
const _: () = assert!(HEAD_BYTES_DEFAULT <= *HEAD_BYTES_RANGE.end());
