//! The responses that are our own: refusals, failures, and the answers to OPTIONS.
//!
//! Not here: which of them an error gets (`gateway::answer`).

use crate::h1::encode::put_decimal;
use bytes::{BufMut, BytesMut};

/// A response of our own. Every part is a constant of the program or a date, so nothing that a
/// peer sent can appear in it.
#[derive(Clone, Copy, Debug)]
pub struct OwnResponse<'a> {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'a str,
    /// Further field lines, each with its CRLF.
    pub fields: &'a str,
    /// What happened, as a word for programs: `error.code` of the body. Empty: no body at all.
    pub code: &'a str,
    /// What happened, as a sentence for people.
    pub message: &'a str,
    /// IMF-fixdate (RFC 9110, section 6.6.1).
    pub date: &'a str,
    /// Whether the connection ends with this response.
    pub close: bool,
    /// The request was HEAD: the response has the length, but no content.
    pub head_only: bool,
    /// The client speaks HTTP/1.0, so the response has to say that the connection stays open.
    pub keep_alive: bool,
    /// The request has an Origin: a page asks, and its browser lets it read only what says so.
    pub for_page: bool,
}

/// Appends an own response, its body in the shape of error that the OpenAI SDKs read.
pub fn put_own_response(out: &mut BytesMut, response: &OwnResponse<'_>) {
    let parts: [&str; 5] = if response.code.is_empty() {
        [""; 5]
    } else {
        const OPEN: &str = r#"{"error":{"message":""#;
        const MIDDLE: &str = r#"","type":"narrows","code":""#;
        // With a newline, for those who read it in a terminal.
        const CLOSE: &str = "\",\"param\":null}}\n";
        [OPEN, response.message, MIDDLE, response.code, CLOSE]
    };
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.put_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(response.status));
    out.put_u8(b' ');
    out.put_slice(response.reason.as_bytes());
    out.put_slice(b"\r\nDate: ");
    out.put_slice(response.date.as_bytes());
    if length > 0 {
        out.put_slice(b"\r\nContent-Type: application/json");
    }
    // RFC 9110, section 8.6: no Content-Length in a 204, which says it all by itself.
    if response.status != 204 {
        out.put_slice(b"\r\nContent-Length: ");
        put_decimal(out, length as u64);
    }
    if response.for_page {
        out.put_slice(b"\r\nAccess-Control-Allow-Origin: *");
    }
    if response.close {
        out.put_slice(b"\r\nConnection: close");
    } else if response.keep_alive {
        out.put_slice(b"\r\nConnection: keep-alive");
    }
    out.put_slice(b"\r\n");
    out.put_slice(response.fields.as_bytes());
    out.put_slice(b"\r\n");
    if !response.head_only {
        parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnResponse<'_> = OwnResponse {
        status: 404,
        reason: "Not Found",
        fields: "",
        code: "route_not_found",
        message: "No route.",
        date: "Sun, 06 Nov 1994 08:49:37 GMT",
        close: true,
        head_only: false,
        keep_alive: false,
        for_page: false,
    };

    fn text(response: &OwnResponse<'_>) -> String {
        let mut out = BytesMut::new();
        put_own_response(&mut out, response);
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
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(text(&OWN), want);
    }

    #[test]
    fn a_page_of_any_origin_may_read_an_own_answer() {
        let page = text(&OwnResponse { for_page: true, ..OWN });
        assert!(page.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{page}");
        assert!(!text(&OWN).contains("Access-Control"));
    }

    #[test]
    fn the_answer_to_head_tells_the_length_and_sends_nothing() {
        let full = text(&OWN);
        let head = text(&OwnResponse { head_only: true, ..OWN });
        assert_eq!(head, full[..full.find("\r\n\r\n").unwrap() + 4]);
    }

    #[test]
    fn a_204_has_no_length_and_no_body() {
        let own =
            OwnResponse { status: 204, code: "", fields: "Allow: GET\r\n", close: false, ..OWN };
        let text = text(&own);
        assert!(text.ends_with("\r\nAllow: GET\r\n\r\n") && !text.contains("Content"), "{text}");
    }
}
