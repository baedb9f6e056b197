//! HTTP/1.1 messages on the wire (RFC 9112), sans-IO: bytes in, decisions out.
//!
//! Nothing here knows a socket, a task, a clock, a file or a log, and nothing here knows narrows:
//! the module uses no other module of the crate and could be a crate of its own. The same code runs
//! in the relay, in unit tests that cut the input at every byte, and under a fuzzer. `purity/`
//! compiles it without the standard library.
//!
//! # How to drive it
//!
//! The caller owns the bytes. It appends what arrives to a buffer of its own, shows the buffer to
//! the reader of the current step, and removes what that step has consumed:
//!
//! 1. [`HeadReader`](head_reader::HeadReader) finds the end of the head.
//! 2. [`RequestHead`](head::RequestHead) or [`ResponseHead`](head::ResponseHead) parses it. Names
//!    and values are slices of the buffer.
//! 3. [`framing`] decides how long the body is.
//! 4. [`BodyReader`](body::BodyReader) marks the content in the bytes that follow.
//!
//! Bytes after the end of the body belong to the next message, and a new
//! [`HeadReader`](head_reader::HeadReader) starts with them.
//!
//! ```
//! use narrows::h1::body::BodyReader;
//! use narrows::h1::field::FieldId;
//! use narrows::h1::framing::{BodyLength, ResponseTo, request_body_length, response_body_length};
//! use narrows::h1::head::{RequestHead, ResponseHead};
//! use narrows::h1::head_reader::HeadReader;
//! use narrows::h1::limits::HeadLimits;
//!
//! let limits = HeadLimits::default();
//!
//! // A request arrives in three pieces, cut anywhere. The next request follows at once.
//! let pieces = [
//!     "POST /v1/chat HTTP/1.1\r\nHost: api.te",
//!     "st\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
//!     "lo\r\n8\r\n, world!\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
//! ];
//! let mut pieces = pieces.iter().map(|piece| piece.as_bytes());
//! let mut buffer = Vec::new();
//!
//! // 1. The head: the reader sees all bytes since the first, and keeps none of them.
//! let mut reader = HeadReader::default();
//! let span = loop {
//!     buffer.extend_from_slice(pieces.next().expect("a whole head arrives"));
//!     match reader.find(&buffer, &limits) {
//!         Ok(Some(span)) => break span,
//!         Ok(None) => {} // Not enough yet.
//!         Err(error) => panic!("answer 400 and close: {error:?}"),
//!     }
//! };
//!
//! // 2. and 3. What it says, and how long its body is.
//! let head = RequestHead::parse(&buffer[span.start..span.end], &limits).expect("a request");
//! assert_eq!((head.method, head.target), (&b"POST"[..], &b"/v1/chat"[..]));
//! assert_eq!(head.fields.single(FieldId::Host), Ok(Some(&b"api.test"[..])));
//! let length = request_body_length(&head).expect("one length");
//! assert_eq!(length, BodyLength::Chunked);
//! buffer.drain(..span.end);
//!
//! // 4. The body: `walk` marks the content in what is here, and says what is done with.
//! let (mut body, mut content) = (BodyReader::new(length), Vec::<u8>::new());
//! while !body.is_finished() {
//!     let walk = body.walk(&buffer).expect("a sound body");
//!     content.extend(walk.content(&buffer).flatten());
//!     let consumed = walk.consumed;
//!     buffer.drain(..consumed);
//!     if consumed == 0 {
//!         buffer.extend_from_slice(pieces.next().expect("a whole body arrives"));
//!     }
//! }
//! assert_eq!(content, b"hello, world!");
//! assert_eq!(buffer, b"GET / HTTP/1.1\r\n", "the next message is untouched");
//!
//! // A response is read in the same four steps. Its length depends on what was asked.
//! let response = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
//! let span = HeadReader::for_response().find(response, &limits).expect("a head");
//! let span = span.expect("a whole one");
//! let head = ResponseHead::parse(&response[..span.end], &limits).expect("a response");
//! assert_eq!((head.status, head.reason), (200, &b"OK"[..]));
//! assert_eq!(response_body_length(&head, ResponseTo::Head), Ok(BodyLength::None));
//! let length = response_body_length(&head, ResponseTo::Other).expect("one length");
//! assert_eq!(length, BodyLength::Exact(3));
//! let rest = &response[span.end..];
//! let walk = BodyReader::new(length).walk(rest).expect("a sound body");
//! assert!(walk.finished);
//! assert_eq!(walk.content(rest).collect::<Vec<_>>(), [b"yes"]);
//! ```
//!
//! # Files, from the ground up
//!
//! [`limits`], [`token`], [`lines`], [`field`] and [`connection`] are the basics. [`authority`],
//! [`target`] and [`dot_segments`] read where a request wants to go. `start_line` and [`section`]
//! know the grammar of single lines. [`head_reader`], [`head`] and [`partial_head`] read whole,
//! arriving and broken heads; [`head_error`] names what is wrong with them. [`framing`] decides how
//! long a body is, [`chunked`] and [`body`] walk through it, and [`encode`] writes.

pub mod authority;
pub mod body;
pub mod chunked;
pub mod connection;
pub mod dot_segments;
pub mod encode;
pub mod field;
pub mod framing;
pub mod head;
pub mod head_error;
pub mod head_reader;
pub mod limits;
pub mod lines;
pub mod partial_head;
pub mod section;
mod start_line;
pub mod target;
pub mod token;

#[cfg(test)]
mod tests;
