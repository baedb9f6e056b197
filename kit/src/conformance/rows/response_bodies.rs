//! Where a response ends, and what follows it (RFC 9112, section 6.3).

use super::{EVIL, GET, HEAD, ok};
use crate::conformance::case::{Case, choice, must, safety};

const MISREAD: &str = "waitress, cheroot, gunicorn: a body in answer to HEAD";
const SPLIT: &str = "Klein, Divide and Conquer (2004)";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = ends();
    rows.extend(uncertain_lengths());
    rows.extend(uncertain_codings());
    rows.extend(bodiless());
    rows.extend(bodiless_fields());
    rows.extend(surplus());
    rows
}

fn ends() -> Vec<Case> {
    let cut = |name: &'static str, source: &'static str, response: String| {
        must(name, source)
            .answered(response)
            .then_closes()
            .is("cut", "GET /x")
            .or("502, keep", "GET /x")
            .or("502, end", "GET /x")
    };
    vec![
        must("a response with a length", "RFC 9112 6.3 rule 6")
            .answered(ok("Content-Length: 5\r\n", "hello"))
            .is("200 \"hello\", keep", "GET /x"),
        must("a response of length zero", "RFC 9112 6.3 rule 6")
            .answered(ok("Content-Length: 0\r\n", ""))
            .is("200, keep", "GET /x"),
        must("a response until close", "RFC 9112 6.3 rule 8")
            .answered(ok("", "hello"))
            .then_closes()
            .is("200 \"hello\", keep", "GET /x")
            .or("200 \"hello\", end", "GET /x"),
        must("an empty response until close", "RFC 9112 6.3 rule 8")
            .answered(ok("", ""))
            .then_closes()
            .is("200, keep", "GET /x")
            .or("200, end", "GET /x"),
        must("a response until close to HTTP/1.0", "RFC 9112 6.3 rule 8")
            .sends("GET /gpt/x HTTP/1.0\r\n\r\n")
            .answered(ok("", "hello"))
            .then_closes()
            .is("200 \"hello\", end", "GET /x"),
        must("a response of HTTP/1.0 until close", "RFC 9112 6.3 rule 8")
            .answered("HTTP/1.0 200 OK\r\n\r\nhello")
            .then_closes()
            .is("200 \"hello\", keep", "GET /x")
            .or("200 \"hello\", end", "GET /x"),
        must("a 205 with a length", "RFC 9110 15.3.6")
            .answered("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
            .is("205, keep", "GET /x"),
        cut(
            "a response shorter than its length",
            "RFC 9112 8",
            ok("Content-Length: 10\r\n", "hello"),
        ),
        cut("a response without its body", "RFC 9112 8", ok("Content-Length: 10\r\n", "")),
        must("a response until a reset", "RFC 9112 8")
            .answered(ok("", "hello"))
            .then_resets()
            .is("cut", "GET /x")
            .or("502, keep", "GET /x")
            .or("502, end", "GET /x"),
    ]
}

fn uncertain_lengths() -> Vec<Case> {
    const RULE_5: &str = "RFC 9112 6.3 rule 5: MUST 502";
    let invalid = |name: &'static str, source: &'static str, fields: &str| {
        must(name, source)
            .answered(ok(&format!("{fields}\r\n"), "ok") + EVIL)
            .then_closes()
            .is("502, keep", "GET /x")
            .or("502, end", "GET /x")
    };
    vec![
        invalid("response: an empty length", RULE_5, "Content-Length:"),
        invalid("response: a length with a plus", RULE_5, "Content-Length: +2"),
        invalid("response: a negative length", RULE_5, "Content-Length: -2"),
        invalid("response: a hexadecimal length", RULE_5, "Content-Length: 0x2"),
        invalid("response: a fraction", RULE_5, "Content-Length: 2.0"),
        invalid("response: two numbers", RULE_5, "Content-Length: 2 2"),
        invalid("response: a list that disagrees", RULE_5, "Content-Length: 2, 3"),
        invalid("response: 2 modulo 2 to the 64th", RULE_5, "Content-Length: 18446744073709551618"),
        invalid(
            "response: two lines that disagree",
            RULE_5,
            "Content-Length: 2\r\nContent-Length: 42",
        ),
        must("response: two lines that agree", "RFC 9110 8.6: MUST reject, or replace")
            .answered(ok("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"))
            .is("502, keep", "GET /x")
            .or("200 \"ok\", keep", "GET /x")
            .or("502, end", "GET /x"),
        must("response: a list that agrees", "RFC 9110 8.6: MUST reject, or replace")
            .answered(ok("Content-Length: 2, 2\r\n", "ok"))
            .is("502, keep", "GET /x")
            .or("200 \"ok\", keep", "GET /x")
            .or("502, end", "GET /x"),
    ]
}

fn uncertain_codings() -> Vec<Case> {
    let unclear = |name: &'static str, source: &'static str, fields: &str, body: &str| {
        safety(name, source)
            .answered(ok(&format!("{fields}\r\n"), body) + EVIL)
            .then_closes()
            .is("502, keep", "GET /x")
    };
    let chunks = "2\r\nok\r\n0\r\n\r\n";
    vec![
        unclear(
            "response: CL.TE",
            "RFC 9112 6.3 rule 3",
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            chunks,
        ),
        unclear(
            "response: TE.CL",
            "RFC 9112 6.3 rule 3",
            "Transfer-Encoding: chunked\r\nContent-Length: 2",
            chunks,
        ),
        unclear(
            "response: gzip and chunked",
            "RFC 9112 6.1",
            "Transfer-Encoding: gzip, chunked",
            chunks,
        ),
        unclear(
            "response: chunked and gzip",
            "RFC 9112 6.3 rule 4",
            "Transfer-Encoding: chunked, gzip",
            chunks,
        ),
        unclear(
            "response: chunked twice",
            "RFC 9112 7.1",
            "Transfer-Encoding: chunked, chunked",
            chunks,
        ),
        unclear(
            "response: xchunked",
            "Kettle, HTTP Desync Attacks (2019)",
            "Transfer-Encoding: xchunked",
            chunks,
        ),
        unclear("response: identity", "RFC 9112 7", "Transfer-Encoding: identity", "ok"),
        unclear("response: an empty coding", "RFC 9112 6.1", "Transfer-Encoding:", "ok"),
        unclear(
            "response: two lines of codings",
            "RFC 9112 6.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            chunks,
        ),
        safety("response: a coding in HTTP/1.0", "RFC 9112 6.1: MUST treat as faulty")
            .answered(format!(
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{EVIL}"
            ))
            .then_closes()
            .is("502, keep", "GET /x"),
    ]
}

/// Responses that end with their head, whatever it says.
fn bodiless() -> Vec<Case> {
    const RULE_1: &str = "RFC 9112 6.3 rule 1";
    let mut rows = Vec::new();
    for (what, request, status) in
        [("HEAD", HEAD, "200 OK"), ("204", GET, "204 No Content"), ("304", GET, "304 Not Modified")]
    {
        let code = &status[..3];
        let upstream = if request == HEAD { "HEAD /x" } else { "GET /x" };
        let row = |name: String, answer: String| {
            must(name, RULE_1)
                .sends(request)
                .answered(format!("HTTP/1.1 {status}\r\n{answer}"))
                .is(format!("{code}, keep"), upstream)
        };
        let safe = |name: String, answer: String| {
            safety(name, SPLIT)
                .sends(request)
                .answered(format!("HTTP/1.1 {status}\r\n{answer}"))
                .spends()
                .is(format!("{code}, keep"), upstream)
        };
        rows.extend([
            row(format!("{what} without a length"), "\r\n".into()),
            row(format!("{what} with a length"), "Content-Length: 4\r\n\r\n".into()),
            row(format!("{what} with a coding"), "Transfer-Encoding: chunked\r\n\r\n".into()),
            safe(format!("{what} with a body"), "Content-Length: 4\r\n\r\nevil".into()),
            safe(
                format!("{what} with chunks"),
                "Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n".into(),
            ),
            safe(
                format!("{what} with a response as its body"),
                format!("Content-Length: {}\r\n\r\n{EVIL}", EVIL.len()),
            ),
        ]);
    }
    rows
}

fn bodiless_fields() -> Vec<Case> {
    vec![
        must("no length in a 204", "RFC 9110 8.6: MUST NOT send")
            .answered("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .is("204, keep", "GET /x")
            .hides("Content-Length"),
        must("no coding in a 204", "RFC 9112 6.1: MUST NOT send")
            .answered("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")
            .is("204, keep", "GET /x")
            .hides("Transfer-Encoding"),
        choice("a length in answer to HEAD stays", "RFC 9110 9.3.2")
            .sends(HEAD)
            .answered(ok("Content-Length: 42\r\n", ""))
            .is("200, keep", "HEAD /x")
            .returns("Content-Length: 42"),
        choice("an answer to HEAD spends its connection", MISREAD)
            .sends(HEAD)
            .answered(ok("Content-Length: 4\r\n", ""))
            .spends()
            .is("200, keep", "HEAD /x"),
        choice("an answer to HEAD without a length spends its connection", MISREAD)
            .sends(HEAD)
            .answered(ok("", ""))
            .spends()
            .is("200, keep", "HEAD /x"),
        choice("an empty answer to HEAD leaves its connection", MISREAD)
            .sends(HEAD)
            .answered(ok("Content-Length: 0\r\n", ""))
            .is("200, keep", "HEAD /x"),
        choice("a 304 that announces a body spends its connection", MISREAD)
            .answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n")
            .spends()
            .is("304, keep", "GET /x"),
        choice("a bad length of a 304", "RFC 9112 6.3 rule 5")
            .answered("HTTP/1.1 304 Not Modified\r\nContent-Length: +4\r\n\r\n")
            .is("502, keep", "GET /x"),
        choice("a bad length in answer to HEAD", "RFC 9112 6.3 rule 5")
            .sends(HEAD)
            .answered(ok("Content-Length: 4, 5\r\n", ""))
            .is("502, keep", "HEAD /x"),
    ]
}

/// Bytes after a response reach no one.
fn surplus() -> Vec<Case> {
    let length = ok("Content-Length: 2\r\n", "ok");
    let chunks = ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n");
    let after = |name: &'static str, response: &str, surplus: &str| {
        safety(name, SPLIT).answered(format!("{response}{surplus}")).spends()
    };
    vec![
        after("a response after a response", &length, EVIL),
        after("a response after chunks", &chunks, EVIL),
        after("a line end after a response", &length, "\r\n"),
        after("a NUL after a response", &length, "\0"),
        after("half a response after a response", &length, "HTTP/1.1 200 OK\r\nX: "),
        after("a chunked end after a response", &length, "0\r\n\r\n"),
        after("two responses after a response", &length, &EVIL.repeat(2)),
        safety("a response on an idle connection", "RFC 9112 9.2")
            .answered(length.as_str())
            .spends()
            .later(EVIL),
        safety("half a response on an idle connection", "RFC 9112 9.2")
            .answered(length.as_str())
            .spends()
            .later("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nevil"),
        safety("a timeout's answer on an idle connection", "RFC 9110 15.5.9")
            .answered(length.as_str())
            .spends()
            .later("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil"),
        safety("a line end on an idle connection", "RFC 9112 9.2")
            .answered(chunks.as_str())
            .spends()
            .later("\r\n"),
        safety("a response after one to HEAD, later", SPLIT)
            .sends(HEAD)
            .answered(ok("Content-Length: 2\r\n", ""))
            .spends()
            .later(format!("ok{EVIL}"))
            .is("200, keep", "HEAD /x"),
    ]
}
