//! Tokens of clients and keys of APIs: what each side sees of them, and that nothing else does.

use super::admin::{ADMIN, admin_address, get};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::relay::Relay;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The token of alice, and its digest.
const TOKEN: &str = "nrw_canaryT0kenOfAliceXXXXXXXXXXXXXXXXXXXXXXXX";
const DIGEST: &str = "59de5fd3bc6c6b9a7ac04485c3a74e05b9a9dcc84ae926b69a069d80ae47925d";
/// No token.
const WRONG: &str = "nrw_canaryOfNobodyXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";
/// The API's keys.
const KEYS: [&str; 2] = ["sk-canary-0123456789-one", "AIza-canary-0123456789-two"];
/// A client's own key.
const OWN: &str = "sk-canary-own-0123456789";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request with `credential` in each place.
fn in_every_place(path: &str, credential: &str) -> Vec<String> {
    let with = |query: &str, lines: &str| {
        format!("GET {path}v1{query} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    vec![
        with("", &format!("Authorization: Bearer {credential}\r\n")),
        with("", &format!("x-api-key: {credential}\r\n")),
        with("", &format!("api-key: {credential}\r\n")),
        with("", &format!("x-goog-api-key: {credential}\r\n")),
        with("", &format!("X-Narrows-Token: {credential}\r\n")),
        with(&format!("?key={credential}"), ""),
        with("", &format!("Sec-WebSocket-Protocol: openai-insecure-api-key.{credential}\r\n")),
    ]
}

async fn relay(origin: &Origin, folder: &Folder) -> Relay {
    let key_files = KEYS.map(|key| {
        let file = folder.write(&format!("{}.keys", &key[..4]), format!("{key}\n"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    });
    let upstream = format!("http://{}/", origin.address());
    let route = |path: &str, more: &str| {
        format!("[[route]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n{more}\n")
    };
    let routes = [
        route("/gpt/", &format!("key_file = \"{}\"", key_files[0])),
        route(
            "/gemini/",
            &format!("key_file = \"{}\"\nkey_field = \"x-goog-api-key\"", key_files[1]),
        ),
        route("/own/", ""),
    ];
    let toml = format!(
        "log = {{ level = \"trace\" }}\n[[listener]]\naddress = \"127.0.0.1:0\"\n{}\
         [[client]]\nname = \"alice\"\ntoken = \"sha256:{DIGEST}\"\n",
        routes.concat()
    );
    Relay::start(&toml).argument(ADMIN).await
}

#[tokio::test]
async fn a_token_and_a_key_are_seen_by_their_own_side_and_by_no_one_else() {
    let (origin, folder) = (Origin::plain().await, Folder::new("secrets"));
    let relay = relay(&origin, &folder).await;
    let (mut up, mut down) = (String::new(), String::new());
    for path in ["/gpt/", "/gemini/", "/own/"] {
        for request in in_every_place(path, TOKEN) {
            let mut client = relay.connect().await;
            client.send(&request).await;
            let mut upstream = origin.accept().await;
            let head = upstream.read_head().await;
            let keys = KEYS.iter().filter(|key| head.contains(**key)).count();
            assert_eq!(keys, usize::from(path != "/own/"), "{request}{head}");
            up += &head;
            // An API that repeats what it was sent, as far as a head can.
            let repeated = KEYS.map(|key| format!("Location: /v2?key={key}\r\n")).concat();
            upstream.send(OK.replace("\r\n\r\n", &format!("\r\n{repeated}\r\n"))).await;
            let (head, body) = client.read_message().await;
            assert_eq!(body, b"ok", "{head}");
            if path != "/own/" {
                down += &head.replace(TOKEN, "");
            }
        }
    }
    assert!(!up.contains(TOKEN), "{up}");
    // Each route hides its own keys.
    let [gpt, gemini] = KEYS.map(|key| down.matches(key).count());
    assert_eq!((gpt, gemini), (7, 7), "{down}");
    nothing_is_told(relay, String::new()).await;
}

#[tokio::test]
async fn no_refusal_and_no_failure_tells_a_credential() {
    let (origin, folder) = (Origin::plain().await, Folder::new("secrets"));
    let relay = relay(&origin, &folder).await;
    let mut told = String::new();
    for path in ["/gpt/", "/own/", "/none/"] {
        for request in in_every_place(path, WRONG) {
            told += &answer(&mut relay.connect().await, &request).await;
        }
    }
    for credential in [TOKEN, WRONG, OWN] {
        for head in [
            format!(
                "GET /gpt/?key={credential} HTTP/1.1\r\nHost: a\nx-api-key: {credential}\r\n\r\n"
            ),
            format!("GET /gpt/ HTTP/1.1\r\nHost: a\r\nx-api-key : {credential}\r\n\r\n"),
            format!("GET /gpt/?key={credential} HTTP/9.9\r\nHost: a\r\n\r\n"),
            format!("GET /gpt/#{credential} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("GET /{credential}/?key={credential} HTTP/1.1\r\nHost: {credential}\r\n\r\n"),
            format!("{credential} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("GET /gpt/ HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", credential.repeat(2000)),
            format!("GET /gpt/ HTTP/1.1\r\nHost: {credential}@\r\n\r\n"),
        ] {
            told += &answer(&mut relay.connect().await, &head).await;
        }
    }
    // What goes wrong on the way: an upstream that leaves, and one that answers nonsense.
    let good = format!("GET /gpt/?key={OWN} HTTP/1.1\r\nHost: a\r\nx-api-key: {TOKEN}\r\n\r\n");
    for nonsense in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nA : sk-canary\r\n\r\n"] {
        let mut client = relay.connect().await;
        client.send(&good).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(nonsense).await;
        upstream.close().await;
        let (head, body) = client.read_message().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        told += &head;
        told += &String::from_utf8(body).unwrap();
    }
    nothing_is_told(relay, told).await;
}

/// The whole answer to a request that is refused.
async fn answer(client: &mut Peer, request: &str) -> String {
    client.send(request).await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 5"), "{head}");
    head + &String::from_utf8(body).unwrap()
}

/// No credential is in `told`, on a page of the admin listener, or in the log, at level `trace`.
async fn nothing_is_told(relay: Relay, mut told: String) {
    let mut probe = connect_plain(admin_address(&relay).await).await;
    for page in ["/status", "/metrics"] {
        told += &get(&mut probe, page).await.1;
    }
    drop(probe);
    let (_, log) = relay.stop().await;
    assert!(log.iter().any(|line| line.contains("narrows::access")), "{log:#?}");
    told += &log.join("\n");
    for secret in [TOKEN, WRONG, OWN, KEYS[0], KEYS[1], DIGEST, "canary", "Canary"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}
