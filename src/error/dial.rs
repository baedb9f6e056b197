//! A connection to an upstream that could not be opened: [`DialFailure`] says where and why.
//!
//! Always boxed: it is rare, and the results that carry it should stay small.

use super::{Cause, ExchangeError};
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

/// A step of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialStep {
    /// The lookup of the name.
    Lookup,
    /// The TCP connection, with the PROXY header if one is sent.
    Connect,
    /// The TLS handshake.
    Tls,
}

impl DialStep {
    /// The word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Connect => "connect",
            Self::Tls => "tls",
        }
    }
}

/// A dial that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialFailure {
    /// Whose fault it is, and what the client gets.
    pub error: ExchangeError,
    /// The step that failed. Unknown only if the failure is not the upstream's.
    pub step: Option<DialStep>,
    /// The address that was tried, if one was known.
    pub address: Option<SocketAddr>,
    /// How long the step took.
    pub took: Duration,
}

impl DialFailure {
    /// A failure of `step`, boxed.
    pub fn at(
        step: DialStep,
        address: Option<SocketAddr>,
        took: Duration,
        error: ExchangeError,
    ) -> Box<Self> {
        Box::new(Self { error, step: Some(step), address, took })
    }

    /// Why, in one word: an errno, an alert, the defect of a certificate.
    pub fn reason(&self) -> Option<&'static str> {
        let is_late = matches!(self.error.cause, Cause::Timeout(_));
        self.error.reason().or(is_late.then_some("timeout"))
    }

    /// The family of the address, in the word of the configuration.
    pub fn family(&self) -> Option<&'static str> {
        self.address.map(|address| if address.is_ipv4() { "4" } else { "6" })
    }
}

/// A failure about which nothing more is known.
impl From<ExchangeError> for Box<DialFailure> {
    fn from(error: ExchangeError) -> Self {
        let (step, address, took) = (None, None, Duration::ZERO);
        Self::new(DialFailure { error, step, address, took })
    }
}
