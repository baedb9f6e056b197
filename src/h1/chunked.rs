//! The chunked transfer coding (RFC 9112, section 7.1), one step at a time.
//!
//! [`ChunkedDecoder`] walks over bytes that the caller holds and says which of them are content. It
//! never copies or allocates, so the same value runs in the relay, under a fuzzer and in a unit
//! test.
//!
//! # States
//!
//! The caller shows what it has, from the first byte that no step has counted yet, and
//! [`step`](ChunkedDecoder::step) answers with a [`Step`]:
//!
//! | state | at the front of the input | answer | next state |
//! |---|---|---|---|
//! | size | `1*HEXDIG [ chunk-ext ] CRLF` | [`Framing`](Step::Framing) | content, or trailers |
//! | content | octets of the chunk | [`Content`](Step::Content) | content end, once all are here |
//! | content end | CRLF | [`Framing`](Step::Framing) | size |
//! | trailers | an empty line | [`End`](Step::End) | finished |
//! | trailers | field lines and an empty line | [`Trailer`](Step::Trailer) | finished |
//! | finished | anything | `End(0)` | finished |
//!
//! In each state but "finished" the answer may be [`NeedMore`](Step::NeedMore), which changes
//! nothing: the caller appends bytes and asks again. It may also be an error. That, too, changes
//! nothing, so a caller that asks again gets the same error; there is no way on.
//!
//! # Strictness
//!
//! Where leniency has led to request smuggling, this decoder is strict: a size line ends in CRLF
//! and in nothing else, has 1 to 16 hex digits, and is at most [`CHUNK_LINE_BYTES_MAX`] long. What
//! follows the digits must be an extension by the letter of section 7.1.1, and is dropped. Blanks
//! are accepted where that grammar has them, around `;` and `=`, and nowhere else. A trailer
//! section is measured, not interpreted.
//!
//! Not here: writing chunks (`h1::encode`), reading trailer sections (`h1::section`), and deciding
//! *whether* a message is chunked (`h1::framing`).

use super::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use super::lines::{LineError, SectionScanner};
use super::token::{hex_value, is_ows, is_tchar};

/// What lies at the front of the input. Every number counts bytes for the caller to skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Undecided: append more bytes and ask again from the same place.
    ///
    /// Never for content. What the caller keeps is at most an unfinished size line or trailer
    /// section: less than [`CHUNK_LINE_BYTES_MAX`] plus 2, or [`TRAILER_BYTES_MAX`], bytes.
    NeedMore,
    /// A size line, or the CRLF after a chunk's content. Never forwarded.
    Framing(usize),
    /// Content octets, at least one, to forward as they are.
    Content(usize),
    /// The whole trailer section, the empty line included, for `parse_trailers`. Only when there
    /// is at least one line in it; [`Step::End`] follows.
    Trailer(usize),
    /// The coding ended; the bytes after these belong to the next message.
    End(usize),
}

/// Why a chunked body is refused (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkError {
    /// The size is not `1*HEXDIG` followed by CRLF, or by blanks and `;`: it is missing, has a
    /// sign, or has a blank before the line end.
    BadSize,
    /// The size has more than 16 digits, leading zeros included, or more than 63 bits: other
    /// implementations count in signed numbers.
    SizeTooLarge,
    /// What follows a `;` is not an extension (section 7.1.1): it lacks a name, lacks a value after
    /// `=`, leaves a quote open, or has a byte that is not of a token.
    BadExtension,
    /// The size line is over [`CHUNK_LINE_BYTES_MAX`].
    LineTooLong,
    /// LF without CR before it, in a size line, an extension or the trailer section.
    BareLf,
    /// CR without LF after it, in the same places.
    BareCr,
    /// A control byte other than HTAB in an extension, or NUL in the trailer section.
    ControlByte,
    /// No CRLF after the content: the chunk is not as long as its size says.
    ContentNotEnded,
    /// The trailer section is over [`TRAILER_BYTES_MAX`].
    TrailersTooLarge,
}

/// How far one chunked body has been read. See the [module](self) for its states.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// Before a size line.
    #[default]
    Size,
    /// Inside a chunk that has this many bytes left, at least one.
    Content(u64),
    /// Before the CRLF that ends a chunk.
    ContentEnd,
    /// After the size line of the last chunk.
    Trailers(SectionScanner),
    Finished,
}

impl ChunkedDecoder {
    /// Looks at the front of `input` and moves by at most one step.
    ///
    /// `input` begins with the first byte that no earlier step has counted.
    ///
    /// # Errors
    /// The body is broken here. Nothing after this point can be trusted to be its continuation.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        match &mut self.state {
            State::Size => self.step_size(input),
            State::Content(_) if input.is_empty() => Ok(Step::NeedMore),
            State::Content(left) => {
                debug_assert!(*left > 0, "a chunk without content is the last one");
                // Content is given out at once, in as many steps as it arrives in.
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::ContentEnd;
                }
                Ok(Step::Content(here))
            }
            // Content that is longer than its size fails here: its next byte is not a CR.
            State::ContentEnd => match input {
                [] | [b'\r'] => Ok(Step::NeedMore),
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Step::Framing(b"\r\n".len()))
                }
                [_, ..] => Err(ChunkError::ContentNotEnded),
            },
            State::Trailers(scanner) => {
                // Bytes beyond the limit are not scanned: arrival must not change the verdict.
                let window = input.get(..TRAILER_BYTES_MAX).unwrap_or(input);
                match scanner.find_end(window)? {
                    Some(end) if scanner.has_line() => {
                        self.state = State::Finished;
                        Ok(Step::Trailer(end))
                    }
                    Some(end) => {
                        self.state = State::Finished;
                        Ok(Step::End(end))
                    }
                    None if window.len() < TRAILER_BYTES_MAX => Ok(Step::NeedMore),
                    None => Err(ChunkError::TrailersTooLarge),
                }
            }
            State::Finished => Ok(Step::End(0)),
        }
    }

    /// Whether the whole body has been stepped over, trailer section included.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    fn step_size(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        let Some(line) = read_size_line(input)? else { return Ok(Step::NeedMore) };
        self.state = match line.size {
            0 => State::Trailers(SectionScanner::default()),
            size => State::Content(size),
        };
        Ok(Step::Framing(line.bytes))
    }
}

impl From<LineError> for ChunkError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::BareLf => Self::BareLf,
            LineError::BareCr => Self::BareCr,
            LineError::Nul => Self::ControlByte,
        }
    }
}

/// Most digits of a size. With this many the arithmetic cannot overflow.
const SIZE_DIGITS_MAX: usize = 16;
/// The largest size.
const SIZE_MAX: u64 = i64::MAX as u64;

/// `chunk-size [ chunk-ext ] CRLF`.
struct SizeLine {
    size: u64,
    /// Length of the line with its CRLF.
    bytes: usize,
}

/// Reads a size line from its beginning, or gives `None` while it is incomplete but sound.
///
/// A line that comes in pieces is read from its beginning each time: it is short, or refused.
fn read_size_line(input: &[u8]) -> Result<Option<SizeLine>, ChunkError> {
    let mut size = 0;
    let mut digits = 0;
    while let Some(value) = input.get(digits).and_then(|&byte| hex_value(byte)) {
        if digits == SIZE_DIGITS_MAX {
            return Err(ChunkError::SizeTooLarge);
        }
        size = size << 4 | u64::from(value);
        digits += 1;
    }
    // The rest of the line cannot make this right.
    if size > SIZE_MAX {
        return Err(ChunkError::SizeTooLarge);
    }
    let line_end = match input.get(digits) {
        None => return Ok(None),
        // Reported as a bare LF even where the size is missing.
        Some(b'\n') => return Err(ChunkError::BareLf),
        Some(_) if digits == 0 => return Err(ChunkError::BadSize),
        Some(b'\r') => digits,
        Some(b';' | b' ' | b'\t') => match find_extension_end(input, digits)? {
            None => return Ok(None),
            Some(end) => end,
        },
        Some(_) => return Err(ChunkError::BadSize),
    };
    match input.get(line_end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some(SizeLine { size, bytes: line_end + b"\r\n".len() })),
        Some(_) => Err(ChunkError::BareCr),
    }
}

/// The position of the CR after the extensions that begin at `from`.
fn find_extension_end(input: &[u8], from: usize) -> Result<Option<usize>, ChunkError> {
    let mut at_part = Part::BeforeFirst;
    for (at, &byte) in input.iter().enumerate().skip(from) {
        match byte {
            b'\r' if at_part.may_be_last() => return Ok(Some(at)),
            _ if at == CHUNK_LINE_BYTES_MAX => return Err(ChunkError::LineTooLong),
            b'\n' => return Err(ChunkError::BareLf),
            b'\r' if at_part == Part::BeforeFirst => return Err(ChunkError::BadSize),
            b'\r' => return Err(ChunkError::BadExtension),
            0..=8 | 11..=31 | 127 => return Err(ChunkError::ControlByte),
            _ => at_part = at_part.then(byte)?,
        }
    }
    Ok(None)
}

/// A place in `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// After the size, and blanks if any.
    BeforeFirst,
    /// After `;`, and blanks if any.
    BeforeName,
    Name,
    /// After a name and blanks.
    AfterName,
    /// After `=`, and blanks if any.
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash in quotes.
    Escaped,
    /// Right after the closing quote.
    QuoteEnd,
    /// After a value and blanks.
    AfterValue,
}

impl Part {
    /// Whether the line may end here.
    fn may_be_last(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuoteEnd)
    }

    /// The place after `byte`, which is not a control byte other than HTAB.
    fn then(self, byte: u8) -> Result<Self, ChunkError> {
        let is_blank = is_ows(byte);
        Ok(match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) => Self::Quoted,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (
                Self::BeforeFirst
                | Self::Name
                | Self::AfterName
                | Self::Value
                | Self::QuoteEnd
                | Self::AfterValue,
                b';',
            ) => Self::BeforeName,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeFirst | Self::BeforeName | Self::BeforeValue, _) if is_blank => self,
            (Self::Name | Self::AfterName, _) if is_blank => Self::AfterName,
            (Self::Value | Self::QuoteEnd | Self::AfterValue, _) if is_blank => Self::AfterValue,
            (Self::BeforeName | Self::Name, _) if is_tchar(byte) => Self::Name,
            (Self::BeforeValue | Self::Value, _) if is_tchar(byte) => Self::Value,
            (Self::BeforeFirst, _) => return Err(ChunkError::BadSize),
            (
                Self::BeforeName
                | Self::Name
                | Self::AfterName
                | Self::BeforeValue
                | Self::Value
                | Self::QuoteEnd
                | Self::AfterValue,
                _,
            ) => return Err(ChunkError::BadExtension),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_what_the_sizes_say() {
        check("5\r\nhello\r\n0\r\n\r\n", Ok("hello||"));
        check("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", Ok("abc||"));
        check("0\r\n\r\n", Ok("||"));
        check("000a\r\n0123456789\r\n00\r\n\r\n", Ok("0123456789||"));
        check("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", Ok("\r\n0\r\n\r\n||"));
    }

    #[test]
    fn bytes_after_the_end_belong_to_the_next_message() {
        check("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", Ok("a||GET / HTTP/1.1\r\n"));
        check("0\r\n\r\n\r\n", Ok("||\r\n"));
        check("0\r\na: b\r\n\r\n0\r\n\r\n", Ok("|a: b\r\n\r\n|0\r\n\r\n"));
    }

    #[test]
    fn a_body_that_ends_early_is_not_finished() {
        for body in ["", "5", "5\r", "5\r\n", "5\r\nhell", "5\r\nhello", "5\r\nhello\r\n"] {
            assert_eq!(decode(&[body.as_bytes()]), Err(None), "{body:?}");
        }
        for body in ["0\r\n", "0\r\n\r", "0\r\na: b\r\n", "0\r\na: b\r\n\r", "5;a", "0"] {
            assert_eq!(decode(&[body.as_bytes()]), Err(None), "{body:?}");
        }
    }

    #[test]
    fn sizes_are_hex_digits_without_sign_or_blank() {
        for size in [
            "", " ", " 1", "1 ", "\t1", "1\t", "1 \t ", "1 a", "1 1", "+1", "-1", "0x1", "x", "1g",
            "1,", "1.0", "_", ";a", "\u{ff11}", "\0", "1\0",
        ] {
            check(&format!("{size}\r\na\r\n0\r\n\r\n"), Err(ChunkError::BadSize));
        }
    }

    #[test]
    fn every_byte_after_a_size_is_a_digit_or_ends_it() {
        for byte in 0..=u8::MAX {
            let step = ChunkedDecoder::default().step(&[b'1', byte, b'\r', b'\n']);
            let want = match byte {
                b'\n' => Err(ChunkError::BareLf),
                b'\r' => Err(ChunkError::BareCr),
                b';' => Err(ChunkError::BadExtension),
                _ if byte.is_ascii_hexdigit() => Ok(Step::Framing(4)),
                _ => Err(ChunkError::BadSize),
            };
            assert_eq!(step, want, "{byte:#04x}");
        }
    }

    #[test]
    fn sizes_have_at_most_63_bits_and_16_digits() {
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.step(b"7fffffffffffffff\r\n"), Ok(Step::Framing(18)));
        assert!(matches!(decoder.state, State::Content(SIZE_MAX)));
        check("8000000000000000\r\n", Err(ChunkError::SizeTooLarge));
        check("ffffffffffffffff;a\r\n", Err(ChunkError::SizeTooLarge));
        check("10000000000000000\r\n", Err(ChunkError::SizeTooLarge));
        check("00000000000000001\r\na\r\n0\r\n\r\n", Err(ChunkError::SizeTooLarge));
        check("0000000000000001\r\na\r\n0000000000000000\r\n\r\n", Ok("a||"));
        assert_eq!(
            ChunkedDecoder::default().step(&[b'1'; 17]),
            Err(ChunkError::SizeTooLarge),
            "at once, not at the end of the line"
        );
    }

    #[test]
    fn extensions_are_skipped() {
        check("5;a=b\r\nhello\r\n0;c=\"d;e\";f\r\n\r\n", Ok("hello||"));
        for extension in [
            ";a",
            ";a;b",
            ";a=b;c=d",
            ";a=\"\"",
            ";a=\"b; c=\\\"d\\\\\"",
            ";a=\" \t~\u{e9}\\\u{e9}\";b",
            ";!#$%&'*+-.^_`|~09=!#$%&'*+-.^_`|~09",
        ] {
            check(&format!("1{extension}\r\na\r\n0\r\n\r\n"), Ok("a||"));
        }
    }

    #[test]
    fn blanks_are_accepted_where_the_grammar_of_extensions_has_them() {
        for extension in [
            " ;a",
            "\t;a",
            "; a",
            " \t ; \t a",
            ";a =b",
            ";a= b",
            ";a = b",
            ";a=b ;c",
            ";a=\"b\" ; c",
            ";a ;b",
        ] {
            check(&format!("1{extension}\r\na\r\n0\r\n\r\n"), Ok("a||"));
        }
        for extension in [";a ", ";a=b ", ";a=\"b\"\t", ";a b", ";a=b c", "; ", ";a= "] {
            check(&format!("1{extension}\r\na\r\n0\r\n\r\n"), Err(ChunkError::BadExtension));
        }
    }

    #[test]
    fn a_malformed_chunk_extension_is_refused() {
        for extension in [
            ";",
            ";;a",
            ";a;",
            ";=b",
            ";a=",
            ";a=;b",
            ";a==b",
            ";a=b=c",
            ";a=\"b",
            ";a=\"b\\\"",
            ";a=\"b\"c",
            ";a=\"b\"\"c\"",
            ";a=b\"c\"",
            ";\"a\"",
            ";a,b",
            ";a/b",
            ";a=b,c",
            ";\u{e9}",
            ";a=\u{e9}",
        ] {
            check(&format!("1{extension}\r\na\r\n0\r\n\r\n"), Err(ChunkError::BadExtension));
        }
    }

    #[test]
    fn a_bare_lf_inside_a_chunk_extension_is_refused() {
        check("5;a\nb\r\nhello\r\n0\r\n\r\n", Err(ChunkError::BareLf));
        check("5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n", Err(ChunkError::BareLf));
    }

    #[test]
    fn every_byte_of_a_name_and_of_a_quoted_value_is_of_its_alphabet() {
        for byte in 0..=u8::MAX {
            let refused = |otherwise| match byte {
                b'\n' => Err(ChunkError::BareLf),
                b'\r' => otherwise,
                b'\t' | 0x20..=0x7e | 0x80.. => Err(ChunkError::BadExtension),
                _ => Err(ChunkError::ControlByte),
            };
            let step = |line: &[u8]| ChunkedDecoder::default().step(&[line, b"\r\n"].concat());
            let name = if is_tchar(byte) {
                Ok(Step::Framing(6))
            } else {
                refused(Err(ChunkError::BadExtension))
            };
            // A blank in front of a name is one of those that are taken.
            let name = if is_ows(byte) { Ok(Step::Framing(6)) } else { name };
            assert_eq!(step(&[b'1', b';', byte, b'a']), name, "{byte:#04x}");
            let quoted = match byte {
                b'\t' | 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e | 0x80.. => Ok(Step::Framing(9)),
                _ => refused(Err(ChunkError::BadExtension)),
            };
            assert_eq!(step(&[b'1', b';', b'a', b'=', b'"', byte, b'"']), quoted, "{byte:#04x}");
        }
    }

    #[test]
    fn lines_end_in_crlf_and_in_nothing_else() {
        for body in [
            "1\na\r\n0\r\n\r\n",
            "\n1\r\na\r\n0\r\n\r\n",
            "1\r\na\r\n0\n\r\n",
            "1\r\na\r\n0\r\n\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\r\n\n",
        ] {
            check(body, Err(ChunkError::BareLf));
        }
        for body in [
            "1\r\ra\r\n0\r\n\r\n",
            "1\ra\r\n0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "1\r\na\r\n0\r\n\rx",
            "0\r\na: b\rc\r\n\r\n",
        ] {
            check(body, Err(ChunkError::BareCr));
        }
        check("0\r\na: b\0\r\n\r\n", Err(ChunkError::ControlByte));
    }

    #[test]
    fn content_is_followed_by_crlf() {
        for body in
            ["1\r\nab\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na0\r\n\r\n", "1\r\na\r0\r\n"]
        {
            check(body, Err(ChunkError::ContentNotEnded));
        }
    }

    #[test]
    fn a_size_line_at_its_limit_is_accepted_and_one_byte_more_is_refused() {
        let line = |length: usize| format!("1;{}", "x".repeat(length - 2));
        let most = line(CHUNK_LINE_BYTES_MAX);
        check(&format!("{most}\r\na\r\n0\r\n\r\n"), Ok("a||"));
        let more = line(CHUNK_LINE_BYTES_MAX + 1);
        check(&format!("{more}\r\na\r\n0\r\n\r\n"), Err(ChunkError::LineTooLong));
        let step = ChunkedDecoder::default().step(more.as_bytes());
        assert_eq!(step, Err(ChunkError::LineTooLong), "before the line ends");
    }

    #[test]
    fn a_trailer_section_comes_in_one_piece_with_its_empty_line() {
        check("0\r\nSum: 1\r\n\r\n", Ok("|Sum: 1\r\n\r\n|"));
        check("1\r\na\r\n0;x\r\na: b\r\nc: d\r\n\r\n", Ok("a|a: b\r\nc: d\r\n\r\n|"));
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.step(b"0\r\n"), Ok(Step::Framing(3)));
        assert_eq!(decoder.step(b"a: b\r\n\r"), Ok(Step::NeedMore));
        assert!(!decoder.is_finished());
        assert_eq!(decoder.step(b"a: b\r\n\r\nnext"), Ok(Step::Trailer(8)));
        assert!(decoder.is_finished());
        assert_eq!(decoder.step(b"next"), Ok(Step::End(0)));
        assert_eq!(decoder.step(b""), Ok(Step::End(0)));
    }

    #[test]
    fn a_trailer_section_at_its_limit_is_accepted_and_one_byte_more_is_refused() {
        let section = |length: usize| format!("a: {}\r\n\r\n", "x".repeat(length - 7));
        for (length, want) in [
            (TRAILER_BYTES_MAX, Ok(Step::Trailer(TRAILER_BYTES_MAX))),
            (TRAILER_BYTES_MAX + 1, Err(ChunkError::TrailersTooLarge)),
        ] {
            let section = section(length);
            // Whole, and with each of the last bytes arriving alone.
            for cut in TRAILER_BYTES_MAX - 6..=section.len() {
                let mut decoder = ChunkedDecoder::default();
                assert_eq!(decoder.step(b"0\r\n"), Ok(Step::Framing(3)));
                let first = decoder.step(&section.as_bytes()[..cut]);
                let got = match first {
                    Ok(Step::NeedMore) => decoder.step(section.as_bytes()),
                    decided => decided,
                };
                assert_eq!(got, want, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn content_is_given_out_as_it_arrives() {
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.step(b"10\r\nab"), Ok(Step::Framing(4)));
        assert_eq!(decoder.step(b"ab"), Ok(Step::Content(2)));
        assert_eq!(decoder.step(b""), Ok(Step::NeedMore));
        assert_eq!(decoder.step(&[b'x'; 20]), Ok(Step::Content(14)));
        assert_eq!(decoder.step(b"\r"), Ok(Step::NeedMore));
        assert_eq!(decoder.step(b"\r\n"), Ok(Step::Framing(2)));
        assert!(!decoder.is_finished());
    }

    /// Decodes `body` whole, then cut in two at every offset, then byte by byte: arrival must not
    /// change the meaning. The wanted text is the content, the trailer section and what
    /// follows, with `|` in between.
    #[track_caller]
    fn check(body: &str, want: Result<&str, ChunkError>) {
        let want = want.map(|text| text.as_bytes().to_vec()).map_err(Some);
        let bytes = body.as_bytes();
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(decode(&[first, second]), want, "cut at {cut}: {body:?}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), want, "byte by byte: {body:?}");
    }

    /// Decodes a body that arrives in `parts`. `Err(None)`: it has not ended.
    fn decode(parts: &[&[u8]]) -> Result<Vec<u8>, Option<ChunkError>> {
        let mut decoder = ChunkedDecoder::default();
        let mut parts = parts.iter();
        let (mut input, mut content, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let skipped = match decoder.step(&input).map_err(Some)? {
                Step::NeedMore => {
                    let Some(part) = parts.next() else {
                        assert!(!decoder.is_finished());
                        return Err(None);
                    };
                    input.extend_from_slice(part);
                    0
                }
                Step::Framing(bytes) => bytes,
                Step::Content(bytes) => {
                    assert_ne!(bytes, 0);
                    content.extend_from_slice(&input[..bytes]);
                    bytes
                }
                Step::Trailer(bytes) => {
                    trailers.extend_from_slice(&input[..bytes]);
                    bytes
                }
                Step::End(bytes) => {
                    assert!(decoder.is_finished());
                    input.drain(..bytes);
                    parts.for_each(|part| input.extend_from_slice(part));
                    return Ok([content, trailers, input].join(&b'|'));
                }
            };
            input.drain(..skipped);
        }
    }
}
