//! TLS with upstreams: the [`config`], and the handshake, [`connect`].
//!
//! The certificate of an upstream is always verified, and there is no way to ask otherwise: a
//! request carries the API key to the server that answers.

use crate::error::TlsFault;
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::Transport;
use crate::tls::alpn::Alpn;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::Chain;
use crate::tls::fault;
use crate::tls::identity::Identity;
use crate::tls::key_exchange::KeyExchange;
use crate::tls::provider::provider;
use crate::tls::roots::Verifier;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::{Resumption, UnbufferedClientConnection};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Servers whose sessions one configuration remembers: the upstreams of one relay.
const SESSIONS_MAX: usize = 32;

/// How we present ourselves to upstreams, and which of them we trust.
#[derive(Clone, Copy, Debug)]
pub struct ClientSide<'f> {
    /// Roots to trust in place of the built-in ones.
    pub ca: Option<&'f Chain>,
    /// What we show to an upstream that asks for a certificate.
    pub identity: Option<&'f Identity>,
    /// Which groups are offered.
    pub key_exchange: KeyExchange,
    /// What is spoken inside of TLS.
    pub alpn: Alpn,
}

/// The configuration for upstreams: TLS 1.2 and 1.3, verified against the built-in roots, or only
/// against those in `ca`. It remembers sessions.
///
/// # Errors
/// TLS cannot use a certificate in `ca`.
pub fn config(side: ClientSide<'_>) -> Result<Arc<ClientConfig>, CredentialError> {
    config_with(side, Arc::new(Verifier::new(side.ca)?))
}

/// The same with a verifier that was made before.
pub(super) fn config_with(
    side: ClientSide<'_>,
    verifier: Arc<Verifier>,
) -> Result<Arc<ClientConfig>, CredentialError> {
    let config = ClientConfig::builder_with_provider(provider(side.key_exchange))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match side.identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let certified = CertifiedKey::clone(&identity.certified);
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    config.alpn_protocols = side.alpn.offered();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    // `net::records` takes the keys over after the handshake.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Shakes hands as a client of `name`, which is sent as SNI. The caller limits the time.
///
/// # Errors
/// What is wrong with the upstream's certificate, or why the handshake failed otherwise.
pub async fn connect(
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    tcp: TcpStream,
) -> Result<Transport, TlsFault> {
    let side = UnbufferedClientConnection::new(Arc::clone(config), name.clone());
    let side = side.map_err(|error| fault::of_rustls(&error))?;
    match TlsStream::shake_hands(side, MeteredTcp::new(tcp)).await {
        Ok(tls) => Ok(tls.into()),
        Err((error, _)) => Err(fault::of(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::{CERTIFICATE, Folder};

    #[test]
    fn upstreams_are_verified_against_the_built_in_roots_or_those_of_a_file() {
        let folder = Folder::new();
        let key_exchange = KeyExchange::default();
        let side = ClientSide { ca: None, identity: None, key_exchange, alpn: Alpn::Http };
        assert_eq!(config(side).unwrap().alpn_protocols, [b"http/1.1"]);
        let ca = Chain::read(&folder.write("ca.pem", CERTIFICATE)).unwrap();
        assert!(config(ClientSide { ca: Some(&ca), ..side }).is_ok());
        let empty = folder.write("empty.pem", "");
        let error = Chain::read(&empty).unwrap_err().to_string();
        assert!(error.contains("empty.pem\" holds no certificate"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
