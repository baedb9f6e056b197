//! Host: exactly one, and one that is a host (RFC 9112, section 3.2).

use super::SECOND;
use crate::conformance::case::{Case, choice, must, safety};

const MUST_400: &str = "RFC 9112 3.2: MUST 400";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = refused();
    rows.extend(replaced());
    rows
}

fn refused() -> Vec<Case> {
    let bad = |name: &'static str, value: &str| {
        must(name, MUST_400).sends(with(&format!("Host: {value}\r\n"))).refused(400)
    };
    let mut rows = vec![
        must("no Host", MUST_400).sends(with("")).refused(400),
        must("two Hosts", MUST_400).sends(with("Host: a\r\nHost: b\r\n")).refused(400),
        must("two Hosts that agree", MUST_400).sends(with("Host: a\r\nHost: a\r\n")).refused(400),
        must("two Hosts apart and in other cases", MUST_400)
            .sends(with("host: a\r\nX: 1\r\nHOST: b\r\n"))
            .refused(400),
        must("two Hosts after an absolute-form", MUST_400)
            .sends(format!("GET http://a/gpt/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{SECOND}"))
            .refused(400),
        must("a blank before the colon of Host", "RFC 9112 5.1: MUST 400")
            .sends(with("Host : a\r\n"))
            .refused(400),
        must("two Hosts in HTTP/1.0", MUST_400)
            .sends("GET /gpt/x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
            .refused(400),
        safety("a Host that is folded away", "Kettle, HTTP Desync Attacks (2019)")
            .sends(with("Host: a\r\n Host: b\r\n"))
            .refused(400),
    ];
    rows.extend([
        bad("a Host with a path", "a/gpt"),
        bad("a Host with userinfo", "user@a"),
        bad("a Host with a blank", "a b"),
        bad("a Host that is a list", "a, b"),
        bad("a Host with a port of letters", "a:http"),
        bad("a Host with a port over 65535", "a:65536"),
        bad("a Host with a signed port", "a:+80"),
        bad("a Host with two ports", "a:80:80"),
        bad("a Host with a query", "a?b"),
        bad("a Host with a fragment", "a#b"),
        bad("a Host with an open bracket", "[::1"),
        bad("a Host with a name in brackets", "[a]"),
        bad("a Host of an address without brackets", "::1"),
        bad("a Host with a broken encoding", "a%4"),
        bad("a Host with markup", "a<script>"),
        bad("a Host beyond ASCII", "\u{e9}"),
    ]);
    rows
}

fn replaced() -> Vec<Case> {
    let names_us = |name: &'static str, value: &str| {
        choice(name, "RFC 9112 3.3; RFC 3986 3.2.2")
            .sends(format!("GET /gpt/x HTTP/1.1\r\nHost: {value}\r\n\r\n"))
            .drops(format!("Host: {value}"))
            .forwards("Host: api.openai.test")
    };
    vec![
        choice("an empty Host", "RFC 9112 3.2: for a target without authority")
            .sends(with("Host:\r\n"))
            .refused(400),
        choice("a Host of blanks", "RFC 9112 3.2").sends(with("Host: \t \r\n")).refused(400),
        names_us("a Host in capitals", "LOCALHOST:8080"),
        names_us("a Host with an empty port", "a:"),
        names_us("a Host of an IPv6 address", "[2001:db8::1]:443"),
        names_us("a Host of an IPv4 address", "127.0.0.1"),
        names_us("a Host with a dot at its end", "a.example."),
        names_us("a Host of the upstream's neighbour", "internal.openai.test"),
        must("HTTP/1.0 without Host", "RFC 9112 3.2; RFC 1945")
            .sends("GET /gpt/x HTTP/1.0\r\n\r\n")
            .is("200 \"ok\", end", "GET /x")
            .forwards("Host: api.openai.test"),
        choice("fields that name another host are no Host", "Kettle, Cracking the lens (2017)")
            .sends(super::with_fields("X-Forwarded-Host: b\r\nForwarded: host=c\r\n"))
            .drops("X-Forwarded-Host")
            .drops("Forwarded"),
    ]
}

/// A request with these fields, followed by another.
fn with(fields: &str) -> String {
    format!("GET /gpt/x HTTP/1.1\r\n{fields}\r\n{SECOND}")
}
