//! Which requests are let through, and what the upstream gets of them.

use super::*;
use crate::gateway::access::{ApiKeys, Client, ClientRules, Clients, Digest};
use crate::gateway::answer::{Reply, answer_to};
use crate::gateway::plan::{Plan, plan};
use crate::gateway::route::{Route, RouteTable};
use crate::h1::limits::HeadLimits;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::HashSet;
use std::sync::Arc;

const LIMITS: HeadLimits = HeadLimits { bytes: 65536, fields: 256 };
const ANYONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const NOW: u64 = 1000;
/// Tokens: of alice, two of bob, of one whose time is over, of one with another route.
const ALICE: &str = "nrw_alice";
const BOB: [&str; 2] = ["nrw_bob_1", "nrw_bob_2"];
const LATE: &str = "nrw_late";
const ELSEWHERE: &str = "nrw_elsewhere";
const KEY: &str = "sk-real-key";

/// No digest, but as good as one for short words.
fn hash(word: &[u8]) -> Digest {
    let mut digest = [0; 32];
    for (at, byte) in word.iter().enumerate() {
        digest[at % 31] ^= byte.rotate_left((at / 31) as u32);
    }
    digest[31] = word.len() as u8;
    digest
}

fn clients() -> Arc<Clients> {
    let client = |name, token: &str, rules| Client {
        rules: Some(Box::new(rules)),
        ..Client::new(name, Some(hash(token.as_bytes())))
    };
    let until = |end| ClientRules { expires: Some(end), ..ClientRules::default() };
    let paths = Some([b"/other/"[..].into()].into());
    let all = [
        client("alice", ALICE, until(NOW + 1)),
        Client::new("bob", None),
        client("late", LATE, until(NOW)),
        client("elsewhere", ELSEWHERE, ClientRules { routes: paths, ..ClientRules::default() }),
    ];
    let of_bob = BOB.map(|token| (hash(token.as_bytes()), 1)).into();
    Arc::new(Clients::new(all.into(), of_bob, hash))
}

/// A route without keys that needs a token.
fn guarded() -> RouteAccess {
    RouteAccess { clients: clients(), needs_token: true, ..RouteAccess::default() }
}

/// The same with a key.
fn with_key(key_field: KeyField) -> RouteAccess {
    let keys = ApiKeys::new([(1, KEY.as_bytes().to_vec().into())].into()).unwrap();
    RouteAccess { keys: Some(Arc::new(keys)), key_field, ..guarded() }
}

/// What the upstream gets, or the code of our answer.
fn outcome(access: RouteAccess, request: &str) -> Result<String, &'static str> {
    let mut route = Route::new("/a/", "/", "up", ());
    route.access = Some(Arc::new(access));
    let routes = RouteTable::new([route]);
    match plan(request.as_bytes(), b"", &routes, &LIMITS, false, || NOW, ANYONE.into()) {
        Plan::Forward(forwarded) => {
            let mut out = BytesMut::new();
            forwarded.put_head(&mut out);
            Ok(String::from_utf8(out.to_vec()).unwrap())
        }
        Plan::Answer(answer, _) => Err(match answer.reply {
            Reply::Error(error) => answer_to(&error).unwrap().code,
            Reply::Preflight => "preflight",
            Reply::Allowed | Reply::Queued => "other",
        }),
    }
}

/// A GET of `target` with these lines.
#[track_caller]
fn check(
    access: &RouteAccess,
    target: &str,
    lines: &str,
    want: Result<(&str, &str), &'static str>,
) {
    let request = format!("GET /a/{target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let want =
        want.map(|(target, lines)| format!("GET /{target} HTTP/1.1\r\nHost: up\r\n{lines}\r\n"));
    assert_eq!(outcome(access.clone(), &request), want, "{request}");
}

#[test]
fn a_token_is_accepted_in_each_place_and_does_not_leave() {
    let access = guarded();
    for line in [
        format!("Authorization: Bearer {ALICE}\r\n"),
        format!("aUTHORIZATION:\tbearer \t {ALICE}\t \r\n"),
        format!("Authorization: {ALICE}\r\n"),
        format!("X-Narrows-Token: Bearer {ALICE}\r\n"),
        format!("x-api-key: {ALICE}\r\n"),
        format!("X-API-Key:{ALICE}\r\n"),
        format!("api-key: {ALICE}\r\n"),
        format!("x-goog-api-key: {ALICE}\r\n"),
        format!("X-Narrows-Token: {ALICE}\r\n"),
        format!("Sec-WebSocket-Protocol: openai-insecure-api-key.{ALICE}\r\n"),
    ] {
        check(
            &access,
            "v1?a=b",
            &format!("A: 1\r\n{line}B: 2\r\n"),
            Ok(("v1?a=b", "A: 1\r\nB: 2\r\n")),
        );
    }
    for (query, want) in [
        (format!("?key={ALICE}"), ""),
        (format!("?a=b&key={ALICE}&c"), "?a=b&c"),
        ("?a;k%65y=nrw%5Falice;c".to_owned(), "?a;c"),
    ] {
        check(&access, &query, "A: 1\r\n", Ok((want, "A: 1\r\n")));
    }
}

#[test]
fn without_a_token_that_is_known_a_request_is_refused() {
    let access = guarded();
    let long = "x".repeat(8192);
    for lines in ["", "Authorization:\r\n", "Authorization: Bearer\r\nx-api-key: \t\r\n"] {
        check(&access, "", lines, Err("token_missing"));
    }
    check(
        &access,
        "?key&key=&=nrw_alice&Key=nrw_alice",
        "Cookie: key=nrw_alice\r\n",
        Err("token_missing"),
    );
    for lines in [
        "Authorization: Bearer nrw_alic\r\n".to_owned(),
        "Authorization: Bearer NRW_ALICE\r\n".to_owned(),
        format!("Authorization: Basic {ALICE}\r\n"),
        format!("Authorization: Bearer{ALICE}\r\n"),
        format!("Authorization: Bearer Bearer {ALICE}\r\n"),
        format!("Authorization: Bearer {long}\r\n"),
        format!("Authorization: Bearer {ALICE},{ALICE}\r\n"),
        format!("Authorization: Bearer {ALICE}, Bearer {}\r\n", BOB[0]),
        format!("x-api-key: Bearer {ALICE}\r\n"),
        format!("x-api-key: {ALICE}\r\napi-key: {ALICE}\r\nX-Narrows-Token: {ALICE}\r\n"),
        format!("Authorization: Bearer {ALICE}\r\nx-api-key: {}\r\n", BOB[0]),
        format!("x-api-key: {ALICE} x\r\n"),
        format!("Proxy-Authorization: Bearer {ALICE}\r\nx-api-key: x\r\n"),
        format!("X_Narrows_Token: {ALICE}\r\nX_Api_Key: {ALICE}\r\nx-api-key: x\r\n"),
        format!("x-api-key: {}{ALICE}\r\n", "x ".repeat(CREDENTIAL_WORDS_MAX)),
    ] {
        check(&access, "", &lines, Err("token_unknown"));
    }
    for query in ["?key=x", "?key=nrw_alice&key=nrw_bob_1", "?key=nrw_alice,nrw_alice"] {
        check(&access, query, "", Err("token_unknown"));
    }
}

#[test]
fn the_token_of_one_client_may_be_in_two_places_and_leaves_neither() {
    for (query, lines) in [
        ("", format!("Authorization: Bearer {ALICE}\r\nx-api-key: {ALICE}\r\n")),
        ("", format!("X-Narrows-Token: {ALICE}\r\nx-api-key: {ALICE}\r\n")),
        ("", format!("x-api-key: {}\r\nx-api-key: {}\r\n", BOB[0], BOB[1])),
        ("?key=nrw_alice", format!("x-api-key: {ALICE}\r\n")),
        ("?key=nrw_alice&key=nrw_alice", String::new()),
    ] {
        check(&guarded(), query, &lines, Ok(("", "")));
        check(
            &with_key(KeyField::XApiKey),
            query,
            &lines,
            Ok(("", &format!("x-api-key: {KEY}\r\n"))),
        );
    }
}

#[test]
fn a_token_that_is_known_but_not_good_is_refused() {
    let access = guarded();
    check(&access, "", &format!("x-api-key: {LATE}\r\n"), Err("token_expired"));
    check(&access, "", &format!("x-api-key: {ELSEWHERE}\r\n"), Err("token_not_for_route"));
    check(&access, "", &format!("x-api-key: {}\r\n", BOB[1]), Ok(("", "")));
}

#[test]
fn a_clients_own_credential_passes_beside_its_token_where_the_route_has_no_key() {
    let own = "Authorization: Basic eDp5\r\nx-api-key: own\r\n";
    let protocol = "Sec-WebSocket-Protocol: a,openai-insecure-api-key.own\r\n";
    let lines = format!("{own}X-Narrows-Token: {ALICE}\r\n{protocol}");
    check(&guarded(), "?key=own", &lines, Ok(("?key=own", &format!("{own}{protocol}"))));
    let lines = format!("{own}api_key: own\r\nx-goog-api-key: {ALICE}\r\n");
    check(&guarded(), "?key", &lines, Ok(("?key", own)));
}

#[test]
fn a_field_for_our_token_alone_never_leaves() {
    let mut out = BytesMut::new();
    let head = b"GET /a/ HTTP/1.1\r\nHost: a\r\nX-Narrows-Token: a\r\nx_narrows-token: b\r\n\r\n";
    let routes = RouteTable::new([Route::new("/a/", "/", "up", ())]);
    let Plan::Forward(forwarded) = plan(head, b"", &routes, &LIMITS, false, || NOW, ANYONE.into())
    else {
        panic!("to be forwarded");
    };
    forwarded.put_head(&mut out);
    assert_eq!(out, "GET / HTTP/1.1\r\nHost: up\r\n\r\n".as_bytes());
}

#[test]
fn the_key_takes_the_place_of_the_token_under_the_name_of_the_apis_field() {
    for (field, line) in [
        (KeyField::Authorization, "Authorization: Bearer sk-real-key\r\n"),
        (KeyField::XApiKey, "x-api-key: sk-real-key\r\n"),
        (KeyField::ApiKey, "api-key: sk-real-key\r\n"),
        (KeyField::XGoogApiKey, "x-goog-api-key: sk-real-key\r\n"),
    ] {
        let access = with_key(field);
        for token in [
            format!("Authorization: Bearer {ALICE}\r\n"),
            format!("x-api-key: {ALICE}\r\n"),
            format!("api-key: {ALICE}\r\n"),
            format!("x-goog-api-key: {ALICE}\r\n"),
        ] {
            let lines = format!("A: 1\r\n{token}B: 2\r\n");
            let want = format!("A: 1\r\n{}B: 2\r\n", named_as_it_came(&token, line));
            check(&access, "?a&key=own", &lines, Ok(("?a", &want)));
        }
        let behind = format!("A: 1\r\n{line}");
        let lines = format!("A: 1\r\nX-Narrows-Token: {ALICE}\r\n");
        check(&access, "", &lines, Ok(("", &behind)));
        let lines = format!("A: 1\r\nSec-WebSocket-Protocol: openai-insecure-api-key.{ALICE}\r\n");
        check(&access, "", &lines, Ok(("", &behind)));
        if field != KeyField::XGoogApiKey {
            check(&access, &format!("?key={ALICE}"), "A: 1\r\n", Ok(("", &behind)));
        }
    }
}

/// The line of the key under the name of the token's field, if that is the same in another case.
fn named_as_it_came(token: &str, key: &str) -> String {
    let [(name, _), (key_name, value)] = [token, key].map(|it| it.split_once(':').unwrap());
    let name = if name.eq_ignore_ascii_case(key_name) { name } else { key_name };
    format!("{name}:{value}")
}

#[test]
fn the_key_of_a_google_api_takes_the_place_of_the_token_in_the_query() {
    let access = with_key(KeyField::XGoogApiKey);
    let query = format!("?a&k%65y={ALICE}&b");
    check(&access, &query, "A: 1\r\n", Ok(("?a&k%65y=sk-real-key&b", "A: 1\r\n")));
    let query = format!("?key=own&key={ALICE};key");
    check(&access, &query, "x-goog-api-key: own\r\n", Ok(("?key=sk-real-key", "")));
}

#[test]
fn the_key_takes_the_place_of_the_token_among_the_subprotocols_of_a_websocket() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let offer = |key: &str| {
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{key}, beta\r\n")
    };
    let lines = format!("{upgrade}{}", offer(ALICE));
    let want = format!("{}{upgrade}", offer(KEY));
    check(&with_key(KeyField::Authorization), "", &lines, Ok(("", &want)));
    let want = format!("Sec-WebSocket-Protocol: realtime, beta\r\nx-api-key: {KEY}\r\n{upgrade}");
    check(&with_key(KeyField::XApiKey), "", &lines, Ok(("", &want)));
    let nominated = lines.replace("Connection: ", "Connection: sec-websocket-protocol, ");
    let want = format!("Authorization: Bearer {KEY}\r\n{upgrade}");
    check(&with_key(KeyField::Authorization), "", &nominated, Ok(("", &want)));
    let twice = format!("{lines}sec-websocket-protocol: c,openai-insecure-api-key.own\r\n");
    let want = format!("{}sec-websocket-protocol: c\r\n{upgrade}", offer(KEY));
    check(&with_key(KeyField::Authorization), "", &twice, Ok(("", &want)));
}

#[test]
fn a_field_that_connection_nominates_holds_a_token_and_the_key_all_the_same() {
    let lines =
        format!("Connection: authorization, x-api-key\r\nAuthorization: Bearer {ALICE}\r\n");
    let want = format!("Authorization: Bearer {KEY}\r\n");
    check(&with_key(KeyField::Authorization), "", &lines, Ok(("", &want)));
    check(&with_key(KeyField::XApiKey), "", &lines, Ok(("", &format!("x-api-key: {KEY}\r\n"))));
    check(&guarded(), "", &lines, Ok(("", "")));
}

#[test]
fn a_route_for_anyone_puts_its_key_in_place_of_whatever_a_client_sends() {
    for clients in [Arc::default(), clients()] {
        let access = || RouteAccess {
            needs_token: false,
            clients: Arc::clone(&clients),
            ..with_key(KeyField::XApiKey)
        };
        let key = format!("x-api-key: {KEY}\r\n");
        check(&access(), "", "", Ok(("", &key)));
        let lines = "A: 1\r\nX-API-KEY: dummy\r\nAuthorization: Bearer own\r\nx-api-key: b\r\n";
        check(&access(), "?key=own", lines, Ok(("", &format!("A: 1\r\nX-API-KEY: {KEY}\r\n"))));
    }
    let access = RouteAccess { needs_token: false, ..guarded() };
    let lines = format!("x-api-key: own\r\napi-key: {LATE}\r\n");
    check(&access, "", &lines, Ok(("", "x-api-key: own\r\n")));
    check(&access, "", &format!("{lines}Authorization: Bearer {ALICE}\r\n"), Err("token_unknown"));
}

#[test]
fn a_preflight_needs_no_token_and_gets_no_key() {
    let asks = "Origin: https://page\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = |lines: &str| format!("OPTIONS /a/?key=own HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let forwarded = |query: &str, lines: &str| {
        Ok(format!("OPTIONS /{query} HTTP/1.1\r\nHost: up\r\n{lines}\r\n"))
    };
    let asked = preflight(asks);
    assert_eq!(outcome(guarded(), &asked), forwarded("", asks));
    assert_eq!(outcome(with_key(KeyField::XApiKey), &asked), forwarded("", asks));
    let answered = RouteAccess { cors: true, ..with_key(KeyField::XApiKey) };
    assert_eq!(outcome(answered, &asked), Err("preflight"));
    let with_content = preflight(&format!("{asks}Content-Length: 3\r\n"));
    assert_eq!(outcome(guarded(), &with_content), Err("token_unknown"));
    let no_preflight = preflight("Origin: https://page\r\n");
    let answered = RouteAccess { cors: true, ..guarded() };
    assert_eq!(outcome(answered, &no_preflight), Err("token_unknown"));
    let with_token = format!("{asks}x-api-key: {ALICE}\r\nx-api-key: own\r\n");
    assert_eq!(outcome(guarded(), &preflight(&with_token)), forwarded("", asks));
    let free = RouteAccess { needs_token: false, ..guarded() };
    let own = format!("{asks}x-api-key: own\r\nX-HTTP-Method: PUT\r\n");
    assert_eq!(outcome(free, &preflight(&own)), forwarded("?key=own", &own));
}

#[test]
fn a_preflight_on_a_route_that_needs_a_token_has_no_credential_and_no_other_method() {
    let asks = "Origin: https://page\r\nAccess-Control-Request-Method: POST\r\n";
    let credentials = "Authorization: Bearer own\r\nx-api-key: own\r\nx_api_key: own\r\n\
         Cookie: own\r\nX_Auth_Token: own\r\n\
         Sec-WebSocket-Protocol: openai-insecure-api-key.own\r\n";
    let methods = "X-HTTP-Method: POST\r\nX-HTTP-Method-Override: POST\r\n\
         x-method-override: POST\r\nX_HTTP_Method: POST\r\n";
    let lines = format!("{credentials}{asks}{methods}");
    let target = "/a/?key=own&access_token=own";
    let asked = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let want = format!("OPTIONS / HTTP/1.1\r\nHost: up\r\n{asks}\r\n");
    for access in [guarded(), with_key(KeyField::Authorization)] {
        assert_eq!(outcome(access, &asked), Ok(want.clone()));
    }
}

#[test]
fn no_other_credential_passes_on_a_route_with_keys() {
    let own = "Cookie: a=b\r\nxi-api-key: own\r\nOcp-Apim-Subscription-Key: own\r\n\
         X-Auth-Token: own\r\nx_auth_token: own\r\nX-Access-Token: own\r\n\
         X-API-Token: own\r\nx-functions-key: own\r\napikey: own\r\n";
    let method = "X-HTTP-Method-Override: PUT\r\n";
    let lines = format!("{own}{method}x-api-key: {ALICE}\r\n");
    let query = "?a&access_token=own&api_key=own&API%2Dkey=own&subscription-key=own&apikey&b=1";
    let want = format!("{method}x-api-key: {KEY}\r\n");
    check(&with_key(KeyField::XApiKey), query, &lines, Ok(("?a&b=1", &want)));
    check(&guarded(), query, &lines, Ok((query, &format!("{own}{method}"))));
}

#[test]
fn a_route_without_websockets_says_so_to_those_who_may_ask() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let off = RouteAccess { websocket: false, ..guarded() };
    check(&off, "", upgrade, Err("token_missing"));
    let lines = format!("{upgrade}x-api-key: {ALICE}\r\n");
    check(&off, "", &lines, Err("websocket_off"));
    check(&off, "", &format!("x-api-key: {ALICE}\r\n"), Ok(("", "")));
    check(&guarded(), "", &lines, Ok(("", upgrade)));
}

#[test]
fn only_a_token_where_the_key_may_be_repeated_is_remembered() {
    let clients = clients();
    let repeat = |access: &RouteAccess, target: &str, lines: &str| {
        let text = format!("GET /a/{target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let head = RequestHead::parse(text.as_bytes(), &LIMITS).unwrap();
        let valid = crate::gateway::request::validate(&head).unwrap();
        let credentials =
            Credentials::of(&head, valid.query, &valid.request, access, || 0).unwrap();
        String::from_utf8(credentials.token_to_repeat(&head.fields, valid.query).into()).unwrap()
    };
    let google = with_key(KeyField::XGoogApiKey);
    assert_eq!(repeat(&google, "?key=nrw%5Falice", ""), "nrw%5Falice");
    assert_eq!(repeat(&google, "", &format!("api-key: {ALICE}\r\n")), "");
    let offer = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: openai-insecure-api-key.{ALICE}\r\n"
    );
    assert_eq!(repeat(&google, "", &offer), "");
    assert_eq!(repeat(&with_key(KeyField::Authorization), "", &offer), ALICE);
    assert_eq!(repeat(&guarded(), &format!("?key={ALICE}"), ""), "");
    assert_eq!(clients.all().iter().map(|it| &it.name).collect::<HashSet<_>>().len(), 4);
}
