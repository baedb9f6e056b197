//! How long a request is (RFC 9112, section 6.3): what has two answers has none.

use super::{CHUNKED, HIDDEN, post, request, request_10, with_fields};
use crate::conformance::case::{Case, choice, must, safety};

const DESYNC: &str = "Kettle, HTTP Desync Attacks (2019)";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = bad_lengths();
    rows.extend(agreeing_lengths());
    rows.extend(two_lengths());
    rows.extend(codings());
    rows.extend(sound());
    rows
}

fn bad_lengths() -> Vec<Case> {
    let bad = |name: &'static str, source: &'static str, fields: &str| {
        must(name, source)
            .sends(post(&format!("{fields}\r\n"), &format!("hello{HIDDEN}")))
            .refused(400)
    };
    const RULE_5: &str = "RFC 9112 6.3 rule 5: MUST 400 and close";
    vec![
        bad("a length with a plus", "CVE-2021-32715 (hyper)", "Content-Length: +5"),
        bad("a negative length", RULE_5, "Content-Length: -5"),
        bad("a length of minus zero", RULE_5, "Content-Length: -0"),
        bad("a hexadecimal length", "CVE-2022-24801 (Twisted)", "Content-Length: 0x5"),
        bad("a hexadecimal digit", RULE_5, "Content-Length: a"),
        bad("an octal length", "Http11Probe SMUG-CL-OCTAL", "Content-Length: 0o5"),
        bad(
            "an underscore in a length",
            "Kallus et al., HTTP Garden (2024)",
            "Content-Length: 0_5",
        ),
        bad("a fraction", RULE_5, "Content-Length: 5.0"),
        bad("an exponent", RULE_5, "Content-Length: 5e0"),
        bad("an empty length", "CVE-2023-40225 (HAProxy)", "Content-Length:"),
        bad("a length of blanks", RULE_5, "Content-Length: \t "),
        bad("two numbers", RULE_5, "Content-Length: 5 5"),
        bad("a blank inside a number", RULE_5, "Content-Length: 0 5"),
        bad("a length with a parameter", RULE_5, "Content-Length: 5;a=b"),
        bad("a length in quotes", RULE_5, "Content-Length: \"5\""),
        bad(
            "a length of other digits",
            "Kallus et al., HTTP Garden (2024)",
            "Content-Length: \u{665}",
        ),
        bad("a length of 2 to the 64th", RULE_5, "Content-Length: 18446744073709551616"),
        bad("5 modulo 2 to the 64th", RULE_5, "Content-Length: 18446744073709551621"),
        bad("5 modulo 2 to the 32nd, signed", RULE_5, "Content-Length: -4294967291"),
        bad(
            "a length of 40 digits",
            RULE_5,
            "Content-Length: 9999999999999999999999999999999999999999",
        ),
        bad("a vertical tab before a length", RULE_5, "Content-Length: \x0b5"),
        bad("a list that disagrees", RULE_5, "Content-Length: 5, 0"),
        bad(
            "two lines that disagree",
            "CVE-2020-10108 (Twisted)",
            "Content-Length: 5\r\nContent-Length: 0",
        ),
        bad(
            "two lines that disagree, 0 first",
            "Linhart et al. (2005)",
            "Content-Length: 0\r\nContent-Length: 5",
        ),
        bad(
            "two lines that disagree, apart",
            "CVE-2017-7658 (Jetty)",
            "Content-Length: 5\r\nX: 1\r\ncontent-length: 42",
        ),
        bad(
            "a number and an empty line",
            "CVE-2023-40225 (HAProxy)",
            "Content-Length: 5\r\nContent-Length:",
        ),
    ]
}

fn agreeing_lengths() -> Vec<Case> {
    let agreeing = |name: &'static str, fields: &str| {
        must(name, "RFC 9110 8.6: MUST reject, or replace")
            .sends(post(&format!("{fields}\r\n"), "hello"))
            .refused(400)
            .or("200 \"ok\", keep", "POST /x \"hello\"")
    };
    vec![
        agreeing("two lines that agree", "Content-Length: 5\r\nContent-Length: 5"),
        agreeing("a list that agrees", "Content-Length: 5, 5"),
        agreeing("a list with an empty element", "Content-Length: 5,"),
    ]
}

fn two_lengths() -> Vec<Case> {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = format!("Content-Length: {}\r\n", body.len());
    let both = |name: &'static str, source: &'static str, fields: String| {
        safety(name, source).sends(post(&fields, &body)).refused(400)
    };
    let beside = |name: &'static str, source: &'static str, coding: &str| {
        both(name, source, format!("Transfer-Encoding:{coding}\r\n{length}"))
    };
    const GUNICORN: &str = "CVE-2024-1135 (gunicorn)";
    const PINGORA: &str = "CVE-2026-2835 (Pingora)";
    vec![
        both("CL.TE", DESYNC, format!("{length}{CHUNKED}")),
        both("TE.CL", DESYNC, format!("{CHUNKED}{length}")),
        both("CL.TE of length zero", DESYNC, format!("Content-Length: 0\r\n{CHUNKED}")),
        both("CL.TE in capitals", DESYNC, format!("{length}{CHUNKED}").to_uppercase()),
        beside("a length and identity", "CVE-2021-33037 (Tomcat)", " identity"),
        beside("a length and an empty coding", GUNICORN, ""),
        beside("a length and an unknown coding", GUNICORN, " x"),
        beside("a length and a coding that is not final", PINGORA, " chunked, identity"),
        safety("both in HTTP/1.0", PINGORA)
            .sends(request_10("POST /gpt/x", &format!("{length}{CHUNKED}"), &body))
            .refused(400),
        safety("both after a GET", DESYNC)
            .sends(with_fields(&format!("{length}{CHUNKED}")) + &body)
            .refused(400),
    ]
}

fn codings() -> Vec<Case> {
    let post = |value: &str| {
        post(&format!("Transfer-Encoding: {value}\r\n"), &format!("0\r\n\r\n{HIDDEN}"))
    };
    let again = |one: &str, other: &str| format!("{one}\r\ntransfer-encoding: {other}");
    const RULE_4: &str = "RFC 9112 6.3 rule 4: MUST 400 and close";
    let not_final = |name: &'static str, source: &'static str, value: &str| {
        must(name, source).sends(post(value)).refused(400).or("501, end", "-")
    };
    let odd = |name: &'static str, source: &'static str, value: &str| {
        safety(name, source).sends(post(value)).refused(400)
    };
    let unknown = |name: &'static str, value: &str| {
        safety(name, "RFC 9112 6.1: SHOULD 501").sends(post(value)).refused(501)
    };
    vec![
        not_final("identity", "CVE-2022-1705 (Go)", "identity"),
        not_final("gzip alone", RULE_4, "gzip"),
        not_final("an empty coding", RULE_4, ""),
        not_final("chunked and identity", RULE_4, "chunked, identity"),
        not_final("chunked and gzip", RULE_4, "chunked, gzip"),
        odd("chunked twice", "RFC 9112 7.1: MUST NOT", "chunked, chunked"),
        odd("chunked around another", "CVE-2022-32215 (llhttp)", "chunked, cow, chunked"),
        not_final("chunked with a parameter", "RFC 9112 7.1: SHOULD be an error", "chunked;q=1"),
        not_final("xchunked", DESYNC, "xchunked"),
        not_final("chunkedx", DESYNC, "chunkedx"),
        not_final("two words", DESYNC, "x chunked"),
        not_final("chunked in quotes", DESYNC, "\"chunked\""),
        not_final("chunked in single quotes", DESYNC, "'chunked'"),
        not_final("a colon before chunked", DESYNC, ": chunked"),
        not_final("a vertical tab before chunked", "CVE-2019-18277 (HAProxy)", "\x0bchunked"),
        not_final("a form feed before chunked", "CVE-2019-18277 (HAProxy)", "\x0cchunked"),
        not_final("a vertical tab after chunked", "CVE-2019-18277 (HAProxy)", "chunked\x0b"),
        not_final("a NUL after chunked", "Kallus et al., HTTP Garden (2024)", "chunked\0"),
        not_final("a Kelvin sign in chunked", "T-Reqs (2021)", "chun\u{212a}ed"),
        not_final("a no-break space after chunked", "T-Reqs (2021)", "chunked\u{a0}"),
        odd("a comma before chunked", "Http11Probe SMUG-TE-LEADING-COMMA", ", chunked"),
        odd("a comma after chunked", "Http11Probe SMUG-TE-TRAILING-COMMA", "chunked,"),
        odd("two lines, chunked last", "CVE-2021-21299 (hyper)", &again("x", "chunked")),
        not_final("two lines, chunked first", DESYNC, &again("chunked", "x")),
        odd("two lines of chunked", "CVE-2022-32213 (llhttp)", &again("chunked", "chunked")),
        unknown("gzip and chunked", "gzip, chunked"),
        unknown("a coding that nobody knows", "cow, chunked"),
        must("a coding in HTTP/1.0", "RFC 9112 6.1: MUST treat as faulty and close")
            .sends(request_10("POST /gpt/x", CHUNKED, &format!("0\r\n\r\n{HIDDEN}")))
            .refused(400)
            .or("200 \"ok\", end", "POST /x"),
    ]
}

fn sound() -> Vec<Case> {
    let whole = |name: &'static str, fields: &str| {
        must(name, "RFC 9110 8.6; RFC 9112 6.2")
            .sends(post(&format!("{fields}\r\n"), "hello"))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
    };
    let waits = |name: &'static str, source: &'static str, length: u64| {
        choice(name, source)
            .sends(post(&format!("Content-Length: {length}\r\n"), "hello"))
            .is("waits", "cut")
    };
    vec![
        whole("a length", "Content-Length: 5"),
        whole("a length in another case", "CONTENT-length: 5"),
        whole("blanks around a length", "Content-Length: \t5\t "),
        whole("a length right after its colon", "Content-Length:5"),
        choice("zeros before a length", "RFC 9110 8.6: 1*DIGIT")
            .sends(post("Content-Length: 0000000000000000000000005\r\n", "hello"))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .forwards("Content-Length: 5"),
        must("length zero", "RFC 9112 6.2")
            .sends(post("Content-Length: 0\r\n", ""))
            .is("200 \"ok\", keep", "POST /x"),
        must("no length is no body", "RFC 9112 6.3 rule 7")
            .sends(post("", ""))
            .is("200 \"ok\", keep", "POST /x"),
        must("a body with GET", "RFC 9110 9.3.1")
            .sends(with_fields("Content-Length: 5\r\n") + "hello")
            .is("200 \"ok\", keep", "GET /x \"hello\"")
            .or("400, end", "-"),
        choice("a body with DELETE", "RFC 9110 9.3.5")
            .sends(request("DELETE /gpt/x", "Content-Length: 5\r\n", "hello"))
            .is("200 \"ok\", keep", "DELETE /x \"hello\""),
        waits("a length of 2 to the 63rd less 1", "RFC 9110 8.6", i64::MAX as u64),
        choice("a length of 2 to the 63rd", "RFC 9110 8.6: MUST anticipate large numbers")
            .sends(post("Content-Length: 9223372036854775808\r\n", "hello"))
            .refused(400),
        choice("a length of 2 to the 64th less 1", "RFC 9110 8.6: MUST anticipate large numbers")
            .sends(post("Content-Length: 18446744073709551615\r\n", "hello"))
            .refused(400),
        must("a body that ends early", "RFC 9112 8: MUST consider incomplete")
            .sends(post("Content-Length: 10\r\n", "hello"))
            .hangs_up()
            .is("end", "cut")
            .or("end", "cut")
            .or("400, end", "cut"),
    ]
}
