//! What is known of an exchange, or of a connection in tcp mode, at its end: a [`Record`].
//!
//! The names of routes and clients are the operator's. It contains nothing that a client or an
//! upstream wrote, so it is safe to log, except two names:
//! that which a client of a tcp listener asks for, which decided its route and is always a valid
//! host name, and that in a client's certificate: printable ASCII, signed by the operator's CA.

use super::field_name::name;
use super::line::{Fields, Word};
pub use super::status_class::StatusClass;
use crate::error::{DialFailure, DialStep, ExchangeError, Fault};
use crate::gateway::answer::name_of;
use crate::gateway::request_id::RequestId;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// One exchange or one connection. Durations run from the first byte of the request, or from the
/// acceptance of the connection.
#[derive(Clone, Debug)]
pub struct Record {
    /// The client's address; behind a PROXY header or a trusted proxy, the announced one.
    pub client: SocketAddr,
    /// The trusted proxy that names the client in a field of its request.
    pub peer: Option<SocketAddr>,
    /// The name of the client whose token it was, or else the one in the client's certificate.
    pub client_name: Option<Arc<str>>,
    /// Whether it was a token.
    pub has_token: bool,
    /// The line of the API's key that went with it.
    pub key: Option<u32>,
    /// The route's path or the forward's `server_name`, as configured; `None` when none was found.
    pub name: Option<Rc<str>>,
    /// Until the connection to the upstream was ready; `None` when none was opened for it.
    pub connect: Option<Duration>,
    /// How long each step of opening that connection took, if it was waited for.
    pub dial: Option<DialTimes>,
    /// Until the end.
    pub total: Duration,
    /// Bytes from the client that were forwarded: content, without framing; in tcp mode all, those
    /// of TLS not counted where it ends here.
    pub to_upstream: u64,
    /// Bytes from the upstream, likewise.
    pub to_client: u64,
    /// What else is known.
    pub subject: Subject,
    /// How it ended.
    pub outcome: Outcome,
    /// More about an end that was not in order.
    pub detail: Detail,
}

impl Record {
    /// The fields about the connection to the upstream that was opened for it.
    pub(super) fn write_connect(&self, line: &mut Fields<'_>) {
        line.field(name!("connect_ms"), self.connect);
        if let Some(dial) = &self.dial {
            dial.write(line);
        }
    }

    /// The fields with which each line ends: how long it took, how much it was, how it ended.
    pub(super) fn write_end(&self, line: &mut Fields<'_>) {
        line.field(name!("total_ms"), self.total);
        line.field(name!("to_upstream"), self.to_upstream);
        line.field(name!("to_client"), self.to_client);
        self.outcome.write(line);
        self.detail.write(line);
    }

    /// The class of the status that went to the client.
    pub(super) fn status_class(&self) -> StatusClass {
        match &self.subject {
            Subject::Exchange(facts) => StatusClass::of(facts.status),
            Subject::Connection(_) => StatusClass::default(),
        }
    }

    /// The longest wait for more of a response's content.
    pub(super) fn longest_gap(&self) -> Option<Duration> {
        match &self.subject {
            Subject::Exchange(facts) => facts.longest_gap,
            Subject::Connection(_) => None,
        }
    }

    /// For tests: one of which nothing else is known.
    #[cfg(test)]
    pub(super) fn empty(subject: Subject, outcome: Outcome) -> Self {
        Self {
            client: SocketAddr::from(([192, 0, 2, 7], 4711)),
            peer: None,
            client_name: None,
            has_token: false,
            key: None,
            name: None,
            connect: None,
            dial: None,
            total: Duration::ZERO,
            to_upstream: 0,
            to_client: 0,
            subject,
            outcome,
            detail: Detail::default(),
        }
    }
}

/// What has ended.
#[derive(Clone, Debug)]
pub enum Subject {
    /// An exchange.
    Exchange(ExchangeFacts),
    /// A connection in tcp mode.
    Connection(ConnectionFacts),
}

/// What is known of exchanges alone.
#[derive(Clone, Debug, Default)]
pub struct ExchangeFacts {
    /// Its id.
    pub id: Option<RequestId>,
    /// The request's method, if we know it.
    pub method: MethodName,
    /// Status of the final response that went to the client, ours or the upstream's.
    pub status: Option<u16>,
    /// Whether the upstream connection had carried an exchange before; `None` without one.
    pub reused: Option<bool>,
    /// Until the request was forwarded to its end, if we had to wait for that.
    pub request: Option<Duration>,
    /// Until the upstream's final response head was complete.
    pub head: Option<Duration>,
    /// Until the first byte of response content went to the client: the time to first token.
    pub first_byte: Option<Duration>,
    /// The response is an event stream.
    pub is_event_stream: bool,
    /// The events in it, unless its content is encoded.
    pub events: Option<u64>,
    /// The longest wait for more of the response's content.
    pub longest_gap: Option<Duration>,
    /// All the waits for the client: for its request, or for it to take the response.
    pub client: Option<Duration>,
}

impl ExchangeFacts {
    /// The class of the upstream's final response, if there was one.
    pub(super) fn upstream_status(&self) -> Option<&'static str> {
        self.upstream_code().map(|code| StatusClass::of(Some(code)).name())
    }

    /// Whether the upstream's response says that it fails, or is asked too often.
    pub(super) fn is_failed_by_upstream(&self) -> bool {
        self.upstream_code().is_some_and(|code| code >= 500 || code == 429)
    }

    /// The upstream's own status.
    fn upstream_code(&self) -> Option<u16> {
        self.status.filter(|_| self.head.is_some())
    }
}

/// What is known of connections in tcp mode alone.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFacts {
    /// The name that the client asked for, in the form of a host name.
    pub server_name: Option<Box<str>>,
}

/// Where the time of opening a connection to an upstream went. Together they are all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialTimes {
    /// The wait for the addresses of a name; `None` if there is no name to look up.
    pub lookup: Option<Duration>,
    /// Until TCP was connected: with attempts that were refused, and addresses that were slower.
    pub tcp: Duration,
    /// The handshake; `None` without TLS.
    pub tls: Option<Duration>,
}

impl DialTimes {
    pub(super) fn write(&self, line: &mut Fields<'_>) {
        line.field(name!("lookup_ms"), self.lookup);
        line.field(name!("tcp_ms"), self.tcp);
        line.field(name!("tls_ms"), self.tls);
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's response reached its end.
    Completed,
    /// The exchange became a tunnel, and the tunnel ended in order.
    Switched,
    /// Both directions of a connection were ended by those who had sent in them.
    Closed,
    /// We answered a request ourselves.
    Answered {
        /// On whose account.
        fault: Fault,
        /// The `code` of our error body.
        code: &'static str,
    },
    /// A connection that ended before the upstream saw a byte of it.
    Refused {
        /// On whose account.
        fault: Fault,
        /// What happened, as a fixed word of ours.
        cause: &'static str,
    },
    /// One side was cut off.
    Aborted {
        /// On whose account.
        fault: Fault,
        /// What happened, as a fixed word of ours.
        cause: &'static str,
    },
}

impl Outcome {
    /// The end of an exchange by `error`. `answered`: the client got an answer of ours.
    pub(super) fn of(error: &ExchangeError, answered: bool) -> Self {
        match answered {
            true => Self::Answered { fault: error.fault, code: name_of(error) },
            false => Self::Aborted { fault: error.fault, cause: name_of(error) },
        }
    }

    /// On whose account it ended as it did, if it went wrong.
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::Completed | Self::Switched | Self::Closed => None,
            Self::Answered { fault, .. }
            | Self::Refused { fault, .. }
            | Self::Aborted { fault, .. } => Some(fault),
        }
    }

    /// What went wrong, as a fixed word of ours.
    pub(super) fn cause(self) -> Option<&'static str> {
        match self {
            Self::Completed | Self::Switched | Self::Closed => None,
            Self::Answered { code: cause, .. }
            | Self::Refused { cause, .. }
            | Self::Aborted { cause, .. } => Some(cause),
        }
    }

    /// How it ended, without the details.
    pub(super) fn end(self) -> End {
        match self {
            Self::Completed => End::Completed,
            Self::Switched => End::Switched,
            Self::Closed => End::Closed,
            Self::Answered { .. } => End::Answered,
            Self::Refused { .. } => End::Refused,
            Self::Aborted { .. } => End::Aborted,
        }
    }

    /// The fields `end`, `fault` and `cause`.
    pub(super) fn write(self, line: &mut Fields<'_>) {
        line.field(name!("end"), Word(self.end().name()));
        line.field(name!("fault"), self.fault().map(Fault::name));
        line.field(name!("cause"), self.cause());
    }
}

/// The kinds of [`Outcome`], in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are those of Outcome")]
pub enum End {
    Completed,
    Switched,
    Closed,
    Answered,
    Refused,
    Aborted,
}

impl End {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them, each at its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Completed,
        Self::Switched,
        Self::Closed,
        Self::Answered,
        Self::Refused,
        Self::Aborted,
    ];

    /// The word in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Switched => "switched",
            Self::Closed => "closed",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }
}

/// What the cause alone does not say.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Why, in one fixed word.
    reason: Option<&'static str>,
    /// The dial that failed, if one did.
    dial: Option<Box<DialFailure>>,
}

impl From<&ExchangeError> for Detail {
    fn from(error: &ExchangeError) -> Self {
        Self { reason: error.reason(), dial: None }
    }
}

impl From<Box<DialFailure>> for Detail {
    fn from(failure: Box<DialFailure>) -> Self {
        Self { reason: failure.error.reason(), dial: Some(failure) }
    }
}

impl Detail {
    /// Why, in one fixed word.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.dial.as_ref().map_or(self.reason, |dial| dial.reason())
    }

    pub(super) fn write(&self, line: &mut Fields<'_>) {
        match &self.dial {
            Some(dial) => Self::write_dial(line, dial),
            None => line.field(name!("reason"), self.reason),
        }
    }

    pub(super) fn write_dial(line: &mut Fields<'_>, dial: &DialFailure) {
        line.field(name!("reason"), dial.reason());
        let step = dial.step.map(DialStep::name);
        line.field(name!("step"), step);
        line.field(name!("address"), dial.address);
        line.field(name!("family"), dial.family());
        line.field(name!("step_ms"), step.map(|_| dial.took));
    }
}

/// A method's name for the log: its place in a fixed list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodName(u8);

impl MethodName {
    /// A method that is not in the list, or a request that never showed one.
    pub const OTHER: Self = Self(0);

    /// Finds `method` in the list. Methods are case-sensitive (RFC 9110, section 9.1).
    pub fn of(method: &[u8]) -> Self {
        let known = METHOD_NAMES[1..].iter().position(|name| name.as_bytes() == method);
        known.map_or(Self::OTHER, |at| Self(1 + at as u8))
    }

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        METHOD_NAMES[usize::from(self.0)]
    }
}

/// The word for all others, the methods of RFC 9110, section 9.3, and PATCH (RFC 5789).
const METHOD_NAMES: [&str; 10] =
    ["other", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_and_each_class_is_at_its_number() {
        assert!(End::ALL.into_iter().enumerate().all(|(number, end)| end as usize == number));
        for (status, name) in
            [(None, ""), (Some(101), "1xx"), (Some(204), "2xx"), (Some(599), "5xx")]
        {
            assert_eq!(StatusClass::of(status).name(), name);
        }
        assert_eq!(StatusClass::of(Some(u16::MAX)).name(), "9xx");
        assert!(StatusClass::all().enumerate().all(|(number, class)| class.number() == number));
    }

    #[test]
    fn a_method_we_do_not_know_never_reaches_the_log() {
        assert_eq!(MethodName::of(b"POST").as_str(), "POST");
        for unknown in [&b"post"[..], b"PROPFIND", b"", b"GET\r\n", b"\xff"] {
            assert_eq!(MethodName::of(unknown), MethodName::OTHER, "{unknown:?}");
        }
    }
}
