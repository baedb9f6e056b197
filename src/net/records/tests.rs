//! Records against real peers, which use rustls's other API.

mod completion;
mod limits;

use super::*;
use crate::limits::{RECORD_CONTENT_BYTES_MAX, SCRATCH_BYTES, TLS_SCRATCH_BYTES};
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::credential_file::Chain;
use crate::tls::server;
use crate::tls::testing::identity;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite, SupportedProtocolVersion,
};

/// Ours is one side, the peer the other; bytes that arrive at ours come in parts of `step`.
struct Pair<S: Side> {
    ours: Records<S>,
    /// For content of ours.
    room: usize,
    peer: Connection,
    step: usize,
    incomplete: Vec<u8>,
    due: Buffer,
    got: Vec<u8>,
    /// What each write of ours has sealed.
    sealed: Vec<Vec<u8>>,
}

impl<S: Side> Pair<S> {
    fn new(side: S, peer: Connection, step: usize) -> Self {
        let mut pair = Self {
            ours: Records::new(side),
            room: 64 * 1024,
            peer,
            step,
            incomplete: Vec::new(),
            due: Buffer::default(),
            got: Vec::new(),
            sealed: Vec::new(),
        };
        pair.take_in(&[]).unwrap();
        pair
    }

    fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// Opens `bytes`, with what was incomplete before.
    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.incomplete.extend_from_slice(bytes);
        let mut room = vec![0; self.room];
        let mut content = Content::new(&mut room);
        let (consumed, opened) = self.ours.open(&mut self.incomplete, &mut content, &mut self.due);
        let (filled, excess) = content.into_parts();
        self.got.extend_from_slice(&room[..filled]);
        self.got.extend_from_slice(&excess);
        self.incomplete.drain(..consumed);
        opened
    }

    /// Passes bytes both ways until neither side has any.
    fn settle(&mut self) -> Result<(), Error> {
        loop {
            let due = std::mem::take(&mut self.due);
            self.give(&due);
            let sent = self.peers_bytes();
            for part in sent.chunks(self.step) {
                self.take_in(part)?;
            }
            if sent.is_empty() && self.due.is_empty() {
                return Ok(());
            }
        }
    }

    /// What the peer sends.
    fn peers_bytes(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut sent).unwrap();
        }
        sent
    }

    fn give(&mut self, mut records: &[u8]) {
        while !records.is_empty() {
            self.peer.read_tls(&mut records).unwrap();
            self.peer.process_new_packets().unwrap();
        }
    }

    /// What the peer has got.
    fn peer_got(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        // `WouldBlock` after the last byte.
        let _ = self.peer.reader().read_to_end(&mut got);
        got
    }

    /// Writes `pieces` to the peer, in as many calls as it takes.
    fn write(&mut self, pieces: &[&[u8]]) {
        let mut space = vec![0; TLS_SCRATCH_BYTES];
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let sealed = self.ours.seal(left, &mut space);
            let (taken, records) = sealed.unwrap();
            let records = records.to_vec();
            self.give(&records);
            self.sealed.push(records);
            IoSlice::advance_slices(&mut left, taken);
        }
    }

    fn close(&mut self) {
        self.ours.close(&mut self.due).unwrap();
    }
}

fn configs(version: &'static SupportedProtocolVersion) -> Ends {
    configs_of(*suites().iter().find(|suite| suite.version() == version).unwrap())
}

/// Those that our certificate, one for ECDSA, can be used with.
fn suites() -> Vec<SupportedCipherSuite> {
    let mut suites = default_provider().cipher_suites;
    suites.retain(|suite| !format!("{:?}", suite.suite()).contains("RSA"));
    suites
}

/// With one cipher suite for the client.
fn configs_of(suite: SupportedCipherSuite) -> Ends {
    let certificates = Certificates::new(&[identity("server").into()], &[]).into();
    let server = server::config(certificates, None, Alpn::Http, None).unwrap();
    let mut roots = RootCertStore::empty();
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/ca.pem");
    roots.add_parsable_certificates(Chain::read(&ca).unwrap().certificates().iter().cloned());
    let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
    let mut client = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    client.enable_secret_extraction = true;
    (server, Arc::new(client))
}

type Ends = (Arc<ServerConfig>, Arc<ClientConfig>);

/// We are the server.
fn server_of((server, client): Ends, step: usize) -> Pair<UnbufferedServerConnection> {
    let name = "localhost".try_into().unwrap();
    let peer = ClientConnection::new(client, name).unwrap();
    Pair::new(UnbufferedServerConnection::new(server).unwrap(), peer.into(), step)
}

/// We are the client.
fn client_of((server, client): Ends, step: usize) -> Pair<UnbufferedClientConnection> {
    let name = "localhost".try_into().unwrap();
    let peer = ServerConnection::new(server).unwrap();
    Pair::new(UnbufferedClientConnection::new(client, name).unwrap(), peer.into(), step)
}

/// A handshake, an exchange, and both ends, however the peer's bytes arrive. Returns whether the
/// handshake has resumed a session.
fn converse<S: Side>(mut pair: Pair<S>) -> bool {
    pair.settle().unwrap();
    assert!(!pair.ours.is_handshaking() && !pair.peer.is_handshaking());
    pair.peer.writer().write_all(b"question").unwrap();
    pair.settle().unwrap();
    assert_eq!(pair.got, b"question");
    pair.write(&[b"ans", b"", b"wer"]);
    assert_eq!(pair.peer_got(), b"answer");
    pair.peer.send_close_notify();
    assert!(!pair.ours.is_closed());
    pair.settle().unwrap();
    assert!(pair.ours.is_closed());
    pair.write(&[b"after its end"]);
    assert_eq!(pair.peer_got(), b"after its end");
    pair.close();
    pair.settle().unwrap();
    assert_eq!(pair.peer.reader().read(&mut [0]).unwrap(), 0, "a proper end");
    pair.ours.is_resumed()
}

#[test]
fn a_connection_does_not_depend_on_how_its_bytes_arrive() {
    for suite in suites() {
        for step in [1, 2, 3, 7, 1000, usize::MAX] {
            for room in [0, 5, 10, 64 * 1024] {
                let ends = configs_of(suite);
                assert!(!converse(server_of(ends.clone(), step).with_room(room)));
                // A client's first connection leaves a ticket for both.
                assert!(converse(client_of(ends.clone(), step).with_room(room)));
                assert!(converse(server_of(ends, step).with_room(room)));
            }
        }
    }
}

#[test]
fn content_arrives_whatever_room_there_is() {
    let content: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
    for room in [0, 1, 5_000, 16_384, 16_385, 32_769, 64 * 1024] {
        for version in [&TLS12, &TLS13] {
            let mut pair = server_of(configs(version), usize::MAX).with_room(room);
            pair.settle().unwrap();
            pair.peer.writer().write_all(&content).unwrap();
            pair.settle().unwrap();
            assert!(pair.got == content, "{room}");
        }
    }
}

#[test]
fn a_write_may_come_while_a_record_is_incomplete_and_answers_a_key_update() {
    let mut pair = client_of(configs(&TLS13), usize::MAX);
    pair.settle().unwrap();
    pair.peer.refresh_traffic_keys().unwrap();
    pair.peer.writer().write_all(b"question").unwrap();
    let sent = pair.peers_bytes();
    for part in sent.chunks(1) {
        pair.take_in(part).unwrap();
        pair.write(&[b"a"]);
    }
    assert_eq!(pair.got, b"question");
    assert_eq!(pair.peer_got(), vec![b'a'; sent.len()]);
}

#[test]
fn key_updates_without_content_are_limited() {
    let mut pair = server_of(configs(&TLS13), usize::MAX);
    pair.settle().unwrap();
    let update = |pair: &mut Pair<_>| {
        pair.peer.refresh_traffic_keys().unwrap();
        pair.settle()
    };
    for _ in 0..32 {
        assert_eq!(update(&mut pair), Ok(()));
    }
    pair.peer.writer().write_all(b"content").unwrap();
    for _ in 0..32 {
        assert_eq!(update(&mut pair), Ok(()));
    }
    assert!(matches!(update(&mut pair), Err(Error::PeerMisbehaved(_))));
}

#[test]
fn the_reason_of_an_error_is_sent_as_an_alert() {
    let mut pair = server_of(configs(&TLS13), usize::MAX);
    pair.settle().unwrap();
    pair.peer.writer().write_all(b"good").unwrap();
    let mut sent = Vec::new();
    pair.peer.write_tls(&mut sent).unwrap();
    sent.extend_from_slice(b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse");
    assert_eq!(pair.take_in(&sent), Err(Error::DecryptError));
    assert_eq!(pair.got, b"good");
    let due = std::mem::take(&mut pair.due);
    pair.peer.read_tls(&mut &due[..]).unwrap();
    let alert = Error::AlertReceived(AlertDescription::BadRecordMac);
    assert_eq!(pair.peer.process_new_packets().unwrap_err(), alert);
}

#[test]
fn nothing_follows_our_close_notify_or_an_error() {
    let nonsense = b"\x17\x03\x03\x00\x20nonsense nonsense nonsense nonse";
    for is_closed in [true, false] {
        let mut pair = server_of(configs(&TLS13), usize::MAX);
        pair.settle().unwrap();
        if is_closed {
            pair.close();
        } else {
            assert_eq!(pair.take_in(nonsense), Err(Error::DecryptError));
        }
        let alert = pair.due.len();
        assert!(alert > 0);
        pair.close();
        assert_eq!(pair.take_in(nonsense), Err(Error::DecryptError));
        assert_eq!(pair.ours.seal(&[IoSlice::new(b"x")], &mut [0; 64]), Err(Error::EncryptError));
        assert_eq!(pair.due.len(), alert);
    }
}

#[test]
fn pieces_of_any_size_arrive_in_order_and_fill_the_records() {
    let content: Vec<u8> = (0..200_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
    for cuts in [&[][..], &[5], &[0, 16_384], &[1, 16_383, 16_390], &[40_000, 40_001, 100_000]] {
        let mut pair = server_of(configs(&TLS13), usize::MAX);
        pair.settle().unwrap();
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([content.len()]) {
            pieces.push(&content[start..end]);
            start = end;
        }
        let mut got = Vec::new();
        let mut space = vec![0; TLS_SCRATCH_BYTES];
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let sealed = pair.ours.seal(left, &mut space).unwrap();
            let (taken, records) = (sealed.0, sealed.1.to_vec());
            let all: usize = left.iter().map(|piece| piece.len()).sum();
            assert!(taken == all || taken >= SCRATCH_BYTES, "{taken}");
            IoSlice::advance_slices(&mut left, taken);
            let frames = records.len() - taken;
            assert_eq!(frames, 22 * taken.div_ceil(RECORD_CONTENT_BYTES_MAX), "{cuts:?}");
            for record in records.chunks(RECORD_CONTENT_BYTES_MAX + 22) {
                pair.give(record);
                got.extend(pair.peer_got());
            }
        }
        assert!(got == content, "{cuts:?}");
    }
}
