//! Message bodies in their three framings (RFC 9112, section 6): reading what arrives, and framing
//! what leaves.
//!
//! # Reading
//!
//! [`BodyReader`] is shown the bytes that follow a head, from the first that it has not consumed,
//! and [`walk`](BodyReader::walk) marks the content in them. The caller forwards the content from
//! where it lies, removes [`consumed`](Walk::consumed) bytes, and walks again when it has more.
//!
//! | state | a walk takes | it ends |
//! |---|---|---|
//! | [`Exact`](BodyReader::Exact) | up to so many octets | when none is left |
//! | [`Chunked`](BodyReader::Chunked) | chunks and trailers | as [`chunked`](super::chunked) says |
//! | [`UntilClose`](BodyReader::UntilClose) | everything | never: the connection does |
//!
//! A reader [is finished](BodyReader::is_finished) when its body is, at once if there is none. It
//! must not be shown more then: those bytes belong to the next message. The end of the connection
//! completes a body only where [`may_end_by_close`](BodyReader::may_end_by_close) says so; it
//! truncates every other.
//!
//! # Writing
//!
//! [`BodyWriter`] has no state. For each write of content it gives the bytes
//! [before](BodyWriter::before) and [after](BodyWriter::after) it: a chunk header and its CRLF, the
//! last chunk, or nothing. All content of one read leaves as one chunk of ours: framing bytes of
//! one side are never copied to the other.
//!
//! Not here: deciding which framing applies (`h1::framing`), and which trailers to pass on (the
//! caller).

use super::chunked::{ChunkError, ChunkedDecoder, Step};
use super::encode::ChunkHeader;
use super::framing::BodyLength;
use super::limits::CONTENT_RANGES_MAX;
use core::ops::Range;

/// How far one incoming body has been read. See the [module](self) for its states.
#[derive(Debug)]
pub enum BodyReader {
    /// This many octets are still to come.
    Exact(u64),
    /// The chunked coding says where the end is.
    Chunked(ChunkedDecoder),
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// What a walk found in the input. All positions count from the beginning of the input.
///
/// Its table of ranges is large. Where bodies pass, it is not moved ([`BodyReader::walk_into`]).
#[derive(Debug)]
pub struct Walk {
    /// Octets to remove from the input. What follows them is incomplete, or not this body's, or did
    /// not fit in the table of ranges.
    pub consumed: usize,
    /// The trailer lines with their final empty line, when the body ended with such a section.
    pub trailers: Option<Range<usize>>,
    /// The body ended at `consumed`.
    pub finished: bool,
    /// The coding is broken at `consumed`: the next walk fails.
    pub broken: Option<ChunkError>,
    ranges: [Range32; CONTENT_RANGES_MAX],
    range_count: usize,
}

/// Start and end. Half the size of a `Range<usize>`: a walk lives on the stack.
type Range32 = (u32, u32);

impl Default for Walk {
    fn default() -> Self {
        let ranges = [(0, 0); CONTENT_RANGES_MAX];
        let (trailers, broken) = (None, None);
        Self { consumed: 0, trailers, finished: false, broken, ranges, range_count: 0 }
    }
}

impl Walk {
    /// The content, in order. `input` is what was walked over.
    pub fn content<'i>(&self, input: &'i [u8]) -> impl Iterator<Item = &'i [u8]> + use<'i, '_> {
        self.ranges[..self.range_count]
            .iter()
            .map(|&(start, end)| &input[start as usize..end as usize])
    }

    /// Octets of content.
    pub fn content_len(&self) -> usize {
        self.ranges[..self.range_count].iter().map(|&(start, end)| (end - start) as usize).sum()
    }

    fn is_full(&self) -> bool {
        self.range_count == CONTENT_RANGES_MAX
    }

    /// Consumes `len` octets of content.
    fn push(&mut self, len: usize) {
        let start = self.consumed;
        self.consumed += len;
        if len > 0 {
            self.ranges[self.range_count] = (start as u32, self.consumed as u32);
            self.range_count += 1;
        }
    }
}

impl BodyReader {
    /// A reader that starts at the first octet after the head.
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::Exact(0),
            BodyLength::Exact(octets) => Self::Exact(octets),
            BodyLength::Chunked => Self::Chunked(ChunkedDecoder::default()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether nothing of the body is left to read.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Exact(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_finished(),
            Self::UntilClose => false,
        }
    }

    /// Walks over `input` as far as it goes, or until the table of ranges is full.
    ///
    /// `input` begins with the first octet that no earlier walk has consumed. A caller that finds
    /// `consumed` below its length, and some content, walks again before it reads more.
    ///
    /// # Errors
    /// The chunked coding is broken at the very front of `input`. Content before the break comes
    /// first, in a walk that says [`broken`](Walk::broken); the walk after it fails.
    pub fn walk(&mut self, input: &[u8]) -> Result<Walk, ChunkError> {
        let mut walk = Walk::default();
        self.walk_into(input, &mut walk)?;
        Ok(walk)
    }

    /// The same, for a `walk` that is new.
    ///
    /// # Errors
    /// Those of [`walk`](Self::walk).
    pub fn walk_into(&mut self, input: &[u8], walk: &mut Walk) -> Result<(), ChunkError> {
        debug_assert!(!self.is_finished(), "the input belongs to the next message");
        debug_assert!(u32::try_from(input.len()).is_ok(), "an input is one read");
        match self {
            Self::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                walk.push(take);
                *left -= take as u64;
                walk.finished = *left == 0;
            }
            Self::UntilClose => walk.push(input.len()),
            Self::Chunked(decoder) => {
                if let Err(error) = walk_chunks(decoder, input, walk) {
                    // Deliver first: what came before the break did arrive.
                    if walk.range_count == 0 {
                        return Err(error);
                    }
                    walk.broken = Some(error);
                }
            }
        }
        Ok(())
    }

    /// Whether the end of the connection is a proper end of this body (RFC 9112, section 8).
    pub fn may_end_by_close(&self) -> bool {
        matches!(self, Self::UntilClose) || self.is_finished()
    }
}

fn walk_chunks(
    decoder: &mut ChunkedDecoder,
    input: &[u8],
    walk: &mut Walk,
) -> Result<(), ChunkError> {
    while !walk.is_full() {
        match decoder.step(&input[walk.consumed..])? {
            Step::NeedMore => break,
            Step::Framing(len) => walk.consumed += len,
            Step::Content(len) => walk.push(len),
            Step::Trailer(len) => {
                walk.trailers = Some(walk.consumed..walk.consumed + len);
                walk.consumed += len;
            }
            Step::End(len) => {
                walk.consumed += len;
                walk.finished = true;
                break;
            }
        }
    }
    Ok(())
}

/// How one outgoing body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyWriter {
    /// Content goes out bare: Content-Length was sent, or there is no body.
    Bare,
    /// The content of each write becomes one chunk.
    Chunked,
    /// Content goes out bare, and only the end of the connection ends it.
    UntilClose,
}

/// Ends a chunk that more of the body follows.
const CHUNK_END: &[u8] = b"\r\n";
/// Ends a chunk and the body.
const CHUNK_END_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";
/// Ends the body where no chunk is open.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Ends a chunk and the content; a trailer section follows.
const CHUNK_END_AND_TRAILERS: &[u8] = b"\r\n0\r\n";
/// Ends the content where no chunk is open; a trailer section follows.
const LAST_CHUNK_AND_TRAILERS: &[u8] = b"0\r\n";

/// What comes after the content of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// More of the body.
    More,
    /// Nothing: the body is complete.
    End,
    /// A trailer section that the caller has ready, its final empty line included.
    Trailers,
}

impl BodyWriter {
    /// What to write before `len` octets of content.
    pub fn before(self, len: usize) -> ChunkHeader {
        match self {
            Self::Chunked if len > 0 => ChunkHeader::new(len),
            Self::Chunked | Self::Bare | Self::UntilClose => ChunkHeader::default(),
        }
    }

    /// What to write after `len` octets of content.
    pub fn after(self, len: usize, after: After) -> &'static [u8] {
        match (self, after) {
            (Self::Bare | Self::UntilClose, _) => b"",
            (Self::Chunked, After::More) if len == 0 => b"",
            (Self::Chunked, After::More) => CHUNK_END,
            (Self::Chunked, After::End) if len == 0 => LAST_CHUNK,
            (Self::Chunked, After::End) => CHUNK_END_AND_LAST,
            (Self::Chunked, After::Trailers) if len == 0 => LAST_CHUNK_AND_TRAILERS,
            (Self::Chunked, After::Trailers) => CHUNK_END_AND_TRAILERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `input` whole and cut in two at every offset; gives content, trailers, the rest.
    #[track_caller]
    fn check(length: BodyLength, input: &str, content: &str, trailers: Option<&str>, rest: &str) {
        for cut in 0..=input.len() {
            let (first, second) = input.as_bytes().split_at(cut);
            let mut reader = BodyReader::new(length);
            let (mut got, mut section, mut held) = (Vec::new(), None, Vec::new());
            for part in [first, second] {
                held.extend_from_slice(part);
                loop {
                    if reader.is_finished() {
                        break;
                    }
                    let walk = reader.walk(&held).unwrap();
                    walk.content(&held).for_each(|range| got.extend_from_slice(range));
                    if let Some(range) = walk.trailers.clone() {
                        section = Some(String::from_utf8(held[range].to_vec()).unwrap());
                    }
                    held.drain(..walk.consumed);
                    if walk.consumed == 0 || held.is_empty() {
                        break;
                    }
                }
            }
            assert_eq!(String::from_utf8(got).unwrap(), content, "cut at {cut}");
            assert_eq!(section.as_deref(), trailers, "cut at {cut}");
            assert_eq!(held, rest.as_bytes(), "cut at {cut}");
        }
    }

    #[test]
    fn an_exact_body_ends_at_its_length_and_leaves_the_next_message() {
        check(BodyLength::Exact(5), "helloGET /", "hello", None, "GET /");
    }

    #[test]
    fn a_message_without_a_body_consumes_nothing() {
        check(BodyLength::None, "GET /", "", None, "GET /");
    }

    #[test]
    fn a_body_until_close_consumes_everything() {
        check(BodyLength::UntilClose, "hello\r\n\r\n", "hello\r\n\r\n", None, "");
    }

    #[test]
    fn a_chunked_body_gives_its_content_and_its_trailers_and_leaves_the_rest() {
        let body = "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nGET /";
        check(BodyLength::Chunked, body, "hello!", Some("A: b\r\n\r\n"), "GET /");
    }

    #[test]
    fn more_chunks_than_one_walk_holds_take_several_walks() {
        let count = CONTENT_RANGES_MAX * 2 + 1;
        let body = "1\r\nx\r\n".repeat(count) + "0\r\n\r\n";
        check(BodyLength::Chunked, &body, &"x".repeat(count), None, "");
    }

    #[test]
    fn only_a_body_that_is_complete_or_close_delimited_may_end_by_close() {
        assert!(BodyReader::new(BodyLength::None).may_end_by_close());
        assert!(BodyReader::new(BodyLength::UntilClose).may_end_by_close());
        assert!(!BodyReader::new(BodyLength::Exact(1)).may_end_by_close());
        assert!(!BodyReader::new(BodyLength::Chunked).may_end_by_close());
    }

    #[test]
    fn chunked_writes_frame_content_and_end_in_every_combination() {
        let framed = |len: usize, after| {
            let content = vec![b'x'; len];
            [
                BodyWriter::Chunked.before(len).as_bytes(),
                &content,
                BodyWriter::Chunked.after(len, after),
            ]
            .concat()
        };
        assert_eq!(framed(3, After::More), b"3\r\nxxx\r\n");
        assert_eq!(framed(3, After::End), b"3\r\nxxx\r\n0\r\n\r\n");
        assert_eq!(framed(3, After::Trailers), b"3\r\nxxx\r\n0\r\n");
        assert_eq!(framed(0, After::More), b"");
        assert_eq!(framed(0, After::End), b"0\r\n\r\n");
        assert_eq!(framed(0, After::Trailers), b"0\r\n");
    }
}
