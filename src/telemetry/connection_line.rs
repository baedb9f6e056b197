//! The line of a connection in tcp mode in the access log: an event of target `narrows::access`,
//! message `connection`. It follows the rules of `exchange_line`.

use super::field_name::name;
use super::line::Fields;
use super::record::{ConnectionFacts, Outcome, Record};
use crate::error::Fault;

/// Whether the client alone is to blame, and no upstream was troubled.
pub(super) fn is_refusal(record: &Record) -> bool {
    match record.outcome {
        Outcome::Answered { fault, .. } | Outcome::Refused { fault, .. } => fault == Fault::Client,
        Outcome::Completed | Outcome::Switched | Outcome::Closed | Outcome::Aborted { .. } => false,
    }
}

/// The fields.
pub(super) fn write(record: &Record, facts: &ConnectionFacts, line: &mut Fields<'_>) {
    line.message("connection");
    line.field(name!("forward"), record.name.as_deref());
    line.field(name!("server_name"), facts.server_name.as_deref());
    line.field(name!("client"), record.client);
    line.field(name!("client_name"), record.client_name.as_deref());
    record.write_connect(line);
    record.write_end(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use crate::telemetry::observer::ended;
    use crate::telemetry::record::{DialTimes, Subject};
    use std::thread;
    use std::time::Duration;
    use tracing::Level;

    #[test]
    fn a_connection_is_one_line_with_all_that_is_known_of_it() {
        let facts = ConnectionFacts { server_name: Some("db.example.com".into()) };
        let record = Record {
            name: Some("*.example.com".into()),
            subject: Subject::Connection(facts),
            connect: Some(Duration::from_micros(1234)),
            dial: Some(DialTimes { lookup: None, tcp: Duration::from_micros(1230), tls: None }),
            total: Duration::from_secs(60),
            to_upstream: 17,
            to_client: 4096,
            ..empty()
        };
        let text = logged(LogFormat::Text, Level::INFO, || ended(&record));
        let want = "INFO narrows::access: connection forward=\"*.example.com\" \
            server_name=\"db.example.com\" client=192.0.2.7:4711 connect_ms=1.234 \
            tcp_ms=1.230 total_ms=60000.000 to_upstream=17 to_client=4096 end=\"closed\"\n";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_who_is_at_fault_sets_the_level() {
        for (fault, level, word) in [
            (Fault::Client, "INFO", "client"),
            (Fault::Upstream, "WARN", "upstream"),
            (Fault::Internal, "ERROR", "narrows"),
        ] {
            let outcome = Outcome::Refused { fault, cause: "forward_not_found" };
            let record = Record { outcome, ..empty() };
            let text = logged(LogFormat::Text, Level::INFO, || ended(&record));
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
        let refused = |fault| Outcome::Refused { fault, cause: "gone" };
        for (outcome, is_limited) in [
            (refused(Fault::Client), true),
            (refused(Fault::Upstream), false),
            (refused(Fault::Internal), false),
            (Outcome::Aborted { fault: Fault::Client, cause: "gone" }, false),
            (Outcome::Closed, false),
        ] {
            let write = || {
                let record = Record { outcome, ..empty() };
                (0..MANY).for_each(|_| ended(&record));
            };
            // A thread of its own has limits of its own.
            let log = thread::scope(|scope| {
                scope.spawn(|| logged(LogFormat::Text, Level::INFO, write)).join().unwrap()
            });
            assert_eq!(log.lines().count() < MANY / 2, is_limited, "{outcome:?}");
        }
    }

    fn empty() -> Record {
        Record::empty(Subject::Connection(ConnectionFacts::default()), Outcome::Closed)
    }
}
