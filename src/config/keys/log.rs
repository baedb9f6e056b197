//! `log`: what is logged, and how.

use crate::config::key::Default::Literal;
use crate::config::key::Read::With;
use crate::config::key::{Key, row};
use crate::config::problem::{nearest, quoted};
use crate::config::value::{Invalid, Value};
use crate::telemetry::{LogFormat, LogSettings};
use std::str::FromStr;
use tracing::Level;

pub(super) const KEYS: &[Key<LogSettings>] = &[
    Key::new(
        "level",
        With(|it, entry| {
            if let Some(LogLevel(level)) = entry.value() {
                it.level = level;
            }
        }),
        Literal("\"info\""),
        row(
            "Which lines are written: this level and what is worse, see [the log](#the-log).",
            "`\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"`, `\"trace\"`",
        ),
    ),
    Key::new(
        "format",
        With(|it, entry| {
            if let Some(LogForm(format)) = entry.value() {
                it.format = format;
            }
        }),
        Literal("\"auto\""),
        row(
            "How lines [look](operations.md#the-log): as fits stderr (short and coloured on a \
             terminal, with priorities for journald, else text), text, or JSON.",
            "`\"auto\"`, `\"text\"`, `\"json\"`",
        ),
    ),
];

/// A level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(pub Level);

impl LogLevel {
    /// Its names.
    pub const NAMES: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
}

impl Value for LogLevel {
    const ALLOWED: &'static str =
        "\"error\", \"warn\", \"info\", \"debug\" and \"trace\" are allowed";
}

impl FromStr for LogLevel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let level = Level::from_str(text).ok().filter(|_| Self::NAMES.contains(&text));
        level.map(Self).ok_or_else(|| {
            let lower = text.to_ascii_lowercase();
            let meant = match &*lower {
                "warning" => Some("warn"),
                "fatal" | "critical" => Some("error"),
                "notice" => Some("info"),
                other => nearest(other, Self::NAMES),
            };
            let what = format!("{} is not a level of the log", quoted(text));
            Invalid { what, meant: meant.map(str::to_owned) }
        })
    }
}

/// A format of the log; `None`: the one that fits stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogForm(pub Option<LogFormat>);

impl LogForm {
    /// Its names.
    pub const NAMES: [&str; 3] = ["auto", "text", "json"];
}

impl Value for LogForm {
    const ALLOWED: &'static str = "\"auto\", \"text\" and \"json\" are allowed";
}

impl FromStr for LogForm {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self(None)),
            "text" => Ok(Self(Some(LogFormat::Text))),
            "json" => Ok(Self(Some(LogFormat::Json))),
            _ => Err(Invalid {
                what: format!("{} is not a format of the log", quoted(text)),
                meant: nearest(text, Self::NAMES).map(str::to_owned),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};
    use crate::telemetry::{LogFormat, LogSettings};
    use tracing::Level;

    #[test]
    fn level_and_format_are_read_from_an_inline_table_or_a_table() {
        let debug = LogSettings { level: Level::DEBUG, format: Some(LogFormat::Json) };
        let inline = format!("log = {{ level = \"debug\", format = \"json\" }}\n{MINIMAL}");
        assert_eq!(read(&inline).unwrap().log, debug);
        let table = format!("{MINIMAL}\n[log]\nlevel = \"debug\"\nformat = \"json\"\n");
        assert_eq!(read(&table).unwrap().log, debug);
        assert_eq!(read(MINIMAL).unwrap().log, LogSettings::default());
    }

    #[test]
    fn other_words_are_refused_with_the_nearest() {
        let with = |line: &str| format!("{MINIMAL}\n[log]\n{line}\n");
        refuse(&with("level = \"warning\""), "log.level: \"warning\" is not a level of the log");
        refuse(&with("level = \"warning\""), "did you mean \"warn\"?");
        refuse(&with("level = \"INFO\""), "did you mean \"info\"?");
        refuse(&with("level = \"1\""), "\"error\", \"warn\", \"info\", \"debug\" and \"trace\"");
        refuse(&with("format = \"jsn\""), "did you mean \"json\"?");
        refuse(&with("format = \"terminal\""), "\"auto\", \"text\" and \"json\" are allowed");
        refuse(
            &format!("log = \"debug\"\n{MINIMAL}"),
            "log: this is a string, and a table is needed",
        );
    }
}
