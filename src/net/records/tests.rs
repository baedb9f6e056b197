//! Records against real peers, which use rustls's other API.

use super::*;
use crate::limits::{SCRATCH_BYTES, TLS_SCRATCH_BYTES};
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::credential_file::Chain;
use crate::tls::server;
use crate::tls::testing::identity;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

/// Ours is one side, the peer the other; bytes that arrive at ours come in parts of `step`.
struct Pair<S> {
    ours: Records<S>,
    peer: Connection,
    step: usize,
    incomplete: Vec<u8>,
    due: Buffer,
    got: Vec<u8>,
}

impl<S: Side> Pair<S> {
    fn new(side: S, peer: Connection, step: usize) -> Self {
        let mut pair = Self {
            ours: Records::new(side),
            peer,
            step,
            incomplete: Vec::new(),
            due: Buffer::default(),
            got: Vec::new(),
        };
        pair.take_in(&[]).unwrap();
        pair
    }

    /// Opens `bytes`, with what was incomplete before.
    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.incomplete.extend_from_slice(bytes);
        let got = &mut self.got;
        let (consumed, opened) = self
            .ours
            .open(&mut self.incomplete, &mut self.due, |content| got.extend_from_slice(content));
        self.incomplete.drain(..consumed);
        opened
    }

    /// Passes bytes both ways until neither side has any.
    fn settle(&mut self) -> Result<(), Error> {
        loop {
            let due = std::mem::take(&mut self.due);
            self.give(&due);
            let mut sent = Vec::new();
            while self.peer.wants_write() {
                self.peer.write_tls(&mut sent).unwrap();
            }
            for part in sent.chunks(self.step) {
                self.take_in(part)?;
            }
            if sent.is_empty() && self.due.is_empty() {
                return Ok(());
            }
        }
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
            let sealed = self.ours.seal(&mut self.incomplete, left, &mut space);
            let (taken, records) = sealed.unwrap();
            let records = records.to_vec();
            self.give(&records);
            IoSlice::advance_slices(&mut left, taken);
        }
    }

    fn close(&mut self) {
        self.ours.close(&mut self.incomplete, &mut self.due).unwrap();
    }
}

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let certificates = Certificates::new(&[identity("server").into()], &[]).into();
    let server = server::config(certificates, None, Alpn::Http, None).unwrap();
    let mut roots = RootCertStore::empty();
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/ca.pem");
    roots.add_parsable_certificates(Chain::read(&ca).unwrap().certificates().iter().cloned());
    let mut client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
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

/// A handshake, an exchange, and both ends, however the peer's bytes arrive.
fn converse<S: Side>(mut pair: Pair<S>) {
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
}

#[test]
fn a_connection_does_not_depend_on_how_its_bytes_arrive() {
    for version in [&TLS12, &TLS13] {
        for step in [1, 2, 3, 7, 1000, usize::MAX] {
            let ends = configs(version);
            converse(server_of(ends.clone(), step));
            converse(client_of(ends.clone(), step));
            // Resumed.
            converse(server_of(ends.clone(), step));
            converse(client_of(ends, step));
        }
    }
}

/// A client that resumes sends its first request with the last message of its handshake.
#[test]
fn a_request_that_comes_with_the_end_of_the_handshake_can_be_answered() {
    for version in [&TLS12, &TLS13] {
        let mut pair = server_of(configs(version), usize::MAX);
        pair.peer.writer().write_all(b"question").unwrap();
        pair.settle().unwrap();
        assert_eq!(pair.got, b"question");
        pair.write(&[b"answer"]);
        assert_eq!(pair.peer_got(), b"answer");
    }
}

#[test]
fn a_write_may_come_while_a_record_is_incomplete_and_answers_a_key_update() {
    let mut pair = client_of(configs(&TLS13), usize::MAX);
    pair.settle().unwrap();
    let mut sent = Vec::new();
    pair.peer.refresh_traffic_keys().unwrap();
    pair.peer.writer().write_all(b"question").unwrap();
    while pair.peer.wants_write() {
        pair.peer.write_tls(&mut sent).unwrap();
    }
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
            let sealed = pair.ours.seal(&mut [], left, &mut space).unwrap();
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
