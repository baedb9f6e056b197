//! Field lines: which stay exactly as they came, and which end at this hop.

use crate::support::rig::{GET, Rig, expect_own_error, forwarded};
use narrows_kit::peer::End;

/// Lines that mean nothing to a gateway, although they resemble lines that do.
const UNTOUCHED: &[&str] = &[
    "Authorization: Bearer sk-1\r\nOpenAI-Organization: o\r\nX-Request-Id: 1\r\n",
    "x-b: 1\r\nX-A:2\r\nx-B: \t 3 \t\r\nX-B:\r\n",
    "X_under_score: 1\r\n_: 2\r\n!#$%&'*+-.^_`|~09: 3\r\n",
    "Cookie: a=1\r\nCookie: b=2; c=\"d\"\r\nAccept: */*, a/b;q=0.1\r\n",
    "User-Agent: a (b; c) d/1 \\ \"\r\nReferer: http://a/?b#c\r\nAccept-Encoding: gzip, br\r\n",
    "Content-Type: text/event-stream\r\nX-Accel-Buffering: yes\r\nAlt-Svc: clear\r\n",
    "Idempotency-Key: k\r\nDate: d\r\nTrailer: Sum\r\nMax-Forwards: 3\r\nPriority: u=1\r\n",
    "X-Forward: 1\r\nXForwarded: 2\r\nX-Real: 3\r\nCFx: 4\r\nX-CF-Ray: 5\r\nForwardedx: 6\r\n",
    "CF-Access-Client-Id: 1\r\ncf-access-client-secret: 2\r\nCF-AIG-Authorization: 3\r\n",
    "session_id: 1\r\nOpenai_Organization: 2\r\nIdempotency_Key: 3\r\nContent_Type: 4\r\n",
    "x-ms-client-request-id: 1\r\nx-goog-api-key: 2\r\nX-Client-Request-Id: 3\r\napi-key: 4\r\n",
    "X-Stainless-OS: Linux\r\nanthropic-version: 1\r\ntraceparent: 2\r\nX-Amzn-Trace-Id: 3\r\n",
];

#[tokio::test]
async fn request_fields_keep_their_order_case_and_bytes() {
    let rig = Rig::new().await;
    for lines in UNTOUCHED {
        let request = format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        rig.forwards(lines, request, forwarded("GET /x", lines)).await;
    }
}

#[tokio::test]
async fn bytes_over_127_in_values_pass_in_both_directions() {
    let rig = Rig::new().await;
    let bytes: Vec<u8> = (0x80..=0xff).collect();
    let line = [b"X-Text: a", bytes.as_slice(), b"z\r\n"].concat();
    let request = [b"GET /gpt/x HTTP/1.1\r\nHost: a\r\n", line.as_slice(), b"\r\n"].concat();
    let head = forwarded("GET /x", "");
    let want = [head.strip_suffix("\r\n").unwrap().as_bytes(), &line, b"\r\n"].concat();
    rig.forwards("a request", request, want).await;

    let response = [
        b"HTTP/1.1 200 \xfcber\r\nDate: d\r\nX-Request-Id: i\r\n\
            ",
        line.as_slice(),
        b"Content-Length: 0\r\n\r\n",
    ]
    .concat();
    rig.answers("a response", GET, &response, &response).await;
}

#[tokio::test]
async fn fields_of_one_hop_are_not_forwarded() {
    let rig = Rig::new().await;
    for line in [
        "Connection: keep-alive",
        "Connection: close, TE",
        "Keep-Alive: timeout=5, max=100",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "TE: trailers, deflate",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Upgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2",
        "Proxy_Authorization: Basic eDp5",
        "Proxy-Connection: a\r\nproxy_connection: b",
        "Keep_Alive: timeout=5\r\nHTTP2_Settings: AAMAAABk",
    ] {
        drops_from_request(&rig, line).await;
    }
}

#[tokio::test]
async fn only_an_offer_of_websocket_without_a_body_is_forwarded() {
    let rig = Rig::new().await;
    let with = |line: &str, fields: &str| format!("{line}\r\nHost: a\r\n{fields}\r\n");
    let offer = "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, WebSocket\r\n\
                 Sec-WebSocket-Key: k\r\n";
    let key = "Sec-WebSocket-Key: k\r\n";
    let rewritten = format!("{key}Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let get = "GET /gpt/x HTTP/1.1";
    rig.forwards("an offer", with(get, offer), forwarded("GET /x", &rewritten)).await;
    let post = "POST /gpt/x HTTP/1.1";
    rig.forwards("POST", with(post, offer), forwarded("POST /x", key)).await;
    let http_10 = "GET /gpt/x HTTP/1.0";
    rig.forwards("HTTP/1.0", with(http_10, offer), forwarded("GET /x", key)).await;
    let length = format!("{offer}Content-Length: 2\r\n");
    let want = forwarded("GET /x", &format!("{key}Content-Length: 2\r\n")) + "{}";
    rig.forwards("a body", with(get, &length) + "{}", want).await;
    let other = offer.replace("WebSocket\r\n", "TLS/1.2\r\n");
    rig.forwards("another protocol", with(get, &other), forwarded("GET /x", key)).await;
}

#[tokio::test]
async fn fields_that_connection_nominates_are_not_forwarded() {
    let rig = Rig::new().await;
    for line in [
        "Connection: x-hop\r\nX-Hop: 1",
        "X-HOP: 1\r\nconnection: X-Hop, close\r\nx-hop: 2",
        "Connection: a\r\nConnection: b,, c\r\nC: 1\r\nB: 2\r\nA: 3",
        "Connection: \"x\", x_y\r\nX_Y: 1",
    ] {
        drops_from_request(&rig, line).await;
    }
}

#[tokio::test]
async fn nothing_about_the_client_is_sent_to_the_upstream() {
    let rig = Rig::new().await;
    for line in [
        "X-Forwarded-For: 192.0.2.1",
        "x-forwarded-for: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: a",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Client-Cert: c",
        "X-Forwarded: a",
        "Forwarded: for=192.0.2.1;host=a",
        "X-Real-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "Via: 1.1 a",
        "CF-Connecting-IP: 192.0.2.1",
        "CF-IPCountry: XX",
        "cf-ray: 1-FRA",
        "CF-Visitor: {\"scheme\":\"https\"}",
        "Cf-Access-Jwt-Assertion: ey\r\nCf-Access-Authenticated-User-Email: a@b",
        "Fly-Client-IP: 192.0.2.1\r\nFly-Region: fra",
        "Fastly-Client-IP: 192.0.2.1",
        "CloudFront-Viewer-Address: 192.0.2.1:4711\r\nCloudFront-Viewer-Country: XX",
        "X-Azure-ClientIP: 192.0.2.1\r\nX-Azure-SocketIP: 192.0.2.1\r\nX-Azure-FDID: 1",
        "X-Vercel-Forwarded-For: 192.0.2.1\r\nX-Vercel-IP-City: b",
        "X-AppEngine-User-IP: 192.0.2.1",
        "DO-Connecting-IP: 192.0.2.1\r\nEO-Connecting-IP: 192.0.2.1\r\nEO-Client-IP: 192.0.2.1",
        "Ali-CDN-Real-IP: 192.0.2.1",
        "X-Client-IP: 192.0.2.1\r\nX-Cluster-Client-IP: 192.0.2.1\r\nClient-IP: 192.0.2.1",
        "X-Original-Forwarded-For: 192.0.2.1",
        "X-Envoy-External-Address: 192.0.2.1\r\nX-Envoy-Peer-Metadata: a",
        "X-Nf-Client-Connection-IP: 192.0.2.1\r\nIncap-Client-IP: 192.0.2.1",
        "X_Forwarded_For: 192.0.2.1\r\nX-Forwarded_For: 192.0.2.1\r\nx_real_ip: 192.0.2.1",
        "CF_Connecting_IP: 192.0.2.1",
    ] {
        drops_from_request(&rig, line).await;
    }
}

#[tokio::test]
async fn more_connection_options_than_the_limit_are_refused_in_both_directions() {
    let rig = Rig::new().await;
    let options = |count: usize| vec!["x"; count].join(", ");
    let request =
        |count| format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", options(count));
    rig.forwards("a request at the limit", request(16), forwarded("GET /x", "")).await;
    rig.refuses("a request over it", request(17), 400, "too_many_options").await;
    let response = |count| {
        format!(
            "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\
            Connection: {}\r\n\r\n",
            options(count)
        )
    };
    let want = "HTTP/1.1 204 No Content\r\nDate: d\r\nX-Request-Id: i\r\n\r\n";
    rig.answers("a response at the limit", GET, response(16), want).await;
    rig.spoils("a response over it", GET, response(17)).await;
}

#[tokio::test]
async fn response_fields_keep_their_order_case_and_bytes() {
    let rig = Rig::new().await;
    for lines in [
        "Date: d\r\nX-Request-Id: i\r\n\
            Content-Length: 0\r\nSet-Cookie: a=1\r\nset-cookie:b=2\r\nX_y:  1 \t\r\n",
        "CONTENT-LENGTH: 0\r\nVia: 1.1 google\r\nCF-Ray: 1\r\nServer: cloudflare\r\ndate: d\r\n\
         X-Request-Id: i\r\n",
        "Retry-After: 1\r\nretry-after-ms: 900\r\nDate: d\r\nX-Request-Id: i\r\n\
            Content-Length: 0\r\n",
        "Date: d\r\nX-Request-Id: i\r\n\
            X-Accel-Buffering: yes\r\nContent-Length: 0\r\nX-Forwarded-For: a\r\n",
        "Date: d\r\nX-Request-Id: i\r\n\
            Content-Encoding: gzip\r\nVary: a\r\nLocation: b\r\nContent-Length: 0\r\n",
    ] {
        let response = format!("HTTP/1.1 429 Too  Many\r\n{lines}\r\n");
        rig.answers(lines, GET, &response, &response).await;
    }
}

#[tokio::test]
async fn fields_of_one_hop_and_alt_svc_do_not_reach_the_client() {
    let rig = Rig::new().await;
    for line in [
        "Connection: keep-alive",
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "Upgrade: h2,h2c\r\nConnection: Upgrade",
        "Connection: x-hop\r\nX-Hop: 1",
        "Alt-Svc: h3=\":443\"; ma=86400",
        "TE: x",
        "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload",
        "NEL: {\"max_age\":1}\r\nReport-To: {\"group\":\"a\"}\r\nReporting-Endpoints: a=\"b\"",
        "Expect-CT: max-age=1\r\nPublic-Key-Pins: a\r\nClear-Site-Data: \"*\"",
        "X-Accel-Redirect: /a\r\nx-accel-expires: 1\r\nX-Accel-Limit-Rate: 1\r\nX-Sendfile: /a",
    ] {
        let with = |line: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nA: 1\r\n{line}Content-Length: 0\r\nDate: d\r\n\
                X-Request-Id: i\r\nB: 2\r\n\r\n"
            )
        };
        rig.answers(line, GET, with(&format!("{line}\r\n")), with("")).await;
    }
}

#[tokio::test]
async fn a_stream_asks_other_proxies_not_to_buffer() {
    let rig = Rig::new().await;
    let with = |fields: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\n\
            {fields}Content-Length: 0\r\n\r\n"
        )
    };
    for (label, fields) in [
        ("as OpenAI sends it", "Content-Type: text/event-stream; charset=utf-8\r\n"),
        ("in capitals", "content-type:TEXT/EVENT-STREAM\r\n"),
        ("lines of JSON", "Content-Type: application/x-ndjson\r\n"),
        ("gRPC-Web", "Content-Type: application/grpc-web+proto\r\n"),
    ] {
        let plain = with(fields);
        let asked =
            plain.strip_suffix("\r\n").unwrap().to_owned() + "X-Accel-Buffering: no\r\n\r\n";
        rig.answers(label, GET, with(fields), &asked).await;
        let already = format!("{fields}X-Accel-Buffering: yes\r\n");
        rig.answers("asked otherwise", GET, with(&already), &asked).await;
    }
    let json = with("Content-Type: application/json\r\n");
    rig.answers("no events", GET, &json, &json).await;
}

#[tokio::test]
async fn a_response_without_a_date_gets_one() {
    let rig = Rig::new().await;
    let mut client = rig.client(GET).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let head = client.read_head().await;
    let date = narrows_kit::http::field_value(&head, "date").expect("a date");
    assert!(httpdate::parse_http_date(date).is_ok(), "{head}");
    assert!(date.ends_with(" GMT"), "{head}");
}

#[tokio::test]
async fn max_forwards_is_counted_for_options_alone() {
    let rig = Rig::new().await;
    let with = |method: &str, hops: &str| {
        format!("{method} /gpt/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    let want = forwarded("OPTIONS /x", "Max-Forwards: 6\r\n");
    rig.forwards("OPTIONS", with("OPTIONS", "007"), want).await;
    let want = forwarded("GET /x", "Max-Forwards: 0\r\n");
    rig.forwards("GET", with("GET", "0"), want).await;
    for value in ["", "-1", "+1", "x", "1, 1", "99999999999999999999"] {
        rig.refuses(value, with("OPTIONS", value), 400, "bad_max_forwards").await;
    }
}

#[tokio::test]
async fn the_only_expectation_is_100_continue() {
    let rig = Rig::new().await;
    let with = |version: &str, expectation: &str| {
        format!(
            "POST /gpt/x HTTP/{version}\r\nHost: a\r\n{expectation}\r\nContent-Length: 2\r\n\r\nhi"
        )
    };
    for expectation in [
        "Expect: 200-ok",
        "Expect: 100-continue, x",
        "Expect: y 100-continue",
        "Expect: 100-continue;a=b",
        "Expect: 100-continue\r\nExpect: x",
        "Expect: \"100-continue\"",
    ] {
        let request = with("1.1", expectation);
        rig.refuses(expectation, request, 417, "unknown_expectation").await;
    }
    let want = forwarded("POST /x", "eXpect: 100-Continue\r\nContent-Length: 2\r\n") + "hi";
    rig.forwards("HTTP/1.1", with("1.1", "eXpect: 100-Continue"), want).await;
    let want = forwarded("POST /x", "Content-Length: 2\r\n") + "hi";
    rig.forwards("HTTP/1.0", with("1.0", "Expect: 100-continue"), &want).await;
    rig.forwards("HTTP/1.0, another", with("1.0", "Expect: x"), &want).await;
    rig.forwards("HTTP/1.1, none", with("1.1", "Expect: ,"), &want).await;
}

#[tokio::test]
async fn a_refused_expectation_ends_the_connection_before_the_body() {
    let rig = Rig::new().await;
    let head = "POST /gpt/x HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 50\r\n\r\n";
    let mut client = rig.client(head).await;
    expect_own_error(&mut client, 417, "unknown_expectation").await;
    client.expect_end(End::Clean).await;
    rig.origin.assert_untouched().await;
}

/// Asserts that of these lines nothing arrives, and that their neighbours do.
async fn drops_from_request(rig: &Rig, lines: &str) {
    let request = format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\nO: 1\r\n{lines}\r\nP: 2\r\n\r\n");
    rig.forwards(lines, request, forwarded("GET /x", "O: 1\r\nP: 2\r\n")).await;
}
