//! The chunked coding: strict in both directions, and framed anew on the other side.

use crate::support::rig::{GET, Rig, expect_bytes, forwarded};
use narrows_kit::peer::End;

/// Bodies that some parser reads in another way than some other one.
fn broken_bodies() -> Vec<(&'static str, String)> {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300));
    let long_trailers = format!("0\r\nX: {}\r\n\r\n", "a".repeat(9000));
    let many_trailers = format!("0\r\n{}\r\n", "X: 1\r\n".repeat(65));
    let fixed = [
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("no size but an extension", ";a=b\r\nhello\r\n0\r\n\r\n"),
        ("a plus sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a minus sign", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a blank in front", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a blank after", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a tab after", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("a blank after an extension", "5;a=b \r\nhello\r\n0\r\n\r\n"),
        ("a semicolon and no extension", "5;\r\nhello\r\n0\r\n\r\n"),
        ("two semicolons", "5;;a\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a name", "5;=a\r\nhello\r\n0\r\n\r\n"),
        ("an extension without its value", "5;a=\r\nhello\r\n0\r\n\r\n"),
        ("an open quote in an extension", "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
        ("a byte over 127 in an extension", "5;\u{e9}\r\nhello\r\n0\r\n\r\n"),
        ("no token as an extension", "5;(\r\nhello\r\n0\r\n\r\n"),
        ("no extension after the last size", "5\r\nhello\r\n0;\r\n\r\n"),
        ("a size of two to the 63rd", "8000000000000000\r\nhello"),
        ("no hexadecimal digit", "g\r\nhello\r\n0\r\n\r\n"),
        ("a digit and a letter", "5g\r\nhello\r\n0\r\n\r\n"),
        ("two sizes", "5 5\r\nhello\r\n0\r\n\r\n"),
        ("a comma", "5,5\r\nhello\r\n0\r\n\r\n"),
        ("a NUL after the size", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("5 modulo two to the 64th", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF at its end", "5;a\nhello\r\n0\r\n\r\n"),
        ("a bare LF right after the semicolon", "5;\nhello\r\n0\r\n\r\n"),
        ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
        ("a NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("a DEL in an extension", "5;a\x7f\r\nhello\r\n0\r\n\r\n"),
        ("nothing after the content", "5\r\nhello0\r\n\r\n"),
        ("a bare LF after the content", "5\r\nhello\n0\r\n\r\n"),
        ("a bare CR after the content", "5\r\nhello\r0\r\n\r\n"),
        ("two other bytes after the content", "5\r\nhelloXX0\r\n\r\n"),
        ("content longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
        ("content shorter than its size", "7\r\nhello\r\n0\r\n\r\n"),
        ("an extra line after the content", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        ("a bare LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        ("a bare LF as the end", "5\r\nhello\r\n0\r\n\n"),
        ("a bare CR as the end", "5\r\nhello\r\n0\r\n\rX"),
        ("a bare LF in the trailers", "0\r\nX: 1\n\r\n"),
        ("a bare LF in a trailer's value", "0\r\nX: 1\nY: 2\r\n\r\n"),
        ("a bare CR in the trailers", "0\r\nX: 1\rY: 2\r\n\r\n"),
        ("a NUL in the trailers", "0\r\nX: \0\r\n\r\n"),
        ("a folded trailer", "0\r\nX: 1\r\n 2\r\n\r\n"),
        ("a trailer without a colon", "0\r\nX\r\n\r\n"),
        ("a request for a trailer", "0\r\nGET /gpt/hidden HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a blank before a trailer's colon", "0\r\nX : 1\r\n\r\n"),
    ];
    let owned = |(label, body): (&'static str, &str)| (label, body.to_owned());
    let mut bodies: Vec<_> = fixed.into_iter().map(owned).collect();
    bodies.push(("an extension over the limit", long_extension));
    bodies.push(("trailers over the limit of bytes", long_trailers));
    bodies.push(("more trailers than the limit", many_trailers));
    bodies
}

/// Sound bodies and how they are framed anew when they arrive in one read.
const SOUND_BODIES: &[(&str, &str, &str)] = &[
    ("one chunk", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("no chunk", "0\r\n\r\n", "0\r\n\r\n"),
    ("zeros and capitals", "00A\r\n0123456789\r\n000\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n"),
    ("16 digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("chunks of one read", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("extensions", "5;a=b;c=\"d\";e\r\nhello\r\n0;f\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    (
        "blanks around the signs of extensions",
        "5 ;\ta = \"\u{e9};\\\"\" ; b\r\nhello\r\n0\t;c\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "framing as content",
        "9\r\n\r\n0\r\n\r\n\n\r\r\n0\r\n\r\n",
        "9\r\n\r\n0\r\n\r\n\n\r\r\n0\r\n\r\n",
    ),
    ("a trailer", "1\r\n!\r\n0\r\nx-Sum:  1 \r\n\r\n", "1\r\n!\r\n0\r\nx-Sum:  1 \r\n\r\n"),
    (
        "trailers that would decide something",
        "1\r\n!\r\n0\r\nHost: b\r\nA: 1\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\
         Authorization: b\r\nSet-Cookie: c\r\nX-Forwarded-For: d\r\nConnection: e\r\nB: 2\r\n\r\n",
        "1\r\n!\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
    ),
    ("trailers of which none is left", "1\r\n!\r\n0\r\nTE: x\r\n\r\n", "1\r\n!\r\n0\r\n\r\n"),
];

#[tokio::test]
async fn an_ambiguous_chunked_request_is_refused() {
    let rig = Rig::new().await;
    let head = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (label, body) in broken_bodies() {
        rig.refuses_body(label, format!("{head}{body}")).await;
    }
}

#[tokio::test]
async fn an_ambiguous_chunked_response_is_cut() {
    let rig = Rig::new().await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (label, body) in broken_bodies() {
        rig.cuts(label, format!("{head}{body}")).await;
    }
}

#[tokio::test]
async fn a_chunked_request_is_reframed_without_extensions_and_with_few_trailers() {
    let rig = Rig::new().await;
    for (label, body, want) in SOUND_BODIES {
        let request = format!(
            "POST /gpt/x HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tChunKed \r\n\r\n{body}"
        );
        let want = forwarded("POST /x", "transfer-encoding: chunked\r\n") + want;
        rig.forwards(label, request, want).await;
    }
}

#[tokio::test]
async fn a_chunked_response_is_reframed_without_extensions_and_with_few_trailers() {
    let rig = Rig::new().await;
    for (label, body, want) in SOUND_BODIES {
        let head = |coding: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
            {coding}\r\n\r\n"
            )
        };
        let response = head("Transfer-encoding:CHUNKED") + body;
        rig.answers(
            label,
            GET,
            response,
            head("Transfer-encoding: chunked\r\nX-Accel-Buffering: no") + want,
        )
        .await;
    }
}

#[tokio::test]
async fn a_broken_chunk_after_a_good_one_ends_both_connections_without_a_last_chunk() {
    let rig = Rig::new().await;
    let mut client = rig
        .client("POST /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
        .await;
    let mut upstream = rig.origin.accept().await;
    let sent = forwarded("POST /x", "Transfer-Encoding: chunked\r\n") + "2\r\nhe\r\n";
    expect_bytes(&mut upstream, sent).await;
    client.send("3\nllo\r\n0\r\n\r\n").await;
    upstream.expect_end(End::Reset).await;
    crate::support::rig::expect_own_error(&mut client, 400, "malformed_body").await;
    client.expect_end(End::Clean).await;

    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    let head = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nTransfer-Encoding: chunked\r\n\
                X-Accel-Buffering: no\r\n\r\n2\r\nhe\r\n";
    upstream.send(head).await;
    expect_bytes(&mut client, head).await;
    upstream.send("3\nllo\r\n0\r\n\r\n").await;
    client.expect_end(End::Clean).await;
    upstream.expect_end(End::Reset).await;
}

#[tokio::test]
async fn a_chunk_may_arrive_byte_by_byte() {
    let rig = Rig::new().await;
    let mut client = rig.client("").await;
    let request = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;e=f\r\nabc\r\n02\r\nde\r\n0\r\nSum: 1\r\nTE: x\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]).await;
    }
    let mut upstream = rig.origin.accept().await;
    let (_, body) = upstream.read_message().await;
    assert_eq!((body.as_slice(), upstream.trailers()), (b"abcde".as_slice(), "Sum: 1\r\n"));
}
