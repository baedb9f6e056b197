//! The text of a configuration file: [`Source`] is which file it is, [`Text`] what it holds.
//!
//! Messages about a file name it as long as the process runs, and show lines of it while it is
//! loaded and checked. Then the text is of no more use, and is [forgotten](Source::forget).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A file, and its text until that is forgotten.
pub struct Source {
    name: Box<str>,
    text: RwLock<Option<Arc<Text>>>,
}

/// The text of a file, by lines.
#[derive(Default)]
pub struct Text {
    text: Box<str>,
    /// Offset of every line break. A file has at most 1 MiB.
    line_breaks: Box<[u32]>,
}

impl Source {
    /// The file called `name`.
    pub fn new(name: &str, text: impl Into<Box<str>>) -> Self {
        let name = name.replace(char::is_control, "\u{fffd}").into();
        Self { name, text: RwLock::new(Some(Arc::new(Text::new(text.into())))) }
    }

    /// The name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, unless it has been forgotten.
    pub fn text(&self) -> Option<Arc<Text>> {
        self.text.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, messages show no lines of it.
    pub fn forget(&self) {
        *self.text.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Text {
    pub(super) fn new(text: Box<str>) -> Self {
        let mut line_breaks = Vec::with_capacity(text.bytes().filter(|it| *it == b'\n').count());
        for (at, _) in text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n') {
            line_breaks.push(at as u32);
        }
        Self { line_breaks: line_breaks.into(), text }
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The line of the byte at `offset`, counted from 1.
    pub fn line_number(&self, offset: usize) -> usize {
        self.line_breaks.partition_point(|line_break| (*line_break as usize) < offset) + 1
    }

    /// The line of the byte at `offset`, without its line break, and the offset of its first byte.
    pub fn line(&self, offset: usize) -> (usize, &str) {
        let index = self.line_number(offset) - 1;
        let line_break = |at: usize| self.line_breaks.get(at).map(|it| *it as usize);
        let start = index.checked_sub(1).and_then(line_break).map_or(0, |before| before + 1);
        let line = &self.text[start..line_break(index).unwrap_or(self.text.len())];
        (start, line.strip_suffix('\r').unwrap_or(line))
    }

    /// The character at `offset`, counted in its line from 1.
    pub fn column(&self, offset: usize) -> usize {
        let (start, line) = self.line(offset);
        line.char_indices().take_while(|(at, _)| start + at < offset).count() + 1
    }
}

/// Without the text: there is one of a name.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Source {}

/// Without the text, which may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_has_a_line_and_a_column() {
        let text = Text::new("é = 1\r\n\nb".into());
        let at = |offset| (text.line_number(offset), text.column(offset));
        assert_eq!((at(0), at(2), at(3)), ((1, 1), (1, 2), (1, 3)));
        assert_eq!((at(8), at(9), at(10)), ((2, 1), (3, 1), (3, 2)));
        assert_eq!(text.line(3), (0, "é = 1"));
        assert_eq!((text.line(8), text.line(10)), ((8, ""), (9, "b")));
        assert_eq!(Text::new("".into()).line(0), (0, ""));
    }

    #[test]
    fn its_debug_form_shows_nothing_of_the_text() {
        assert_eq!(format!("{:?}", Source::new("f", "secret")), "Source(\"f\")");
    }

    #[test]
    fn a_text_that_is_forgotten_is_freed() {
        let source = Source::new("f", "text");
        let text = Arc::downgrade(&source.text().unwrap());
        source.forget();
        assert!(source.text().is_none() && text.upgrade().is_none());
    }
}
