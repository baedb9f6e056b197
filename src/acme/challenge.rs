//! How control of a name is proven to a CA: [`Challenge`] (RFC 8555, section 8.3; RFC 8737).

use super::account_key::AccountKey;
use super::identifier::Identifier;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use std::fmt;

/// Longest token. Those of well-known CAs have 43 characters.
const TOKEN_BYTES_MAX: usize = 256;

/// The kinds that need no access to the DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// A TLS handshake on port 443 with a certificate that only the account's owner can make.
    TlsAlpn01,
    /// A file on port 80.
    Http01,
}

impl ChallengeKind {
    /// The one with this name, if it is one of ours.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "tls-alpn-01" => Some(Self::TlsAlpn01),
            "http-01" => Some(Self::Http01),
            _ => None,
        }
    }

    /// Where the CA connects to.
    pub fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }

    /// The other kind.
    pub fn other(self) -> Self {
        match self {
            Self::TlsAlpn01 => Self::Http01,
            Self::Http01 => Self::TlsAlpn01,
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "TLS-ALPN-01",
            Self::Http01 => "HTTP-01",
        })
    }
}

/// What has to be served until the order ends.
#[derive(Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A certificate for handshakes that offer `acme-tls/1` alone.
    TlsAlpn {
        /// For which server name.
        name: String,
        /// The certificate in DER.
        certificate: Vec<u8>,
        /// Its key, in PKCS #8, for this challenge alone.
        key: Vec<u8>,
    },
    /// A file at `/.well-known/acme-challenge/` and the token.
    Http {
        /// Letters, digits, `-` and `_`.
        token: String,
        /// The content of the file.
        key_authorization: String,
    },
}

impl Challenge {
    /// The answer to a token; `None` if this machine cannot make it.
    pub(super) fn new(
        kind: ChallengeKind,
        name: &Identifier,
        token: &str,
        key: &AccountKey,
    ) -> Option<Self> {
        let key_authorization = key.authorization(token);
        match kind {
            ChallengeKind::Http01 => {
                Some(Self::Http { token: token.to_owned(), key_authorization })
            }
            ChallengeKind::TlsAlpn01 => {
                let key = KeyPair::generate().ok()?;
                // The name of an address stays an address here (RFC 8738, section 6).
                let mut params = CertificateParams::new([name.to_string()]).ok()?;
                params.distinguished_name = DistinguishedName::new();
                let digest = digest(&SHA256, key_authorization.as_bytes());
                params.custom_extensions =
                    vec![CustomExtension::new_acme_identifier(digest.as_ref())];
                let certificate = params.self_signed(&key).ok()?.der().to_vec();
                let name = name.challenge_name();
                Some(Self::TlsAlpn { name, certificate, key: key.serialize_der() })
            }
        }
    }
}

/// Shows the name, and nothing secret.
impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsAlpn { name, .. } => write!(f, "TlsAlpn({name})"),
            Self::Http { .. } => f.write_str("Http"),
        }
    }
}

/// Whether a token can be a part of a path and of a file (RFC 8555, section 8.3).
pub(super) fn is_token(token: &str) -> bool {
    let is_base64url = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_base64url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::x509::Certificate;

    fn contains(all: &[u8], part: &[u8]) -> bool {
        all.windows(part.len()).any(|it| it == part)
    }

    #[test]
    fn a_file_has_the_token_and_the_thumbprint_of_the_account() {
        let key = AccountKey::generate().unwrap();
        let name = Identifier::Dns("a.example".into());
        let challenge = Challenge::new(ChallengeKind::Http01, &name, "t-1", &key).unwrap();
        let key_authorization = key.authorization("t-1");
        assert_eq!(challenge, Challenge::Http { token: "t-1".to_owned(), key_authorization });
    }

    #[test]
    fn a_certificate_names_the_identifier_and_has_the_digest_in_a_critical_extension() {
        let key = AccountKey::generate().unwrap();
        for (name, server_name) in
            [("a.example", "a.example"), ("192.0.2.1", "1.2.0.192.in-addr.arpa")]
        {
            let identifier =
                name.parse().map_or_else(|_| Identifier::Dns(name.into()), Identifier::Ip);
            let challenge = Challenge::new(ChallengeKind::TlsAlpn01, &identifier, "t", &key);
            let Some(Challenge::TlsAlpn { name: asked, certificate, .. }) = challenge else {
                panic!("{challenge:?}")
            };
            assert_eq!(asked, server_name);
            let parsed = Certificate::parse(&certificate).unwrap();
            assert_eq!(parsed.names(), [name]);
            // RFC 8737, section 3: 1.3.6.1.5.5.7.1.31, critical, an octet string in the other.
            let oid = [6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 34, 4, 32];
            let digest = digest(&SHA256, key.authorization("t").as_bytes());
            assert!(contains(&certificate, &[&oid, digest.as_ref()].concat()));
        }
    }

    #[test]
    fn a_token_is_base64url_and_nothing_that_changes_a_path() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA") && is_token("a_b"));
        for bad in ["", "a/b", "..", "a%2e", "a b", "a\n", "ä", "a=", &"a".repeat(257)] {
            assert!(!is_token(bad), "{bad}");
        }
    }
}
