//! Pipelined requests, and how connections end (RFC 9112, section 9).

use super::{GET, HIDDEN, SECOND, ok, post, post_chunks, with_fields};
use crate::conformance::case::{Case, choice, must, safety};

const BOTH: &str = "200 \"ok\", 200 \"ok\", keep";
const ONE: &str = "200 \"ok\", end";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = pipelines();
    rows.extend(closes());
    rows.extend(old_clients());
    rows
}

fn pipelines() -> Vec<Case> {
    let hundred: String = (0..100).map(|it| GET.replace("/x", &format!("/{it}"))).collect();
    let client = "200 \"ok\", ".repeat(100) + "keep";
    let targets: Vec<_> = (0..100).map(|it| format!("GET /{it}")).collect();
    vec![
        must("two requests in one write", "RFC 9112 9.3.2: MUST answer in order")
            .sends(format!("{GET}{SECOND}"))
            .is(BOTH, "GET /x, GET /second"),
        must("a hundred requests in one write", "RFC 9112 9.3.2")
            .sends(hundred)
            .is(client, targets.join(", ")),
        must("different answers in their order", "CVE-2023-46137 (Twisted)")
            .sends(format!("{GET}{SECOND}"))
            .answered(ok("Content-Length: 5\r\n", "first"))
            .answered(ok("Transfer-Encoding: chunked\r\n", "6\r\nsecond\r\n0\r\n\r\n"))
            .is("200 \"first\", 200 \"second\", keep", "GET /x, GET /second"),
        must("a request after a body", "RFC 9112 6.3")
            .sends(post("Content-Length: 5\r\n", "hello") + SECOND)
            .is(BOTH, "POST /x \"hello\", GET /second"),
        must("a request after chunks", "RFC 9112 7.1")
            .sends(post_chunks("5\r\nhello\r\n0\r\n\r\n") + SECOND)
            .is(BOTH, "POST /x \"hello\", GET /second"),
        must("a request after trailers", "RFC 9112 7.1.2")
            .sends(post_chunks("5\r\nhello\r\n0\r\nX: 1\r\n\r\n") + SECOND)
            .is(BOTH, "POST /x \"hello\", GET /second"),
        must("a request after HEAD", "RFC 9110 9.3.2")
            .sends(format!("{}{SECOND}", super::HEAD))
            .is("200, 200 \"ok\", keep", "HEAD /x, GET /second"),
        must("a request after a 204", "RFC 9112 6.3 rule 1")
            .sends(format!("{GET}{SECOND}"))
            .answered("HTTP/1.1 204 No Content\r\n\r\n")
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .is("204, 200 \"ok\", keep", "GET /x, GET /second"),
        choice("a request after one without a route", "RFC 9112 9.3")
            .sends(format!("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n{SECOND}"))
            .is("404, 200 \"ok\", keep", "GET /second"),
        must("an empty line between requests", "RFC 9112 2.2")
            .sends(post("Content-Length: 5\r\n", "hello\r\n") + SECOND)
            .is(BOTH, "POST /x \"hello\", GET /second"),
        safety("a body longer than its length", "RFC 9112 6.3")
            .sends(post("Content-Length: 5\r\n", "hello {\"x\":1}\r\n\r\n") + HIDDEN)
            .is("200 \"ok\", 400, end", "POST /x \"hello\""),
        safety("a malformed request after a good one", "RFC 9112 9.3.2")
            .sends(format!("{GET}GET /gpt/x HTTP/1.1\r\nHost : a\r\n\r\n{HIDDEN}"))
            .is("200 \"ok\", 400, end", "GET /x"),
        safety("a smuggling request after a good one", "Kettle, HTTP Desync Attacks (2019)")
            .sends(
                GET.to_owned()
                    + &post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
                    + HIDDEN,
            )
            .is("200 \"ok\", 400, end", "GET /x"),
        safety("half a request after a good one", "RFC 9112 9.3.2")
            .sends(format!("{GET}GET /gpt/hidden HTTP/1.1\r\nX-"))
            .then_sends("Y: 1\r\nHost : a\r\n\r\n")
            .is("200 \"ok\", 400, end", "GET /x"),
    ]
}

fn closes() -> Vec<Case> {
    const MUST: &str = "RFC 9112 9.6: MUST NOT process further requests";
    let last = |name: &'static str, options: &str| {
        must(name, MUST).sends(with_fields(&format!("{options}\r\n")) + HIDDEN).is(ONE, "GET /x")
    };
    vec![
        last("close, and a request after", "Connection: close"),
        last("close in capitals", "Connection: CLOSE"),
        last("close among other options", "Connection: x, close, y"),
        last("close and keep-alive", "Connection: keep-alive, close"),
        last("close in a second line", "Connection: keep-alive\r\nConnection: close"),
        must("close is announced", "RFC 9112 9.6: SHOULD say close")
            .sends(with_fields("Connection: close\r\n"))
            .is(ONE, "GET /x")
            .returns("Connection: close"),
        must("keep-alive is the default", "RFC 9112 9.3")
            .sends(with_fields("Connection: keep-alive\r\n")),
        choice("Proxy-Connection means nothing", "RFC 9112 C.2.2")
            .sends(with_fields("Proxy-Connection: close\r\n")),
        must("the upstream's close ends the upstream's connection alone", "RFC 9110 7.6.1")
            .answered(ok("Connection: close\r\nContent-Length: 2\r\n", "ok"))
            .then_closes(),
        must("an upstream that closes unsaid", "RFC 9112 9.5")
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .then_closes(),
        must("an upstream of HTTP/1.0", "RFC 9112 9.3")
            .answered("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .then_closes(),
        must("no answer at all", "RFC 9110 15.6.3")
            .sends(post("Content-Length: 5\r\n", "hello"))
            .answered("")
            .then_closes()
            .is("502, keep", "POST /x \"hello\"")
            .or("502, end", "POST /x \"hello\""),
        must("a reset in place of an answer", "RFC 9110 15.6.3")
            .sends(post("Content-Length: 5\r\n", "hello"))
            .answered("")
            .then_resets()
            .is("502, keep", "POST /x \"hello\"")
            .or("502, end", "POST /x \"hello\""),
        choice("a GET without an answer on a fresh connection", "RFC 9110 9.2.2")
            .sends(format!("{}{GET}", GET.replace("/x", "/first")))
            .answered(ok("Connection: close\r\nContent-Length: 2\r\n", "ok"))
            .answered("")
            .then_closes()
            .is("200 \"ok\", 502, keep", "GET /first, GET /x"),
    ]
}

fn old_clients() -> Vec<Case> {
    let old = |fields: &str| format!("GET /gpt/x HTTP/1.0\r\n{fields}\r\n");
    vec![
        must("HTTP/1.0 is served once", "RFC 9112 9.3").sends(old("") + HIDDEN).is(ONE, "GET /x"),
        choice("HTTP/1.0 with keep-alive", "RFC 9112 C.2.2")
            .sends(old("Connection: keep-alive\r\n"))
            .returns("Connection: keep-alive"),
        must("HTTP/1.0 gets no chunks", "RFC 9112 6.1: MUST NOT send")
            .sends(old("") + HIDDEN)
            .answered(ok("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))
            .is("200 \"hello\", end", "GET /x")
            .hides("Transfer-Encoding"),
        must("HTTP/1.0 with keep-alive gets no chunks", "RFC 9112 6.1: MUST NOT send")
            .sends(old("Connection: keep-alive\r\n"))
            .answered(ok("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))
            .is("200 \"hello\", end", "GET /x")
            .hides("Transfer-Encoding")
            .hides("Connection: keep-alive"),
        must("HTTP/1.0 is not told of a cut as of an end", "RFC 9112 8")
            .sends(old(""))
            .answered(ok("Transfer-Encoding: chunked\r\n", "5\r\nhel"))
            .then_closes()
            .is("cut", "GET /x")
            .or("502, end", "GET /x"),
        must("a body from HTTP/1.0", "RFC 9112 6.3")
            .sends("POST /gpt/x HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
            .is(ONE, "POST /x \"hello\""),
    ]
}
