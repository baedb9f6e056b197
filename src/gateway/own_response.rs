//! The responses that are our own: refusals, failures, and the answers to OPTIONS.
//!
//! Not here: which of them an error gets (`gateway::answer`).

use crate::gateway::answer::{Answer, ResponseOptions};
use crate::gateway::request_id::{RequestId, put_request_id};
use crate::h1::encode::put_decimal;
use alloc::borrow::Cow;
use alloc::format;
use bytes::{BufMut, BytesMut};

/// The head of an own response, beyond what its options say.
#[derive(Clone, Copy, Debug)]
pub struct OwnHead<'a> {
    /// The status code.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a str,
    /// The type of the content; empty if there is none.
    pub media_type: &'a str,
    /// The length of the content.
    pub length: usize,
    /// The id of the exchange; `None` if there is none in the log.
    pub id: Option<RequestId>,
    /// Further field lines, each with its CRLF.
    pub fields: &'a str,
}

/// Appends an own response, its body in the shape of error that the OpenAI SDKs read. `date` is an
/// IMF-fixdate (RFC 9110, section 6.6.1), `id` that of the exchange. Nothing that a peer sent can
/// appear in it. Returns how many bytes of content it has.
pub fn put_own_response(
    out: &mut BytesMut,
    answer: &Answer,
    options: ResponseOptions,
    date: &str,
    id: Option<RequestId>,
) -> usize {
    let parts = error_content(answer);
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let Answer { status, reason, fields, retry_after, .. } = *answer;
    let fields = match retry_after {
        None => Cow::Borrowed(fields),
        Some(seconds) => Cow::Owned(format!("{fields}Retry-After: {seconds}\r\n")),
    };
    let media_type = if length > 0 { "application/json" } else { "" };
    let head = OwnHead { status, reason, media_type, length, id, fields: &fields };
    put_own_head(out, &head, options, date);
    if options.head_only {
        return 0;
    }
    parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    length
}

/// The content of an answer, in parts; empty if it has no code.
pub fn error_content(answer: &Answer) -> [&'static str; 5] {
    const OPEN: &str = r#"{"error":{"message":""#;
    const MIDDLE: &str = r#"","type":"narrows","code":""#;
    // With a newline, for those who read it in a terminal.
    const CLOSE: &str = "\",\"param\":null}}\n";
    if answer.code.is_empty() {
        return [""; 5];
    }
    [OPEN, answer.message, MIDDLE, answer.code, CLOSE]
}

/// Appends the head of an own response.
pub fn put_own_head(out: &mut BytesMut, head: &OwnHead<'_>, options: ResponseOptions, date: &str) {
    out.put_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(head.status));
    out.put_u8(b' ');
    out.put_slice(head.reason.as_bytes());
    out.put_slice(b"\r\nDate: ");
    out.put_slice(date.as_bytes());
    if !head.media_type.is_empty() {
        out.put_slice(b"\r\nContent-Type: ");
        out.put_slice(head.media_type.as_bytes());
    }
    // RFC 9110, section 8.6: no Content-Length in a 204, which says it all by itself.
    if head.status != 204 {
        out.put_slice(b"\r\nContent-Length: ");
        put_decimal(out, head.length as u64);
    }
    if options.for_page {
        out.put_slice(b"\r\nAccess-Control-Allow-Origin: *");
        // A script sees few other fields without this (Fetch, section 3.3.3).
        out.put_slice(b"\r\nAccess-Control-Expose-Headers: X-Request-Id, Retry-After");
    }
    if options.close {
        out.put_slice(b"\r\nConnection: close");
    } else if options.tell_keep_alive {
        out.put_slice(b"\r\nConnection: keep-alive");
    }
    out.put_slice(b"\r\n");
    put_request_id(out, head.id);
    out.put_slice(head.fields.as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: ResponseOptions = ResponseOptions::CLOSE;

    const NOT_FOUND: Answer = Answer {
        status: 404,
        reason: "Not Found",
        fields: "",
        retry_after: None,
        code: "route_not_found",
        message: "No route.",
    };

    fn text(answer: &Answer, options: ResponseOptions) -> String {
        let mut out = BytesMut::new();
        let id = Some(RequestId::new(0x0123_4567_89ab_cdef));
        put_own_response(&mut out, answer, options, "Sun, 06 Nov 1994 08:49:37 GMT", id);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_own_error_has_the_shape_that_the_sdks_read() {
        let body = concat!(
            r#"{"error":{"message":"No route.","type":"narrows","#,
            r#""code":"route_not_found","param":null}}"#,
            "\n"
        );
        let want = format!(
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\nX-Request-Id: 0123456789abcdef\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(text(&NOT_FOUND, CLOSE), want);
    }

    #[test]
    fn a_page_of_any_origin_may_read_an_own_answer() {
        let page = text(&NOT_FOUND, ResponseOptions { for_page: true, ..CLOSE });
        assert!(page.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{page}");
        assert!(
            page.contains("\r\nAccess-Control-Expose-Headers: X-Request-Id, Retry-After\r\n"),
            "{page}"
        );
        assert!(!text(&NOT_FOUND, CLOSE).contains("Access-Control"));
    }

    #[test]
    fn the_answer_to_head_tells_the_length_and_sends_nothing() {
        let full = text(&NOT_FOUND, CLOSE);
        let head = text(&NOT_FOUND, ResponseOptions { head_only: true, ..CLOSE });
        assert_eq!(head, full[..full.find("\r\n\r\n").unwrap() + 4]);
    }

    #[test]
    fn a_204_has_no_length_and_no_body() {
        let answer = Answer { status: 204, code: "", fields: "Allow: GET\r\n", ..NOT_FOUND };
        let text = text(&answer, ResponseOptions { close: false, ..CLOSE });
        let end = "\r\nX-Request-Id: 0123456789abcdef\r\nAllow: GET\r\n\r\n";
        assert!(text.ends_with(end) && !text.contains("Content"), "{text}");
    }
}
