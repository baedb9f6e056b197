//! The request line: three words, two spaces, one line end (RFC 9112, section 3).

use super::{GET, HIDDEN, SECOND, bytes, with_line};
use crate::conformance::case::{Case, choice, must, safety};

const GRAMMAR: &str = "RFC 9112 3: SHOULD 400";
const T_REQS: &str = "Jabiyev et al., T-Reqs (2021)";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = sound();
    rows.extend(broken_words());
    rows.extend(broken_bytes());
    rows.extend(without_a_request());
    rows.extend(versions());
    rows.extend(methods());
    rows
}

fn sound() -> Vec<Case> {
    let target = "a".repeat(8000);
    vec![
        must("a plain GET", "RFC 9112 3"),
        must("a field line without a blank", "RFC 9112 5.1")
            .sends("GET /gpt/x HTTP/1.1\r\nHost:a\r\n\r\n"),
        must("an empty line before a request", "RFC 9112 2.2: SHOULD ignore at least one")
            .sends(format!("\r\n{GET}")),
        choice("four empty lines in front", "RFC 9112 2.2").sends("\r\n".repeat(4) + GET),
        choice("five empty lines in front", "RFC 9112 2.2")
            .sends("\r\n".repeat(5) + GET)
            .refused(400),
        choice("a target of 4000 bytes", "RFC 9112 3: RECOMMENDED 8000 octets")
            .sends(with_line(&format!("GET /gpt/{} HTTP/1.1", &target[..4000])))
            .is("200 \"ok\", keep", format!("GET /{}", &target[..4000])),
        choice("a target of 8000 bytes", "RFC 9112 3: RECOMMENDED 8000 octets")
            .sends(with_line(&format!("GET /gpt/{target} HTTP/1.1")))
            .is("200 \"ok\", keep", format!("GET /{target}")),
        must("a target longer than is wished for", "RFC 9112 3: MUST 414")
            .sends(with_line(&format!("GET /gpt/{} HTTP/1.1", target.repeat(10))))
            .refused(414),
    ]
}

fn broken_words() -> Vec<Case> {
    let line = |name: &'static str, source: &'static str, line: &str| {
        safety(name, source).sends(with_line(line) + SECOND).refused(400)
    };
    vec![
        line("no target", GRAMMAR, "GET HTTP/1.1"),
        line("an empty target", GRAMMAR, "GET  HTTP/1.1"),
        line("no version", "RFC 1945 4.1; CVE-2017-7656 (Jetty)", "GET /gpt/x"),
        line("the method alone", GRAMMAR, "GET"),
        line("no method", GRAMMAR, "/gpt/x HTTP/1.1"),
        line("two spaces after the method", T_REQS, "GET  /gpt/x HTTP/1.1"),
        line("two spaces after the target", T_REQS, "GET /gpt/x  HTTP/1.1"),
        line("a tab after the method", T_REQS, "GET\t/gpt/x HTTP/1.1"),
        line("a tab after the target", T_REQS, "GET /gpt/x\tHTTP/1.1"),
        line("a vertical tab as a blank", T_REQS, "GET\x0b/gpt/x HTTP/1.1"),
        line("a form feed as a blank", T_REQS, "GET /gpt/x\x0cHTTP/1.1"),
        line("a blank at the front", T_REQS, " GET /gpt/x HTTP/1.1"),
        line("a blank at the end", T_REQS, "GET /gpt/x HTTP/1.1 "),
        line("a blank in the target", "CVE-2013-4547 (nginx)", "GET /gpt/x y HTTP/1.1"),
        line("two versions", T_REQS, "GET /gpt/x HTTP/1.1 HTTP/1.1"),
        line(
            "a request hidden in the line",
            T_REQS,
            "GET /gpt/x HTTP/1.1 GET /gpt/hidden HTTP/1.1",
        ),
        line("a method that is no token", "RFC 9110 5.6.2", "G(T /gpt/x HTTP/1.1"),
        line("a colon after the method", T_REQS, "GET: /gpt/x HTTP/1.1"),
        line("a NUL in the line", "Kallus et al., HTTP Garden (2024)", "GET /gpt/\0x HTTP/1.1"),
        line("an escape byte in the line", "RFC 9112 3", "GET /gpt/\x1bx HTTP/1.1"),
    ]
}

fn broken_bytes() -> Vec<Case> {
    vec![
        choice("a byte over 127 in the target", "RFC 3986 2; Http11Probe MAL-NON-ASCII-URL")
            .sends(bytes(&[b"GET /gpt/\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", SECOND.as_bytes()]))
            .refused(400),
        choice("an overlong encoding of a slash", "RFC 3629 3")
            .sends(bytes(&[b"GET /gpt/..\xc0\xafx HTTP/1.1\r\nHost: a\r\n\r\n", SECOND.as_bytes()]))
            .refused(400),
        safety("a byte over 127 in the method", "RFC 9110 5.6.2")
            .sends(bytes(&[b"G\xcbT /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n", SECOND.as_bytes()]))
            .refused(400),
        safety("a bare LF after the line", "RFC 9112 2.2; CVE-2019-16785 (Waitress)")
            .sends(format!("GET /gpt/x HTTP/1.1\nHost: a\r\n\r\n{SECOND}"))
            .refused(400),
        safety("a bare CR after the line", "RFC 9112 2.2")
            .sends(format!("GET /gpt/x HTTP/1.1\rHost: a\r\n\r\n{SECOND}"))
            .refused(400),
        safety("CR CR LF after the line", "Kallus et al., HTTP Garden (2024)")
            .sends(format!("GET /gpt/x HTTP/1.1\r\r\nHost: a\r\n\r\n{SECOND}"))
            .refused(400),
    ]
}

fn without_a_request() -> Vec<Case> {
    vec![
        safety("bare LFs alone", "RFC 9112 2.2: MAY recognize")
            .sends("GET /gpt/x HTTP/1.1\nHost: a\n\n")
            .refused(400),
        safety("an LF before a request", "RFC 9112 2.2").sends(format!("\n{GET}")).refused(400),
        safety("a TLS handshake", "RFC 9112 2.2: SHOULD 400 and close")
            .sends(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".to_vec())
            .refused(400),
        safety("a body alone", "RFC 9112 2.2").sends("{\"model\":\"x\"}\r\n\r\n").refused(400),
        safety("the end of a chunked body", "RFC 9112 2.2")
            .sends(format!("0\r\n\r\n{SECOND}"))
            .refused(400),
        safety("a line without a version, and no head", "RFC 9112 3: SHOULD 400")
            .sends("GET /gpt/x\r\n")
            .refused(400),
        safety("a line of another protocol", "RFC 9112 3: SHOULD 400")
            .sends("SSH-2.0-OpenSSH_9.9\r\n")
            .refused(400),
        safety("half a request line, and the end", "RFC 9112 8: MAY answer")
            .sends("GET /gpt/x HT")
            .hangs_up()
            .is("end", "-"),
        safety("half a head, and the end", "RFC 9112 8: MAY answer")
            .sends("GET /gpt/x HTTP/1.1\r\nHost: a\r\n")
            .hangs_up()
            .is("end", "-"),
        safety("nothing, and the end", "RFC 9112 9.5").sends("").hangs_up().is("end", "-"),
    ]
}

fn versions() -> Vec<Case> {
    let version = |name: &'static str, source: &'static str, version: &str| {
        safety(name, source).sends(with_line(&format!("GET /gpt/x {version}")) + SECOND)
    };
    const GRAMMAR: &str = "RFC 9112 2.3";
    vec![
        version("a lower-case version", GRAMMAR, "http/1.1").refused(400),
        version("another protocol", GRAMMAR, "HTTPS/1.1").refused(400),
        version("no minor version", GRAMMAR, "HTTP/1").refused(400),
        version("no digit after the dot", GRAMMAR, "HTTP/1.").refused(400),
        version("no dot", GRAMMAR, "HTTP/11").refused(400),
        version("a zero in front", GRAMMAR, "HTTP/01.1").refused(400),
        version("two digits", "Kallus et al., HTTP Garden (2024)", "HTTP/1.10").refused(400),
        version("a sign", GRAMMAR, "HTTP/+1.1").refused(400),
        version("a blank in the version", "Http11Probe COMP-VERSION-WHITESPACE", "HTTP/ 1.1")
            .refused(400),
        version("HTTP/0.9 with its name", "RFC 9110 15.6.6", "HTTP/0.9").refused(505),
        version("HTTP/2.0 in a request line", "RFC 9110 15.6.6", "HTTP/2.0").refused(505),
        version("HTTP/9.9", "RFC 9110 15.6.6", "HTTP/9.9").refused(505),
        choice("HTTP/1.2", "RFC 9110 2.5: SHOULD process as 1.1")
            .sends(with_line("GET /gpt/x HTTP/1.2"))
            .refused(505),
        choice("the preface of HTTP/2", "RFC 9113 3.4")
            .sends("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .refused(505),
        must("HTTP/1.0 becomes HTTP/1.1", "RFC 9110 2.5: MUST send its own version")
            .sends("GET /gpt/x HTTP/1.0\r\nHost: a\r\n\r\n")
            .is("200 \"ok\", end", "GET /x")
            .forwards("GET /x HTTP/1.1"),
    ]
}

fn methods() -> Vec<Case> {
    let passes = |name: &'static str, method: &str| {
        must(name, "RFC 9110 9.1: methods are tokens, and case-sensitive")
            .sends(with_line(&format!("{method} /gpt/x HTTP/1.1")))
            .is("200 \"ok\", keep", format!("{method} /x"))
            .or("501, end", "-")
            .or("405, end", "-")
            .or("400, end", "-")
    };
    let lower = |name: &'static str, method: &str| {
        safety(name, "RFC 9110 9.1: case-sensitive; some servers forget it")
            .sends(with_line(&format!("{method} /gpt/x HTTP/1.1")) + SECOND)
            .is("501, end", "-")
            .or("400, end", "-")
            .or("405, end", "-")
    };
    vec![
        passes("a method of its own", "PURGE"),
        passes("a lower-case method is another method", "propfind"),
        lower("a standard method in lower case", "get"),
        lower("a standard method with a capital", "Post"),
        lower("CONNECT in lower case", "connect"),
        lower("TRACE in mixed case", "tRACE"),
        passes("a method of odd token bytes", "!#$%&'*+-.^_`|~09"),
        must("OPTIONS of a path", "RFC 9110 9.3.7")
            .sends(with_line("OPTIONS /gpt/x HTTP/1.1"))
            .is("200 \"ok\", keep", "OPTIONS /x"),
        must("HEAD", "RFC 9110 9.3.2").sends(super::HEAD).is("200, keep", "HEAD /x"),
        choice("a method of 1000 bytes", "RFC 9112 3: SHOULD 501 for what is not implemented")
            .sends(with_line(&format!("{} /gpt/x HTTP/1.1", "M".repeat(1000))))
            .is("200 \"ok\", keep", format!("{} /x", "M".repeat(1000))),
        safety("CONNECT to a port", "RFC 9110 9.3.6")
            .sends("CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n".to_owned() + SECOND)
            .is("405, end", "-"),
        safety("CONNECT with a path", "RFC 9112 3.2.3")
            .sends(with_line("CONNECT /gpt/x HTTP/1.1") + SECOND)
            .is("405, end", "-"),
        choice("TRACE", "RFC 9110 9.3.8: it reflects credentials")
            .sends("TRACE /gpt/x HTTP/1.1\r\nHost: a\r\nAuthorization: secret\r\n\r\n")
            .is("405, end", "-"),
        safety("TRACE with a body", "RFC 9110 9.3.8: MUST NOT send content")
            .sends(format!(
                "TRACE /gpt/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            ))
            .is("405, end", "-"),
    ]
}
