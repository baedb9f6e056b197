//! What is wrong with TLS: [`TlsFault`] and its word for the log.

use super::SocketError;

/// Why TLS with a peer failed: in its handshake, or by an alert later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// The certificate is for another name.
    CertificateName,
    /// The certificate was not issued by a trusted root.
    CertificateIssuer,
    /// A certificate of an authority in place of a server's.
    CertificateOfAuthority,
    /// The certificate is for another purpose, such as for clients.
    CertificatePurpose,
    /// The certificate, or the handshake, is signed by another key.
    CertificateSignature,
    /// The certificate has an unknown version, algorithm or extension.
    CertificateUnsupported,
    /// The certificate cannot be parsed.
    CertificateMalformed,
    /// The certificate was revoked.
    CertificateRevoked,
    /// No list of revoked certificates is from the issuer of the certificate.
    CertificateRevocationUnknown,
    /// The certificate is unusable in another way.
    CertificateInvalid,
    /// The peer has to send a certificate, and sent none.
    NoCertificate,
    /// The peer asks for a name for which we have no certificate yet.
    CertificateAwaited,
    /// The peer speaks neither TLS 1.2 nor 1.3.
    NoCommonVersion,
    /// No cipher suite that both sides have.
    NoCommonSuite,
    /// No group for the key exchange that both sides have.
    NoCommonGroup,
    /// No signature algorithm that both sides have.
    NoCommonSignature,
    /// No protocol inside TLS (ALPN) that both sides have.
    NoCommonProtocol,
    /// The bytes are not TLS.
    NotTls,
    /// A TLS message that is malformed, or out of place.
    Misbehaved,
    /// The peer sent this alert (RFC 8446, section 6).
    Alert(u8),
    /// The connection ended before its handshake began, as a health check's does.
    Silent,
    /// The connection ended in the middle of the handshake.
    Closed,
    /// The socket failed.
    Socket(SocketError),
    /// Everything else.
    Other,
}

impl TlsFault {
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
            Self::CertificateRevoked => "revoked",
            Self::CertificateRevocationUnknown => "revocation_unknown",
            Self::CertificateInvalid => "invalid_certificate",
            Self::NoCertificate => "no_certificate",
            Self::CertificateAwaited => "certificate_awaited",
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

/// The names of RFC 8446, section 6, and those that only RFC 5246, section 7.2 has.
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
