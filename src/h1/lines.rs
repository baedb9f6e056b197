//! Sections of lines that end in CRLF and in nothing else (RFC 9112, section 2.2).
//!
//! Heads and trailer sections are both lines up to an empty one. [`SectionScanner`] looks for that
//! one while the bytes arrive. It goes on where it stopped, so a section that trickles in costs no
//! more than one that comes at once. It refuses on sight the bytes that parsers disagree about: LF
//! without CR, CR without LF, NUL. [`find_empty_line`] checks nothing, and costs a fraction: it is
//! for a section that is all here, because its parser refuses these bytes as well.
//!
//! Not here: what the lines say (`h1::head`), and how long a section may be (its users).

use memchr::memchr3;

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

/// The position after the empty line that ends the section in `bytes`, if all of it is here. The
/// section's first line must not be the empty one.
pub fn find_empty_line(bytes: &[u8]) -> Option<usize> {
    // Blocks without these two bytes, which a compiler compares at once, hold no empty line.
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let (shifted, _) = bytes.get(1..)?.as_chunks::<BLOCK_BYTES>();
    let passed = blocks.iter().zip(shifted).take_while(|(block, shifted)| {
        let pairs = block.iter().zip(*shifted);
        !pairs.fold(false, |found, (one, next)| found | ((*one == b'\n') & (*next == b'\r')))
    });
    let from = (passed.count() * BLOCK_BYTES).saturating_sub(1);
    let found = bytes[from..].windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from + found + 4)
}

/// As many bytes as one or two vector registers hold.
const BLOCK_BYTES: usize = 32;

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
        for len in 1..3 * BLOCK_BYTES {
            let line = "a".repeat(len);
            let input = format!("{line}\r\n\r\nb\r\n\r\n");
            assert_eq!(find_empty_line(input.as_bytes()), Some(len + 4), "{input:?}");
            let input = format!("{line}\r\nb\r\n\r\n");
            assert_eq!(find_empty_line(input.as_bytes()), Some(len + 7), "{input:?}");
            assert_eq!(find_empty_line(&input.as_bytes()[..len + 6]), None, "{input:?}");
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
