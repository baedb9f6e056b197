//! Switching protocols, and not switching them (RFC 9110, section 7.8; RFC 6455).

use super::{EVIL, HIDDEN, SECOND, ok};
use crate::conformance::case::{Case, choice, must, safety};

const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const RAGHAV: &str = "CVE-2026-2833 (Pingora)";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = switches();
    rows.extend(refused());
    rows.extend(no_offers());
    rows.extend(wrong_switches());
    rows
}

fn offer(fields: &str) -> String {
    super::with_fields(fields)
}

fn switches() -> Vec<Case> {
    let switches = |name: &'static str, source: &'static str| {
        must(name, source).sends(offer(FIELDS)).answered(AGREED)
    };
    vec![
        switches("a tunnel", "RFC 6455 4.2.2")
            .then_sends("late")
            .is("101, tunnel", "GET /x, tunnel \"late\"")
            .forwards("Upgrade: websocket")
            .forwards("Connection: Upgrade")
            .forwards("Sec-WebSocket-Version: 13")
            .forwards("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
            .returns("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        must("bytes right after the 101", "RFC 9110 7.8")
            .sends(offer(FIELDS))
            .answered(format!("{AGREED}\x01first"))
            .is("101, tunnel \"\\x01first\"", "GET /x"),
        choice("bytes right after the offer", "RFC 9110 7.8")
            .sends(offer(FIELDS) + "early")
            .answered(AGREED)
            .is("101, tunnel", "GET /x, tunnel \"early\""),
        must("a protocol in another case", "RFC 9110 7.8: SHOULD be case-insensitive")
            .sends(offer(&FIELDS.replace("websocket", "WebSocket")))
            .answered(AGREED)
            .is("101, tunnel", "GET /x"),
        must("an option in another case", "RFC 9110 7.6.1: case-insensitive")
            .sends(offer(&FIELDS.replace("Connection: Upgrade", "Connection: keep-alive, upgrade")))
            .answered(AGREED)
            .is("101, tunnel", "GET /x"),
        must("a request in a tunnel is no request", "RFC 9110 7.8")
            .sends(offer(FIELDS))
            .answered(AGREED)
            .then_sends("GET /gpt/y HTTP/1.1\r\n\r\n")
            .is("101, tunnel", "GET /x, tunnel \"GET /gpt/y HTTP/1.1\\r\\n\\r\\n\""),
        choice("websocket among other protocols", "RFC 9110 7.8")
            .sends(offer(&FIELDS.replace("websocket", "h2c, websocket")))
            .answered(AGREED)
            .is("101, tunnel", "GET /x")
            .forwards("Upgrade: websocket"),
        must("an offer with a length of 0", "RFC 9110 8.6: no content")
            .sends(offer(&format!("{FIELDS}Content-Length: 0\r\n")))
            .answered(AGREED)
            .then_sends("late")
            .is("101, tunnel", "GET /x, tunnel \"late\"")
            .forwards("Upgrade: websocket"),
        choice("the version and the key are the upstream's to check", "RFC 6455 4.2.1")
            .sends(offer("Connection: Upgrade\r\nUpgrade: websocket\r\n"))
            .forwards("Upgrade: websocket")
            .is("200 \"ok\", end", "GET /x"),
    ]
}

fn refused() -> Vec<Case> {
    let refused = |name: &'static str, source: &'static str, answer: &str, client: &'static str| {
        safety(name, source).sends(offer(FIELDS) + SECOND).answered(answer).is(client, "GET /x")
    };
    vec![
        refused(
            "a refusal with a request after the offer",
            RAGHAV,
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
            "401 \"no\", end",
        ),
        refused(
            "a 200 with a request after the offer",
            RAGHAV,
            &ok("Content-Length: 2\r\n", "ok"),
            "200 \"ok\", end",
        ),
        refused(
            "chunks with a request after the offer",
            RAGHAV,
            &ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"),
            "200 \"ok\", end",
        ),
        refused(
            "a 204 with a request after the offer",
            RAGHAV,
            "HTTP/1.1 204 No Content\r\n\r\n",
            "204, end",
        ),
        refused(
            "a 426 with a request after the offer",
            "Egorov, websocket-smuggle (2019)",
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Content-Length: 2\r\n\r\nno",
            "426 \"no\", end",
        ),
        safety("a wrong version with a request after it", "Egorov, websocket-smuggle (2019)")
            .sends(offer(&FIELDS.replace("Version: 13", "Version: 1337")) + SECOND)
            .answered("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
            .is("426 \"no\", end", "GET /x"),
        safety("a request sent after a refusal", "Egorov, websocket-smuggle (2019)")
            .sends(offer(FIELDS))
            .answered("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .then_sends(SECOND)
            .is("403 \"no\", end", "GET /x"),
        safety("an interim response is no switch", RAGHAV)
            .sends(offer(FIELDS) + SECOND)
            .answered(format!(
                "HTTP/1.1 103 Early Hints\r\n\r\n{}",
                ok("Content-Length: 2\r\n", "ok")
            ))
            .is("103, 200 \"ok\", end", "GET /x"),
        safety("an offer without a route", RAGHAV)
            .sends(offer(FIELDS).replace("/gpt/x", "/nowhere") + SECOND)
            .is("404, end", "-"),
        safety("an offer that is malformed", RAGHAV)
            .sends(offer(&format!("{FIELDS}Content-Length: 5, 5\r\n")) + SECOND)
            .refused(400),
    ]
}

fn no_offers() -> Vec<Case> {
    let served = |name: &'static str, source: &'static str, fields: &str| {
        safety(name, source).sends(offer(fields)).drops("Upgrade").drops("HTTP2-Settings")
    };
    const H2C: &str = "Miller, h2c Smuggling (2020)";
    vec![
        served(
            "h2c",
            H2C,
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        served(
            "h2c that only Upgrade names",
            H2C,
            "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        served("h2c in capitals", H2C, "Connection: UPGRADE\r\nUpgrade: H2C\r\n"),
        served("TLS by an upgrade", "RFC 2817", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        served("an unknown protocol", "RFC 9110 7.8", "Connection: Upgrade\r\nUpgrade: foo\r\n"),
        served(
            "a version of websocket",
            "RFC 9110 7.8",
            "Connection: Upgrade\r\nUpgrade: websocket/13\r\n",
        ),
        must("websocket without its option", "RFC 9110 7.6.1, 7.8")
            .sends(offer("Upgrade: websocket\r\n"))
            .drops("Upgrade"),
        must("an offer of HTTP/1.0", "RFC 9110 7.8: MUST ignore")
            .sends(format!("GET /gpt/x HTTP/1.0\r\n{FIELDS}\r\n"))
            .is("200 \"ok\", end", "GET /x")
            .drops("Upgrade"),
        choice("an offer with a body", "RFC 9110 7.8")
            .sends(offer(&format!("{FIELDS}Content-Length: 5\r\n")) + "hello")
            .is("200 \"ok\", keep", "GET /x \"hello\"")
            .drops("Upgrade"),
        choice("an offer by POST", "RFC 6455 4.1: MUST be GET")
            .sends(super::post(FIELDS, ""))
            .is("200 \"ok\", keep", "POST /x")
            .drops("Upgrade"),
    ]
}

fn wrong_switches() -> Vec<Case> {
    let wrong = |name: &'static str, source: &'static str, fields: &str, head: String| {
        safety(name, source)
            .sends(offer(fields) + HIDDEN)
            .answered(head + EVIL)
            .is("502, end", "GET /x")
    };
    const ASKED: &str = "RFC 9110 7.8: MUST NOT switch to what was not indicated";
    vec![
        wrong("a switch to another protocol", ASKED, FIELDS, AGREED.replace("websocket", "h2c")),
        wrong(
            "a switch to two protocols",
            ASKED,
            FIELDS,
            AGREED.replace("websocket", "websocket, h2c"),
        ),
        wrong(
            "a switch to nothing",
            "RFC 9110 15.2.2",
            FIELDS,
            AGREED.replace("Upgrade: websocket\r\n", ""),
        ),
        wrong(
            "a switch without its option",
            "RFC 9110 7.8",
            FIELDS,
            AGREED.replace("Connection: Upgrade\r\n", ""),
        ),
        safety("a switch to h2c that was not forwarded", "Miller, h2c Smuggling (2020)")
            .sends(offer(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
            ))
            .answered(AGREED.replace("websocket", "h2c") + EVIL)
            .is("502, keep", "GET /x"),
        safety("a switch that a POST asked for", "RFC 6455 4.1")
            .sends(super::post(FIELDS, ""))
            .answered(format!("{AGREED}{EVIL}"))
            .is("502, keep", "POST /x"),
    ]
}
