//! Sections of lines that end in CRLF and in nothing else (RFC 9112, section 2.2).
//!
//! Heads and trailer sections are both lines up to an empty one. [`SectionScanner`] looks for that
//! one while the bytes arrive. It goes on where it stopped, so a section that trickles in costs no
//! more than one that comes at once. It refuses on sight the bytes that parsers disagree about: LF
//! without CR, CR without LF, NUL. [`find_empty_line`] checks nothing, and costs a fraction: it is
//! for a section that is all here, because its parser refuses these bytes as well.
//!
//! Not here: what the lines say (`h1::head`), and how long a section may be (its users).

use memchr::{memchr3, memmem};

/// Why a section of lines is refused before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// LF without CR before it. RFC 9112, section 2.2 would let a recipient take it for a line
    /// end; others do not, and smuggling lives on that difference.
    BareLf,
    /// CR that no LF follows (RFC 9112, section 2.2).
    BareCr,
    /// NUL, which ends strings in some parsers (RFC 9110, section 5.5).
    Nul,
}

/// The position after the empty line that ends the section in `bytes`, if all of it is here, and
/// unless a line before has the wrong end. The section's first line must not be the empty one.
pub fn find_empty_line(bytes: &[u8]) -> Option<usize> {
    // No other line begins with a CR, so a search for these two bytes stops at no other line.
    let at = memmem::find(bytes, b"\n\r")?;
    let is_empty_line = bytes.get(at.checked_sub(1)?..at + 3)? == b"\r\n\r\n";
    is_empty_line.then_some(at + 3)
}

/// Looks for the empty line that ends a section, and remembers how far it has scanned.
#[derive(Clone, Debug, Default)]
pub struct SectionScanner {
    /// Everything before this position has been scanned.
    scanned: usize,
    /// Where the line that holds `scanned` begins.
    line_start: usize,
    /// Whether a line that is not empty has ended.
    has_line: bool,
}

impl SectionScanner {
    /// A scanner for a section whose first line begins at `start`.
    pub fn starting_at(start: usize) -> Self {
        Self { scanned: start, line_start: start, has_line: false }
    }

    /// The position after the empty line that ends the section, or `None` while there is none.
    ///
    /// `input` may grow between calls and must not change otherwise. A CR at its very end is
    /// undecided, not bare.
    pub fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, LineError> {
        debug_assert!(input.len() >= self.scanned, "the input has lost bytes that were scanned");
        // Everything but these three bytes is skipped at the speed of memory.
        while let Some(found) = memchr3(b'\r', b'\n', 0, input.get(self.scanned..).unwrap_or(&[])) {
            let at = self.scanned + found;
            match input[at..] {
                [b'\r'] => {
                    self.scanned = at;
                    return Ok(None);
                }
                [b'\r', b'\n', ..] if at == self.line_start => return Ok(Some(at + 2)),
                [b'\r', b'\n', ..] => {
                    self.scanned = at + 2;
                    self.line_start = at + 2;
                    self.has_line = true;
                }
                [b'\r', ..] => return Err(LineError::BareCr),
                [b'\n', ..] => return Err(LineError::BareLf),
                _ => return Err(LineError::Nul),
            }
        }
        self.scanned = input.len().max(self.scanned);
        Ok(None)
    }

    /// Everything before this position has been scanned.
    pub fn scanned(&self) -> usize {
        self.scanned
    }

    /// Where the first line begins that has not ended. All lines before it are whole.
    pub fn line_start(&self) -> usize {
        self.line_start
    }

    /// Whether the section's first line is complete, and is not the empty one.
    pub fn has_line(&self) -> bool {
        self.has_line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_after_its_first_empty_line() {
        check("a\r\nbc\r\n\r\nd\r\n\r\n", Ok(Some(9)));
        check("\r\na\r\n\r\n", Ok(Some(2)));
    }

    #[test]
    fn a_section_without_an_empty_line_has_not_ended() {
        for input in ["", "a", "a\r", "a\r\n", "a\r\n\r", "a\r\nb\r\n"] {
            check(input, Ok(None));
        }
    }

    #[test]
    fn the_empty_line_behind_another_one_is_found() {
        let long = format!("{}\r\n\r\nd\r\n\r\n", "a".repeat(100));
        for (input, want) in
            [("a\r\n\r\n", Some(5)), ("a\r\nb\r\n\r\nc\r\n\r\n", Some(8)), (&long, Some(104))]
        {
            assert_eq!(find_empty_line(input.as_bytes()), want, "{input:?}");
        }
        for input in ["", "\r\n\r", "a\r\n\r", "a\r\nb\r\n", "\n\r\n", "a\n\r\n", "a\r\n\rb"] {
            assert_eq!(find_empty_line(input.as_bytes()), None, "{input:?}");
        }
    }

    #[test]
    fn bare_line_ends_and_nul_are_refused_anywhere() {
        for (byte, error) in [
            ("\n", LineError::BareLf),
            ("\rx", LineError::BareCr),
            ("\r\r\n", LineError::BareCr),
            ("\0", LineError::Nul),
        ] {
            for before in ["", "a", "a\r\n", "a\r\nb"] {
                check(&format!("{before}{byte}\r\n\r\n"), Err(error));
            }
        }
    }

    #[test]
    fn the_first_line_is_complete_after_its_line_end() {
        let mut scanner = SectionScanner::starting_at(3);
        assert_eq!(scanner.find_end(b"...ab\r"), Ok(None));
        assert!(!scanner.has_line());
        assert_eq!(scanner.find_end(b"...ab\r\n"), Ok(None));
        assert!(scanner.has_line());
    }

    #[test]
    fn bytes_are_scanned_once() {
        let mut scanner = SectionScanner::default();
        assert_eq!(scanner.find_end(b"abc"), Ok(None));
        // A promise broken on purpose: bytes that were scanned are not scanned again.
        assert_eq!(scanner.find_end(b"\0\0\0\r\n\r\n"), Ok(Some(7)));
    }

    /// Scans `input` in two parts, cut at every offset, and byte by byte.
    #[track_caller]
    fn check(input: &str, want: Result<Option<usize>, LineError>) {
        let input = input.as_bytes();
        let scan = |cuts: &mut dyn Iterator<Item = usize>| {
            let mut scanner = SectionScanner::default();
            for cut in cuts {
                match scanner.find_end(&input[..cut]) {
                    Ok(None) => {}
                    decided => return decided,
                }
            }
            scanner.find_end(input)
        };
        for cut in 0..=input.len() {
            assert_eq!(scan(&mut [cut].into_iter()), want, "cut at {cut}: {input:?}");
        }
        assert_eq!(scan(&mut (0..input.len())), want, "byte by byte: {input:?}");
    }
}
