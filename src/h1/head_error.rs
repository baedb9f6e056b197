//! Why a head or a trailer section is refused.
//!
//! The variants say what is wrong with the message, not what a parser expected.
//!
//! Not here: finding it (`h1::head_reader`, `h1::head`, `h1::section`), and which status a variant
//! gets (the caller).

use super::lines::LineError;
use super::target::TargetError;

/// Why a head or a trailer section is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// LF without CR before it. RFC 9112, section 2.2 would let us take it for a line end.
    BareLf,
    /// CR without LF after it (RFC 9112, section 2.2).
    BareCr,
    /// A NUL byte (RFC 9110, section 5.5).
    Nul,
    /// The first byte cannot begin a head. Perhaps a body was longer than announced.
    NotHttp,
    /// The first byte is that of a TLS record: the sender takes this for a port that speaks TLS.
    Tls,
    /// The request line alone is over the limit.
    TargetTooLong,
    /// The head, or the trailer section, is over its limit of bytes.
    HeadTooLarge,
    /// More field lines than the limit.
    TooManyFields,
    /// Not `method SP request-target SP HTTP-version` with single spaces (RFC 9112, section 3).
    BadRequestLine,
    /// A standard method in the wrong case (RFC 9110, section 9.1). Methods are case-sensitive, but
    /// some servers forget it, and serve a request that others take for an unknown one.
    MethodCase,
    /// The request-target has none of the forms that its method allows.
    Target(TargetError),
    /// Not `HTTP-version SP 3DIGIT [ SP reason-phrase ]`, or a status outside 100 to 599
    /// (RFC 9112, section 4).
    BadStatusLine,
    /// A well-formed version that is neither 1.0 nor 1.1.
    UnsupportedVersion,
    /// A field line without a colon, with an empty name, or with a byte in its name that is not a
    /// `tchar`, such as whitespace before the colon (RFC 9112, section 5.1).
    BadFieldName,
    /// A control byte other than HTAB in a value (RFC 9110, section 5.5).
    BadFieldValue,
    /// A line that begins with whitespace: obs-fold, or a blank before the first field (RFC 9112,
    /// sections 2.2 and 5.2).
    FoldedField,
    /// The bytes are not exactly one head. This is a mistake of the caller: it never happens to
    /// what a [`HeadReader`](super::head_reader::HeadReader) has found.
    NotOneHead,
}

impl From<LineError> for HeadError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::BareLf => Self::BareLf,
            LineError::BareCr => Self::BareCr,
            LineError::Nul => Self::Nul,
        }
    }
}
