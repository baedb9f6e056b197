//! Answers that come before the request is over: what is left of it may be read as another one.

use super::{EVIL, HIDDEN, SECOND, ok, post, with_fields};
use crate::conformance::case::{Case, choice, must, safety};

const GADGET: &str = "Kettle, HTTP/1.1 must die (2025): early-response gadget";
const REFUSAL: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = answered_early();
    rows.extend(answered_blindly());
    rows
}

fn answered_early() -> Vec<Case> {
    let length = format!("Content-Length: {}\r\n", HIDDEN.len());
    vec![
        must("a refusal in the middle of a body", "RFC 9112 9.5")
            .sends(post("Content-Length: 1000\r\n", "hello"))
            .answered(REFUSAL)
            .early()
            .spends()
            .is("413 \"no\", end", "cut")
            .or("413 \"no\", waits", "cut"),
        must("a refusal in the middle of chunks", "RFC 9112 9.5")
            .sends(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"))
            .answered(REFUSAL)
            .early()
            .spends()
            .is("413 \"no\", end", "cut")
            .or("413 \"no\", waits", "cut"),
        choice("the close is announced", "RFC 9112 9.6")
            .sends(post("Content-Length: 1000\r\n", "hello"))
            .answered(REFUSAL)
            .early()
            .spends()
            .is("413 \"no\", end", "cut")
            .returns("Connection: close"),
        must("a refusal, and the upstream closes", "RFC 9112 9.5")
            .sends(post("Content-Length: 1000\r\n", "hello"))
            .answered(REFUSAL)
            .early()
            .spends()
            .then_closes()
            .is("413 \"no\", end", "cut")
            .or("413 \"no\", waits", "cut"),
        safety("an answer to a body that has not come", GADGET)
            .sends(with_fields(&length))
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .early()
            .spends()
            .is("200 \"ok\", end", "cut"),
        safety("a request in place of the rest of a body", GADGET)
            .sends(with_fields(&length))
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .early()
            .spends()
            .then_sends(HIDDEN)
            .is("200 \"ok\", end", "cut"),
        safety("a request after half a body", GADGET)
            .sends(post("Content-Length: 1000\r\n", "hello"))
            .answered(REFUSAL)
            .early()
            .spends()
            .then_sends(HIDDEN)
            .is("413 \"no\", end", "cut")
            .or("413 \"no\", waits", "cut"),
        safety("a request in place of the rest of chunks", GADGET)
            .sends(post("Transfer-Encoding: chunked\r\n", ""))
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .early()
            .spends()
            .then_sends(format!("0\r\n\r\n{SECOND}"))
            .is("200 \"ok\", end", "cut"),
        safety("a broken body after an answer", GADGET)
            .sends(post("Transfer-Encoding: chunked\r\n", ""))
            .answered(ok("Content-Length: 2\r\n", "ok"))
            .early()
            .spends()
            .then_sends(format!("x\r\n{HIDDEN}"))
            .is("200 \"ok\", end", "cut"),
    ]
}

/// An upstream that does not see the length answers the body as well.
fn answered_blindly() -> Vec<Case> {
    let body = HIDDEN;
    let length = format!("Content-Length: {}\r\n", body.len());
    let both = ok("Content-Length: 2\r\n", "ok") + EVIL;
    let blind = |name: &'static str, source: &'static str| {
        safety(name, source)
            .answered(both.as_str())
            .answered("")
            .blind()
            .spends()
            .at_once()
            .is("200 \"ok\", keep", "GET /x, GET /gpt/hidden")
    };
    vec![
        blind("an upstream that sees no length", "Kettle, Browser-Powered Desync (2022): CL.0")
            .sends(with_fields(&length) + body),
        blind(
            "an upstream that sees no length of a POST",
            "Kettle, Browser-Powered Desync (2022): CL.0",
        )
        .sends(post(&length, body))
        .is("200 \"ok\", keep", "POST /x, GET /gpt/hidden"),
    ]
}
