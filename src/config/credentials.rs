//! A certificate and its key, for clients or for an upstream: [`CredentialFiles`].

use super::value::NamedFile;

/// The two files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialFiles {
    /// PEM: the certificate, then its intermediates.
    pub certificate: NamedFile,
    /// PEM: the private key of the first certificate.
    pub key: NamedFile,
}

/// The same two files, as far as they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialDraft {
    /// PEM: the certificate.
    pub certificate: Option<NamedFile>,
    /// PEM: its key.
    pub key: Option<NamedFile>,
}

impl CredentialDraft {
    /// Both, if both are named.
    pub(super) fn pair(self) -> Option<CredentialFiles> {
        let pair = self.certificate.zip(self.key);
        pair.map(|(certificate, key)| CredentialFiles { certificate, key })
    }
}
