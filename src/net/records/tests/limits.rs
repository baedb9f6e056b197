//! How many records one key seals (RFC 8446, section 5.5).

use super::*;
use tokio_rustls::rustls::{CipherSuiteCommon, Tls12CipherSuite, Tls13CipherSuite};

/// A server whose keys seal three records (RFC 8446, section 5.5). The ticket is one of them.
#[test]
fn a_key_is_changed_before_it_has_sealed_too_many_records() {
    let (server, client) = configs(&TLS13);
    let suite = client.crypto_provider().cipher_suites[0];
    let SupportedCipherSuite::Tls13(suite) = suite else { panic!("another version") };
    let common = CipherSuiteCommon { confidentiality_limit: 3, ..copy_of(&suite.common) };
    let suite = Tls13CipherSuite {
        common,
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    };
    let server = with_suite(&server, SupportedCipherSuite::Tls13(Box::leak(Box::new(suite))));
    let mut pair = server_of((server, client), usize::MAX);
    pair.settle().unwrap();
    for number in 0..20_u8 {
        pair.write(&[&[number]]);
        // The peer's own KeyUpdate, which was asked for, comes with what it sends next.
        pair.peer.writer().write_all(&[number]).unwrap();
        pair.settle().unwrap();
    }
    assert_eq!(pair.peer_got(), (0..20).collect::<Vec<_>>());
    assert_eq!(pair.got, (0..20).collect::<Vec<_>>());
    // Each KeyUpdate takes the place of a third record.
    let records: usize = pair.sealed.iter().map(|it| it.len()).sum();
    assert_eq!(records, 20 * (1 + 22) + 10 * (5 + 22));
}

#[test]
fn a_key_of_tls12_that_is_used_up_seals_only_the_end() {
    let (server, client) = configs(&TLS12);
    let suite = client.crypto_provider().cipher_suites[0];
    let SupportedCipherSuite::Tls12(suite) = suite else { panic!("another version") };
    let common = CipherSuiteCommon { confidentiality_limit: 3, ..copy_of(&suite.common) };
    let suite = Tls12CipherSuite {
        common,
        kx: suite.kx,
        sign: suite.sign,
        aead_alg: suite.aead_alg,
        prf_provider: suite.prf_provider,
    };
    let server = with_suite(&server, SupportedCipherSuite::Tls12(Box::leak(Box::new(suite))));
    let mut pair = server_of((server, client), usize::MAX);
    pair.settle().unwrap();
    // The first of the three was Finished.
    let content = vec![b'x'; 3 * RECORD_CONTENT_BYTES_MAX];
    let mut space = vec![0; TLS_SCRATCH_BYTES];
    let sealed = pair.ours.seal(&[IoSlice::new(&content)], &mut space);
    let (taken, records) = sealed.map(|(taken, records)| (taken, records.to_vec())).unwrap();
    assert_eq!(taken, 2 * RECORD_CONTENT_BYTES_MAX);
    let half = records.len() / 2;
    let mut got = 0;
    for record in [&records[..half], &records[half..]] {
        pair.give(record);
        got += pair.peer_got().len();
    }
    assert_eq!(got, taken);
    let refused = pair.ours.seal(&[IoSlice::new(b"c")], &mut [0; 1000]).map(|_| ());
    assert_eq!(refused, Err(Error::EncryptError));
    pair.close();
    pair.settle().unwrap();
    assert_eq!(pair.peer.reader().read(&mut [0]).unwrap(), 0, "a proper end");
}

fn copy_of(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    }
}

/// The same server with one cipher suite.
fn with_suite(server: &ServerConfig, suite: SupportedCipherSuite) -> Arc<ServerConfig> {
    let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
    let config = ServerConfig::builder_with_provider(provider.into());
    let config = config.with_protocol_versions(&[suite.version()]).unwrap().with_no_client_auth();
    let mut config = config.with_cert_resolver(Arc::clone(&server.cert_resolver));
    config.send_tls13_tickets = 1;
    config.ticketer = Arc::clone(&server.ticketer);
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.into()
}
