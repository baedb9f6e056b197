//! What the log says of a malformed message: the rule that it broke, in a fixed word.

use super::bench::{GET, log_of, settle, words};
use crate::net::memory::End;

const CHUNKED: &str =
    "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n";

fn with(fields: &str) -> String {
    format!("GET /gpt/v1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[track_caller]
fn check(log: &[String], cause: &str, reason: &str) {
    let told: Vec<_> = log.iter().map(|line| words(line, &["cause", "reason"])).collect();
    assert_eq!(told, [format!("{cause} {reason}")]);
}

#[test]
fn a_malformed_request_names_the_rule_that_it_broke() {
    let many = "A: b\r\n".repeat(300);
    let long = format!("A: {}", "b".repeat(70_000));
    for (request, cause, reason) in [
        ("GET /gpt/v1 HTTP/1.1\nHost: a\n\n".to_owned(), "malformed_head", "bare_lf"),
        (with("A: b\rc"), "malformed_head", "bare_cr"),
        (with("A: b\0c"), "malformed_head", "nul_byte"),
        (with("A : b"), "malformed_head", "bad_field_name"),
        (with("A: b\x01"), "malformed_head", "bad_field_value"),
        (with("A: b\r\n c"), "malformed_head", "folded_field"),
        ("GET /gpt/v1\r\n".to_owned(), "malformed_head", "bad_request_line"),
        ("{\"a\":1}".to_owned(), "malformed_head", "not_http"),
        ("\x16\x03\x01\x02".to_owned(), "malformed_head", "tls_on_plain_port"),
        ("get /gpt/v1 HTTP/1.1\r\n".to_owned(), "unknown_method", "method_case"),
        ("GET x HTTP/1.1\r\n".to_owned(), "malformed_target", "wrong_target_form"),
        (with(&long), "head_too_large", "head_too_long"),
        (with(&many), "head_too_large", "too_many_fields"),
    ] {
        check_request(&request, cause, reason);
    }
}

#[test]
fn a_request_of_uncertain_length_or_host_names_the_rule_that_it_broke() {
    for (request, cause, reason) in [
        (with("Host: b"), "bad_host", "two_hosts"),
        ("GET /gpt/v1 HTTP/1.1\r\n\r\n".to_owned(), "bad_host", "no_host"),
        (with("Content-Length: 1\r\nContent-Length: 1"), "ambiguous_length", "two_lengths"),
        (with("Content-Length: +1"), "ambiguous_length", "bad_content_length"),
        (
            with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            "ambiguous_length",
            "length_and_coding",
        ),
        (
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            "ambiguous_length",
            "two_codings",
        ),
        (with("Transfer-Encoding: gzip"), "ambiguous_length", "chunked_not_last"),
        (with("Transfer-Encoding: x, chunked"), "unknown_transfer_coding", "unknown_coding"),
        (with("Content_Length: 1"), "ambiguous_length", "framing_lookalike"),
    ] {
        check_request(&request, cause, reason);
    }
}

#[track_caller]
fn check_request(request: &str, cause: &str, reason: &str) {
    let log = log_of(async |bench| {
        let mut client = bench.client();
        client.send(request).await;
        client.read_to_end().await;
    });
    check(&log, cause, reason);
}

/// In the first read, and behind content that is with the upstream.
#[test]
fn a_malformed_chunked_request_names_the_rule_that_it_broke() {
    for (rest, reason) in [
        ("3\nllo", "bare_lf"),
        ("3\rllo", "bare_cr"),
        ("x\r\n", "bad_chunk_size"),
        ("8000000000000000\r\n", "chunk_size_too_large"),
        ("3;\r\n", "bad_chunk_extension"),
        ("3;\x01", "control_byte"),
        ("3\r\nllox", "chunk_not_ended"),
        ("0\r\nA : b\r\n\r\n", "bad_field_name"),
        ("0\r\nA: b\n\r\n", "bare_lf"),
    ] {
        let log = log_of(async |bench| {
            let mut client = bench.client();
            client.send(CHUNKED).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            client.send(rest).await;
            client.read_to_end().await;
        });
        check(&log, "malformed_body", reason);
    }
}

#[test]
fn a_malformed_response_names_the_rule_that_it_broke() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (response, reason) in [
        ("HTTP/1.1 200 OK\nA: b\n\n".to_owned(), "bare_lf"),
        ("HTTP/1.1 20\r\n".to_owned(), "bad_status_line"),
        ("HTTP/2.0 200 OK\r\n".to_owned(), "unsupported_version"),
        ("<html>".to_owned(), "not_http"),
        ("\x15\x03\x01\0\x02\x02\x46".to_owned(), "tls_on_plain_port"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "two_lengths",
        ),
        ("HTTP/1.1 101 S\r\n\r\n".to_owned(), "unasked_switch"),
        (format!("{chunked}x\r\n"), "bad_chunk_size"),
        (format!("{chunked}1\r\nab"), "chunk_not_ended"),
        (format!("{chunked}1;=\r\n"), "bad_chunk_extension"),
        (format!("{chunked}0\r\n A: b\r\n\r\n"), "folded_field"),
    ] {
        let log = log_of(async |bench| {
            let mut client = bench.client();
            client.send(GET).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            upstream.send(&response).await;
            settle().await;
            // The client's connection goes on behind a 502.
            client.end(End::Clean);
            bench.over().await;
        });
        check(&log, "upstream_malformed_response", reason);
    }
}
