//! Session tickets after the handshake, in TLS 1.3 (RFC 8446, section 4.6.1).

use super::*;
use crate::fuzzing::far_end::our_client;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_rustls::rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, NamedGroup};

#[test]
fn tickets_of_a_server_are_taken_however_they_come() {
    let whole = |peer: &mut RawPeer| {
        let records: Vec<_> =
            (0..3).map(|number| peer.seal(HANDSHAKE, &ticket(number, 100))).collect();
        [records.concat(), peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(tls13(), SERVER, whole, arrived(b"ok"));
    let byte_by_byte = |peer: &mut RawPeer| {
        let message = ticket(1, 100);
        let records: Vec<_> = message.iter().map(|byte| peer.seal(HANDSHAKE, &[*byte])).collect();
        [records.concat(), peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(tls13(), SERVER, byte_by_byte, arrived(b"ok"));
    let in_one = |peer: &mut RawPeer| {
        let messages: Vec<_> = (0..5).map(|number| ticket(number, 100)).collect();
        let record = peer.seal(HANDSHAKE, &messages.concat());
        [record, peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(tls13(), SERVER, in_one, arrived(b"ok"));
    // One and a half, and the rest with another one.
    let across = |peer: &mut RawPeer| {
        let messages = [ticket(1, 100), ticket(2, 100), ticket(3, 100)].concat();
        let (first, rest) = messages.split_at(messages.len() / 2);
        let records = [peer.seal(HANDSHAKE, first), peer.seal(HANDSHAKE, rest)].concat();
        [records, peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(tls13(), SERVER, across, arrived(b"ok"));
}

#[test]
fn a_large_ticket_comes_in_several_records() {
    for len in [20_000, 60_000] {
        let large = |peer: &mut RawPeer| {
            let message = ticket(1, len);
            let records: Vec<_> = message.chunks(MOST).map(|it| peer.seal(HANDSHAKE, it)).collect();
            [records.concat(), peer.seal(APPLICATION_DATA, b"ok")].concat()
        };
        check(&tls13()[..1], SERVER, large, arrived(b"ok"));
    }
}

#[test]
fn many_tickets_are_no_error() {
    let many = |peer: &mut RawPeer| {
        let records: Vec<_> =
            (0..200).map(|number| peer.seal(HANDSHAKE, &ticket(number, 30))).collect();
        [records.concat(), peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(&tls13()[..1], SERVER, many, arrived(b"ok"));
}

#[test]
fn a_ticket_to_a_server_is_unexpected() {
    let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, &ticket(1, 100)));
    check(tls13(), CLIENT, sealed, failed(b"ok", Some(AlertDescription::UnexpectedMessage)));
}

#[test]
fn a_ticket_that_is_none_is_an_error() {
    let whole = ticket(1, 100);
    let body = &whole[4..];
    // The extension early_data.
    let early_data = [0, 42, 0, 4, 0, 0, 0, 0].repeat(2);
    let twice = [&body[..body.len() - 2], &[0, 16], &early_data].concat();
    for (body, alert) in [
        (&body[..body.len() - 1], AlertDescription::DecodeError),
        (&[body, &[0]].concat(), AlertDescription::DecodeError),
        (&[], AlertDescription::DecodeError),
        (&ticket(1, 0)[4..], AlertDescription::DecodeError),
        (&twice, AlertDescription::IllegalParameter),
    ] {
        let len = u8::try_from(body.len()).unwrap();
        let message = [&[4, 0, 0, len][..], body].concat();
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, &message));
        check(tls13(), SERVER, sealed, failed(b"ok", Some(alert)));
    }
}

#[test]
fn each_ticket_is_stored_once_unless_something_is_wrong_with_it() {
    for suite in tls13() {
        let store = Arc::new(Store::default());
        let mut config = ClientConfig::clone(&our_client());
        config.resumption = Resumption::store(Arc::clone(&store) as Arc<dyn ClientSessionStore>);
        let (mut subject, mut peer) = Subject::our_client_with(Arc::new(config), *suite);
        let mut outcome = Outcome::default();
        let mut give = |peer: &mut RawPeer, records: Vec<u8>| {
            subject.give(&records, peer, &mut outcome);
            store.stored.swap(0, Ordering::Relaxed)
        };
        let two = peer.seal(HANDSHAKE, &[ticket(1, 100), ticket(2, 50)].concat());
        assert_eq!(give(&mut peer, two), 2);
        let message = ticket(3, 100);
        let begin = peer.seal(HANDSHAKE, &message[..50]);
        assert_eq!(give(&mut peer, begin), 0);
        let end = peer.seal(HANDSHAKE, &message[50..]);
        assert_eq!(give(&mut peer, end), 1);
        let wrong = [ticket(4, 100), ticket(5, 0)].concat();
        let wrong = peer.seal(HANDSHAKE, &wrong);
        assert_eq!(give(&mut peer, wrong), 1);
        assert_eq!(outcome.end, Some(Ending::Failed));
    }
}

/// Counts tickets.
#[derive(Debug, Default)]
struct Store {
    stored: AtomicUsize,
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// A lifetime, an age, a nonce, a ticket of `len` bytes, no extensions.
fn ticket(number: u8, len: u16) -> Vec<u8> {
    let mut body = vec![0, 0, 0x1c, 0x20, 1, 2, 3, 4, 1, number];
    body.extend(len.to_be_bytes());
    body.resize(body.len() + usize::from(len), number);
    body.extend([0, 0]);
    let [_, lens @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[4][..], &lens, &body].concat()
}
