//! The text of a configuration file: [`Source`], for the lines that messages show.

use std::fmt;

/// The name and the text of a file.
pub struct Source {
    name: Box<str>,
    text: Box<str>,
    /// Offset of every line break.
    line_breaks: Box<[usize]>,
}

impl Source {
    /// The file called `name`.
    pub fn new(name: &str, text: &str) -> Self {
        let name = name.replace(char::is_control, "\u{fffd}").into();
        let line_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { name, line_breaks: line_breaks.map(|(at, _)| at).collect(), text: text.into() }
    }

    /// The name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of the byte at `offset`, counted from 1.
    pub fn line_number(&self, offset: usize) -> usize {
        self.line_breaks.partition_point(|line_break| *line_break < offset) + 1
    }

    /// The line of the byte at `offset`, without its line break, and the offset of its first byte.
    pub fn line(&self, offset: usize) -> (usize, &str) {
        let index = self.line_number(offset) - 1;
        let start = index.checked_sub(1).map_or(0, |before| self.line_breaks[before] + 1);
        let end = self.line_breaks.get(index).copied().unwrap_or(self.text.len());
        let line = &self.text[start..end];
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
        let source = Source::new("f", "é = 1\r\n\nb");
        let at = |offset| (source.line_number(offset), source.column(offset));
        assert_eq!((at(0), at(2), at(3)), ((1, 1), (1, 2), (1, 3)));
        assert_eq!((at(8), at(9), at(10)), ((2, 1), (3, 1), (3, 2)));
        assert_eq!(source.line(3), (0, "é = 1"));
        assert_eq!((source.line(8), source.line(10)), ((8, ""), (9, "b")));
        assert_eq!(Source::new("f", "").line(0), (0, ""));
    }

    #[test]
    fn its_debug_form_shows_nothing_of_the_text() {
        assert_eq!(format!("{:?}", Source::new("f", "secret")), "Source(\"f\")");
    }
}
