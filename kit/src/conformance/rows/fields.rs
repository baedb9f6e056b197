//! Field lines: name, colon, value, CRLF, and nothing else (RFC 9112, section 5).

use super::{HIDDEN, SECOND, bytes, with_fields};
use crate::conformance::case::{Case, choice, must, safety};

pub(super) fn rows() -> Vec<Case> {
    let mut rows = names();
    rows.extend(values_and_line_ends());
    rows.extend(kept());
    rows.extend(limits());
    rows
}

/// What follows a head: with a length it may be read as its body.
fn after(lines: &str) -> &'static str {
    let frames = ["Content-Length", "Transfer-Encoding"].iter().any(|it| lines.contains(it));
    if frames { HIDDEN } else { SECOND }
}

fn names() -> Vec<Case> {
    let refused = |name: &'static str, source: &'static str, line: &str| {
        safety(name, source).sends(with_fields(&format!("{line}\r\n")) + after(line)).refused(400)
    };
    let blank = |name: &'static str, line: &str| {
        must(name, "RFC 9112 5.1: MUST 400")
            .sends(with_fields(&format!("{line}\r\n")) + after(line))
            .refused(400)
    };
    const TOKEN: &str = "RFC 9110 5.1, 5.6.2";
    vec![
        blank("a blank before the colon", "X : 1"),
        blank("a tab before the colon", "X\t: 1"),
        blank("a blank before the colon of Content-Length", "Content-Length : 37"),
        blank("a blank before the colon of Transfer-Encoding", "Transfer-Encoding : chunked"),
        blank("a tab before the colon of Transfer-Encoding", "Transfer-Encoding\t: chunked"),
        refused("a vertical tab before the colon", "Linhart et al. (2005)", "X\x0b: 1"),
        refused("no name", "CVE-2023-25725 (HAProxy)", ": 1"),
        refused("no colon", "CVE-2019-20444 (Netty)", "X"),
        refused("a request as a field", "Linhart et al. (2005)", "GET /gpt/hidden HTTP/1.1"),
        refused("a blank in the name", TOKEN, "X Y: 1"),
        refused(
            "a junk word after the name",
            "Klein, HTTP Request Smuggling in 2020",
            "Content-Length abcde: 37",
        ),
        refused("a bracket in the name", TOKEN, "X[1]: 1"),
        refused("a name in quotes", TOKEN, "\"X\": 1"),
        refused("a name beyond ASCII", TOKEN, "\u{e9}: 1"),
        refused("a NUL in the name", "Kallus et al., HTTP Garden (2024)", "X\0: 1"),
        refused("a DEL in the name", TOKEN, "X\x7f: 1"),
        refused("a byte order mark at the front", TOKEN, "\u{feff}X: 1"),
        must("whitespace before the first field", "RFC 9112 2.2: MUST reject or drop")
            .sends(format!("GET /gpt/x HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n{SECOND}"))
            .refused(400),
        must("a tab before the first field", "RFC 9112 2.2: MUST reject or drop")
            .sends(format!("GET /gpt/x HTTP/1.1\r\n\tX: 1\r\nHost: a\r\n\r\n{SECOND}"))
            .refused(400),
    ]
}

fn values_and_line_ends() -> Vec<Case> {
    let refused = |name: &'static str, source: &'static str, lines: &str| {
        safety(name, source).sends(with_fields(lines) + after(lines)).refused(400)
    };
    // Joined to the line before, they frame nothing.
    let folded = |name: &'static str, source: &'static str, lines: &str| {
        safety(name, source).sends(with_fields(lines) + SECOND).refused(400)
    };
    let odd = |name: &'static str, source: &'static str, lines: &str| {
        choice(name, source).sends(with_fields(lines) + SECOND).refused(400)
    };
    const KETTLE: &str = "Kettle, HTTP Desync Attacks (2019)";
    const CR: &str = "RFC 9112 2.2: MUST be invalid, or SP";
    vec![
        refused("a bare LF after a field", "RFC 9112 2.2", "X: 1\n"),
        refused("a field after a bare LF", KETTLE, "X: 1\nTransfer-Encoding: chunked\r\n"),
        refused("a length after a bare LF", KETTLE, "X: 1\nContent-Length: 37\r\n"),
        refused("a bare CR in a value", CR, "X: 1\rY: 2\r\n"),
        refused(
            "a length after a bare CR",
            "CVE-2023-30589 (llhttp)",
            "X: 1\rContent-Length: 37\r\n",
        ),
        refused("CR CR LF after a field", "Kallus et al., HTTP Garden (2024)", "X: 1\r\r\n"),
        refused("a bare CR before a name", KETTLE, "\rX: 1\r\n"),
        refused("a bare CR at the end of the value", CR, "X: 1\r \r\n"),
        refused("a head that ends in LF LF", "RFC 9112 2.2", "X: 1\n\n"),
        refused("a head that ends in CRLF LF", "RFC 9112 2.2", "X: 1\r\n\n"),
        refused("a head that ends in CRLF CR X", "CVE-2025-23167 (llhttp)", "X: 1\r\n\rX"),
        refused("a fold", "RFC 9112 5.2: MUST 400, or SP", "X: 1\r\n 2\r\n"),
        refused("a fold by a tab", "RFC 9112 5.2", "X: 1\r\n\t2\r\n"),
        refused("a fold of blanks alone", "RFC 9112 5.2", "X: 1\r\n \r\n"),
        refused(
            "a folded Transfer-Encoding",
            "CVE-2022-32215 (llhttp)",
            "Transfer-Encoding:\r\n chunked\r\n",
        ),
        refused("a folded Content-Length", "CVE-2024-27982 (Node)", "Content-Length:\r\n 37\r\n"),
        folded("a blank before Content-Length", "CVE-2024-27982 (Node)", " Content-Length: 37\r\n"),
        folded(
            "a blank before Transfer-Encoding",
            KETTLE,
            "X: 1\r\n Transfer-Encoding: chunked\r\n",
        ),
        refused("a NUL in a value", "CVE-2019-9900 (Envoy)", "X: 1\x002\r\n"),
        odd("an escape byte in a value", "RFC 9110 5.5", "X: \x1b[31m\r\n"),
        odd("a backspace in a value", "RFC 9110 5.5", "X: a\x08b\r\n"),
        odd("a vertical tab in a value", "RFC 9110 5.5", "X: a\x0bb\r\n"),
        odd("a DEL in a value", "RFC 9110 5.5", "X: a\x7fb\r\n"),
    ]
}

fn kept() -> Vec<Case> {
    let kept = |name: &'static str, source: &'static str, line: &'static str| {
        must(name, source).sends(with_fields(&format!("{line}\r\n"))).forwards(line)
    };
    const OWS: &str = "RFC 9110 5.5; RFC 9112 5.1";
    vec![
        kept("a tab inside a value", OWS, "X: a\tb"),
        kept("an empty value", "RFC 9110 5.5", "X:"),
        kept("colons and quotes in a value", "RFC 9110 5.6.4", "X: \"a: b\", c:d;e=\\"),
        kept("an unknown field", "RFC 9110 5.1: MUST forward", "X-Unknown: 1"),
        kept("a credential", "RFC 9110 11.6.2: MUST NOT modify", "Authorization: Bearer sk-1"),
        must("repeated lines stay in order", "RFC 9110 5.3: MUST NOT change the order")
            .sends(with_fields("Cookie: a=1\r\nCookie: b=2\r\n"))
            .forwards("Cookie: a=1")
            .forwards("Cookie: b=2"),
        choice("nothing changes but the Host", "RFC 9110 7.6")
            .sends("GET /gpt/x HTTP/1.1\r\nx-A:1\r\nhOst: a\r\nX-b: \t2 \t\r\nX-B:\r\n\r\n")
            .exactly(
                "GET /x HTTP/1.1\r\nx-A:1\r\nhOst: api.openai.test\r\nX-b: \t2 \t\r\nX-B:\r\n\r\n",
            ),
        choice("bytes over 127 in a value", "RFC 9110 5.5: obs-text")
            .sends(bytes(&[b"GET /gpt/x HTTP/1.1\r\nHost: a\r\nX: \x80\xc3\xa9\xff\r\n\r\n"]))
            .exactly(bytes(&[
                b"GET /x HTTP/1.1\r\nHost: api.openai.test\r\nX: \x80\xc3\xa9\xff\r\n\r\n",
            ])),
        choice("an underscore in a name", "RFC 9110 5.6.2; nginx drops it")
            .sends(with_fields("X_y: 1\r\n"))
            .forwards("X_y: 1"),
        choice("a name of odd token bytes", "RFC 9110 5.6.2")
            .sends(with_fields("!#$%&'*+-.^_`|~09: 1\r\n"))
            .forwards("!#$%&'*+-.^_`|~09: 1"),
        choice("a length by an underscore", "Http11Probe NORM-UNDERSCORE-CL; nginx drops it")
            .sends(with_fields("Content_Length: 37\r\n"))
            .refused(400),
        choice("a coding by an underscore", "CGI reads _ as -; nginx drops it")
            .sends(with_fields("Transfer_Encoding: chunked\r\n"))
            .refused(400),
        choice("a field about the client by an underscore", "CGI reads _ as -; nginx drops it")
            .sends(with_fields("X_Forwarded_For: 1.2.3.4\r\n"))
            .drops("X_Forwarded_For"),
    ]
}

fn limits() -> Vec<Case> {
    let lines = |count: usize| with_fields(&"X: 1\r\n".repeat(count));
    let long = |length: usize| with_fields(&format!("X: {}\r\n", "a".repeat(length)));
    const MUST_4XX: &str = "RFC 9110 5.4: MUST 4xx";
    vec![
        choice("a hundred lines", "RFC 9110 5.4").sends(lines(100)),
        choice("255 lines", "RFC 9110 5.4").sends(lines(255)),
        must("300 lines", MUST_4XX)
            .sends(lines(300))
            .refused(431)
            .or("400, end", "-")
            .or("200 \"ok\", keep", "GET /x"),
        choice("a value of 60 kB", "RFC 9110 5.4").sends(long(60_000)),
        must("a value of 70 kB", MUST_4XX)
            .sends(long(70_000))
            .refused(431)
            .or("400, end", "-")
            .or("414, end", "-"),
        must("a name of 70 kB", MUST_4XX)
            .sends(with_fields(&format!("{}: 1\r\n", "a".repeat(70_000))))
            .refused(431)
            .or("400, end", "-")
            .or("414, end", "-"),
        safety("a name of 270 bytes beside a length", "CVE-2021-40346 (HAProxy)")
            .sends(super::post(
                &format!("Content-Length0{}:\r\nContent-Length: 37\r\n", "a".repeat(255)),
                HIDDEN,
            ))
            .is("200 \"ok\", keep", format!("POST /x \"{}\"", HIDDEN.escape_default())),
    ]
}
