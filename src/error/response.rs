//! Why a response is not passed on: [`ResponseError`].

use crate::h1::framing::FramingError;
use crate::h1::head_error::HeadError;
#[cfg(doc)]
use crate::limits::{CONNECTION_OPTIONS_MAX, INTERIM_RESPONSES_MAX};

/// Why a response cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The head is malformed or too large.
    Head(HeadError),
    /// The length of the body cannot be decided.
    Framing(FramingError),
    /// A 101 without an offer, or to a protocol that was not offered.
    UnaskedSwitch,
    /// More than [`INTERIM_RESPONSES_MAX`] interim responses.
    TooManyInterim,
    /// More connection options than [`CONNECTION_OPTIONS_MAX`].
    TooManyConnectionOptions,
}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<FramingError> for ResponseError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}
