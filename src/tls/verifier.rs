//! Whom we believe to be an upstream, where the operator has named roots: [`verifier`].
//!
//! As rustls does it, with one addition. A server without an authority often shows a certificate of
//! its own making that calls itself one (CA:TRUE), because `openssl req -x509` makes it so. No path
//! leads to such a certificate (RFC 5280, section 6.1), so rustls refuses it also when the operator
//! has named exactly that one as a root, where curl, nginx and `HAProxy` accept it. Named byte for
//! byte, it is accepted here: for its names, in its time, and from whoever has its key.

use super::x509::Certificate;
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{
    VerifierBuilderError, WebPkiServerVerifier, verify_server_name,
};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Believes what one of `roots` has issued, and those of `named` that are servers' own.
///
/// # Errors
/// `roots` is empty.
pub(super) fn verifier<'c>(
    roots: RootCertStore,
    named: impl Iterator<Item = &'c CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let is_self_issued =
        |it: &&CertificateDer<'_>| Certificate::parse(it).is_some_and(|it| it.is_self_issued());
    let own: Vec<_> = named.filter(is_self_issued).cloned().collect();
    Ok(Arc::new(Verifier { webpki, own }))
}

#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Self-signed ones, which may be shown by the servers whose they are.
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(error) if calls_itself_an_authority(&error) && self.own.contains(end_entity) => {
                verify_own(end_entity, server_name, now)
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn calls_itself_an_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(error)) = error else { return false };
    matches!(error.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// What is left to be verified of a certificate that the operator has named byte for byte. That the
/// server has its key, the handshake shows.
fn verify_own(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let parsed = Certificate::parse(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.not_after {
        return Err(CertificateError::Expired.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    Ok(ServerCertVerified::assertion())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::credentials::PROVIDER;
    use crate::tls::fault;
    use crate::tls::pem::{Content, blocks};
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000;
    const OWN: &str = include_str!("../../certs/authority.pem");
    const IMPOSTOR: &str = include_str!("../../certs/impostor.pem");
    const EXPIRED: &str = include_str!("../../certs/authority-expired.pem");
    const CA: &str = include_str!("../../certs/ca.pem");
    const SERVER: &str = include_str!("../../certs/server.pem");

    /// Whether `shown` is believed to be `name` where `named` is the only root, and why not.
    fn verify(named: &str, shown: &str, name: &str, now: u64) -> Result<(), &'static str> {
        let certificate = |pem: &str| match blocks(pem.as_bytes()).unwrap().remove(0).content {
            Content::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        };
        let (named, shown) = (certificate(named), certificate(shown));
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).unwrap();
        let verifier = verifier(roots, [&named].into_iter(), PROVIDER.clone()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = verifier.verify_server_cert(&shown, &[], &name, &[], now);
        verified.map(|_| ()).map_err(|error| fault::of_rustls(&error).reason())
    }

    #[test]
    fn a_servers_own_certificate_is_believed_when_it_is_named_byte_for_byte() {
        for name in ["localhost", "api.openai.test", "127.0.0.1", "::1"] {
            assert_eq!(verify(OWN, OWN, name, NOW), Ok(()), "{name}");
        }
    }

    #[test]
    fn another_certificate_of_the_same_name_is_not() {
        assert_eq!(verify(OWN, IMPOSTOR, "localhost", NOW), Err("ca_as_server"));
        assert_eq!(verify(IMPOSTOR, OWN, "localhost", NOW), Err("ca_as_server"));
        assert_eq!(verify(CA, OWN, "localhost", NOW), Err("ca_as_server"));
    }

    #[test]
    fn its_name_and_its_time_count() {
        assert_eq!(verify(OWN, OWN, "elsewhere.test", NOW), Err("wrong_name"));
        assert_eq!(verify(OWN, OWN, "127.0.0.2", NOW), Err("wrong_name"));
        assert_eq!(verify(EXPIRED, EXPIRED, "localhost", NOW), Err("expired"));
        assert_eq!(verify(OWN, OWN, "localhost", 0), Err("not_yet_valid"));
        // By our own reading, too, should webpki ever look at something else first.
        let Content::Certificate(own) = blocks(EXPIRED.as_bytes()).unwrap().remove(0).content
        else {
            panic!()
        };
        let name = ServerName::try_from("localhost").unwrap();
        let at = |now| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
            let error = verify_own(&own, &name, now).err();
            error.map(|error| fault::of_rustls(&error).reason())
        };
        // From 2020-01-01 to 2021-01-01.
        assert_eq!(at(1_577_836_799), Some("not_yet_valid"));
        assert_eq!(at(1_577_836_800), None);
        assert_eq!(at(1_609_459_200), None);
        assert_eq!(at(1_609_459_201), Some("expired"));
    }

    #[test]
    fn what_a_named_root_has_issued_is_believed_as_ever() {
        assert_eq!(verify(CA, SERVER, "localhost", NOW), Ok(()));
        assert_eq!(verify(CA, SERVER, "elsewhere.test", NOW), Err("wrong_name"));
        assert_eq!(verify(OWN, SERVER, "localhost", NOW), Err("unknown_ca"));
        assert_eq!(
            verify(CA, CA, "localhost", NOW),
            Err("wrong_name"),
            "an authority is no server"
        );
    }
}
