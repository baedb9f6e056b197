//! The key of an account: [`AccountKey`], ECDSA on P-256, which every CA has to accept (RFC 8555,
//! section 6.2).

use super::base64url;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use std::fmt;

/// The key that signs requests. Anyone who has it controls the account.
pub struct AccountKey {
    key: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl AccountKey {
    /// A new key; `None` if the machine cannot make one.
    pub fn generate() -> Option<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).ok()?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// A key that was stored; `None` if this is not one on P-256.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
        Some(Self { key, pkcs8: pkcs8.to_vec() })
    }

    /// The key in PKCS #8, to store it. A secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key as a JWK (RFC 7518, section 6.2), its members in the order of RFC 7638,
    /// section 3.2, and without blanks.
    pub(super) fn jwk(&self) -> String {
        // One byte says that both coordinates follow.
        let point = self.key.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (base64url::encode(x), base64url::encode(y));
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
    }

    /// What a challenge is answered with (RFC 8555, section 8.1).
    pub(super) fn authorization(&self, token: &str) -> String {
        let thumbprint = digest(&SHA256, self.jwk().as_bytes());
        format!("{token}.{}", base64url::encode(thumbprint))
    }

    /// Signs with ES256; `None` if the machine cannot.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.key.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// Shows nothing of the key.
impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_stored_key_is_the_same_key_and_others_are_refused() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.jwk(), key.jwk());
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64, "JWS has both numbers side by side, not DER");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.key.public_key());
        assert!(public.verify(b"message", &signature).is_ok());

        for len in 0..key.pkcs8().len() {
            assert!(AccountKey::from_pkcs8(&key.pkcs8()[..len]).is_none(), "{len}");
        }
        assert_eq!(format!("{key:?}"), "AccountKey { .. }");
    }

    #[test]
    fn the_jwk_has_both_coordinates_in_the_order_of_the_thumbprint() {
        let key = AccountKey::generate().unwrap();
        let jwk: serde_json::Value = serde_json::from_str(&key.jwk()).unwrap();
        let coordinate = |it: &str| base64url::decode(jwk[it].as_str().unwrap()).unwrap();
        let point = [&[4], &*coordinate("x"), &*coordinate("y")].concat();
        assert_eq!(key.key.public_key().as_ref(), point);
        assert!(key.jwk().starts_with(r#"{"crv":"P-256","kty":"EC","x":""#));
        let (token, thumbprint) = key.authorization("token").split_once('.').map_or_else(
            || panic!("no dot"),
            |(token, thumbprint)| (token.to_owned(), base64url::decode(thumbprint).unwrap()),
        );
        assert_eq!(token, "token");
        assert_eq!(thumbprint, digest(&SHA256, key.jwk().as_bytes()).as_ref());
    }
}
