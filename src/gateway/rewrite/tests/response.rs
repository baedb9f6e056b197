//! The response heads that the client gets.

use super::*;

#[test]
fn the_status_line_is_ours_in_version_and_theirs_in_code_and_reason() {
    for (line, want) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 404  Not \u{e9} here", "HTTP/1.1 404  Not \u{e9} here"),
        ("HTTP/1.1 599", "HTTP/1.1 599 "),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
    ] {
        let got = answered(
            GET,
            &format!(
                "{line}\r\nDate: d\r\nX-Request-Id: i\r\n\
            Content-Length: 0\r\n\r\n"
            ),
        );
        assert_eq!(
            got,
            format!(
                "{want}\r\nDate: d\r\nX-Request-Id: i\r\n\
            Content-Length: 0\r\n\r\n"
            )
        );
    }
}

#[test]
fn lines_of_a_response_stay_as_they_came() {
    for lines in [
        "Content-Length: 1\r\nDate: d\r\nX-Request-Id: i\r\n",
        "Date: d\r\nX-Request-Id: i\r\n\
            Set-Cookie: a\r\nset-cookie:b\r\nX:  \u{fc} \r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nVia: 1.1 v\r\nCF-Ray: 1\r\nServer: cloudflare\r\nDate: d\r\n\
            X-Request-Id: i\r\n",
        "Content-Length: 1\r\nDate: d\r\nX-Request-Id: i\r\n\
            Retry-After: 1\r\nX-Accel-Buffering: yes\r\n",
    ] {
        response(lines, lines);
    }
}

#[test]
fn a_response_loses_fields_of_one_hop_and_the_invitation_to_another_port() {
    for line in [
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "TE: x",
        "Upgrade: h2c",
        "HTTP2-Settings: x",
        "Alt-Svc: h3=\":443\"; ma=86400",
        "Strict-Transport-Security: max-age=31536000; includeSubDomains",
        "NEL: {\"report_to\":\"cf-nel\",\"max_age\":604800}",
        "Report-To: {}\r\nReporting-Endpoints: a=\"https://a/\"",
        "Expect-CT: max-age=0\r\npublic-key-pins: pin-sha256=\"a\"",
        "Clear-Site-Data: \"*\"\r\nService-Worker-Allowed: /",
        "X-Accel-Redirect: /internal/a\r\nX-Accel-Expires: 5\r\nx-accel-limit-rate: 1",
        "X-Sendfile: /etc/passwd",
        "Connection: x-hop\r\nX-Hop: 1",
    ] {
        let sent = format!(
            "A: 1\r\n{line}\r\nContent-Length: 1\r\nDate: d\r\nX-Request-Id: i\r\n\
            B: 2\r\n"
        );
        response(&sent, "A: 1\r\nContent-Length: 1\r\nDate: d\r\nX-Request-Id: i\r\nB: 2\r\n");
    }
}

#[test]
fn a_response_loses_orders_to_a_front_server_in_any_case() {
    const REST: &str = "Content-Length: 1\r\nDate: d\r\nX-Request-Id: i\r\n";
    for name in ["X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Sendfile", "X-Lighttpd-Send-File"] {
        for spelt in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            response(&format!("{spelt}: a\r\n{REST}"), REST);
        }
    }
}

#[test]
fn a_response_keeps_fields_that_a_request_about_its_client_loses() {
    let fields = "X-Forwarded-For: a\r\nCF-Ray: b\r\nContent-Length: 1\r\nDate: d\r\n\
        X-Request-Id: i\r\n";
    response(fields, fields);
}

#[test]
fn references_and_cookies_of_the_upstream_become_those_of_the_route() {
    let origins = Origins::new(true, [b"api.test".as_slice()]);
    let view = View {
        origins: &origins,
        base: b"/v1/",
        route: b"/gpt/",
        client_https: true,
        client_authority: b"relay.test",
        token: b"",
    };
    for (lines, want) in [
        ("Location:https://api.test/v1/a\r\n", "Location: https://relay.test/gpt/a\r\n"),
        ("content-LOCATION:  /v1/a \r\n", "content-LOCATION: /gpt/a\r\n"),
        ("Refresh: 5; URL=\"/v1/a\" x\r\n", "Refresh: 5; URL=\"/gpt/a\" x\r\n"),
        ("Operation-Location: /v1/a\r\n", "Operation-Location: /gpt/a\r\n"),
        ("Azure-AsyncOperation: /v1/a\r\n", "Azure-AsyncOperation: /gpt/a\r\n"),
        (
            "X-Goog-Upload-URL: https://api.test/v1/a?key=b\r\n\
             X-Goog-Upload-Control-URL: /v1/a\r\n",
            "X-Goog-Upload-URL: https://relay.test/gpt/a?key=b\r\n\
             X-Goog-Upload-Control-URL: /gpt/a\r\n",
        ),
        ("Set-Cookie:a=b;Path=/\r\n", "Set-Cookie: a=b;Path=/gpt/\r\n"),
        ("Connection: location\r\nLocation: /v1/a\r\n", ""),
        (
            "Location:\ta \r\nRefresh:5\r\nSet-Cookie:  a\r\n",
            "Location:\ta \r\nRefresh:5\r\nSet-Cookie:  a\r\n",
        ),
    ] {
        let with = |lines: &str| {
            format!(
                "HTTP/1.1 201 C\r\nA: 1\r\n{lines}Content-Length: 0\r\nDate: d\r\n\
                X-Request-Id: i\r\n\r\n"
            )
        };
        assert_eq!(answered_to(Some(&view), GET, &with(lines)), with(want));
        let kept = if want.is_empty() { want } else { lines };
        assert_eq!(answered(GET, &with(lines)), with(kept));
    }
}

#[test]
fn a_date_is_added_where_there_is_none() {
    const REST: &str = "X-Request-Id: i\r\nContent-Length: 1\r\n";
    response(REST, &format!("{REST}Date: {DATE}\r\n"));
    let nominated = format!("Connection: date\r\nDate: d\r\n{REST}");
    response(&nominated, &format!("{REST}Date: {DATE}\r\n"));
}

#[test]
fn the_id_of_the_exchange_is_added_where_the_upstream_sent_none() {
    const REST: &str = "Content-Length: 1\r\nDate: d\r\n";
    const OURS: &str = "X-Request-Id: 0123456789abcdef\r\n";
    response(REST, &format!("{REST}{OURS}"));
    response(
        &format!("Connection: x-request-id\r\n{REST}x-request-id: a\r\n"),
        &format!("{REST}{OURS}"),
    );
    for theirs in [
        "X-Request-Id: a",
        "x-request-ID:b ",
        "X-Request-Id:",
        "x-request-id: a\r\nX-Request-Id: b",
    ] {
        let lines = format!("{theirs}\r\n{REST}");
        response(&lines, &lines);
    }
    // Other names of ids are the API's own business.
    let lines = format!("request-id: a\r\n{REST}");
    response(&lines, &format!("{lines}{OURS}"));
}

#[test]
fn each_body_has_one_framing_field_of_ours() {
    let with = |request: &str, fields: &str| {
        answered(request, &format!("HTTP/1.1 200 OK\r\n{fields}Date: d\r\nX-Request-Id: i\r\n\r\n"))
    };
    let want = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    const IN_PIECES: &str = "X-Accel-Buffering: no\r\n";
    let got = with(GET, "content-length: 007\r\n");
    assert_eq!(got, want("content-length: 7\r\nDate: d\r\nX-Request-Id: i\r\n"));
    let got = with(GET, "transfer-encoding: Chunked\r\n");
    assert_eq!(
        got,
        want(&format!(
            "transfer-encoding: chunked\r\nDate: d\r\nX-Request-Id: i\r\n\
        {IN_PIECES}"
        ))
    );
    let got = with(GET, "");
    assert_eq!(
        got,
        want(&format!(
            "Date: d\r\nX-Request-Id: i\r\n\
        Transfer-Encoding: chunked\r\n{IN_PIECES}"
        ))
    );
    for fields in ["", "Transfer-Encoding: chunked\r\n"] {
        let closed = format!("Date: d\r\nX-Request-Id: i\r\n{IN_PIECES}Connection: close\r\n");
        assert_eq!(with(GET_10, fields), want(&closed));
    }
    let got = with(GET_10, "Content-Length: 7\r\n");
    assert_eq!(
        got,
        want(
            "Content-Length: 7\r\nDate: d\r\nX-Request-Id: i\r\n\
        Connection: keep-alive\r\n"
        )
    );
}

#[test]
fn a_length_without_a_body_stays_only_where_it_describes_one() {
    let with = |request: &str, status: u16, field: &str| {
        let got = answered(
            request,
            &format!(
                "HTTP/1.1 {status} S\r\n{field}\r\nDate: d\r\n\
            X-Request-Id: i\r\n\r\n"
            ),
        );
        got.strip_prefix(&format!("HTTP/1.1 {status} S\r\n")).unwrap().to_owned()
    };
    let length = "Content-Length: 5";
    assert_eq!(with(HEAD, 200, length), "Content-Length: 5\r\nDate: d\r\nX-Request-Id: i\r\n\r\n");
    assert_eq!(with(GET, 304, length), "Content-Length: 5\r\nDate: d\r\nX-Request-Id: i\r\n\r\n");
    assert_eq!(with(GET, 204, length), "Date: d\r\nX-Request-Id: i\r\n\r\n");
    let coding = "Transfer-Encoding: chunked";
    for (request, status) in [(HEAD, 200), (GET, 304), (GET, 204)] {
        assert_eq!(with(request, status, coding), "Date: d\r\nX-Request-Id: i\r\n\r\n", "{status}");
    }
}

#[test]
fn a_stream_asks_other_proxies_not_to_buffer() {
    let with = |fields: &str| {
        answered(
            GET,
            &format!(
                "HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\nDate: d\r\n\
            X-Request-Id: i\r\n\r\n"
            ),
        )
    };
    for kind in [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "\ttext/event-stream ;a=b",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/json-seq",
        "application/stream+json;charset=UTF-8",
        "application/grpc-web",
        "application/GRPC-web-text+proto",
        "application/connect+json",
        "application/vnd.amazon.eventstream",
        "multipart/x-mixed-replace; boundary=a",
    ] {
        for upstreams in ["", "x-accel-buffering: yes\r\n", "X-Accel-Buffering: no\r\n"] {
            let got = with(&format!("Content-Type: {kind}\r\n{upstreams}"));
            assert_eq!(got.matches("\r\nX-Accel-Buffering: no\r\n").count(), 1, "{got}");
            assert_eq!(got.to_ascii_lowercase().matches("x-accel-").count(), 1, "{got}");
        }
    }
    for kind in [
        "application/json",
        "text/event-streams",
        "x-text/event-stream",
        "text/event",
        "application/json-seqs",
        "application/connect",
        "",
    ] {
        let got = with(&format!("Content-Type: {kind}\r\n"));
        assert!(!got.contains("X-Accel"), "{got}");
    }
}

#[test]
fn a_response_without_a_length_asks_not_to_buffer_unless_its_upstream_says_more() {
    let with = |fields: &str| {
        answered(
            GET,
            &format!(
                "HTTP/1.1 200 OK\r\nDate: d\r\n\
        X-Request-Id: i\r\n{fields}\r\n"
            ),
        )
    };
    let count = |head: &str| head.to_ascii_lowercase().matches("x-accel-buffering: ").count();
    for coding in ["", "Transfer-Encoding: chunked\r\n"] {
        for kind in ["", "Content-Type: application/json\r\n", "Content-Type: audio/mpeg\r\n"] {
            let got = with(&format!("{coding}{kind}"));
            assert!(got.contains("\r\nX-Accel-Buffering: no\r\n") && count(&got) == 1, "{got}");
            let got = with(&format!("{coding}{kind}x-accel-buffering:yes\r\n"));
            assert!(got.contains("\r\nx-accel-buffering:yes\r\n"), "{got}");
            assert!(!got.contains("X-Accel-Buffering"), "{got}");
        }
    }
    let head = answered(
        HEAD,
        "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
        Transfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(count(&head), 0, "{head}");
}

#[test]
fn the_connection_field_of_a_response_is_ours() {
    let length = "Connection: keep-alive\r\nContent-Length: 0\r\nDate: d\r\nX-Request-Id: i\r\n";
    let ends_with = |request: &str, status: u16, fields: &str, end: &str| {
        let got = answered(request, &format!("HTTP/1.1 {status} S\r\n{fields}\r\n"));
        let want = format!(
            "HTTP/1.1 {status} S\r\nContent-Length: 0\r\nDate: d\r\n\
            X-Request-Id: i\r\n{end}\r\n"
        );
        assert_eq!(got, want);
    };
    ends_with(GET, 200, length, "");
    ends_with(GET_10, 200, length, "Connection: keep-alive\r\n");
    ends_with(POST_UNFINISHED, 200, length, "Connection: close\r\n");
    let asks = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    ends_with(asks, 200, length, "Connection: close\r\n");
}

#[test]
fn a_426_says_what_to_upgrade_to() {
    let text = "HTTP/1.1 426 U\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Content-Length: 0\r\nDate: d\r\nX-Request-Id: i\r\n\r\n";
    let want = "HTTP/1.1 426 U\r\nUpgrade: websocket\r\nContent-Length: 0\r\nDate: d\r\n\
        X-Request-Id: i\r\n\
                Connection: Upgrade\r\n\r\n";
    assert_eq!(answered(GET, text), want);
    let want = want.replace("Connection: Upgrade", "Connection: close, Upgrade");
    assert_eq!(answered(POST_UNFINISHED, text), want);
}

#[test]
fn an_interim_head_has_no_framing_and_nothing_of_ours() {
    let head = "HTTP/1.0 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\
                Connection: x-hop\r\nX-Hop: 1\r\nlink: </b>\r\n\r\n";
    let mut out = BytesMut::new();
    put_interim_head(&mut out, &ResponseHead::parse(head.as_bytes(), &LIMITS).unwrap(), None);
    let want = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n";
    assert_eq!(out, want.as_bytes());
}

#[test]
fn a_switch_is_to_websocket_and_to_nothing_else() {
    let head = "HTTP/1.1 101 Switching\r\nConnection: upgrade, x-hop\r\nUPGRADE: WebSocket\r\n\
                X-Hop: 1\r\nSec-WebSocket-Accept: s\r\nContent-Length: 0\r\n\r\n";
    let mut out = BytesMut::new();
    let head = ResponseHead::parse(head.as_bytes(), &LIMITS).unwrap();
    put_switch_head(&mut out, &head, ID, None);
    let want = "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: s\r\n\
                X-Request-Id: 0123456789abcdef\r\n\
                Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(out, want.as_bytes());
}

/// What becomes of the fields of a 200 to a GET request.
#[track_caller]
fn response(fields: &str, want: &str) {
    let got = answered(GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    assert_eq!(got, format!("HTTP/1.1 200 OK\r\n{want}\r\n"));
}

/// The final response head that the client gets. A request without a body is sent whole.
fn answered(request: &str, response: &str) -> String {
    answered_to(None, request, response)
}

/// The same, for a client with this view.
fn answered_to(view: Option<&View<'_>>, request: &str, response: &str) -> String {
    let head = RequestHead::parse(request.as_bytes(), &LIMITS).unwrap();
    let mut exchange = Exchange::new(validate(&head).unwrap().request);
    if exchange.request().body == BodyLength::None {
        exchange.end_request();
    }
    let head = ResponseHead::parse(response.as_bytes(), &LIMITS).unwrap();
    let Ok(ResponseKind::Final(response)) = exchange.response_head(&head, false) else {
        panic!("not final: {response}");
    };
    let mut out = BytesMut::new();
    put_final_head(&mut out, &head, &response, DATE, ID, view);
    String::from_utf8(out.to_vec()).unwrap()
}
