//! A body on its way through: the bytes of one read become one write.

use crate::error::Cause;
use crate::gateway::access::ApiKeys;
use crate::gateway::credentials::hide_keys;
use crate::gateway::event_stream::EventCounter;
use crate::gateway::rewrite::{put_trailers, trailers_for};
use crate::h1::body::{After, BodyReader, BodyWriter, Walk};
use crate::h1::chunked::ChunkError;
use crate::h1::head_error::HeadError;
use crate::net::buffer::Buffer;
use crate::net::transport::Transport;
use crate::net::write_buffer::{PIECES_MAX, WriteBuffer};
use std::task::Context;

/// Reads of one direction in one turn, before the other direction has its own.
pub(super) const READS_PER_TURN: usize = 16;

/// One body on its way through.
#[derive(Debug)]
pub(super) struct BodyRelay {
    reader: BodyReader,
    writer: BodyWriter,
    finished: bool,
    /// The content before a break is forwarded, too.
    is_response: bool,
    content_bytes: u64,
}

/// How the sender broke its body.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The sender broke the chunked coding.
    Chunk(ChunkError),
    /// The sender broke the trailer section.
    Trailers(HeadError),
}

impl From<ChunkError> for BodyError {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

impl From<BodyError> for Cause {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Chunk(error) => Self::Chunk(error),
            BodyError::Trailers(error) => Self::Trailers(error),
        }
    }
}

impl BodyRelay {
    /// Of a request nothing is passed on that came together with a break: the fewer halves of
    /// requests a server sees, the better.
    pub(super) fn of_request(reader: BodyReader, writer: BodyWriter) -> Self {
        Self::new(reader, writer, false)
    }

    /// Of a response everything is passed on that came before a break.
    pub(super) fn of_response(reader: BodyReader, writer: BodyWriter) -> Self {
        Self::new(reader, writer, true)
    }

    fn new(reader: BodyReader, writer: BodyWriter, is_response: bool) -> Self {
        let finished = reader.is_finished();
        Self { reader, writer, finished, is_response, content_bytes: 0 }
    }

    /// Whether the body was read to its end, and its end was sent or queued.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Octets of content that came through.
    pub(super) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Sends on what `input` holds of the body, and counts its `events`; gives how many bytes of it
    /// are dealt with. Its trailers are sent without `keys`.
    pub(super) fn pass(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        write_buffer: &mut WriteBuffer,
        to: &mut Transport,
        mut events: Option<&mut EventCounter>,
        keys: Option<&ApiKeys>,
    ) -> Result<usize, BodyError> {
        let mut consumed = 0;
        while consumed < input.len() && !self.finished {
            let events = events.as_deref_mut();
            let len = self.pass_once(cx, &input[consumed..], write_buffer, to, events, keys)?;
            if len == 0 {
                break;
            }
            consumed += len;
        }
        Ok(consumed)
    }

    fn pass_once(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        write_buffer: &mut WriteBuffer,
        to: &mut Transport,
        events: Option<&mut EventCounter>,
        keys: Option<&ApiKeys>,
    ) -> Result<usize, BodyError> {
        let mut walk = Walk::default();
        self.reader.walk_into(input, &mut walk)?;
        count(events, walk.content(input));
        let content = walk.content_len();
        let (trailers, broken) = self.end_of(&walk, input, keys);
        let broken = match broken {
            Some(error) if !self.is_response => return Err(error),
            broken => broken,
        };
        let finished = walk.finished && broken.is_none();
        let after = match (finished, &trailers) {
            (false, _) => After::More,
            (true, None) => After::End,
            (true, Some(_)) => After::Trailers,
        };
        let before = self.writer.before(content);
        let behind = self.writer.after(content, after);
        let mut ranges = walk.content(input);
        let (first, second) = (ranges.next().unwrap_or(&[]), ranges.next());
        let (few, many);
        let pieces = if second.is_none() {
            few = [before.as_bytes(), first, behind];
            &few[..]
        } else {
            many = join(before.as_bytes(), walk.content(input), behind);
            &many[..]
        };
        if let Some(trailers) = trailers {
            // Rare and small: it may as well be queued after the content by a second send.
            write_buffer.send(cx, to, pieces);
            write_buffer.send(cx, to, &[&trailers]);
        } else if content > 0 || !behind.is_empty() || (finished && write_buffer.holds_bytes()) {
            write_buffer.send(cx, to, pieces);
        }
        self.content_bytes += content as u64;
        self.finished = finished;
        broken.map_or(Ok(walk.consumed), Err)
    }

    /// The trailer section to send, and how the body is broken.
    fn end_of(
        &self,
        walk: &Walk,
        input: &[u8],
        keys: Option<&ApiKeys>,
    ) -> (Option<Buffer>, Option<BodyError>) {
        match &walk.trailers {
            Some(range) => match self.trailers(&input[range.clone()], keys) {
                Ok(trailers) => (trailers, None),
                Err(error) => (None, Some(error)),
            },
            None => (None, walk.broken.map(BodyError::from)),
        }
    }

    /// The trailer section to send, filtered and without `keys`, when the receiver gets one at all.
    fn trailers(
        &self,
        section: &[u8],
        keys: Option<&ApiKeys>,
    ) -> Result<Option<Buffer>, BodyError> {
        let fields = trailers_for(self.writer, section).map_err(BodyError::Trailers)?;
        Ok(fields.map(|fields| {
            let mut out = Buffer::take();
            put_trailers(out.to_append(), &fields);
            if let Some(keys) = keys {
                hide_keys(out.to_append(), 0, keys, b"");
            }
            out
        }))
    }

    /// The sender ended its direction. Ends the body if that is how it ends; otherwise the
    /// message is incomplete, which is the answer `false`.
    pub(super) fn end_by_close(
        &mut self,
        cx: &mut Context<'_>,
        write_buffer: &mut WriteBuffer,
        to: &mut Transport,
    ) -> bool {
        if !self.reader.may_end_by_close() {
            return false;
        }
        self.finished = true;
        let end = self.writer.after(0, After::End);
        write_buffer.send(cx, to, &[end]);
        true
    }
}

fn count<'p>(events: Option<&mut EventCounter>, content: impl Iterator<Item = &'p [u8]>) {
    if let Some(events) = events {
        content.for_each(|part| events.push(part));
    }
}

/// `ranges`, at most [`CONTENT_RANGES_MAX`](crate::h1::limits::CONTENT_RANGES_MAX) of them,
/// between two pieces; empty pieces fill the rest.
fn join<'p>(
    before: &'p [u8],
    ranges: impl Iterator<Item = &'p [u8]>,
    behind: &'p [u8],
) -> [&'p [u8]; PIECES_MAX] {
    let mut pieces: [&[u8]; PIECES_MAX] = [&[]; PIECES_MAX];
    for (place, piece) in pieces.iter_mut().zip([before].into_iter().chain(ranges).chain([behind]))
    {
        *place = piece;
    }
    pieces
}
