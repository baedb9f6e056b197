//! The chunked coding in every broken form, in both directions (RFC 9112, section 7.1).

use super::{EVIL, GET, HIDDEN, SECOND, ok, post_chunks};
use crate::conformance::case::{Case, choice, must, safety};

type Body = (&'static str, &'static str, String);

const WEIKOP: &str = "Weikop, Funky chunks (2025)";
const GARDEN: &str = "Kallus et al., HTTP Garden (2024)";
const GRAMMAR: &str = "RFC 9112 7.1";
const EXT: &str = "RFC 9112 7.1.1";
const SIGNED: &str = "RFC 9112 7.1: MUST anticipate large numbers";

/// The last chunk, without trailers.
const LAST: &str = "0\r\n\r\n";

/// Size lines that are broken in themselves.
const SIZES: [(&str, &str, &str); 36] = [
    ("no size", GRAMMAR, ""),
    ("no size but an extension", GRAMMAR, ";a=b"),
    ("a size with a plus", "CVE-2022-24801 (Twisted)", "+5"),
    ("a negative size", GRAMMAR, "-5"),
    ("a size with a prefix", "CVE-2022-24801 (Twisted)", "0x5"),
    ("a size with an underscore", GARDEN, "0_5"),
    ("a blank before a size", GRAMMAR, " 5"),
    ("a blank after a size", "CVE-2020-15811 (Squid)", "5 "),
    ("a tab after a size", GARDEN, "5\t"),
    ("a vertical tab after a size", GARDEN, "5\x0b"),
    ("a letter after a size", GRAMMAR, "5g"),
    ("a size in quotes", GRAMMAR, "\"5\""),
    ("a size that is no digit", GRAMMAR, "g"),
    ("two sizes", GRAMMAR, "5 5"),
    ("a comma after a size", GRAMMAR, "5,5"),
    ("a size of 2 to the 63rd", SIGNED, "8000000000000000"),
    ("a size of 2 to the 64th less 1", SIGNED, "ffffffffffffffff"),
    ("a semicolon and no extension", EXT, "5;"),
    ("two semicolons", EXT, "5;;a"),
    ("an extension without a name", EXT, "5;=a"),
    ("an extension without its value", EXT, "5;a="),
    ("an open quote in an extension", EXT, "5;a=\"b"),
    ("an open quote after an escaped one", EXT, "5;a=\"b\\\""),
    ("a value after a value", EXT, "5;a=b=c"),
    ("a byte over 127 in an extension", EXT, "5;\u{e9}"),
    ("a blank in an extension's name", EXT, "5;a b"),
    ("a blank after an extension", EXT, "5;a=b "),
    ("a fraction as a size", GRAMMAR, "5.0"),
    ("a NUL after a size", GARDEN, "5\0"),
    ("a NUL in an extension", "Http11Probe SMUG-CHUNK-EXT-CTRL", "5;a\0"),
    ("a DEL in an extension", GRAMMAR, "5;a\x7f"),
    ("CR CR LF after a size", GARDEN, "5\r"),
    ("a bare CR in an extension", WEIKOP, "5;a\rb"),
    ("a bare LF in an extension", "CVE-2024-52304 (aiohttp)", "5;a\nb"),
    ("5 modulo 2 to the 64th", "CVE-2021-32714 (hyper)", "10000000000000005"),
    ("a size of 40 digits", "CVE-2015-3183 (Apache)", "5555555555555555555555555555555555555555"),
];

/// Ends of a body that are broken in themselves.
const ENDS: [(&str, &str, &str); 12] = [
    ("a bare LF after the last size", WEIKOP, "0\n\r\n"),
    ("a bare LF as the end", GRAMMAR, "0\r\n\n"),
    ("a bare CR as the end", GRAMMAR, "0\r\n\rX"),
    ("another byte as the end", "CVE-2024-53868 (Traffic Server)", "0\r\nX\r\n\r\n"),
    ("a last size before content", GRAMMAR, "0\r\nhello\r\n\r\n"),
    ("a bare LF in the trailers", "CVE-2025-53643 (aiohttp)", "0\r\nX: 1\nY: 2\r\n\r\n"),
    ("a bare CR in the trailers", GARDEN, "0\r\nX: 1\rY: 2\r\n\r\n"),
    ("a NUL in the trailers", GARDEN, "0\r\nX: \0\r\n\r\n"),
    ("a folded trailer", "RFC 9112 5.2", "0\r\nX: 1\r\n 2\r\n\r\n"),
    ("a blank before a trailer's colon", "RFC 9112 5.1", "0\r\nX : 1\r\n\r\n"),
    ("a trailer without a name", "RFC 9110 5.1", "0\r\n: 1\r\n\r\n"),
    (
        "a request as a trailer",
        "CVE-2024-35161 (Traffic Server)",
        "0\r\nGET /gpt/hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
];

pub(super) fn requests() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, source, body) in broken(HIDDEN, SECOND) {
        rows.push(safety(name, source).sends(post_chunks(&body)).is("400, end", "cut"));
    }
    for (name, source, body, content) in sound() {
        let upstream = format!("POST /x{}", quoted(content));
        rows.push(must(name, source).sends(post_chunks(&body)).is("200 \"ok\", keep", upstream));
    }
    for (name, body) in truncated() {
        rows.push(
            must(name, "RFC 9112 8: MUST consider incomplete")
                .sends(post_chunks(body))
                .hangs_up()
                .is("end", "cut")
                .or("end", "cut")
                .or("400, end", "cut"),
        );
    }
    rows.extend(choices());
    rows
}

pub(super) fn responses() -> Vec<Case> {
    let answer = |body: &str| ok("Transfer-Encoding: chunked\r\n", body);
    let mut rows = Vec::new();
    for (name, source, body) in broken(EVIL, EVIL) {
        let name = format!("response: {name}");
        rows.push(safety(name, source).answered(answer(&body)).then_closes().is("cut", "GET /x"));
    }
    for (name, source, body, content) in sound() {
        let client = format!("200{}, keep", quoted(content));
        rows.push(
            must(format!("response: {name}"), source)
                .sends(GET)
                .answered(answer(&body))
                .is(client, "GET /x"),
        );
    }
    for (name, body) in truncated() {
        rows.push(
            must(format!("response: {name}"), "RFC 9112 8: a cut must stay a cut")
                .answered(answer(body))
                .then_closes()
                .is("cut", "GET /x")
                .or("502, keep", "GET /x")
                .or("502, end", "GET /x"),
        );
    }
    rows
}

fn quoted(content: &str) -> String {
    if content.is_empty() { String::new() } else { format!(" \"{}\"", content.escape_default()) }
}

/// Bodies that one parser reads in one way and another in another; `inner` is what the second
/// takes for a message, `after` what follows for all.
fn broken(inner: &str, after: &str) -> Vec<Body> {
    // Content that ends the body for those who take it for chunks.
    let inside = format!("0\r\n\r\n{inner}");
    let mut bodies = broken_size_lines(&inside, after);
    bodies.extend(broken_content(&inside));
    bodies.extend(broken_lengths(after));
    let with_size = |line: &str| format!("{line}\r\nhello\r\n{LAST}{after}");
    bodies.extend(SIZES.map(|(name, source, line)| row(name, source, with_size(line))));
    bodies.extend(ENDS.map(|(name, source, end)| row(name, source, format!("{end}{after}"))));
    bodies
}

fn broken_size_lines(inside: &str, after: &str) -> Vec<Body> {
    let size = inside.len();
    vec![
        row(
            "TERM.EXT: LF ends the size line, or is of the extension",
            WEIKOP,
            format!("2;\nxx\r\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "EXT.TERM: LF is of the extension, or ends the size line",
            WEIKOP,
            format!("{size:x};\n{inside}\r\n{LAST}{after}"),
        ),
        row("TERM.EXT by CR", WEIKOP, format!("2;\rxx\r\n{size:x}\r\n{inside}\r\n{LAST}")),
        row(
            "TERM.EXT after a name",
            "CVE-2025-55315 (Kestrel)",
            format!("2;a\nxx\r\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "TERM.EXT inside quotes",
            WEIKOP,
            format!("2;a=\"\nxx\"\r\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "TERM.EXT without a semicolon",
            "CVE-2025-22871 (Go)",
            format!("2\nxx\r\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
    ]
}

fn broken_content(inside: &str) -> Vec<Body> {
    let size = inside.len();
    vec![
        row(
            "TERM.SPILL: LF ends the content, or the line goes on",
            WEIKOP,
            format!("2\r\nxx\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "SPILL.TERM: content spills, or LF ends it",
            WEIKOP,
            format!("5\r\nhelloxx\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row("SPILL.TERM by CR", WEIKOP, format!("2\r\nxx\r{size:x}\r\n{inside}\r\n{LAST}")),
        row(
            "two bytes in place of CRLF",
            "CVE-2025-43859 (h11)",
            format!("2\r\nxxXX{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "one byte in place of CRLF",
            "Weikop, Funky chunks, addendum (2025)",
            format!("2\r\nxxX{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row(
            "nothing in place of CRLF",
            "Weikop, Funky chunks, addendum (2025)",
            format!("2\r\nxx{size:x}\r\n{inside}\r\n{LAST}"),
        ),
        row("LF CR in place of CRLF", GARDEN, format!("2\r\nxx\n\r{size:x}\r\n{inside}\r\n{LAST}")),
        row(
            "an empty line between two chunks",
            GRAMMAR,
            format!("2\r\nxx\r\n\r\n{size:x}\r\n{inside}\r\n{LAST}"),
        ),
    ]
}

fn broken_lengths(after: &str) -> Vec<Body> {
    vec![
        row(
            "content longer than its size",
            "Http11Probe SMUG-CHUNK-SPILL",
            format!("3\r\nhello\r\n{LAST}{after}"),
        ),
        row("content shorter than its size", GRAMMAR, format!("7\r\nhello\r\n{LAST}{after}")),
        row(
            "an extension without an end",
            "CVE-2023-39326 (Go)",
            format!("2;{}\r\nxx\r\n{LAST}{after}", "a".repeat(10_000)),
        ),
        row(
            "a trailer section of 20 kB",
            "CVE-2023-46589 (Tomcat)",
            format!("0\r\n{}\r\n{after}", "X: 1\r\n".repeat(3500)),
        ),
    ]
}

fn row(name: &'static str, source: &'static str, body: String) -> Body {
    (name, source, body)
}

/// What every recipient must understand: name, source, body, content.
fn sound() -> Vec<(&'static str, &'static str, String, &'static str)> {
    const MUST: &str = "RFC 9112 7.1: MUST be able to parse";
    const EXT: &str = "RFC 9112 7.1.1: MUST ignore unrecognized";
    const BWS: &str = "RFC 9110 5.6.3: MUST parse bad whitespace";
    let chunk = |line: &str| format!("{line}\r\nhello\r\n0\r\n\r\n");
    vec![
        ("a chunk", MUST, chunk("5"), "hello"),
        ("no chunk", MUST, "0\r\n\r\n".into(), ""),
        ("three chunks", MUST, "2\r\nhe\r\n1\r\nl\r\n2\r\nlo\r\n0\r\n\r\n".into(), "hello"),
        ("a size in capitals", MUST, "A\r\n0123456789\r\n0\r\n\r\n".into(), "0123456789"),
        ("a size in small letters", MUST, "a\r\n0123456789\r\n0\r\n\r\n".into(), "0123456789"),
        ("zeros before a size", MUST, chunk("0005"), "hello"),
        ("16 digits", MUST, chunk("0000000000000005"), "hello"),
        ("three zeros as the last size", MUST, "5\r\nhello\r\n000\r\n\r\n".into(), "hello"),
        ("an extension", EXT, chunk("5;a"), "hello"),
        ("an extension with a value", EXT, chunk("5;a=b;c=d"), "hello"),
        ("an extension in quotes", EXT, chunk("5;a=\"b; c\\\"\""), "hello"),
        ("an extension after the last size", EXT, "5\r\nhello\r\n0;a=b\r\n\r\n".into(), "hello"),
        ("blanks in an extension", EXT, chunk("5; a = b"), "hello"),
        ("blanks before the semicolon", BWS, chunk("5 \t;a=b"), "hello"),
        ("blanks between two extensions", BWS, chunk("5;a ; b"), "hello"),
        ("framing as content", MUST, "5\r\n0\r\n\r\n\r\n0\r\n\r\n".into(), "0\r\n\r\n"),
        ("a trailer", "RFC 9112 7.1.2", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n".into(), "hello"),
    ]
}

/// Bodies whose end does not come.
fn truncated() -> [(&'static str, &'static str); 7] {
    [
        ("cut in a size", "5"),
        ("cut after a size line", "5\r\n"),
        ("cut in a chunk", "5\r\nhel"),
        ("cut after a chunk", "5\r\nhello\r\n"),
        ("cut in the last size line", "5\r\nhello\r\n0\r"),
        ("cut before the last line end", "5\r\nhello\r\n0\r\n"),
        ("cut in the trailers", "5\r\nhello\r\n0\r\nX: 1\r\n"),
    ]
}

fn choices() -> Vec<Case> {
    let trailers = "Host: b\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nAuthorization: c\r\n\
                    Cookie: d\r\nX-Forwarded-For: e\r\nConnection: f\r\nX-Sum: 1\r\n";
    vec![
        choice("17 digits, of which 16 are zeros", "RFC 9112 7.1: MUST anticipate large numbers")
            .sends(post_chunks("00000000000000005\r\nhello\r\n0\r\n\r\n"))
            .is("400, end", "cut"),
        safety("a size of 5 modulo 2 to the 32nd", "CVE-2017-7657 (Jetty)")
            .sends(post_chunks(&format!("100000005\r\nhello\r\n0\r\n\r\n{HIDDEN}")))
            .is("waits", "cut"),
        choice("a size of 2 to the 63rd less 1", "RFC 9112 7.1: MUST anticipate large numbers")
            .sends(post_chunks("7fffffffffffffff\r\nhello"))
            .is("waits", "cut"),
        choice("framing is ours", "RFC 9112 7.1.1")
            .sends(post_chunks("002;a=b\r\nhe\r\n3\r\nllo\r\n00;c\r\n\r\n"))
            .at_once()
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .exactly(
                "POST /x HTTP/1.1\r\nHost: api.openai.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\n\r\n",
            ),
        safety("trailers that would decide something", "RFC 9110 6.5.1; CVE-2023-40175 (Puma)")
            .sends(post_chunks(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n")))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .drops("Host: b")
            .drops("Content-Length")
            .drops("Transfer-Encoding: x")
            .drops("Authorization")
            .drops("Cookie")
            .drops("X-Forwarded-For")
            .drops("Connection: f"),
        choice("a trailer that informs is forwarded", "RFC 9110 6.5.1")
            .sends(post_chunks("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"))
            .is("200 \"ok\", keep", "POST /x \"hello\"")
            .forwards("X-Sum: 1"),
    ]
}
