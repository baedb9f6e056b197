//! Why a head or a trailer section is refused.

use super::lines::LineError;
use super::target::TargetError;

/// Why a head or a trailer section is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// LF without CR before it, which RFC 9112, section 2.2 would let us take for a line end.
    BareLf,
    /// CR without LF behind it (RFC 9112, section 2.2).
    BareCr,
    /// A NUL byte (RFC 9110, section 5.5).
    Nul,
    /// The first byte begins no head: perhaps a body longer than announced.
    NotHttp,
    /// The first byte is that of a record of TLS: its sender takes this for the port of TLS.
    Tls,
    /// The request line alone is over the limit.
    TargetTooLong,
    /// The head, or the trailer section, is over its limit of bytes.
    HeadTooLarge,
    /// More field lines than the limit.
    TooManyFields,
    /// Not `method SP request-target SP HTTP-version`, each SP a single one (RFC 9112, section 3).
    BadRequestLine,
    /// A method that is a standard one but for its case (RFC 9110, section 9.1): methods are
    /// case-sensitive, and servers that forget it serve what another one took for unknown.
    MethodCase,
    /// The request-target has none of its forms.
    Target(TargetError),
    /// Not `HTTP-version SP 3DIGIT [ SP reason-phrase ]`, or a status outside 100 to 599
    /// (RFC 9112, section 4).
    BadStatusLine,
    /// A well-formed version that is neither 1.0 nor 1.1.
    UnsupportedVersion,
    /// A field line without colon, with an empty name, or with a byte in its name that is no
    /// `tchar`; whitespace before the colon is such a byte (RFC 9112, section 5.1).
    BadFieldName,
    /// A control byte but HTAB in a value (RFC 9110, section 5.5).
    BadFieldValue,
    /// A line that begins with whitespace: obs-fold, or a blank in front of the first field
    /// (RFC 9112, sections 2.2 and 5.2).
    FoldedField,
    /// The bytes are not exactly one head: a mistake of the caller, never of a peer, when the
    /// bytes are what [`HeadReader`](super::head::HeadReader) found.
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
