//! Lines for people at a terminal: their beginning, their fields, and their colours. The rows of
//! the access log are in `row`.

use super::targets::ACCESS;
use std::time::Duration;
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
    since_epoch: Duration,
    level: Level,
    target: &str,
    has_colour: bool,
    line: &mut String,
) {
    let seconds = since_epoch.as_secs();
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

/// Makes the fields of a line of text, from `begun` on, easier to read: names are dim, and a value
/// that is one word has no quotes.
pub(super) fn simplify(line: &mut String, begun: usize, has_colour: bool) {
    let text = line.split_off(begun);
    let mut rest = text.as_str();
    while let Some((before, name, value, after)) = next_field(rest) {
        line.extend([before, " "]);
        Paint::Dim.append(name, has_colour, line);
        let bare = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        line.extend(["=", bare.filter(|it| is_one_word(it)).unwrap_or(value)]);
        rest = after;
    }
    line.push_str(rest);
}

/// What is before the next ` name=value`, its name, its value, and what is after it.
fn next_field(text: &str) -> Option<(&str, &str, &str, &str)> {
    let is_name = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    let (before, name, rest) = text.match_indices(' ').find_map(|(blank, _)| {
        let (before, field) = (&text[..blank], &text[blank + 1..]);
        let length = field.bytes().take_while(is_name).count();
        let rest = field[length..].strip_prefix('=').filter(|_| length > 0)?;
        Some((before, &field[..length], rest))
    })?;
    let (value, after) = rest.split_at(value_length(rest));
    Some((before, name, value, after))
}

/// Of a string to its closing quote, or of a word to the next blank.
fn value_length(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('"') else {
        return text.find(' ').unwrap_or(text.len());
    };
    let mut is_escaped = false;
    let end = inside.find(|it| {
        let ends = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |at| at + 2)
}

/// What a person reads as one value without quotes.
fn is_one_word(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !value.is_empty() && value.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lose_the_quotes_of_one_word_and_keep_everything_else() {
        for (text, want) in [
            (" ready addresses=\"http://h:1\"", " ready addresses=http://h:1"),
            (" a b=\"two words\" c=\"\" d=5", " a b=\"two words\" c=\"\" d=5"),
            (" a b=\"x \\\" c=\\\\\" d=\"y\"", " a b=\"x \\\" c=\\\\\" d=y"),
            (" limits.connections = 5: raise it n=1", " limits.connections = 5: raise it n=1"),
            (" a b=\"never closed", " a b=\"never closed"),
            (" é =x A=\"b\"", " é =x A=\"b\""),
            ("", ""),
        ] {
            let mut line = "head".to_owned() + text;
            simplify(&mut line, 4, false);
            assert_eq!(line, format!("head{want}"));
        }
        let mut line = " m name=\"v\"".to_owned();
        simplify(&mut line, 0, true);
        assert_eq!(line, " m \x1b[2mname\x1b[0m=v");
    }
}
