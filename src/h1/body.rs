//! Message bodies over the three framings (RFC 9112, section 6): walking through what arrived,
//! and the framing of what leaves.
//!
//! [`BodyReader`] marks the content in bytes that the caller holds; [`BodyWriter`] knows what
//! stands before and behind content on the other side. Framing is never copied from one side to
//! the other: content ranges of one read leave as one chunk of ours.
//!
//! Not here: which framing applies (`h1::framing`), and filtering trailers (`gateway::rewrite`).

use super::limits::CONTENT_RANGES_MAX;
use crate::h1::chunked::{ChunkError, ChunkedDecoder, Step};
use crate::h1::encode::ChunkHeader;
use crate::h1::framing::BodyLength;
use core::ops::Range;

/// How far one incoming body has been read.
#[derive(Debug)]
pub enum BodyReader {
    /// So many octets are still to come.
    Exact(u64),
    /// The chunked coding says where the end is.
    Chunked(ChunkedDecoder),
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// What a walk found in the input. All positions count from the input's beginning.
#[derive(Debug)]
pub struct Walk {
    /// Octets that need not be shown again; what follows them is incomplete or the next message.
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

type Range32 = (u32, u32);

impl Walk {
    fn begin() -> Self {
        let ranges = [(0, 0); CONTENT_RANGES_MAX];
        let (trailers, broken) = (None, None);
        Self { consumed: 0, trailers, finished: false, broken, ranges, range_count: 0 }
    }

    /// The content, in order.
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

    fn push(&mut self, len: usize) {
        let start = self.consumed;
        self.consumed += len;
        if len > 0 {
            // Inputs are reads, far below 4 GiB.
            self.ranges[self.range_count] = (start as u32, self.consumed as u32);
            self.range_count += 1;
        }
    }
}

impl BodyReader {
    /// Starts at the first octet behind the head.
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

    /// Walks over `input` as far as it goes, or until the table of ranges is full: a caller that
    /// gets fewer octets consumed than it showed, and some content, asks again.
    ///
    /// # Errors
    /// The chunked coding is broken, right at the front of `input`: content that stands before the
    /// break is given out first, and the next walk fails.
    pub fn walk(&mut self, input: &[u8]) -> Result<Walk, ChunkError> {
        let mut walk = Walk::begin();
        match self {
            Self::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                walk.push(take);
                *left -= take as u64;
                walk.finished = *left == 0;
            }
            Self::UntilClose => walk.push(input.len()),
            Self::Chunked(decoder) => {
                if let Err(error) = walk_chunks(decoder, input, &mut walk) {
                    if walk.range_count == 0 {
                        return Err(error);
                    }
                    walk.broken = Some(error);
                }
            }
        }
        Ok(walk)
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
    /// Content-Length was sent, or nothing may follow the head: content goes out bare.
    Bare,
    /// Each write of content becomes one chunk.
    Chunked,
    /// Bare as well, and only the end of the connection ends it.
    UntilClose,
}

/// Behind the content of a chunk that is not the last thing.
const CHUNK_END: &[u8] = b"\r\n";
/// Behind the content of a chunk when the body ends with it.
const CHUNK_END_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";
/// The end of a body, alone.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Behind the content of a chunk when a trailer section follows the last chunk.
const CHUNK_END_AND_TRAILERS: &[u8] = b"\r\n0\r\n";
/// Before a trailer section, alone.
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

    /// What to write behind `len` octets of content.
    pub fn behind(self, len: usize, after: After) -> &'static [u8] {
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
    fn a_message_without_a_body_takes_nothing() {
        check(BodyLength::None, "GET /", "", None, "GET /");
    }

    #[test]
    fn a_body_until_close_takes_everything() {
        check(BodyLength::UntilClose, "hello\r\n\r\n", "hello\r\n\r\n", None, "");
    }

    #[test]
    fn a_chunked_body_gives_its_content_and_its_trailers_and_leaves_the_rest() {
        let body = "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nGET /";
        check(BodyLength::Chunked, body, "hello!", Some("A: b\r\n\r\n"), "GET /");
    }

    #[test]
    fn more_chunks_than_one_write_carries_are_walked_in_turns() {
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
                BodyWriter::Chunked.behind(len, after),
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
