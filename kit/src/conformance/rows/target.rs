//! The request-target: its forms, and paths that mean one thing here and another there.

use super::{SECOND, with_line};
use crate::conformance::case::{Case, choice, must, safety};

pub(super) fn rows() -> Vec<Case> {
    let mut rows = forms();
    rows.extend(paths());
    rows.extend(dot_segments());
    rows
}

fn get(target: &str) -> String {
    with_line(&format!("GET {target} HTTP/1.1"))
}

fn forms() -> Vec<Case> {
    let refused = |name: &'static str, source: &'static str, target: &str| {
        safety(name, source).sends(get(target) + SECOND).refused(400)
    };
    const FORMS: &str = "RFC 9112 3.2";
    vec![
        must("absolute-form", "RFC 9112 3.2.2: MUST accept")
            .sends(get("http://a/gpt/x"))
            .or("200 \"ok\", keep", "GET http://api.openai.test/x"),
        must("absolute-form with another Host", "RFC 9112 3.2.2: MUST ignore the Host")
            .sends("GET http://b/gpt/x HTTP/1.1\r\nHost: internal\r\n\r\n")
            .drops("Host: internal"),
        must("absolute-form without Host", "RFC 9112 3.2: MUST 400")
            .sends("GET http://a/gpt/x HTTP/1.1\r\n\r\n")
            .refused(400),
        choice("absolute-form of https", "RFC 9112 3.2.2").sends(get("https://a:443/gpt/x")),
        must("a scheme in capitals", "RFC 3986 3.1: case-insensitive")
            .sends(get("HTTP://a/gpt/x"))
            .or("200 \"ok\", keep", "GET HTTP://api.openai.test/x"),
        choice("absolute-form without a path", "RFC 9110 4.2.3")
            .sends(get("http://a"))
            .is("404, keep", "-"),
        refused("absolute-form with userinfo", "RFC 9110 4.2.4", "http://user:pw@a/gpt/x"),
        refused("absolute-form with an empty host", "RFC 9110 4.2.1", "http:///gpt/x"),
        refused("absolute-form with a bad port", "RFC 3986 3.2.3", "http://a:8x/gpt/x"),
        refused(
            "absolute-form with a backslash",
            "Kettle, Cracking the lens (2017)",
            "http://a\\@b/gpt/x",
        ),
        refused("absolute-form of another scheme", FORMS, "ftp://a/gpt/x"),
        refused("absolute-form without slashes", FORMS, "http:/gpt/x"),
        refused("a scheme that runs code", FORMS, "javascript:alert(1)"),
        refused("a path without its slash", FORMS, "gpt/x"),
        refused("a query alone", FORMS, "?x"),
        refused("an @ before the path", "Kettle, Cracking the lens (2017)", "@internal/gpt/x"),
        refused("a colon and digits in front", "CVE-2021-40438 (Apache)", ":80/gpt/x"),
        refused("authority-form without CONNECT", "RFC 9112 3.2.3", "a:443"),
        refused("asterisk-form with GET", "RFC 9112 3.2.4", "*"),
        choice("OPTIONS *", "RFC 9112 3.2.4")
            .sends(with_line("OPTIONS * HTTP/1.1"))
            .is("404, keep", "-"),
        refused("a fragment", "RFC 9110 4.2.5; CVE-2023-45539 (HAProxy)", "/gpt/x#y"),
        refused("a fragment after a query", "CVE-2023-45539 (HAProxy)", "/gpt/x?a#/../admin"),
        refused("a fragment before a suffix", "CVE-2023-45539 (HAProxy)", "/gpt/admin#.png"),
    ]
}

fn paths() -> Vec<Case> {
    let kept = |name: &'static str, source: &'static str, path: &'static str| {
        choice(name, source)
            .sends(get(&format!("/gpt{path}")))
            .is("200 \"ok\", keep", format!("GET {path}"))
    };
    let elsewhere = |name: &'static str, path: &'static str| {
        choice(name, "RFC 9110 4.2.3; RFC 3986 6.2.2").sends(get(path)).is("404, keep", "-")
    };
    const BYTES: &str = "RFC 9110 4.2.3; RFC 3986 2.2";
    vec![
        kept("an encoded slash stays", BYTES, "/a%2Fb%2fc"),
        kept("two slashes stay", BYTES, "//a//b"),
        kept("a query stays", BYTES, "/a?b=c&d=%2e%2e/../e"),
        kept("an empty query stays", BYTES, "/a?"),
        kept("question marks in a query stay", BYTES, "/a??b"),
        kept("parameters stay", BYTES, "/a;b=c;d"),
        kept("encoded line ends stay encoded", "CVE-2023-25690 (Apache)", "/a%0d%0aX:%20b"),
        kept("an encoded NUL stays encoded", BYTES, "/a%00b"),
        kept("the case of an encoding stays", BYTES, "/%c3%A9"),
        kept("an encoded percent sign stays", BYTES, "/a%252Fb%2525/"),
        kept("an encoding that is none stays", "RFC 3986 2.1", "/a%zz%"),
        kept("bytes that should be encoded stay", "RFC 9110 4.2.5", "/a|b\"c{d}[e]^`"),
        elsewhere("the prefix without its slash", "/gpt"),
        elsewhere("another word that begins like the prefix", "/gptx/y"),
        elsewhere("the prefix in another case", "/GPT/x"),
        elsewhere("the prefix in an encoding", "/%67pt/x"),
        elsewhere("the prefix after two slashes", "//gpt/x"),
        elsewhere("the prefix with an encoded slash", "/gpt%2Fx"),
    ]
}

fn dot_segments() -> Vec<Case> {
    let resolved = |name: &'static str, path: &str, want: &'static str| {
        choice(name, "RFC 3986 5.2.4, 6.2.2.3")
            .sends(get(&format!("/gpt{path}")))
            .is("200 \"ok\", keep", format!("GET {want}"))
    };
    let climbs = |name: &'static str, source: &'static str, path: &str| {
        choice(name, source).sends(get(path)).is("400, keep", "-")
    };
    const TSAI: &str = "Tsai, Breaking Parser Logic (2018)";
    vec![
        resolved("a dot segment is resolved", "/a/../b", "/b"),
        resolved("a single dot is resolved", "/a/./b", "/a/b"),
        resolved("a dot segment at the end leaves its slash", "/a/..", "/"),
        resolved("encoded dots are dots", "/a/%2e%2E/b/%2e/c", "/b/c"),
        resolved("half-encoded dots are dots", "/a/.%2e/b", "/b"),
        resolved("three dots are a name", "/a/.../b", "/a/.../b"),
        climbs("out of the prefix", "RFC 3986 5.2.4", "/gpt/../admin"),
        climbs("out of the prefix, encoded", TSAI, "/gpt/%2e%2e/admin"),
        climbs("out of the prefix after a name", "RFC 3986 5.2.4", "/gpt/a/../../admin"),
        climbs("above the root", "RFC 3986 5.2.4", "/gpt/../../etc/passwd"),
        climbs("out and in again", TSAI, "/gpt/../gpt/x/../../admin"),
        climbs("dots and an encoded slash", TSAI, "/gpt/..%2fadmin"),
        climbs("dots between encoded slashes", TSAI, "/gpt/a%2f..%2f..%2fadmin"),
        climbs("dots and a backslash", TSAI, "/gpt/..\\admin"),
        climbs("dots and an encoded backslash", TSAI, "/gpt/..%5cadmin"),
        climbs("dots that are encoded twice", TSAI, "/gpt/%252e%252e/admin"),
        climbs("dots in UTF-8 that is too long", "RFC 3629 10", "/gpt/%c0%ae%c0%ae/admin"),
        climbs("dots by code point", "Microsoft's %u", "/gpt/%u002e%u002e/admin"),
        climbs("full-width dots", "UTR 36 3.1", "/gpt/%ef%bc%8e%ef%bc%8e/admin"),
        climbs("dots with a parameter", TSAI, "/gpt/..;/admin"),
        climbs("out of an absolute-form", "RFC 3986 5.2.4", "http://a/gpt/../admin"),
    ]
}
