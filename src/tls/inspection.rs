//! A handshake with a server for a diagnosis: verified as always, but what the server shows is
//! remembered, also if it is refused ([`Inspector`]).

use crate::error::TlsFault;
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::Transport;
use crate::tls::client::ClientSide;
use crate::tls::credential_error::CredentialError;
use crate::tls::identity::Identity;
use crate::tls::provider::{PROVIDER, provider};
use crate::tls::x509::Certificate;
use crate::tls::{fault, roots};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{UnbufferedClientConnection, WebPkiServerVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion, SignatureScheme,
};

/// A client of servers that are inspected. It remembers sessions.
#[derive(Debug)]
pub struct Inspector {
    config: Arc<ClientConfig>,
    witness: Arc<Witness>,
}

/// A handshake that has succeeded.
#[derive(Debug)]
pub struct Shaken {
    /// The connection.
    pub transport: Transport,
    /// Whether a session was resumed.
    pub is_resumed: bool,
    /// `TLS 1.3`
    pub version: &'static str,
}

/// What is of interest in the certificates that a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Who issued the first one: common name or organization, as it is written there.
    pub issuer: Option<String>,
    /// Whom it is for.
    pub names: Vec<String>,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// How many there were.
    pub certificates: usize,
    /// Whether it was issued by its own name.
    pub is_self_issued: bool,
}

impl Inspector {
    /// One that trusts, shows and offers what `side` says.
    ///
    /// # Errors
    /// TLS cannot use a certificate of `side`.
    pub fn new(side: ClientSide<'_>) -> Result<Self, CredentialError> {
        let verifier = match side.ca {
            Some(ca) => roots::verifier(ca)?,
            None => {
                let built_in = Arc::new(roots::built_in());
                let built = WebPkiServerVerifier::builder_with_provider(built_in, PROVIDER.clone());
                built.build().map_err(|_| CredentialError::Tls(TlsFault::Other))?
            }
        };
        let witness = Arc::new(Witness { verifier, shown: Mutex::default() });
        let config = ClientConfig::builder_with_provider(provider(side.key_exchange))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>);
        let shown = |identity: &Identity| {
            let certified = CertifiedKey::clone(&identity.certified);
            Arc::new(SingleCertAndKey::from(certified))
        };
        let mut config = match side.identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_cert_resolver(shown(identity)),
        };
        config.alpn_protocols = side.alpn.offered();
        Ok(Self { config: Arc::new(config), witness })
    }

    /// Shakes hands as a client of `name`. The caller limits the time.
    ///
    /// # Errors
    /// As for [`client::connect`](super::client::connect).
    pub async fn connect(
        &self,
        name: &ServerName<'static>,
        tcp: TcpStream,
    ) -> Result<Shaken, TlsFault> {
        let side = UnbufferedClientConnection::new(Arc::clone(&self.config), name.clone());
        let side = side.map_err(|error| fault::of_rustls(&error))?;
        let shaken = TlsStream::shake_hands(side, MeteredTcp::new(tcp)).await;
        let tls = shaken.map_err(|(error, _)| fault::of(&error))?;
        let is_resumed = tls.side().handshake_kind() == Some(HandshakeKind::Resumed);
        let version = match tls.side().protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(_) | None => "TLS",
        };
        Ok(Shaken { transport: tls.into(), is_resumed, version })
    }

    /// What the last server has shown, whether it was accepted or not.
    pub fn shown(&self) -> Option<Shown> {
        let chain = self.witness.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Certificate::parse(chain.first()?)?;
        Some(Shown {
            issuer: first.issuer_name(),
            names: first.names(),
            not_before: first.not_before,
            not_after: first.not_after,
            certificates: chain.len(),
            is_self_issued: first.is_self_issued(),
        })
    }
}

/// Remembers the certificates that it verifies.
#[derive(Debug)]
struct Witness {
    verifier: Arc<dyn ServerCertVerifier>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = [end_entity].into_iter().chain(intermediates);
        let all = all.map(|it| it.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = all;
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
