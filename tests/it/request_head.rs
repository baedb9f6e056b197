//! What no request head may hold, and how large it may be.

use crate::support::rig::{Rig, expect_own_error, forwarded};
use narrows_kit::http::field_value;
use narrows_kit::peer::End;

#[tokio::test]
async fn bare_line_feeds_in_a_request_head_are_refused() {
    refuse_malformed(&[
        ("after the request line", "GET /gpt/x HTTP/1.1\nHost: a\r\n\r\n"),
        ("after a field line", "GET /gpt/x HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
        ("as the empty line", "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\n"),
        ("twice as the end", "GET /gpt/x HTTP/1.1\r\nHost: a\n\n"),
        ("everywhere", "GET /gpt/x HTTP/1.1\nHost: a\n\n"),
        (
            "in a value",
            "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("in the target", "GET /gpt/x\n HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("in a name", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX\n-Y: 1\r\n\r\n"),
        ("in front of the request line", "\nGET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn bare_carriage_returns_in_a_request_head_are_refused() {
    refuse_malformed(&[
        ("after the request line", "GET /gpt/x HTTP/1.1\rHost: a\r\n\r\n"),
        ("after a field line", "GET /gpt/x HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"),
        ("in a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        ("at the end of a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n"),
        ("in front of a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX:\ra\r\n\r\n"),
        ("in a name", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX\r: a\r\n\r\n"),
        ("in the target", "GET /gpt/\rx HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("in the empty line", "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\r\n"),
        ("in front of the request line", "\rGET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn nul_and_other_control_bytes_in_a_request_head_are_refused() {
    refuse_malformed(&[
        ("NUL in the method", "GE\0T /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("NUL in the target", "GET /gpt/\0x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("NUL in a name", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n"),
        ("NUL in a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        ("NUL after a value", "GET /gpt/x HTTP/1.1\r\nHost: a\0\r\n\r\n"),
        ("NUL first of all", "\0GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("SOH in a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"),
        (
            "VT for a blank",
            "GET /gpt/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
        ),
        (
            "FF after a value",
            "GET /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\x0c\r\n\r\nhello",
        ),
        ("DEL in a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n"),
        ("ESC in the target", "GET /gpt/\x1b[1m HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn folded_lines_and_blanks_around_names_are_refused() {
    let with = |fields: &str| format!("POST /gpt/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let rig = Rig::new().await;
    for (label, request) in [
        ("a fold with a space", with("X: a\r\n b")),
        ("a fold with a tab", with("X: a\r\n\tb")),
        ("a fold in front of the value", with("Transfer-Encoding:\r\n chunked")),
        ("a fold of blanks alone", with("X: a\r\n \r\nY: b")),
        ("a fold after the request line", "GET /gpt/x HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        ("a tab after it", "GET /gpt/x HTTP/1.1\r\n\tHost: a\r\nHost: b\r\n\r\n".to_owned()),
        ("a space before the colon", with("Transfer-Encoding : chunked")),
        ("a tab before the colon", with("Content-Length\t: 5")),
        ("a space before Host's colon", "GET /gpt/x HTTP/1.1\r\nHost : a\r\n\r\n".to_owned()),
        ("a space in a name", with("Transfer Encoding: chunked")),
    ] {
        rig.refuses(label, request, 400, "malformed_head").await;
    }
}

#[tokio::test]
async fn field_names_that_are_not_tokens_are_refused() {
    let rig = Rig::new().await;
    let line =
        |line: &[u8]| [b"GET /gpt/x HTTP/1.1\r\nHost: a\r\n", line, b"\r\nZ: 1\r\n\r\n"].concat();
    for (label, name) in [
        ("no name", b": a".as_slice()),
        ("no colon", b"X"),
        ("no colon, but a blank", b"X a"),
        ("a parenthesis", b"X(1): a"),
        ("a quote", b"\"Transfer-Encoding\": chunked"),
        ("a slash", b"X/Y: a"),
        ("a bracket", b"[X]: a"),
        ("a brace", b"{X}: a"),
        ("a comma", b"X,Y: a"),
        ("a semicolon", b"Content-Length;: 5"),
        ("an at sign", b"@X: a"),
        ("a backslash", b"X\\: a"),
        ("UTF-8", b"X\xc3\xa9: a"),
        ("a byte of Latin-1", b"\xffTransfer-Encoding: chunked"),
        ("a byte order mark", b"\xef\xbb\xbfContent-Length: 5"),
        ("a no-break space", b"Content-Length\xa0: 5"),
        ("DEL", b"X\x7f: a"),
    ] {
        rig.refuses(label, line(name), 400, "malformed_head").await;
    }
}

#[tokio::test]
async fn a_request_line_has_three_words_and_two_spaces() {
    let rig = Rig::new().await;
    for line in [
        "GET",
        "GET /gpt/x",
        "GET  /gpt/x HTTP/1.1",
        "GET /gpt/x  HTTP/1.1",
        "GET\t/gpt/x HTTP/1.1",
        "GET /gpt/x\tHTTP/1.1",
        "GET /gpt/x HTTP/1.1 ",
        "GET /gpt/x HTTP/1.1\t",
        " GET /gpt/x HTTP/1.1",
        "GET /gpt/x y HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "/gpt/x HTTP/1.1",
        "GET /gpt/x http/1.1",
        "GET /gpt/x HTTP/11",
        "GET /gpt/x HTTP/1",
        "GET /gpt/x HTTP/1.",
        "GET /gpt/x HTTP/1.1.1",
        "GET /gpt/x HTTP/01.1",
        "GET /gpt/x HTTP/1.01",
        "GET /gpt/x HTTP/+1.1",
        "GET /gpt/x HTTPS/1.1",
        "GET /gpt/x HTTP/1.1 HTTP/1.1",
        "G(T /gpt/x HTTP/1.1",
        "GET: /gpt/x HTTP/1.1",
        "\u{130}GET /gpt/x HTTP/1.1",
        "GET /gpt/\u{e9} HTTP/1.1",
        "{\"model\":\"x\"}",
    ] {
        let request = format!("{line}\r\nHost: a\r\n\r\n");
        rig.refuses(line, request, 400, "malformed_head").await;
    }
}

#[tokio::test]
async fn a_tls_handshake_sent_to_a_plain_listener_is_refused() {
    let rig = Rig::new().await;
    let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
    rig.refuses("a ClientHello", hello, 400, "malformed_head").await;
}

#[tokio::test]
async fn versions_other_than_1_0_and_1_1_get_505() {
    let rig = Rig::new().await;
    for version in ["0.9", "1.2", "1.9", "2.0", "3.0", "9.9"] {
        let request = format!("GET /gpt/x HTTP/{version}\r\nHost: a\r\n\r\n");
        rig.refuses(version, request, 505, "unsupported_version").await;
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    rig.refuses("the preface of HTTP/2", preface, 505, "unsupported_version").await;
}

#[tokio::test]
async fn a_few_empty_lines_before_a_request_are_skipped_and_more_are_refused() {
    let rig = Rig::new().await;
    for count in [1, 4] {
        let request = "\r\n".repeat(count) + "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
        rig.forwards("a few", request, forwarded("GET /x", "")).await;
    }
    let request = "\r\n".repeat(5) + "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
    rig.refuses("five", request, 400, "malformed_head").await;
}

#[tokio::test]
async fn heads_at_the_limit_of_bytes_pass_and_one_byte_more_is_431() {
    let rig = Rig::with("[limits]\nhead_bytes = 1024").await;
    let with = |padding: usize| {
        format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(padding))
    };
    let padding = 1024 - with(0).len();
    let kept = format!("X: {}\r\n", "a".repeat(padding));
    rig.forwards("at the limit", with(padding), forwarded("GET /x", &kept)).await;
    rig.refuses("one over", with(padding + 1), 431, "head_too_large").await;
    rig.refuses("far over", with(50_000), 431, "head_too_large").await;
    let endless = with(2000);
    let endless = endless.trim_end();
    rig.refuses("without an end", endless, 431, "head_too_large").await;
}

#[tokio::test]
async fn field_lines_at_their_limit_pass_and_one_more_is_431() {
    let rig = Rig::with("[limits]\nheader_fields = 8").await;
    let with = |count: usize| {
        let lines = "X: 1\r\n".repeat(count - 1);
        format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    rig.forwards("at the limit", with(8), forwarded("GET /x", &"X: 1\r\n".repeat(7))).await;
    rig.refuses("one over", with(9), 431, "head_too_large").await;
    rig.refuses("far over", with(5000), 431, "head_too_large").await;
}

#[tokio::test]
async fn a_request_line_over_the_limit_is_414() {
    let rig = Rig::with("[limits]\nhead_bytes = 1024").await;
    let with = |length: usize| format!("GET /gpt/{}", "a".repeat(length));
    let whole = with(1024) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    rig.refuses("a whole head", whole, 414, "target_too_long").await;
    rig.refuses("without an end", with(1024), 414, "target_too_long").await;
    let fits = with(900) + " HTTP/1.1\r\nHost: a\r\n" + &"X: 1\r\n".repeat(40) + "\r\n";
    rig.refuses("a long line that fits", fits, 431, "head_too_large").await;
}

#[tokio::test]
async fn connect_and_trace_are_405_with_the_methods_that_are_allowed() {
    let rig = Rig::new().await;
    for line in [
        "CONNECT api.openai.test:443 HTTP/1.1",
        "CONNECT /gpt/x HTTP/1.1",
        "CONNECT http://a/gpt/x HTTP/1.1",
        "CONNECT a HTTP/1.0",
        "TRACE /gpt/x HTTP/1.1",
        "TRACE * HTTP/1.0",
    ] {
        let mut client = rig.client(format!("{line}\r\nHost: a\r\n\r\n")).await;
        let head = expect_own_error(&mut client, 405, "method_not_allowed").await;
        let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(field_value(&head, "allow"), Some(allow), "{line}");
        client.expect_end(End::Clean).await;
        rig.origin.assert_untouched().await;
    }
}

#[tokio::test]
async fn every_other_method_is_forwarded_in_its_own_case() {
    let rig = Rig::new().await;
    for method in
        ["GET", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "propfind", "M!#$%&'*+-.^_`|~"]
    {
        let request = format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n");
        rig.forwards(method, request, forwarded(&format!("{method} /x"), "")).await;
    }
}

#[tokio::test]
async fn a_head_that_arrives_byte_by_byte_means_the_same() {
    let rig = Rig::new().await;
    let mut client = rig.client("").await;
    let request = "\r\nPOST /gpt/x?y HTTP/1.1\r\nHost: a\r\nX:  1 \r\nContent-Length: 1\r\n\r\n!";
    for byte in request.bytes() {
        client.send([byte]).await;
    }
    let mut upstream = rig.origin.accept().await;
    let (head, body) = upstream.read_message().await;
    assert_eq!(head, forwarded("POST /x?y", "X:  1 \r\nContent-Length: 1\r\n"));
    assert_eq!(body, b"!");

    let mut client = rig.client("").await;
    for byte in "GET /gpt/x HTTP/1.1\r\nHost: a\r".bytes() {
        client.send([byte]).await;
    }
    client.send("X").await;
    expect_own_error(&mut client, 400, "malformed_head").await;
    client.expect_end(End::Clean).await;
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_rest_of_the_head() {
    let rig = Rig::new().await;
    for (label, begin) in [
        ("a bare LF", "GET /gpt/x HTTP/1.1\n"),
        ("a NUL", "GET /gpt/\0"),
        ("no method", "\x16\x03"),
        ("a bare CR", "GET /gpt/x HTTP/1.1\r\nHost: a\rb"),
        ("no version", "GET /gpt/x\r\n"),
        ("the method alone", "GET\r\n"),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n"),
        ("a wrong version and a field", "GET /gpt/x HTTP/1.10\r\nHost: a\r\n"),
        ("a control byte", "GET /gpt/\x08"),
        ("a byte over 127", "GET /gpt/\u{e9}"),
        ("a field line without a colon", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nno colon here\r\n"),
        ("a blank in front of a field", "GET /gpt/x HTTP/1.1\r\n a: b\r\n"),
        ("a blank after a name", "GET /gpt/x HTTP/1.1\r\nA : b\r\n"),
        ("a control byte in a value", "GET /gpt/x HTTP/1.1\r\nHost: a\r\nA: \x01\r\n"),
    ] {
        rig.refuses(label, begin, 400, "malformed_head").await;
    }
    rig.refuses("another version", "GET / HTTP/3.0\r\n", 505, "unsupported_version").await;
    rig.refuses("no form of a target", "GET x HTTP/1.1\r\n", 400, "malformed_target").await;
    rig.refuses("a method in another case", "get / HTTP/1.1\r\n", 501, "unknown_method").await;
}

/// Servers that forget that methods are case-sensitive serve what we took for unknown.
#[tokio::test]
async fn a_standard_method_in_another_case_is_501() {
    let rig = Rig::new().await;
    for method in ["get", "Get", "pOST", "connect", "Connect", "trace", "patch", "Delete", "head"] {
        let request = format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n");
        rig.refuses(method, request, 501, "unknown_method").await;
    }
}

async fn refuse_malformed(cases: &[(&str, &str)]) {
    let rig = Rig::new().await;
    for (label, request) in cases {
        rig.refuses(label, request, 400, "malformed_head").await;
    }
}
