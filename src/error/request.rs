//! Why a request is not forwarded: [`RequestError`].

use crate::h1::framing::FramingError;
use crate::h1::head_error::HeadError;
use crate::h1::target::TargetError;
#[cfg(doc)]
use crate::limits::CONNECTION_OPTIONS_MAX;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The head is malformed or too large.
    Head(HeadError),
    /// The request-target is malformed, or climbs out of its route.
    Target(TargetError),
    /// The length of the body cannot be decided.
    Framing(FramingError),
    /// No Host in an HTTP/1.1 request (RFC 9112, section 3.2).
    MissingHost,
    /// More than one Host line.
    RepeatedHost,
    /// Host is not `uri-host [":" port]`, or is empty.
    BadHost,
    /// CONNECT or TRACE. The first would make an open proxy; the second would echo the client's
    /// credentials to the page or script that made it send the request.
    MethodNotAllowed,
    /// An expectation other than `100-continue` (RFC 9110, section 10.1.1).
    UnknownExpectation,
    /// More connection options than [`CONNECTION_OPTIONS_MAX`].
    TooManyConnectionOptions,
    /// Max-Forwards is not a number.
    BadMaxForwards,
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<TargetError> for RequestError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<FramingError> for RequestError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}
