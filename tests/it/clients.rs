//! Clients with tokens: how they get one and lose it, what they may have, and what is said of them.

use crate::admin::{ADMIN, admin_address, get};
use crate::support::rig::expect_own_error;
use crate::support::stage::{CHUNKED, OK};
use narrows_kit::client::connect_plain;
use narrows_kit::folder::Folder;
use narrows_kit::http::field_value;
use narrows_kit::origin::Origin;
use narrows_kit::peer::Peer;
use narrows_kit::programs::narrows;
use narrows_kit::relay::Relay;
use std::fs;
use std::path::Path;
use std::process::Command;

const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";

/// A client as `narrows token` makes it: its token, and its table for the configuration.
pub(super) struct NewClient {
    pub(super) token: String,
    pub(super) table: String,
}

impl NewClient {
    pub(super) fn named(name: &str) -> Self {
        let output = Command::new(narrows()).args(["token", name]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (token, table) = text.split_once("\n\n").unwrap();
        assert!(table.starts_with("[[client]]\n"), "{text}");
        Self { token: token.to_owned(), table: table.to_owned() }
    }

    fn digest(&self) -> &str {
        self.table.split("token = ").nth(1).unwrap().trim().trim_matches('"')
    }

    fn get(&self) -> String {
        format!("GET /gpt/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", self.token)
    }

    /// A new connection that has asked.
    async fn asks(&self, relay: &Relay) -> Peer {
        let mut peer = relay.connect().await;
        peer.send(self.get()).await;
        peer
    }

    /// Asserts that its next request is served. The origin's connection stays.
    async fn is_served(&self, client: &mut Peer, upstream: &mut Peer) {
        client.send(self.get()).await;
        upstream.read_head().await;
        upstream.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok");
    }
}

/// A route to `origin` with a key, and `more` behind it.
fn configuration(origin: &Origin, keys: &Path, more: &str) -> String {
    let upstream = format!("upstream = \"http://{}/\"", origin.address());
    let route = format!("[[route]]\npath = \"/gpt/\"\n{upstream}\nkey_file = {keys:?}\n");
    format!("{LISTENER}{route}{more}")
}

fn key_file() -> (Folder, std::path::PathBuf) {
    let folder = Folder::new("clients");
    let keys = folder.write("openai.keys", "# ours\nsk-0123456789-the-real-one\n");
    (folder, keys)
}

#[tokio::test]
async fn a_client_is_added_serves_itself_and_is_revoked_while_its_stream_goes_on() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let (alice, bob) = (NewClient::named("alice"), NewClient::named("bob \"b\""));
    let relay = Relay::start(&configuration(&origin, &keys, &alice.table)).await;
    let mut refused = bob.asks(&relay).await;
    expect_own_error(&mut refused, 401, "token_unknown").await;

    let both = format!("{}{}", alice.table, bob.table);
    let line = relay.reload(&configuration(&origin, &keys, &both)).await;
    assert!(line.contains("clients: 1 added"), "{line}");
    let mut stream = bob.asks(&relay).await;
    let mut upstream = origin.accept().await;
    let head = upstream.read_head().await;
    assert_eq!(field_value(&head, "authorization"), Some("Bearer sk-0123456789-the-real-one"));
    upstream.send(CHUNKED).await;
    stream.read_head().await;

    let line = relay.reload(&configuration(&origin, &keys, &alice.table)).await;
    assert!(line.contains("clients: 1 removed"), "{line}");
    refused.send(bob.get()).await;
    expect_own_error(&mut refused, 401, "token_unknown").await;
    upstream.send("5\r\nevent\r\n0\r\n\r\n").await;
    assert_eq!(stream.read_chunk().await, b"event");
    assert_eq!(stream.read_chunk().await, b"");
    let line = relay.wait_for_log(" end=\"completed\"").await;
    assert!(line.contains(" client_name=\"bob \\\"b\\\"\" "), "{line}");
    assert!(line.contains(" key=2 "), "{line}");
    stream.send(bob.get()).await;
    expect_own_error(&mut stream, 401, "token_unknown").await;
    let log = relay.log_lines().concat();
    assert!(![&alice.token, &bob.token].into_iter().any(|token| log.contains(token)));
}

#[tokio::test]
async fn requests_above_the_rate_are_refused_and_told_when_to_come_again() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let limited = format!("{}requests_per_minute = 2\n", alice.table);
    let relay = Relay::start(&configuration(&origin, &keys, &limited)).workers(2).await;
    let mut client = alice.asks(&relay).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    // A reload keeps what is counted, and another worker counts the same.
    relay.reload(&configuration(&origin, &keys, &format!("{limited}\n# again\n"))).await;
    alice.is_served(&mut client, &mut upstream).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = alice.asks(&relay).await;
        let head = expect_own_error(&mut other, 429, "client_rate").await;
        let seconds: u32 = field_value(&head, "retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&seconds), "{head}");
        others.push(other);
    }
    let line = relay.wait_for_log(" cause=\"client_rate\"").await;
    assert!(
        line.contains(" client_name=\"alice\" ") && line.contains(" route=\"/gpt/\" "),
        "{line}"
    );
    // The refused connection serves the next request, once the limit is gone.
    relay.reload(&configuration(&origin, &keys, &alice.table)).await;
    alice.is_served(&mut client, &mut upstream).await;
}

#[tokio::test]
async fn a_token_counts_also_where_none_is_needed() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let more = format!("clients = \"anyone\"\n{}requests_per_minute = 1\n", alice.table);
    let relay = Relay::start(&configuration(&origin, &keys, &more)).await;
    let mut client = alice.asks(&relay).await;
    let mut upstream = origin.accept().await;
    let head = upstream.read_head().await;
    assert!(!head.contains(&alice.token) && head.contains("sk-0123456789"), "{head}");
    upstream.send(OK).await;
    client.read_message().await;
    relay.wait_for_log(" client_name=\"alice\" ").await;
    client.send(alice.get()).await;
    expect_own_error(&mut client, 429, "client_rate").await;
    // Without a token, or with one that was revoked, it is anyone's.
    for token in ["", "nrw_revoked"] {
        client.send(alice.get().replace(&alice.token, token)).await;
        let head = upstream.read_head().await;
        assert!(!head.contains("nrw_"), "{head}");
        upstream.send(OK).await;
        assert_eq!(client.read_message().await.1, b"ok");
    }
}

#[tokio::test]
async fn a_client_that_is_refused_although_its_token_is_known_is_named() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let [late, elsewhere, alice] = ["late", "elsewhere", "alice"].map(NewClient::named);
    let tables = format!(
        "{}expires = 2020-01-01\n{}routes = [\"/other/\"]\n{}",
        late.table, elsewhere.table, alice.table
    );
    let other = "[[route]]\npath = \"/other/\"\nupstream = \"http://127.0.0.1:9/\"\n";
    let text = configuration(&origin, &keys, &format!("{other}{tables}"));
    let text = text.replacen("key_file", "websocket = false\nkey_file", 1);
    let relay = Relay::start(&text).argument(ADMIN).await;
    let upgrade =
        alice.get().replace("Host: a", "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade");
    for (client, request, status, code) in [
        (&late, late.get(), 403, "token_expired"),
        (&elsewhere, elsewhere.get(), 403, "token_not_for_route"),
        (&alice, upgrade, 426, "websocket_off"),
    ] {
        let mut peer = relay.connect().await;
        peer.send(request).await;
        expect_own_error(&mut peer, status, code).await;
        let line = relay.wait_for_log(&format!(" cause=\"{code}\"")).await;
        let name = client.table.split('"').nth(1).unwrap();
        assert!(line.contains(&format!(" client_name=\"{name}\" ")), "{line}");
    }
    let (_, metrics) = get(&mut connect_plain(admin_address(&relay).await).await, "/metrics").await;
    assert!(!metrics.contains("route=\"/gpt/\",client=\"\""), "{metrics}");
}

#[tokio::test]
async fn exchanges_above_the_limit_are_refused_until_one_has_ended() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let limited = format!("{}exchanges = 2\n", alice.table);
    let relay =
        Relay::start(&configuration(&origin, &keys, &limited)).workers(1).argument(ADMIN).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut client = alice.asks(&relay).await;
        let mut upstream = origin.accept().await;
        upstream.read_head().await;
        upstream.send(CHUNKED).await;
        client.read_head().await;
        streams.push((client, upstream));
    }
    let mut probe = connect_plain(admin_address(&relay).await).await;
    let (_, status) = get(&mut probe, "/status").await;
    let clients = status.split("\"clients\": ").nth(1).unwrap();
    assert!(
        clients.contains("\"name\": \"alice\"") && clients.contains("\"running\": 2"),
        "{status}"
    );
    let mut third = alice.asks(&relay).await;
    let head = expect_own_error(&mut third, 429, "client_exchanges").await;
    assert_eq!(field_value(&head, "retry-after"), Some("1"));
    // One ends in order, one by a client that leaves; a request that was refused takes no place.
    let (mut client, mut upstream) = streams.pop().unwrap();
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    relay.wait_for_log(" end=\"completed\"").await;
    alice.is_served(&mut third, &mut upstream).await;
    let (client, _upstream) = streams.pop().unwrap();
    client.reset();
    relay.wait_for_log(" end=\"aborted\"").await;
    alice.is_served(&mut third, &mut upstream).await;

    let (_, metrics) = get(&mut probe, "/metrics").await;
    let alice = "narrows_exchanges_total{route=\"/gpt/\",client=\"alice\",status=";
    for series in [
        format!("{alice}\"2xx\",end=\"completed\"}} 3\n"),
        format!("{alice}\"4xx\",end=\"answered\"}} 1\n"),
        "narrows_refused_total{reason=\"client_exchanges\"} 1\n".to_owned(),
    ] {
        assert!(metrics.contains(&series), "no {series} in {metrics}");
    }
    assert!(!metrics.contains("route=\"/gpt/\",client=\"\""), "each is counted once: {metrics}");
}

#[tokio::test]
async fn a_client_that_asks_one_thing_at_a_time_is_never_above_a_limit_of_one() {
    let (origin, (_folder, keys)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let limited = format!("{}exchanges = 1\n", alice.table);
    let relay = Relay::start(&configuration(&origin, &keys, &limited)).workers(2).await;
    tokio::spawn(async move {
        while let Ok(mut upstream) = origin.try_accept().await {
            tokio::spawn(async move {
                loop {
                    upstream.read_head().await;
                    upstream.send(OK).await;
                }
            });
        }
    });
    // Of four connections, both workers have one most of the time.
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(relay.connect().await);
    }
    for number in 0..500 {
        let client = &mut clients[number % 4];
        client.send(alice.get()).await;
        let (head, content) = client.read_message().await;
        assert_eq!(content, b"ok", "request {number}: {head}");
    }
}

#[tokio::test]
async fn a_file_of_tokens_that_loses_all_of_them_lets_no_one_in() {
    let (origin, (folder, keys)) = (Origin::plain().await, key_file());
    let team = NewClient::named("team");
    let file = folder.write("team.tokens", team.digest());
    let table = format!("[[client]]\nname = \"team\"\ntoken_file = {file:?}\n");
    let configured = configuration(&origin, &keys, &table);
    let relay = Relay::start(&configured).await;
    let mut client = team.asks(&relay).await;
    let mut upstream = origin.accept().await;
    upstream.read_head().await;
    upstream.send(OK).await;
    client.read_message().await;
    fs::write(&file, "# revoked\n").unwrap();
    relay.reload(&configured).await;
    client.send(team.get()).await;
    expect_own_error(&mut client, 401, "token_unknown").await;
}

#[tokio::test]
async fn a_key_that_changes_is_used_without_a_signal_and_a_bad_file_changes_nothing() {
    let (origin, (folder, keys)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let relay = Relay::start(&configuration(&origin, &keys, &alice.table)).argument(ADMIN).await;
    let mut client = alice.asks(&relay).await;
    let mut upstream = origin.accept().await;
    let key = async |client: &mut Peer, upstream: &mut Peer| {
        let head = upstream.read_head().await;
        upstream.send(OK).await;
        client.read_message().await;
        field_value(&head, "authorization").unwrap().to_owned()
    };
    assert_eq!(key(&mut client, &mut upstream).await, "Bearer sk-0123456789-the-real-one");
    folder.write("openai.keys", "sk-another-one\n");
    relay.wait_for_log("a file has changed; new requests use what it holds now").await;
    client.send(alice.get()).await;
    assert_eq!(key(&mut client, &mut upstream).await, "Bearer sk-another-one");

    folder.write("openai.keys", "KEY=sk-a-third-one\n");
    let line = relay.wait_for_log("a file has changed and cannot be used").await;
    assert!(line.contains("line 1: this has the form NAME=KEY"), "{line}");
    assert!(line.contains(":8: route.key_file") && !line.contains("third"), "{line}");
    client.send(alice.get()).await;
    assert_eq!(key(&mut client, &mut upstream).await, "Bearer sk-another-one");
    let mut probe = connect_plain(admin_address(&relay).await).await;
    let (_, metrics) = get(&mut probe, "/metrics").await;
    assert!(metrics.contains("\nnarrows_files_unusable 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_bare_name_is_that_of_a_credential_of_systemd_where_there_is_one() {
    let (origin, (folder, _)) = (Origin::plain().await, key_file());
    let alice = NewClient::named("alice");
    let configured = configuration(&origin, Path::new("openai.keys"), &alice.table);
    let credentials = folder.path.to_str().unwrap();
    let relay = Relay::start(&configured).environment("CREDENTIALS_DIRECTORY", credentials).await;
    let _client = alice.asks(&relay).await;
    let head = origin.accept().await.read_head().await;
    assert_eq!(field_value(&head, "authorization"), Some("Bearer sk-0123456789-the-real-one"));
    assert!(!relay.log_lines().concat().contains("has mode"), "systemd sets the mode");
}
