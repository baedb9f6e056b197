//! Hellos that rustls writes, and hellos made by hand. The oracle is rustls's `Acceptor`.

mod build;

use super::*;
use crate::fuzzing::{self, name_that_rustls_accepts};
use build::{
    ALPN, FIXED, KEY_SHARE, client, entry, hello, list16, message, named, offered, records,
};
use std::sync::Arc;
use tokio_rustls::rustls::client::{EchGreaseConfig, EchMode};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

#[test]
fn the_hellos_of_a_real_client_give_their_name_whatever_protocols_it_offers() {
    check_client(client(&[&TLS13]), "under_score.example", Some("under_score.example"), &[]);
    check_client(client(&[&TLS12, &TLS13]), "dot.b.", Some("dot.b"), &["acme-tls/1", "h2"]);
    let old = client(&[&TLS12]);
    check_client(old.clone(), "api.Example.com", Some("api.example.com"), &["h2", "http/1.1"]);
    check_client(old.clone(), "192.0.2.1", None, &[]);
    check_client(old.clone(), "2001:db8::1", None, &[]);
    let mut nameless = old;
    nameless.enable_sni = false;
    check_client(nameless, "a.example", None, &["acme-tls/1"]);
    check_client(client(&[&TLS13]), "a.b", Some("a.b"), &["acme-tls/1"]);
}

#[test]
fn the_outer_hello_of_ech_gives_the_public_name() {
    let suite = aws_lc_rs::hpke::ALL_SUPPORTED_SUITES[0];
    let (key, _) = suite.generate_key_pair().unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_ech(EchMode::Grease(EchGreaseConfig::new(suite, key)))
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    check_client(config, "public.example", Some("public.example"), &[]);
    let outer = [(0xfe0d, vec![0; 250]), named("public.example")];
    check_hello(&hello(&outer), name("public.example"));
}

#[test]
fn a_hello_without_extensions_has_no_name() {
    check_hello(&message(&[FIXED, b"\0\0"].concat()), Ok(ClientHello::default()));
    check_hello(&message(FIXED), Ok(ClientHello::default()));
    // Resumed, with other suites and methods.
    let long = [&[3, 1], &[9; 32][..], &[32], &[8; 32], b"\0\x04\0\x2f\0\x35\x02\x01\0"].concat();
    check_hello(&message(&long), Ok(ClientHello::default()));
}

#[test]
fn grease_and_unknown_extensions_are_skipped_anywhere() {
    let grease = |kind: u16| (kind, vec![0]);
    let extensions = [grease(0x0a0a), named("a.example"), (0xfafa, vec![]), grease(0x0a0a)];
    check_hello(&hello(&extensions[..3]), name("a.example"));
    // The same one twice is for the server to refuse, as long as it is not read here.
    check_hello(&hello(&extensions), name("a.example"));
    check_hello(&hello(&[(0xffff, vec![7; 300]), named("a.example")]), name("a.example"));
}

#[test]
fn a_key_share_of_16_kib_gives_the_same_name() {
    for extensions in [
        [named("a.example"), (KEY_SHARE, vec![7; 16 * 1024])],
        [(KEY_SHARE, vec![7; 16 * 1024]), named("a.example")],
    ] {
        check_hello(&hello(&extensions), name("a.example"));
    }
}

#[test]
fn names_are_given_in_lower_case_and_without_a_final_dot() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), 253);
    for (sent, want) in [
        ("LOCALHOST", "localhost"),
        ("a-b.c_d.xn--bcher-kva.example", "a-b.c_d.xn--bcher-kva.example"),
        ("_dmarc._x.1.2.a", "_dmarc._x.1.2.a"),
        ("a.example.", "a.example"),
        ("0xg", "0xg"),
        (&longest, &longest),
        (&format!("{longest}."), &longest),
    ] {
        check_hello(&hello(&[named(sent)]), name(want));
    }
}

#[test]
fn an_ip_address_is_neither_a_name_nor_an_error() {
    for address in ["192.0.2.1", "::1", "2001:db8::1", "::ffff:192.0.2.1"] {
        check_hello(&hello(&[named(address)]), Ok(ClientHello::default()));
    }
}

#[test]
fn what_is_neither_a_name_nor_an_address_is_refused() {
    let long_label = "a".repeat(64);
    let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(62));
    for wrong in [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        "-a",
        "a-",
        "a.-b",
        "a-.b",
        "-",
        "a b",
        "a\0",
        "a/b",
        "*.a",
        "a:443",
        "[::1]",
        "b\u{fc}cher",
        "1",
        "a.1",
        "127.1",
        "1.2.3.4.",
        "0x7f",
        "a.0x",
        "256.1.1.1",
        &long_label,
        &long,
    ] {
        check_hello(&hello(&[named(wrong)]), Err(HelloError::BadHostName));
    }
    check_hello(&hello(&[(SERVER_NAME, list16(&entry(b"a\xff")))]), Err(HelloError::BadHostName));
}

#[test]
fn a_list_of_names_begins_with_its_only_host_name() {
    let list = |entries: &[u8]| hello(&[(SERVER_NAME, list16(entries))]);
    let (a, b, other) = (entry(b"a"), entry(b"b"), b"\x01\0\x01b");
    check_hello(&list(&[&a[..], &b].concat()), Err(HelloError::RepeatedHostName));
    check_hello(&list(&[&a[..], &a].concat()), Err(HelloError::RepeatedHostName));
    check_hello(&list(&[]), Err(HelloError::NoHostName));
    check_hello(&list(other), Err(HelloError::NoHostName));
    check_hello(&list(&[&other[..], &a].concat()), Err(HelloError::NoHostName));
    check_hello(&list(&[&a[..], other].concat()), name("a"));
    check_hello(&list(b"\0"), Err(HelloError::BadLength));
    check_hello(&list(b"\0\0\x02a"), Err(HelloError::BadLength));
    check_hello(&list(&[&a[..], b"\0\0\x02a"].concat()), Err(HelloError::BadLength));
    for data in [&b""[..], b"\0", b"\0\x05\0\0\x01a", b"\0\x04\0\0\x01a\0"] {
        check_hello(&hello(&[(SERVER_NAME, data.to_vec())]), Err(HelloError::BadLength));
    }
}

#[test]
fn a_malformed_list_of_protocols_is_left_to_the_server_that_terminates_tls() {
    for data in [&b""[..], b"\0\0", b"\0\x01\0", b"\0\x04\x02h2\0", b"\0\x03\x03h2"] {
        check_hello(&hello(&[(ALPN, data.to_vec()), named("a.example")]), name("a.example"));
    }
}

#[test]
fn a_repeated_server_name_extension_is_refused() {
    let repeated = Err(HelloError::RepeatedExtension);
    check_hello(&hello(&[named("a"), named("a")]), repeated.clone());
    check_hello(&hello(&[named("192.0.2.1"), named("a")]), repeated);
    check_hello(&hello(&[offered(&["h2"]), named("a"), offered(&["h2"])]), name("a"));
}

#[test]
fn lengths_agree_to_the_last_byte() {
    let sound = hello(&[named("a.example"), offered(&["h2"])]);
    for end in MESSAGE_HEAD_BYTES..sound.len() {
        // Where the extensions begin, a hello may end.
        if end != MESSAGE_HEAD_BYTES + FIXED.len() {
            let cut = message(&sound[MESSAGE_HEAD_BYTES..end]);
            check_hello(&cut, Err(HelloError::BadLength));
        }
    }
    let longer = message(&[&sound[MESSAGE_HEAD_BYTES..], &[0]].concat());
    check_hello(&longer, Err(HelloError::BadLength));
    let fixed = |rest: &[u8]| message(&[&[3, 3], &[7; RANDOM_BYTES][..], rest].concat());
    let session = [&[33][..], &[0; 33], b"\0\x02\x13\x01\x01\0"].concat();
    check_hello(&fixed(&session), Err(HelloError::BadSessionId));
    check_hello(&fixed(b"\0\0\0\x01\0"), Err(HelloError::BadCipherSuites));
    check_hello(&fixed(b"\0\0\x03\x13\x01\0\x01\0"), Err(HelloError::BadCipherSuites));
    check_hello(&fixed(b"\0\0\x02\x13\x01\0"), Err(HelloError::NoCompressionMethod));
}

#[test]
fn what_does_not_begin_like_a_handshake_record_is_not_tls() {
    let ssl2 = b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10";
    for input in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"\0", b"\x16\x02", ssl2] {
        check(input, Ok(FoundHello::NotTls));
    }
    // An alert, a change of ciphers, data: records of TLS, but not of a handshake.
    for kind in [20, 21, 23, 24] {
        check(&[kind, 3, 3, 0, 1, 1], Ok(FoundHello::NotTls));
    }
    for byte in 0..=u8::MAX {
        let want = if byte == HANDSHAKE { FoundHello::NeedMore } else { FoundHello::NotTls };
        check(&[byte], Ok(want));
        let want = if byte == VERSION_MAJOR { FoundHello::NeedMore } else { FoundHello::NotTls };
        check(&[HANDSHAKE, byte], Ok(want));
    }
    check(b"", Ok(FoundHello::NeedMore));
}

#[test]
fn records_that_cannot_be_part_of_a_hello_are_refused() {
    let first = b"\x16\x03\x01\0\x02\x01\0";
    for (second, error) in [
        (&b"\x15"[..], HelloError::InterleavedRecord),
        (b"\x14\x03\x03\0\x01\x01", HelloError::InterleavedRecord),
        (b"\x17\x03\x03\0\x01\x01", HelloError::InterleavedRecord),
        (b"\x16\x02", HelloError::BadRecordVersion),
        (b"\x16\x03\x03\0\0", HelloError::EmptyRecord),
        (b"\x16\x03\x03\x40\x01", HelloError::RecordTooLong),
        (b"\x16\x03\x03\xff\xff", HelloError::RecordTooLong),
    ] {
        check(&[first, second].concat(), Err(error));
        if second.len() == RECORD_HEADER_BYTES {
            check(second, Err(error));
        }
    }
}

#[test]
fn the_first_message_is_a_hello() {
    for kind in (0..=u8::MAX).filter(|kind| *kind != CLIENT_HELLO) {
        check(&[22, 3, 1, 0, 1, kind], Err(HelloError::NotClientHello));
    }
}

#[test]
fn a_hello_that_announces_too_many_bytes_is_refused_at_once() {
    let room = CLIENT_HELLO_BYTES_MAX - 2 * RECORD_HEADER_BYTES - MESSAGE_HEAD_BYTES;
    let announced = |length: usize, record: u16| {
        let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
        [&[22, 3, 1], &record.to_be_bytes()[..], &[1, high, middle, low]].concat()
    };
    check(&announced(0xff_ffff, 4), Err(HelloError::HelloTooLong));
    check(&announced(room + RECORD_HEADER_BYTES + 1, 5), Err(HelloError::HelloTooLong));
    check(&announced(room, 16384), Ok(FoundHello::NeedMore));
    check(&announced(room, 4), Ok(FoundHello::NeedMore));
    // One more byte would still fit, but for the header of the record that it has to come in.
    check(&announced(room + 1, 5), Ok(FoundHello::NeedMore));
    check(&announced(room + 1, 4), Err(HelloError::HelloTooLong));
    // Headers count: what fits in a few records does not fit in many.
    let sound = hello(&[named("a"), (KEY_SHARE, vec![7; 8 * 1024])]);
    check(&records(&sound, 100), found(name("a")));
    check(&records(&sound, 1), Err(HelloError::HelloTooLong));
}

#[test]
fn the_largest_hello_is_accepted_and_no_more_bytes_are_awaited() {
    let around = hello(&[named("a"), (KEY_SHARE, vec![])]).len();
    let room = CLIENT_HELLO_BYTES_MAX - 2 * RECORD_HEADER_BYTES - around;
    let largest = records(&hello(&[named("a"), (KEY_SHARE, vec![7; room])]), RECORD_BYTES_MAX);
    assert_eq!(largest.len(), CLIENT_HELLO_BYTES_MAX);
    check(&largest, found(name("a")));
    let larger = records(&hello(&[named("a"), (KEY_SHARE, vec![7; room + 1])]), RECORD_BYTES_MAX);
    check(&larger, Err(HelloError::HelloTooLong));
}

#[test]
fn bytes_after_a_hello_do_not_matter() {
    let sound = hello(&[named("a.example")]);
    let early_data = b"\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x01x";
    for rest in [&early_data[..], b"\0", b"\x16", b"\x16\x03\x03\0\0", b"GET /"] {
        let input = [&records(&sound, RECORD_BYTES_MAX)[..], rest].concat();
        check(&input, found(name("a.example")));
    }
    // Even in the same record.
    let sound = [&sound[..], b"\x05\0\0\0"].concat();
    check(&records(&sound, RECORD_BYTES_MAX), found(name("a.example")));
}

#[test]
fn bytes_are_scanned_once() {
    let sound = records(&hello(&[named("a.example")]), 9);
    let mut reader = HelloReader::default();
    let mut input = sound.clone();
    assert_eq!(reader.find(&input[..30]), Ok(FoundHello::NeedMore));
    // A promise broken on purpose: bytes that were scanned are not scanned again.
    input[14] = 0;
    assert_eq!(reader.find(&input[..input.len() - 1]), Ok(FoundHello::NeedMore));
    input[14] = sound[14];
    assert_eq!(reader.find(&input), found(name("a.example")));
    assert_eq!(reader.find(&input), found(name("a.example")));
}

/// Where a search for inputs that break the property begins.
fn seeds() -> Vec<Vec<u8>> {
    let (h2, a) = (offered(&["h2"]), named("a.example"));
    let full = hello(&[(0x1a1a, vec![]), h2.clone(), a.clone(), (43, vec![2, 3, 4])]);
    vec![
        records(&full, RECORD_BYTES_MAX),
        records(&full, 60),
        records(&full, 7),
        [&records(&full, RECORD_BYTES_MAX)[..], b"\x14\x03\x03\0\x01\x01"].concat(),
        records(&message(FIXED), RECORD_BYTES_MAX),
        records(&hello(&[named("192.0.2.1")]), RECORD_BYTES_MAX),
        records(&hello(&[named("Dot.example."), (0xfe0d, vec![0; 9])]), RECORD_BYTES_MAX),
        records(&hello(&[(SERVER_NAME, list16(&[entry(b"a"), entry(b"b")].concat()))]), 100),
        records(&hello(&[(SERVER_NAME, list16(b"\x01\0\x01b"))]), 100),
        records(&hello(&[a.clone(), h2, a]), 100),
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10".to_vec(),
        b"\x16\x03\x01\x40\0\x01\0\x47\xef".to_vec(),
    ]
}

#[test]
fn a_changed_byte_never_gives_another_name_than_rustls_reads() {
    let accepted = |seed: &Vec<u8>| name_that_rustls_accepts(seed).is_some();
    assert!(seeds().iter().filter(|seed| accepted(seed)).count() >= 5);
    for sound in seeds() {
        for at in 0..sound.len() {
            for byte in [0, 1, 3, 0xff, sound[at] ^ 1, sound[at] ^ 0x80, sound[at].wrapping_add(1)]
            {
                let mut changed = sound.clone();
                changed[at] = byte;
                fuzzing::client_hello(&changed);
            }
        }
    }
}

#[test]
fn every_error_has_a_fitting_alert() {
    for (error, alert) in [
        (HelloError::InterleavedRecord, Alert::UnexpectedMessage),
        (HelloError::BadRecordVersion, Alert::ProtocolVersion),
        (HelloError::RecordTooLong, Alert::RecordOverflow),
        (HelloError::HelloTooLong, Alert::IllegalParameter),
        (HelloError::BadHostName, Alert::IllegalParameter),
        (HelloError::BadLength, Alert::DecodeError),
    ] {
        assert_eq!(error.alert(), alert);
    }
}

/// The client of this configuration asks for this name, whichever protocols it offers.
#[track_caller]
fn check_client(mut config: ClientConfig, host: &str, want: Option<&str>, protocols: &[&str]) {
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let host = ServerName::try_from(host).unwrap().to_owned();
    let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    let is_challenge = protocols == ["acme-tls/1"];
    let want = ClientHello { server_name: want.map(Into::into), is_challenge };
    assert!(name_that_rustls_accepts(&sent).is_some());
    check(&sent, Ok(FoundHello::Hello(want.clone())));
    check_hello(&gather(&sent, sent.len() - RECORD_HEADER_BYTES), Ok(want));
}

/// A hello in records of all sizes gives the same.
#[track_caller]
fn check_hello(message: &[u8], want: Result<ClientHello, HelloError>) {
    for size in [1, 2, 5, 100, RECORD_BYTES_MAX] {
        let input = records(message, size);
        let fits = input.len() <= CLIENT_HELLO_BYTES_MAX;
        let want = if fits { want.clone() } else { Err(HelloError::HelloTooLong) };
        check(&input, found(want));
    }
}

/// Reads `input` byte by byte, then the rest at once from every offset, then all at once; and asks
/// the oracle.
#[track_caller]
fn check(input: &[u8], want: Result<FoundHello, HelloError>) {
    let mut first = HelloReader::default();
    for cut in 0..=input.len() {
        match first.find(&input[..cut]) {
            Ok(FoundHello::NeedMore) => {
                assert_eq!(first.clone().find(input), want, "cut at {cut}: {input:?}");
            }
            decided => {
                assert_eq!(decided, want, "after {cut}: {input:?}");
                break;
            }
        }
    }
    assert_eq!(read(input), want, "{input:?}");
    fuzzing::client_hello(input);
}

fn read(input: &[u8]) -> Result<FoundHello, HelloError> {
    HelloReader::default().find(input)
}

fn found(hello: Result<ClientHello, HelloError>) -> Result<FoundHello, HelloError> {
    hello.map(FoundHello::Hello)
}

fn name(name: &str) -> Result<ClientHello, HelloError> {
    Ok(ClientHello { server_name: Some(name.into()), is_challenge: false })
}
