//! How long the body of a message is (RFC 9112, section 6.3).
//!
//! Two pure functions, one for each direction. Whatever two parsers have ever read in two ways is
//! an error, in a response as in a request: a message that is passed on must have one meaning.
//!
//! Not here: walking through the body (`h1::chunked`, `h1::body`), and the rule that a response to
//! CONNECT has none, because no CONNECT is sent.

use super::field::FieldId;
use super::head::{RequestHead, ResponseHead, Version};
use super::section::{FieldSection, Repeated};
use super::token::{is_token, parse_decimal, trim_ows};

/// The length of a message body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, and no field gives a length.
    None,
    /// Exactly this many bytes, perhaps none.
    Exact(u64),
    /// As many as the chunked coding says.
    Chunked,
    /// All bytes until the connection closes. Responses only.
    UntilClose,
}

impl BodyLength {
    /// Whether there is no content: no body, or one of `Content-Length: 0`.
    pub fn is_empty(self) -> bool {
        match self {
            Self::None | Self::Exact(0) => true,
            Self::Exact(_) | Self::Chunked | Self::UntilClose => false,
        }
    }
}

/// The request that a response answers, as far as the length of its body depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTo {
    /// A HEAD request: the length fields describe a body that is not sent.
    Head,
    /// Any other request.
    Other,
}

/// Why the length of a message body cannot be decided (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// Content-Length is not `1*DIGIT` that fits in 63 bits.
    BadContentLength,
    /// More than one Content-Length line, even if they agree. The RFC would let us repair that; a
    /// guess about framing is not worth it.
    RepeatedContentLength,
    /// Both Content-Length and Transfer-Encoding. Section 6.1 lets a server reject it; a gateway,
    /// which hands the bytes to someone else's parser, always should.
    BothLengths,
    /// Transfer-Encoding is not a list of codings with `chunked` once and last, so it gives no
    /// reliable length. Section 6.3 would read such a response until close; but we do not undo
    /// codings, and those of one hop cannot be passed on.
    ChunkedNotFinal,
    /// A transfer coding other than `chunked`, in an otherwise sound list.
    UnknownTransferCoding,
    /// More than one Transfer-Encoding line. They would combine to a list, but not every parser
    /// combines them.
    RepeatedTransferEncoding,
    /// A request with a field whose name becomes one of these two when `_` is read as `-`, as CGI
    /// and its heirs do. To them it would be a second length.
    Lookalike,
    /// Transfer-Encoding in HTTP/1.0, which has none: section 6.1 calls the framing faulty.
    TransferEncodingInHttp10,
}

/// Whether a response that ends with its head announces a body. A response to HEAD and a 304 may; a
/// 204 does so only if its server breaks a rule.
pub fn announces_body(head: &ResponseHead<'_>) -> bool {
    let announced = announced_length(&head.fields, head.version);
    !matches!(announced, Ok(None | Some(BodyLength::Exact(0))))
}

/// The longest body: other implementations count in signed numbers.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Decides the body length of a request. The numbers are the rules of RFC 9112, section 6.3.
pub fn request_body_length(head: &RequestHead<'_>) -> Result<BodyLength, FramingError> {
    // 3 to 6, then 7. Rules 1, 2 and 8 are about responses.
    Ok(announced_length(&head.fields, head.version)?.unwrap_or(BodyLength::None))
}

/// Decides the body length of a response. The numbers are the rules of RFC 9112, section 6.3.
///
/// Contradictory fields are an error even where there is no body to measure: a server that sends
/// them once will send them with a body, too.
pub fn response_body_length(
    head: &ResponseHead<'_>,
    request: ResponseTo,
) -> Result<BodyLength, FramingError> {
    // 3 to 6.
    let announced = announced_length(&head.fields, head.version)?;
    match (request, head.status) {
        // 1: these end at the empty line, whatever their fields say.
        (ResponseTo::Head, _) | (ResponseTo::Other, 100..=199 | 204 | 304) => Ok(BodyLength::None),
        // 8: without a length, the close of the connection is the end.
        (ResponseTo::Other, _) => Ok(announced.unwrap_or(BodyLength::UntilClose)),
    }
}

/// The length that the fields announce, if any: rules 3 to 6, which both directions share.
fn announced_length(
    fields: &FieldSection<'_>,
    version: Version,
) -> Result<Option<BodyLength>, FramingError> {
    let transfer_encoding = fields
        .single(FieldId::TransferEncoding)
        .map_err(|Repeated| FramingError::RepeatedTransferEncoding)?;
    let content_length = fields
        .single(FieldId::ContentLength)
        .map_err(|Repeated| FramingError::RepeatedContentLength)?;
    match (transfer_encoding, content_length) {
        // 3: both present "ought to be handled as an error".
        (Some(_), Some(_)) => Err(FramingError::BothLengths),
        // 4: `chunked` is the only coding we know, and must be the last one.
        (Some(_), None) if version == Version::Http10 => {
            Err(FramingError::TransferEncodingInHttp10)
        }
        (Some(codings), None) if codings.eq_ignore_ascii_case(b"chunked") => {
            Ok(Some(BodyLength::Chunked))
        }
        (Some(codings), None) if ends_in_chunked(codings) => {
            Err(FramingError::UnknownTransferCoding)
        }
        (Some(_), None) => Err(FramingError::ChunkedNotFinal),
        // 5 and 6.
        (None, Some(digits)) => match parse_decimal(digits) {
            Some(length @ ..=LENGTH_MAX) => Ok(Some(BodyLength::Exact(length))),
            Some(_) | None => Err(FramingError::BadContentLength),
        },
        (None, None) => Ok(None),
    }
}

/// Whether `codings` are one or more others, without parameters, and then `chunked`.
fn ends_in_chunked(codings: &[u8]) -> bool {
    let mut codings = codings.rsplit(|&byte| byte == b',').map(trim_ows);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(is_chunked)
        && codings.all(|coding| is_token(coding) && !is_chunked(coding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::limits::HeadLimits;

    use BodyLength::{Chunked, Exact, UntilClose};
    use FramingError::{
        BadContentLength, BothLengths, ChunkedNotFinal, RepeatedContentLength,
        RepeatedTransferEncoding, TransferEncodingInHttp10, UnknownTransferCoding,
    };

    const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 8 };

    #[test]
    fn without_length_fields_a_request_has_no_body_and_a_response_lasts_until_close() {
        check("", Ok(None));
        check("Host: a\r\nContent-Type: b\r\n", Ok(None));
    }

    #[test]
    fn content_length_is_exact_even_if_it_is_zero() {
        check("Content-Length: 0\r\n", Ok(Some(Exact(0))));
        check("content-LENGTH:\t12 \r\n", Ok(Some(Exact(12))));
        check("Content-Length: 9223372036854775807\r\n", Ok(Some(Exact(LENGTH_MAX))));
    }

    #[test]
    fn content_length_is_digits_and_nothing_else() {
        for value in [
            "",
            "+1",
            "-1",
            "1 1",
            "1,1",
            "1, 1",
            "0x1",
            "1.0",
            "1a",
            "\"1\"",
            "9223372036854775808",
            "18446744073709551616",
        ] {
            check(&format!("Content-Length: {value}\r\n"), Err(BadContentLength));
        }
    }

    #[test]
    fn repeated_content_lengths_are_refused_even_when_they_agree() {
        let repeated = Err(RepeatedContentLength);
        check("Content-Length: 1\r\nContent-Length: 1\r\n", repeated);
        check("Content-Length: 1\r\nHost: a\r\ncontent-length: 2\r\n", repeated);
        check("Content-Length: x\r\nContent-Length: 2\r\n", repeated);
    }

    #[test]
    fn chunked_is_known_in_any_case() {
        check("Transfer-Encoding: chunked\r\n", Ok(Some(Chunked)));
        check("transfer-encoding:\tChunKed\t \r\n", Ok(Some(Chunked)));
    }

    #[test]
    fn both_lengths_are_refused_in_any_order() {
        check("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(BothLengths));
        check("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Err(BothLengths));
        check("Transfer-Encoding: \r\nContent-Length: 0\r\n", Err(BothLengths));
    }

    #[test]
    fn other_codings_before_chunked_are_unknown() {
        for value in ["gzip, chunked", "foo,Chunked", "deflate ,\tgzip , chunked"] {
            check(&format!("Transfer-Encoding: {value}\r\n"), Err(UnknownTransferCoding));
        }
    }

    #[test]
    fn a_list_that_does_not_end_in_one_chunked_gives_no_length() {
        for value in [
            "",
            ",",
            "gzip",
            "identity",
            "chunked, gzip",
            "chunked, chunked",
            "chunked, identity, chunked",
            "chunked;a=b",
            "gzip;q=1, chunked",
            "chunked,",
            ", chunked",
            "gzip,, chunked",
            "xchunked",
            "x chunked",
            "chunked x",
            "\"chunked\"",
            "\"a, chunked",
            "chunked\u{a0}",
        ] {
            check(&format!("Transfer-Encoding: {value}\r\n"), Err(ChunkedNotFinal));
        }
    }

    #[test]
    fn repeated_transfer_encodings_are_refused() {
        let line = "Transfer-Encoding: chunked\r\n";
        check(&line.repeat(2), Err(RepeatedTransferEncoding));
        check(&format!("Transfer-Encoding: gzip\r\n{line}"), Err(RepeatedTransferEncoding));
    }

    #[test]
    fn http_1_0_has_no_transfer_encoding() {
        let fields = "Transfer-Encoding: chunked\r\n";
        assert_eq!(request("HTTP/1.0", fields), Err(TransferEncodingInHttp10));
        assert_eq!(
            response("HTTP/1.0 200", fields, ResponseTo::Other),
            Err(TransferEncodingInHttp10)
        );
        assert_eq!(request("HTTP/1.0", "Content-Length: 1\r\n"), Ok(Exact(1)));
        assert_eq!(response("HTTP/1.0 200", "", ResponseTo::Other), Ok(UntilClose));
    }

    #[test]
    fn some_responses_have_no_body_whatever_their_fields_say() {
        for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            for status in [100, 101, 103, 199, 204, 304] {
                let line = format!("HTTP/1.1 {status}");
                let got = response(&line, fields, ResponseTo::Other);
                assert_eq!(got, Ok(BodyLength::None), "{status} {fields}");
            }
            for status in [200, 206, 404, 500] {
                let line = format!("HTTP/1.1 {status}");
                let got = response(&line, fields, ResponseTo::Head);
                assert_eq!(got, Ok(BodyLength::None), "HEAD {status} {fields}");
            }
        }
    }

    #[test]
    fn a_response_without_a_body_may_announce_one() {
        let announces = |fields: &str| {
            let head = format!("HTTP/1.1 304\r\n{fields}\r\n");
            announces_body(&ResponseHead::parse(head.as_bytes(), &LIMITS).unwrap())
        };
        assert!(announces("Content-Length: 1\r\n"));
        assert!(announces("Transfer-Encoding: chunked\r\n"));
        assert!(!announces("Content-Length: 00\r\n") && !announces(""));
    }

    #[test]
    fn bad_lengths_are_errors_even_without_a_body() {
        for line in ["HTTP/1.1 204", "HTTP/1.1 304", "HTTP/1.1 100"] {
            let got = response(line, "Content-Length: +1\r\n", ResponseTo::Other);
            assert_eq!(got, Err(BadContentLength), "{line}");
        }
        let got = response("HTTP/1.1 200", "Transfer-Encoding: gzip\r\n", ResponseTo::Head);
        assert_eq!(got, Err(ChunkedNotFinal));
    }

    /// Decides in both directions. `None` is a message that announces no length.
    #[track_caller]
    fn check(fields: &str, want: Result<Option<BodyLength>, FramingError>) {
        let want_request = want.map(|length| length.unwrap_or(BodyLength::None));
        assert_eq!(request("HTTP/1.1", fields), want_request, "request: {fields:?}");
        for status in [200, 205, 400, 599] {
            let got = response(&format!("HTTP/1.1 {status}"), fields, ResponseTo::Other);
            let want_response = want.map(|length| length.unwrap_or(UntilClose));
            assert_eq!(got, want_response, "response: {fields:?}");
        }
    }

    fn request(version: &str, fields: &str) -> Result<BodyLength, FramingError> {
        let head = format!("POST / {version}\r\n{fields}\r\n");
        request_body_length(&RequestHead::parse(head.as_bytes(), &LIMITS).expect("a sound head"))
    }

    fn response(line: &str, fields: &str, to: ResponseTo) -> Result<BodyLength, FramingError> {
        let head = format!("{line} \r\n{fields}\r\n");
        let head = ResponseHead::parse(head.as_bytes(), &LIMITS).expect("a sound head");
        response_body_length(&head, to)
    }
}
