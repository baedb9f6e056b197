//! One event as one line of the log: text for people, JSON for programs.
//!
//! A few hundred bytes for each exchange, and the largest cost of a small one beside TLS and the
//! kernel. So a line is written straight into the buffer that it leaves from, and text and JSON
//! differ in their punctuation alone.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::SystemTime;
use tracing::Event;
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
}

impl LogFormat {
    /// Appends `event`, with its line end. `at` is printed in UTC (RFC 3339).
    pub(super) fn append(self, event: &Event<'_>, at: SystemTime, line: &mut String) {
        let (level, target) = (event.metadata().level().as_str(), event.metadata().target());
        let at = humantime::format_rfc3339_micros(at);
        match self {
            Self::Text => write(line, format_args!("{at} {level:>5} {target}:")),
            Self::Json => write(line, format_args!(r#"{{"timestamp":"{at}","level":"{level}""#)),
        }
        event.record(&mut Fields { format: self, line });
        match self {
            Self::Text => line.push('\n'),
            Self::Json => write(line, format_args!(",\"target\":\"{target}\"}}\n")),
        }
    }
}

/// An address as it is printed anyway. `fmt` takes as long for one of IPv4 as for half the line.
pub(super) struct Address(pub(super) SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SocketAddr::V4(address) = self.0 else { return self.0.fmt(to) };
        // In one piece: each is looked through for what needs an escape.
        let mut text = [0; b"255.255.255.255:65535".len()];
        let mut len = 0;
        let mut push = |part: &str| {
            text[len..len + part.len()].copy_from_slice(part.as_bytes());
            len += part.len();
        };
        for (octet, behind) in address.ip().octets().into_iter().zip([".", ".", ".", ":"]) {
            push(itoa::Buffer::new().format(octet));
            push(behind);
        }
        push(itoa::Buffer::new().format(address.port()));
        to.write_str(str::from_utf8(&text[..len]).unwrap_or_default())
    }
}

/// Writes the fields of one event in their order. The message comes first.
struct Fields<'l> {
    format: LogFormat,
    line: &'l mut String,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        match self.format {
            LogFormat::Text if field.name() == "message" => self.line.push(' '),
            LogFormat::Text => {
                self.line.push(' ');
                self.line.push_str(field.name());
                self.line.push('=');
            }
            LogFormat::Json => {
                self.line.push_str(",\"");
                self.line.push_str(field.name());
                self.line.push_str("\":");
            }
        }
    }

    fn number(&mut self, field: &Field, value: impl itoa::Integer) {
        self.name(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.line.push('"');
        escape(value, self.line);
        self.line.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    /// With three decimals: durations are microseconds, printed as milliseconds. None of ours is
    /// negative, or too long for 64 bits.
    fn record_f64(&mut self, field: &Field, value: f64) {
        let thousandths = (value * 1000.0).round() as u64;
        self.number(field, thousandths / 1000);
        self.line.push('.');
        // With a digit in front, so that the zeros behind it are there.
        let decimals = 1000 + thousandths % 1000;
        self.line.push_str(&itoa::Buffer::new().format(decimals)[1..]);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.line.push_str(if value { "true" } else { "false" });
    }

    /// What has a type of its own: the message, addresses, errors. Text shows it unquoted.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let quote = match self.format {
            LogFormat::Text => "",
            LogFormat::Json => "\"",
        };
        self.name(field);
        self.line.push_str(quote);
        write(&mut Escaping(self.line), format_args!("{value:?}"));
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
    use super::*;

    #[test]
    fn addresses_are_printed_as_the_standard_library_prints_them() {
        for text in
            ["0.0.0.0:0", "255.255.255.255:65535", "[2001:db8::1]:443", "[::ffff:1.2.3.4]:80"]
        {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address(address).to_string(), address.to_string());
        }
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
