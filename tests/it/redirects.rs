//! References and cookies with which an upstream means its own paths.

use crate::support::rig::{GET, Rig, expect_bytes};
use narrows_kit::client;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;

fn with(status: &str, lines: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nA: 1\r\n{lines}\r\nContent-Length: 0\r\nDate: d\r\n\
        X-Request-Id: i\r\nB: 2\r\n\r\n"
    )
}

/// What the client `a` gets of these lines of a response to it.
async fn becomes(rig: &Rig, status: &str, line: &str, want: &str) {
    rig.answers(line, GET, with(status, line), with(status, want)).await;
}

#[tokio::test]
async fn a_redirect_to_the_upstream_comes_back_through_the_route() {
    let rig = Rig::new().await;
    for (line, want) in [
        ("Location: http://api.openai.test/v1/", "Location: http://a/gpt/v1/"),
        ("location:HTTP://API.openai.test:80?x", "location: http://a/gpt/?x"),
        ("Location: //api.openai.test/v1", "Location: //a/gpt/v1"),
        ("LOCATION: \t/v1/?q=/../ ", "LOCATION: /gpt/v1/?q=/../"),
        ("Content-Location: /v1/x#y", "Content-Location: /gpt/v1/x#y"),
        ("Refresh: 5; url=/v1", "Refresh: 5; url=/gpt/v1"),
        ("Refresh: 0;URL='http://api.openai.test/v1'", "Refresh: 0;URL='http://a/gpt/v1'"),
        ("Location: /a\r\nLocation: /b", "Location: /gpt/a\r\nLocation: /gpt/b"),
    ] {
        becomes(&rig, "307 Temporary Redirect", line, want).await;
    }
    for status in ["200 OK", "201 Created", "202 Accepted", "301 Moved", "308 Moved", "503 Later"] {
        becomes(&rig, status, "Location: /v1/", "Location: /gpt/v1/").await;
    }
}

#[tokio::test]
async fn a_redirect_that_does_not_lead_through_the_route_passes_as_it_is() {
    let rig = Rig::new().await;
    let long = format!("Location:  x{}", "/y".repeat(10_000));
    for line in [
        "Location:  v1/x ",
        "Location: ?a=b",
        "Location: ../x",
        "Location: #x",
        "Location:",
        "Location: https://api.openai.test/v1/",
        "Location: http://api.openai.test:8080/v1/",
        "Location: http://user@api.openai.test/v1/",
        "Location: http://login.openai.test/v1/",
        "Location: /../x",
        "Location: /a/..%2f..%2fb",
        "Location: http:/\\api.openai.test/v1",
        "Location: \u{fc}\u{ff}//",
        "Refresh: 5",
        "Refresh: 5; url=x",
        "Link: </v1/x>; rel=next",
        &long,
    ] {
        becomes(&rig, "302 Found", line, line).await;
    }
}

#[tokio::test]
async fn the_dialled_address_and_the_sent_host_name_the_upstream_too() {
    let origin = Origin::plain().await;
    let route = format!(
        "[[route]]\npath = \"/other/\"\nupstream = \"http://{}/base/\"\nhost = \"b.test:81\"\n",
        origin.address()
    );
    let relay = Relay::plain_to(&origin).with(&route).await;
    let rig = Rig { origin, relay };
    let dialled = format!("Location: http://{}/v1/", rig.origin.address());
    becomes(&rig, "307 T", &dialled, "Location: http://a/gpt/v1/").await;
    let get = GET.replace("/gpt/", "/other/");
    for (line, want) in [
        ("http://b.test:81/base/x".to_owned(), "http://a/other/x"),
        (format!("http://{}/base/x", rig.origin.address()), "http://a/other/x"),
        ("/base/".to_owned(), "/other/"),
        ("/base".to_owned(), "/base"),
        ("/bases/x".to_owned(), "/bases/x"),
        ("/base/../x".to_owned(), "/base/../x"),
        ("http://b.test:81/".to_owned(), "http://b.test:81/"),
        ("http://b.test/base/x".to_owned(), "http://b.test/base/x"),
    ] {
        let [sent, want] =
            [line.as_str(), want].map(|it| with("302 F", &format!("Location: {it}")));
        rig.answers(&line, &get, sent, want).await;
    }
}

#[tokio::test]
async fn scheme_and_authority_are_those_of_the_clients_own_request() {
    let rig = Rig::new().await;
    let location = |value: &str| with("302 Found", &format!("Location: {value}"));
    let sent = location("http://api.openai.test/x");
    for (request, want) in [
        ("GET /gpt/x HTTP/1.1\r\nHost: relay.test:8443\r\n", "http://relay.test:8443/gpt/x"),
        ("GET /gpt/x HTTP/1.1\r\nHost: [::1]:80\r\n", "http://[::1]:80/gpt/x"),
        ("GET http://b:81/gpt/x HTTP/1.1\r\nHost: a\r\n", "http://b:81/gpt/x"),
        ("GET /gpt/x HTTP/1.0\r\nConnection: keep-alive\r\n", "/gpt/x"),
    ] {
        println!("case: {request}");
        let mut client = rig.client(format!("{request}\r\n")).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        upstream.send(&sent).await;
        let answer = client.read_head().await;
        assert!(answer.contains(&format!("\r\nLocation: {want}\r\n")), "{answer}");
    }
    let long = format!("GET /gpt/x HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(1000));
    rig.answers("a host too long to repeat", long, &sent, location("/gpt/x")).await;
}

#[tokio::test]
async fn each_redirect_has_the_host_of_its_own_request() {
    let rig = Rig::new().await;
    let mut client = rig.client("").await;
    for host in ["one.test", "two.test:1", "one.test"] {
        client.send(format!("GET /gpt/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        let close = "Connection: close\r\nLocation: http://api.openai.test/";
        upstream.send(with("302 F", close)).await;
        expect_bytes(&mut client, with("302 F", &format!("Location: http://{host}/gpt/"))).await;
    }
}

#[tokio::test]
async fn a_redirect_behind_a_proxy_with_tls_is_https() {
    let rig = Rig::new().await;
    let mut client = rig.client("").await;
    for (line, scheme) in [
        ("X-Forwarded-Proto: https\r\n", "https"),
        ("x-forwarded-proto: HTTPS, http\r\n", "https"),
        ("X-Forwarded-Proto: http, https\r\n", "http"),
        ("X-Forwarded-Proto:\r\n", "http"),
        ("", "http"),
    ] {
        client.send(format!("GET /gpt/x HTTP/1.1\r\nHost: a.test\r\n{line}\r\n")).await;
        let mut upstream = rig.origin.accept().await;
        upstream.read_head().await;
        let close = "Connection: close\r\nLocation: http://api.openai.test/";
        upstream.send(with("302 F", close)).await;
        let want = with("302 F", &format!("Location: {scheme}://a.test/gpt/"));
        expect_bytes(&mut client, want).await;
    }
}

#[tokio::test]
async fn with_tls_on_both_sides_redirects_are_https() {
    let origin = Origin::tls().await;
    let relay = Relay::to(&origin).await;
    let mut client = client::connect_tls(relay.address()).await;
    client.send(GET).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    let line =
        "Location: https://api.openai.test:443/v1/\r\nContent-Location: http://api.openai.test/";
    upstream.send(with("307 T", line)).await;
    let want = "Location: https://a/gpt/v1/\r\nContent-Location: http://api.openai.test/";
    expect_bytes(&mut client, with("307 T", want)).await;
}

#[tokio::test]
async fn a_cookie_of_one_route_stays_out_of_the_others() {
    let rig = Rig::new().await;
    for (line, want) in [
        ("Set-Cookie: a=b; Path=/; HttpOnly", "Set-Cookie: a=b; Path=/gpt/; HttpOnly"),
        ("set-cookie:a=b;path=/v1 ;  Secure", "set-cookie: a=b;path=/gpt/v1 ;  Secure"),
        ("Set-Cookie: a=b; Domain=api.openai.test; Path=/", "Set-Cookie: a=b; Path=/gpt/"),
        ("Set-Cookie: a=b; Domain=.openai.test", "Set-Cookie: a=b"),
        (
            "Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d; Path=/",
            "Set-Cookie: a=b; Path=/gpt/\r\nSet-Cookie: c=d; Path=/gpt/",
        ),
    ] {
        becomes(&rig, "200 OK", line, want).await;
    }
    for line in [
        "Set-Cookie:  a=b ",
        "Set-Cookie: a=b; Domain=other.test",
        "Set-Cookie: __Host-a=b; Secure; Path=/",
    ] {
        becomes(&rig, "200 OK", line, line).await;
    }
}

#[tokio::test]
async fn a_route_may_leave_redirects_and_cookies_as_they_are() {
    let origin = Origin::plain().await;
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"http://api.openai.test/\"\nconnect = \"{}\"\nredirects = \"keep\"",
        origin.address()
    );
    let relay = Relay::start(&toml).await;
    let rig = Rig { origin, relay };
    for line in [
        "Location: http://api.openai.test/v1/",
        "Location:  /v1/",
        "Refresh: 5; url=/v1",
        "Set-Cookie: a=b; Domain=api.openai.test; Path=/",
    ] {
        becomes(&rig, "302 Found", line, line).await;
    }
}

#[tokio::test]
async fn interim_responses_and_switches_are_rewritten_too() {
    let rig = Rig::new().await;
    let last = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Request-Id: i\r\nContent-Length: 0\r\n\r\n";
    let hints = |line: &str| format!("HTTP/1.1 103 Early Hints\r\n{line}\r\n\r\n{last}");
    let (sent, want) = (hints("Set-Cookie: a=b; Path=/"), hints("Set-Cookie: a=b; Path=/gpt/"));
    rig.answers("an interim response", GET, sent, want).await;

    let offer =
        "GET /gpt/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut client = rig.client(offer).await;
    let mut upstream = rig.origin.accept().await;
    upstream.read_head().await;
    let tail = "X-Request-Id: i\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switch = |path: &str| format!("HTTP/1.1 101 S\r\nSet-Cookie: a=b; Path={path}\r\n{tail}");
    upstream.send(switch("/")).await;
    expect_bytes(&mut client, switch("/gpt/")).await;
}
