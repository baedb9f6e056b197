//! What is wrong with the TLS of an upstream: [`TlsFault`], and what a client is told of it.

use super::answer::{Answer, bad_gateway};

/// Why a TLS handshake with an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is not valid any more, or not yet.
    CertificateExpired,
    /// The certificate is for another name.
    CertificateName,
    /// The certificate was issued by nobody we trust.
    CertificateIssuer,
    /// The certificate is unusable in another way.
    CertificateInvalid,
    /// Everything else: no common version or suite, an alert, bytes that are no TLS.
    Handshake,
}

/// The answer to a request whose upstream cannot be trusted, or not be understood.
pub(super) fn failure(fault: TlsFault) -> Answer {
    match fault {
        TlsFault::CertificateExpired => bad_gateway(
            "upstream_certificate_expired",
            "The certificate of the upstream is not valid now.",
        ),
        TlsFault::CertificateName => bad_gateway(
            "upstream_certificate_wrong_name",
            "The certificate of the upstream is for another name.",
        ),
        TlsFault::CertificateIssuer => bad_gateway(
            "upstream_certificate_unknown_ca",
            "The certificate of the upstream was issued by an unknown authority.",
        ),
        TlsFault::CertificateInvalid => bad_gateway(
            "upstream_certificate_invalid",
            "The certificate of the upstream is not usable.",
        ),
        TlsFault::Handshake => {
            bad_gateway("upstream_tls_failed", "The TLS handshake with the upstream failed.")
        }
    }
}
