//! The events of a `text/event-stream` (HTML, sections 9.2.5 and 9.2.6), counted as they pass:
//! [`EventCounter`].
//!
//! The caller shows the content, part by part. Nothing of it is kept, and where it is cut makes no
//! difference.
//!
//! An event is what a client dispatches: lines with at least one field `data`, and the empty line
//! after them. Comments and other fields alone make none, nor does what follows the last empty
//! line. A line ends in LF, CR or CRLF; a byte order mark before the first is not part of it.

use crate::h1::field::FieldId;
use crate::h1::section::FieldSection;
use memchr::memchr2;

/// Whether the content is an event stream.
pub fn is_event_stream(fields: &FieldSection<'_>) -> bool {
    const NAME: &[u8] = b"text/event-stream";
    fields.values(FieldId::ContentType).any(|value| {
        value.split_at_checked(NAME.len()).is_some_and(|(name, behind)| {
            name.eq_ignore_ascii_case(NAME) && matches!(behind, [] | [b';' | b' ' | b'\t', ..])
        })
    })
}

/// Counts the events of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventCounter {
    events: u64,
    /// A line since the last empty one is a field `data`.
    has_data: bool,
    place: Place,
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of the stream, after so many bytes of a byte order mark.
    Mark(u8),
    /// At the beginning of a line.
    Start,
    /// The same, after a CR: an LF belongs to the line before.
    AfterCr,
    /// After so many bytes of [`DATA`].
    Name(u8),
    /// In a line of which only its end matters.
    Rest,
}

const MARK: &[u8; 3] = b"\xef\xbb\xbf";
const DATA: &[u8; 4] = b"data";
/// How almost every line with data begins.
const DATA_FIELD: &[u8] = b"data:";

impl Default for Place {
    fn default() -> Self {
        Self::Mark(0)
    }
}

impl EventCounter {
    /// For content with these fields, unless it is encoded (RFC 9110, section 8.4).
    pub fn of_content(fields: &FieldSection<'_>) -> Option<Self> {
        let is_encoded = fields.named(b"content-encoding").any(|value| !value.is_empty());
        (!is_encoded).then(Self::default)
    }

    /// How many events have come.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Counts on in the next part of the stream.
    pub fn push(&mut self, mut part: &[u8]) {
        while let Some((&byte, behind)) = part.split_first() {
            part = match self.place {
                Place::Mark(0) | Place::Start | Place::AfterCr if part.starts_with(DATA_FIELD) => {
                    self.has_data = true;
                    let Some(end) = memchr2(b'\n', b'\r', part) else {
                        self.place = Place::Rest;
                        return;
                    };
                    // Most events are one line, and most reads bring one event.
                    if part[end..] == *b"\n\n" {
                        self.dispatch();
                        self.place = Place::Start;
                        return;
                    }
                    self.place = after_line(part[end]);
                    &part[end + 1..]
                }
                Place::Rest => {
                    let Some(end) = memchr2(b'\n', b'\r', part) else { return };
                    self.place = after_line(part[end]);
                    &part[end + 1..]
                }
                Place::Mark(_) | Place::Start | Place::AfterCr | Place::Name(_) => {
                    self.place = self.step(byte);
                    behind
                }
            };
        }
    }

    /// An empty line has come.
    fn dispatch(&mut self) {
        self.events += u64::from(self.has_data);
        self.has_data = false;
    }

    /// Where the byte after `byte` is.
    fn step(&mut self, byte: u8) -> Place {
        let is_line_end = matches!(byte, b'\n' | b'\r');
        match self.place {
            Place::Mark(at) if byte == MARK[usize::from(at)] => match at + 1 {
                3 => Place::Start,
                next => Place::Mark(next),
            },
            Place::AfterCr if byte == b'\n' => Place::Start,
            Place::Mark(0) | Place::Start | Place::AfterCr => match byte {
                b'\n' | b'\r' => {
                    self.dispatch();
                    after_line(byte)
                }
                b'd' => Place::Name(1),
                _ => Place::Rest,
            },
            Place::Name(at) if DATA.get(usize::from(at)) == Some(&byte) => Place::Name(at + 1),
            Place::Name(at) => {
                // A name alone is a field without a value.
                self.has_data |= usize::from(at) == DATA.len() && (is_line_end || byte == b':');
                if is_line_end { after_line(byte) } else { Place::Rest }
            }
            Place::Mark(_) | Place::Rest if is_line_end => after_line(byte),
            Place::Mark(_) | Place::Rest => Place::Rest,
        }
    }
}

/// The beginning of a line, after the one that `end` has ended.
fn after_line(end: u8) -> Place {
    if end == b'\r' { Place::AfterCr } else { Place::Start }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts `stream` whole, cut in two at every offset, and byte by byte.
    #[track_caller]
    fn check(stream: impl AsRef<[u8]>, events: u64) {
        let stream = stream.as_ref();
        let shown = stream.escape_ascii();
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            assert_eq!(count([first, second]), events, "cut at {cut}: {shown}");
        }
        assert_eq!(count(stream.chunks(1)), events, "byte by byte: {shown}");
    }

    fn count<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> u64 {
        let mut counter = EventCounter::default();
        parts.into_iter().for_each(|part| counter.push(part));
        counter.events()
    }

    #[test]
    fn an_event_is_dispatched_by_the_empty_line_after_its_data() {
        check("data: a\n\n", 1);
        check("data: a\n\ndata: b\n\ndata: [DONE]\n\n", 3);
        check("event: x\nid: 1\ndata: a\ndata: b\nretry: 5\n\n", 1);
        check("data:a\n", 0);
        check("data: a\n\ndata: b\n", 1);
        check("", 0);
    }

    #[test]
    fn lines_end_in_lf_cr_or_crlf() {
        check("data: a\r\n\r\ndata: b\r\n\r\n", 2);
        check("data: a\r\rdata: b\r\r", 2);
        check("data: a\n\rdata: b\r\n\n", 2);
        check("data: a\r\n", 0);
        check("data: a\n\r\n\r\n", 1);
    }

    #[test]
    fn comments_and_other_fields_alone_are_no_event() {
        check(": keep-alive\n\n", 0);
        check(":\n\n:data: a\n\n", 0);
        check("event: ping\n\n", 0);
        check("\n\n\n", 0);
        check(": ping\ndata: a\n: pong\n\n", 1);
        check("event: ping\n\ndata: a\n\n\n", 1);
    }

    #[test]
    fn the_field_is_exactly_data_with_or_without_a_value() {
        check("data\n\n", 1);
        check("data:\n\n", 1);
        check("data:\r\rdata\r\r", 2);
        for other in ["dat", "datas", "Data: a", " data: a", "data : a", "adata: a", "xdata:", "d"]
        {
            check(format!("{other}\n\n"), 0);
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_alone() {
        check(b"\xef\xbb\xbfdata: a\n\n", 1);
        check(b"\xef\xbb\xbf\ndata: a\n\n", 1);
        check(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", 0);
        check(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", 1);
        check(b"\xef\xbbdata: a\n\n", 0);
        check(b"\xef\n\xbbx\ndata: a\n\n", 1);
    }

    /// Every stream of up to six of these words, against a reader that takes the grammar at its
    /// word.
    #[test]
    fn any_stream_has_the_events_of_the_grammar() {
        const WORDS: [&[u8]; 6] = [b"data", b":", b"\n", b"\r", b"x", MARK];
        for length in 0..=6 {
            for number in 0..WORDS.len().pow(length) {
                let word = |at| WORDS[number / WORDS.len().pow(at) % WORDS.len()];
                let stream = (0..length).map(word).collect::<Vec<_>>().concat();
                let want = naive(&stream);
                assert_eq!(count([&stream[..]]), want, "{}", stream.escape_ascii());
                assert_eq!(count(stream.chunks(1)), want, "{}", stream.escape_ascii());
            }
        }
    }

    fn naive(stream: &[u8]) -> u64 {
        let text = String::from_utf8(stream.to_vec()).unwrap();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut data) = (0, String::new());
        // What is behind the last line end is no line.
        let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
        for line in lines.split('\n').filter(|_| text.contains('\n')) {
            match line.split_once(':').unwrap_or((line, "")) {
                ("", "") if line.is_empty() => {
                    events += u64::from(!data.is_empty());
                    data.clear();
                }
                ("data", value) => data += &format!("{value}\n"),
                _ => {}
            }
        }
        events
    }
}
