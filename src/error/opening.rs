//! What is wrong with the beginning of a connection: [`OpeningError`].

use super::{TlsFault, reason};
use crate::preface::alert::Alert;
use crate::preface::client_hello::HelloError;
use crate::preface::proxy_header::ProxyHeaderError;

/// Why a connection is refused before its destination is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningError {
    /// The client's address is not in `allow`.
    AddressNotAllowed,
    /// A peer that has to begin with a PROXY header ended without a byte, as health checks do.
    Nothing,
    /// A peer that has to begin with a PROXY header sent something else.
    NoProxyHeader,
    /// A malformed PROXY header; without an error, one that was cut off.
    BadProxyHeader(Option<ProxyHeaderError>),
    /// The `ClientHello` is malformed.
    Hello(HelloError),
    /// The client left, or stopped sending, in the middle of its `ClientHello`.
    HelloCut,
    /// No forward matches the name that the client asks for, or clients without one.
    NoForward,
    /// The TLS handshake failed.
    Handshake(TlsFault),
}

impl OpeningError {
    /// The alert for a client that speaks TLS. `None` if no TLS was seen yet, or if rustls has sent
    /// an alert itself.
    pub fn alert(self) -> Option<Alert> {
        match self {
            Self::AddressNotAllowed
            | Self::Nothing
            | Self::NoProxyHeader
            | Self::BadProxyHeader(_)
            | Self::Handshake(_) => None,
            Self::Hello(error) => Some(error.alert()),
            Self::HelloCut => Some(Alert::DecodeError),
            Self::NoForward => Some(Alert::UnrecognizedName),
        }
    }

    /// One word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address_not_allowed",
            Self::Nothing => "gone",
            Self::NoProxyHeader => "no_proxy_header",
            Self::BadProxyHeader(_) => "bad_proxy_header",
            Self::Hello(HelloError::HelloTooLong) => "hello_too_long",
            Self::Hello(
                HelloError::NoHostName | HelloError::RepeatedHostName | HelloError::BadHostName,
            ) => "bad_server_name",
            Self::Hello(_) => "malformed_hello",
            Self::HelloCut => "incomplete_hello",
            Self::NoForward => "forward_not_found",
            Self::Handshake(_) => "client_tls_failed",
        }
    }

    /// Why, if [`OpeningError::name`] leaves that open.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Handshake(fault) => Some(fault.reason()),
            Self::BadProxyHeader(error) => Some(reason::of_proxy_header(error)),
            Self::Hello(error) => Some(reason::of_hello(error)),
            Self::AddressNotAllowed
            | Self::Nothing
            | Self::NoProxyHeader
            | Self::HelloCut
            | Self::NoForward => None,
        }
    }
}
