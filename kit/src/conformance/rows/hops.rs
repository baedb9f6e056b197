//! What ends at this hop, and what may not be ended by asking for it (RFC 9110, section 7.6).

use super::{HIDDEN, ok, post, with_fields, with_line};
use crate::conformance::case::{Case, Kind, choice, must, safety};

const CONNECTION: &str = "RFC 9110 7.6.1: MUST remove";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = to_upstream();
    rows.extend(max_forwards());
    rows.extend(to_client());
    rows
}

fn to_upstream() -> Vec<Case> {
    let ends = |name: &'static str, fields: &str, gone: &'static str| {
        must(name, CONNECTION).sends(with_fields(fields)).drops(gone)
    };
    const KNOWN: &str = "RFC 9110 7.6.1: SHOULD remove, nominated or not";
    let known = |name: &'static str, line: &'static str| {
        choice(name, KNOWN).sends(with_fields(&format!("{line}\r\n"))).drops(line)
    };
    vec![
        ends("a nominated field", "Connection: x-hop\r\nX-Hop: 1\r\n", "X-Hop"),
        ends("a nominated field before Connection", "X-Hop: 1\r\nConnection: X-HOP\r\n", "X-Hop"),
        ends(
            "nominated in a second line",
            "Connection: keep-alive\r\nConnection: x-hop\r\nX-Hop: 1\r\n",
            "X-Hop",
        ),
        ends("nominated between empty elements", "Connection: , ,x-hop,,\r\nX-Hop: 1\r\n", "X-Hop"),
        ends("repeated nominated fields", "X-Hop: 1\r\nConnection: x-hop\r\nx-hop: 2\r\n", "X-Hop"),
        ends("a nominated cookie", "Connection: cookie\r\nCookie: a\r\n", "Cookie"),
        ends("the options themselves", "Connection: x-hop\r\n", "Connection: x-hop"),
        ends("TE that is nominated", "Connection: te\r\nTE: trailers\r\n", "TE"),
        ends(
            "Keep-Alive that is nominated",
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
            "Keep-Alive",
        ),
        known("Keep-Alive", "Keep-Alive: timeout=5"),
        known("Proxy-Connection", "Proxy-Connection: keep-alive"),
        known("TE", "TE: trailers"),
        choice("Proxy-Authorization", "RFC 9110 11.7.2")
            .sends(with_fields("Proxy-Authorization: Basic eA==\r\n"))
            .drops("Proxy-Authorization"),
        safety("Host that is nominated", "Davison, Abusing hop-by-hop headers (2019)")
            .sends(with_fields("Connection: host\r\n"))
            .forwards("Host: api.openai.test"),
        choice("more options than 16", "RFC 9110 7.6.1")
            .sends(with_fields(&format!("Connection: {}\r\n", "a,".repeat(17))))
            .refused(400),
        must("Via", "RFC 9110 7.6.3: MUST be sent by every gateway").drops("Via").deviates(),
        choice("the client's Via is not told", "RFC 9110 7.6.3")
            .sends(with_fields("Via: 1.1 office\r\n"))
            .drops("Via"),
        choice("the client's address is not told", "RFC 7239")
            .sends(with_fields(
                "X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1\r\n",
            ))
            .drops("X-Forwarded-For")
            .drops("X-Real-IP")
            .drops("Forwarded"),
    ]
}

fn max_forwards() -> Vec<Case> {
    let options = |value: &str| {
        format!("OPTIONS /gpt/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n")
    };
    vec![
        must("Max-Forwards 0", "RFC 9110 7.6.2: MUST NOT forward")
            .sends(options("0"))
            .is("204, keep", "-")
            .or("200, keep", "-"),
        must("Max-Forwards 5 becomes 4", "RFC 9110 7.6.2: MUST decrement")
            .sends(options("5"))
            .is("200 \"ok\", keep", "OPTIONS /x")
            .forwards("Max-Forwards: 4"),
        choice("Max-Forwards that is no number", "RFC 9110 7.6.2").sends(options("x")).refused(400),
        choice("Max-Forwards twice", "RFC 9110 7.6.2")
            .sends(options("1\r\nMax-Forwards: 0"))
            .refused(400),
        must("Max-Forwards of a GET", "RFC 9110 7.6.2: MAY ignore elsewhere")
            .sends(with_fields("Max-Forwards: 0\r\n"))
            .forwards("Max-Forwards: 0"),
        must("Max-Forwards 0 of a TRACE", "RFC 9110 7.6.2: MUST NOT forward")
            .sends(with_line("TRACE /gpt/x HTTP/1.1").replace("Host", "Max-Forwards: 0\r\nHost"))
            .is("405, end", "-")
            .or("405, keep", "-")
            .or("501, end", "-"),
        safety("Max-Forwards 0 with a body", "RFC 9110 7.6.2")
            .sends(
                post("Max-Forwards: 0\r\nContent-Length: 37\r\n", HIDDEN)
                    .replace("POST", "OPTIONS"),
            )
            .at_once()
            .is("204, keep", "-"),
    ]
}

fn to_client() -> Vec<Case> {
    let ends = |name: &'static str, options: &str, gone: &'static str| {
        must(name, CONNECTION)
            .answered(ok(&format!("Content-Length: 2\r\nConnection: {options}\r\n"), "ok"))
            .hides(gone)
    };
    let stays = |name: &'static str, source: &'static str, line: &'static str| {
        must(name, source)
            .answered(ok(&format!("Content-Length: 2\r\n{line}\r\n"), "ok"))
            .returns(line)
    };
    vec![
        ends("response: a nominated field", "x-hop\r\nX-Hop: 1", "X-Hop"),
        ends("response: the options themselves", "x-hop", "Connection: x-hop"),
        ends("response: close is for one hop", "close", "Connection: close"),
        ends(
            "response: Keep-Alive",
            "keep-alive\r\nKeep-Alive: timeout=1",
            "Keep-Alive: timeout=1",
        ),
        safety("response: a length that options name", "Davison (2019)")
            .answered(ok("Connection: content-length\r\nContent-Length: 2\r\n", "ok")),
        choice("response: Alt-Svc", "RFC 7838 3")
            .answered(ok("Content-Length: 2\r\nAlt-Svc: h3=\":443\"\r\n", "ok"))
            .hides("Alt-Svc"),
        choice("response: Upgrade of a 426", "RFC 9110 15.5.22")
            .answered(
                "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Content-Length: 2\r\n\r\nok",
            )
            .is("426 \"ok\", keep", "GET /x")
            .returns("Upgrade: websocket")
            .returns("Connection: Upgrade"),
        must("response: a Date is added", "RFC 9110 6.6.1: MUST, with a clock").returns("Date: "),
        Case {
            kind: Kind::Choice,
            ..stays(
                "response: a Date stays",
                "RFC 9110 6.6.1",
                "Date: Tue, 15 Nov 1994 08:12:31 GMT",
            )
        },
        stays("response: an unknown field", "RFC 9110 5.1: MUST forward", "X-Unknown: 1"),
        stays("response: a challenge", "RFC 9110 11.6.1", "WWW-Authenticate: Bearer realm=\"x\""),
        must("response: cookies stay two lines", "RFC 9110 5.3; RFC 6265 3")
            .answered(ok("Content-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "ok"))
            .returns("Set-Cookie: a=1")
            .returns("Set-Cookie: b=2"),
        choice("response: the upstream's Via stays", "RFC 9110 7.6.3")
            .answered(ok("Content-Length: 2\r\nVia: 1.1 edge\r\n", "ok"))
            .returns("Via: 1.1 edge"),
        choice("response: events are not held back", "nginx, X-Accel-Buffering")
            .answered(ok("Content-Length: 2\r\nContent-Type: text/event-stream\r\n", "ok"))
            .returns("X-Accel-Buffering: no"),
    ]
}
