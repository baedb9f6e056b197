//! What is answered before a route is looked for.

use super::bench::{EMPTY, log_of, run, settle, words};
use crate::net::memory::End;

const HOST: &str = "Host: api.example\r\n";

/// The head of an answer without the fields that differ, and its body.
fn parts(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let is_said = |line: &&str| !line.starts_with("Date: ") && !line.starts_with("X-Request-Id: ");
    (head.split("\r\n").filter(is_said).collect::<Vec<_>>().join("|"), body)
}

#[test]
fn a_listener_that_leads_to_https_serves_no_route_and_dials_no_upstream() {
    let log = run(async |bench| {
        let mut client = bench.redirected_client();
        let post = format!("POST /gpt/v1?a HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc");
        client.send(format!("{post}HEAD /b HTTP/1.1\r\n{HOST}\r\n")).await;
        for url in ["https://api.example:8443/gpt/v1?a", "https://api.example:8443/b"] {
            let answer = client.read().await;
            let want = format!("HTTP/1.1 308 Permanent Redirect|Content-Length: 0|Location: {url}");
            assert_eq!(parts(&answer), (want, ""));
        }
        // What cannot be led anywhere is refused, and the connection goes on.
        for (target, host, status) in [
            ("/", "evil.example", "421 Misdirected Request"),
            ("/.well-known/acme-challenge/a", "api.example", "404 Not Found"),
        ] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            let answer = client.read().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
        // The body is not here, so that the connection has to end.
        client.send(format!("PUT / HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\n")).await;
        assert!(client.read().await.contains("\r\nConnection: close\r\n"));
        settle().await;
        assert_eq!(client.here(), (Vec::new(), Some(End::Clean)));
        assert_eq!(bench.dials(), 0);
    });
    let refused =
        ["421 answered client name_not_served", "404 answered client challenge_not_found"];
    assert_eq!(log, [&["308 completed"; 2][..], &refused, &["308 completed"]].concat());
}

#[test]
fn a_challenge_is_answered_while_it_is_under_way_and_is_for_a_route_otherwise() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: any\r\n\r\n");
    let path = "/.well-known/acme-challenge/a-token";
    let log = run(async |bench| {
        let challenges = &bench.context.challenges;
        let (mut plain, mut redirected) = (bench.client(), bench.redirected_client());
        challenges.set_http("a-token", "a-token.thumbprint");
        for client in [&mut plain, &mut redirected] {
            client.send(get(path)).await;
            let answer = client.read().await;
            let head = "HTTP/1.1 200 OK|Content-Type: application/octet-stream|Content-Length: 18";
            assert_eq!(parts(&answer), (head.to_owned(), "a-token.thumbprint"));
        }
        // Another path has its route meanwhile.
        plain.send(get("/gpt/v1")).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(plain.read().await, EMPTY);
        challenges.clear("a-token");
        for client in [&mut plain, &mut redirected] {
            client.send(get(path)).await;
            assert!(client.read().await.starts_with("HTTP/1.1 404 "));
        }
    });
    let refused =
        ["404 answered client route_not_found", "404 answered client challenge_not_found"];
    assert_eq!(log, [&["200 completed"; 3][..], &refused].concat());
}

#[test]
fn the_content_of_a_challenge_counts_where_it_is_sent() {
    let log = log_of(async |bench| {
        bench.context.challenges.set_http("a-token", "a-token.thumbprint");
        let mut client = bench.client();
        for method in ["GET", "HEAD"] {
            let target = "/.well-known/acme-challenge/a-token";
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: any\r\n\r\n")).await;
            assert!(client.read().await.contains("\r\nContent-Length: 18\r\n"));
        }
    });
    let told: Vec<_> = log.iter().map(|it| words(it, &["method", "to_client"])).collect();
    assert_eq!(told, ["GET 18", "HEAD 0"]);
}
