//! [`Note`]: a remark about lines of the text that is translated.

use std::collections::BTreeMap;
use std::fmt;

/// Most lines that a note names; of more it says how many there are.
const LINES_SHOWN: usize = 8;

/// What became of a setting, or why it was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The lines that it is about, counted from 1; none if it is about the whole file.
    pub lines: Vec<usize>,
    /// The name of the setting.
    pub subject: String,
    /// What became of it.
    pub what: String,
}

impl Note {
    /// A note about one line.
    pub(super) fn new(line: usize, subject: &str, what: impl Into<String>) -> Self {
        Self { lines: vec![line], subject: subject.to_owned(), what: what.into() }
    }
}

/// `12, 14: gzip: why`.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().take(LINES_SHOWN).enumerate() {
            write!(f, "{}{line}", if index == 0 { "" } else { ", " })?;
        }
        if self.lines.len() > LINES_SHOWN {
            write!(f, " and {} more", self.lines.len() - LINES_SHOWN)?;
        }
        let separator = if self.lines.is_empty() { "" } else { ": " };
        let colon = if self.what.is_empty() { "" } else { ": " };
        write!(f, "{separator}{}{colon}{}", self.subject, self.what)
    }
}

/// The notes in the order of their first lines, those that say the same as one.
pub(super) fn grouped(notes: &[Note]) -> Vec<Note> {
    let mut places: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for Note { lines, subject, what } in notes {
        places.entry((subject, what)).or_default().extend(lines);
    }
    let mut grouped: Vec<Note> = places
        .into_iter()
        .map(|((subject, what), mut lines)| {
            lines.sort_unstable();
            lines.dedup();
            Note { lines, subject: subject.to_owned(), what: what.to_owned() }
        })
        .collect();
    grouped.sort_by_cached_key(|note| note.lines.first().copied().unwrap_or(0));
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_that_say_the_same_are_one_with_all_their_lines() {
        let notes = [Note::new(9, "a", "x"), Note::new(3, "b", "y"), Note::new(2, "a", "x")];
        let grouped: Vec<_> = grouped(&notes).iter().map(ToString::to_string).collect();
        assert_eq!(grouped, ["2, 9: a: x", "3: b: y"]);
    }

    #[test]
    fn a_note_names_few_of_many_lines() {
        let notes: Vec<_> = (1..=20).map(|line| Note::new(line, "a", "x")).collect();
        let told = grouped(&notes)[0].to_string();
        assert_eq!(told, "1, 2, 3, 4, 5, 6, 7, 8 and 12 more: a: x");
    }
}
