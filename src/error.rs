//! What ends an exchange early: [`ExchangeError`] names the guilty peer and the cause.
//!
//! The questions a driver has about an error are methods here, and each answer is one table, so
//! that a new cause does not compile before it has its status, its code and its sentence.
//!
//! Not here: how an answer is written (`h1::encode`) and sent (`proxy::respond`).

pub mod opening;
mod tls;

use crate::deadline::{Halt, Timer};
use crate::h1::chunked::ChunkError;
use crate::h1::exchange::ResponseError;
use crate::h1::framing::FramingError;
use crate::h1::head::HeadError;
use crate::h1::request::RequestError;
use crate::h1::target::TargetError;
use std::io;

pub use tls::TlsFault;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The one who asked.
    Client,
    /// The one who answers.
    Upstream,
    /// We ourselves: a limit of ours, or a mistake of ours.
    Narrows,
}

impl Peer {
    /// The word for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Narrows => "narrows",
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
    NameNotResolved,
    /// No address of the upstream accepts connections.
    Unreachable(io::ErrorKind),
    /// The TLS handshake with the upstream failed.
    Tls(TlsFault),
    /// More client connections than `limits.connections`.
    TooManyConnections,
    /// We have no descriptor or no memory for another connection.
    Exhausted,
}

/// An exchange that did not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeError {
    /// Whose fault it is.
    pub peer: Peer,
    /// What happened.
    pub cause: Cause,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'static str,
    /// The word for programs, in the body and in the log.
    pub code: &'static str,
    /// The sentence for people. Names no internals.
    pub message: &'static str,
    /// Further field lines, each with its CRLF.
    pub fields: &'static str,
}

impl ExchangeError {
    /// The client is guilty of `cause`.
    pub const fn client(cause: Cause) -> Self {
        Self { peer: Peer::Client, cause }
    }

    /// The upstream is guilty of `cause`.
    pub const fn upstream(cause: Cause) -> Self {
        Self { peer: Peer::Upstream, cause }
    }

    /// A bounded step with `peer` that did not succeed.
    pub fn halted(peer: Peer, halt: &Halt) -> Self {
        match halt {
            Halt::Io(error) => Self { peer, cause: Cause::Io(error.kind()) },
            Halt::Expired(timer) => Self::expired(*timer),
        }
    }

    /// A limit of time ran out. Each limit waits for one peer, which is the guilty one.
    pub fn expired(timer: Timer) -> Self {
        let peer = match timer {
            Timer::Handshake
            | Timer::RequestHead
            | Timer::KeepAlive
            | Timer::ToUpstreamRead
            | Timer::ToClientWrite
            | Timer::Tunnel
            | Timer::Linger => Peer::Client,
            Timer::Connect
            | Timer::UpstreamHandshake
            | Timer::ResponseHead
            | Timer::ToUpstreamWrite
            | Timer::ToClientRead => Peer::Upstream,
        };
        Self { peer, cause: Cause::Timeout(timer) }
    }

    /// What to answer, or `None` when there is no one left to read an answer.
    ///
    /// The only place where an error becomes a status. Once a response head is on the wire the
    /// status is spent, and the driver aborts the client's connection instead.
    pub fn answer(&self) -> Option<Answer> {
        let answer = match self.cause {
            Cause::Request(error) => refusal(error),
            Cause::NoRoute => NO_ROUTE,
            Cause::Response(_) => MALFORMED_RESPONSE,
            Cause::Chunk(_) | Cause::Trailers(_) => match self.peer {
                Peer::Client => bad_request("malformed_body", "The request body is malformed."),
                Peer::Upstream | Peer::Narrows => MALFORMED_RESPONSE,
            },
            Cause::Gone | Cause::Opening(_) => return None,
            Cause::ClosedEarly | Cause::Io(_) => match self.peer {
                Peer::Client => return None,
                Peer::Upstream => CLOSED_EARLY,
                Peer::Narrows => INTERNAL,
            },
            Cause::Timeout(timer) => return timeout(timer),
            Cause::NameNotResolved => bad_gateway(
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
            Cause::Exhausted => unavailable("out_of_resources", "The relay is out of resources."),
        };
        Some(answer)
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
            | Cause::Response(_)
            | Cause::Chunk(_)
            | Cause::Trailers(_)
            | Cause::NameNotResolved
            | Cause::Unreachable(_)
            | Cause::Tls(_)
            | Cause::TooManyConnections
            | Cause::Exhausted => "answered",
        }
    }
}

const NO_ROUTE: Answer = Answer {
    status: 404,
    reason: "Not Found",
    code: "route_not_found",
    message: "No route of this relay has this path.",
    fields: "",
};

const MALFORMED_RESPONSE: Answer =
    bad_gateway("upstream_malformed_response", "The upstream sent a malformed response.");

const CLOSED_EARLY: Answer =
    bad_gateway("upstream_closed_early", "The upstream closed the connection before it answered.");

const INTERNAL: Answer = Answer {
    status: 500,
    reason: "Internal Server Error",
    code: "internal_error",
    message: "The relay made a mistake.",
    fields: "",
};

const fn bad_request(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 400, reason: "Bad Request", code, message, fields: "" }
}

const fn bad_gateway(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 502, reason: "Bad Gateway", code, message, fields: "" }
}

const fn unavailable(code: &'static str, message: &'static str) -> Answer {
    let fields = "Retry-After: 1\r\n";
    Answer { status: 503, reason: "Service Unavailable", code, message, fields }
}

const fn gateway_timeout(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 504, reason: "Gateway Timeout", code, message, fields: "" }
}

fn refusal(error: RequestError) -> Answer {
    match error {
        RequestError::Head(error) => bad_head(error),
        RequestError::Target(error) => bad_target(error),
        RequestError::Framing(FramingError::UnknownTransferCoding) => Answer {
            status: 501,
            reason: "Not Implemented",
            code: "unknown_transfer_coding",
            message: "The only transfer coding understood is chunked.",
            fields: "",
        },
        RequestError::Framing(_) => {
            bad_request("ambiguous_length", "The length of the request body is ambiguous.")
        }
        RequestError::MissingHost | RequestError::RepeatedHost | RequestError::BadHost => {
            bad_request("bad_host", "A request needs exactly one valid Host field.")
        }
        RequestError::MethodNotAllowed => Answer {
            status: 405,
            reason: "Method Not Allowed",
            code: "method_not_allowed",
            message: "CONNECT and TRACE are not allowed.",
            fields: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        },
        RequestError::UnknownExpectation => Answer {
            status: 417,
            reason: "Expectation Failed",
            code: "unknown_expectation",
            message: "The only expectation understood is 100-continue.",
            fields: "",
        },
        RequestError::TooManyConnectionOptions => {
            bad_request("too_many_options", "The Connection field has too many options.")
        }
        RequestError::BadMaxForwards => {
            bad_request("bad_max_forwards", "Max-Forwards is not a number.")
        }
    }
}

fn bad_head(error: HeadError) -> Answer {
    match error {
        HeadError::TargetTooLong => Answer {
            status: 414,
            reason: "URI Too Long",
            code: "target_too_long",
            message: "The request line is too long.",
            fields: "",
        },
        HeadError::HeadTooLarge | HeadError::TooManyFields => Answer {
            status: 431,
            reason: "Request Header Fields Too Large",
            code: "head_too_large",
            message: "The request head is too large.",
            fields: "",
        },
        HeadError::UnsupportedVersion => Answer {
            status: 505,
            reason: "HTTP Version Not Supported",
            code: "unsupported_version",
            message: "The relay speaks HTTP/1.1 and HTTP/1.0.",
            fields: "",
        },
        HeadError::BareLf
        | HeadError::BareCr
        | HeadError::Nul
        | HeadError::NotHttp
        | HeadError::BadRequestLine
        | HeadError::BadStatusLine
        | HeadError::BadFieldName
        | HeadError::BadFieldValue
        | HeadError::FoldedField
        | HeadError::NotOneHead => bad_request("malformed_head", "The request head is malformed."),
    }
}

fn bad_target(error: TargetError) -> Answer {
    match error {
        TargetError::AboveRoot | TargetError::HiddenDotSegment => {
            bad_request("path_leaves_route", "The path climbs out of its route.")
        }
        TargetError::BadByte | TargetError::WrongForm | TargetError::BadAuthority => {
            bad_request("malformed_target", "The request target is malformed.")
        }
    }
}

fn timeout(timer: Timer) -> Option<Answer> {
    match timer {
        Timer::RequestHead | Timer::ToUpstreamRead => Some(Answer {
            status: 408,
            reason: "Request Timeout",
            code: "request_timeout",
            message: "The request took too long to arrive.",
            fields: "",
        }),
        Timer::Connect => Some(gateway_timeout(
            "upstream_connect_timeout",
            "The upstream took too long to accept a connection.",
        )),
        Timer::UpstreamHandshake => Some(gateway_timeout(
            "upstream_handshake_timeout",
            "The upstream took too long to shake hands.",
        )),
        Timer::ResponseHead => Some(gateway_timeout(
            "upstream_response_timeout",
            "The upstream took too long to answer.",
        )),
        Timer::ToUpstreamWrite => Some(gateway_timeout(
            "upstream_write_timeout",
            "The upstream took too long to accept the request.",
        )),
        // A response is under way, or nobody waits for one.
        Timer::Handshake
        | Timer::KeepAlive
        | Timer::Tunnel
        | Timer::Linger
        | Timer::ToClientRead
        | Timer::ToClientWrite => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: ExchangeError) -> Option<u16> {
        error.answer().map(|answer| answer.status)
    }

    #[test]
    fn a_malformed_request_is_the_clients_and_a_malformed_response_the_upstreams() {
        let chunk = Cause::Chunk(ChunkError::BadLineEnd);
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
        let source = concat!(
            include_str!("error/opening.rs"),
            include_str!("error/tls.rs"),
            include_str!("error.rs")
        );
        let manual = include_str!("../docs/configuration.md");
        // Never logged: a client that is idle has begun no exchange.
        let silent = ["keep_alive_timeout"];
        let production = source.split("#[cfg(test)]").next().unwrap();
        let is_word = |text: &&str| {
            text.contains('_') && text.bytes().all(|it| it == b'_' || it.is_ascii_lowercase())
        };
        let words: Vec<_> = production.split('"').skip(1).step_by(2).filter(is_word).collect();
        assert!(words.len() > 30, "{words:?}");
        for word in words.iter().filter(|word| !silent.contains(word)) {
            assert!(manual.contains(&format!("`{word}`")), "{word}");
        }
    }
}
