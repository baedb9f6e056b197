//! Response heads: the upstream is no more trusted than the client (RFC 9112, sections 4 and 5).

use super::{EVIL, bytes, ok};
use crate::conformance::case::{Case, Kind, choice, must, safety};

const REST: &str = "\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = bad_status_lines();
    rows.extend(status_lines());
    rows.extend(bad_lines());
    rows.extend(limits());
    rows
}

/// A 502 of ours; the client's connection stays.
fn spoiled(name: &'static str, source: &'static str, response: impl Into<Vec<u8>>) -> Case {
    safety(name, source).answered(response).then_closes().spends().is("502, keep", "GET /x")
}

fn bad_status_lines() -> Vec<Case> {
    let line =
        |name: &'static str, line: &str| spoiled(name, "RFC 9112 4", format!("{line}{REST}"));
    vec![
        line("no status", "HTTP/1.1"),
        line("a blank and no status", "HTTP/1.1 "),
        line("two digits", "HTTP/1.1 20"),
        line("four digits", "HTTP/1.1 2000 OK"),
        line("a signed status", "HTTP/1.1 +20 OK"),
        line("letters as a status", "HTTP/1.1 xyz OK"),
        line("two blanks before the status", "HTTP/1.1  200 OK"),
        line("a tab before the status", "HTTP/1.1\t200 OK"),
        line("a tab after the status", "HTTP/1.1 200\tOK"),
        line("status 000", "HTTP/1.1 000 OK"),
        line("status 099", "HTTP/1.1 099 OK"),
        Case { kind: Kind::Choice, ..line("a control byte in the reason", "HTTP/1.1 200 O\x01K") },
        line("a NUL in the reason", "HTTP/1.1 200 O\0K"),
        line("a bare CR in the reason", "HTTP/1.1 200 O\rK"),
        line("a lower-case version of a response", "http/1.1 200 OK"),
        line("a response of HTTP/2", "HTTP/2 200 OK"),
        line("a response of two-digit version", "HTTP/1.10 200 OK"),
        line("a response of ICY", "ICY 200 OK"),
        line("a blank before a response", " HTTP/1.1 200 OK"),
        line("an empty line before a response", "\r\nHTTP/1.1 200 OK"),
        line("an SSH server", "SSH-2.0-OpenSSH_9.9"),
        line("a request as a response", "GET / HTTP/1.1"),
        spoiled("a response without a head", "RFC 1945 6", "<html>hello</html>"),
        spoiled("a TLS alert", "RFC 9112 4", b"\x15\x03\x03\0\x02\x02\x28".to_vec()),
        spoiled("half a status line", "RFC 9112 8", "HTTP/1.1 2"),
        spoiled("half a head of a response", "RFC 9112 8", "HTTP/1.1 200 OK\r\nContent-Len"),
    ]
}

fn status_lines() -> Vec<Case> {
    let passes =
        |name: &'static str, source: &'static str, line: &'static str, want: &'static str| {
            must(name, source)
                .answered(format!("{line}{REST}"))
                .is(format!("{} \"ok\", keep", &line[9..12]), "GET /x")
                .returns(want)
        };
    const OWN: &str = "RFC 9110 2.5: MUST send its own version";
    const CLASS: &str = "RFC 9110 15: MUST understand the class";
    vec![
        passes("a response of HTTP/1.0", OWN, "HTTP/1.0 200 OK", "HTTP/1.1 200 OK"),
        must("an unknown status", CLASS)
            .answered(format!("HTTP/1.1 299 Odd{REST}"))
            .is("299 \"ok\", keep", "GET /x"),
        must("another unknown status", CLASS)
            .answered(format!("HTTP/1.1 599 Odd{REST}"))
            .is("599 \"ok\", keep", "GET /x"),
        must("no reason", "RFC 9112 4: a client SHOULD ignore it")
            .answered(format!("HTTP/1.1 200 {REST}")),
        choice("no blank after the status", "RFC 9112 4").answered(format!("HTTP/1.1 200{REST}")),
        choice("a reason beyond ASCII", "RFC 9112 4: obs-text")
            .answered(bytes(&[b"HTTP/1.1 200 \xfcber", REST.as_bytes()])),
        choice("status 600", "RFC 9110 15: SHOULD be read as 5xx")
            .answered(format!("HTTP/1.1 600 Odd{REST}"))
            .is("502, keep", "GET /x"),
        choice("status 999", "RFC 9110 15: SHOULD be read as 5xx")
            .answered(format!("HTTP/1.1 999 Odd{REST}"))
            .is("502, keep", "GET /x"),
        choice("a response of HTTP/1.2", "RFC 9110 2.5: SHOULD process as 1.1")
            .answered(format!("HTTP/1.2 200 OK{REST}"))
            .is("502, keep", "GET /x"),
    ]
}

fn bad_lines() -> Vec<Case> {
    let lines = |name: &'static str, source: &'static str, lines: &str| {
        spoiled(name, source, format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok"))
    };
    const KLEIN: &str = "Klein, Divide and Conquer (2004)";
    vec![
        lines("response: a bare LF after a field", KLEIN, "X: 1\n"),
        lines("response: a bare CR in a value", KLEIN, "X: 1\rSet-Cookie: evil\r\n"),
        lines("response: CR CR LF", KLEIN, "X: 1\r\r\n"),
        lines("response: a NUL in a value", "RFC 9110 5.5", "X: \0\r\n"),
        Case {
            kind: Kind::Choice,
            ..lines("response: an escape byte in a value", "RFC 9110 5.5: MAY", "X: \x1b[1m\r\n")
        },
        lines("response: no colon", "RFC 9112 5", "X\r\n"),
        lines("response: no name", "RFC 9112 5", ": 1\r\n"),
        lines("response: a name that is no token", "RFC 9110 5.1", "X(1): 1\r\n"),
        lines("response: a name beyond ASCII", "RFC 9110 5.1", "\u{e9}: 1\r\n"),
        lines("response: a fold first of all", "RFC 9112 2.2", " X: 1\r\n"),
        must("response: a fold", "RFC 9112 5.2: MUST 502, or SP")
            .answered(ok("X: 1\r\n 2\r\nContent-Length: 2\r\n", "ok"))
            .is("502, keep", "GET /x")
            .or("502, end", "GET /x")
            .or("200 \"ok\", keep", "GET /x"),
        must("response: a blank before a colon", "RFC 9112 5.1: a proxy MUST remove it")
            .answered(ok("X : 1\r\nContent-Length: 2\r\n", "ok"))
            .is("502, keep", "GET /x")
            .or("502, end", "GET /x")
            .or("200 \"ok\", keep", "GET /x"),
        lines(
            "response: a blank before the colon of a length",
            "RFC 9112 5.1",
            "Content-Length : 200\r\n",
        ),
        spoiled(
            "response: bare LFs alone",
            "RFC 9112 2.2",
            format!("HTTP/1.1 200 OK\nContent-Length: 2\n\nok{EVIL}"),
        ),
        spoiled(
            "response: a head that ends in LF LF",
            "RFC 9112 2.2",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\n\nok",
        ),
        choice("response: bytes over 127 in a value", "RFC 9110 5.5: obs-text")
            .answered(bytes(&[b"HTTP/1.1 200 OK\r\nX: \x80\xc3\xa9\xff", REST.as_bytes()])),
        choice("response: an underscore in a name", "RFC 9110 5.6.2")
            .answered(ok("X_y: 1\r\nContent-Length: 2\r\n", "ok"))
            .returns("X_y: 1"),
    ]
}

fn limits() -> Vec<Case> {
    let padded =
        |padding: usize| ok(&format!("X: {}\r\nContent-Length: 2\r\n", "a".repeat(padding)), "ok");
    let lines = |count: usize| ok(&("X: 1\r\n".repeat(count) + "Content-Length: 2\r\n"), "ok");
    vec![
        choice("response: a head of 6 kB", "nginx, proxy_buffer_size").answered(padded(6000)),
        choice("response: a head of 60 kB", "RFC 9110 5.4").answered(padded(60_000)),
        choice("response: a head of 70 kB", "RFC 9110 5.4")
            .answered(padded(70_000))
            .is("502, keep", "GET /x"),
        choice("response: 250 lines", "RFC 9110 5.4").answered(lines(250)),
        choice("response: 300 lines", "RFC 9110 5.4")
            .answered(lines(300))
            .is("502, keep", "GET /x"),
        choice("response: a head without an end", "RFC 9110 5.4")
            .answered(padded(70_000).replace("\r\n\r\n", "\r\n"))
            .is("502, keep", "GET /x"),
    ]
}
