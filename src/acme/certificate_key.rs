//! The key of a certificate that is ordered, and the request that the CA signs (RFC 2986):
//! [`CertificateKey`].

use super::identifier::Identifier;
use super::pem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};

/// A new key for each certificate, ECDSA on P-256.
pub(super) struct CertificateKey {
    key: KeyPair,
}

impl CertificateKey {
    /// A new one; `None` if the machine cannot make one.
    pub(super) fn generate() -> Option<Self> {
        Some(Self { key: KeyPair::generate().ok()? })
    }

    /// The request for `names`, in DER. They are alternative names only: no common name, which has
    /// room for 64 characters, and none for an address.
    pub(super) fn request(&self, names: &[Identifier]) -> Option<Vec<u8>> {
        let names: Vec<String> = names.iter().map(Identifier::to_string).collect();
        let mut params = CertificateParams::new(names).ok()?;
        params.distinguished_name = DistinguishedName::new();
        Some(params.serialize_request(&self.key).ok()?.der().to_vec())
    }

    /// The whole `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The key in PKCS #8. A secret.
    pub(super) fn pem(&self) -> String {
        pem::encode("PRIVATE KEY", self.key.serialized_der())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_names_and_the_key_and_no_common_name() {
        let key = CertificateKey::generate().unwrap();
        let name = Identifier::Dns("a.example".into());
        let address = Identifier::Ip("192.0.2.1".parse().unwrap());
        let request = key.request(&[name, address]).unwrap();
        let has = |part: &[u8]| request.windows(part.len()).any(|it| it == part);
        assert!(has(b"\x82\x09a.example") && has(b"\x87\x04\xc0\x00\x02\x01"));
        assert!(has(&key.public_key()));
        assert!(!has(&[0x55, 0x04, 0x03]), "a common name");
        assert!(key.pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
