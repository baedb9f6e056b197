//! What upstream certificates are verified against ([`Verifier`]): the roots of Mozilla's list, or
//! only those that the operator names.
//!
//! Named roots verify as rustls does it, with one addition. A server without an authority often
//! shows a self-signed certificate that calls itself one (CA:TRUE), because that is what `openssl
//! req -x509` makes. No path leads to such a certificate (RFC 5280, section 6.1), so rustls refuses
//! it even if the operator has named exactly that one, where curl, nginx and `HAProxy` accept it.
//! Named byte for byte, it is accepted here: for its names, while it is valid, from a server that
//! has its key.

use crate::error::TlsFault;
use crate::tls::credential_error::{CertificateFault, CredentialError};
use crate::tls::credential_file::Chain;
use crate::tls::fault;
use crate::tls::provider::PROVIDER;
use crate::tls::x509::Certificate;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// The roots of Mozilla's list, as this program was built with them.
fn built_in() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// The roots in `ca`, and no others.
///
/// # Errors
/// TLS cannot use a certificate in `ca`.
pub(super) fn named(ca: &Chain) -> Result<RootCertStore, CredentialError> {
    let mut roots = RootCertStore::empty();
    for (line, certificate) in &ca.certificates {
        roots.add(certificate.clone()).map_err(|error| {
            let fault = CertificateFault::Refused(fault::of_rustls(&error));
            CredentialError::BadCertificate(ca.file.clone(), *line, fault)
        })?;
    }
    Ok(roots)
}

/// Accepts the certificates that a root has issued, and the self-signed ones that are named.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Self-signed certificates in `ca`, which a server may show as its own.
    named: Vec<CertificateDer<'static>>,
    /// What the last server has shown, if that is to be remembered.
    shown: Option<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Verifier {
    /// One by the roots in `ca`, and no others; without `ca`, by the built-in ones.
    ///
    /// # Errors
    /// TLS cannot use a certificate in `ca`.
    pub(super) fn new(ca: Option<&Chain>) -> Result<Self, CredentialError> {
        let roots = ca.map_or_else(|| Ok(built_in()), named)?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
        // Only a store without roots is refused, and a chain has at least one.
        let webpki = webpki.build().map_err(|_| CredentialError::Tls(TlsFault::Other))?;
        let is_self_issued =
            |it: &&CertificateDer<'_>| Certificate::parse(it).is_some_and(|it| it.is_self_issued());
        let named = ca.iter().flat_map(|it| &it.certificates).map(|(_, certificate)| certificate);
        let named = named.filter(is_self_issued).cloned().collect();
        Ok(Self { webpki, named, shown: None })
    }

    /// The same, but it remembers what servers show.
    pub(super) fn remembering(self) -> Self {
        Self { shown: Some(Mutex::default()), ..self }
    }

    /// What the last server has shown, whether it was accepted or not; nothing, if that is not
    /// remembered.
    pub(super) fn shown(&self) -> Vec<CertificateDer<'static>> {
        let shown = self.shown.as_ref().map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
        shown.map(|it| it.clone()).unwrap_or_default()
    }
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
        if let Some(shown) = &self.shown {
            let all = [end_entity].into_iter().chain(intermediates);
            let all = all.map(|it| it.clone().into_owned()).collect();
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = all;
        }
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(error) if calls_itself_an_authority(&error) && self.named.contains(end_entity) => {
                verify_named(end_entity, server_name, now)
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

/// What is left to verify of a certificate that the operator has named byte for byte. The handshake
/// shows that the server has its key.
fn verify_named(
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
    use crate::tls::pem::{Content, blocks};
    use crate::tls::testing::pem::Folder;
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000;
    const OWN: &str = include_str!("../../certs/authority.pem");
    const IMPOSTOR: &str = include_str!("../../certs/impostor.pem");
    const EXPIRED: &str = include_str!("../../certs/authority-expired.pem");
    const CA: &str = include_str!("../../certs/ca.pem");
    const SERVER: &str = include_str!("../../certs/server.pem");

    /// Whether `shown` is accepted for `name` if `named` is the only root, and why not.
    fn verify(named: &str, shown: &str, name: &str, now: u64) -> Result<(), &'static str> {
        let certificate = |pem: &str| match blocks(pem.as_bytes()).unwrap().remove(0).content {
            Content::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        };
        let folder = Folder::new();
        let ca = Chain::read(&folder.write("ca.pem", named)).unwrap();
        let (verifier, shown) = (Verifier::new(Some(&ca)).unwrap(), certificate(shown));
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = verifier.verify_server_cert(&shown, &[], &name, &[], now);
        verified.map(|_| ()).map_err(|error| fault::of_rustls(&error).reason())
    }

    #[test]
    fn a_self_signed_certificate_that_is_named_byte_for_byte_is_accepted() {
        for name in ["localhost", "api.openai.test", "127.0.0.1", "::1"] {
            assert_eq!(verify(OWN, OWN, name, NOW), Ok(()), "{name}");
        }
    }

    #[test]
    fn another_certificate_of_the_same_name_is_refused() {
        assert_eq!(verify(OWN, IMPOSTOR, "localhost", NOW), Err("ca_as_server"));
        assert_eq!(verify(IMPOSTOR, OWN, "localhost", NOW), Err("ca_as_server"));
        assert_eq!(verify(CA, OWN, "localhost", NOW), Err("ca_as_server"));
    }

    #[test]
    fn a_named_certificate_is_accepted_only_for_its_names_and_while_it_is_valid() {
        assert_eq!(verify(OWN, OWN, "elsewhere.test", NOW), Err("wrong_name"));
        assert_eq!(verify(OWN, OWN, "127.0.0.2", NOW), Err("wrong_name"));
        assert_eq!(verify(EXPIRED, EXPIRED, "localhost", NOW), Err("expired"));
        assert_eq!(verify(OWN, OWN, "localhost", 0), Err("not_yet_valid"));
        // By our own reading, too, should webpki ever check something else first.
        let Content::Certificate(own) = blocks(EXPIRED.as_bytes()).unwrap().remove(0).content
        else {
            panic!()
        };
        let name = ServerName::try_from("localhost").unwrap();
        let at = |now| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
            let error = verify_named(&own, &name, now).err();
            error.map(|error| fault::of_rustls(&error).reason())
        };
        // From 2020-01-01 to 2021-01-01.
        assert_eq!(at(1_577_836_799), Some("not_yet_valid"));
        assert_eq!(at(1_577_836_800), None);
        assert_eq!(at(1_609_459_200), None);
        assert_eq!(at(1_609_459_201), Some("expired"));
    }

    #[test]
    fn what_a_named_root_has_issued_is_accepted() {
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
