//! The answers themselves: status, code and sentence for each kind of error.

use crate::error::{RequestError, TlsFault};
use crate::h1::framing::FramingError;
use crate::h1::head_error::HeadError;
use crate::h1::target::TargetError;
use crate::timeouts::Timer;

/// What the client gets.
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
    /// Seconds after which the client may ask again (RFC 9110, section 10.2.3).
    pub retry_after: Option<u32>,
}

/// What we can do for a client that asks with OPTIONS how far it has come.
pub(super) const ALLOWED: Answer = Answer {
    status: 204,
    reason: "No Content",
    code: "",
    message: "",
    fields: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
    retry_after: None,
};

/// Any method, and any field: for fields, `*` is all but Authorization (Fetch, section 3.3.4).
pub(super) const PREFLIGHT: Answer = Answer {
    status: 204,
    reason: "No Content",
    code: "",
    message: "",
    fields: concat!(
        "Access-Control-Allow-Methods: *\r\n",
        "Access-Control-Allow-Headers: *, Authorization\r\n",
        "Access-Control-Max-Age: 7200\r\n",
    ),
    retry_after: None,
};

pub(super) const TOKEN_MISSING: Answer = Answer {
    status: 401,
    reason: "Unauthorized",
    code: "token_missing",
    message: "This relay needs a token.",
    fields: "WWW-Authenticate: Bearer\r\n",
    retry_after: None,
};

pub(super) const TOKEN_UNKNOWN: Answer = Answer {
    code: "token_unknown",
    message: "This relay knows no such token: it is mistyped or revoked, has another scheme than \
              Bearer, or there are two.",
    ..TOKEN_MISSING
};

/// While all keys of a route rest, and the API's answer is unknown. The caller adds `Retry-After`.
pub const KEYS_COOLING: Answer = Answer {
    status: 503,
    reason: "Service Unavailable",
    fields: "",
    retry_after: None,
    code: "keys_cooling",
    message: "The API has refused all keys of this route for now.",
};

/// RFC 9110, section 15.5.22 wants to know which protocol will do: the one that is spoken.
pub(super) const WEBSOCKET_OFF: Answer = Answer {
    status: 426,
    reason: "Upgrade Required",
    code: "websocket_off",
    message: "WebSockets are off on this route: ask in plain HTTP.",
    fields: "Connection: Upgrade\r\nUpgrade: HTTP/1.1\r\n",
    retry_after: None,
};

/// Addressed to the operator, who is the client in most cases: the listener is on this machine.
pub(super) const PUBLIC_HOST: Answer = forbidden(
    "address_not_allowed",
    "This route asks for no token, so it is not served under a public name, which a web page could \
     have (DNS rebinding): use localhost or an IP address, or HTTPS, or give the route a \
     [[client]].",
);

pub(super) const OTHER_SITE: Answer = forbidden(
    "address_not_allowed",
    "This route asks for no token, so pages of other sites may not use its keys: give it a \
     [[client]], or allow pages by cors = true.",
);

pub(super) const NO_ROUTE: Answer = Answer {
    status: 404,
    reason: "Not Found",
    code: "route_not_found",
    message: "No route of this relay has this path.",
    fields: "",
    retry_after: None,
};

pub(super) const NAME_NOT_SERVED: Answer = Answer {
    status: 421,
    reason: "Misdirected Request",
    code: "name_not_served",
    message: "No https listener of this relay serves this host.",
    fields: "",
    retry_after: None,
};

pub(super) const NO_CHALLENGE: Answer = Answer {
    status: 404,
    reason: "Not Found",
    code: "challenge_not_found",
    message: "No challenge with this token is under way.",
    fields: "",
    retry_after: None,
};

pub(super) const MALFORMED_RESPONSE: Answer =
    bad_gateway("upstream_malformed_response", "The upstream sent a malformed response.");

pub(super) const CLOSED_EARLY: Answer =
    bad_gateway("upstream_closed_early", "The upstream closed the connection before it answered.");

pub(super) const INTERNAL: Answer = Answer {
    status: 500,
    reason: "Internal Server Error",
    code: "internal_error",
    message: "The relay made a mistake.",
    fields: "",
    retry_after: None,
};

pub(super) const fn bad_request(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 400, reason: "Bad Request", code, message, fields: "", retry_after: None }
}

pub(super) const fn forbidden(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 403, reason: "Forbidden", code, message, fields: "", retry_after: None }
}

pub(super) const fn bad_gateway(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 502, reason: "Bad Gateway", code, message, fields: "", retry_after: None }
}

pub(super) const CLIENT_EXCHANGES: Answer =
    too_many("client_exchanges", "This client has as many exchanges at one time as it may.", 1);

pub(super) const fn client_rate(seconds: u32) -> Answer {
    too_many("client_rate", "This client has sent as many requests as it may.", seconds)
}

const fn too_many(code: &'static str, message: &'static str, seconds: u32) -> Answer {
    let (reason, retry_after) = ("Too Many Requests", Some(seconds));
    Answer { status: 429, reason, code, message, fields: "", retry_after }
}

pub(super) const fn unavailable(code: &'static str, message: &'static str) -> Answer {
    let reason = "Service Unavailable";
    Answer { status: 503, reason, code, message, fields: "", retry_after: Some(1) }
}

pub(super) const fn gateway_timeout(code: &'static str, message: &'static str) -> Answer {
    Answer { status: 504, reason: "Gateway Timeout", code, message, fields: "", retry_after: None }
}

pub(super) fn refusal(error: RequestError) -> Answer {
    match error {
        RequestError::Head(error) => bad_head(error),
        RequestError::Target(error) => bad_target(error),
        RequestError::Framing(FramingError::UnknownTransferCoding) => Answer {
            status: 501,
            reason: "Not Implemented",
            code: "unknown_transfer_coding",
            message: "The only transfer coding understood is chunked.",
            fields: "",
            retry_after: None,
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
            retry_after: None,
        },
        RequestError::UnknownExpectation => Answer {
            status: 417,
            reason: "Expectation Failed",
            code: "unknown_expectation",
            message: "The only expectation understood is 100-continue.",
            fields: "",
            retry_after: None,
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
            retry_after: None,
        },
        HeadError::HeadTooLarge | HeadError::TooManyFields => Answer {
            status: 431,
            reason: "Request Header Fields Too Large",
            code: "head_too_large",
            message: "The request head is too large.",
            fields: "",
            retry_after: None,
        },
        HeadError::UnsupportedVersion => Answer {
            status: 505,
            reason: "HTTP Version Not Supported",
            code: "unsupported_version",
            message: "The relay speaks HTTP/1.1 and HTTP/1.0.",
            fields: "",
            retry_after: None,
        },
        HeadError::MethodCase => Answer {
            status: 501,
            reason: "Not Implemented",
            code: "unknown_method",
            message: "Methods are case-sensitive, and this is a standard one in another case.",
            fields: "",
            retry_after: None,
        },
        HeadError::Target(error) => bad_target(error),
        HeadError::Tls => bad_request(
            "malformed_head",
            "The client speaks TLS to a port of plain HTTP: use http://, or the HTTPS port.",
        ),
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
        TargetError::AboveRoot | TargetError::HiddenDotSegment | TargetError::HiddenRoute => {
            bad_request("path_leaves_route", "The path leads out of its route.")
        }
        TargetError::BadByte | TargetError::WrongForm | TargetError::BadAuthority => {
            bad_request("malformed_target", "The request target is malformed.")
        }
    }
}

pub(super) fn timeout(timer: Timer) -> Option<Answer> {
    match timer {
        Timer::RequestHead | Timer::ToUpstreamRead => Some(Answer {
            status: 408,
            reason: "Request Timeout",
            code: "request_timeout",
            message: "The request took too long to arrive.",
            fields: "",
            retry_after: None,
        }),
        Timer::Lookup => Some(gateway_timeout(
            "upstream_lookup_timeout",
            "The name of the upstream took too long to look up.",
        )),
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
        // A response is under way, or no client waits for one.
        Timer::Handshake
        | Timer::KeepAlive
        | Timer::Tunnel
        | Timer::Linger
        | Timer::ToClientRead
        | Timer::ToClientWrite => None,
    }
}

/// The answer to a request whose upstream cannot be trusted, or not be understood.
pub(super) fn tls_failure(fault: TlsFault) -> Answer {
    match fault {
        TlsFault::CertificateExpired => {
            bad_gateway("upstream_certificate_expired", "The certificate of the upstream expired.")
        }
        TlsFault::CertificateNotYetValid => bad_gateway(
            "upstream_certificate_not_yet_valid",
            "The certificate of the upstream is not valid yet.",
        ),
        TlsFault::CertificateName => bad_gateway(
            "upstream_certificate_wrong_name",
            "The certificate of the upstream is for another name.",
        ),
        TlsFault::CertificateIssuer => bad_gateway(
            "upstream_certificate_unknown_ca",
            "The certificate of the upstream was issued by an unknown authority.",
        ),
        TlsFault::CertificateOfAuthority
        | TlsFault::CertificatePurpose
        | TlsFault::CertificateSignature
        | TlsFault::CertificateUnsupported
        | TlsFault::CertificateMalformed
        | TlsFault::CertificateRevoked
        | TlsFault::CertificateRevocationUnknown
        | TlsFault::CertificateInvalid
        | TlsFault::NoCertificate => bad_gateway(
            "upstream_certificate_invalid",
            "The certificate of the upstream is not usable.",
        ),
        TlsFault::CertificateAwaited
        | TlsFault::NoCommonVersion
        | TlsFault::NoCommonSuite
        | TlsFault::NoCommonGroup
        | TlsFault::NoCommonSignature
        | TlsFault::NoCommonProtocol
        | TlsFault::NotTls
        | TlsFault::Misbehaved
        | TlsFault::Alert(_)
        | TlsFault::Silent
        | TlsFault::Closed
        | TlsFault::Socket(_)
        | TlsFault::Other => bad_gateway("upstream_tls_failed", "TLS with the upstream failed."),
    }
}
