//! Servers whose keys are soon used up.

use std::sync::Arc;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{
    CipherSuiteCommon, ServerConfig, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};

/// The same cipher suite, one of whose keys may seal no more than `records_max` records.
pub(crate) fn of_few_records(
    suite: SupportedCipherSuite,
    records_max: u64,
) -> SupportedCipherSuite {
    let limited = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: records_max,
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let suite = Tls12CipherSuite {
                common: limited(&suite.common),
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: suite.aead_alg,
                prf_provider: suite.prf_provider,
            };
            SupportedCipherSuite::Tls12(Box::leak(Box::new(suite)))
        }
        SupportedCipherSuite::Tls13(suite) => {
            let suite = Tls13CipherSuite {
                common: limited(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: None,
            };
            SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))
        }
    }
}

/// The same server with one cipher suite.
pub(crate) fn with_suite(server: &ServerConfig, suite: SupportedCipherSuite) -> Arc<ServerConfig> {
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
