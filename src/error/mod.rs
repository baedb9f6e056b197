//! What ends an exchange early: [`ExchangeError`] names the guilty peer and the cause.
//!
//! Errors of the layers below are causes as they are; those of the system and of TLS are translated
//! where they come from (`net`, `tls::fault`). The questions about an error are methods, and each
//! answer is one table, so that a new cause does not compile before it has one.
//!
//! Not here: what a client is told of an error (`gateway::answer`).

mod dial;
mod lookup;
pub mod opening;
mod request;
mod response;
mod rule;
mod socket;
mod tls;

use crate::h1::chunked::ChunkError;
use crate::h1::head_error::HeadError;
use crate::timeouts::Timer;

pub use dial::{DialFailure, Step};
pub use lookup::LookupFault;
pub use request::RequestError;
pub use response::ResponseError;
pub use socket::{IoFault, SocketError};
pub use tls::TlsFault;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The one who asked.
    Client,
    /// The one who answers.
    Upstream,
    /// We ourselves: a limit of ours, or a mistake of ours.
    Internal,
}

impl Fault {
    /// The word for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Internal => "narrows",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The request is refused for what its head says.
    Request(RequestError),
    /// No route has the path of the request.
    NoRoute,
    /// The connection is refused for what stands at its beginning.
    Opening(opening::OpeningError),
    /// A request in plain HTTP came where HTTPS is spoken.
    PlainHttp,
    /// The response head cannot be passed on.
    Response(ResponseError),
    /// A chunked body is broken.
    Chunk(ChunkError),
    /// A trailer section is broken.
    Trailers(HeadError),
    /// The client left, or ended its direction, before it had its answer.
    Gone,
    /// The connection ended in the middle of a message.
    ClosedEarly,
    /// The socket failed.
    Io(IoFault),
    /// A limit of time ran out.
    Timeout(Timer),
    /// The upstream's name has no address now.
    NameNotResolved(LookupFault),
    /// No address of the upstream accepts connections.
    Unreachable(SocketError),
    /// TLS with the upstream failed: the handshake, or by an alert later.
    Tls(TlsFault),
    /// More client connections than `limits.connections`.
    TooManyConnections,
    /// We have no descriptor or no memory for another connection.
    Exhausted(SocketError),
    /// The relay stops, and the time for running exchanges is over.
    Stopped,
}

/// An exchange that did not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeError {
    /// Whose fault it is.
    pub fault: Fault,
    /// What happened.
    pub cause: Cause,
}

impl ExchangeError {
    /// The client is guilty of `cause`.
    pub const fn client(cause: Cause) -> Self {
        Self { fault: Fault::Client, cause }
    }

    /// The upstream is guilty of `cause`.
    pub const fn upstream(cause: Cause) -> Self {
        Self { fault: Fault::Upstream, cause }
    }

    /// A limit of time ran out. Each limit waits for one peer, which is the guilty one.
    pub fn expired(timer: Timer) -> Self {
        let fault = match timer {
            Timer::Handshake
            | Timer::RequestHead
            | Timer::KeepAlive
            | Timer::ToUpstreamRead
            | Timer::ToClientWrite
            | Timer::Tunnel
            | Timer::Linger => Fault::Client,
            Timer::Lookup
            | Timer::Connect
            | Timer::UpstreamHandshake
            | Timer::ResponseHead
            | Timer::ToUpstreamWrite
            | Timer::ToClientRead => Fault::Upstream,
        };
        Self { fault, cause: Cause::Timeout(timer) }
    }

    /// Why, where the cause alone leaves that open, in one word for the log: an errno, an alert,
    /// what is wrong with a certificate, the rule that a message broke. Never anything that a peer
    /// sent.
    pub fn reason(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Unreachable(error) | Cause::Exhausted(error) => Some(error.name()),
            Cause::NameNotResolved(fault) => Some(fault.reason()),
            Cause::Tls(fault) => Some(fault.reason()),
            Cause::Opening(error) => error.reason(),
            Cause::Request(error) => Some(rule::of_request(error)),
            Cause::Response(error) => Some(rule::of_response(error)),
            Cause::Chunk(error) => Some(rule::of_chunk(error)),
            Cause::Trailers(error) => Some(rule::of_head(error)),
            Cause::NoRoute
            | Cause::PlainHttp
            | Cause::Gone
            | Cause::ClosedEarly
            | Cause::Io(_)
            | Cause::Timeout(_)
            | Cause::TooManyConnections
            | Cause::Stopped => None,
        }
    }
}
