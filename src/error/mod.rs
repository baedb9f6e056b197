//! What ends an exchange early: [`ExchangeError`] names the side at fault and the cause.
//!
//! Errors of the layers below are causes as they are; those of the system and of TLS are translated
//! where they occur (`net`, `tls::fault`). Each question about an error is a method with one table,
//! so that a new cause does not compile until it has an answer.
//!
//! Not here: the answer that a client gets (`gateway::answer`).

mod dial;
mod lookup;
pub mod opening;
mod reason;
mod request;
mod response;
mod socket;
mod tls;

use crate::h1::chunked::ChunkError;
use crate::h1::head_error::HeadError;
use crate::timeouts::Timer;

pub use dial::{DialFailure, DialStep};
pub use lookup::LookupFault;
pub use request::RequestError;
pub use response::ResponseError;
pub use socket::{IoFault, SocketError};
pub use tls::TlsFault;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Client,
    /// The upstream's.
    Upstream,
    /// Our own: one of our limits, or a bug.
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
    /// The request is refused because of its head.
    Request(RequestError),
    /// The client's address is not in `allow`.
    AddressNotAllowed,
    /// The request calls us by a name that its owner can point anywhere, on a route that no web
    /// page may use.
    PublicHost,
    /// A page of another site asks, on a route that none may use.
    OtherSite,
    /// No route has the path of the request.
    NoRoute,
    /// The route needs a token, and the request has none.
    TokenMissing,
    /// The request has no token that we know, or more than one.
    TokenUnknown,
    /// The time of the token is over.
    TokenExpired,
    /// The token is for other routes.
    TokenNotForRoute,
    /// The route does not switch to the WebSocket protocol.
    WebSocketOff,
    /// The client has as many exchanges at one time as it may.
    ClientExchanges,
    /// The client has sent as many requests in a minute as it may; in so many seconds there is room
    /// for one.
    ClientRate(u32),
    /// No https listener serves the host of the request, so it is led to none.
    NameNotServed,
    /// No challenge of ACME with this token is under way.
    NoChallenge,
    /// The connection is refused because of its first bytes.
    Opening(opening::OpeningError),
    /// A request in plain HTTP arrived on an HTTPS port.
    PlainHttp,
    /// The response head cannot be forwarded.
    Response(ResponseError),
    /// A chunked body is broken.
    Chunk(ChunkError),
    /// A trailer section is broken.
    Trailers(HeadError),
    /// The client left, or half-closed, before it had its response.
    Gone,
    /// The connection ended in the middle of a message.
    ClosedEarly,
    /// The socket failed.
    Io(IoFault),
    /// A time limit expired.
    Timeout(Timer),
    /// The upstream's name has no address at present.
    NameNotResolved(LookupFault),
    /// No address of the upstream accepts connections.
    Unreachable(SocketError),
    /// TLS with the upstream failed: in the handshake, or by a later alert.
    Tls(TlsFault),
    /// More client connections than `limits.connections`.
    TooManyConnections,
    /// More exchanges of a client behind a trusted proxy than `limits.connections_per_address`.
    TooManyOfAddress,
    /// We have no descriptor or no memory for another connection.
    Exhausted(SocketError),
    /// The relay is stopping, and the time for running exchanges is over.
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
    /// `cause` is the client's fault.
    pub const fn client(cause: Cause) -> Self {
        Self { fault: Fault::Client, cause }
    }

    /// `cause` is the upstream's fault.
    pub const fn upstream(cause: Cause) -> Self {
        Self { fault: Fault::Upstream, cause }
    }

    /// A time limit expired. Each limit waits for one peer, which is at fault.
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

    /// Why, if the cause alone leaves that open, in one word for the log: an errno, an alert, the
    /// defect of a certificate, the rule that a message broke. Never anything that a peer sent.
    pub fn reason(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Unreachable(error) | Cause::Exhausted(error) => Some(error.name()),
            Cause::NameNotResolved(fault) => Some(fault.reason()),
            Cause::Tls(fault) => Some(fault.reason()),
            Cause::Opening(error) => error.reason(),
            Cause::PublicHost => Some("public_host"),
            Cause::OtherSite => Some("other_site"),
            Cause::TooManyOfAddress => Some("connections_per_address"),
            Cause::Request(error) => Some(reason::of_request(error)),
            Cause::Response(error) => Some(reason::of_response(error)),
            Cause::Chunk(error) => Some(reason::of_chunk(error)),
            Cause::Trailers(error) => Some(reason::of_head(error)),
            Cause::AddressNotAllowed
            | Cause::NoRoute
            | Cause::TokenMissing
            | Cause::TokenUnknown
            | Cause::TokenExpired
            | Cause::TokenNotForRoute
            | Cause::WebSocketOff
            | Cause::ClientExchanges
            | Cause::ClientRate(_)
            | Cause::NameNotServed
            | Cause::NoChallenge
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
