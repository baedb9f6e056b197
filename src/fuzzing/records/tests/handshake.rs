//! Messages of the handshake after it, in TLS 1.3: key updates, and what has no place there (RFC
//! 8446, section 4.6).

use super::*;
use crate::fuzzing::records::raw_peer::{KEY_UPDATE, KEY_UPDATE_REQUESTED};
use crate::limits::CLIENT_MESSAGE_BYTES_MAX;

/// Answers that a key update asks for come with the next write.
const ANSWER: (u8, &[u8]) = (HANDSHAKE, KEY_UPDATE);

#[test]
fn content_goes_on_under_new_keys_after_each_key_update() {
    for message in [KEY_UPDATE, KEY_UPDATE_REQUESTED] {
        let records = |peer: &mut RawPeer| {
            let mut records = peer.seal(APPLICATION_DATA, b"a");
            for content in [b"b", b"c", b"d"] {
                records.extend(peer.update_keys(message));
                records.extend(peer.seal(APPLICATION_DATA, content));
            }
            records
        };
        check(tls13(), BOTH, records, arrived(b"abcd"));
    }
}

#[test]
fn a_key_update_that_is_asked_for_precedes_the_next_write() {
    for end in [false, true] {
        for_both(|subject, peer| {
            let mut outcome = Outcome::default();
            for _ in 0..3 {
                let update = peer.update_keys(KEY_UPDATE_REQUESTED);
                subject.give(&update, peer, &mut outcome);
            }
            assert!(outcome.answers.is_empty(), "it may wait (RFC 8446, section 4.6.3)");
            match end {
                false => subject.write(b"x", peer, &mut outcome),
                true => subject.close(peer, &mut outcome),
            }
            let next = if end { (ALERT, &[1, 0][..]) } else { (APPLICATION_DATA, &b"x"[..]) };
            assert_eq!(outcome.answers, [owned(ANSWER), owned(next)], "one answer for all");
            assert_eq!((outcome.content, outcome.end), (Vec::new(), None));
        });
    }
}

#[test]
fn each_request_of_a_key_update_is_answered_when_writes_come_between() {
    for_both(|subject, peer| {
        let mut outcome = Outcome::default();
        for _ in 0..3 {
            let update = peer.update_keys(KEY_UPDATE_REQUESTED);
            subject.give(&update, peer, &mut outcome);
            subject.write(b"x", peer, &mut outcome);
        }
        subject.write(b"x", peer, &mut outcome);
        let content = owned((APPLICATION_DATA, b"x"));
        let pair = [owned(ANSWER), content.clone()];
        assert_eq!(outcome.answers, [&pair[..], &pair, &pair, &[content]].concat());
    });
}

#[test]
fn a_key_update_that_asks_for_none_is_not_answered() {
    for_both(|subject, peer| {
        let mut outcome = Outcome::default();
        let update = peer.update_keys(KEY_UPDATE);
        subject.give(&update, peer, &mut outcome);
        subject.write(b"x", peer, &mut outcome);
        assert_eq!(outcome.answers, [owned((APPLICATION_DATA, b"x"))]);
    });
}

#[test]
fn an_alert_after_a_request_of_a_key_update_is_sent_under_new_keys() {
    for_both(|subject, peer| {
        let mut outcome = Outcome::default();
        let update = peer.update_keys(KEY_UPDATE_REQUESTED);
        let wrong = peer.seal(HANDSHAKE, &[0, 0, 0, 0]);
        subject.give(&[update, wrong].concat(), peer, &mut outcome);
        let alert = alert_of(AlertDescription::UnexpectedMessage);
        assert_eq!(outcome.answers, [owned(ANSWER), alert]);
    });
}

#[test]
fn at_most_32_key_updates_come_between_content() {
    let updates = |count: usize| {
        move |peer: &mut RawPeer| {
            let mut records = Vec::new();
            for _ in 0..2 {
                for number in 0..count {
                    let message = if number % 2 == 0 { KEY_UPDATE } else { KEY_UPDATE_REQUESTED };
                    records.extend(peer.update_keys(message));
                }
                records.extend(peer.seal(APPLICATION_DATA, b"x"));
            }
            records
        }
    };
    check(tls13(), BOTH, updates(32), arrived(b"xx"));
    for_both(|subject, peer| {
        let mut outcome = Outcome::default();
        let records = updates(33)(peer);
        subject.give(&records, peer, &mut outcome);
        assert_eq!((&*outcome.content, outcome.end), (&b""[..], Some(Ending::Failed)));
    });
}

/// rustls takes any record of application data for content, which would have no end.
#[test]
fn records_without_content_do_not_count_between_key_updates() {
    let updates = |count: usize| {
        move |peer: &mut RawPeer| {
            let mut records = Vec::new();
            for _ in 0..count {
                records.extend(peer.update_keys(KEY_UPDATE));
                records.extend(peer.seal(APPLICATION_DATA, b""));
            }
            records
        }
    };
    check(tls13(), BOTH, updates(32), arrived(b""));
    check_each(tls13(), BOTH, updates(33), unexpected(b""), arrived(b""));
}

#[test]
fn content_under_old_keys_after_a_key_update_is_a_bad_mac() {
    let records = |peer: &mut RawPeer| {
        after_ok(peer, |peer| {
            [peer.seal(HANDSHAKE, KEY_UPDATE), peer.seal(APPLICATION_DATA, b"x")].concat()
        })
    };
    check(tls13(), BOTH, records, failed(b"ok", Some(AlertDescription::BadRecordMac)));
}

#[test]
fn a_key_update_in_pieces_is_one_but_must_end_its_record() {
    let in_pieces = |peer: &mut RawPeer| {
        let [first, second] =
            [&KEY_UPDATE[..2], &KEY_UPDATE[2..4]].map(|it| peer.seal(HANDSHAKE, it));
        let last = peer.update_keys(&KEY_UPDATE[4..]);
        [first, second, last, peer.seal(APPLICATION_DATA, b"ok")].concat()
    };
    check(tls13(), BOTH, in_pieces, arrived(b"ok"));
    let want = failed(b"ok", Some(AlertDescription::UnexpectedMessage));
    for rest in [&KEY_UPDATE[..1], KEY_UPDATE] {
        let not_aligned = |peer: &mut RawPeer| {
            after_ok(peer, |peer| peer.seal(HANDSHAKE, &[KEY_UPDATE, rest].concat()))
        };
        check(tls13(), BOTH, not_aligned, want.clone());
    }
}

#[test]
fn a_key_update_that_is_none_is_refused() {
    for (message, alert) in [
        (&[24, 0, 0, 1, 2][..], AlertDescription::IllegalParameter),
        (&[24, 0, 0, 1, 255], AlertDescription::IllegalParameter),
        (&[24, 0, 0, 0], AlertDescription::DecodeError),
        (&[24, 0, 0, 2, 0, 0], AlertDescription::DecodeError),
    ] {
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, message));
        check(tls13(), BOTH, sealed, failed(b"ok", Some(alert)));
    }
}

#[test]
fn other_messages_of_the_handshake_are_unexpected() {
    // CertificateRequest with an empty context and one extension, to a client that offered no
    // authentication after the handshake (RFC 8446, section 4.6.2); EndOfEarlyData; an
    // unknown one.
    let certificate_request = &[13, 0, 0, 13, 0, 0, 10, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4][..];
    for message in [certificate_request, &[5, 0, 0, 0], &[99, 0, 0, 1, 7]] {
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, message));
        check(tls13(), BOTH, sealed, failed(b"ok", Some(AlertDescription::UnexpectedMessage)));
    }
}

#[test]
fn a_message_may_not_be_interrupted() {
    for kind in [APPLICATION_DATA, ALERT] {
        let content: &[u8] = if kind == ALERT { &[1, 0] } else { b"late" };
        let interrupted = |peer: &mut RawPeer| {
            after_ok(peer, |peer| {
                [peer.seal(HANDSHAKE, &KEY_UPDATE[..3]), peer.seal(kind, content)].concat()
            })
        };
        check_alerted(tls13(), BOTH, interrupted, unexpected(b"ok"));
    }
}

/// An empty one may only begin a message, or rustls would count it twice.
#[test]
fn records_of_the_handshake_without_content_are_bounded() {
    for_both(|subject, peer| {
        let mut outcome = Outcome::default();
        let mut records = peer.seal(APPLICATION_DATA, b"ok");
        for _ in 0..100 {
            records.extend(peer.seal(HANDSHAKE, b""));
        }
        subject.give(&records, peer, &mut outcome);
        assert_eq!((&*outcome.content, outcome.end), (&b"ok"[..], Some(Ending::Failed)));
    });
}

/// RFC 8446, section 5.4.
#[test]
fn a_record_of_the_handshake_without_content_is_unexpected_in_tls_1_3() {
    let empty = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, b""));
    check_each(tls13(), BOTH, empty, unexpected(b"ok"), arrived(b"ok"));
    check(tls12(), BOTH, empty, arrived(b"ok"));
}

#[test]
fn a_message_that_announces_too_much_fails_as_soon_as_it_says_so() {
    for len in [[1, 0, 0], [255, 255, 255]] {
        let message = [&[4][..], &len, &[0; 16]].concat();
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(HANDSHAKE, &message));
        let want = failed(b"ok", Some(AlertDescription::DecodeError));
        check_alerted(&suites(), BOTH, sealed, want);
    }
}

/// rustls waits for the rest.
#[test]
fn a_client_that_sends_much_of_a_message_without_its_end_fails() {
    let pieces = |len: usize| {
        move |peer: &mut RawPeer| {
            let message = [&[1, 0, 0x20, 0][..], &vec![0; len - 4]].concat();
            let pieces = |peer: &mut RawPeer| {
                message.chunks(1000).flat_map(|it| peer.seal(HANDSHAKE, it)).collect()
            };
            after_ok(peer, pieces)
        }
    };
    check(&suites(), BOTH, pieces(CLIENT_MESSAGE_BYTES_MAX), arrived(b"ok"));
    let want = failed(b"ok", Some(AlertDescription::DecodeError));
    let longer = pieces(CLIENT_MESSAGE_BYTES_MAX + 1);
    check_each(&suites(), CLIENT, longer, want, arrived(b"ok"));
    check(&suites(), SERVER, longer, arrived(b"ok"));
}

/// Of each suite of TLS 1.3, on each side, with the relay's TLS and with rustls's.
fn for_both(play: impl Fn(&mut Subject, &mut RawPeer)) {
    for suite in tls13() {
        for with_client in [true, false] {
            for (mut subject, mut peer) in both(*suite, with_client) {
                play(&mut subject, &mut peer);
            }
        }
    }
}

fn owned((kind, content): (u8, &[u8])) -> (u8, Vec<u8>) {
    (kind, content.to_vec())
}
