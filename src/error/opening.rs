//! What is wrong with the beginning of a connection: [`OpeningError`].

use super::{TlsFault, rule};
use crate::preface::alert::Alert;
use crate::preface::client_hello::HelloError;
use crate::preface::proxy_header::ProxyHeaderError;

/// Why a connection is refused before anybody was chosen to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningError {
    /// A peer that has to begin with a PROXY header ended without a byte, as health checks do.
    Nothing,
    /// Something else came of a peer that has to begin with a PROXY header.
    NoProxyHeader,
    /// A PROXY header that is malformed, or cut in its middle, of which nothing more is known.
    BadProxyHeader(Option<ProxyHeaderError>),
    /// The `ClientHello` is no sound one.
    Hello(HelloError),
    /// The client went away, or stopped sending, in the middle of its `ClientHello`.
    HelloCut,
    /// No forward is for the name that the client asks for, or for clients without one.
    NoForward,
    /// The TLS handshake failed.
    Handshake(TlsFault),
}

impl OpeningError {
    /// What a client that speaks TLS is told. `None` where nobody has spoken TLS yet, or where TLS
    /// has told it by itself.
    pub fn alert(self) -> Option<Alert> {
        match self {
            Self::Nothing | Self::NoProxyHeader | Self::BadProxyHeader(_) | Self::Handshake(_) => {
                None
            }
            Self::Hello(error) => Some(error.alert()),
            Self::HelloCut => Some(Alert::DecodeError),
            Self::NoForward => Some(Alert::UnrecognizedName),
        }
    }

    /// One word for the log.
    pub fn name(self) -> &'static str {
        match self {
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

    /// Why, where [`OpeningError::name`] leaves that open.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Handshake(fault) => Some(fault.reason()),
            Self::BadProxyHeader(error) => Some(rule::of_proxy_header(error)),
            Self::Hello(error) => Some(rule::of_hello(error)),
            Self::Nothing | Self::NoProxyHeader | Self::HelloCut | Self::NoForward => None,
        }
    }
}
