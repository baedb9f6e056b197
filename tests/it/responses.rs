//! The upstream is no more trusted than the client: which responses pass, and which are a 502.

use crate::support::rig::{GET, Rig, expect_bytes, expect_own_error, forwarded};
use narrows_kit::peer::End;

const HEAD: &str = "HEAD /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
/// What an attacker would like the next client to take for its answer.
const SURPLUS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

#[tokio::test]
async fn a_bad_status_line_is_a_502() {
    let rig = Rig::new().await;
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1 999 OK",
        "HTTP/1.1 200 O\x01K",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "SSH-2.0-OpenSSH_9.9",
        "<html>no head at all</html>",
        "{\"error\":\"no head at all\"}",
        "\x15\x03\x03\0\x02\x02\x28",
        "GET / HTTP/1.1",
    ] {
        rig.spoils(line, GET, format!("{line}\r\nContent-Length: 2\r\n\r\n{{}}")).await;
    }
}

#[tokio::test]
async fn a_bad_status_line_is_a_502_before_the_head_has_ended() {
    let rig = Rig::new().await;
    for line in ["HTTP/1.1 20\r\n", "HTTP/2.0 200 OK\r\n", "H2\r\n", "HTTP/1.1 200 \x01"] {
        let mut client = rig.client(GET).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        upstream.send(line).await;
        expect_own_error(&mut client, 502, "upstream_malformed_response").await;
        upstream.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn a_bad_line_in_a_response_head_is_a_502() {
    let rig = Rig::new().await;
    for (label, lines) in [
        ("a bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n"),
        ("a bare LF after a field line", "HTTP/1.1 200 OK\r\nA: 1\nContent-Length: 2\r\n\r\n"),
        ("a bare LF as the end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n"),
        ("bare LFs everywhere", "HTTP/1.1 200 OK\nContent-Length: 2\n\n"),
        ("a bare CR in a value", "HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\nContent-Length: 2\r\n\r\n"),
        ("a bare CR as a line end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\r\n\r\n"),
        ("a NUL in a value", "HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 2\r\n\r\n"),
        ("a control byte in a value", "HTTP/1.1 200 OK\r\nA: \x1b[1m\r\nContent-Length: 2\r\n\r\n"),
        ("a fold", "HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\nContent-Length: 2\r\n\r\n"),
        ("a fold first of all", "HTTP/1.1 200 OK\r\n A: 1\r\nContent-Length: 2\r\n\r\n"),
        ("a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n"),
        ("no colon", "HTTP/1.1 200 OK\r\nA\r\nContent-Length: 2\r\n\r\n"),
        ("no name", "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 2\r\n\r\n"),
        ("a name that is no token", "HTTP/1.1 200 OK\r\nA(1): 1\r\nContent-Length: 2\r\n\r\n"),
        ("a name beyond ASCII", "HTTP/1.1 200 OK\r\n\u{e9}: 1\r\nContent-Length: 2\r\n\r\n"),
    ] {
        rig.spoils(label, GET, format!("{lines}{{}}")).await;
    }
}

/// Length fields that do not give one length.
const BAD_LENGTHS: &[&str] = &[
    "Content-Length:",
    "Content-Length: +2",
    "Content-Length: -2",
    "Content-Length: 2, 2",
    "Content-Length: 2 2",
    "Content-Length: 0x2",
    "Content-Length: 2.0",
    "Content-Length: 18446744073709551618",
    "Content-Length: 2\r\nContent-Length: 2",
    "Content-Length: 2\r\ncontent-length: 200",
    "Content-Length: 2\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 2",
    "Transfer-Encoding: identity\r\nContent-Length: 2",
    "Transfer-Encoding:",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;a=b",
];

#[tokio::test]
async fn a_response_of_uncertain_length_is_a_502() {
    let rig = Rig::new().await;
    for fields in BAD_LENGTHS {
        rig.spoils(fields, GET, format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}")).await;
    }
    let http_10 = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    rig.spoils("chunked in HTTP/1.0", GET, http_10).await;
}

#[tokio::test]
async fn an_uncertain_length_is_a_502_even_where_no_body_follows() {
    let rig = Rig::new().await;
    for fields in BAD_LENGTHS {
        for status in ["204 No Content", "304 Not Modified", "103 Early Hints"] {
            rig.spoils(status, GET, format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n")).await;
        }
        rig.spoils("HEAD", HEAD, format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn a_response_head_over_a_limit_is_a_502_and_one_at_the_limit_passes() {
    let rig = Rig::with("[limits]\nhead_bytes = 1024\nheader_fields = 8").await;
    let padded = |padding: usize| {
        let padding = "a".repeat(padding);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: d\r\nX-Request-Id: i\r\n\
            X: {padding}\r\n\r\n"
        )
    };
    let room = 1024 - padded(0).len();
    rig.answers("bytes at the limit", GET, padded(room), padded(room)).await;
    rig.spoils("one byte over", GET, padded(room + 1)).await;
    rig.spoils("without an end", GET, padded(room + 10).trim_end()).await;
    let lines = |count: usize| {
        let lines = "X: 1\r\n".repeat(count - 3);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: d\r\nX-Request-Id: i\r\n{lines}\r\n")
    };
    rig.answers("lines at the limit", GET, lines(8), lines(8)).await;
    rig.spoils("one line over", GET, lines(9)).await;
}

#[tokio::test]
async fn an_unrequested_switch_of_protocols_is_a_502() {
    let rig = Rig::new().await;
    let bytes = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    rig.spoils("websocket", GET, format!("{bytes}{SURPLUS}")).await;
    rig.spoils("h2c", GET, bytes.replace("websocket", "h2c")).await;
    rig.spoils("nothing", GET, "HTTP/1.1 101 Switching\r\n\r\n").await;
}

#[tokio::test]
async fn an_endless_row_of_interim_responses_is_a_502() {
    let rig = Rig::new().await;
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 0\r\n\r\n";
    let enough = interim.repeat(32) + last;
    rig.answers("as many as there may be", GET, &enough, &enough).await;

    for (request, passed) in [(GET, 32), ("GET /gpt/x HTTP/1.0\r\n\r\n", 0)] {
        let mut client = rig.client(request).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        upstream.send(interim.repeat(33) + last).await;
        expect_bytes(&mut client, interim.repeat(passed)).await;
        expect_own_error(&mut client, 502, "upstream_malformed_response").await;
        upstream.expect_end(End::Reset).await;
    }
}

#[tokio::test]
async fn interim_responses_pass_without_framing_and_before_the_final_one() {
    let rig = Rig::new().await;
    let last = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 2\r\n\r\n{}";
    for (sent, want) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 102\r\n\r\n", "HTTP/1.1 102 \r\n\r\n"),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\nConnection: x\r\n\
             X: 1\r\nAlt-Svc: h3\r\nlink: </b>\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n",
        ),
        ("HTTP/1.1 199 Odd\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 199 Odd\r\n\r\n"),
    ] {
        rig.answers(want, GET, format!("{sent}{last}"), format!("{want}{last}")).await;
    }
}

#[tokio::test]
async fn a_malformed_response_after_an_interim_one_is_a_502() {
    let rig = Rig::new().await;
    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    upstream.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\nA: 1\r\n\r\n").await;
    expect_bytes(&mut client, "HTTP/1.1 103 Early Hints\r\n\r\n").await;
    expect_own_error(&mut client, 502, "upstream_malformed_response").await;
    rig.serves_again(&mut client).await;
}

#[tokio::test]
async fn a_status_line_passes_with_its_reason_and_with_our_version() {
    let rig = Rig::new().await;
    for (line, want) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
        ("HTTP/1.0 429  Slow \t down ", "HTTP/1.1 429  Slow \t down "),
        ("HTTP/1.1 599 \u{fc}ber", "HTTP/1.1 599 \u{fc}ber"),
        ("HTTP/1.1 299 x", "HTTP/1.1 299 x"),
    ] {
        let rest = "\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 2\r\n\r\n{}";
        rig.answers(line, GET, format!("{line}{rest}"), format!("{want}{rest}")).await;
    }
}

#[tokio::test]
async fn each_body_is_reframed_for_the_client() {
    let rig = Rig::new().await;
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let chunked = head(
        "Date: d\r\nX-Request-Id: i\r\n\
        Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n",
    );
    let close_delimited = format!("{chunked}2\r\n{{}}\r\n0\r\n\r\n");
    for (label, response, want) in [
        ("a length", head("Date: d\r\nX-Request-Id: i\r\ncontent-length:002\r\n") + "{}", {
            head("Date: d\r\nX-Request-Id: i\r\ncontent-length: 2\r\n") + "{}"
        }),
        ("until close", head("Date: d\r\nX-Request-Id: i\r\n") + "{}", close_delimited.clone()),
        (
            "until close, said",
            head("Connection: close\r\nDate: d\r\nX-Request-Id: i\r\n") + "{}",
            close_delimited.clone(),
        ),
        (
            "until close, by HTTP/1.0",
            "HTTP/1.0 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\r\n{}".to_owned(),
            close_delimited,
        ),
        ("until close, empty", head("Date: d\r\nX-Request-Id: i\r\n"), chunked + "0\r\n\r\n"),
        (
            "205 with a length",
            "HTTP/1.1 205 Reset\r\nDate: d\r\nX-Request-Id: i\r\n\
                Content-Length: 0\r\n\r\n"
                .to_owned(),
            "HTTP/1.1 205 Reset\r\nDate: d\r\nX-Request-Id: i\r\n\
                Content-Length: 0\r\n\r\n"
                .to_owned(),
        ),
    ] {
        println!("case: {label}");
        let mut client = rig.client(GET).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        upstream.send(response).await;
        upstream.close().await;
        let (head, body) = want.split_once("\r\n\r\n").unwrap();
        assert_eq!(client.read_head().await, format!("{head}\r\n\r\n"), "{label}");
        expect_bytes(&mut client, body).await;
        rig.serves_again(&mut client).await;
    }
}

#[tokio::test]
async fn responses_to_head_204_and_304_end_with_their_head_whatever_it_says() {
    let rig = Rig::new().await;
    let chunks = "4\r\nevil\r\n0\r\n\r\n";
    for (request, status, keeps_length) in [
        (HEAD, "200 OK", true),
        (HEAD, "404 Not Found", true),
        (GET, "304 Not Modified", true),
        (GET, "204 No Content", false),
    ] {
        let head = |field: &str| {
            format!(
                "HTTP/1.1 {status}\r\nDate: d\r\nX-Request-Id: i\r\n\
            {field}\r\n"
            )
        };
        let length = "Content-Length: 4\r\n";
        let kept = if keeps_length { length } else { "" };
        rig.answers(status, request, head(length), head(kept)).await;
        rig.answers(status, request, head(""), head("")).await;
        rig.answers(status, request, head("Transfer-Encoding: chunked\r\n"), head("")).await;
        rig.answers("with a body", request, head(length) + "evil", head(kept)).await;
        let coding = head("Transfer-Encoding: chunked\r\n") + chunks;
        rig.answers("with chunks", request, coding, head("")).await;
    }
}

#[tokio::test]
async fn bytes_after_a_response_reach_no_one_and_close_the_upstream_connection() {
    let rig = Rig::new().await;
    let head = |field: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
        {field}\r\n"
        )
    };
    let length = head("Content-Length: 2\r\n");
    let chunked =
        head("Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n") + "2\r\n{}\r\n0\r\n\r\n";
    for (label, request, response) in [
        ("a length", GET, length.clone() + "{}"),
        ("chunks", GET, chunked),
        ("HEAD", HEAD, length),
        ("204", GET, "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\r\n".to_owned()),
        ("304", GET, "HTTP/1.1 304 Not Modified\r\nDate: d\r\nX-Request-Id: i\r\n\r\n".to_owned()),
    ] {
        for surplus in [SURPLUS, "\r\n", "\0", "0\r\n\r\n"] {
            println!("case: {label} and {surplus:?}");
            let mut client = rig.client(request).await;
            let mut upstream = rig.origin.accept().await;
            upstream.read_head().await;
            upstream.send(format!("{response}{surplus}")).await;
            expect_bytes(&mut client, &response).await;
            rig.serves_again(&mut client).await;
            upstream.expect_end(End::Clean).await;
        }
    }
}

#[tokio::test]
async fn bytes_on_an_idle_upstream_connection_answer_no_request() {
    let rig = Rig::new().await;
    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    let response = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 2\r\n\r\n{}";
    upstream.send(response).await;
    expect_bytes(&mut client, response).await;
    upstream.send(SURPLUS).await;
    upstream.read_to_end().await;
    rig.serves_again(&mut client).await;
}

#[tokio::test]
async fn only_a_connection_whose_response_ended_exactly_is_used_again() {
    let rig = Rig::new().await;
    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    for response in [
        "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
            Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n\r\n\
         2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\r\n",
    ] {
        expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
        upstream.send(response).await;
        expect_bytes(&mut client, response).await;
        client.send(GET).await;
    }
    expect_bytes(&mut upstream, forwarded("GET /x", "")).await;
    upstream
        .send(
            "HTTP/1.0 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
        Content-Length: 0\r\n\r\n",
        )
        .await;
    client.read_head().await;
    rig.serves_again(&mut client).await;
    upstream.expect_end(End::Clean).await;
}
