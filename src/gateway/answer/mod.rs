//! Our own responses: what a client gets for an error ([`Answer`], and the table of all of them),
//! and how it is sent ([`ResponseOptions`]).
//!
//! Not here: the bytes of a response (`gateway::own_response`).

mod table;

use crate::error::{Cause, ExchangeError, Fault};
use crate::gateway::request::{Method, Request};
use crate::h1::head::Version;
use crate::h1::partial_head::{has_origin_line, is_of_head_request};
use crate::timeouts::Timer;
use table::{
    ALLOWED, CLIENT_EXCHANGES, CLOSED_EARLY, INTERNAL, MALFORMED_RESPONSE, NAME_NOT_SERVED,
    NO_CHALLENGE, NO_ROUTE, OTHER_SITE, PREFLIGHT, PUBLIC_HOST, TOKEN_MISSING, TOKEN_UNKNOWN,
    WEBSOCKET_OFF, bad_gateway, bad_request, client_rate, forbidden, refusal, timeout, tls_failure,
    unavailable,
};
pub use table::{Answer, KEYS_COOLING};

/// What to answer a request that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What is wrong.
    Error(ExchangeError),
    /// What we can do: OPTIONS with `Max-Forwards: 0` asks us, not the upstream (RFC 9110, section
    /// 7.6.2).
    Allowed,
    /// That a page may make any request: a CORS preflight (Fetch, section 3.3.2).
    Preflight,
    /// What has been queued: a redirect to https, the key authorization of a challenge, or what an
    /// API has said when it refused the last of its keys.
    Queued,
}

impl Reply {
    /// The answer, or `None` when there is no one left to read one, or it is queued already.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Error(error) => answer_to(error),
            Self::Allowed => Some(ALLOWED),
            Self::Preflight => Some(PREFLIGHT),
            Self::Queued => None,
        }
    }
}

/// How an answer of ours is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseOptions {
    /// The connection ends with this answer.
    pub close: bool,
    /// The request was HEAD.
    pub head_only: bool,
    /// The client speaks HTTP/1.0, so the response has to say that the connection stays open.
    pub tell_keep_alive: bool,
    /// A page asks, and has to be able to read the answer.
    pub for_page: bool,
}

impl ResponseOptions {
    /// To a client of whose request nothing is known.
    pub const CLOSE: Self =
        Self { close: true, head_only: false, tell_keep_alive: false, for_page: false };

    /// To a request whose head, or what there is of it, is malformed. It is unknown where the next
    /// one would begin, so the connection ends.
    pub fn malformed(head: &[u8]) -> Self {
        let (head_only, for_page) = (is_of_head_request(head), has_origin_line(head));
        Self { head_only, for_page, ..Self::CLOSE }
    }

    /// To a valid request. The connection goes on if the client wants that and `is_read`: the
    /// request was read to its end, so that the next one can begin. `draining`: we are asked to
    /// stop.
    pub fn new(request: &Request, is_read: bool, draining: bool) -> Self {
        Self {
            close: !request.may_be_followed() || !is_read || draining,
            head_only: request.method == Method::Head,
            tell_keep_alive: request.version == Version::Http10,
            for_page: request.has_origin,
        }
    }

    /// To a valid request that has not reached an upstream. `behind` are the bytes that follow its
    /// head so far; also returns how many of them are its body, for the caller to skip.
    pub fn unforwarded(request: &Request, behind: &[u8], draining: bool) -> (Self, usize) {
        let body = request.whole_body(behind);
        (Self::new(request, body.is_some(), draining), body.unwrap_or(0))
    }
}

/// What to answer, or `None` when there is no one left to read an answer.
///
/// The only place where an error becomes a status. Once a response head is on the wire the
/// status is spent, and the driver aborts the client's connection instead.
pub fn answer_to(error: &ExchangeError) -> Option<Answer> {
    let answer = match error.cause {
        Cause::Request(error) => refusal(error),
        Cause::AddressNotAllowed => {
            forbidden("address_not_allowed", "This relay does not serve clients at this address.")
        }
        Cause::PublicHost => PUBLIC_HOST,
        Cause::OtherSite => OTHER_SITE,
        Cause::NoRoute => NO_ROUTE,
        Cause::TokenMissing => TOKEN_MISSING,
        Cause::TokenUnknown => TOKEN_UNKNOWN,
        Cause::TokenExpired => forbidden("token_expired", "This token has expired."),
        Cause::TokenNotForRoute => {
            forbidden("token_not_for_route", "This token is not for this route.")
        }
        Cause::WebSocketOff => WEBSOCKET_OFF,
        Cause::ClientExchanges => CLIENT_EXCHANGES,
        Cause::ClientRate(seconds) => client_rate(seconds),
        Cause::NameNotServed => NAME_NOT_SERVED,
        Cause::NoChallenge => NO_CHALLENGE,
        Cause::PlainHttp => bad_request(
            "plain_http_on_tls_port",
            "This is plain HTTP on an HTTPS port: use https://.",
        ),
        Cause::Response(_) => MALFORMED_RESPONSE,
        Cause::Chunk(_) | Cause::Trailers(_) => match error.fault {
            Fault::Client => bad_request("malformed_body", "The request body is malformed."),
            Fault::Upstream | Fault::Internal => MALFORMED_RESPONSE,
        },
        Cause::Gone | Cause::Opening(_) => return None,
        Cause::ClosedEarly | Cause::Io(_) => match error.fault {
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
        Cause::Tls(fault) => tls_failure(fault),
        Cause::TooManyConnections | Cause::TooManyOfAddress => {
            unavailable("too_many_connections", "The relay serves as many connections as it may.")
        }
        Cause::Exhausted(_) => unavailable("out_of_resources", "The relay is out of resources."),
        Cause::Stopped => unavailable("stopped", "The relay was stopped."),
    };
    Some(answer)
}

/// One word for the log. Never anything that a peer sent.
pub fn name_of(error: &ExchangeError) -> &'static str {
    if let Some(answer) = answer_to(error) {
        return answer.code;
    }
    match error.cause {
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
        | Cause::AddressNotAllowed
        | Cause::PublicHost
        | Cause::OtherSite
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
        | Cause::Response(_)
        | Cause::Chunk(_)
        | Cause::Trailers(_)
        | Cause::NameNotResolved(_)
        | Cause::Unreachable(_)
        | Cause::Tls(_)
        | Cause::TooManyConnections
        | Cause::TooManyOfAddress
        | Cause::Exhausted(_)
        | Cause::Stopped => "answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{IoFault, RequestError, ResponseError, TlsFault};
    use crate::h1::chunked::ChunkError;
    use crate::h1::framing::FramingError;

    fn status(error: ExchangeError) -> Option<u16> {
        answer_to(&error).map(|answer| answer.status)
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
        assert_eq!(status(ExchangeError::client(Cause::Io(IoFault::Failed))), None);
        assert_eq!(status(ExchangeError::upstream(Cause::Io(IoFault::Failed))), Some(502));
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
        let code = |fault| name_of(&ExchangeError::upstream(Cause::Tls(fault)));
        assert_eq!(code(TlsFault::CertificateExpired), "upstream_certificate_expired");
        assert_eq!(code(TlsFault::CertificateName), "upstream_certificate_wrong_name");
        assert_eq!(code(TlsFault::CertificateIssuer), "upstream_certificate_unknown_ca");
    }

    /// By the source, because nothing else knows all the words.
    #[test]
    fn the_manual_explains_every_code_and_cause() {
        let sources = [
            include_str!("mod.rs"),
            include_str!("table.rs"),
            include_str!("../../error/mod.rs"),
            include_str!("../../error/dial.rs"),
            include_str!("../../error/lookup.rs"),
            include_str!("../../error/opening.rs"),
            include_str!("../../error/reason.rs"),
            include_str!("../../error/socket.rs"),
            include_str!("../../error/tls.rs"),
        ];
        // Their tests are not asked.
        let production = sources.map(|it| it.split("#[cfg(test)]").next().unwrap()).concat();
        let manual = include_str!("../../../docs/configuration.md");
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
