//! The request head that the upstream gets.

use super::*;

#[test]
fn the_target_is_the_replacement_then_the_rest_then_the_query() {
    let target = NewTarget { replacement: b"/base/", rest: b"v1/a%2Fb//c;d", query: b"?e=/../" };
    let head = RequestHead::parse(b"GET /gpt/x HTTP/1.0\r\n\r\n", &LIMITS).unwrap();
    let request = validate(&head).unwrap().request;
    let mut out = BytesMut::new();
    put_request_head(&mut out, &head, &request, &target, b"api.test:8443", None);
    let want = "GET /base/v1/a%2Fb//c;d?e=/../ HTTP/1.1\r\nHost: api.test:8443\r\n\r\n";
    assert_eq!(out, want.as_bytes());
}

#[test]
fn lines_that_mean_nothing_to_us_stay_as_they_came() {
    for lines in [
        "",
        "Authorization: Bearer x\r\n",
        "x-b: 1\r\nX-A:2\r\nx-B: \t 3 \t\r\nX_under_score:\r\n",
        "X-Text: \u{fc}ber \u{20ac}\r\n!#$%&'*+-.^_`|~: \"quoted, list\";a=b\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\nAccept-Encoding: gzip, br\r\n",
        "Content-Type: a/b\r\nDate: x\r\nIdempotency-Key: k\r\nTrailer: Sum\r\n",
        "Alt-Svc: clear\r\nX-Accel-Buffering: yes\r\nMax-Forwards: 1\r\n",
        "CF-Access-Client-Id: 1\r\nCF-Access-Client-Secret: 2\r\ncf-aig-metadata: 3\r\n",
        "cf-create-bucket-if-missing: true\r\ncf-copy-destination-if-none-match: *\r\n",
    ] {
        request(&format!("Host: b\r\n{lines}"), &format!("Host: up\r\n{lines}"));
    }
}

#[test]
fn host_is_replaced_in_its_place_and_in_the_case_of_its_name() {
    request("A: 1\r\nhOSt:\t b:80 \r\nC: 2\r\n", "A: 1\r\nhOSt: up\r\nC: 2\r\n");
}

#[test]
fn a_missing_host_comes_first() {
    let got = forwarded("GET / HTTP/1.0\r\nA: 1\r\n\r\n");
    assert_eq!(got, "GET /x HTTP/1.1\r\nHost: up\r\nA: 1\r\n\r\n");
}

#[test]
fn fields_of_one_hop_and_about_the_client_are_left_out() {
    for line in [
        "Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "TE: trailers",
        "Upgrade: h2c",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABk",
        "Via: 1.1 a",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "x-forwarded-proto: https",
        "X-Real-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "CF-Connecting-IP: 192.0.2.1",
        "Cf-Access-Authenticated-User-Email: a@b",
    ] {
        request(&format!("Host: a\r\n{line}\r\n"), "Host: up\r\n");
        request(&format!("{line}\r\nHost: a\r\n"), "Host: up\r\n");
        let around = format!("A: 1\r\nHost: a\r\n{line}\r\nB: 2\r\nC: 3\r\n{line}\r\n");
        request(&around, "A: 1\r\nHost: up\r\nB: 2\r\nC: 3\r\n");
    }
}

#[test]
fn nominated_fields_are_left_out_in_any_case_and_from_any_line() {
    request(
        "X-One: 1\r\nHost: a\r\nConnection: x-one,, X-TWO\r\nX-Onee: 2\r\n\
         connection: close, x_3\r\nx-two: 3\r\nX_3: 4\r\nX-One: 5\r\n",
        "Host: up\r\nX-Onee: 2\r\n",
    );
}

#[test]
fn host_and_framing_cannot_be_nominated_away() {
    let got = forwarded(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length\r\n\
         Content-Length: 3\r\n\r\n",
    );
    assert_eq!(got, "POST /x HTTP/1.1\r\nHost: up\r\nContent-Length: 3\r\n\r\n");
    let got = forwarded(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(got, "POST /x HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn an_expectation_that_is_waited_for_cannot_be_nominated_away() {
    let fields = "Content-Length: 3\r\nExpect: 100-continue\r\n";
    let got =
        forwarded(&format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: expect\r\n{fields}\r\n"));
    assert_eq!(got, format!("POST /x HTTP/1.1\r\nHost: up\r\n{fields}\r\n"));
}

#[test]
fn the_framing_field_is_written_anew_in_its_place() {
    let post = |fields: &str| forwarded(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let want = |fields: &str| format!("POST /x HTTP/1.1\r\nHost: up\r\n{fields}\r\n");
    let got = post("content-LENGTH:\t007 \r\nA: 1\r\n");
    assert_eq!(got, want("content-LENGTH: 7\r\nA: 1\r\n"));
    for sent in
        ["Content-Length:7", "Content-Length: 7\t", "Content-Length:  7", "Content-Length: 07"]
    {
        assert_eq!(post(&format!("{sent}\r\n")), want("Content-Length: 7\r\n"), "{sent:?}");
    }
    assert_eq!(post("Content-Length: 0\r\n"), want("Content-Length: 0\r\n"));
    let got = post("transfer-encoding:  CHUNKED\r\nA: 1\r\n");
    assert_eq!(got, want("transfer-encoding: chunked\r\nA: 1\r\n"));
    assert_eq!(post(""), want(""));
}

#[test]
fn the_expectation_is_passed_on_where_it_means_something() {
    let with = |version: &str| {
        forwarded(&format!(
            "POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\n\
             Content-Length: 1\r\n\r\n"
        ))
    };
    assert!(with("1.1").contains("\r\nExpect: 100-Continue\r\n"));
    assert!(!with("1.0").contains("Expect"));
}

#[test]
fn max_forwards_of_options_is_counted_down() {
    let with = |method: &str, hops: &str| {
        forwarded(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n"))
    };
    assert!(with("OPTIONS", "10").contains("\r\nMax-Forwards: 9\r\n"));
    assert!(with("OPTIONS", "1").contains("\r\nMax-Forwards: 0\r\n"));
    assert!(with("GET", "1").contains("\r\nMax-Forwards: 1\r\n"));
}

#[test]
fn an_offer_of_websocket_is_written_anew_at_the_end() {
    request(
        "Host: a\r\nConnection: keep-alive, Upgrade, X-Hop\r\nUpgrade: h2c, WebSocket\r\n\
         X-Hop: 1\r\nSec-WebSocket-Key: k\r\n",
        "Host: up\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    );
}

/// What becomes of the fields of a GET request.
#[track_caller]
fn request(fields: &str, want: &str) {
    let got = forwarded(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(got, format!("GET /x HTTP/1.1\r\n{want}\r\n"));
}

/// The request head that the upstream `up` gets, its target replaced by `/x`.
fn forwarded(text: &str) -> String {
    let head = RequestHead::parse(text.as_bytes(), &LIMITS).unwrap();
    let request = validate(&head).unwrap().request;
    let target = NewTarget { replacement: b"/", rest: b"x", query: b"" };
    let mut out = BytesMut::new();
    put_request_head(&mut out, &head, &request, &target, b"up", None);
    String::from_utf8(out.to_vec()).unwrap()
}
