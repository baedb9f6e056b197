//! Lines for people at a terminal: their beginning, and their colours. The rows of the access log
//! are in `row`.

use super::targets::ACCESS;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::Level;

/// Colours of a terminal (ECMA-48, SGR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Paint {
    /// Appends `text` in this colour.
    pub(super) fn append(self, text: &str, has_colour: bool, line: &mut String) {
        let code = match self {
            Self::Plain => None,
            Self::Dim => Some("\x1b[2m"),
            Self::Green => Some("\x1b[32m"),
            Self::Yellow => Some("\x1b[33m"),
            Self::Red => Some("\x1b[31m"),
        };
        match code.filter(|_| has_colour) {
            Some(code) => line.extend([code, text, "\x1b[0m"]),
            None => line.push_str(text),
        }
    }
}

/// Columns of the time that every line begins with: `21:03:15Z`.
pub(super) const TIME_COLUMNS: usize = 9;
/// Appends the time, in UTC, and for lines that are not of the access log the level.
pub(super) fn append_head(
    at: SystemTime,
    level: Level,
    target: &str,
    has_colour: bool,
    line: &mut String,
) {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Paint::Dim.append(&format!("{hours:02}:{minutes:02}:{seconds:02}Z"), has_colour, line);
    if target != ACCESS {
        let (level, paint) = match level {
            Level::ERROR => ("error", Paint::Red),
            Level::WARN => ("warn ", Paint::Yellow),
            Level::INFO => ("info ", Paint::Green),
            Level::DEBUG => ("debug", Paint::Dim),
            Level::TRACE => ("trace", Paint::Dim),
        };
        line.push(' ');
        paint.append(level, has_colour, line);
    }
}
