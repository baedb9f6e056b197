//! Tokens in, keys out: what the upstream sees of a request, byte for byte, and what the client
//! sees of an answer.

use super::bench::{EMPTY, log_of, run, settle, words};
use super::new_route::rule;
use crate::gateway::access::{ApiKeys, Client, Clients, KeyField, RouteAccess};
use crate::net::memory::End;
use std::sync::Arc;

const TOKEN: &str = "nrw_token";
const KEY: &str = "sk-real-key";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// Where a request has its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Field(&'static str),
    Query,
    Subprotocol,
}

const PLACES: [Place; 7] = [
    Place::Field("Authorization"),
    Place::Field("x-api-key"),
    Place::Field("api-key"),
    Place::Field("x-goog-api-key"),
    Place::Field("X-Narrows-Token"),
    Place::Query,
    Place::Subprotocol,
];

const KEY_FIELDS: [Option<KeyField>; 5] = [
    None,
    Some(KeyField::Authorization),
    Some(KeyField::XApiKey),
    Some(KeyField::ApiKey),
    Some(KeyField::XGoogApiKey),
];

/// What is asked, and with which body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http10(&'static str),
    Http11(&'static str),
    WebSocket,
}

const KINDS: [Kind; 6] = [
    Kind::Http10("\r\n"),
    Kind::Http10("Content-Length: 5\r\n\r\nhello"),
    Kind::Http11("\r\n"),
    Kind::Http11("Content-Length: 5\r\n\r\nhello"),
    Kind::Http11("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    Kind::WebSocket,
];

/// What the upstream gets in place of the token.
struct Sent {
    query: String,
    in_place: String,
    behind: String,
}

fn access(key_field: Option<KeyField>) -> RouteAccess {
    let hash = |word: &[u8]| [u8::from(word == TOKEN.as_bytes()); 32];
    let clients = Clients::new([Client::new("alice", Some([1; 32]))].into(), Vec::new(), hash);
    let keys = ApiKeys::new([(1, KEY.as_bytes().to_vec().into())].into()).unwrap();
    RouteAccess {
        clients: Arc::new(clients),
        needs_token: true,
        keys: key_field.map(|_| Arc::new(keys)),
        key_field: key_field.unwrap_or_default(),
        ..RouteAccess::default()
    }
}

fn request(place: Place, kind: Kind) -> String {
    let (query, line) = match place {
        Place::Field("Authorization") => {
            ("?a".into(), format!("Authorization: Bearer {TOKEN}\r\n"))
        }
        Place::Field(name) => ("?a".into(), format!("{name}: {TOKEN}\r\n")),
        Place::Query => (format!("?a&key={TOKEN}&b"), String::new()),
        Place::Subprotocol => ("?a".into(), offer(&format!("realtime, {}", element(TOKEN)))),
    };
    let lines = format!("Host: a\r\nA: 1\r\n{line}B: 2\r\n");
    match kind {
        Kind::Http10(rest) => {
            format!("POST /gpt/v1{query} HTTP/1.0\r\n{lines}Connection: keep-alive\r\n{rest}")
        }
        Kind::Http11(rest) => format!("POST /gpt/v1{query} HTTP/1.1\r\n{lines}{rest}"),
        Kind::WebSocket => format!("GET /gpt/v1{query} HTTP/1.1\r\n{lines}{UPGRADE}\r\n"),
    }
}

fn element(key: &str) -> String {
    format!("openai-insecure-api-key.{key}")
}

fn offer(list: &str) -> String {
    format!("Sec-WebSocket-Protocol: {list}\r\n")
}

/// What has to leave.
fn forwarded(place: Place, key_field: Option<KeyField>, kind: Kind) -> String {
    let Sent { query, in_place, behind } = sent(place, key_field, kind);
    let lines = format!("Host: api.test\r\nA: 1\r\n{in_place}B: 2\r\n");
    match kind {
        Kind::Http10(rest) | Kind::Http11(rest) => {
            let (framing, body) = rest.split_once("\r\n\r\n").unwrap_or(("", ""));
            let framing = if framing.is_empty() { "" } else { &format!("{framing}\r\n") };
            format!("POST /v1{query} HTTP/1.1\r\n{lines}{framing}{behind}\r\n{body}")
        }
        Kind::WebSocket => format!("GET /v1{query} HTTP/1.1\r\n{lines}{behind}{UPGRADE}\r\n"),
    }
}

/// The table.
fn sent(place: Place, key_field: Option<KeyField>, kind: Kind) -> Sent {
    let key = match key_field {
        None => String::new(),
        Some(KeyField::Authorization) => format!("Authorization: Bearer {KEY}\r\n"),
        Some(KeyField::XApiKey) => format!("x-api-key: {KEY}\r\n"),
        Some(KeyField::ApiKey) => format!("api-key: {KEY}\r\n"),
        Some(KeyField::XGoogApiKey) => format!("x-goog-api-key: {KEY}\r\n"),
    };
    let (query, in_place, behind) = match (place, key_field, kind) {
        (Place::Field("X-Narrows-Token"), ..) => ("?a".into(), String::new(), key),
        (Place::Field(_), ..) => ("?a".into(), key, String::new()),
        (Place::Query, Some(KeyField::XGoogApiKey), _) => {
            (format!("?a&key={KEY}&b"), String::new(), String::new())
        }
        (Place::Query, ..) => ("?a&b".into(), String::new(), key),
        (Place::Subprotocol, Some(KeyField::Authorization), Kind::WebSocket) => {
            ("?a".into(), offer(&format!("realtime, {}", element(KEY))), String::new())
        }
        (Place::Subprotocol, ..) => ("?a".into(), offer("realtime"), key),
    };
    Sent { query, in_place, behind }
}

#[test]
fn the_upstream_sees_the_key_in_place_of_the_token_and_nothing_else_is_changed() {
    for place in PLACES {
        for key_field in KEY_FIELDS {
            for kind in KINDS {
                let log = run(async |bench| {
                    rule(bench, access(key_field));
                    let mut client = bench.client();
                    client.send(request(place, kind)).await;
                    let mut upstream = bench.upstream().await;
                    let want = forwarded(place, key_field, kind);
                    assert_eq!(upstream.read().await, want, "{place:?} {key_field:?} {kind:?}");
                    if kind == Kind::WebSocket {
                        return;
                    }
                    upstream.send(EMPTY).await;
                    client.read().await;
                    // On a connection that is at hand, and once more on one that takes its place.
                    client.send(request(place, kind)).await;
                    assert_eq!(upstream.read().await, want, "{place:?} {key_field:?} {kind:?}");
                });
                assert!(log.len() <= 2, "{log:?}");
            }
        }
    }
}

#[test]
fn a_request_that_is_repeated_has_the_key_again() {
    let log = run(async |bench| {
        rule(bench, access(Some(KeyField::XApiKey)));
        let mut client = bench.client();
        let ask =
            format!("GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        client.send(&ask).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        client.read().await;
        client.send(&ask).await;
        upstream.read().await;
        upstream.end(End::Reset);
        let mut upstream = bench.upstream().await;
        let want = format!("GET /v1 HTTP/1.1\r\nHost: api.test\r\nx-api-key: {KEY}\r\n\r\n");
        assert_eq!(upstream.read().await, want);
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"; 2]);
}

#[test]
fn the_client_sees_its_token_where_the_upstream_repeats_the_key() {
    run(async |bench| {
        rule(bench, access(Some(KeyField::Authorization)));
        let mut client = bench.client();
        client.send(request(Place::Subprotocol, Kind::WebSocket)).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        let switch = |key: &str| {
            let chosen = offer(&element(key));
            format!("HTTP/1.1 101 Switching Protocols\r\n{chosen}X-Request-Id: i\r\n{UPGRADE}\r\n")
        };
        upstream.send(switch(KEY)).await;
        assert_eq!(client.read().await, switch(TOKEN));
        client.send("frames").await;
        assert_eq!(upstream.read().await, "frames");
    });
    run(async |bench| {
        rule(bench, access(Some(KeyField::XGoogApiKey)));
        let mut client = bench.client();
        let answer = |path: &str, url: &str, key: &str| {
            format!(
                "HTTP/1.1 302 Found\r\nDate: now\r\nX-Request-Id: i\r\n\
                 Location: {path}?key={key}\r\nX-Goog-Upload-URL: {url}?a=b&key={key}\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        for (place, shown) in [
            (Place::Query, TOKEN),
            (Place::Field("x-goog-api-key"), "REDACTED"),
            (Place::Query, TOKEN),
        ] {
            client.send(request(place, Kind::Http11("\r\n"))).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            upstream.send(answer("/v2", "https://other.test/up", KEY)).await;
            let got = client.read().await;
            assert_eq!(got, answer("/gpt/v2", "https://other.test/up", shown));
            drop(upstream);
            settle().await;
        }
    });
}

/// Python's SDK sends a file to the URL alone, without the field that it began with.
#[test]
fn the_url_for_an_upload_leads_through_the_route_and_has_the_token() {
    let answer = |url: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: i\r\n\
             X-Goog-Upload-URL: {url}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for key_field in KEY_FIELDS {
        for place in PLACES.into_iter().filter(|it| *it != Place::Subprotocol) {
            run(async |bench| {
                rule(bench, access(key_field));
                let mut client = bench.client();
                client.send(request(place, Kind::Http11("\r\n"))).await;
                let mut upstream = bench.upstream().await;
                upstream.read().await;
                let shown = if key_field == Some(KeyField::XGoogApiKey) {
                    upstream.send(answer(&format!("http://api.test/up?key={KEY}&id=1"))).await;
                    format!("http://a/gpt/up?id=1&key={TOKEN}")
                } else {
                    upstream.send(answer("http://api.test/up?id=1")).await;
                    "http://a/gpt/up?id=1".to_owned()
                };
                assert_eq!(client.read().await, answer(&shown), "{key_field:?} {place:?}");
            });
        }
    }
}

#[test]
fn no_credential_in_a_trailer_reaches_the_upstream() {
    run(async |bench| {
        rule(bench, access(Some(KeyField::XApiKey)));
        let mut client = bench.client();
        let names = ["Authorization", "x-api-key", "API-Key", "X-Goog-Api-Key", "X-Narrows-Token"];
        let trailers = names.map(|name| format!("{name}: {TOKEN}\r\n")).concat();
        client
            .send(format!(
                "POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nx-api-key: {TOKEN}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{trailers}X_Api_Key: {TOKEN}\r\n\
                 Sum: 1\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
                element(TOKEN)
            ))
            .await;
        let mut upstream = bench.upstream().await;
        let mut got = upstream.read().await;
        while !got.ends_with("\r\n\r\n") || !got.contains("\r\n0\r\n") {
            got += &upstream.read().await;
        }
        assert!(got.ends_with("\r\n1\r\na\r\n0\r\nSum: 1\r\n\r\n"), "{got}");
    });
}

#[test]
fn a_key_that_comes_back_in_a_trailer_does_not_reach_the_client() {
    for key_field in [None, Some(KeyField::XApiKey)] {
        run(async |bench| {
            rule(bench, access(key_field));
            let mut client = bench.client();
            client.send(request(Place::Field("x-api-key"), Kind::Http11("\r\n"))).await;
            let mut upstream = bench.upstream().await;
            upstream.read().await;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
            upstream.send(format!("{head}0\r\nSum: {KEY}.1\r\n\r\n")).await;
            let mut got = client.read().await;
            while !got.ends_with(".1\r\n\r\n") {
                got += &client.read().await;
            }
            let shown = if key_field.is_some() { "REDACTED" } else { KEY };
            assert!(got.ends_with(&format!("\r\n0\r\nSum: {shown}.1\r\n\r\n")), "{got}");
        });
    }
}

#[test]
fn a_page_may_ask_and_read_where_preflights_are_answered_by_us() {
    let log = run(async |bench| {
        rule(bench, RouteAccess { cors: true, ..access(Some(KeyField::Authorization)) });
        let mut client = bench.client();
        client
            .send(
                "OPTIONS /gpt/v1 HTTP/1.1\r\nHost: a\r\nOrigin: https://page\r\n\
                 Access-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: authorization\r\n\r\n",
            )
            .await;
        let got = client.read().await;
        for part in [
            "HTTP/1.1 204 No Content\r\n",
            "\r\nAccess-Control-Allow-Origin: *\r\n",
            "\r\nAccess-Control-Allow-Methods: *\r\n",
            "\r\nAccess-Control-Allow-Headers: *, Authorization\r\n",
        ] {
            assert!(got.contains(part), "{part}: {got}");
        }
        assert_eq!(bench.dials(), 0);
        let ask = |origin: &str| {
            format!(
                "GET /gpt/v1 HTTP/1.1\r\nHost: a\r\n{origin}Authorization: Bearer {TOKEN}\r\n\r\n"
            )
        };
        client.send(ask("Origin: https://page\r\n")).await;
        let mut upstream = bench.upstream().await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        let got = client.read().await;
        assert_eq!(got.matches("\r\nAccess-Control-Allow-Origin: *\r\n").count(), 1, "{got}");
        client.send(ask("")).await;
        upstream.read().await;
        upstream.send(EMPTY).await;
        assert_eq!(client.read().await, EMPTY);
        client.send(ask("Origin: https://page\r\n")).await;
        upstream.read().await;
        let own = "Access-Control-Allow-Origin: https://page\r\n";
        let said = EMPTY.replace("Content-Length", &format!("{own}Content-Length"));
        upstream.send(&said).await;
        assert_eq!(client.read().await, said);
    });
    assert_eq!(log, ["204 completed", "200 completed", "200 completed", "200 completed"]);
}

#[test]
fn a_refusal_says_what_is_wanted_and_a_page_can_read_it() {
    let log = log_of(async |bench| {
        rule(bench, RouteAccess { websocket: false, ..access(None) });
        let mut client = bench.client();
        client.send("GET /gpt/v1 HTTP/1.1\r\nHost: a\r\nOrigin: https://page\r\n\r\n").await;
        let got = client.read().await;
        assert!(got.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{got}");
        assert!(got.contains("\r\nWWW-Authenticate: Bearer\r\n"), "{got}");
        assert!(got.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{got}");
        client.send(request(Place::Subprotocol, Kind::WebSocket)).await;
        let (got, end) = client.read_to_end().await;
        assert!(got.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{got}");
        assert!(got.contains("\r\nConnection: Upgrade\r\nUpgrade: HTTP/1.1\r\n"), "{got}");
        assert_eq!(end, End::Clean);
        assert_eq!(bench.dials(), 0);
    });
    let told: Vec<_> = log.iter().map(|it| words(it, &["route", "status", "cause"])).collect();
    assert_eq!(told, ["/gpt/ 401 token_missing", "/gpt/ 426 websocket_off"]);
}
