//! What ends an exchange early: [`ExchangeError`] names the guilty peer and the cause.
//!
//! The questions a driver has about an error are methods here, and each answer is one table, so
//! that a new cause does not compile before it has its status, its code and its sentence.
//!
//! Not here: how an answer is written (`h1::encode`) and sent (`proxy::respond`).

mod answer;
mod dial;
mod errno;
mod lookup;
pub mod opening;
mod rule;
mod tls;

use crate::clock::Halt;
use crate::gateway::exchange::ResponseError;
use crate::gateway::request::RequestError;
use crate::h1::chunked::ChunkError;
use crate::h1::head::HeadError;
use crate::timeouts::Timer;
use std::io;

use answer::{
    CLOSED_EARLY, INTERNAL, MALFORMED_RESPONSE, NO_ROUTE, bad_gateway, bad_request, refusal,
    timeout, unavailable,
};

pub use answer::Answer;
pub use dial::{DialFailure, Step};
pub use errno::SocketError;
pub use lookup::LookupFault;
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
    Io(io::ErrorKind),
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

    /// A bounded step with `peer` that did not succeed.
    pub fn halted(fault: Fault, halt: &Halt) -> Self {
        match halt {
            Halt::Io(error) => Self::io(fault, error),
            Halt::Expired(timer) => Self::expired(*timer),
        }
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

    /// What to answer, or `None` when there is no one left to read an answer.
    ///
    /// The only place where an error becomes a status. Once a response head is on the wire the
    /// status is spent, and the driver aborts the client's connection instead.
    pub fn answer(&self) -> Option<Answer> {
        let answer = match self.cause {
            Cause::Request(error) => refusal(error),
            Cause::NoRoute => NO_ROUTE,
            Cause::PlainHttp => bad_request(
                "plain_http_on_tls_port",
                "This is plain HTTP on an HTTPS port: use https://.",
            ),
            Cause::Response(_) => MALFORMED_RESPONSE,
            Cause::Chunk(_) | Cause::Trailers(_) => match self.fault {
                Fault::Client => bad_request("malformed_body", "The request body is malformed."),
                Fault::Upstream | Fault::Internal => MALFORMED_RESPONSE,
            },
            Cause::Gone | Cause::Opening(_) => return None,
            Cause::ClosedEarly | Cause::Io(_) => match self.fault {
                Fault::Client => return None,
                Fault::Upstream => CLOSED_EARLY,
                Fault::Internal => INTERNAL,
            },
            Cause::Timeout(timer) => return timeout(timer),
            Cause::NameNotResolved(_) => bad_gateway(
                "upstream_name_not_resolved",
                "The name of the upstream could not be resolved.",
            ),
            Cause::Unreachable(_) => {
                bad_gateway("upstream_unreachable", "The upstream accepts no connection.")
            }
            Cause::Tls(fault) => tls::failure(fault),
            Cause::TooManyConnections => unavailable(
                "too_many_connections",
                "The relay serves as many connections as it may.",
            ),
            Cause::Exhausted(_) => {
                unavailable("out_of_resources", "The relay is out of resources.")
            }
            Cause::Stopped => unavailable("stopped", "The relay was stopped."),
        };
        Some(answer)
    }

    /// What a read or a write of `peer` failed with.
    pub fn io(fault: Fault, error: &io::Error) -> Self {
        // With TLS 1.3 an upstream refuses a certificate of ours, or the lack of one, only after
        // our handshake is done (RFC 8446, section 4.4.2.4).
        let alert = TlsFault::alert_in(error).filter(|_| fault == Fault::Upstream);
        Self { fault, cause: alert.map_or(Cause::Io(error.kind()), Cause::Tls) }
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

    /// One word for the log. Never anything that a peer sent.
    pub fn name(&self) -> &'static str {
        if let Some(answer) = self.answer() {
            return answer.code;
        }
        match self.cause {
            Cause::Gone => "gone",
            Cause::Opening(error) => error.name(),
            Cause::ClosedEarly => "closed_early",
            Cause::Io(_) => "connection_failed",
            Cause::Timeout(Timer::KeepAlive) => "keep_alive_timeout",
            Cause::Timeout(Timer::Handshake) => "handshake_timeout",
            Cause::Timeout(Timer::ToClientRead) => "response_body_timeout",
            Cause::Timeout(Timer::ToClientWrite) => "slow_reader",
            Cause::Timeout(Timer::Tunnel) => "tunnel_timeout",
            Cause::Timeout(_) => "timeout",
            Cause::Request(_)
            | Cause::NoRoute
            | Cause::PlainHttp
            | Cause::Response(_)
            | Cause::Chunk(_)
            | Cause::Trailers(_)
            | Cause::NameNotResolved(_)
            | Cause::Unreachable(_)
            | Cause::Tls(_)
            | Cause::TooManyConnections
            | Cause::Exhausted(_)
            | Cause::Stopped => "answered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::framing::FramingError;

    fn status(error: ExchangeError) -> Option<u16> {
        error.answer().map(|answer| answer.status)
    }

    #[test]
    fn a_malformed_request_is_the_clients_and_a_malformed_response_the_upstreams() {
        let chunk = Cause::Chunk(ChunkError::BareLf);
        assert_eq!(status(ExchangeError::client(chunk)), Some(400));
        assert_eq!(status(ExchangeError::upstream(chunk)), Some(502));
        let framing = FramingError::UnknownTransferCoding;
        let request = Cause::Request(RequestError::Framing(framing));
        assert_eq!(status(ExchangeError::client(request)), Some(501));
        let response = Cause::Response(ResponseError::Framing(framing));
        assert_eq!(status(ExchangeError::upstream(response)), Some(502));
    }

    #[test]
    fn a_client_that_left_gets_no_answer() {
        assert_eq!(status(ExchangeError::client(Cause::Gone)), None);
        let kind = io::ErrorKind::ConnectionReset;
        assert_eq!(status(ExchangeError::client(Cause::Io(kind))), None);
        assert_eq!(status(ExchangeError::upstream(Cause::Io(kind))), Some(502));
    }

    #[test]
    fn each_limit_of_time_blames_the_one_it_waits_for() {
        for (timer, want) in [
            (Timer::RequestHead, Some(408)),
            (Timer::ToUpstreamRead, Some(408)),
            (Timer::Connect, Some(504)),
            (Timer::UpstreamHandshake, Some(504)),
            (Timer::ResponseHead, Some(504)),
            (Timer::ToUpstreamWrite, Some(504)),
            (Timer::KeepAlive, None),
            (Timer::ToClientRead, None),
            (Timer::ToClientWrite, None),
        ] {
            assert_eq!(status(ExchangeError::expired(timer)), want, "{timer:?}");
        }
    }

    #[test]
    fn a_certificate_that_is_refused_says_why() {
        let code = |fault| ExchangeError::upstream(Cause::Tls(fault)).name();
        assert_eq!(code(TlsFault::CertificateExpired), "upstream_certificate_expired");
        assert_eq!(code(TlsFault::CertificateName), "upstream_certificate_wrong_name");
        assert_eq!(code(TlsFault::CertificateIssuer), "upstream_certificate_unknown_ca");
    }

    /// By the source, because nothing else knows all the words.
    #[test]
    fn the_manual_explains_every_code_and_cause() {
        let sources = [
            include_str!("error/answer.rs"),
            include_str!("error/dial.rs"),
            include_str!("error/errno.rs"),
            include_str!("error/lookup.rs"),
            include_str!("error/opening.rs"),
            include_str!("error/rule.rs"),
            include_str!("error/tls.rs"),
            include_str!("error.rs"),
        ];
        // Their tests are not asked.
        let production = sources.map(|it| it.split("#[cfg(test)]").next().unwrap()).concat();
        let manual = include_str!("../docs/configuration.md");
        // Never logged: a client that is idle has begun no exchange.
        let silent = ["keep_alive_timeout"];
        let is_word = |text: &&str| {
            let letters = |it: u8| it == b'_' || it == b'=' || it.is_ascii_alphabetic();
            let is_errno = text.len() > 2 && text.starts_with('E');
            (text.contains('_') || is_errno) && text.bytes().all(letters)
        };
        let words: Vec<_> = production.split('"').skip(1).step_by(2).filter(is_word).collect();
        assert!(words.len() > 30, "{words:?}");
        for word in words.iter().filter(|word| !silent.contains(word)) {
            assert!(manual.contains(&format!("`{word}`")), "{word}");
        }
    }
}
