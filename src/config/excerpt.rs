//! The line of a file that a message shows: [`Excerpt`].
//!
//! Possible secrets are masked, a long line is cut around the place, and the columns of the place
//! are counted as a terminal counts them: tabs, wide and combining characters included.

use super::problem::without_secrets;
use super::source::Text;
use crate::tls::secret::may_be_secret;
use std::ops::Range;
use unicode_width::UnicodeWidthChar;

/// Most columns of a line that are shown.
const COLUMNS_MAX: usize = 100;
/// Of these, the most before the place, in a line that is cut.
const COLUMNS_BEFORE_MAX: usize = 40;
const TAB_COLUMNS: usize = 4;
/// What is shown instead of a secret, and where a line is cut.
const CUT: char = '…';

/// Marks of a private key or a certificate. The lines between them are not shown.
const MARKS_OF_PEM: &[&str] = &["-----BEGIN", "-----END", "PRIVATE KEY", "BEGIN CERTIFICATE"];
/// Names of keys whose values are secrets, in any notation.
const SECRET_NAMES: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "api_key",
    "apikey",
    "api-key",
    "authorization",
    "key_env",
    "access_key",
    "master_key",
    "virtual_key",
];

/// A line as it is shown, and the place within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The line.
    pub(crate) line: String,
    /// Columns of the place, counted from 0; at least one.
    pub(crate) columns: Range<usize>,
}

impl Excerpt {
    /// The line of `place`. A place of several lines is shown up to the end of its first.
    pub(super) fn of(source: &Text, place: &Range<usize>) -> Self {
        let (start, line) = source.line(place.start);
        let within = |offset: usize| {
            let at = offset.saturating_sub(start).min(line.len());
            line.floor_char_boundary(at)
        };
        Self::in_line(line, within(place.start)..within(place.end), holds_pem(source))
    }

    fn in_line(line: &str, place: Range<usize>, holds_pem: bool) -> Self {
        let (line, place) = masked(line, place, holds_pem);
        Self::of_shown(&line, place)
    }

    /// A line without secrets.
    pub(crate) fn of_shown(line: &str, place: Range<usize>) -> Self {
        let before = cells(&line[..place.start], 0);
        let inside = cells(&line[place.clone()], width(&before));
        let first = before.len();
        let mut cells_of_line = before;
        cells_of_line.extend(inside);
        let last = cells_of_line.len();
        let after = cells(&line[place.end..], width(&cells_of_line));
        cells_of_line.extend(after);
        laid_out(&cells_of_line, first..last)
    }
}

/// An argument as it is shown.
pub(crate) fn shown(argument: &str) -> String {
    let secret = is_secret(argument) || MARKS_OF_PEM.iter().any(|mark| argument.contains(mark));
    let text = if secret { None } else { without_secrets(argument) };
    text.unwrap_or_else(|| CUT.to_string())
}

/// Whether a message may repeat `line`, which is one of the file's, as it is.
pub(super) fn may_be_shown(source: &Text, line: &str) -> bool {
    let is_plain = line.len() <= COLUMNS_MAX && !line.trim().contains(is_invisible);
    is_plain && !holds_pem(source) && !is_secret(line) && !line.contains(['@', '?'])
}

fn holds_pem(source: &Text) -> bool {
    MARKS_OF_PEM.iter().any(|mark| source.as_str().contains(mark))
}

fn is_secret(line: &str) -> bool {
    may_be_secret(line) || names_secret(line)
}

/// `line` without possible secrets, and the place in it. Whatever comes after the first `=` of a
/// line that may hold a secret is then the place.
fn masked(line: &str, place: Range<usize>, holds_pem: bool) -> (String, Range<usize>) {
    let assignment = line.find('=').map(|at| line.split_at(at + 1));
    let assignment = assignment.filter(|(key, _)| is_plain_key(key));
    let is_key = holds_pem || is_secret(line);
    let is_url = line.contains(['@', '?']);
    let (key, value) = assignment.unwrap_or(("", line));
    let shown = match (is_key, is_url) {
        (false, false) => return (line.to_owned(), place),
        (true, _) => CUT.to_string(),
        (false, true) => without_secrets(value.trim_start()).unwrap_or_else(|| CUT.to_string()),
    };
    if place.end < key.len() {
        return (format!("{key} {shown}"), place);
    }
    let key = if key.is_empty() { String::new() } else { format!("{key} ") };
    let place = key.len()..key.len() + shown.len();
    (key + &shown, place)
}

/// Whether the beginning of a line, up to its first `=`, is an ordinary key, and no base64.
fn is_plain_key(text: &str) -> bool {
    const KEY_CHARS_MAX: usize = 40;
    text.len() <= KEY_CHARS_MAX
        && text.chars().all(|it| it.is_ascii_lowercase() || " \t_-.=\"".contains(it))
}

/// Whether `line` gives a value to a key whose values are secrets, also inside of a table.
fn names_secret(line: &str) -> bool {
    let is_in_key = |it: char| it.is_ascii_alphanumeric() || "_-.".contains(it);
    let mut parts = line.split(['=', ':']);
    // Nothing is given to what is last.
    let _value = parts.next_back();
    parts.any(|part| {
        let part = part.trim_end_matches(['"', ' ', '\t']).to_ascii_lowercase();
        let key = part.rsplit(|it| !is_in_key(it)).next().unwrap_or_default();
        !key.ends_with("_file") && SECRET_NAMES.iter().any(|name| key.contains(name))
    })
}

/// One character as it is shown, and its columns.
type Cell = (char, usize);

/// `text`, beginning in `column`. What a terminal would act on is shown as U+FFFD.
fn cells(text: &str, mut column: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    for character in text.chars() {
        let from = cells.len();
        match character {
            '\t' => {
                let columns = TAB_COLUMNS - column % TAB_COLUMNS;
                cells.extend(std::iter::repeat_n((' ', 1), columns));
            }
            _ if is_invisible(character) => cells.push(('\u{fffd}', 1)),
            _ => cells.push((character, character.width().unwrap_or(1))),
        }
        column += width(&cells[from..]);
    }
    cells
}

/// Control characters, and the format characters that change directions or take no room.
pub(super) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

fn width(cells: &[Cell]) -> usize {
    cells.iter().map(|(_, columns)| columns).sum()
}

/// The line, cut around the cells of `place` if it is too long.
fn laid_out(cells: &[Cell], place: Range<usize>) -> Excerpt {
    let (mut from, mut to) = (0, cells.len());
    if width(cells) > COLUMNS_MAX {
        from = place.start;
        while from > 0 && width(&cells[from - 1..place.start]) <= COLUMNS_BEFORE_MAX {
            from -= 1;
        }
        to = from;
        while to < cells.len() && width(&cells[from..=to]) <= COLUMNS_MAX {
            to += 1;
        }
    }
    let begin: &[Cell] = if from > 0 { &[(CUT, 1)] } else { &[] };
    let end: &[Cell] = if to < cells.len() { &[(CUT, 1)] } else { &[] };
    let (start, last) = (place.start.clamp(from, to), place.end.clamp(from, to));
    let column = width(begin) + width(&cells[from..start]);
    let columns = width(&cells[start..last]).max(1);
    let shown = [begin, &cells[from..to], end].concat();
    let line: String = shown.iter().map(|(character, _)| character).collect();
    Excerpt { line: line.trim_end().to_owned(), columns: column..column + columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_counted_in_columns() {
        check("a = \"x\"", "\"x\"", "a = \"x\"", 4..7);
        check("\ta = \"x\"", "\"x\"", "    a = \"x\"", 8..11);
        check("ab\ta = 1", "1", "ab  a = 1", 8..9);
        check("密钥 = \"x\"", "\"x\"", "密钥 = \"x\"", 7..10);
        check("a = \"密钥\"", "\"密钥\"", "a = \"密钥\"", 4..10);
        check("e\u{301} = \"x\"", "\"x\"", "e\u{301} = \"x\"", 4..7);
        check("a\u{200b} = 1", "1", "a\u{fffd} = 1", 5..6);
        check("a\u{202e} = 1", "a\u{202e}", "a\u{fffd} = 1", 0..2);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = "x".repeat(300);
        let shown = excerpt(&format!("{long}HERE{long}"), "HERE");
        assert_eq!(shown.line.chars().count(), COLUMNS_MAX + 2);
        assert_eq!(shown.columns, 41..45);
        assert_eq!(&shown.line["…".len()..][40..44], "HERE");
        let shown = excerpt(&format!("HERE{long}"), "HERE");
        assert!(shown.line.starts_with("HERE") && shown.line.ends_with('…'));
        let shown = excerpt(&format!("{long}HERE"), "HERE");
        assert!(shown.line.starts_with('…') && shown.line.ends_with("HERE"));
        // A place that is itself too long is marked as far as it is shown.
        assert_eq!(excerpt(&long, &long).columns, 0..COLUMNS_MAX);
    }

    #[test]
    fn possible_secrets_are_masked() {
        let url = "upstream = \"https://user:pa55@h/\"";
        check(url, "\"https://user:pa55@h/\"", "upstream = \"https://…@h/\"", 11..25);
        check(url, "upstream", "upstream = \"https://…@h/\"", 0..8);
        check("a = \"http://h/?key=1\"", "\"http://h/?key=1\"", "a = \"http://h/?…", 4..16);
        check("token = \"abcdef\"", "\"abcdef\"", "token = …", 8..9);
        check("Api_Key: abcdef", "abcdef", "…", 0..1);
        let key = "key = \"sk-proj-0123456789abcdef\"";
        check(key, "\"sk-proj-0123456789abcdef\"", "key = …", 6..7);
        check("path = \"/task-tokens/\"", "path", "path = \"/task-tokens/\"", 0..4);
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2";
        check(line, line, "…", 0..1);
        check(&format!("{line}=="), line, "…", 0..1);
        check(&format!("key = \"{line}\""), "key", "key = …", 0..3);
    }

    #[test]
    fn no_line_of_a_file_that_holds_a_key_shows_a_value() {
        let text = "a = '''\n-----BEGIN PRIVATE KEY-----\nQkJC\n'''\nkey = 1";
        let source = Text::new(text.into());
        let shown = |part: &str| {
            let at = text.find(part).unwrap();
            Excerpt::of(&source, &(at..at + part.len())).line
        };
        assert_eq!((shown("QkJC"), shown("1")), ("…".to_owned(), "key = …".to_owned()));
    }

    #[track_caller]
    fn check(line: &str, part: &str, shown: &str, columns: Range<usize>) {
        assert_eq!(excerpt(line, part), Excerpt { line: shown.to_owned(), columns });
    }

    #[track_caller]
    fn excerpt(line: &str, part: &str) -> Excerpt {
        let at = line.find(part).unwrap();
        Excerpt::of(&Text::new(line.into()), &(at..at + part.len()))
    }
}
