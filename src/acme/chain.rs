//! The certificate that the CA issued, with its chain: [`Issued`].

use super::certificate_key::CertificateKey;
use super::failure::Failure;
use super::identifier::Identifier;
use super::pem;
use crate::tls::pem::{Content, blocks};
use crate::tls::x509::Certificate;
use std::fmt;

/// Most certificates of a chain. Those of well-known CAs have two to four.
const CHAIN_MAX: usize = 10;

/// A certificate, ready to be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate and its chain.
    pub chain_pem: String,
    /// Its key. A secret.
    pub key_pem: String,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
}

impl Issued {
    /// Reads a chain (RFC 8555, section 9.1), and checks that it is what was ordered.
    pub(super) fn read(
        body: &[u8],
        key: &CertificateKey,
        names: &[Identifier],
    ) -> Result<Self, Failure> {
        let blocks = blocks(body).map_err(|_| Failure::unusable("a chain that is not PEM"))?;
        if blocks.is_empty() || blocks.len() > CHAIN_MAX {
            let what = format!("a chain of {} certificates", blocks.len());
            return Err(Failure::unusable(&what));
        }
        let mut chain_pem = String::new();
        let mut first = None;
        for block in &blocks {
            let Content::Certificate(der) = &block.content else {
                return Err(Failure::unusable("something else than certificates in a chain"));
            };
            let certificate = Certificate::parse(der)
                .ok_or_else(|| Failure::unusable("a certificate that cannot be read"))?;
            chain_pem.push_str(&pem::encode("CERTIFICATE", certificate.der));
            first.get_or_insert(certificate);
        }
        let leaf = first.ok_or_else(|| Failure::unusable("an empty chain"))?;
        if leaf.public_key != key.public_key() {
            return Err(Failure::unusable("a certificate for another key"));
        }
        let has = leaf.names();
        if let Some(missing) = names.iter().find(|it| !has.contains(&it.to_string())) {
            return Err(Failure::unusable(&format!("a certificate without {missing}")));
        }
        let (not_before, not_after) = (leaf.not_before, leaf.not_after);
        Ok(Self { chain_pem, key_pem: key.pem(), not_before, not_after })
    }
}

/// Shows nothing of the key.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { not_before, not_after, .. } = self;
        write!(f, "Issued({not_before} to {not_after})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::testing::certificate_for;
    use crate::tls::testing::pem::{CERTIFICATE, KEY};

    fn names() -> Vec<Identifier> {
        vec![Identifier::Dns("a.example".into()), Identifier::Ip("2001:db8::1".parse().unwrap())]
    }

    #[test]
    fn a_chain_for_the_key_and_the_names_is_what_was_ordered() {
        let key = CertificateKey::generate().unwrap();
        let leaf = certificate_for(&names(), &key.request(&names()).unwrap(), 1000, 2000);
        let body = format!("\n{leaf}\r\n{CERTIFICATE}");
        let issued = Issued::read(body.as_bytes(), &key, &names()).unwrap();
        assert_eq!(issued.chain_pem, format!("{leaf}{CERTIFICATE}"));
        assert_eq!(issued.key_pem, key.pem());
        assert_eq!((issued.not_before, issued.not_after), (1000, 2000));
        assert_eq!(format!("{issued:?}"), "Issued(1000 to 2000)");
    }

    #[test]
    fn another_key_a_missing_name_and_other_blocks_are_refused() {
        let key = CertificateKey::generate().unwrap();
        let names = names();
        let leaf = certificate_for(&names, &key.request(&names).unwrap(), 1000, 2000);
        #[track_caller]
        fn check(body: &str, key: &CertificateKey, names: &[Identifier], want: &str) {
            let failure = Issued::read(body.as_bytes(), key, names).unwrap_err();
            assert_eq!(failure.text, format!("the CA's answer cannot be used: {want}"));
        }
        let other = CertificateKey::generate().unwrap();
        check(&leaf, &other, &names, "a certificate for another key");
        let more = [&names[..], &[Identifier::Dns("b.example".into())]].concat();
        check(&leaf, &key, &more, "a certificate without b.example");
        let with_key = format!("{leaf}{KEY}");
        check(&with_key, &key, &names, "something else than certificates in a chain");
        check("", &key, &names, "a chain of 0 certificates");
        check(&leaf.repeat(11), &key, &names, "a chain of 11 certificates");
        check(&leaf[..leaf.len() - 9], &key, &names, "a chain that is not PEM");
    }
}
