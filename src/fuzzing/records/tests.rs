//! What the relay's TLS does with each record that a peer may send after the handshake, however the
//! bytes are cut. rustls does the same, but sends no alert for some of what is an error.

mod alerts;
mod handshake;
mod header;
mod renegotiation;
mod tickets;

use super::protection::{ALERT, APPLICATION_DATA, HANDSHAKE, Record, header};
use super::raw_peer::RawPeer;
use super::subject::{Ending, Outcome, Subject};
use super::suites::suites;
use std::sync::LazyLock;
use tokio_rustls::rustls::{AlertDescription, SupportedCipherSuite};

const CHANGE_CIPHER_SPEC: u8 = 20;

/// Which side the peer is.
const CLIENT: &[bool] = &[true];
const SERVER: &[bool] = &[false];
const BOTH: &[bool] = &[true, false];

/// The most content of a record (RFC 8446, section 5.1).
const MOST: usize = 1 << 14;

#[test]
fn content_of_each_suite_arrives_in_both_directions() {
    for suite in suites() {
        for with_client in [true, false] {
            for (mut subject, mut peer) in both(suite, with_client) {
                let mut outcome = Outcome::default();
                for len in [0, 1, 1000, MOST] {
                    let record = peer.seal(APPLICATION_DATA, &vec![b'x'; len]);
                    subject.give(&record, &mut peer, &mut outcome);
                }
                assert_eq!(outcome.content.len(), 1 + 1000 + MOST);
                let content: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
                subject.write(&content, &mut peer, &mut outcome);
                subject.close(&mut peer, &mut outcome);
                assert_eq!(outcome.answers.pop(), Some((ALERT, vec![1, 0])));
                assert!(outcome.answers.iter().all(|(kind, _)| *kind == APPLICATION_DATA));
                let got: Vec<u8> = outcome.answers.into_iter().flat_map(|(_, it)| it).collect();
                assert!(got == content, "{suite:?}");
            }
        }
    }
}

#[test]
fn padding_is_no_content() {
    for padding in [0, 1, 255, MOST - 5] {
        let padded = |peer: &mut RawPeer| {
            let record = Record { padding, ..Record::of(APPLICATION_DATA, b"hello") };
            peer.seal_record(&record)
        };
        check(tls13(), BOTH, padded, arrived(b"hello"));
    }
}

#[test]
fn zeros_at_the_end_of_content_are_content() {
    let record = Record { padding: 3, ..Record::of(APPLICATION_DATA, b"a\0\0") };
    check(tls13(), BOTH, |peer| peer.seal_record(&record), arrived(b"a\0\0"));
}

#[test]
fn a_record_of_nothing_but_padding_is_an_error() {
    for padding in [0, 100] {
        let record = Record { padding, ..Record::of(0, b"") };
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal_record(&record));
        check_alerted(tls13(), BOTH, sealed, unexpected(b"ok"));
    }
}

#[test]
fn records_without_content_are_accepted_32_times_in_a_row() {
    let empty = |count: usize| {
        move |peer: &mut RawPeer| {
            let mut records = Vec::new();
            for _ in 0..3 {
                for _ in 0..count {
                    records.extend(peer.seal(APPLICATION_DATA, b""));
                }
                records.extend(peer.seal(APPLICATION_DATA, b"x"));
            }
            records
        }
    };
    check(&suites(), BOTH, empty(32), arrived(b"xxx"));
    check_alerted(&suites(), BOTH, empty(33), unexpected(b""));
}

/// They may be as long as any, so that no one sees when there is content (RFC 8446, section 5.4).
#[test]
fn records_of_padding_alone_are_accepted_as_often() {
    let record = Record { padding: MOST, ..Record::of(APPLICATION_DATA, b"") };
    let padded = |peer: &mut RawPeer| {
        let records = (0..32).flat_map(|_| peer.seal_record(&record)).collect();
        [records, peer.seal(APPLICATION_DATA, b"x")].concat()
    };
    for with_client in [true, false] {
        for subject in both(tls13()[0], with_client) {
            assert_eq!(outcome_of(subject, padded, 5000), arrived(b"x"));
        }
    }
}

#[test]
fn content_that_is_too_long_is_a_record_overflow() {
    let too_long = vec![b'x'; MOST + 1];
    let want = failed(b"ok", Some(AlertDescription::RecordOverflow));
    let records =
        |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(APPLICATION_DATA, &too_long));
    check(&suites(), BOTH, records, want.clone());
    // In TLS 1.3, padding counts.
    let padded = Record { padding: 2, ..Record::of(APPLICATION_DATA, &too_long[2..]) };
    check(tls13(), BOTH, |peer| after_ok(peer, |peer| peer.seal_record(&padded)), want);
    let padded = Record { padding: 1, ..Record::of(APPLICATION_DATA, &too_long[2..]) };
    check(tls13(), BOTH, |peer| peer.seal_record(&padded), arrived(&too_long[2..]));
}

#[test]
fn a_record_of_the_most_length_that_is_not_the_peers_is_a_bad_mac() {
    check(tls13(), BOTH, nonsense(MOST + 256), failed(b"ok", Some(AlertDescription::BadRecordMac)));
    check(
        tls12(),
        BOTH,
        nonsense(MOST + 2047),
        failed(b"ok", Some(AlertDescription::BadRecordMac)),
    );
}

/// RFC 8446, section 5.2.
#[test]
fn a_record_of_tls_1_3_that_only_tls_1_2_would_allow_is_an_overflow() {
    let want = failed(b"ok", Some(AlertDescription::RecordOverflow));
    let of_rustls = failed(b"ok", Some(AlertDescription::BadRecordMac));
    check_each(tls13(), BOTH, nonsense(MOST + 257), want, of_rustls);
}

fn nonsense(len: usize) -> impl Fn(&mut RawPeer) -> Vec<u8> {
    move |peer: &mut RawPeer| {
        let header = header(APPLICATION_DATA, 0x0303, len);
        after_ok(peer, |_| [&header[..], &vec![7; len]].concat())
    }
}

#[test]
fn a_changed_byte_anywhere_in_a_record_is_never_other_content() {
    for at in 0..5 + 8 + 5 + 16 {
        for (suite, with_client) in suites().into_iter().flat_map(|it| [(it, true), (it, false)]) {
            let changed = |peer: &mut RawPeer| {
                let mut record = peer.seal(APPLICATION_DATA, b"hello");
                let at = at.min(record.len() - 1);
                record[at] ^= 0x10;
                // What a longer record lacks.
                [record, vec![0; 0x1000]].concat()
            };
            let got = outcome_of(Subject::ours(suite, with_client), changed, 5000);
            assert_eq!(got.end, Some(Ending::Failed), "{suite:?} {with_client} {at}");
            match at {
                0..5 => assert_eq!(got.content, b"", "{suite:?} {with_client} {at}"),
                5.. => assert_eq!(got, failed(b"", Some(AlertDescription::BadRecordMac)), "{at}"),
            }
        }
    }
}

#[test]
fn a_record_without_room_for_its_tag_is_a_bad_mac() {
    for len in [1, 8, 15, 16, 17, 23] {
        let short = |peer: &mut RawPeer| {
            let header = header(APPLICATION_DATA, 0x0303, len);
            after_ok(peer, |_| [&header[..], &vec![0; len]].concat())
        };
        check(&suites(), BOTH, short, failed(b"ok", Some(AlertDescription::BadRecordMac)));
    }
}

#[test]
fn records_that_come_twice_or_too_late_are_a_bad_mac() {
    let want = failed(b"ok", Some(AlertDescription::BadRecordMac));
    let twice =
        |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(APPLICATION_DATA, b"a").repeat(2));
    let mut once = want.clone();
    once.content.push(b'a');
    check(&suites(), BOTH, twice, once);
    let swapped = |peer: &mut RawPeer| {
        let first = peer.seal(APPLICATION_DATA, b"ok");
        let (second, third) =
            (peer.seal(APPLICATION_DATA, b"b"), peer.seal(APPLICATION_DATA, b"c"));
        [first, third, second].concat()
    };
    check(&suites(), BOTH, swapped, want);
}

#[test]
fn change_cipher_spec_after_the_handshake_is_unexpected() {
    let plain = |peer: &mut RawPeer| {
        let header = header(CHANGE_CIPHER_SPEC, 0x0303, 1);
        after_ok(peer, |_| [&header[..], &[1]].concat())
    };
    check(&suites(), BOTH, plain, unexpected(b"ok"));
    let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(CHANGE_CIPHER_SPEC, &[1]));
    check(tls13(), BOTH, sealed, unexpected(b"ok"));
    let of_rustls = failed(b"ok", Some(AlertDescription::DecodeError));
    check_each(tls12(), BOTH, sealed, unexpected(b"ok"), of_rustls);
}

/// The explicit nonce is the peer's choice (RFC 5288, section 3).
#[test]
fn explicit_nonces_may_come_in_any_order() {
    let records = |peer: &mut RawPeer| {
        let nonces: [u64; 4] = [7, 3, u64::MAX, 0];
        let sealed = nonces.map(|nonce| {
            let explicit_nonce = Some(nonce.to_be_bytes());
            peer.seal_record(&Record { explicit_nonce, ..Record::of(APPLICATION_DATA, b"x") })
        });
        sealed.concat()
    };
    check(&tls12()[..2], BOTH, records, arrived(b"xxxx"));
}

#[test]
fn a_fin_alone_is_a_truncation() {
    for suite in suites() {
        for with_client in [true, false] {
            let (mut subject, mut peer) = Subject::ours(suite, with_client);
            let mut outcome = Outcome::default();
            let record = peer.seal(APPLICATION_DATA, b"hello");
            subject.give(&record[..record.len() - 1], &mut peer, &mut outcome);
            subject.end(&mut outcome);
            assert_eq!(outcome.end, Some(Ending::Truncated), "{suite:?}");
            assert!(outcome.content.is_empty() && outcome.answers.is_empty());
        }
    }
}

static SUITES: LazyLock<[SupportedCipherSuite; 6]> = LazyLock::new(suites);

fn tls13() -> &'static [SupportedCipherSuite] {
    &SUITES[..3]
}

fn tls12() -> &'static [SupportedCipherSuite] {
    &SUITES[3..]
}

/// The relay's TLS and rustls's, each with a peer.
fn both(suite: SupportedCipherSuite, with_client: bool) -> [(Subject, RawPeer); 2] {
    [Subject::ours(suite, with_client), Subject::rustls(suite, with_client)]
}

/// Content arrived, and nothing came back.
fn arrived(content: &[u8]) -> Outcome {
    Outcome { content: content.to_vec(), ..Outcome::default() }
}

/// Content arrived, and after it an end by close_notify.
fn closed(content: &[u8]) -> Outcome {
    Outcome { end: Some(Ending::Closed), ..arrived(content) }
}

/// Content arrived, and an error after it, with an alert or without.
fn failed(content: &[u8], alert: Option<AlertDescription>) -> Outcome {
    let answers = alert.map(alert_of).into_iter().collect();
    Outcome { end: Some(Ending::Failed), answers, ..arrived(content) }
}

/// Content arrived, and after it what must not come.
fn unexpected(content: &[u8]) -> Outcome {
    failed(content, Some(AlertDescription::UnexpectedMessage))
}

/// A fatal alert.
fn alert_of(alert: AlertDescription) -> (u8, Vec<u8>) {
    (ALERT, vec![2, u8::from(alert)])
}

/// A record that is in order, and others.
fn after_ok(peer: &mut RawPeer, others: impl Fn(&mut RawPeer) -> Vec<u8>) -> Vec<u8> {
    [peer.seal(APPLICATION_DATA, b"ok"), others(peer)].concat()
}

/// What comes of the records, which arrive in parts of `step` bytes.
fn outcome_of(
    (mut subject, mut peer): (Subject, RawPeer),
    records: impl Fn(&mut RawPeer) -> Vec<u8>,
    step: usize,
) -> Outcome {
    let mut outcome = Outcome::default();
    for part in records(&mut peer).chunks(step) {
        subject.give(part, &mut peer, &mut outcome);
    }
    outcome
}

/// Checks what comes of the records of a peer of each suite on each side, in whole and in parts.
#[track_caller]
fn check(
    suites: &[SupportedCipherSuite],
    sides: &[bool],
    records: impl Fn(&mut RawPeer) -> Vec<u8>,
    want: Outcome,
) {
    check_each(suites, sides, records, want.clone(), want);
}

/// The same, where rustls sends no alert before it gives up.
#[track_caller]
fn check_alerted(
    suites: &[SupportedCipherSuite],
    sides: &[bool],
    records: impl Fn(&mut RawPeer) -> Vec<u8>,
    want: Outcome,
) {
    let mut silent = want.clone();
    silent.answers.pop();
    check_each(suites, sides, records, want, silent);
}

/// The same, where rustls does something else.
#[track_caller]
fn check_each(
    suites: &[SupportedCipherSuite],
    sides: &[bool],
    records: impl Fn(&mut RawPeer) -> Vec<u8>,
    want: Outcome,
    of_rustls: Outcome,
) {
    for suite in suites {
        for with_client in sides {
            let who = format!("{:?}, a peer as client: {with_client}", suite.suite());
            for step in [usize::MAX, 1000, 7, 1] {
                let got = outcome_of(Subject::ours(*suite, *with_client), &records, step);
                assert_eq!(got, want, "{who}, in parts of {step}");
            }
            let got = outcome_of(Subject::rustls(*suite, *with_client), &records, usize::MAX);
            assert_eq!(got, of_rustls, "rustls; {who}");
        }
    }
}
