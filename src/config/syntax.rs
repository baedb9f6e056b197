//! Why a text is not TOML, in the words of who wrote it: [`faults`].
//!
//! The parser says what it expected; a person wants to know what to write. So the line of an error
//! is compared with the mistakes that people make, and the parser's words are the last resort.

use super::excerpt::may_be_shown;
use super::foreign_format::recognized;
use super::lookalike::Lookalike;
use super::problem::also_in;
use super::source::Text;
use super::toml_value;
use std::ops::Range;
use toml::de::Error;

/// Most faults that are reported. The parser continues after the first one, but what it finds then
/// is often a consequence of it.
const FAULTS_MAX: usize = 3;
/// Most errors of the parser that are compared with mistakes.
const ERRORS_MAX: usize = 32;

/// What is wrong with the syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where.
    pub(super) place: Range<usize>,
    /// What is wrong.
    pub(super) what: String,
    /// What to write instead.
    pub(super) help: Vec<String>,
}

/// What is wrong with a text that the parser refused with these errors.
pub(super) fn faults(source: &Text, errors: &[Error]) -> Vec<Fault> {
    let text = source.as_str();
    if let Some(it) = recognized(text) {
        let help = it.help.iter().map(|&help| help.to_owned()).collect();
        return vec![Fault { place: it.place, what: it.what.to_owned(), help }];
    }
    if text.contains('\r') && !text.contains('\n') {
        let what = "the lines of this file end in CR alone".to_owned();
        let help = vec!["save it with line ends of LF or CRLF".to_owned()];
        return vec![Fault { place: 0..0, what, help }];
    }
    let lookalikes: Vec<_> = lookalikes(text).take(FAULTS_MAX).collect();
    if !lookalikes.is_empty() {
        return lookalikes;
    }
    let mut faults: Vec<Fault> = Vec::new();
    for error in errors.iter().take(ERRORS_MAX) {
        let place = error.span().unwrap_or_default();
        let line = source.line_number(place.start);
        if !faults.iter().any(|it| source.line_number(it.place.start) == line) {
            let fault = fault(source, error.message(), place);
            let at = faults.partition_point(|it| it.place.start <= fault.place.start);
            faults.insert(at, fault);
        }
    }
    // What comes after a second header was meant for another table.
    let header = faults.iter().position(|it| source.line(it.place.start).1.starts_with('['));
    faults.truncate(header.map_or(FAULTS_MAX, |at| (at + 1).min(FAULTS_MAX)));
    faults
}

/// The first lookalike of each line that is not in a string or a comment.
fn lookalikes(text: &str) -> impl Iterator<Item = Fault> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let from = start;
        start += line.len();
        let (at, found) = lookalike_outside_strings(line)?;
        let place = from + at..from + at + found.character.len_utf8();
        Some(Fault { place, what: found.what(), help: Vec::new() })
    })
}

fn lookalike_outside_strings(line: &str) -> Option<(usize, Lookalike)> {
    let mut quote = None;
    let mut in_string = None;
    for (at, character) in line.char_indices() {
        let lookalike = Lookalike::of(character).map(|it| (at, it));
        match quote {
            None if character == '#' => return None,
            None if character == '"' || character == '\'' => quote = Some(character),
            None if lookalike.is_some() => {
                return lookalike.map(|(at, it)| (at, it.outside_strings()));
            }
            None => {}
            Some(open) if character == open => (quote, in_string) = (None, None),
            Some(_) => in_string = in_string.or(lookalike),
        }
    }
    // A string that does not end: its end may be the lookalike.
    in_string
}

/// A mistake found in a line.
struct Finding {
    /// Where in the line.
    place: Range<usize>,
    what: String,
    /// What to write, if the line may be shown.
    rewrite: Option<String>,
    /// What to write in general.
    help: &'static str,
}

fn fault(source: &Text, message: &str, place: Range<usize>) -> Fault {
    if message.starts_with("duplicate key") {
        return duplicate(source, place);
    }
    let (start, line) = source.line(place.start);
    let within = place.start - start..(place.end - start).min(line.len()).max(place.start - start);
    let finding = in_line(line).or_else(|| element(line, message, &within));
    match finding {
        Some(finding) => {
            let rewrite = finding.rewrite.filter(|_| may_be_shown(source, line));
            let help = rewrite.map_or_else(|| finding.help.to_owned(), |it| format!("write {it}"));
            let place = start + finding.place.start..start + finding.place.end.max(1);
            Fault { place, what: finding.what, help: vec![help] }
        }
        None => {
            let what = format!("this is not TOML: {}", message.replace('\n', ", "));
            Fault { place: place.start..place.end.max(place.start + 1), what, help: Vec::new() }
        }
    }
}

/// A key or a table that is there twice.
fn duplicate(source: &Text, place: Range<usize>) -> Fault {
    let (start, line) = source.line(place.start);
    let name = &source.as_str()[place.clone()];
    let before = source.as_str()[..start].lines().map(str::trim).enumerate();
    if line.trim_start().starts_with('[') {
        let same = |it: &str| it.starts_with('[') && it.trim_matches(['[', ']', ' ']) == name;
        let first = before.into_iter().find(|(_, it)| same(it)).map(|(at, _)| at + 1);
        let help = match list_header(name) {
            Some(header) => format!("write {header}, with double brackets, for each of them"),
            None => "write all of its keys below one header".to_owned(),
        };
        let what = format!("there is a second table of this name{}", also_in(first));
        return Fault { place, what, help: vec![help] };
    }
    let (mut first, mut table) = (None, "");
    for (at, it) in before {
        if it.starts_with('[') {
            (first, table) = (None, it.trim_matches(['[', ']', ' ']));
        } else if it.split_once('=').is_some_and(|(key, _)| key.trim() == name) {
            first = first.or(Some(at + 1));
        }
    }
    let what = format!("this key is set twice{}", also_in(first));
    let another = list_header(table).map_or_else(String::new, |header| {
        format!("; a second {table} begins with its own {header}")
    });
    Fault { place, what, help: vec![format!("delete one of them{another}")] }
}

/// The header of a table that there may be several of.
fn list_header(table: &str) -> Option<String> {
    Some(toml_value::header(table)).filter(|it| it.starts_with("[["))
}

/// The mistake that shows in `line` alone.
fn in_line(line: &str) -> Option<Finding> {
    let text = line.trim();
    let at = line.find(text)?;
    let whole = at..at + text.len();
    if text.starts_with("//") || text.starts_with(';') || text.starts_with("/*") {
        let what = "a comment begins with \"#\"".to_owned();
        return Some(Finding { place: at..at + 1, what, rewrite: None, help: "write # before it" });
    }
    if text.starts_with('[') {
        return header(text, whole);
    }
    match text.split_once('=') {
        Some((key, value)) if is_key(key.trim()) => {
            let place = whole.end - value.trim_start().len()..whole.end;
            assignment(key.trim(), value.trim(), place)
        }
        Some(_) | None => without_equals(text, whole),
    }
}

fn is_key(text: &str) -> bool {
    let in_key = |it: u8| it.is_ascii_alphanumeric() || b"_-.".contains(&it);
    !text.is_empty() && text.bytes().all(in_key)
}

/// A header that is not closed, or not alone.
fn header(text: &str, place: Range<usize>) -> Option<Finding> {
    let name_end = text.find(']').unwrap_or(text.len());
    let name = text[..name_end].trim_matches(['[', ' ', '\t']);
    if !is_key(name) {
        return None;
    }
    let (open, close) = if text.starts_with("[[") { ("[[", "]]") } else { ("[", "]") };
    let rest = text[name_end..].strip_prefix(close);
    let header = format!("{open}{name}{close}");
    match rest.map(str::trim_start) {
        None => Some(Finding {
            place,
            what: "the header of this table is not closed".to_owned(),
            rewrite: Some(header),
            help: "close the bracket",
        }),
        Some("") => None,
        Some(rest) if rest.starts_with(']') => Some(Finding {
            place,
            what: "there are more closing brackets than opening ones".to_owned(),
            rewrite: Some(format!("[[{name}]]")),
            help: "write as many of both",
        }),
        Some(rest) => Some(Finding {
            place: place.end - rest.len()..place.end,
            what: "there is more in the line of the header".to_owned(),
            rewrite: None,
            help: "begin a new line after the header",
        }),
    }
}

/// `key = value`, where the value is wrong.
fn assignment(key: &str, value: &str, place: Range<usize>) -> Option<Finding> {
    let Some(quote) = value.chars().next() else {
        return Some(Finding {
            place: place.start.saturating_sub(1)..place.end,
            what: "the value is missing".to_owned(),
            rewrite: None,
            help: "write a value after the \"=\", or delete the line",
        });
    };
    let (what, rewrite, help) = match quote {
        '"' | '\'' => return string(key, value, quote, place),
        '[' | '{' | '=' => return None,
        _ => {
            let bare = value.split(" #").next().unwrap_or(value).trim_end_matches([';', ',', ' ']);
            if let Some(value) = boolean(bare) {
                ("this is not a value of TOML", format!("{key} = {value}"), "write true or false")
            } else if bare.parse::<i64>().is_ok() {
                ("this is not a value of TOML", format!("{key} = {bare}"), "write the value alone")
            } else if is_like_a_date(bare) {
                return Some(Finding {
                    place: place.start..place.start + bare.len(),
                    what: "this is not a date".to_owned(),
                    rewrite: None,
                    help: "write a day that there is, as in 2027-01-31 or 2027-01-31T12:00:00Z",
                });
            } else {
                let value = bare.replace('"', "");
                let place = place.start..place.start + bare.len();
                return Some(Finding {
                    place,
                    what: "the value is not in quotes".to_owned(),
                    rewrite: Some(format!("{key} = \"{value}\"")),
                    help: "put quotes around it",
                });
            }
        }
    };
    Some(Finding { place, what: what.to_owned(), rewrite: Some(rewrite), help })
}

/// `true` or `false`, as other languages write it.
fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Whether a text begins with a year and a month, as a date does.
fn is_like_a_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut is_number = |digits| {
        parts.next().is_some_and(|it| {
            (1..=digits).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    is_number(4) && is_number(2) && parts.next().is_some()
}

/// `key = "…`, where the string is wrong.
fn string(key: &str, value: &str, quote: char, place: Range<usize>) -> Option<Finding> {
    let inner = &value[1..];
    if inner.starts_with(quote) {
        return None;
    }
    let Some(end) = inner.find(quote) else {
        let inner = inner.trim_end_matches([';', ',', ' ', '\'', '"']);
        return Some(Finding {
            place,
            what: "the string is not closed".to_owned(),
            rewrite: Some(format!("{key} = \"{inner}\"")),
            help: "write the closing quotation mark",
        });
    };
    let (content, rest) = (&inner[..end], inner[end + 1..].trim_start());
    if quote == '"' && content.contains('\\') {
        return Some(Finding {
            place,
            what: "a backslash in \"…\" begins an escape sequence".to_owned(),
            rewrite: Some(format!("{key} = '{content}'")),
            help: "use single quotes",
        });
    }
    let place = place.end - rest.len()..place.end;
    match rest.chars().next()? {
        '#' => None,
        mark @ (';' | ',') => Some(Finding {
            place: place.start..place.start + 1,
            what: format!("a line of TOML has no \"{mark}\" at its end"),
            rewrite: None,
            help: "delete it",
        }),
        _ => Some(Finding {
            place,
            what: "there is more after the string".to_owned(),
            rewrite: None,
            help: "one key has one value; a list is written [\"a\", \"b\"]",
        }),
    }
}

/// A line with a key and no `=`.
fn without_equals(text: &str, place: Range<usize>) -> Option<Finding> {
    let (key, value) = text.split_once([':', ' ', '\t']).unwrap_or((text, ""));
    if !is_key(key) {
        return None;
    }
    let value = value.trim_matches([' ', '\t', ';', ',', '"', '\'', '=']);
    let what = match (value, text[key.len()..].trim_start().chars().next()) {
        ("", _) => "this is a key without a value",
        (_, Some(':')) => "a key and its value are joined by \"=\", not by \":\"",
        (_, _) => "there is no \"=\" between the key and its value",
    };
    let is_number = value.parse::<i64>().is_ok();
    let value = if is_number { value.to_owned() } else { format!("\"{value}\"") };
    let rewrite = format!("{key} = {value}");
    Some(Finding {
        place,
        what: what.to_owned(),
        rewrite: Some(rewrite),
        help: "write key = \"value\"",
    })
}

/// An item of a list that is not in quotes.
fn element(line: &str, message: &str, within: &Range<usize>) -> Option<Finding> {
    if !message.starts_with("string values must be quoted") && !message.starts_with("invalid ") {
        return None;
    }
    let ends = |it: char| it.is_whitespace() || "[],\"'".contains(it);
    let from = line.get(..within.start)?.rfind(ends).map_or(0, |at| at + 1);
    let to = line.get(within.start..)?.find(ends).map_or(line.len(), |at| within.start + at);
    let item = line.get(from..to).filter(|item| !item.is_empty())?;
    Some(Finding {
        place: from..to,
        what: "the value is not in quotes".to_owned(),
        rewrite: Some(format!("\"{item}\"")),
        help: "put quotes around it",
    })
}
