//! One request over an open connection, and its response: [`Connection::exchange`].
//!
//! The response is read whole, within [`ACME_ANSWER_BYTES_MAX`]. Interim responses are skipped.
//! The caller limits the time.

use crate::acme::message::Response;
use crate::error::{Cause, ExchangeError, ResponseError};
use crate::h1::body::BodyReader;
use crate::h1::field::FieldId;
use crate::h1::framing::{ResponseTo, response_body_length};
use crate::h1::head::{ResponseHead, Version};
use crate::h1::head_error::HeadError;
use crate::h1::head_reader::HeadReader;
use crate::h1::limits::HeadLimits;
use crate::limits::{ACME_ANSWER_BYTES_MAX, ACME_FIELD_BYTES_MAX, INTERIM_RESPONSES_MAX};
use crate::net::transport::{Peek, Transport, receive, send_all};
use bytes::{Buf, BytesMut};
use std::io;

/// Why there is no response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The connection ended before the first byte of a response.
    Unanswered,
    /// The connection failed, or the response cannot be read.
    Error(ExchangeError),
    /// The response is longer than [`ACME_ANSWER_BYTES_MAX`].
    TooLong,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    /// What was received and is not consumed.
    bytes: BytesMut,
}

impl Connection {
    /// One that has not been used.
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, bytes: BytesMut::new() }
    }

    /// Whether it can take another request: nothing has arrived since the last response.
    pub(super) fn is_silent(&self) -> bool {
        self.bytes.is_empty() && self.transport.peek() == Peek::Silence
    }

    /// Sends `request`, a head and a body, and receives the response. The flag says whether the
    /// connection may be used again.
    ///
    /// # Errors
    /// The connection ends early, or the response is malformed or too long.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        to: ResponseTo,
    ) -> Result<(Response, bool), Failed> {
        let sent = send_all(&mut self.transport, request).await;
        if sent.is_err() && self.bytes.is_empty() {
            return Err(Failed::Unanswered);
        }
        let (mut response, mut body, persists) = self.head(to).await?;
        self.body(&mut body, &mut response.body).await?;
        Ok((response, persists && self.bytes.is_empty()))
    }

    /// The head of the final response, how to read its body, and whether the connection persists
    /// after it (RFC 9112, section 9.3).
    async fn head(&mut self, to: ResponseTo) -> Result<(Response, BodyReader, bool), Failed> {
        for _ in 0..=INTERIM_RESPONSES_MAX {
            let end = self.end_of_head().await?;
            let head = self.bytes.split_to(end);
            let head = ResponseHead::parse(&head, &HeadLimits::default()).map_err(bad_head)?;
            if (100..200).contains(&head.status) {
                continue;
            }
            let length = response_body_length(&head, to);
            let length = length.map_err(|it| malformed(ResponseError::Framing(it)))?;
            let closes = head.fields.lists(FieldId::Connection, b"close");
            let body = BodyReader::new(length);
            let persists = head.version == Version::Http11
                && !closes
                && !matches!(body, BodyReader::UntilClose);
            return Ok((response(&head), body, persists));
        }
        Err(malformed(ResponseError::TooManyInterim))
    }

    async fn end_of_head(&mut self) -> Result<usize, Failed> {
        let mut reader = HeadReader::for_response();
        loop {
            let found = reader.find(&self.bytes, &HeadLimits::default());
            if let Some(span) = found.map_err(bad_head)? {
                return Ok(span.end);
            }
            let is_first = self.bytes.is_empty();
            match self.receive().await {
                Ok(1..) => {}
                Ok(0) | Err(_) if is_first => return Err(Failed::Unanswered),
                Ok(_) => return Err(closed_early()),
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    async fn body(&mut self, body: &mut BodyReader, into: &mut Vec<u8>) -> Result<(), Failed> {
        while !body.is_finished() {
            let walk = body.walk(&self.bytes);
            let broken = |it| Failed::Error(ExchangeError::upstream(Cause::Chunk(it)));
            let walk = walk.map_err(broken)?;
            if into.len() + walk.content_len() > ACME_ANSWER_BYTES_MAX {
                return Err(Failed::TooLong);
            }
            walk.content(&self.bytes).for_each(|it| into.extend_from_slice(it));
            self.bytes.advance(walk.consumed);
            if walk.consumed > 0 || walk.finished {
                continue;
            }
            match self.receive().await {
                Ok(1..) => {}
                Ok(_) if body.may_end_by_close() => return Ok(()),
                Ok(_) => return Err(closed_early()),
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    /// Reads once. 0 is the end.
    async fn receive(&mut self) -> io::Result<usize> {
        receive(&mut self.transport, &mut self.bytes).await
    }
}

/// What `head` says, without a body.
fn response(head: &ResponseHead<'_>) -> Response {
    let field = |name| head.fields.printable(name, ACME_FIELD_BYTES_MAX).map(str::to_owned);
    Response {
        status: head.status,
        nonce: field("replay-nonce"),
        location: field("location"),
        retry_after: field("retry-after"),
        date: field("date"),
        body: Vec::new(),
    }
}

fn bad_head(error: HeadError) -> Failed {
    malformed(ResponseError::Head(error))
}

fn malformed(error: ResponseError) -> Failed {
    Failed::Error(ExchangeError::upstream(Cause::Response(error)))
}

fn closed_early() -> Failed {
    Failed::Error(ExchangeError::upstream(Cause::ClosedEarly))
}

fn failed(error: &io::Error) -> Failed {
    Failed::Error(ExchangeError::upstream(Cause::Io(error.kind().into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{End, MemoryStream};
    use ResponseTo::Other;
    use std::future::poll_fn;
    use std::io::IoSlice;

    const NONCED: &str = "HTTP/1.1 201 Created\r\nReplay-Nonce: n1\r\nLocation: https://a/1\r\n\
        Retry-After: 3\r\nContent-Length: 2\r\n\r\n{}";

    /// What comes of a request to which `answer` is sent, in pieces of `size`, then this end.
    async fn exchange(
        answer: &str,
        size: usize,
        end: Option<End>,
        to: ResponseTo,
    ) -> Result<(Response, bool), Failed> {
        let (near, mut far) = MemoryStream::pair(1 << 20);
        for piece in answer.as_bytes().chunks(size) {
            poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(piece)])).await.unwrap();
        }
        if let Some(end) = end {
            far.end(end);
        }
        Connection::new(near.into()).exchange(b"GET / HTTP/1.1\r\n\r\n", to).await
    }

    #[tokio::test]
    async fn a_response_is_read_with_its_fields_however_it_arrives() {
        let chunked = NONCED
            .replace("Content-Length: 2", "Transfer-Encoding: chunked")
            .replace("{}", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
        let interim = format!("HTTP/1.1 103 Early Hints\r\n\r\n{NONCED}");
        for answer in [NONCED, &chunked, &interim] {
            for size in 1..answer.len() {
                let (response, persists) = exchange(answer, size, None, Other).await.unwrap();
                assert_eq!((response.status, &*response.body, persists), (201, &b"{}"[..], true));
                assert_eq!(response.nonce.as_deref(), Some("n1"));
                assert_eq!(response.location.as_deref(), Some("https://a/1"));
                assert_eq!(response.retry_after.as_deref(), Some("3"));
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_not_used_again_if_the_peer_ends_it_or_sends_more() {
        for (answer, end) in [
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", None),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\nall of it", Some(End::Clean)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", None),
        ] {
            let (_, persists) = exchange(answer, 1000, end, Other).await.unwrap();
            assert!(!persists, "{answer}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert!(exchange(head, 1000, None, ResponseTo::Head).await.unwrap().1);
    }

    #[tokio::test]
    async fn an_end_before_the_first_byte_is_told_from_one_in_the_middle() {
        for end in [End::Clean, End::Cut, End::Reset] {
            assert_eq!(exchange("", 1, Some(end), Other).await, Err(Failed::Unanswered));
        }
        for cut in 1..NONCED.len() {
            let cut = exchange(&NONCED[..cut], 1000, Some(End::Clean), Other).await;
            assert_eq!(cut, Err(closed_early()));
        }
    }

    #[tokio::test]
    async fn a_response_that_is_not_http_or_never_ends_is_an_error() {
        for answer in ["220 smtp.example\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            assert!(matches!(exchange(answer, 1000, None, Other).await, Err(Failed::Error(_))));
        }
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
        let endless = exchange(&interim, 1000, None, Other).await;
        assert_eq!(endless, Err(malformed(ResponseError::TooManyInterim)));
        let body = "x".repeat(ACME_ANSWER_BYTES_MAX + 1);
        let large = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        assert_eq!(exchange(&large, 4096, None, Other).await, Err(Failed::TooLong));
    }

    #[tokio::test]
    async fn a_field_that_is_not_printable_or_too_long_counts_as_missing() {
        for nonce in ["\u{7f}", "\u{e9}", &"n".repeat(ACME_FIELD_BYTES_MAX + 1)] {
            let answer =
                format!("HTTP/1.1 200 OK\r\nReplay-Nonce: {nonce}\r\nContent-Length: 0\r\n\r\n");
            // A control character is refused with its head.
            if let Ok((response, _)) = exchange(&answer, 4096, None, Other).await {
                assert_eq!(response.nonce, None);
            }
        }
    }
}
