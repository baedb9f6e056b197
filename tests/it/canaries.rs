//! No secret where it does not belong: every place where a client, an API, a file or an error can
//! bring one is given a canary, and everything that others may read is searched for it.
//!
//! `CANARYTOKEN` is in the tokens of clients; `CANARYKEY` in the API's keys; `CANARYCONTENT` in
//! what an upstream may get, but is no one else's business: queries, fields, and credentials that
//! are not ours, such as a token for another relay behind this one.

use crate::admin::{ADMIN, admin_address, get};
use crate::support::stage::OK_LAST;
use aws_lc_rs::digest::{SHA256, digest};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use rustix::process::Signal;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Of a client that may use `/gpt/`, and of one whose time is over.
const TOKEN: &str = "nrw_CANARYTOKENgood0123456789012345678901234567";
const EXPIRED: &str = "nrw_CANARYTOKENlate0123456789012345678901234567";
/// Of no one.
const WRONG: &str = "nrw_CANARYCONTENTbad123456789012345678901234567";
const KEY: &str = "sk-CANARYKEY0123456789";
const SECOND_KEY: &str = "sk-CANARYKEYtwo0123456789";
const VARIABLE_KEY: &str = "sk-CANARYKEYenv0123456789";
const HOST: &str = "Host: a\r\nConnection: close\r\n";
/// A key of the API that a client has itself.
const OWN_KEY: &str = "sk-CANARYCONTENTown0123456789";

fn client(name: &str, token: &str, more: &str) -> String {
    let hex: String =
        digest(&SHA256, token.as_bytes()).as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("[[client]]\nname = \"{name}\"\ntoken = \"sha256:{hex}\"\n{more}")
}

/// Routes with keys from a file and from a variable, and one without.
fn configuration(origin: &Origin, keys: &Path) -> String {
    let route = |path: &str, more: &str| {
        let upstream = format!("upstream = \"http://{}/\"", origin.address());
        format!("[[route]]\npath = \"{path}\"\n{upstream}\n{more}\n")
    };
    [
        "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned(),
        client("alice", TOKEN, "routes = [\"/gpt/\", \"/env/\", \"/own/\"]\n"),
        client("late", EXPIRED, "expires = 2020-01-01\n"),
        route("/gpt/", &format!("key_file = {keys:?}")),
        route("/env/", "key_env = \"NARROWS_TEST_KEY\"\nkey_field = \"x-goog-api-key\""),
        route("/own/", ""),
        route("/other/", ""),
        route("/anyone/", &format!("clients = \"anyone\"\nkey_file = {keys:?}")),
    ]
    .concat()
}

/// The requests: each credential in each place, on each route.
fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    let paths = ["/gpt/", "/env/", "/own/", "/other/", "/anyone/", "/none/"];
    let long = format!("nrw_{}", "CANARYCONTENT".repeat(600));
    for path in paths {
        for secret in [TOKEN, EXPIRED, WRONG, OWN_KEY, &long, ""] {
            let target = format!("{path}v1?CANARYCONTENT=1");
            for (target, fields) in [
                (target.clone(), format!("Authorization: Bearer {secret}\r\n")),
                (target.clone(), format!("authorization: Basic {secret}\r\n")),
                (target.clone(), format!("x-api-key: {secret}\r\n")),
                (target.clone(), format!("api-key: {secret}\r\n")),
                (target.clone(), format!("x-goog-api-key: {secret}\r\n")),
                (target.clone(), format!("X-Narrows-Token: {secret}\r\n")),
                (
                    target.clone(),
                    format!("X-Narrows-Token: {secret}\r\nAuthorization: Bearer {OWN_KEY}\r\n"),
                ),
                (
                    target.clone(),
                    format!("x-api-key: {secret}\r\nAuthorization: Bearer {TOKEN}\r\n"),
                ),
                (format!("{path}v1?key={secret}&CANARYCONTENT=1"), String::new()),
                (
                    target.clone(),
                    format!(
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: \
                         realtime, openai-insecure-api-key.{secret}\r\n"
                    ),
                ),
            ] {
                requests.push(format!(
                    "GET {target} HTTP/1.1\r\n{HOST}X-Any: CANARYCONTENT\r\n{fields}\r\n"
                ));
            }
        }
    }
    // Heads that are malformed, where a secret is part of what is wrong.
    for bad in [
        format!("GET /gpt/{TOKEN} HTTP/9.1\r\nHost: a\r\n\r\n"),
        format!("{TOKEN}\r\n\r\n"),
        format!("GET /gpt/ HTTP/1.1\r\n{HOST}Authorization : Bearer {TOKEN}\r\n\r\n"),
        format!("GET /gpt/ HTTP/1.1\r\nConnection: close\r\nHost: {TOKEN}/\r\n\r\n"),
        format!("GET /gpt/../../{TOKEN} HTTP/1.1\r\n{HOST}\r\n"),
        format!("POST /gpt/ HTTP/1.1\r\n{HOST}Transfer-Encoding: {TOKEN}\r\n\r\n"),
        format!("POST /gpt/ HTTP/1.1\r\n{HOST}Content-Length: {TOKEN}\r\n\r\n"),
        format!("GET /gpt/ HTTP/1.1\r\n{HOST}Expect: {TOKEN}\r\n\r\n"),
        format!("GET /gpt/ HTTP/1.1\r\n{HOST}Authorization: Bearer\r\n {TOKEN}\r\n\r\n"),
    ] {
        requests.push(bad);
    }
    requests
}

/// What the origin has received. Its answers repeat keys, and some of them are malformed.
async fn serve(origin: Arc<Origin>, received: Arc<Mutex<Vec<String>>>) {
    for turn in 0_usize.. {
        let Ok(mut upstream) = origin.try_accept().await else { return };
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            let head = upstream.read_head().await;
            received.lock().unwrap().push(head);
            let answer = match turn % 8 {
                0 => format!("HTTP/1.1 500 {KEY}\r\n\u{1}{KEY}: a\r\n\r\n"),
                1 => format!("{KEY}\r\n\r\n"),
                2 => format!("HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n"),
                3 => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n"),
                4 => String::new(),
                _ => OK_LAST.to_owned(),
            };
            let _gone = upstream.try_send(answer).await;
            upstream.close().await;
        });
    }
}

#[tokio::test]
async fn no_secret_is_shown_at_any_level_of_the_log_nor_anywhere_else() {
    let (origin, folder) = (Arc::new(Origin::plain().await), Folder::new("secrets"));
    let keys = folder.write("api.keys", format!("{KEY}\n{SECOND_KEY}\n"));
    let configured = configuration(&origin, &keys);
    let relay = Relay::start(&configured)
        .argument(ADMIN)
        .argument("--log-level=trace")
        .environment("NARROWS_TEST_KEY", VARIABLE_KEY)
        .await;
    let received = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(serve(Arc::clone(&origin), Arc::clone(&received)));
    let mut own_answers = 0;
    for request in requests() {
        let mut peer = relay.connect().await;
        let _refused = peer.try_send(&request).await;
        let (answer, _end) = peer.read_to_end().await;
        let answer = String::from_utf8_lossy(&answer);
        if answer.contains("\"type\":\"narrows\"") {
            own_answers += 1;
            assert!(!answer.contains("CANARY"), "{request}: {answer}");
        }
    }
    assert!(own_answers > 100, "{own_answers}");
    check_received(&received.lock().unwrap());
    break_files(&relay, &folder, &configured).await;
    let mut probe = connect_plain(admin_address(&relay).await).await;
    for page in ["/metrics", "/status"] {
        let (_, text) = get(&mut probe, page).await;
        assert!(text.contains("alice") && !text.contains("CANARY"), "{text}");
    }
    let log = relay.log_lines();
    assert!(log.len() > 300, "{}", log.len());
    let shown: Vec<_> = log.iter().filter(|it| it.to_uppercase().contains("CANARY")).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// No token has reached the API; its keys have, each by its route; and of what clients have
/// themselves, their keys only where the route has none.
fn check_received(received: &[String]) {
    assert!(received.len() > 50, "{}", received.len());
    for head in received {
        assert!(!head.contains("CANARYTOKEN"), "{head}");
        assert!(!head.contains(SECOND_KEY), "the first is in use: {head}");
        let has_key = head.contains(KEY) || head.contains(VARIABLE_KEY);
        assert!(!has_key || !head.contains(OWN_KEY) && !head.contains("nrw_"), "{head}");
        assert!(head.matches("CANARYKEY").count() <= 1, "{head}");
    }
    for key in [KEY, VARIABLE_KEY, OWN_KEY] {
        assert!(received.iter().any(|head| head.contains(key)), "{key}");
    }
}

/// Reloads with everything in the wrong place.
async fn break_files(relay: &Relay, folder: &Folder, configured: &str) {
    let keys = folder.path.join("api.keys");
    let key_file = format!("key_file = {keys:?}");
    for (number, (text, content)) in [
        (configured.to_owned(), format!("KEY={KEY}\n")),
        (configured.to_owned(), format!("Bearer {KEY}\n")),
        (configured.to_owned(), format!("{KEY}\n{TOKEN}\n")),
        (configured.to_owned(), format!("{{\"{KEY}\": 1}}\n")),
        (configured.replace(&key_file, &format!("key_file = \"{KEY}0123456789\"")), KEY.into()),
        (configured.replace(&key_file, &format!("key_env = \"{KEY}0123456789\"")), KEY.into()),
        (configured.replace(&key_file, &format!("api_key = \"{KEY}0123456789\"")), KEY.into()),
        (configured.replacen("token = \"sha256:", &format!("token = \"{TOKEN}"), 1), KEY.into()),
        (configured.replacen("name = \"alice", &format!("name = \"{TOKEN}"), 1), KEY.into()),
        (format!("# {TOKEN}\n{configured}"), KEY.into()),
        (format!("{TOKEN}\n{configured}"), KEY.into()),
        (format!("{configured}token = {TOKEN}\n"), KEY.into()),
    ]
    .into_iter()
    .enumerate()
    {
        folder.write("api.keys", content);
        relay.configure(&text);
        relay.signal(Signal::HUP);
        relay.wait_for_log_lines("not reloaded; nothing has changed", number + 1).await;
    }
}
