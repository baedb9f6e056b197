//! Errors of TLS streams, and of rustls, as errors of ours: [`TlsFault`] and [`ExchangeError`].

use crate::clock::Halt;
use crate::error::{Cause, ExchangeError, Fault, TlsFault};
use crate::tls::last_hello::CertificateAwaited;
use rustix::io::Errno;
use std::io;
use tokio_rustls::rustls::{self, CertificateError, InvalidMessage, PeerIncompatible};

/// Why a read or a write failed that had to do with `peer`.
pub fn of_io(peer: Fault, error: &io::Error) -> ExchangeError {
    // TLS may fail after the handshake, too: with TLS 1.3 an upstream refuses our certificate, or
    // the lack of one, only then (RFC 8446, section 4.4.2.4).
    let broken = rustls_in(error).filter(|_| peer == Fault::Upstream).map(of_rustls);
    ExchangeError { fault: peer, cause: broken.map_or(Cause::Io(error.kind().into()), Cause::Tls) }
}

/// Why a bounded step with `peer` did not succeed.
pub fn halted(peer: Fault, halt: &Halt) -> ExchangeError {
    match halt {
        Halt::Io(error) => of_io(peer, error),
        Halt::Expired(timer) => ExchangeError::expired(*timer),
    }
}

/// What an error of a TLS stream says, of its handshake or of a later read or write.
pub fn of(error: &io::Error) -> TlsFault {
    match rustls_in(error) {
        Some(error) => of_rustls(error),
        None => match (Errno::from_io_error(error), error.kind()) {
            (Some(errno), _) => TlsFault::Socket(errno.into()),
            // `server::accept` reports it so.
            (None, io::ErrorKind::NotConnected) => TlsFault::Silent,
            (None, io::ErrorKind::UnexpectedEof) => TlsFault::Closed,
            (None, _) => TlsFault::Other,
        },
    }
}

fn rustls_in(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What an error of rustls says.
pub fn of_rustls(error: &rustls::Error) -> TlsFault {
    use rustls::Error;
    // The enum belongs to another crate and grows; the operator need not know more of the rest.
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => TlsFault::NoCertificate,
        Error::AlertReceived(alert) => TlsFault::Alert(u8::from(*alert)),
        Error::NoApplicationProtocol => TlsFault::NoCommonProtocol,
        Error::PeerIncompatible(error) => of_incompatible(error),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => TlsFault::NotTls,
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => TlsFault::Misbehaved,
        Error::Other(error) if error.0.is::<CertificateAwaited>() => TlsFault::CertificateAwaited,
        _ => TlsFault::Other,
    }
}

fn of_incompatible(error: &PeerIncompatible) -> TlsFault {
    use PeerIncompatible as It;
    match error {
        It::NoCipherSuitesInCommon => TlsFault::NoCommonSuite,
        It::NoKxGroupsInCommon
        | It::NamedGroupsExtensionRequired
        | It::KeyShareExtensionRequired
        | It::NoEcPointFormatsInCommon
        | It::EcPointsExtensionRequired
        | It::UncompressedEcPointsRequired => TlsFault::NoCommonGroup,
        It::NoSignatureSchemesInCommon
        | It::NoCertificateRequestSignatureSchemesInCommon => TlsFault::NoCommonSignature,
        It::ServerDoesNotSupportTls12Or13
        | It::ServerTlsVersionIsDisabledByOurConfig
        | It::SupportedVersionsExtensionRequired
        // The extension came with TLS 1.2 (RFC 5246, section 7.4.1.4.1), and rustls checks for it
        // before it checks the version.
        | It::SignatureAlgorithmsExtensionRequired
        | It::Tls12NotOffered
        | It::Tls12NotOfferedOrEnabled => TlsFault::NoCommonVersion,
        _ => TlsFault::Misbehaved,
    }
}

fn of_certificate(error: &CertificateError) -> TlsFault {
    use CertificateError as It;
    match error {
        It::Expired | It::ExpiredContext { .. } => TlsFault::CertificateExpired,
        It::NotValidYet | It::NotValidYetContext { .. } => TlsFault::CertificateNotYetValid,
        It::NotValidForName | It::NotValidForNameContext { .. } => TlsFault::CertificateName,
        It::UnknownIssuer => TlsFault::CertificateIssuer,
        It::InvalidPurpose | It::InvalidPurposeContext { .. } => TlsFault::CertificatePurpose,
        It::BadSignature => TlsFault::CertificateSignature,
        It::UnsupportedSignatureAlgorithmContext { .. }
        | It::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        | It::UnhandledCriticalExtension => TlsFault::CertificateUnsupported,
        It::BadEncoding => TlsFault::CertificateMalformed,
        It::Revoked => TlsFault::CertificateRevoked,
        It::UnknownRevocationStatus => TlsFault::CertificateRevocationUnknown,
        It::Other(error) => of_webpki(error),
        _ => TlsFault::CertificateInvalid,
    }
}

/// What rustls has no variant for.
fn of_webpki(error: &rustls::OtherError) -> TlsFault {
    match error.0.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::CaUsedAsEndEntity) => TlsFault::CertificateOfAuthority,
        Some(
            webpki::Error::UnsupportedCertVersion
            | webpki::Error::UnsupportedCriticalExtension
            | webpki::Error::MalformedExtensions,
        ) => TlsFault::CertificateUnsupported,
        _ => TlsFault::CertificateInvalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio_rustls::rustls::{AlertDescription, OtherError};

    #[test]
    fn each_fault_of_a_certificate_has_its_word() {
        let reason = |error| wrapped(rustls::Error::InvalidCertificate(error)).reason();
        assert_eq!(reason(CertificateError::Expired), "expired");
        assert_eq!(reason(CertificateError::NotValidYet), "not_yet_valid");
        assert_eq!(reason(CertificateError::NotValidForName), "wrong_name");
        assert_eq!(reason(CertificateError::UnknownIssuer), "unknown_ca");
        let ca = OtherError(Arc::new(webpki::Error::CaUsedAsEndEntity));
        assert_eq!(reason(CertificateError::Other(ca)), "ca_as_server");
    }

    #[test]
    fn an_alert_is_named_as_the_rfc_names_it() {
        let reason = |alert| wrapped(rustls::Error::AlertReceived(alert)).reason();
        assert_eq!(reason(AlertDescription::CertificateRequired), "alert=certificate_required");
        assert_eq!(reason(AlertDescription::UnknownCA), "alert=unknown_ca");
        assert_eq!(reason(AlertDescription::from(255)), "alert=other");
    }

    #[test]
    fn a_failed_socket_is_named_by_its_errno_and_an_end_as_such() {
        let of = |error: io::Error| of(&error).reason();
        assert_eq!(of(Errno::CONNRESET.into()), "ECONNRESET");
        assert_eq!(of(io::ErrorKind::UnexpectedEof.into()), "closed_early");
        assert_eq!(of(io::ErrorKind::Other.into()), "tls_failed");
    }

    #[test]
    fn an_upstream_that_breaks_tls_after_the_handshake_is_told_from_one_that_leaves() {
        let cause = |error| of_io(Fault::Upstream, &error).cause;
        let broken = |error| cause(io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(broken(rustls::Error::DecryptError), Cause::Tls(TlsFault::Misbehaved));
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(broken(plain), Cause::Tls(TlsFault::NotTls));
        let reset = io::ErrorKind::ConnectionReset;
        assert_eq!(cause(reset.into()), Cause::Io(reset.into()));
    }

    fn wrapped(error: rustls::Error) -> TlsFault {
        of(&io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
