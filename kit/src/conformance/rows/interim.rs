//! Expectations (RFC 9110, section 10.1.1) and interim responses (section 15.2).

use super::{CHUNKED, EVIL, HIDDEN, ok, post, request};
use crate::conformance::case::{Case, choice, must, safety};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = expectations();
    rows.extend(interim());
    rows
}

fn expecting(value: &str, body: &str) -> String {
    post(&format!("Expect: {value}\r\nContent-Length: 5\r\n"), body)
}

fn expectations() -> Vec<Case> {
    const KETTLE: &str = "Kettle, HTTP/1.1 must die (2025)";
    let expecting_hidden = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", HIDDEN.len());
    let last = || ok("Content-Length: 2\r\n", "ok");
    let odd = |name: &'static str, value: &str| {
        choice(name, KETTLE).sends(expecting(value, &format!("hello{HIDDEN}"))).is("417, end", "-")
    };
    vec![
        must("a body after its 100", "RFC 9110 10.1.1")
            .sends(expecting("100-continue", ""))
            .answered(CONTINUE)
            .answered(last())
            .early()
            .then_sends("hello")
            .is("100, 200 \"ok\", keep", "POST /x \"hello\""),
        must("an expectation in another case", "RFC 9110 10.1.1: case-insensitive")
            .sends(expecting("100-Continue", ""))
            .answered(CONTINUE)
            .answered(last())
            .early()
            .then_sends("hello")
            .is("100, 200 \"ok\", keep", "POST /x \"hello\""),
        must("a body that did not wait", "RFC 9110 10.1.1: MAY omit the 100")
            .sends(expecting("100-continue", "hello"))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .or("100, 200 \"ok\", keep", "POST /x \"hello\"")
            .or("100, keep", "POST /x \"hello\""),
        must("a refusal in place of the 100", "RFC 9110 10.1.1")
            .sends(expecting("100-continue", ""))
            .answered("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            .early()
            .then_sends("hello")
            .is("413 \"no\", end", "cut")
            .or("413 \"no\", keep", "POST /x \"hello\"")
            .or("100, 413 \"no\", end", "cut")
            .or("100, 413 \"no\", end", "POST /x \"hello\"")
            .or("100, 413 \"no\", keep", "POST /x \"hello\""),
        safety("a body after a refusal", "Kettle, HTTP/1.1 must die (2025): Expect CL.0")
            .sends(post(&expecting_hidden, ""))
            .answered("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
            .early()
            .spends()
            .then_sends(HIDDEN)
            .is("404 \"no\", end", "cut"),
        safety("an expecting GET with a body", "Kettle, HTTP/1.1 must die (2025): 0.CL")
            .sends(request("GET /gpt/x", &expecting_hidden, HIDDEN))
            .is("200 \"ok\", keep", format!("GET /x \"{}\"", HIDDEN.escape_default())),
        safety("an expectation in folds", "CVE-2025-32094 (Akamai)")
            .sends(request("OPTIONS /gpt/x", &expecting_hidden.replace(": 1", ":\r\n 1"), HIDDEN))
            .refused(400),
        odd("a word before the expectation", "y 100-continue"),
        odd("a word after the expectation", "100-continue x"),
        odd("another expectation beside it", "100-continue, x"),
        odd("an unknown expectation", "200-ok"),
        odd("a parameter of the expectation", "100-continue; x"),
        choice("an empty expectation", "RFC 9110 10.1.1; 5.6.1.2")
            .sends(expecting("", "hello"))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .drops("Expect"),
        must("an expectation of HTTP/1.0", "RFC 9110 10.1.1: MUST ignore")
            .sends("POST /gpt/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            .is("200 \"ok\", end", "POST /x \"hello\""),
        safety("an expectation that is nominated", "Davison (2019)")
            .sends(expecting("100-continue\r\nConnection: expect", "hello"))
            .is("200 \"ok\", keep", "POST /x \"hello\""),
    ]
}

fn interim() -> Vec<Case> {
    const FORWARD: &str = "RFC 9110 15.2: MUST forward";
    let last = ok("Content-Length: 2\r\n", "ok");
    let passes = |name: &'static str, interim: &str, status: u16| {
        must(name, FORWARD)
            .answered(format!("{interim}{last}"))
            .is(format!("{status}, 200 \"ok\", keep"), "GET /x")
    };
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    vec![
        passes("an unasked 100", CONTINUE, 100),
        passes("a 102", "HTTP/1.1 102 Processing\r\n\r\n", 102),
        passes("a 103", hints, 103).returns("Link: </a>"),
        passes("an unknown 1xx", "HTTP/1.1 199 Odd\r\n\r\n", 199),
        passes("a 102 without a reason", "HTTP/1.1 102 \r\n\r\n", 102),
        must("two interim responses", FORWARD)
            .answered(format!("{CONTINUE}{hints}{last}"))
            .is("100, 103, 200 \"ok\", keep", "GET /x"),
        must("no length in an interim response", "RFC 9110 8.6: MUST NOT send")
            .answered(format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n{last}"))
            .is("103, 200 \"ok\", keep", "GET /x")
            .hides("Content-Length: 9")
            .or("200 \"ok\", keep", "GET /x")
            .or("502, keep", "GET /x"),
        must("no coding in an interim response", "RFC 9112 6.1: MUST NOT send")
            .answered(format!("HTTP/1.1 103 Early Hints\r\n{CHUNKED}\r\n{last}"))
            .is("103, 200 \"ok\", keep", "GET /x")
            .hides("Transfer-Encoding")
            .or("200 \"ok\", keep", "GET /x")
            .or("502, keep", "GET /x"),
        must("no interim responses to HTTP/1.0", "RFC 9110 15.2: MUST NOT send")
            .sends("GET /gpt/x HTTP/1.0\r\n\r\n")
            .answered(format!("{hints}{last}"))
            .is("200 \"ok\", end", "GET /x"),
        must("a HEAD after interim responses", "RFC 9110 15.2")
            .sends(super::HEAD)
            .answered(format!("{hints}{}", ok("Content-Length: 2\r\n", "")))
            .is("103, 200, keep", "HEAD /x"),
        choice("interim responses without an end", "RFC 9110 15.2")
            .answered(hints.repeat(33) + &last)
            .is("103, ".repeat(32) + "502, keep", "GET /x"),
        must("an interim response and the end", "RFC 9110 15.2; 15.6.3")
            .answered(hints)
            .then_closes()
            .is("103, 502, keep", "GET /x")
            .or("502, keep", "GET /x")
            .or("502, end", "GET /x")
            .or("103, 502, end", "GET /x"),
        safety("an unasked 101", "RFC 9110 15.2.2; 7.8")
            .answered(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n{EVIL}"
            ))
            .is("502, keep", "GET /x"),
        safety("an unasked 101 without a protocol", "RFC 9110 15.2.2")
            .answered("HTTP/1.1 101 Switching Protocols\r\n\r\n")
            .is("502, keep", "GET /x"),
        safety("a malformed response after an interim one", "RFC 9112 4")
            .answered(format!("{hints}HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"))
            .then_closes()
            .is("103, 502, keep", "GET /x"),
    ]
}
