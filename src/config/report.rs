//! Problems as a person reads them: [`report`], in the form that compilers use.
//!
//! ```text
//! error: listener.address: "127.0.0.1:808080" is not an address to listen on
//!  --> narrows.toml:8:11
//!   |
//! 8 | address = "127.0.0.1:808080"
//!   |           ^^^^^^^^^^^^^^^^^^
//!   |
//!   = help: IP:port, ":443" (every address) and "localhost:8080" are allowed
//!
//! 1 problem in narrows.toml
//! ```
//!
//! Not here: the form of one line, for the log (`problem`).

use super::excerpt::Excerpt;
use super::problem::{Location, Problem, Problems};
use crate::telemetry::has_colour;
use std::fmt::Write;
use std::io::{self, IsTerminal};

/// Most problems that are shown. What comes after so many is hardly read.
const SHOWN_MAX: usize = 100;

/// How serious a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs until it is repaired.
    Error,
    /// It works, and is probably not meant.
    Warning,
}

impl Severity {
    fn colour(self) -> &'static str {
        match self {
            Self::Error => RED,
            Self::Warning => YELLOW,
        }
    }
}

/// Whether a report has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// For people at a terminal.
    On,
    /// For files, pipes and people who want none.
    Off,
}

impl Colours {
    /// What fits stderr: colours on a terminal, as the log's lines have them.
    pub fn of_stderr() -> Self {
        Self::of(&io::stderr())
    }

    /// What fits `stream`, by the same rules.
    pub fn of(stream: &impl IsTerminal) -> Self {
        if has_colour(stream) { Self::On } else { Self::Off }
    }

    /// `text` in the colour with this number, or as it is.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::On if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::On | Self::Off => text.to_owned(),
        }
    }
}

/// Bold; bold red; bold yellow; bold blue; bold cyan.
const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";

/// All problems, in the order of their lines, and how many there are.
pub fn report(problems: &Problems, colours: Colours) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(SHOWN_MAX) {
        text += &explained(problem, Severity::Error, colours);
        text.push('\n');
    }
    let Some(first) = problems.iter().next() else { return text };
    let place = match &first.location {
        Location::File { source, .. } => source.name(),
        Location::Argument(_) => "the arguments",
    };
    let count = match problems.iter().len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let shown = match problems.iter().len() {
        ..=SHOWN_MAX => String::new(),
        _ => format!("; the first {SHOWN_MAX} are shown"),
    };
    text += &colours.paint(BOLD, &format!("{count} in {place}{shown}"));
    text.push('\n');
    text
}

/// One problem: what is wrong, where, and what helps.
pub fn explained(problem: &Problem, severity: Severity, colours: Colours) -> String {
    let word = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let name = problem.location.name();
    let colon = if name.is_empty() { "" } else { ": " };
    let what = colours.paint(BOLD, &format!(": {name}{colon}{}", problem.what));
    let mut text = format!("{}{what}\n", colours.paint(severity.colour(), word));
    let mut indent = String::new();
    if let Location::File { source, line, place, .. } = &problem.location {
        let line = line.to_string();
        indent = " ".repeat(line.len());
        let arrow = colours.paint(BLUE, "-->");
        let _ = write!(text, "{indent}{arrow} {}:{line}", source.name());
        if let Some(file) = source.text() {
            let place = place.start as usize..place.end as usize;
            let _ = writeln!(text, ":{}", file.column(place.start));
            if !place.is_empty() {
                text += &quotation(&Excerpt::of(&file, &place), &line, severity, colours);
            }
        } else {
            text.push('\n');
        }
    }
    text + &advice(
        &problem.help,
        &indent,
        matches!(problem.location, Location::File { .. }),
        colours,
    )
}

/// The first line of an error.
pub(crate) fn title(what: &str, colours: Colours) -> String {
    format!("{}{}\n", colours.paint(RED, "error"), colours.paint(BOLD, &format!(": {what}")))
}

/// The line and the carets under it.
pub(crate) fn quotation(
    excerpt: &Excerpt,
    number: &str,
    severity: Severity,
    colours: Colours,
) -> String {
    let indent = " ".repeat(number.len());
    let bar = colours.paint(BLUE, "|");
    let number = colours.paint(BLUE, number);
    let before = " ".repeat(excerpt.columns.start);
    let carets = colours.paint(severity.colour(), &"^".repeat(excerpt.columns.len()));
    let blank = if excerpt.line.is_empty() { "" } else { " " };
    let Excerpt { line, .. } = excerpt;
    format!("{indent} {bar}\n{number} {bar}{blank}{line}\n{indent} {bar} {before}{carets}\n")
}

/// What helps, one line each; `follows` a line with carets, or the name of a file.
pub(crate) fn advice(help: &[String], indent: &str, follows: bool, colours: Colours) -> String {
    let mut text = String::new();
    if follows && !help.is_empty() {
        let _ = writeln!(text, "{indent} {}", colours.paint(BLUE, "|"));
    }
    for help in help {
        let mark = colours.paint(BLUE, "=");
        let word = colours.paint(CYAN, "help");
        let _ = writeln!(text, "{indent} {mark} {word}: {help}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;
    use std::sync::Arc;

    #[test]
    fn a_problem_shows_its_line_and_what_helps() {
        let want = "\
error: a.b: \"y\" is wrong
  --> f:10:5
   |
10 | b = \"y\"
   |     ^^^
   |
   = help: write \"x\"
   = help: or \"z\"

1 problem in f
";
        assert_eq!(report(&problems(1), Colours::Off), want);
    }

    #[test]
    fn the_number_of_problems_is_the_last_line_and_not_all_of_many_are_shown() {
        assert!(report(&problems(3), Colours::Off).ends_with("\n\n3 problems in f\n"));
        let many = report(&problems(SHOWN_MAX + 1), Colours::Off);
        assert!(many.ends_with("\n\n101 problems in f; the first 100 are shown\n"));
        assert_eq!(many.matches("error: ").count(), SHOWN_MAX);
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let coloured = report(&problems(1), Colours::On);
        assert!(
            coloured.starts_with("\x1b[1;31merror\x1b[0m\x1b[1m: a.b: \"y\" is wrong\x1b[0m\n")
        );
        let mut plain = String::new();
        for part in coloured.split("\x1b[") {
            plain += part.split_once('m').map_or("", |(_, text)| text);
        }
        assert_eq!(plain, report(&problems(1), Colours::Off));
    }

    #[test]
    fn a_problem_with_an_argument_has_no_line() {
        let mut problems = Problems::default();
        problems.add(&Location::Argument("--ca"), "it has no use");
        let want = "error: --ca: it has no use\n\n1 problem in the arguments\n";
        assert_eq!(report(&problems, Colours::Off), want);
    }

    fn problems(count: usize) -> Problems {
        let text = format!("{}b = \"y\"\n", "\n".repeat(9));
        let source = Arc::new(Source::new("f", text));
        let location = Location::in_file(&source, 13..16, "a.b");
        let mut problems = Problems::default();
        for _ in 0..count {
            let help = ["write \"x\"".to_owned(), "or \"z\"".to_owned()];
            problems.add_with_help(&location, "\"y\" is wrong", help);
        }
        problems
    }
}
