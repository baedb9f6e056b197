//! The access log: one [`ExchangeRecord`] an exchange, one line a record.
//!
//! The line is an event of target `narrows::access`, message `exchange`. Its fields
//! are fixed names; a value that is not known is left out rather than printed empty. Nothing that a
//! client or an upstream wrote appears in it, so keys, prompts and forged lines cannot.

use super::line::Fields;
use super::log::{ACCESS, log_line};
use super::refusals::{Refused, may_tell};
use crate::error::{DialFailure, ExchangeError, Fault, Step};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::Level;

/// What is known of one exchange at its end. Durations run from the first byte of the request.
#[derive(Clone, Debug)]
pub struct ExchangeRecord {
    /// The client's address; behind a PROXY header, the announced one.
    pub client: SocketAddr,
    /// The route's path as configured (not the request's), or `None` when none matched.
    pub route: Option<Arc<str>>,
    /// The request's method, if we know it.
    pub method: MethodName,
    /// Status of the final response that went to the client, ours or the upstream's.
    pub status: Option<u16>,
    /// Whether the upstream connection had carried an exchange before; `None` without one.
    pub reused: Option<bool>,
    /// Duration of name, TCP and TLS together; `None` when no connection was made.
    pub connect: Option<Duration>,
    /// Until the upstream's final response head was complete.
    pub head: Option<Duration>,
    /// Until the first byte of response content went to the client: the time to first token.
    pub first_byte: Option<Duration>,
    /// Until the exchange had ended.
    pub total: Duration,
    /// Bytes of request content forwarded, framing not counted.
    pub to_upstream: u64,
    /// Bytes of response content forwarded, framing not counted.
    pub to_client: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// More about an end that was not in order.
    pub detail: Detail,
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
    pub(super) fn write(&self, line: &mut Fields<'_>) {
        match &self.dial {
            Some(dial) => Self::write_dial(line, dial),
            None => line.field("reason", self.reason),
        }
    }

    pub(super) fn write_dial(line: &mut Fields<'_>, dial: &DialFailure) {
        line.field("reason", dial.reason());
        let step = dial.step.map(Step::name);
        line.field("step", step);
        line.field("address", dial.address);
        line.field("family", dial.family());
        line.field("step_ms", step.map(|_| dial.took));
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's response reached its end.
    Completed,
    /// We answered ourselves.
    Answered {
        /// On whose account.
        fault: Fault,
        /// The `code` of our error body.
        code: &'static str,
    },
    /// One side was cut off.
    Aborted {
        /// On whose account.
        fault: Fault,
        /// What happened, as a fixed word of ours.
        cause: &'static str,
    },
    /// The exchange became a tunnel, and the tunnel ended in order.
    Switched,
}

/// A method's name for the log: its place in a fixed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodName(u8);

impl ExchangeRecord {
    /// Writes the line: at level `warn` when the upstream is at fault, at `error` when we are, at
    /// `info` otherwise.
    /// Lines about refusals are [limited](super::refusals).
    pub fn emit(&self) {
        let level = level_of(self.outcome.fault());
        if self.is_refusal() && !may_tell(level, self.client.ip(), Refused::Request) {
            return;
        }
        log_line(level, ACCESS, |line| self.write(line));
    }

    /// Whether the client alone is to blame, for something that cost nobody else anything. One
    /// that left when the upstream was at work already is no refusal: that work is paid for.
    fn is_refusal(&self) -> bool {
        match self.outcome {
            Outcome::Answered { fault, .. } => fault == Fault::Client,
            Outcome::Aborted { fault, .. } => fault == Fault::Client && self.reused.is_none(),
            // OPTIONS with Max-Forwards: 0 is answered here, and costs its sender nothing either.
            Outcome::Completed | Outcome::Switched => self.reused.is_none(),
        }
    }

    fn write(&self, line: &mut Fields<'_>) {
        line.message("exchange");
        line.field("route", self.route.as_deref());
        line.field("client", self.client);
        line.field("method", self.method.as_str());
        line.field("status", self.status);
        line.field("connect_ms", self.connect);
        line.field("reused", self.reused);
        line.field("head_ms", self.head);
        line.field("first_byte_ms", self.first_byte);
        line.field("total_ms", self.total);
        line.field("to_upstream", self.to_upstream);
        line.field("to_client", self.to_client);
        let (end, fault, cause) = self.outcome.words();
        line.field("end", end);
        line.field("fault", fault);
        line.field("cause", cause);
        self.detail.write(line);
    }
}

/// How loud the line is of what `fault` ended, if anybody's.
pub(super) fn level_of(fault: Option<Fault>) -> Level {
    match fault {
        None | Some(Fault::Client) => Level::INFO,
        Some(Fault::Upstream) => Level::WARN,
        Some(Fault::Internal) => Level::ERROR,
    }
}

impl Outcome {
    /// On whose account it ended as it did, if it went wrong.
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Completed | Self::Switched => None,
            Self::Answered { fault, .. } | Self::Aborted { fault, .. } => Some(fault),
        }
    }

    /// The fields `end`, `fault` and `cause`.
    fn words(self) -> (&'static str, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Completed => ("completed", None, None),
            Self::Answered { fault, code } => ("answered", Some(fault.name()), Some(code)),
            Self::Aborted { fault, cause } => ("aborted", Some(fault.name()), Some(cause)),
            Self::Switched => ("switched", None, None),
        }
    }
}

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

/// What stands for all others, the methods of RFC 9110, section 9.3, and PATCH (RFC 5789).
const METHOD_NAMES: [&str; 10] =
    ["other", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use std::thread;
    use tracing::Level;

    #[test]
    fn a_completed_exchange_is_one_json_object_with_every_number() {
        check_json(
            full(),
            r#""message":"exchange","route":"/gpt/","client":"192.0.2.7:4711","method":"POST","#,
            r#""status":200,"connect_ms":12.345,"reused":false,"head_ms":250.000,"#,
            r#""first_byte_ms":250.001,"total_ms":60000.000,"to_upstream":17,"to_client":4096,"#,
            r#""end":"completed","target":"narrows::access"}"#,
        );
    }

    #[test]
    fn a_completed_exchange_is_one_readable_text_line() {
        let text = logged(LogFormat::Text, Level::INFO, || full().emit());
        let want = "INFO narrows::access: exchange route=\"/gpt/\" client=192.0.2.7:4711 \
            method=\"POST\" status=200 connect_ms=12.345 reused=false head_ms=250.000 \
            first_byte_ms=250.001 total_ms=60000.000 to_upstream=17 to_client=4096 \
            end=\"completed\"\n";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let record = ExchangeRecord {
            outcome: Outcome::Answered { fault: Fault::Client, code: "no_route" },
            ..empty()
        };
        check_json(
            record,
            r#""message":"exchange","client":"192.0.2.7:4711","method":"other","#,
            r#""total_ms":0.000,"to_upstream":0,"to_client":0,"#,
            r#""end":"answered","fault":"client","cause":"no_route","#,
            r#""target":"narrows::access"}"#,
        );
    }

    #[test]
    fn an_abort_names_the_guilty_side_and_the_cause() {
        for (fault, word) in
            [(Fault::Client, "client"), (Fault::Upstream, "upstream"), (Fault::Internal, "narrows")]
        {
            let outcome = Outcome::Aborted { fault, cause: "closed_early" };
            let record = ExchangeRecord { outcome, ..empty() };
            let text = logged(LogFormat::Text, Level::INFO, || record.emit());
            let want = format!("end=\"aborted\" fault=\"{word}\" cause=\"closed_early\"\n");
            assert!(text.ends_with(&want), "{text}");
        }
    }

    #[test]
    fn a_tunnel_that_ended_in_order_has_no_cause() {
        let record = ExchangeRecord { outcome: Outcome::Switched, ..empty() };
        let text = logged(LogFormat::Text, Level::INFO, || record.emit());
        assert!(text.ends_with("end=\"switched\"\n"), "{text}");
    }

    #[test]
    fn a_method_we_do_not_know_never_reaches_the_log() {
        assert_eq!(MethodName::of(b"POST").as_str(), "POST");
        for unknown in [&b"post"[..], b"PROPFIND", b"", b"GET\r\n", b"\xff"] {
            assert_eq!(MethodName::of(unknown), MethodName::OTHER, "{unknown:?}");
        }
    }

    #[test]
    fn only_lines_about_what_a_client_alone_did_wrong_are_ever_left_out() {
        const MANY: usize = 500;
        let answered = |fault| Outcome::Answered { fault, code: "some_code" };
        let aborted = |fault| Outcome::Aborted { fault, cause: "some_cause" };
        for (outcome, reused, is_limited) in [
            (answered(Fault::Client), None, true),
            (answered(Fault::Client), Some(true), true),
            (aborted(Fault::Client), None, true),
            (aborted(Fault::Client), Some(false), false),
            (answered(Fault::Upstream), None, false),
            (aborted(Fault::Upstream), Some(true), false),
            (answered(Fault::Internal), None, false),
            (aborted(Fault::Internal), None, false),
            (Outcome::Completed, Some(true), false),
            (Outcome::Completed, None, true),
            (Outcome::Switched, Some(false), false),
        ] {
            let record = ExchangeRecord { outcome, reused, ..empty() };
            let write = || (0..MANY).for_each(|_| record.emit());
            // A thread of its own has limits of its own.
            let log = thread::scope(|scope| {
                scope.spawn(|| logged(LogFormat::Text, Level::INFO, write)).join().unwrap()
            });
            assert_eq!(log.lines().count() < MANY / 2, is_limited, "{outcome:?} {reused:?}");
        }
    }

    #[track_caller]
    fn check_json(record: ExchangeRecord, one: &str, two: &str, three: &str, four: &str) {
        let text = logged(LogFormat::Json, Level::INFO, || record.emit());
        let want = format!("{one}{two}{three}{four}\n");
        assert!(text.ends_with(&want), "{text}\nshould end with\n{want}");
        assert_eq!(text.lines().count(), 1);
    }

    fn full() -> ExchangeRecord {
        ExchangeRecord {
            route: Some("/gpt/".into()),
            method: MethodName::of(b"POST"),
            status: Some(200),
            reused: Some(false),
            connect: Some(Duration::from_nanos(12_345_678)),
            head: Some(Duration::from_millis(250)),
            first_byte: Some(Duration::from_micros(250_001)),
            total: Duration::from_secs(60),
            to_upstream: 17,
            to_client: 4096,
            ..empty()
        }
    }

    fn empty() -> ExchangeRecord {
        ExchangeRecord {
            client: SocketAddr::from(([192, 0, 2, 7], 4711)),
            route: None,
            method: MethodName::OTHER,
            status: None,
            reused: None,
            connect: None,
            head: None,
            first_byte: None,
            total: Duration::ZERO,
            to_upstream: 0,
            to_client: 0,
            outcome: Outcome::Completed,
            detail: Detail::default(),
        }
    }
}
