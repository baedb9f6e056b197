//! A client of HTTP/1.1 for one request after the other: [`Client`]. It reads whatever comes within
//! bounds, and judges nothing. The caller limits the time.

use crate::h1::body::BodyReader;
use crate::h1::field::FieldId;
use crate::h1::framing::{ResponseTo, response_body_length};
use crate::h1::head::{ResponseHead, Version};
use crate::h1::head_reader::HeadReader;
use crate::h1::limits::HeadLimits;
use crate::limits::INTERIM_RESPONSES_MAX;
use crate::net::transport::{Transport, receive, send_all};
use bytes::{Buf, BytesMut};
use std::io::{self, ErrorKind};
use std::time::SystemTime;

/// Most bytes of a body that are read. Errors of APIs are much shorter.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest value of a field that is of interest.
const VALUE_BYTES_MAX: usize = 512;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    bytes: BytesMut,
}

/// What is of interest in a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) date: Option<SystemTime>,
    pub(super) server: Option<String>,
    pub(super) location: Option<String>,
    pub(super) content_type: Option<String>,
    /// Whether the connection may be used again after the body.
    pub(super) persists: bool,
}

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) head: Head,
    /// Its beginning, if it is long.
    pub(super) body: Vec<u8>,
    /// Whether the connection may be used again.
    pub(super) persists: bool,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The connection ended, or was reset.
    Ended,
    /// What came is not HTTP/1.
    NotHttp,
}

impl Client {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, bytes: BytesMut::new() }
    }

    /// Sends a request, and reads the response.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Response, Unanswered> {
        // One that ended early may have sent its reason first.
        let _sent = self.send(request).await;
        let (head, mut body) = self.head().await?;
        let mut content = Vec::new();
        let whole = loop {
            match self.content(&mut body, &mut content).await {
                Ok(false) if content.len() < BODY_BYTES_MAX => {}
                Ok(is_finished) => break is_finished,
                Err(_) => break false,
            }
        };
        let persists = whole && head.persists && self.bytes.is_empty();
        Ok(Response { head, body: content, persists })
    }

    /// Sends bytes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        send_all(&mut self.transport, bytes).await
    }

    /// Reads the final head.
    pub(super) async fn head(&mut self) -> Result<(Head, BodyReader), Unanswered> {
        let limits = HeadLimits::default();
        for _ in 0..=INTERIM_RESPONSES_MAX {
            let mut reader = HeadReader::for_response();
            let span = loop {
                let found = reader.find(&self.bytes, &limits).map_err(|_| Unanswered::NotHttp)?;
                match found {
                    Some(span) => break span,
                    None if self.receive().await.is_ok_and(|read| read > 0) => {}
                    None => return Err(Unanswered::Ended),
                }
            };
            let bytes = self.bytes.split_to(span.end);
            let head = ResponseHead::parse(&bytes, &limits).map_err(|_| Unanswered::NotHttp)?;
            if (100..200).contains(&head.status) {
                continue;
            }
            let length = response_body_length(&head, ResponseTo::Other);
            let body = BodyReader::new(length.map_err(|_| Unanswered::NotHttp)?);
            return Ok((of_interest(&head, &body), body));
        }
        Err(Unanswered::NotHttp)
    }

    /// Appends the content that comes next to `into`. Whether the body is complete.
    pub(super) async fn content(
        &mut self,
        body: &mut BodyReader,
        into: &mut Vec<u8>,
    ) -> io::Result<bool> {
        loop {
            if body.is_finished() {
                return Ok(true);
            }
            let walk = body.walk(&self.bytes).map_err(|_| ErrorKind::InvalidData)?;
            walk.content(&self.bytes).for_each(|it| into.extend_from_slice(it));
            let (consumed, content) = (walk.consumed, walk.content_len());
            self.bytes.advance(consumed);
            if content > 0 {
                return Ok(body.is_finished());
            }
            if consumed == 0 && !body.is_finished() && self.receive().await? == 0 {
                return if body.may_end_by_close() {
                    Ok(true)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    async fn receive(&mut self) -> io::Result<usize> {
        receive(&mut self.transport, &mut self.bytes).await
    }
}

fn of_interest(head: &ResponseHead<'_>, body: &BodyReader) -> Head {
    let closes = head.fields.lists(FieldId::Connection, b"close");
    let value = |name| head.fields.printable(name, VALUE_BYTES_MAX);
    Head {
        status: head.status,
        date: value("date").and_then(|it| httpdate::parse_http_date(it).ok()),
        server: value("server").map(str::to_owned),
        location: value("location").map(str::to_owned),
        content_type: value("content-type").map(str::to_owned),
        persists: head.version == Version::Http11
            && !closes
            && !matches!(body, BodyReader::UntilClose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{End, MemoryStream};
    use std::future::poll_fn;
    use std::io::IoSlice;

    /// The response that `bytes` are taken for.
    async fn ask(bytes: &str, end: Option<End>) -> Result<Response, Unanswered> {
        let (near, mut far) = MemoryStream::pair(1 << 20);
        poll_fn(|cx| far.poll_write(cx, &[IoSlice::new(bytes.as_bytes())])).await.unwrap();
        end.into_iter().for_each(|end| far.end(end));
        Client::new(near.into()).ask(b"GET / HTTP/1.1\r\n\r\n").await
    }

    #[tokio::test]
    async fn a_response_is_read_with_what_is_of_interest() {
        let text = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 401 Unauthorized\r\n\
                    Date: Thu, 01 Jan 1970 00:00:07 GMT\r\nServer: cloudflare\r\n\
                    Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        let response = ask(text, None).await.unwrap();
        assert_eq!((response.head.status, &*response.body), (401, &b"{}"[..]));
        assert_eq!(response.head.server.as_deref(), Some("cloudflare"));
        let seconds = response.head.date.unwrap().duration_since(SystemTime::UNIX_EPOCH);
        assert!(response.persists && seconds.unwrap().as_secs() == 7);
    }

    #[tokio::test]
    async fn a_response_without_content_is_whole() {
        let response = ask("HTTP/1.1 204 No Content\r\n\r\n", None).await.unwrap();
        assert!(response.body.is_empty() && response.persists);
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_and_the_connection_not_used_again() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
        let response = ask(&(head.to_owned() + &"x".repeat(100_000)), None).await.unwrap();
        assert!(response.body.len() < 2 * BODY_BYTES_MAX && !response.persists);
        let response = ask("HTTP/1.0 200 OK\r\n\r\nabc", Some(End::Clean)).await.unwrap();
        assert!(response.body == b"abc" && !response.persists);
    }

    #[tokio::test]
    async fn what_is_not_http_and_an_early_end_are_told_apart() {
        assert_eq!(ask("SSH-2.0-x\r\n\r\n", None).await, Err(Unanswered::NotHttp));
        assert_eq!(ask("", Some(End::Clean)).await, Err(Unanswered::Ended));
        assert_eq!(ask("HTTP/1.1 200", Some(End::Reset)).await, Err(Unanswered::Ended));
    }
}
