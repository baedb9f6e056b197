//! One event as one line of the log: text, JSON for programs, or what fits a terminal or journald.
//!
//! Besides TLS and the kernel, its line is the largest cost of a small exchange. So it is written
//! straight into the buffer that it leaves from, and text and JSON differ only in punctuation.

use super::field_name::Name;
use super::targets::ACCESS;
use super::terminal;
use crate::net::date::Second;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};
use tracing::Level;
use tracing::field::{Field, Visit};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, target, message, then `name=value`. Strings are quoted and escaped. Never
    /// coloured, also on a terminal, so that a line looks the same wherever it is read.
    #[default]
    Text,
    /// One JSON object a line, fields at its top level.
    Json,
    /// Text for journald: it begins with a priority, in place of the time, which journald has.
    Journal,
    /// For people at a terminal: short, without the target, strings quoted only where they must be.
    Terminal {
        /// Whether it shows colours.
        has_colour: bool,
    },
}

/// As wide as the widest level.
const LEVEL_BLANKS: &str = "     ";

/// The priority of a level (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// What every line begins with.
pub(super) struct LineHead {
    /// When it is written.
    pub(super) since_epoch: Duration,
    pub(super) level: Level,
    pub(super) target: &'static str,
}

impl LogFormat {
    /// Appends a line, with its end.
    pub(super) fn append(
        self,
        head: &LineHead,
        fields: impl FnOnce(&mut Fields<'_>),
        line: &mut String,
    ) {
        let level = head.level.as_str();
        match self {
            Self::Text => {
                append_time(head.since_epoch, line);
                let blanks = &LEVEL_BLANKS[level.len()..];
                push_all(line, &[" ", blanks, level, " ", head.target, ":"]);
            }
            Self::Json => {
                line.push_str("{\"timestamp\":\"");
                append_time(head.since_epoch, line);
                push_all(line, &["\",\"level\":\"", level, "\""]);
            }
            Self::Journal => {
                push_all(line, &["<", priority(head.level), ">", level, " ", head.target, ":"]);
            }
            Self::Terminal { has_colour } => {
                let LineHead { since_epoch, level, target } = *head;
                terminal::append_head(since_epoch, level, target, has_colour, line);
            }
        }
        let begun = line.len();
        let (syntax, terminal) = match self {
            Self::Text | Self::Journal => (Syntax::Text, None),
            Self::Json => (Syntax::Json, None),
            Self::Terminal { has_colour } => (Syntax::Text, Some(has_colour)),
        };
        fields(&mut Fields { syntax, terminal, line });
        match self {
            Self::Text | Self::Journal => line.push('\n'),
            Self::Terminal { has_colour } => {
                // A row of the access log is as it should be.
                if head.target != ACCESS {
                    terminal::simplify(line, begun, has_colour);
                }
                line.push('\n');
            }
            Self::Json => push_all(line, &[",\"target\":\"", head.target, "\"}\n"]),
        }
    }
}

thread_local! {
    /// The second of this thread's last line.
    static SECOND: Cell<Second> = const { Cell::new(Second::new()) };
}

/// Appends a time since 1970 in UTC, with six decimals of a second (RFC 3339).
fn append_time(since: Duration, line: &mut String) {
    // The thread may be ending: then it is printed once more.
    let mut second = SECOND.try_with(Cell::take).unwrap_or_default();
    let text = second.text(since, |since, text| {
        write(text, format_args!("{}", humantime::format_rfc3339_seconds(UNIX_EPOCH + since)));
    });
    line.push_str(text.trim_end_matches('Z'));
    let _thread_ends = SECOND.try_with(|kept| kept.set(second));
    line.push('.');
    // With a digit in front, so that the zeros behind it are there.
    line.push_str(&itoa::Buffer::new().format(1_000_000 + since.subsec_micros())[1..]);
    line.push('Z');
}

/// Writes the fields of one line in their order. The message comes first.
pub(super) struct Fields<'l> {
    syntax: Syntax,
    /// Whether the terminal that it is for shows colours. Names and values do not ask for it, which
    /// would take each exchange three hundred instructions.
    terminal: Option<bool>,
    line: &'l mut String,
}

/// What stands around names and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Text,
    Json,
}

/// What a field may hold. `None` is no field.
pub(super) trait LineValue {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>);
}

impl Fields<'_> {
    /// What the line is about.
    pub(super) fn message(&mut self, message: &str) {
        self.name(&MESSAGE_NAME);
        let quote = self.quote();
        push_all(self.line, &[quote, message, quote]);
    }

    /// A field with a name of ours.
    pub(super) fn field(&mut self, name: &'static Name, value: impl LineValue) {
        value.write(name, self);
    }

    /// The line and whether it shows colours, if it is for a terminal. For lines with a form of
    /// their own there.
    pub(super) fn of_terminal(&mut self) -> Option<(&mut String, bool)> {
        self.terminal.map(|has_colour| (&mut *self.line, has_colour))
    }

    fn name(&mut self, name: &Name) {
        self.line.push_str(match self.syntax {
            Syntax::Text => name.text,
            Syntax::Json => name.json,
        });
    }

    /// The name of a field of an event of `tracing`.
    fn name_of(&mut self, field: &Field) {
        match self.syntax {
            _ if field.name() == MESSAGE => self.name(&MESSAGE_NAME),
            Syntax::Text => push_all(self.line, &[" ", field.name(), "="]),
            Syntax::Json => push_all(self.line, &[",\"", field.name(), "\":"]),
        }
    }

    /// Stands around an address. Text does not quote it.
    fn quote(&self) -> &'static str {
        match self.syntax {
            Syntax::Text => "",
            Syntax::Json => "\"",
        }
    }

    fn number(&mut self, value: impl itoa::Integer) {
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn text(&mut self, value: &str) {
        self.line.push('"');
        escape(value, self.line);
        self.line.push('"');
    }

    fn flag(&mut self, value: bool) {
        self.line.push_str(if value { "true" } else { "false" });
    }
}

/// Name of the field that text shows without it.
const MESSAGE: &str = "message";
const MESSAGE_NAME: Name = Name { text: " ", json: ",\"message\":" };

impl<V: LineValue> LineValue for Option<V> {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        if let Some(value) = self {
            value.write(name, fields);
        }
    }
}

impl LineValue for &str {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        fields.text(self);
    }
}

impl LineValue for u16 {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        fields.number(self);
    }
}

impl LineValue for u64 {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        fields.number(self);
    }
}

impl LineValue for bool {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        fields.flag(self);
    }
}

/// A word that needs no escape, because it is one of ours.
pub(super) struct Word<'w>(pub(super) &'w str);

impl LineValue for Word<'_> {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        fields.line.push('"');
        fields.line.push_str(self.0);
        fields.line.push('"');
    }
}

/// Milliseconds, with three decimals.
impl LineValue for Duration {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        // 64 bits of microseconds are 500,000 years.
        let microseconds = self.as_micros() as u64;
        fields.name(name);
        fields.number(microseconds / 1000);
        fields.line.push('.');
        // With a digit in front, so that the zeros behind it are there.
        let decimals = 1000 + microseconds % 1000;
        fields.line.push_str(&itoa::Buffer::new().format(decimals)[1..]);
    }
}

/// As `fmt` prints it, which takes as long for one of IPv4 as for half the line. A port of 0 is not
/// known, and left out.
impl LineValue for SocketAddr {
    fn write(self, name: &'static Name, fields: &mut Fields<'_>) {
        fields.name(name);
        let quote = fields.quote();
        fields.line.push_str(quote);
        match self {
            _ if self.port() == 0 => write(fields.line, format_args!("{}", self.ip())),
            Self::V4(address) => {
                for (octet, behind) in address.ip().octets().into_iter().zip(['.', '.', '.', ':']) {
                    push_octet(fields.line, octet);
                    fields.line.push(behind);
                }
                fields.line.push_str(itoa::Buffer::new().format(address.port()));
            }
            Self::V6(address) => write(fields.line, format_args!("{address}")),
        }
        fields.line.push_str(quote);
    }
}

fn push_all(line: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| line.push_str(part));
}

fn push_octet(line: &mut String, octet: u8) {
    let mut push_digit = |digit: u8| line.push(char::from(b'0' + digit));
    if octet >= 100 {
        push_digit(octet / 100);
    }
    if octet >= 10 {
        push_digit(octet / 10 % 10);
    }
    push_digit(octet % 10);
}

/// The fields of an event of `tracing`.
impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name_of(field);
        self.text(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name_of(field);
        self.number(value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name_of(field);
        self.number(value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.name_of(field);
        self.number(value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name_of(field);
        self.flag(value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name_of(field);
        let start = self.line.len();
        write(&mut Escaping(self.line), format_args!("{value:?}"));
        // What text shows is one value to the eye, and to a program, if it has no blank.
        let is_plain = field.name() == MESSAGE || !self.line[start..].contains(' ');
        let quote = match self.syntax {
            Syntax::Text if is_plain => "",
            Syntax::Text | Syntax::Json => "\"",
        };
        self.line.insert_str(start, quote);
        self.line.push_str(quote);
    }
}

/// Writes to a string, which never fails; a value that fails to print is cut short.
fn write(to: &mut impl Write, what: fmt::Arguments<'_>) {
    let _cut_short = to.write_fmt(what);
}

struct Escaping<'l>(&'l mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

/// Appends `text` as it stands between the quotes of a JSON string (RFC 8259, section 7): no line
/// end, no quote and nothing that steers a terminal passes as it is.
fn escape(text: &str, line: &mut String) {
    // Nearly all of what is logged, and a sixth of a line's time if each character is looked up.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        line.push_str(text);
        return;
    }
    let needs_escape = |it: char| it.is_control() || it == '"' || it == '\\';
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        let (clean, odd) = rest.split_at(at);
        line.push_str(clean);
        let mut chars = odd.chars();
        match chars.next() {
            Some(it @ ('"' | '\\')) => line.extend(['\\', it]),
            Some(it) => write(line, format_args!("\\u{:04x}", u32::from(it))),
            None => {}
        }
        rest = chars.as_str();
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::super::field_name::name;
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    fn text(write: impl FnOnce(&mut Fields<'_>)) -> String {
        let mut line = String::new();
        write(&mut Fields { syntax: Syntax::Text, terminal: None, line: &mut line });
        line
    }

    #[test]
    fn addresses_are_printed_as_the_standard_library_prints_them() {
        for printed in
            ["0.0.0.0:1", "255.255.255.255:65535", "[2001:db8::1]:443", "[::ffff:1.2.3.4]:80"]
        {
            let address: SocketAddr = printed.parse().unwrap();
            assert_eq!(text(|line| line.field(name!("peer"), address)), format!(" peer={address}"));
        }
    }

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        for (nanoseconds, printed) in
            [(0, "0.000"), (1_999, "0.001"), (60_012_345_678, "60012.345")]
        {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(text(|line| line.field(name!("ms"), duration)), format!(" ms={printed}"));
        }
    }

    #[test]
    fn a_time_is_printed_as_humantime_prints_it_whichever_was_printed_before() {
        for microseconds in [0, 1, 999_999, 1_000_000, 1_795_532_653_000_042, 999_999] {
            let since = Duration::from_micros(microseconds);
            let mut line = String::new();
            append_time(since, &mut line);
            assert_eq!(line, humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string());
        }
    }

    #[test]
    fn a_thread_that_is_ending_has_the_time_all_the_same() {
        struct Last(mpsc::Sender<String>);
        impl Drop for Last {
            fn drop(&mut self) {
                let mut line = String::new();
                append_time(Duration::ZERO, &mut line);
                self.0.send(line).unwrap();
            }
        }
        thread_local! {
            static LAST: Cell<Option<Last>> = const { Cell::new(None) };
        }
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            // What is used first is dropped last.
            LAST.set(Some(Last(sender)));
            append_time(Duration::ZERO, &mut String::new());
        });
        thread.join().unwrap();
        assert_eq!(receiver.recv().unwrap(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_could_end_a_string_or_steer_a_terminal_is_escaped() {
        for (text, want) in [
            ("plain, and ünïcode", "plain, and ünïcode"),
            ("", ""),
            ("\"", "\\\""),
            ("a\\b", "a\\\\b"),
            ("line\r\nend", "line\\u000d\\u000aend"),
            ("\x1b[31mred\x7f\u{9b}", "\\u001b[31mred\\u007f\\u009b"),
        ] {
            let mut line = String::new();
            escape(text, &mut line);
            assert_eq!(line, want);
        }
    }
}
