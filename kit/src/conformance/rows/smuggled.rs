//! A request inside the body of another one has to stay there, whatever is said about the body.

use super::{CHUNKED, HIDDEN, ok, post, request, with_fields};
use crate::conformance::case::{Case, choice, safety};

const CL_0: &str = "Kettle, Browser-Powered Desync Attacks (2022)";
const TE_0: &str = "Arnolfo et al., Unveiling TE.0 (2024)";
const MUST_DIE: &str = "Kettle, HTTP/1.1 must die (2025)";
const DAVISON: &str = "Davison, Abusing hop-by-hop headers (2019)";
const PINGORA: &str = "CVE-2025-4366 (Pingora)";
const HTTPLIB: &str = "cpp-httplib 0.11: what it has not read is the next request";
const APACHE: &str = "CVE-2022-22720 (Apache)";

pub(super) fn rows() -> Vec<Case> {
    let length = &format!("Content-Length: {}\r\n", HIDDEN.len());
    let chunk = &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    let mut rows = stays(length, chunk);
    rows.extend(spends(length, chunk));
    rows.extend(refused(length, chunk));
    rows.extend(half_seen(length));
    rows
}

fn stays(length: &str, chunk: &str) -> Vec<Case> {
    let stays = |name: &'static str, source: &'static str, method: &str, fields: &str| {
        let body = if fields.contains("chunked") { chunk } else { HIDDEN };
        let client = if method == "HEAD" { "200, keep" } else { "200 \"ok\", keep" };
        let upstream = format!("{method} /x \"{}\"", HIDDEN.escape_default());
        let sent = request(&format!("{method} /gpt/x"), fields, body);
        safety(name, source).sends(sent).is(client, upstream)
    };
    let nominating_length = &format!("Connection: content-length\r\n{length}");
    let nominating_coding = &format!("Connection: transfer-encoding\r\n{CHUNKED}");
    let upgrading = &format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{length}");
    vec![
        stays("CL.0", CL_0, "POST", length),
        stays("CL.0 of a GET", CL_0, "GET", length),
        stays("CL.0 of a HEAD", CL_0, "HEAD", length),
        stays("CL.0 of an OPTIONS", CL_0, "OPTIONS", length),
        stays("CL.0 of a DELETE", CL_0, "DELETE", length),
        stays("CL.0 of an upgrade", CL_0, "POST", upgrading),
        stays("TE.0", TE_0, "OPTIONS", CHUNKED),
        stays("TE.0 of a GET", TE_0, "GET", CHUNKED),
        stays("TE.0 of a HEAD", TE_0, "HEAD", CHUNKED),
        stays("a length that connection options name", DAVISON, "GET", nominating_length),
        stays("a coding that connection options name", DAVISON, "POST", nominating_coding),
    ]
}

/// A server that does not read such a body takes the next request for the rest of it.
fn spends(length: &str, chunk: &str) -> Vec<Case> {
    let spends = |what: &str, method: &str, fields: &str| {
        let body = if fields.contains("chunked") { chunk } else { HIDDEN };
        let client = if method == "HEAD" { "200, keep" } else { "200 \"ok\", keep" };
        let upstream = format!("{method} /x \"{}\"", HIDDEN.escape_default());
        let name = format!("{what} in {method} spend their connection");
        let answer = ok("Content-Length: 2\r\n", if method == "HEAD" { "" } else { "ok" });
        choice(name, HTTPLIB)
            .sends(request(&format!("{method} /gpt/x"), fields, body))
            .answered(answer)
            .spends()
            .is(client, upstream)
    };
    let refusal = |status: &str| {
        choice(format!("a {} spends its connection", &status[..3]), HTTPLIB)
            .sends(post("Content-Length: 5\r\n", "hello"))
            .answered(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"))
            .spends()
            .is(format!("{} \"no\", keep", &status[..3]), "POST /x \"hello\"")
    };
    let methods = ["GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"];
    let refusals = [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "408 Request Timeout",
        "411 Length Required",
        "413 Content Too Large",
        "414 URI Too Long",
        "416 Range Not Satisfiable",
        "431 Request Header Fields Too Large",
        "501 Not Implemented",
        "503 Service Unavailable",
    ];
    methods
        .iter()
        .flat_map(|it| [spends("octets", it, length), spends("chunks", it, CHUNKED)])
        .chain(refusals.iter().map(|it| refusal(it)))
        .collect()
}

/// A body that goes nowhere is no request either.
fn refused(length: &str, chunk: &str) -> Vec<Case> {
    let nowhere = |name: &'static str, source: &'static str, fields: &str, body: &str| {
        let sent = request("POST /nowhere", fields, body);
        safety(name, source).sends(sent).is("404, end", "-")
    };
    let broken = &format!("x\r\n{HIDDEN}");
    vec![
        nowhere("a body without a route", PINGORA, length, HIDDEN).at_once().is("404, keep", "-"),
        nowhere("chunks without a route", PINGORA, CHUNKED, chunk).at_once().is("404, keep", "-"),
        nowhere("half a body without a route", APACHE, "Content-Length: 1000\r\n", HIDDEN),
        nowhere("broken chunks without a route", APACHE, CHUNKED, broken),
        safety("a body of a path that climbs", PINGORA)
            .sends(request("POST /gpt/../admin", length, HIDDEN))
            .at_once()
            .is("400, keep", "-"),
    ]
}

fn half_seen(length: &str) -> Vec<Case> {
    let folded = length.replace(": ", ":\r\n ");
    vec![
        safety("0.CL: a length that only some see", MUST_DIE)
            .sends(with_fields(&folded) + HIDDEN)
            .refused(400),
        safety("0.CL: a length whose body does not come", MUST_DIE)
            .sends(with_fields(length))
            .is("waits", "cut"),
        safety("a length in another field's value", "Kettle, HTTP Desync Attacks (2019)")
            .sends(post(&format!("X: Content-Length: 1000\r\n{length}"), HIDDEN))
            .is("200 \"ok\", keep", format!("POST /x \"{}\"", HIDDEN.escape_default())),
    ]
}
