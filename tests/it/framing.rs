//! How long a request's body is: what has two readings is refused, and what has one arrives whole.

use crate::support::rig::{Rig, expect_bytes, expect_own_error, forwarded};
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;

/// What an attacker would like the upstream to take for a request of its own.
const HIDDEN: &str = "GET /gpt/hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_content_length_that_is_not_one_plain_number_is_refused() {
    let rig = Rig::new().await;
    for (label, fields) in [
        ("a plus sign", "Content-Length: +5"),
        ("a minus sign", "Content-Length: -5"),
        ("minus zero", "Content-Length: -0"),
        ("hexadecimal", "Content-Length: 0x5"),
        ("a hexadecimal digit", "Content-Length: a"),
        ("a fraction", "Content-Length: 5.0"),
        ("an exponent", "Content-Length: 5e0"),
        ("nothing", "Content-Length:"),
        ("blanks", "Content-Length: \t "),
        ("two numbers", "Content-Length: 5 5"),
        ("a list", "Content-Length: 5, 5"),
        ("a list that disagrees", "Content-Length: 0,5"),
        ("an empty list element", "Content-Length: 5,"),
        ("a parameter", "Content-Length: 5;a=b"),
        ("quotes", "Content-Length: \"5\""),
        ("an underscore", "Content-Length: 1_0"),
        ("two to the 64th", "Content-Length: 18446744073709551616"),
        ("5 modulo two to the 64th", "Content-Length: 18446744073709551621"),
        ("far too many digits", "Content-Length: 99999999999999999999999999999999999999999"),
        ("other digits", "Content-Length: \u{665}"),
        ("a no-break space", "Content-Length: 5\u{a0}"),
        ("two lines that agree", "Content-Length: 5\r\nContent-Length: 5"),
        ("two lines that disagree", "Content-Length: 5\r\nContent-Length: 0"),
        ("two lines apart", "Content-Length: 0\r\nX: 1\r\ncontent-length: 5"),
        ("a number and nothing", "Content-Length: 5\r\nContent-Length:"),
    ] {
        let request = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello{HIDDEN}");
        rig.refuses(label, request, 400, "ambiguous_length").await;
    }
}

#[tokio::test]
async fn content_length_with_transfer_encoding_is_refused_in_either_order() {
    let rig = Rig::new().await;
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = body.len();
    for (label, fields) in [
        ("CL.TE", format!("Content-Length: {length}\r\nTransfer-Encoding: chunked")),
        ("TE.CL", format!("Transfer-Encoding: chunked\r\nContent-Length: {length}")),
        ("CL.TE of equal length", "Content-Length: 5\r\nTransfer-Encoding: chunked".to_owned()),
        ("with identity", format!("Content-Length: {length}\r\nTransfer-Encoding: identity")),
        ("with nothing", format!("Content-Length: {length}\r\nTransfer-Encoding:")),
        ("with nonsense", format!("Transfer-Encoding: x\r\nContent-Length: {length}")),
        ("length zero", "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned()),
    ] {
        let request = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
        rig.refuses(label, request, 400, "ambiguous_length").await;
    }
}

#[tokio::test]
async fn a_transfer_encoding_that_does_not_end_in_one_chunked_is_refused() {
    let rig = Rig::new().await;
    for value in [
        "",
        ",",
        "identity",
        "gzip",
        "chunked, identity",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, cow, chunked",
        "chunked,",
        ",chunked",
        "gzip,,chunked",
        "chunked;a=b",
        "gzip;q=1, chunked",
        "xchunked",
        "chunkedx",
        "x chunked",
        "chunked x",
        "chunked\tx",
        "\"chunked\"",
        "'chunked'",
        "chunked\u{a0}",
        "\u{a0}chunked",
        "ch\u{fc}nked",
        "chun\u{212a}ed",
        "chunked:",
        ": chunked",
    ] {
        let request = chunked_post(&format!("Transfer-Encoding: {value}\r\n"));
        rig.refuses(value, request, 400, "ambiguous_length").await;
    }
}

#[tokio::test]
async fn a_repeated_transfer_encoding_is_refused() {
    let rig = Rig::new().await;
    for (one, other) in
        [("chunked", "chunked"), ("chunked", "identity"), ("identity", "chunked"), ("", "chunked")]
    {
        let fields = format!("Transfer-Encoding: {one}\r\nTransfer-encoding: {other}\r\n");
        rig.refuses(&fields, chunked_post(&fields), 400, "ambiguous_length").await;
    }
}

#[tokio::test]
async fn an_unknown_coding_before_chunked_is_501() {
    let rig = Rig::new().await;
    for value in ["gzip, chunked", "identity, chunked", "deflate ,gzip,\tChunked", "cow, chunked"] {
        let request = chunked_post(&format!("Transfer-Encoding: {value}\r\n"));
        rig.refuses(value, request, 501, "unknown_transfer_coding").await;
    }
}

#[tokio::test]
async fn transfer_encoding_in_http_1_0_is_refused() {
    let rig = Rig::new().await;
    let request = chunked_post("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    rig.refuses("chunked", request, 400, "ambiguous_length").await;
    let request =
        "POST /gpt/x HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: identity\r\n\r\n";
    rig.refuses("identity", request, 400, "ambiguous_length").await;
}

#[tokio::test]
async fn a_length_field_cannot_be_hidden_by_nominating_it() {
    let rig = Rig::new().await;
    let request = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\n\
                   Content-Length: 5\r\n\r\nhello";
    let want = forwarded("POST /x", "Content-Length: 5\r\n") + "hello";
    rig.forwards("Content-Length", request, want).await;
    let request = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let want = forwarded("POST /x", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    rig.forwards("Transfer-Encoding", request, want).await;
}

#[tokio::test]
async fn one_content_length_is_rewritten_and_its_body_arrives_whole() {
    let rig = Rig::new().await;
    for (label, field, number) in [
        ("as most send it", "Content-Length: 5", "Content-Length: 5"),
        ("blanks around", "Content-Length: \t5\t ", "Content-Length: 5"),
        ("no blank", "content-length:5", "content-length: 5"),
        ("leading zeros", "CONTENT-LENGTH: 0000000000000000000000005", "CONTENT-LENGTH: 5"),
    ] {
        let request = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\nhello");
        let want = forwarded("POST /x", &format!("{number}\r\n")) + "hello";
        rig.forwards(label, request, want).await;
    }
}

#[tokio::test]
async fn a_body_in_the_form_of_a_request_stays_a_body() {
    let rig = Rig::new().await;
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "propfind"] {
        let fields = format!("Content-Length: {}\r\n", HIDDEN.len());
        let request = format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{HIDDEN}");
        let want = forwarded(&format!("{method} /x"), &fields) + HIDDEN;
        rig.forwards(method, request, want).await;

        let fields = "Transfer-Encoding: chunked\r\n";
        let body = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
        let request = format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
        let want = forwarded(&format!("{method} /x"), fields) + &body;
        rig.forwards(method, request, want).await;
    }
}

#[tokio::test]
async fn the_same_is_refused_over_tls() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).await;
    let rig = Rig { origin, relay };
    let fields = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    rig.refuses("two lengths", chunked_post(fields), 400, "ambiguous_length").await;
    let fields = "Content-Length: 5\r\nContent-Length: 5\r\n";
    rig.refuses("twice the same", chunked_post(fields), 400, "ambiguous_length").await;
    let line = "GET /gpt/x HTTP/1.1\nHost: a\r\n\r\n";
    rig.refuses("a bare LF", line, 400, "malformed_head").await;
    let head = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = rig.client(format!("{head}2\r\nhe\r\n")).await;
    let mut upstream = rig.origin.accept().await;
    let want = forwarded("POST /x", "Transfer-Encoding: chunked\r\n") + "2\r\nhe\r\n";
    expect_bytes(&mut upstream, want).await;
    client.send("3\r\nllo\r\n0\n\r\n").await;
    expect_own_error(&mut client, 400, "malformed_body").await;
    client.expect_end(End::Clean).await;
    let (bytes, end) = upstream.read_to_end().await;
    assert!(bytes.is_empty() && end != End::Clean, "{end:?} after {}", bytes.escape_ascii());
}

#[tokio::test]
async fn without_a_length_there_is_no_body_and_none_is_announced() {
    let rig = Rig::new().await;
    for method in ["GET", "POST", "PUT"] {
        let request = format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n");
        rig.forwards(method, request, forwarded(&format!("{method} /x"), "")).await;
    }
    let request = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    rig.forwards("zero", request, forwarded("POST /x", "Content-Length: 0\r\n")).await;
}

#[tokio::test]
async fn names_that_only_resemble_the_length_fields_mean_nothing() {
    let rig = Rig::new().await;
    let lookalikes = "Content-Lengths: 7\r\nX-Content-Length: 8\r\nTransfer-Encodin: chunked\r\n\
                      Content.Length: 9\r\nContent_Lengths: 9\r\n";
    let fields = format!("{lookalikes}Content-Length: 5\r\n");
    let request = format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\nhello");
    rig.forwards("beside a length", request, forwarded("POST /x", &fields) + "hello").await;
}

#[tokio::test]
async fn a_name_that_cgi_reads_as_a_length_is_refused() {
    let rig = Rig::new().await;
    for line in [
        "Content_Length: 5",
        "content_LENGTH: 99",
        "Content_Length:",
        "Transfer_Encoding: chunked",
        "transfer_encoding: identity",
        "Connection: content_length\r\nContent_Length: 5",
    ] {
        let request = |length: &str| {
            format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{line}\r\n{length}\r\nhello")
        };
        rig.refuses(line, request(""), 400, "ambiguous_length").await;
        rig.refuses(line, request("Content-Length: 5\r\n"), 400, "ambiguous_length").await;
    }
}

/// A body that ends at once for a reader of chunks, followed by a request.
fn chunked_post(fields: &str) -> String {
    format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n{HIDDEN}")
}
