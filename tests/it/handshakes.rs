//! TLS handshakes that break off: at every byte of what either peer has to say, by an end, an
//! alert or nonsense.

use crate::support::stage::{GET, OK_LAST, Stage, expect_ok};
use narrows_kit::certificates::acceptor;
use narrows_kit::certificates::client_config;
use narrows_kit::client::connect_plain;
use narrows_kit::http::field_value;
use narrows_kit::peer::Peer;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConnection, Connection, ServerConnection, SupportedProtocolVersion,
};

/// How a handshake breaks off.
#[derive(Clone, Copy, Debug)]
enum Break {
    Close,
    Reset,
    /// A fatal alert, in plain text as before the handshake is done.
    Alert,
    /// More bytes than any record has, so that whatever had begun is over.
    Garbage,
}

const BREAKS: [Break; 4] = [Break::Close, Break::Reset, Break::Alert, Break::Garbage];
/// `fatal`, `internal_error` (RFC 8446, section 6).
const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x50";
const GARBAGE_BYTES: usize = 20 * 1024;
/// Around these offsets of a flight each break is tried, elsewhere one after the other.
const HEADER_BYTES: usize = 12;

/// The limit of the handshake would be a minute: no break waits for it.
const PATIENT: &str = "[timeouts]\nhandshake = \"1m\"\nupstream_handshake = \"1m\"\n";

#[tokio::test]
async fn a_client_whose_handshake_breaks_off_anywhere_is_closed_at_once() {
    let stage = Stage::new(true, false, PATIENT).await;
    let descriptors = stage.relay.descriptors();
    for version in [&TLS12, &TLS13] {
        let [first, second] = client_flights(&stage, version).await;
        for (offset, how) in breaks(first, second) {
            let case = format!("{version:?}, {how:?} after {offset} of {first} + {second} bytes");
            println!("case: {case}");
            let mut tls = client(version);
            let mut peer = connect_plain(stage.relay.address()).await;
            if offset < first {
                let part = take_flight(&mut tls, offset);
                peer.send(&part).await;
            } else {
                let flight = take_flight(&mut tls, first);
                peer.send(&flight).await;
                read_flight(&mut tls, &mut peer).await;
                let part = take_flight(&mut tls, offset - first);
                peer.send(&part).await;
            }
            expect_end(peer, how).await;
        }
    }
    stage.relay.wait_for_descriptors(descriptors).await;
    stage.origin.assert_untouched().await;
    let (mut client, mut upstream) = stage.begin(GET).await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
    client.close().await;
    drop(upstream);
    let lines = stage.relay.log_lines();
    assert_eq!(lines.iter().filter(|it| it.contains("ERROR")).count(), 0, "{lines:#?}");
}

/// An alert or an end is no record that a peer has to answer: what matters is that it goes.
async fn expect_end(mut peer: Peer, how: Break) {
    match how {
        Break::Reset => return peer.reset(),
        Break::Close => peer.half_close().await,
        // The relay may be gone before it has all of it.
        Break::Alert => {
            let _gone = peer.try_send(ALERT).await;
            // An alert inside of a record is a part of it, and does not end anything.
            peer.try_half_close().await;
        }
        Break::Garbage => {
            let _gone = peer.try_send([b'g'; GARBAGE_BYTES]).await;
        }
    }
    peer.read_to_end().await;
}

#[tokio::test]
async fn an_upstream_whose_handshake_breaks_off_anywhere_is_a_502() {
    let stage = Stage::new(false, true, PATIENT).await;
    let mut client = stage.relay.connect().await;
    for version in [&TLS12, &TLS13] {
        let flight = server_flight(&stage, &mut client, version).await;
        for (offset, how) in breaks(flight, 0) {
            let case = format!("{version:?}, {how:?} after {offset} of {flight} bytes");
            println!("case: {case}");
            client.send(GET).await;
            let (mut tls, mut upstream) = accept(&stage, version).await;
            let part = take_flight(&mut tls, offset);
            upstream.send(&part).await;
            match how {
                Break::Close => upstream.close().await,
                Break::Reset => upstream.reset(),
                Break::Alert => {
                    let _gone = upstream.try_send(ALERT).await;
                    upstream.close_without_notify();
                }
                Break::Garbage => {
                    let _gone = upstream.try_send([b'g'; GARBAGE_BYTES]).await;
                    expect_502(&mut client, &case).await;
                    continue;
                }
            }
            expect_502(&mut client, &case).await;
        }
    }
    expect_ok(&mut client, &stage.origin).await;
}

async fn expect_502(client: &mut Peer, case: &str) {
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{case}: {head}");
    assert_eq!(field_value(&head, "connection"), None, "{case}");
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("\"code\":\"upstream_tls_failed\""), "{case}: {body}");
}

/// Offsets of two flights, neither of which is ever whole, and how to break off there.
fn breaks(first: usize, second: usize) -> impl Iterator<Item = (usize, Break)> {
    let near_start = move |offset: usize| {
        offset < HEADER_BYTES || (first..first + HEADER_BYTES).contains(&offset)
    };
    (0..first + second).flat_map(move |offset| {
        let only = (!near_start(offset)).then_some(offset % BREAKS.len());
        let ways = BREAKS.into_iter().enumerate();
        ways.filter(move |(way, _)| only.is_none_or(|only| only == *way))
            .map(move |(_, how)| (offset, how))
    })
}

fn client(version: &'static SupportedProtocolVersion) -> Connection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(client_config(&[version]), name).unwrap().into()
}

/// The lengths of what a client has to say in a handshake.
async fn client_flights(stage: &Stage, version: &'static SupportedProtocolVersion) -> [usize; 2] {
    let mut tls = client(version);
    let mut peer = connect_plain(stage.relay.address()).await;
    let first = take_flight(&mut tls, usize::MAX);
    peer.send(&first).await;
    read_flight(&mut tls, &mut peer).await;
    [first.len(), take_flight(&mut tls, usize::MAX).len()]
}

/// A signature by ECDSA may be so much shorter than another, and a flight with it.
const SIGNATURE_VARIES: usize = 8;

/// The least length of the upstream's first flight.
async fn server_flight(
    stage: &Stage,
    client: &mut Peer,
    version: &'static SupportedProtocolVersion,
) -> usize {
    client.send(GET).await;
    let (mut tls, upstream) = accept(stage, version).await;
    upstream.close().await;
    expect_502(client, "the first").await;
    take_flight(&mut tls, usize::MAX).len() - SIGNATURE_VARIES
}

/// The relay's next connection, its `ClientHello` read.
async fn accept(stage: &Stage, version: &'static SupportedProtocolVersion) -> (Connection, Peer) {
    let config = acceptor("server", &[version]);
    let mut tls = ServerConnection::new(Arc::clone(config.config())).unwrap().into();
    let mut upstream = stage.origin.accept_tcp().await;
    read_flight(&mut tls, &mut upstream).await;
    (tls, upstream)
}

/// At most so many bytes of what this end has to say now.
fn take_flight(tls: &mut Connection, most: usize) -> Vec<u8> {
    let mut flight = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut flight).unwrap();
    }
    flight.truncate(most);
    flight
}

/// Reads until this end has something to say.
async fn read_flight(tls: &mut Connection, peer: &mut Peer) {
    while !tls.wants_write() {
        let bytes = peer.read_some().await;
        let mut left = &bytes[..];
        while !left.is_empty() {
            tls.read_tls(&mut left).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
}
