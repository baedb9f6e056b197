//! Headers of records, and types (RFC 8446, section 5.1 and 5.2; RFC 5246, section 6.2.1).

use super::*;

/// It need not arrive.
#[test]
fn a_header_that_announces_too_much_is_an_error_at_once() {
    let announced = |peer: &mut RawPeer| {
        after_ok(peer, |_| header(APPLICATION_DATA, 0x0303, MOST + 2048).to_vec())
    };
    let want = failed(b"ok", Some(AlertDescription::RecordOverflow));
    let of_rustls = failed(b"ok", Some(AlertDescription::DecodeError));
    check_each(&suites(), BOTH, announced, want, of_rustls);
}

/// rustls authenticates the header that there ought to be in TLS 1.3, whatever is there.
#[test]
fn other_versions_in_a_header_are_authenticated_but_not_understood() {
    let record = |version| Record { version, ..Record::of(APPLICATION_DATA, b"hello") };
    let sealed = |version| {
        move |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal_record(&record(version)))
    };
    for version in [0x0300, 0x0301, 0x0302, 0x0304] {
        let bad_mac = failed(b"ok", Some(AlertDescription::BadRecordMac));
        check_each(tls13(), BOTH, sealed(version), arrived(b"okhello"), bad_mac);
        check(tls12(), BOTH, sealed(version), arrived(b"okhello"));
    }
    for version in [0x0203, 0x0403, 0] {
        let want = failed(b"ok", Some(AlertDescription::DecodeError));
        check(&suites(), BOTH, sealed(version), want);
    }
}

#[test]
fn other_types_in_a_header_are_not_content() {
    for outer in [ALERT, HANDSHAKE, 24] {
        let record = Record { outer: Some(outer), ..Record::of(APPLICATION_DATA, b"hello") };
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal_record(&record));
        let bad_mac = failed(b"ok", Some(AlertDescription::BadRecordMac));
        check_each(tls13(), BOTH, sealed, unexpected(b"ok"), bad_mac);
    }
    for outer in [0, 19, 25, 0x80] {
        let record = Record { outer: Some(outer), ..Record::of(APPLICATION_DATA, b"hello") };
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal_record(&record));
        let of_rustls = failed(b"ok", Some(AlertDescription::DecodeError));
        check_each(&suites(), BOTH, sealed, unexpected(b"ok"), of_rustls);
    }
}

#[test]
fn unknown_types_inside_of_a_record_are_unexpected() {
    for kind in [24, 25, 99, 255] {
        let sealed = |peer: &mut RawPeer| after_ok(peer, |peer| peer.seal(kind, b"hello"));
        let of_rustls = failed(b"ok", Some(AlertDescription::DecodeError));
        check_each(tls13(), BOTH, sealed, unexpected(b"ok"), of_rustls);
    }
}

/// A byte of the header that is changed on the way shows, though its meaning does not matter.
#[test]
fn the_version_in_a_header_is_authenticated() {
    for version in [[3, 1], [3, 4]] {
        for (suite, with_client) in suites().into_iter().flat_map(|it| [(it, true), (it, false)]) {
            let changed = |peer: &mut RawPeer| {
                let mut record = peer.seal(APPLICATION_DATA, b"hello");
                record[1..3].copy_from_slice(&version);
                record
            };
            let got = outcome_of(Subject::ours(suite, with_client), changed, usize::MAX);
            assert_eq!(got, failed(b"", Some(AlertDescription::BadRecordMac)), "{suite:?}");
        }
    }
}

#[test]
fn a_record_without_payload_is_a_decode_error_unless_it_is_content() {
    let empty =
        |kind| move |peer: &mut RawPeer| after_ok(peer, |_| header(kind, 0x0303, 0).to_vec());
    let bad_mac = failed(b"ok", Some(AlertDescription::BadRecordMac));
    check(&suites(), BOTH, empty(APPLICATION_DATA), bad_mac);
    for kind in [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE] {
        let want = failed(b"ok", Some(AlertDescription::DecodeError));
        check(&suites(), BOTH, empty(kind), want);
    }
}
