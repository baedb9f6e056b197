//! Heads and chunked bodies, compared with the naive reading, however they arrive.

use super::arrival::arrivals;
use super::naive::{self, Verdict};
use super::oracle;
use crate::gateway::request::validate;
use crate::gateway::rewrite::{put_trailers, trailers_for};
use crate::h1::body::{After, BodyReader, BodyWriter};
use crate::h1::chunked::{ChunkError, ChunkedDecoder, Step};
use crate::h1::encode::ChunkHeader;
use crate::h1::framing::BodyLength;
use crate::h1::head::{RequestHead, ResponseHead, Version};
use crate::h1::head_error::HeadError;
use crate::h1::head_reader::{HeadReader, HeadSpan};
use crate::h1::limits::{CHUNK_LINE_BYTES_MAX, HeadLimits, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use crate::h1::section::{FieldSection, parse_trailers};
use crate::h1::target::RequestTarget;
use bytes::BytesMut;

/// Small enough for a fuzzer to reach.
const TIGHT: HeadLimits = HeadLimits { bytes: 256, fields: 6 };
const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };

/// Reading a request head never panics, respects its limits, does not depend on how the bytes
/// arrive, and accepts exactly the heads that the grammar allows, with the meaning that it gives
/// them.
pub fn request_head(data: &[u8]) {
    for limits in [WIDE, TIGHT] {
        let parse = |head: &[u8]| RequestHead::parse(head, &limits).map(|_| ());
        let found = find(&HeadReader::default(), data, &limits, parse);
        let naive = naive::request_head(data, naive_limits(limits));
        if let Err(HeadError::Target(_)) = found {
            check_refused_target(data);
            continue;
        }
        // The parser by itself accepts nothing but one whole head.
        let is_head = found == Ok(Some(HeadSpan { start: 0, end: data.len() }));
        assert!(is_head || RequestHead::parse(data, &limits).is_err());
        let Some(span) = same_end(&found, &naive) else { continue };
        let head = &data[span.start..span.end];
        let parsed = RequestHead::parse(head, &limits);
        let (Ok(parsed), Verdict::Whole(naive)) = (&parsed, &naive) else {
            assert!(parsed.is_err() && naive == Verdict::Bad, "{parsed:?} {naive:?}");
            continue;
        };
        assert_eq!((parsed.method, parsed.target), (naive.method(), naive.target()));
        assert_eq!(parsed.version == Version::Http10, naive.is_http10());
        assert!(head.len() <= limits.bytes);
        check_fields(&parsed.fields, &naive.fields);
        let _ = validate(parsed);
    }
}

/// A target was refused at the end of its line, and rightly so.
fn check_refused_target(data: &[u8]) {
    let line = data.split(|it| *it == b'\n').find(|it| *it != b"\r").unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|it| *it == b' ').collect();
    assert!(RequestTarget::parse(words[0], words[1]).is_err(), "{:?}", naive::text(line));
}

/// The same for the head of a response.
pub fn response_head(data: &[u8]) {
    for limits in [WIDE, TIGHT] {
        let parse = |head: &[u8]| ResponseHead::parse(head, &limits).map(|_| ());
        let found = find(&HeadReader::for_response(), data, &limits, parse);
        let naive = naive::response_head(data, naive_limits(limits));
        let is_head = found == Ok(Some(HeadSpan { start: 0, end: data.len() }));
        assert!(is_head || ResponseHead::parse(data, &limits).is_err());
        let Some(span) = same_end(&found, &naive) else { continue };
        let head = &data[span.start..span.end];
        let parsed = ResponseHead::parse(head, &limits);
        let (Ok(parsed), Verdict::Whole(naive)) = (&parsed, &naive) else {
            assert!(parsed.is_err() && naive == Verdict::Bad, "{parsed:?} {naive:?}");
            continue;
        };
        assert_eq!((parsed.status, parsed.reason), (naive.status(), naive.reason()));
        assert_eq!(parsed.version == Version::Http10, naive.is_http10());
        assert!(head.len() <= limits.bytes);
        check_fields(&parsed.fields, &naive.fields);
    }
}

pub(super) fn naive_limits(limits: HeadLimits) -> naive::HeadBounds {
    naive::HeadBounds { bytes: limits.bytes, fields: limits.fields }
}

type FoundHead = Result<Option<HeadSpan>, HeadError>;

/// Where the head ends, which is the same however it arrives. The reader or the parser refuses an
/// invalid start line, with the same error.
fn find(
    reader: &HeadReader,
    data: &[u8],
    limits: &HeadLimits,
    parse: impl Fn(&[u8]) -> Result<(), HeadError>,
) -> FoundHead {
    let [whole, bytewise, pieces] = arrivals(data).map(|positions| {
        let mut reader = reader.clone();
        let found = positions
            .into_iter()
            .map(|position| reader.find(&data[..position], limits))
            .find(|found| !matches!(found, Ok(None)))
            .unwrap_or(Ok(None))?;
        if let Some(span) = found {
            parse(&data[span.start..span.end])?;
        }
        Ok(found)
    });
    if let (Ok(Some(span)), Err(HeadError::Target(_))) = (whole, bytewise) {
        // The reader checks the target of a line that arrives alone; of a whole head, `validate`
        // does.
        check_refused_target(&data[span.start..]);
        return bytewise;
    }
    assert_eq!(bytewise, whole, "arrival changed the meaning");
    assert!(pieces == whole || matches!(pieces, Err(HeadError::Target(_))), "{pieces:?} {whole:?}");
    whole
}

/// The head's place, if one was found. The naive reading agrees.
fn same_end(found: &FoundHead, naive: &Verdict<naive::Head>) -> Option<HeadSpan> {
    match (found, naive) {
        (Ok(None), naive) => assert_eq!(*naive, Verdict::Partial),
        (Err(_), naive) => assert_eq!(*naive, Verdict::Bad),
        (Ok(Some(span)), naive) => {
            assert_eq!(naive.clone().whole().map(|head| head.end), Some(span.end));
        }
    }
    found.ok().flatten()
}

fn check_fields(ours: &FieldSection<'_>, naive: &[naive::Field]) {
    assert_eq!(ours.lines().len(), naive.len());
    assert_eq!(ours.bytes(), naive.iter().flat_map(|it| it.raw.clone()).collect::<Vec<_>>());
    for (line, naive) in ours.lines().iter().zip(naive) {
        assert_eq!(ours.bytes()[line.start as usize..line.end as usize], naive.raw);
        assert_eq!(ours.value(line), naive.value);
        assert_eq!(naive::text(ours.name(line)).to_ascii_lowercase(), naive.name);
    }
}

/// Decoding a chunked body never panics, is bounded, does not depend on how the bytes arrive, and
/// finds the content that the grammar defines. What we write from it, hyper reads as the same
/// content with nothing left over, or as incomplete if it was.
pub fn chunked(data: &[u8]) {
    let naive = naive::chunked(data);
    let mut written = Vec::new();
    for positions in arrivals(data) {
        let decoded = decode(data, &positions);
        match (&decoded, &naive) {
            (Ok(None), Verdict::Partial) | (Err(_), Verdict::Bad) => {}
            (Ok(Some(body)), Verdict::Whole(naive)) => assert_eq!(body, naive),
            _ => panic!("{decoded:?} {naive:?}"),
        }
        let chunked = BodyLength::Chunked;
        written.push(rewrite(chunked, BodyWriter::Chunked, data, &positions));
    }
    for bytes in written {
        check_rewritten(&bytes, &naive);
    }
    check_trailers(data);
    assert!(ChunkHeader::new(0).as_bytes().is_empty(), "no content ends no body");
    if let Verdict::Whole(naive::Body { trailers: Some(section), .. }) = &naive {
        check_trailers(section);
    }
}

/// Decodes `data` as it arrives.
fn decode(data: &[u8], positions: &[usize]) -> Result<Option<naive::Body>, ChunkError> {
    let (mut decoder, mut body) = (ChunkedDecoder::default(), naive::Body::default());
    for &position in positions {
        loop {
            let input = &data[body.end..position];
            match decoder.step(input)? {
                Step::NeedMore => {
                    let kept = (CHUNK_LINE_BYTES_MAX + 2).max(TRAILER_BYTES_MAX);
                    assert!(input.len() < kept, "{} bytes are kept", input.len());
                    break;
                }
                Step::Framing(len) => body.end += len,
                Step::Content(len) => {
                    assert!(len > 0);
                    body.content.extend_from_slice(&input[..len]);
                    body.end += len;
                }
                Step::Trailer(len) => {
                    body.trailers = Some(input[..len].to_vec());
                    body.end += len;
                }
                Step::End(len) => {
                    body.end += len;
                    assert!(decoder.is_finished());
                    return Ok(Some(body));
                }
            }
        }
    }
    Ok(None)
}

/// What a receiver gets of the body in `data`, up to its first fault. Trailers are left out.
pub(super) fn rewrite(
    length: BodyLength,
    writer: BodyWriter,
    data: &[u8],
    positions: &[usize],
) -> Vec<u8> {
    let (mut reader, mut out, mut at) = (BodyReader::new(length), Vec::new(), 0);
    for &position in positions {
        while at < position && !reader.is_finished() {
            let input = &data[at..position];
            let Ok(walk) = reader.walk(input) else { return out };
            let content: Vec<u8> = walk.content(input).flatten().copied().collect();
            assert_eq!(content.len(), walk.content_len());
            let after = match (walk.finished, &walk.trailers) {
                (false, _) => After::More,
                (true, None) => After::End,
                (true, Some(_)) => After::Trailers,
            };
            out.extend_from_slice(writer.before(content.len()).as_bytes());
            out.extend_from_slice(&content);
            out.extend_from_slice(writer.after(content.len(), after));
            match walk.trailers.map(|range| trailers_for(writer, &input[range])) {
                Some(Ok(Some(_))) => out.extend_from_slice(b"\r\n"),
                Some(Ok(None)) | None => {}
                Some(Err(_)) => return out,
            }
            at += walk.consumed;
            if walk.consumed == 0 {
                break;
            }
        }
    }
    out
}

fn check_rewritten(bytes: &[u8], naive: &Verdict<naive::Body>) {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let read = oracle::server_reads(&[HEAD, bytes].concat());
    let whole = match naive {
        Verdict::Whole(body) => {
            let section = body.trailers.as_deref();
            section.is_none_or(|it| naive::trailers(it).is_some()).then_some(&body.content)
        }
        Verdict::Bad | Verdict::Partial => None,
    };
    match whole {
        Some(content) => {
            let bytes = naive::text(bytes);
            assert!(read.nothing_left_over && read.requests.len() == 1, "{bytes:?} {read:?}");
            assert_eq!(read.requests[0].content, *content);
        }
        None => assert!(read.requests.is_empty() && !read.nothing_left_over, "{read:?}"),
    }
}

/// A trailer section is read as the grammar says, and what is passed on of it is one, too.
fn check_trailers(section: &[u8]) {
    let (ours, naive) = (parse_trailers(section, TRAILER_FIELDS_MAX), naive::trailers(section));
    let (Ok(ours), Some(naive)) = (&ours, &naive) else {
        assert!(ours.is_err() && naive.is_none(), "{ours:?} {naive:?}");
        return;
    };
    check_fields(ours, naive);
    let mut out = BytesMut::new();
    put_trailers(&mut out, ours);
    let passed = naive::trailers(&out).expect("a trailer section");
    assert!(passed.iter().all(|it| naive.contains(it)));
}
