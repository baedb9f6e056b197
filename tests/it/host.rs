//! Host: exactly one, valid, and replaced by the upstream's.

use crate::support::rig::{Rig, forwarded};

#[tokio::test]
async fn a_missing_repeated_or_invalid_host_is_refused() {
    let rig = Rig::new().await;
    for (label, fields) in [
        ("none", "X: 1\r\n"),
        ("an empty one", "Host:\r\n"),
        ("a blank one", "Host: \t \r\n"),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("two that agree", "Host: a\r\nhost: a\r\n"),
        ("two apart", "Host: a\r\nX: 1\r\nHOST: b\r\n"),
        ("one and an empty one", "Host: a\r\nHost:\r\n"),
        ("a list", "Host: a, b\r\n"),
        ("two words", "Host: a b\r\n"),
        ("userinfo", "Host: user@a\r\n"),
        ("a path", "Host: a/b\r\n"),
        ("a URI", "Host: http://a\r\n"),
        ("a query", "Host: a?b\r\n"),
        ("a fragment", "Host: a#b\r\n"),
        ("a port that is none", "Host: a:b\r\n"),
        ("a port with a sign", "Host: a:+80\r\n"),
        ("a port too large", "Host: a:65536\r\n"),
        ("two ports", "Host: a:80:80\r\n"),
        ("an open bracket", "Host: [::1\r\n"),
        ("a bare IPv6 address", "Host: ::1\r\n"),
        ("quotes", "Host: \"a\"\r\n"),
        ("bytes over 127", "Host: \u{e9}\r\n"),
        ("a backslash", "Host: a\\b\r\n"),
        ("a half escape", "Host: a%2\r\n"),
    ] {
        let request = format!("GET /gpt/x HTTP/1.1\r\n{fields}\r\n");
        rig.refuses(label, request, 400, "bad_host").await;
    }
}

#[tokio::test]
async fn an_absolute_target_does_not_excuse_a_missing_or_a_second_host() {
    let rig = Rig::new().await;
    for (label, fields) in
        [("none", ""), ("two", "Host: a\r\nHost: a\r\n"), ("not a host", "Host: a b\r\n")]
    {
        let request = format!("GET http://a/gpt/x HTTP/1.1\r\n{fields}\r\n");
        rig.refuses(label, request, 400, "bad_host").await;
    }
}

#[tokio::test]
async fn http_1_0_may_leave_host_out_and_may_not_repeat_it() {
    let rig = Rig::new().await;
    let none = "GET /gpt/x HTTP/1.0\r\nX: 1\r\n\r\n";
    rig.forwards("none", none, forwarded("GET /x", "X: 1\r\n")).await;
    let two = "GET /gpt/x HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n";
    rig.refuses("two", two, 400, "bad_host").await;
    rig.refuses("a bad one", "GET /gpt/x HTTP/1.0\r\nHost: a b\r\n\r\n", 400, "bad_host").await;
}

#[tokio::test]
async fn the_upstream_gets_its_own_host_whatever_the_client_sent() {
    let rig = Rig::new().await;
    for host in ["relay.test", "a:8080", "127.0.0.1", "[::1]:443", "a:", "API.openai.test", "x%41"]
    {
        let request = format!("GET /gpt/x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        rig.forwards(host, request, forwarded("GET /x", "")).await;
    }
}

#[tokio::test]
async fn host_keeps_its_place_and_the_case_of_its_name() {
    let rig = Rig::new().await;
    let request = "GET /gpt/x HTTP/1.1\r\nA: 1\r\nhOST:a\r\nB: 2\r\n\r\n";
    let want = "GET /x HTTP/1.1\r\nA: 1\r\nhOST: api.openai.test\r\nB: 2\r\n\r\n";
    rig.forwards("in the middle", request, want).await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_is_not_forwarded_either() {
    let rig = Rig::new().await;
    for target in [
        "http://a/gpt/x",
        "http://other/gpt/x",
        "https://evil.test:8443/gpt/x",
        "HTTP://[::1]/gpt/x",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        rig.forwards(target, request, forwarded("GET /x", "")).await;
    }
}

#[tokio::test]
async fn fields_that_name_another_host_are_ignored() {
    let rig = Rig::new().await;
    let request = "GET /gpt/x HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil\r\n\
                   Forwarded: host=evil\r\nX-Host: b\r\n\r\n";
    rig.forwards("dropped or meaningless", request, forwarded("GET /x", "X-Host: b\r\n")).await;
}

#[tokio::test]
async fn a_route_may_send_another_host() {
    let rig = Rig::with("host = \"other.test:8443\"").await;
    let request = "GET /gpt/x HTTP/1.1\r\nHost: a\r\n\r\n";
    rig.forwards("configured", request, "GET /x HTTP/1.1\r\nHost: other.test:8443\r\n\r\n").await;
}
