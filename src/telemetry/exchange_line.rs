//! The line of an exchange in the access log: an event of target `narrows::access`, message
//! `exchange`. Its fields are fixed names; a value that is not known is left out.

use super::field_name::name;
use super::line::{Fields, Word};
use super::record::{ExchangeFacts, Outcome, Record};
use crate::error::Fault;
use crate::gateway::request_id::RequestId;

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
    line.field(name!("route"), record.name.as_deref());
    line.field(name!("client"), record.client);
    line.field(name!("peer"), record.peer);
    line.field(name!("client_name"), record.client_name.as_deref());
    let id = facts.id.map(RequestId::digits);
    line.field(name!("id"), id.as_ref().and_then(|digits| str::from_utf8(digits).ok()).map(Word));
    line.field(name!("method"), Word(facts.method.as_str()));
    line.field(name!("status"), facts.status);
    line.field(name!("upstream_status"), facts.upstream_status().map(Word));
    line.field(name!("key"), record.key.map(u64::from));
    record.write_connect(line);
    line.field(name!("reused"), facts.reused);
    line.field(name!("request_ms"), facts.request);
    line.field(name!("head_ms"), facts.head);
    line.field(name!("first_byte_ms"), facts.first_byte);
    line.field(name!("stream"), facts.is_event_stream.then_some(true));
    line.field(name!("events"), facts.events);
    line.field(name!("longest_gap_ms"), facts.longest_gap);
    line.field(name!("client_ms"), facts.client);
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
            &[
                r#""message":"exchange","route":"/gpt/","client":"192.0.2.7:4711","#,
                r#""id":"0123456789abcdef","method":"POST","status":200,"upstream_status":"2xx","#,
                r#""connect_ms":12.345,"lookup_ms":1.000,"tcp_ms":2.000,"tls_ms":9.000,"#,
                r#""reused":false,"request_ms":14.000,"head_ms":250.000,"first_byte_ms":250.001,"#,
                r#""stream":true,"events":42,"longest_gap_ms":700.000,"client_ms":33.000,"#,
                r#""total_ms":60000.000,"to_upstream":17,"to_client":4096,"end":"completed","#,
                r#""target":"narrows::access"}"#,
            ],
        );
    }

    #[test]
    fn a_client_behind_a_trusted_proxy_has_that_as_its_peer_and_no_port_if_none_is_known() {
        let of = |client: &str| {
            let peer = Some("10.0.0.1:4712".parse().unwrap());
            let record = Record { client: client.parse().unwrap(), peer, ..full() };
            logged(LogFormat::Text, Level::INFO, || ended(&record))
        };
        for (client, logged) in [
            ("203.0.113.9:0", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9:4711"),
            ("[2001:db8::9]:0", "2001:db8::9"),
            ("[2001:db8::9]:4711", "[2001:db8::9]:4711"),
        ] {
            let text = of(client);
            assert!(text.contains(&format!(" client={logged} peer=10.0.0.1:4712 id=")), "{text}");
        }
    }

    #[test]
    fn a_client_with_a_certificate_has_its_name_in_quotation_marks() {
        let name = "a \" client_name=\\\"b\" x";
        let named = || Record { client_name: Some(name.into()), ..full() };
        let json = logged(LogFormat::Json, Level::INFO, || ended(&named()));
        let want = r#""client":"192.0.2.7:4711","client_name":"a \" client_name=\\\"b\" x","id""#;
        assert!(json.contains(want), "{json}");
        let text = logged(LogFormat::Text, Level::INFO, || ended(&named()));
        let want = r#" client=192.0.2.7:4711 client_name="a \" client_name=\\\"b\" x" id="#;
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn the_key_of_an_api_is_named_by_its_line() {
        let with = || Record { key: Some(3), ..full() };
        let text = logged(LogFormat::Text, Level::INFO, || ended(&with()));
        assert!(text.contains(" key=3 "), "{text}");
        let json = logged(LogFormat::Json, Level::INFO, || ended(&with()));
        assert!(json.contains(",\"key\":3,"), "{json}");
    }

    #[test]
    fn a_completed_exchange_is_one_readable_text_line() {
        let text = logged(LogFormat::Text, Level::INFO, || ended(&full()));
        let want = "INFO narrows::access: exchange route=\"/gpt/\" client=192.0.2.7:4711 \
            id=\"0123456789abcdef\" method=\"POST\" status=200 upstream_status=\"2xx\" \
            connect_ms=12.345 lookup_ms=1.000 tcp_ms=2.000 tls_ms=9.000 reused=false \
            request_ms=14.000 head_ms=250.000 first_byte_ms=250.001 stream=true events=42 \
            longest_gap_ms=700.000 client_ms=33.000 total_ms=60000.000 to_upstream=17 \
            to_client=4096 end=\"completed\"\n";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn an_upstream_that_says_that_it_fails_is_a_warning_whatever_the_client_does_then() {
        let gone = Outcome::Aborted { fault: Fault::Client, cause: "gone" };
        for (status, answered, level, class) in [
            (200, true, "INFO", Some("2xx")),
            (101, true, "INFO", Some("1xx")),
            (404, true, "INFO", Some("4xx")),
            (429, true, "WARN", Some("4xx")),
            (500, true, "WARN", Some("5xx")),
            (599, true, "WARN", Some("5xx")),
            (999, true, "WARN", Some("9xx")),
            // Our own answers are judged by whose fault they are.
            (500, false, "INFO", None),
        ] {
            for outcome in [Outcome::Completed, gone] {
                let facts = ExchangeFacts {
                    status: Some(status),
                    head: answered.then_some(Duration::ZERO),
                    reused: Some(true),
                    ..ExchangeFacts::default()
                };
                assert_eq!(facts.upstream_status(), class);
                let record = Record { outcome, subject: Subject::Exchange(facts), ..empty() };
                let text = logged(LogFormat::Text, Level::INFO, || ended(&record));
                assert!(text.contains(&format!(" {level} narrows::access: ")), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let outcome = Outcome::Answered { fault: Fault::Client, code: "no_route" };
        let record = Record { outcome, ..empty() };
        check_json(
            record,
            &[
                r#""message":"exchange","client":"192.0.2.7:4711","method":"other","#,
                r#""total_ms":0.000,"to_upstream":0,"to_client":0,"#,
                r#""end":"answered","fault":"client","cause":"no_route","#,
                r#""target":"narrows::access"}"#,
            ],
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
            let write = || {
                let facts = ExchangeFacts { reused, ..ExchangeFacts::default() };
                let record = Record { outcome, subject: Subject::Exchange(facts), ..empty() };
                (0..MANY).for_each(|_| ended(&record));
            };
            // A thread of its own has limits of its own.
            let log = thread::scope(|scope| {
                scope.spawn(|| logged(LogFormat::Text, Level::INFO, write)).join().unwrap()
            });
            assert_eq!(log.lines().count() < MANY / 2, is_limited, "{outcome:?} {reused:?}");
        }
    }

    #[track_caller]
    fn check_json(record: Record, parts: &[&str]) {
        let text = logged(LogFormat::Json, Level::INFO, || ended(&record));
        let want = format!("{}\n", parts.concat());
        assert!(text.ends_with(&want), "{text}\nshould end with\n{want}");
        assert_eq!(text.lines().count(), 1);
    }

    fn full() -> Record {
        let ms = Duration::from_millis;
        let facts = ExchangeFacts {
            id: Some(RequestId::new(0x0123_4567_89ab_cdef)),
            method: MethodName::of(b"POST"),
            status: Some(200),
            reused: Some(false),
            request: Some(ms(14)),
            head: Some(ms(250)),
            first_byte: Some(Duration::from_micros(250_001)),
            is_event_stream: true,
            events: Some(42),
            longest_gap: Some(ms(700)),
            client: Some(ms(33)),
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
