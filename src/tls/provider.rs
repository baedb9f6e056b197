//! The cryptography of both sides of TLS: [`PROVIDER`], AWS-LC with our order of cipher suites and
//! of groups for the key exchange.
//!
//! It is passed to each configuration by name, so that nothing depends on a process-wide default.

use crate::tls::key_exchange::KeyExchange;
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{CipherSuite, NamedGroup};

/// AWS-LC with AES-128 before the other suites, and X25519MLKEM768 before the other groups.
///
/// Against rustls's own order, AES-256 with SHA-384 first, AES-128 saves 15 % of a handshake's CPU
/// time and a quarter of a bulk transfer's, and no one breaks either.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider.kx_groups.retain(|group| !is_hybrid(group.name()));
    provider.kx_groups.insert(0, X25519MLKEM768);
    // AWS-LC seeds itself with its first random bytes, which takes some 40 ms: spent here, at
    // start, and not in the first handshake. A failure will show there, and can be reported.
    let _seeded = provider.secure_random.fill(&mut [0]);
    Arc::new(provider)
});

/// The provider for an upstream that is offered these groups.
pub(super) fn provider(key_exchange: KeyExchange) -> Arc<CryptoProvider> {
    match key_exchange {
        KeyExchange::Hybrid => Arc::clone(&PROVIDER),
        KeyExchange::Classic => {
            let mut provider = CryptoProvider::clone(&PROVIDER);
            provider.kx_groups.retain(|group| !is_hybrid(group.name()));
            Arc::new(provider)
        }
    }
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

fn is_hybrid(group: NamedGroup) -> bool {
    group == NamedGroup::X25519MLKEM768
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_128_comes_first_in_both_versions() {
        let suites = PROVIDER.cipher_suites.iter().map(|suite| suite.suite());
        let suites: Vec<_> = suites.collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites.iter().position(|suite| !is_aes_128(*suite)), Some(3));
        assert_eq!(suites.len(), aws_lc_rs::default_provider().cipher_suites.len());
    }

    #[test]
    fn the_hybrid_group_comes_first_unless_only_elliptic_curves_are_wanted() {
        let groups = |key_exchange| {
            let provider = provider(key_exchange);
            provider.kx_groups.iter().map(|it| it.name()).collect::<Vec<_>>()
        };
        let classic = [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
        assert_eq!(groups(KeyExchange::Classic), classic);
        assert_eq!(groups(KeyExchange::Hybrid)[0], NamedGroup::X25519MLKEM768);
        assert_eq!(groups(KeyExchange::Hybrid)[1..], classic);
    }
}
