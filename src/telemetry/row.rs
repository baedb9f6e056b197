//! The access log for people at a terminal: an exchange or a connection is one row of aligned
//! columns, as many as the terminal is wide enough for.

use super::record::{ExchangeFacts, Outcome, Record, Subject};
use super::terminal::{Paint, TIME_COLUMNS};
use crate::error::Fault;
use std::time::Duration;

/// Columns of a status, or of a level in its place.
const STATUS_COLUMNS: usize = 5;
/// Most columns of a client's name.
const NAME_COLUMNS: usize = 24;

/// Appends the row of an exchange or a connection, for a terminal of so many columns.
pub(super) fn append_row(record: &Record, has_colour: bool, columns: usize, line: &mut String) {
    let cells = cells(record, columns);
    let fits = |rank: &u8| {
        let shown = cells.iter().filter(|cell| cell.rank <= *rank);
        TIME_COLUMNS + shown.map(|cell| 1 + cell.columns()).sum::<usize>() <= columns
    };
    let rank = (0..=RANK_MAX).rev().find(fits).unwrap_or(0);
    for cell in cells.iter().filter(|cell| cell.rank <= rank && cell.columns() > 0) {
        line.push(' ');
        cell.append(has_colour, line);
    }
    line.truncate(line.trim_end_matches(' ').len());
}

/// One column of a row.
struct Cell {
    text: String,
    paint: Paint,
    /// It is padded to this width.
    width: usize,
    is_right: bool,
    /// Columns with the highest rank are the first to be left out where there is no room.
    rank: u8,
}

/// The highest [`Cell::rank`].
const RANK_MAX: u8 = 5;

impl Cell {
    fn left(text: impl Into<String>, width: usize, rank: u8) -> Self {
        Self { text: text.into(), paint: Paint::Plain, width, is_right: false, rank }
    }

    /// A name and a value that is aligned to the right. Blank without a value.
    fn named(name: &str, value: Option<String>, width: usize, rank: u8) -> Self {
        let text = value.map(|value| format!("{name} {value:>width$}")).unwrap_or_default();
        Self { is_right: true, ..Self::left(text, name.len() + 1 + width, rank) }
    }

    fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }

    fn columns(&self) -> usize {
        self.width.max(self.text.chars().count())
    }

    fn append(&self, has_colour: bool, line: &mut String) {
        let blanks = " ".repeat(self.columns() - self.text.chars().count());
        if self.is_right {
            line.push_str(&blanks);
        }
        self.paint.append(&self.text, has_colour, line);
        if !self.is_right {
            line.push_str(&blanks);
        }
    }
}

fn cells(record: &Record, columns: usize) -> Vec<Cell> {
    let route_columns = (columns.saturating_sub(70) / 3).clamp(10, 32);
    let (status, paint, method, first_byte) = match &record.subject {
        Subject::Exchange(facts) => {
            let (status, paint) = status(facts);
            (status, paint, facts.method.as_str(), facts.first_byte)
        }
        Subject::Connection(_) => ("tcp".to_owned(), Paint::Plain, "", None),
    };
    let (end, end_paint) = end(record);
    let bytes = |name, count| Cell::named(name, Some(bytes(count)), 5, 3).paint(Paint::Dim);
    vec![
        Cell::left(status, STATUS_COLUMNS, 0).paint(paint),
        Cell::left(method, 7, 4),
        Cell::left(cut(name(record), route_columns), route_columns, 0),
        Cell::left(client(record), 15, 2),
        Cell::named("first", first_byte.map(duration), 6, 1),
        Cell::named("total", Some(duration(record.total)), 6, 0),
        bytes("up", record.to_upstream),
        bytes("down", record.to_client),
        Cell::left(end, 9, 0).paint(end_paint),
        Cell::left(parts(record), 0, 5).paint(Paint::Dim),
    ]
}

/// Where the time went, and the id, for wide terminals.
fn parts(record: &Record) -> String {
    let Subject::Exchange(facts) = &record.subject else { return String::new() };
    let dial = record.dial.as_ref();
    let times = [
        ("lookup", dial.and_then(|it| it.lookup)),
        ("tcp", dial.map(|it| it.tcp)),
        ("tls", dial.and_then(|it| it.tls)),
        ("head", facts.head),
        ("gap", facts.longest_gap),
        ("client", facts.client),
    ];
    let times = times.into_iter().filter_map(|(name, time)| Some((name, time?)));
    let mut parts: Vec<_> =
        times.map(|(name, time)| format!("{name} {}", duration(time))).collect();
    let id = facts.id.map(|id| String::from_utf8_lossy(&id.digits()).into_owned());
    parts.extend(record.key.map(|line| format!("key {line}")));
    parts.extend(id.map(|id| format!("id {id}")));
    parts.join(" ")
}

fn status(facts: &ExchangeFacts) -> (String, Paint) {
    let paint = match facts.status {
        Some(..=399) => Paint::Green,
        Some(400..=499) => Paint::Yellow,
        Some(_) => Paint::Red,
        None => Paint::Dim,
    };
    (facts.status.map_or("-".to_owned(), |status| status.to_string()), paint)
}

/// What it was about: the route; of a connection in tcp mode the name that the client asked for, or
/// the forward.
fn name(record: &Record) -> &str {
    let asked_for = match &record.subject {
        Subject::Exchange(_) => None,
        Subject::Connection(facts) => facts.server_name.as_deref(),
    };
    asked_for.or(record.name.as_deref()).unwrap_or("-")
}

/// Its name, or its address without the port, which says nothing to a person.
fn client(record: &Record) -> String {
    match &record.client_name {
        Some(name) => cut(name, NAME_COLUMNS),
        None => record.client.ip().to_canonical().to_string(),
    }
}

/// How it ended, and why.
fn end(record: &Record) -> (String, Paint) {
    let (end, paint) = match record.outcome {
        Outcome::Completed => ("completed".to_owned(), Paint::Dim),
        Outcome::Switched => ("switched".to_owned(), Paint::Dim),
        Outcome::Closed => ("closed".to_owned(), Paint::Dim),
        Outcome::Answered { fault, code } => (code.to_owned(), of(fault)),
        Outcome::Refused { fault, cause } => (format!("refused: {cause}"), of(fault)),
        Outcome::Aborted { fault, cause } => (format!("cut: {cause}"), of(fault)),
    };
    let reason = record.detail.reason().map(|reason| format!(" ({reason})"));
    (end + &reason.unwrap_or_default(), paint)
}

fn of(fault: Fault) -> Paint {
    match fault {
        Fault::Client => Paint::Yellow,
        Fault::Upstream | Fault::Internal => Paint::Red,
    }
}

/// At most so many characters of `text`.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns - 1).collect();
    kept + "…"
}

/// In at most six characters, up to four days.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.as_millis() {
        0..10 => format!("{:.1}ms", duration.as_secs_f64() * 1e3),
        10..1_000 => format!("{}ms", duration.as_millis()),
        1_000..10_000 => format!("{:.2}s", duration.as_secs_f64()),
        10_000..60_000 => format!("{:.1}s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// In at most five characters, up to a thousand terabytes.
fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        // What would be printed as four digits.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    match unit {
        "B" => format!("{count}B"),
        _ if value < 9.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::request_id::RequestId;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use crate::telemetry::observer::ended;
    use crate::telemetry::record::{ConnectionFacts, DialTimes, MethodName};
    use crate::telemetry::targets::SERVER;
    use tracing::Level;

    #[test]
    fn an_exchange_is_one_row_of_120_columns() {
        check(
            &completed(),
            120,
            "200   POST    /gpt/            192.0.2.7       first  812ms total  12.4s up 1.2kB \
             down  48kB completed",
        );
    }

    #[test]
    fn a_wide_terminal_has_longer_names() {
        check(
            &completed(),
            200,
            "200   POST    /gpt/                            192.0.2.7       first  812ms total  \
             12.4s up 1.2kB down  48kB completed",
        );
    }

    #[test]
    fn a_terminal_with_room_for_it_shows_where_the_time_went_and_the_id() {
        let milliseconds = |count| Some(Duration::from_millis(count));
        let Record { subject: Subject::Exchange(facts), .. } = completed() else { unreachable!() };
        let subject = Subject::Exchange(ExchangeFacts {
            head: milliseconds(800),
            longest_gap: milliseconds(2_000),
            client: milliseconds(30),
            id: Some(RequestId::new(0x1234)),
            ..facts
        });
        let dial = DialTimes {
            lookup: milliseconds(1),
            tcp: Duration::from_millis(20),
            tls: milliseconds(25),
        };
        let record = Record { subject, dial: Some(dial), ..completed() };
        check(
            &record,
            220,
            "200   POST    /gpt/                            192.0.2.7       first  812ms total  \
             12.4s up 1.2kB down  48kB completed lookup 1.0ms tcp 20ms tls 25ms head 800ms gap \
             2.00s client 30ms id 0000000000001234",
        );
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns_and_never_loses_status_time_and_end() {
        check(
            &completed(),
            80,
            "200   /gpt/      192.0.2.7       first  812ms total  12.4s completed",
        );
        check(&completed(), 66, "200   /gpt/      first  812ms total  12.4s completed");
        check(&completed(), 40, "200   /gpt/      total  12.4s completed");
        check(&completed(), 1, "200   /gpt/      total  12.4s completed");
    }

    #[test]
    fn a_failure_says_its_cause_and_gives_up_columns_for_it() {
        let outcome =
            Outcome::Answered { fault: Fault::Upstream, code: "upstream_certificate_wrong_name" };
        let record = Record { outcome, to_client: 0, ..completed() };
        check(
            &record,
            120,
            "200   /gpt/            192.0.2.7       first  812ms total  12.4s \
             upstream_certificate_wrong_name",
        );
        let outcome = Outcome::Aborted { fault: Fault::Client, cause: "gone" };
        let record = Record { outcome, ..Record::empty(exchange(None), outcome) };
        check(
            &record,
            120,
            "-     POST    -                192.0.2.7                    total  0.0ms up    0B \
             down    0B cut: gone",
        );
    }

    #[test]
    fn a_connection_of_a_tcp_listener_shows_the_name_that_was_asked_for() {
        let facts = ConnectionFacts { server_name: Some("db.example.com".into()) };
        let record = Record {
            subject: Subject::Connection(facts),
            name: Some("*".into()),
            outcome: Outcome::Closed,
            ..completed()
        };
        check(
            &record,
            120,
            "tcp           db.example.com   192.0.2.7                    total  12.4s up 1.2kB \
             down  48kB closed",
        );
    }

    #[test]
    fn durations_have_three_digits_and_at_most_six_characters() {
        for (milliseconds, want) in [
            (0, "0.0ms"),
            (9, "9.0ms"),
            (812, "812ms"),
            (1_000, "1.00s"),
            (12_400, "12.4s"),
            (59_940, "59.9s"),
            (750_000, "12m30s"),
            (11_045_000, "3h04m"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), want);
        }
    }

    #[test]
    fn sizes_have_at_most_three_digits_and_a_unit() {
        for (count, want) in [
            (0, "0B"),
            (999, "999B"),
            (1_000, "1.0kB"),
            (9_940, "9.9kB"),
            (48_200, "48kB"),
            (999_499, "999kB"),
            (999_999, "1.0MB"),
            (3_400_000_000, "3.4GB"),
        ] {
            assert_eq!(bytes(count), want);
        }
    }

    #[test]
    fn other_lines_have_their_level_message_and_fields() {
        let format = LogFormat::Terminal { has_colour: false };
        let text = logged(format, Level::INFO, || {
            tracing::warn!(target: SERVER, room = 20, why = "a reason", "files run out");
        });
        let (time, rest) = text.split_at(TIME_COLUMNS);
        assert!(time.ends_with('Z') && time.as_bytes()[2] == b':', "{text}");
        assert_eq!(rest, " warn  files run out room=20 why=\"a reason\"\n");
    }

    #[test]
    fn colours_are_written_only_where_they_are_wanted() {
        for has_colour in [false, true] {
            let format = LogFormat::Terminal { has_colour };
            let text = logged(format, Level::INFO, || {
                ended(&completed());
                tracing::error!(target: SERVER, n = 1, "wrong");
            });
            assert_eq!(text.contains("\x1b["), has_colour, "{text:?}");
            assert_eq!(text.contains("\x1b[32m200\x1b[0m"), has_colour, "{text:?}");
            assert_eq!(text.contains("\x1b[31merror\x1b[0m"), has_colour, "{text:?}");
            assert_eq!(text.lines().count(), 2);
        }
    }

    #[track_caller]
    fn check(record: &Record, columns: usize, want: &str) {
        let mut row = String::new();
        append_row(record, false, columns, &mut row);
        assert_eq!(row, format!(" {want}"));
        let coloured = {
            let mut row = String::new();
            append_row(record, true, columns, &mut row);
            row
        };
        assert_eq!(without_colours(&coloured), row);
        assert!(columns < 60 || TIME_COLUMNS + row.chars().count() <= columns, "{row}");
    }

    fn without_colours(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |all, part| all + part.split_once('m').unwrap().1)
    }

    fn exchange(status: Option<u16>) -> Subject {
        Subject::Exchange(ExchangeFacts {
            method: MethodName::of(b"POST"),
            status,
            ..ExchangeFacts::default()
        })
    }

    fn completed() -> Record {
        let Subject::Exchange(facts) = exchange(Some(200)) else { unreachable!() };
        let facts = ExchangeFacts { first_byte: Some(Duration::from_millis(812)), ..facts };
        Record {
            name: Some("/gpt/".into()),
            total: Duration::from_millis(12_400),
            to_upstream: 1_234,
            to_client: 48_200,
            ..Record::empty(Subject::Exchange(facts), Outcome::Completed)
        }
    }
}
