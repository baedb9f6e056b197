//! The access log of tcp mode: one [`ConnectionRecord`] a connection, one line a record.
//!
//! The line is an event of target `narrows::access`, message `connection`, and follows the rules of
//! [`exchange_line`](super::exchange_line), but the name that a client asks for is in it,
//! because that is what it was routed by. It is a host name, or it would not be here.

use super::exchange_line::{Detail, level_of};
use super::line::Fields;
use super::log::{ACCESS, log_line};
use super::refusals::{Refused, may_tell};
use crate::error::Fault;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is known of one connection at its end. Durations run from its acceptance.
#[derive(Clone, Debug)]
pub struct ConnectionRecord {
    /// The client's address; behind a PROXY header, the announced one.
    pub client: SocketAddr,
    /// The `server_name` of the forward as configured, or `None` when none was chosen.
    pub forward: Option<Arc<str>>,
    /// The name that the client asked for, in the form of a host name.
    pub server_name: Option<Box<str>>,
    /// Until the connection to the upstream was ready; `None` when none was made.
    pub connect: Option<Duration>,
    /// Until the connection had ended.
    pub total: Duration,
    /// Bytes from the client, those of TLS not counted where it ends here.
    pub to_upstream: u64,
    /// Bytes from the upstream, likewise.
    pub to_client: u64,
    /// How it ended.
    pub end: ConnectionEnd,
    /// More about an end that was not in order.
    pub detail: Detail,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// Both directions were ended by those who had sent in them.
    Closed,
    /// The upstream never saw a byte of it.
    Refused {
        /// On whose account.
        fault: Fault,
        /// What happened, as a fixed word of ours.
        cause: &'static str,
    },
    /// It was cut off.
    Aborted {
        /// On whose account.
        fault: Fault,
        /// What happened, as a fixed word of ours.
        cause: &'static str,
    },
}

impl ConnectionRecord {
    /// Writes the line: at level `warn` when the upstream is at fault, at `error` when we are, at
    /// `info` otherwise.
    /// Lines about refusals are [limited](super::refusals).
    pub fn emit(&self) {
        let level = level_of(self.end.fault());
        if self.is_refusal() && !may_tell(level, self.client.ip(), Refused::Connection) {
            return;
        }
        log_line(level, ACCESS, |line| self.write(line));
    }

    /// Whether the client alone is to blame, and no upstream was troubled.
    fn is_refusal(&self) -> bool {
        match self.end {
            ConnectionEnd::Refused { fault, .. } => fault == Fault::Client,
            ConnectionEnd::Closed | ConnectionEnd::Aborted { .. } => false,
        }
    }

    fn write(&self, line: &mut Fields<'_>) {
        line.message("connection");
        line.field("forward", self.forward.as_deref());
        line.field("server_name", self.server_name.as_deref());
        line.field("client", self.client);
        line.field("connect_ms", self.connect);
        line.field("total_ms", self.total);
        line.field("to_upstream", self.to_upstream);
        line.field("to_client", self.to_client);
        let (end, fault, cause) = self.end.words();
        line.field("end", end);
        line.field("fault", fault);
        line.field("cause", cause);
        self.detail.write(line);
    }
}

impl ConnectionEnd {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Closed => None,
            Self::Refused { fault, .. } | Self::Aborted { fault, .. } => Some(fault),
        }
    }

    /// The fields `end`, `fault` and `cause`.
    fn words(self) -> (&'static str, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Closed => ("closed", None, None),
            Self::Refused { fault, cause } => ("refused", Some(fault.name()), Some(cause)),
            Self::Aborted { fault, cause } => ("aborted", Some(fault.name()), Some(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use std::thread;
    use tracing::Level;

    #[test]
    fn a_connection_is_one_line_with_all_that_is_known_of_it() {
        let record = ConnectionRecord {
            forward: Some("*.example.com".into()),
            server_name: Some("db.example.com".into()),
            connect: Some(Duration::from_micros(1234)),
            total: Duration::from_secs(60),
            to_upstream: 17,
            to_client: 4096,
            ..empty()
        };
        let text = logged(LogFormat::Text, Level::INFO, || record.emit());
        let want = "INFO narrows::access: connection forward=\"*.example.com\" \
            server_name=\"db.example.com\" client=192.0.2.7:4711 connect_ms=1.234 \
            total_ms=60000.000 to_upstream=17 to_client=4096 end=\"closed\"\n";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_who_is_at_fault_sets_the_level() {
        for (fault, level, word) in [
            (Fault::Client, "INFO", "client"),
            (Fault::Upstream, "WARN", "upstream"),
            (Fault::Internal, "ERROR", "narrows"),
        ] {
            let end = ConnectionEnd::Refused { fault, cause: "forward_not_found" };
            let record = ConnectionRecord { end, ..empty() };
            let text = logged(LogFormat::Text, Level::INFO, || record.emit());
            let want = format!(
                "{level} narrows::access: connection client=192.0.2.7:4711 total_ms=0.000 \
                 to_upstream=0 to_client=0 end=\"refused\" fault=\"{word}\" \
                 cause=\"forward_not_found\"\n"
            );
            assert!(text.ends_with(&want), "{text}");
        }
    }

    #[test]
    fn only_lines_about_connections_that_a_client_had_refused_are_ever_left_out() {
        const MANY: usize = 500;
        let refused = |fault| ConnectionEnd::Refused { fault, cause: "gone" };
        for (end, is_limited) in [
            (refused(Fault::Client), true),
            (refused(Fault::Upstream), false),
            (refused(Fault::Internal), false),
            (ConnectionEnd::Aborted { fault: Fault::Client, cause: "gone" }, false),
            (ConnectionEnd::Closed, false),
        ] {
            let record = ConnectionRecord { end, ..empty() };
            let write = || (0..MANY).for_each(|_| record.emit());
            // A thread of its own has limits of its own.
            let log = thread::scope(|scope| {
                scope.spawn(|| logged(LogFormat::Text, Level::INFO, write)).join().unwrap()
            });
            assert_eq!(log.lines().count() < MANY / 2, is_limited, "{end:?}");
        }
    }

    fn empty() -> ConnectionRecord {
        ConnectionRecord {
            client: SocketAddr::from(([192, 0, 2, 7], 4711)),
            forward: None,
            server_name: None,
            connect: None,
            total: Duration::ZERO,
            to_upstream: 0,
            to_client: 0,
            end: ConnectionEnd::Closed,
            detail: Detail::default(),
        }
    }
}
