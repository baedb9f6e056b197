//! The line of an exchange in the access log: an event of target `narrows::access`, message
//! `exchange`. Its fields are fixed names; a value that is not known is left out.

use super::line::Fields;
use super::record::{ExchangeFacts, Outcome, Record};
use crate::error::Fault;

/// Whether only the client is at fault, for something that cost no one else anything. One that
/// left when the upstream was at work already is no refusal: that work is paid for.
pub(super) fn is_refusal(record: &Record, facts: &ExchangeFacts) -> bool {
    match record.outcome {
        Outcome::Answered { fault, .. } | Outcome::Refused { fault, .. } => fault == Fault::Client,
        Outcome::Aborted { fault, .. } => fault == Fault::Client && facts.reused.is_none(),
        // OPTIONS with Max-Forwards: 0 is answered here, and costs its sender nothing either.
        Outcome::Completed | Outcome::Switched | Outcome::Closed => facts.reused.is_none(),
    }
}

/// The fields.
pub(super) fn write(record: &Record, facts: &ExchangeFacts, line: &mut Fields<'_>) {
    line.message("exchange");
    line.field("route", record.name.as_deref());
    line.field("client", record.client);
    line.field("method", facts.method.as_str());
    line.field("status", facts.status);
    record.write_connect(line);
    line.field("reused", facts.reused);
    line.field("head_ms", facts.head);
    line.field("first_byte_ms", facts.first_byte);
    record.write_end(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use crate::telemetry::observer::ended;
    use crate::telemetry::record::{DialTimes, MethodName, Subject};
    use std::thread;
    use std::time::Duration;
    use tracing::Level;

    #[test]
    fn a_completed_exchange_is_one_json_object_with_every_number() {
        check_json(
            full(),
            r#""message":"exchange","route":"/gpt/","client":"192.0.2.7:4711","method":"POST","#,
            r#""status":200,"connect_ms":12.345,"lookup_ms":1.000,"tcp_ms":2.000,"tls_ms":9.000,"#,
            r#""reused":false,"head_ms":250.000,"first_byte_ms":250.001,"total_ms":60000.000,"#,
            r#""to_upstream":17,"to_client":4096,"end":"completed","target":"narrows::access"}"#,
        );
    }

    #[test]
    fn a_completed_exchange_is_one_readable_text_line() {
        let text = logged(LogFormat::Text, Level::INFO, || ended(&full()));
        let want = "INFO narrows::access: exchange route=\"/gpt/\" client=192.0.2.7:4711 \
            method=\"POST\" status=200 connect_ms=12.345 lookup_ms=1.000 tcp_ms=2.000 \
            tls_ms=9.000 reused=false head_ms=250.000 first_byte_ms=250.001 \
            total_ms=60000.000 to_upstream=17 to_client=4096 end=\"completed\"\n";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let outcome = Outcome::Answered { fault: Fault::Client, code: "no_route" };
        let record = Record { outcome, ..empty() };
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
            let record = Record { outcome, ..empty() };
            let text = logged(LogFormat::Text, Level::INFO, || ended(&record));
            let want = format!("end=\"aborted\" fault=\"{word}\" cause=\"closed_early\"\n");
            assert!(text.ends_with(&want), "{text}");
        }
    }

    #[test]
    fn a_tunnel_that_ended_in_order_has_no_cause() {
        let record = Record { outcome: Outcome::Switched, ..empty() };
        let text = logged(LogFormat::Text, Level::INFO, || ended(&record));
        assert!(text.ends_with("end=\"switched\"\n"), "{text}");
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
            let facts = ExchangeFacts { reused, ..ExchangeFacts::default() };
            let record = Record { outcome, subject: Subject::Exchange(facts), ..empty() };
            let write = || (0..MANY).for_each(|_| ended(&record));
            // A thread of its own has limits of its own.
            let log = thread::scope(|scope| {
                scope.spawn(|| logged(LogFormat::Text, Level::INFO, write)).join().unwrap()
            });
            assert_eq!(log.lines().count() < MANY / 2, is_limited, "{outcome:?} {reused:?}");
        }
    }

    #[track_caller]
    fn check_json(record: Record, one: &str, two: &str, three: &str, four: &str) {
        let text = logged(LogFormat::Json, Level::INFO, || ended(&record));
        let want = format!("{one}{two}{three}{four}\n");
        assert!(text.ends_with(&want), "{text}\nshould end with\n{want}");
        assert_eq!(text.lines().count(), 1);
    }

    fn full() -> Record {
        let ms = Duration::from_millis;
        let facts = ExchangeFacts {
            method: MethodName::of(b"POST"),
            status: Some(200),
            reused: Some(false),
            head: Some(Duration::from_millis(250)),
            first_byte: Some(Duration::from_micros(250_001)),
        };
        Record {
            name: Some("/gpt/".into()),
            connect: Some(Duration::from_nanos(12_345_678)),
            dial: Some(DialTimes { lookup: Some(ms(1)), tcp: ms(2), tls: Some(ms(9)) }),
            total: Duration::from_secs(60),
            to_upstream: 17,
            to_client: 4096,
            subject: Subject::Exchange(facts),
            ..empty()
        }
    }

    fn empty() -> Record {
        Record::empty(Subject::Exchange(ExchangeFacts::default()), Outcome::Completed)
    }
}
