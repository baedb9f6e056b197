//! Alerts, and what follows them (RFC 8446, section 6; RFC 5246, section 7.2).

use super::*;

const CLOSE_NOTIFY: &[u8] = &[1, 0];
const USER_CANCELED: &[u8] = &[1, 90];

#[test]
fn close_notify_is_the_end_and_what_follows_it_is_ignored() {
    let close =
        |level: u8| move |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(ALERT, &[level, 0]));
    // Of either level.
    check(&suites(), BOTH, close(1), closed(b"ok"));
    check(&suites(), BOTH, close(2), closed(b"ok"));
    for rest in [&b"nonsense nonsense"[..], &[0x17, 3, 3, 0, 3, 1, 2, 3], &[0xff; 100]] {
        let and_more = |peer: &mut RawPeer| [close(1)(peer), rest.to_vec()].concat();
        check(&suites(), BOTH, and_more, closed(b"ok"));
    }
    let and_content = |peer: &mut RawPeer| {
        let close = close(1)(peer);
        [close, peer.seal(APPLICATION_DATA, b"late")].concat()
    };
    check(&suites(), BOTH, and_content, closed(b"ok"));
}

#[test]
fn content_flows_on_after_the_peers_close_notify() {
    for suite in suites() {
        for with_client in [true, false] {
            for (mut subject, mut peer) in both(suite, with_client) {
                let mut outcome = Outcome::default();
                let close = peer.seal(ALERT, CLOSE_NOTIFY);
                subject.give(&close, &mut peer, &mut outcome);
                assert_eq!(outcome, closed(b""));
                subject.write(b"more", &mut peer, &mut outcome);
                subject.close(&mut peer, &mut outcome);
                let want = [(APPLICATION_DATA, b"more".to_vec()), (ALERT, CLOSE_NOTIFY.to_vec())];
                assert_eq!(outcome.answers, want);
            }
        }
    }
}

#[test]
fn content_arrives_after_our_own_close_notify() {
    for suite in suites() {
        for with_client in [true, false] {
            for (mut subject, mut peer) in both(suite, with_client) {
                let mut outcome = Outcome::default();
                subject.close(&mut peer, &mut outcome);
                let records = after_ok(&mut peer, |peer| peer.seal(ALERT, CLOSE_NOTIFY));
                subject.give(&records, &mut peer, &mut outcome);
                let answers = vec![(ALERT, CLOSE_NOTIFY.to_vec())];
                assert_eq!(outcome, Outcome { answers, ..closed(b"ok") });
            }
        }
    }
}

/// Nothing goes back, because the peer is gone.
#[test]
fn a_fatal_alert_is_an_error_that_is_not_answered() {
    for alert in [10, 20, 22, 40, 42, 47, 48, 50, 80, 86, 109, 255] {
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(ALERT, &[2, alert]));
        check(&suites(), BOTH, sealed, failed(b"ok", None));
    }
}

#[test]
fn a_warning_alert_is_ignored_in_tls12_and_a_decode_error_in_tls13() {
    for alert in [10, 41, 46, 80, 100, 112, 255] {
        let warned = |peer: &mut RawPeer| {
            let warning = peer.seal(ALERT, &[1, alert]);
            [warning, peer.seal(APPLICATION_DATA, b"ok")].concat()
        };
        check(tls12(), BOTH, warned, arrived(b"ok"));
        check(tls13(), BOTH, warned, failed(b"", Some(AlertDescription::DecodeError)));
    }
}

#[test]
fn at_most_four_warnings_are_ignored() {
    let warned = |alert: u8, count: usize| {
        move |peer: &mut RawPeer| {
            let mut records = Vec::new();
            for _ in 0..count {
                records.extend(peer.seal(ALERT, &[1, alert]));
                records.extend(peer.seal(APPLICATION_DATA, b"x"));
            }
            records
        }
    };
    check(&suites(), BOTH, warned(90, 4), arrived(b"xxxx"));
    check_alerted(&suites(), BOTH, warned(90, 5), unexpected(b"xxxx"));
    check(tls12(), BOTH, warned(100, 4), arrived(b"xxxx"));
    check_alerted(tls12(), BOTH, warned(100, 5), unexpected(b"xxxx"));
}

/// Some implementations send it first.
#[test]
fn user_canceled_may_precede_close_notify() {
    let canceled = |peer: &mut RawPeer| {
        after_ok(peer, |peer| {
            [peer.seal(ALERT, USER_CANCELED), peer.seal(ALERT, CLOSE_NOTIFY)].concat()
        })
    };
    check(&suites(), BOTH, canceled, closed(b"ok"));
    let fatal = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(ALERT, &[2, 90]));
    check(&suites(), BOTH, fatal, failed(b"ok", None));
}

#[test]
fn an_alert_of_another_level_is_an_illegal_parameter() {
    for level in [0, 3, 255] {
        for alert in [0, 10, 90] {
            let sealed =
                |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(ALERT, &[level, alert]));
            check(&suites(), BOTH, sealed, failed(b"ok", Some(AlertDescription::IllegalParameter)));
        }
    }
}

#[test]
fn an_alert_of_another_length_is_a_decode_error() {
    for alert in [&b""[..], &[1], &[1, 0, 0], &[1, 0, 1, 0], &[2, 10, 2, 10]] {
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(ALERT, alert));
        check(&suites(), BOTH, sealed, failed(b"ok", Some(AlertDescription::DecodeError)));
    }
}

#[test]
fn a_plain_alert_after_the_handshake_is_no_alert() {
    for alert in [[1, 0], [2, 40]] {
        let plain = |peer: &mut RawPeer| {
            after_ok(peer, |_| [&header(ALERT, 0x0303, 2)[..], &alert].concat())
        };
        let bad_mac = |content| failed(content, Some(AlertDescription::BadRecordMac));
        check_each(tls13(), BOTH, plain, unexpected(b"ok"), bad_mac(b"ok"));
        check(tls12(), BOTH, plain, bad_mac(b"ok"));
        let at_once = |_: &mut RawPeer| [&header(ALERT, 0x0303, 2)[..], &alert].concat();
        check_each(tls13(), BOTH, at_once, unexpected(b""), bad_mac(b""));
        check(tls12(), BOTH, at_once, bad_mac(b""));
    }
}
