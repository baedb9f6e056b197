//! The most that one connection can make the relay keep, at the edges of what is allowed.

use super::scene::{HONEST, Scene};
use crate::support::siege::{CONNECTION_KIB, CROWD, Siege, TLS_KIB};
use crate::support::stage::OK_LAST;
use narrows_kit::certificates::{client_config, client_config_offering};
use narrows_kit::client::{connect_plain, connect_tls_with};
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio_rustls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
};

/// While the upstream cannot be reached, all of them wait.
#[tokio::test]
async fn a_large_head_with_a_long_rest_costs_at_most_twice_its_limit() {
    const COUNT: usize = 50;
    let (attacked, honest) = (Origin::tls().await, Origin::plain().await);
    let timeouts = "[timeouts]\nupstream_handshake = \"60s\"\n";
    let scene = Scene::new(Relay::plain_to(&attacked), attacked, honest, timeouts).await;
    let mut head = "POST /gpt/ HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\nX: ".to_owned();
    head += &"x".repeat(64 * 1024 - head.len() - 4);
    head += "\r\n\r\n";
    let (part, last) = head.split_at(head.len() - 1);
    let rest = format!("{last}{}", "x".repeat(64 * 1024));
    let mut crowd = scene.crowd(COUNT, part).await;
    scene.serve_an_honest_client().await;
    for attacker in &mut crowd {
        attacker.send_now(rest.as_bytes()).await;
    }
    scene.serve_an_honest_client().await;
    let each = CONNECTION_KIB + TLS_KIB + 2 * 64;
    scene.assert_growth("heads of 64 KiB with bodies", COUNT * each);
    for _ in 0..COUNT {
        scene.attacked.accept_tcp().await;
    }
    drop(crowd);
}

/// A hello of 65,000 bytes is one that rustls would wait for.
#[tokio::test]
async fn a_hello_that_is_too_long_is_not_waited_for() {
    let scene = Scene::tls("").await;
    let records = records(&handshake_message(1, 65_000));
    for (len, name) in [(38_000, "hellos that are not whole"), (65_000, "hellos of 65 kB")] {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut attacker = connect_plain(scene.relay.address()).await;
            let _closed = attacker.try_send(&records[..len]).await;
            crowd.push(attacker);
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth(name, CROWD * (CONNECTION_KIB + TLS_KIB));
    }
}

/// No real hello is as long today; those with post-quantum key shares come nearest.
#[tokio::test]
async fn a_client_with_a_hello_of_16_kib_is_served() {
    let scene = Scene::tls("").await;
    let long = "x".repeat(250);
    let mut protocols = vec![long.as_str(); 64];
    protocols.push("http/1.1");
    let config = Arc::new(client_config_offering(ALL_VERSIONS, &protocols));
    let mut client = connect_tls_with(&config, "localhost", scene.relay.address()).await.unwrap();
    client.send(HONEST).await;
    let mut upstream = scene.honest.accept().await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
}

/// A TLS message that begins after the handshake, and that rustls would wait for.
#[tokio::test]
async fn a_handshake_message_after_the_handshake_is_not_waited_for() {
    for (len, name) in [(20_000, "a part of a message"), (59_000, "most of a message")] {
        let scene = Scene::tls("").await;
        let address = scene.relay.address();
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let attacking = spawn_blocking(move || send_part_of_a_message(address, len));
            crowd.push(within("an attacker", attacking).await.unwrap());
        }
        scene.serve_an_honest_client().await;
        scene.assert_growth(name, CROWD * (CONNECTION_KIB + TLS_KIB));
    }
}

/// The connection of a client that has shaken hands, and then begun with a message of 60,000 bytes.
fn send_part_of_a_message(address: SocketAddr, len: usize) -> TcpStream {
    let mut config = (*client_config(ALL_VERSIONS)).clone();
    config.enable_secret_extraction = true;
    let mut tls = ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tls.complete_io(&mut tcp).unwrap();
    let suite = tls.negotiated_cipher_suite().unwrap().tls13().unwrap();
    let (mut number, secrets) = tls.dangerous_extract_secrets().unwrap().tx;
    let (ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("a suite of TLS 1.3")
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    for part in handshake_message(4, 60_000)[..len].chunks(16 * 1024) {
        let payload = OutboundChunks::Single(part);
        let (typ, version) = (ContentType::Handshake, ProtocolVersion::TLSv1_2);
        let plain = OutboundPlainMessage { typ, version, payload };
        let record = encrypter.encrypt(plain, number).unwrap().encode();
        number += 1;
        if tcp.write_all(&record).is_err() {
            break;
        }
    }
    tcp
}

/// A message of this type and length, of nothing.
fn handshake_message(kind: u8, len: u32) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&len.to_be_bytes()[1..]);
    message.resize(4 + len as usize, 0);
    message
}

/// The records of a handshake message, before there are keys.
fn records(message: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for part in message.chunks(16 * 1024) {
        records.extend_from_slice(&[0x16, 3, 1]);
        records.extend_from_slice(&(part.len() as u16).to_be_bytes());
        records.extend_from_slice(part);
    }
    records
}
