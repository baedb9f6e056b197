//! Why a head is refused, and how httparse's word for it becomes ours.
//!
//! httparse reports the first byte that did not fit. [`HeadError`] says what is wrong with the
//! message instead, so the explaining functions look at the bytes once more. They run only when a
//! head has been refused already.
//!
//! Not here: deciding that it is refused (`h1::head`).

use super::field_line::check_field_line;
use super::lines::{LineError, SectionScanner};
use super::start_line::check_line;
use super::target::TargetError;
use super::token::is_tchar;

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

/// Which of the two start lines a head has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Request,
    Response,
}

impl Message {
    /// Whether a start line may begin so: with a method, or with `HTTP`.
    pub(super) fn may_begin_with(self, byte: u8) -> bool {
        match self {
            Self::Request => is_tchar(byte),
            Self::Response => byte == b'H',
        }
    }

    /// What a start line is that breaks its grammar.
    pub(super) fn bad_line(self) -> HeadError {
        match self {
            Self::Request => HeadError::BadRequestLine,
            Self::Response => HeadError::BadStatusLine,
        }
    }
}

/// Our name for what httparse found in `head`, whose start line is `line` and which may have `most`
/// field lines. Not on the fast path.
pub(super) fn explain(
    error: Option<httparse::Error>,
    message: Message,
    head: &[u8],
    line: &[u8],
    most: usize,
) -> HeadError {
    if let Err(error) = check_line(message, line) {
        return error;
    }
    // httparse calls a control byte after what it expected there; the byte itself says more.
    if let Err(error) = SectionScanner::default().find_end(head) {
        return error.into();
    }
    match error {
        None => HeadError::NotOneHead,
        Some(
            error @ (httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::TooManyHeaders),
        ) => {
            let section = head.get(line.len() + b"\r\n".len()..).unwrap_or(&[]);
            explain_fields(error, section, most)
        }
        Some(
            httparse::Error::Version
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token,
        ) => message.bad_line(),
    }
}

/// The same for field lines with the empty line behind them: what is wrong with the first that is
/// none.
pub(super) fn explain_fields(error: httparse::Error, section: &[u8], most: usize) -> HeadError {
    if let Err(error) = SectionScanner::default().find_end(section) {
        return error.into();
    }
    let lines = section.split_inclusive(|&byte| byte == b'\n').enumerate();
    let lines = lines.map(|(count, line)| (count, line.strip_suffix(b"\r\n").unwrap_or(line)));
    let mut wrong = lines
        .filter(|(_, line)| !line.is_empty())
        .filter_map(|(count, line)| check_field_line(line, count, most).err());
    wrong.next().unwrap_or(match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderValue => HeadError::BadFieldValue,
        httparse::Error::HeaderName
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => HeadError::BadFieldName,
    })
}
