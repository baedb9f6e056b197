//! The rows, by section, and the messages that many of them begin with.

mod chunked;
mod connections;
mod early_response;
mod fields;
mod hops;
mod host;
mod interim;
mod lengths;
mod request_line;
mod response_bodies;
mod response_heads;
mod smuggled;
mod target;
mod upgrade;

use super::case::Case;

/// A section: its title and its rows.
pub type Section = (&'static str, fn() -> Vec<Case>);

/// All of them, in the order of a message and of its life.
pub const SECTIONS: &[Section] = &[
    ("Request line", request_line::rows),
    ("Request target", target::rows),
    ("Host", host::rows),
    ("Field syntax", fields::rows),
    ("Length of a request", lengths::rows),
    ("Requests inside requests", smuggled::rows),
    ("Chunked requests", chunked::requests),
    ("Chunked responses", chunked::responses),
    ("Fields of one hop", hops::rows),
    ("Connections and pipelining", connections::rows),
    ("Expectations and interim responses", interim::rows),
    ("Early responses", early_response::rows),
    ("Response heads", response_heads::rows),
    ("Response bodies and splitting", response_bodies::rows),
    ("Upgrade", upgrade::rows),
];

/// What an attacker would like to be served as a request of its own.
const HIDDEN: &str = "GET /gpt/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
/// A request of its own, which may be served when what is before it may.
const SECOND: &str = "GET /gpt/second HTTP/1.1\r\nHost: a\r\n\r\n";
/// What an attacker would like another client to get.
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const GET: &str = "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";

/// The field that frames by chunks.
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// A request with this method and target, further field lines, each with its line end, and body.
fn request(begin: &str, fields: &str, body: &str) -> String {
    format!("{begin} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// The same of HTTP/1.0, without a Host.
fn request_10(begin: &str, fields: &str, body: &str) -> String {
    format!("{begin} HTTP/1.0\r\n{fields}\r\n{body}")
}

/// A request with this request line.
fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A GET with these further field lines.
fn with_fields(fields: &str) -> String {
    request("GET /gpt/x", fields, "")
}

/// A POST with these further field lines.
fn post(fields: &str, body: &str) -> String {
    request("POST /gpt/x", fields, body)
}

/// A POST in the chunked coding.
fn post_chunks(chunks: &str) -> String {
    post(CHUNKED, chunks)
}

/// A 200 with these field lines.
fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

/// Bytes that are no text.
fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
