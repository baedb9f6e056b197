//! What is wrong with a TLS handshake: [`TlsFault`], its word for the log, and what a client is
//! told of that of an upstream.

use super::SocketError;
use super::answer::{Answer, bad_gateway};
use rustix::io::Errno;
use std::io;
use tokio_rustls::rustls::{self, CertificateError, InvalidMessage, PeerIncompatible};

/// Why TLS with a peer failed: in its handshake, or by an alert later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is not valid any more.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// The certificate is for another name.
    CertificateName,
    /// The certificate was not issued by a root that is trusted.
    CertificateIssuer,
    /// A certificate of an authority stands in the place of a server's.
    CertificateOfAuthority,
    /// The certificate is for another purpose, such as for clients.
    CertificatePurpose,
    /// The certificate, or the handshake, is signed by another key.
    CertificateSignature,
    /// The certificate is of a version, or uses an algorithm or an extension, that is not known.
    CertificateUnsupported,
    /// The certificate cannot be parsed.
    CertificateMalformed,
    /// The certificate is unusable in another way.
    CertificateInvalid,
    /// The peer has to show a certificate, and showed none.
    NoCertificate,
    /// The peer speaks neither TLS 1.2 nor 1.3.
    NoCommonVersion,
    /// No cipher suite that both sides have.
    NoCommonSuite,
    /// No group for the key exchange that both sides have.
    NoCommonGroup,
    /// No signature algorithm that both sides have.
    NoCommonSignature,
    /// No protocol inside of TLS (ALPN) that both sides have.
    NoCommonProtocol,
    /// What came is not TLS.
    NotTls,
    /// A message of TLS that is malformed, or has no place here.
    Misbehaved,
    /// The peer sent this alert (RFC 8446, section 6).
    Alert(u8),
    /// The connection ended before its handshake had begun, as those of health checks do.
    Silent,
    /// The connection ended in the middle of the handshake.
    Closed,
    /// The socket failed.
    Socket(SocketError),
    /// Everything else.
    Other,
}

impl TlsFault {
    /// What an error of a TLS stream says: of a handshake, or of a read or a write.
    pub fn of(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(error) => Self::of_rustls(error),
            None => match (Errno::from_io_error(error), error.kind()) {
                (Some(errno), _) => Self::Socket(SocketError::new(errno)),
                // As `tls::server` has it.
                (None, io::ErrorKind::NotConnected) => Self::Silent,
                (None, io::ErrorKind::UnexpectedEof) => Self::Closed,
                (None, _) => Self::Other,
            },
        }
    }

    /// The alert that ended an established connection, if `error` says so.
    pub fn alert_in(error: &io::Error) -> Option<Self> {
        let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::of_rustls(cause)).filter(|fault| matches!(fault, Self::Alert(_)))
    }

    /// What an error of rustls says.
    pub fn of_rustls(error: &rustls::Error) -> Self {
        use rustls::Error;
        // A foreign enum that grows, with faults of which the operator need not know more.
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::Alert(u8::from(*alert)),
            Error::NoApplicationProtocol => Self::NoCommonProtocol,
            Error::PeerIncompatible(error) => Self::of_incompatible(error),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => Self::NotTls,
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError => Self::Misbehaved,
            _ => Self::Other,
        }
    }

    fn of_incompatible(error: &PeerIncompatible) -> Self {
        use PeerIncompatible as It;
        match error {
            It::NoCipherSuitesInCommon => Self::NoCommonSuite,
            It::NoKxGroupsInCommon
            | It::NamedGroupsExtensionRequired
            | It::KeyShareExtensionRequired
            | It::NoEcPointFormatsInCommon
            | It::EcPointsExtensionRequired
            | It::UncompressedEcPointsRequired => Self::NoCommonGroup,
            It::NoSignatureSchemesInCommon
            | It::NoCertificateRequestSignatureSchemesInCommon => Self::NoCommonSignature,
            It::ServerDoesNotSupportTls12Or13
            | It::ServerTlsVersionIsDisabledByOurConfig
            | It::SupportedVersionsExtensionRequired
            // It came with TLS 1.2 (RFC 5246, section 7.4.1.4.1), and is looked for before the
            // version is.
            | It::SignatureAlgorithmsExtensionRequired
            | It::Tls12NotOffered
            | It::Tls12NotOfferedOrEnabled => Self::NoCommonVersion,
            _ => Self::Misbehaved,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as It;
        match error {
            It::Expired | It::ExpiredContext { .. } => Self::CertificateExpired,
            It::NotValidYet | It::NotValidYetContext { .. } => Self::CertificateNotYetValid,
            It::NotValidForName | It::NotValidForNameContext { .. } => Self::CertificateName,
            It::UnknownIssuer => Self::CertificateIssuer,
            It::InvalidPurpose | It::InvalidPurposeContext { .. } => Self::CertificatePurpose,
            It::BadSignature => Self::CertificateSignature,
            It::UnsupportedSignatureAlgorithmContext { .. }
            | It::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            | It::UnhandledCriticalExtension => Self::CertificateUnsupported,
            It::BadEncoding => Self::CertificateMalformed,
            It::Other(error) => Self::of_webpki(error),
            _ => Self::CertificateInvalid,
        }
    }

    /// What rustls has no words of its own for.
    fn of_webpki(error: &rustls::OtherError) -> Self {
        match error.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => Self::CertificateOfAuthority,
            Some(
                webpki::Error::UnsupportedCertVersion
                | webpki::Error::UnsupportedCriticalExtension
                | webpki::Error::MalformedExtensions,
            ) => Self::CertificateUnsupported,
            _ => Self::CertificateInvalid,
        }
    }

    /// The word for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::CertificateExpired => "expired",
            Self::CertificateNotYetValid => "not_yet_valid",
            Self::CertificateName => "wrong_name",
            Self::CertificateIssuer => "unknown_ca",
            Self::CertificateOfAuthority => "ca_as_server",
            Self::CertificatePurpose => "wrong_purpose",
            Self::CertificateSignature => "bad_signature",
            Self::CertificateUnsupported => "unsupported_certificate",
            Self::CertificateMalformed => "malformed_certificate",
            Self::CertificateInvalid => "invalid_certificate",
            Self::NoCertificate => "no_certificate",
            Self::NoCommonVersion => "no_common_version",
            Self::NoCommonSuite => "no_common_suite",
            Self::NoCommonGroup => "no_common_group",
            Self::NoCommonSignature => "no_common_signature",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::NotTls => "not_tls",
            Self::Misbehaved => "misbehaved",
            Self::Alert(description) => alert(description),
            Self::Silent => "no_hello",
            Self::Closed => "closed_early",
            Self::Socket(error) => error.name(),
            Self::Other => "tls_failed",
        }
    }
}

/// The names of RFC 8446, section 6, and of RFC 5246, section 7.2, where that has more.
fn alert(description: u8) -> &'static str {
    match description {
        0 => "alert=close_notify",
        10 => "alert=unexpected_message",
        20 => "alert=bad_record_mac",
        22 => "alert=record_overflow",
        40 => "alert=handshake_failure",
        41 => "alert=no_certificate",
        42 => "alert=bad_certificate",
        43 => "alert=unsupported_certificate",
        44 => "alert=certificate_revoked",
        45 => "alert=certificate_expired",
        46 => "alert=certificate_unknown",
        47 => "alert=illegal_parameter",
        48 => "alert=unknown_ca",
        49 => "alert=access_denied",
        50 => "alert=decode_error",
        51 => "alert=decrypt_error",
        70 => "alert=protocol_version",
        71 => "alert=insufficient_security",
        80 => "alert=internal_error",
        86 => "alert=inappropriate_fallback",
        90 => "alert=user_canceled",
        100 => "alert=no_renegotiation",
        109 => "alert=missing_extension",
        110 => "alert=unsupported_extension",
        112 => "alert=unrecognized_name",
        113 => "alert=bad_certificate_status_response",
        115 => "alert=unknown_psk_identity",
        116 => "alert=certificate_required",
        120 => "alert=no_application_protocol",
        _ => "alert=other",
    }
}

/// The answer to a request whose upstream cannot be trusted, or not be understood.
pub(super) fn failure(fault: TlsFault) -> Answer {
    match fault {
        TlsFault::CertificateExpired => {
            bad_gateway("upstream_certificate_expired", "The certificate of the upstream expired.")
        }
        TlsFault::CertificateNotYetValid => bad_gateway(
            "upstream_certificate_not_yet_valid",
            "The certificate of the upstream is not valid yet.",
        ),
        TlsFault::CertificateName => bad_gateway(
            "upstream_certificate_wrong_name",
            "The certificate of the upstream is for another name.",
        ),
        TlsFault::CertificateIssuer => bad_gateway(
            "upstream_certificate_unknown_ca",
            "The certificate of the upstream was issued by an unknown authority.",
        ),
        TlsFault::CertificateOfAuthority
        | TlsFault::CertificatePurpose
        | TlsFault::CertificateSignature
        | TlsFault::CertificateUnsupported
        | TlsFault::CertificateMalformed
        | TlsFault::CertificateInvalid
        | TlsFault::NoCertificate => bad_gateway(
            "upstream_certificate_invalid",
            "The certificate of the upstream is not usable.",
        ),
        TlsFault::NoCommonVersion
        | TlsFault::NoCommonSuite
        | TlsFault::NoCommonGroup
        | TlsFault::NoCommonSignature
        | TlsFault::NoCommonProtocol
        | TlsFault::NotTls
        | TlsFault::Misbehaved
        | TlsFault::Alert(_)
        | TlsFault::Silent
        | TlsFault::Closed
        | TlsFault::Socket(_)
        | TlsFault::Other => bad_gateway("upstream_tls_failed", "TLS with the upstream failed."),
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
        let of = |error: io::Error| TlsFault::of(&error).reason();
        assert_eq!(of(Errno::CONNRESET.into()), "ECONNRESET");
        assert_eq!(of(io::ErrorKind::UnexpectedEof.into()), "closed_early");
        assert_eq!(of(io::ErrorKind::Other.into()), "tls_failed");
    }

    fn wrapped(error: rustls::Error) -> TlsFault {
        TlsFault::of(&io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
