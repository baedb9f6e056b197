//! Sections of lines that end in CRLF and in nothing else (RFC 9112, section 2.2), found once.
//!
//! Heads and trailer sections both are lines up to an empty one. [`SectionScanner`] looks for that
//! one as the bytes arrive, from where it stopped the last time, so a section that trickles in
//! costs no more than one that comes at once. It refuses on sight the bytes about which parsers
//! disagree: LF without CR, CR without LF, NUL.
//!
//! Not here: what the lines say (`h1::head`), and how long a section may be (its users).

use memchr::memchr3;

/// Why a section of lines is refused before anyone has parsed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// LF without CR before it. RFC 9112, section 2.2 would let a recipient take it for a line
    /// end; others do not, and that difference is what smuggling is made of.
    BareLf,
    /// CR that no LF follows (RFC 9112, section 2.2).
    BareCr,
    /// NUL, which ends strings in somebody's parser (RFC 9110, section 5.5).
    Nul,
}

/// Looks for the empty line that ends a section, and remembers how far it has looked.
#[derive(Clone, Debug, Default)]
pub struct SectionScanner {
    /// Everything before this position has been looked at.
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

    /// The position behind the empty line that ends the section, or `None` while there is none.
    ///
    /// `input` may grow between calls and must not change otherwise. A CR at its very end is
    /// undecided, not bare.
    pub fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, LineError> {
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

    /// Everything before this position has been looked at.
    pub fn scanned(&self) -> usize {
        self.scanned
    }

    /// Where the first line begins that has not ended: all before it are whole.
    pub fn line_start(&self) -> usize {
        self.line_start
    }

    /// Whether the section's first line is complete, and was not the empty one.
    pub fn has_line(&self) -> bool {
        self.has_line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_behind_its_first_empty_line() {
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
    fn bare_line_ends_and_nul_are_refused_wherever_they_stand() {
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
    fn the_first_line_is_known_to_be_complete_behind_its_line_end() {
        let mut scanner = SectionScanner::starting_at(3);
        assert_eq!(scanner.find_end(b"...ab\r"), Ok(None));
        assert!(!scanner.has_line());
        assert_eq!(scanner.find_end(b"...ab\r\n"), Ok(None));
        assert!(scanner.has_line());
    }

    #[test]
    fn bytes_are_looked_at_once() {
        let mut scanner = SectionScanner::default();
        assert_eq!(scanner.find_end(b"abc"), Ok(None));
        // A promise broken on purpose: what has been looked at is not looked at again.
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
