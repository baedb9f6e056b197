//! What we show to a peer: [`Identity`], a certificate with its key and the certificates of its
//! issuers, in the order in which TLS sends them.

use crate::tls::credential_error::{CertificateFault, CredentialError};
use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::fault;
use crate::tls::provider::PROVIDER;
use crate::tls::validity::Validity;
use crate::tls::x509::Certificate;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

/// A certificate of ours with its key, and with the certificates of its issuers.
#[derive(Debug)]
pub struct Identity {
    /// The chain, and what signs with the key.
    pub(super) certified: Arc<CertifiedKey>,
    /// Whom it is for; of many names the first. [`every_name`](Self::every_name) has the others.
    pub names: Vec<String>,
    /// From when to when it is valid.
    pub validity: Arc<Validity>,
    /// What is odd about the files.
    pub remarks: Vec<String>,
}

impl Identity {
    /// The certificate, then that of its issuer, and so on.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Whom it is for, with all names.
    pub fn every_name(&self) -> Vec<String> {
        let own = self.chain().first().and_then(parse);
        own.map(|it| it.every_name()).unwrap_or_default()
    }

    /// Finds the certificate that `key` belongs to, and orders the others after it.
    ///
    /// # Errors
    /// We cannot sign with a key of this kind, or it belongs to none of the certificates, or to one
    /// that TLS cannot use.
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Self, CredentialError> {
        let Ok(signer) = PROVIDER.key_provider.load_private_key(key.key.clone_key()) else {
            return Err(CredentialError::UnusableKey(key.file));
        };
        let own = match signer.public_key() {
            Some(own) => {
                chain.certificates.iter().position(|(_, it)| public_key(it) == Some(&*own))
            }
            None => Some(0),
        };
        let Some(own) = own else {
            return Err(CredentialError::Mismatch { certificate: chain.file, key: key.file });
        };
        let line = chain.certificates[own].0;
        if let Some(version @ 1..3) = parse(&chain.certificates[own].1).map(|it| it.version) {
            let fault = CertificateFault::Version(version);
            return Err(CredentialError::BadCertificate(chain.file, line, fault));
        }
        let mut remarks = chain.remarks;
        let certificates = order(chain.certificates, own, &mut remarks);
        let names = parse(&certificates[0]).map(|it| it.names()).unwrap_or_default();
        let validity = Arc::new(Validity::of(&certificates));
        let certified = CertifiedKey::new(certificates, signer);
        match certified.keys_match() {
            // That of a key which does not say its public half: it was the only choice above.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(error) => {
                let fault = CertificateFault::Refused(fault::of_rustls(&error));
                return Err(CredentialError::BadCertificate(chain.file, line, fault));
            }
        }
        Ok(Self { certified: Arc::new(certified), names, validity, remarks })
    }
}

fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Option<Certificate<'c>> {
    Certificate::parse(certificate)
}

fn public_key<'c>(certificate: &'c CertificateDer<'_>) -> Option<&'c [u8]> {
    parse(certificate).map(|it| it.public_key)
}

/// The certificate with the index `own`, then that of its issuer, and so on. Then others of the
/// same names, because a client may prefer a cross-signed one. The rest is left out. Remarks say
/// how this differs from the file.
fn order(
    certificates: Vec<(usize, CertificateDer<'static>)>,
    own: usize,
    remarks: &mut Vec<String>,
) -> Vec<CertificateDer<'static>> {
    let lines: Vec<_> = certificates.iter().map(|(line, _)| *line).collect();
    let mut rest = certificates;
    let mut chain = vec![rest.remove(own)];
    while let Some(issuer) = chain.last().and_then(|(_, last)| position_of_issuer(last, &rest)) {
        chain.push(rest.remove(issuer));
    }
    let issues_one = |it: &CertificateDer<'_>| {
        let name = parse(it).map(|it| it.subject.to_vec());
        chain.iter().any(|(_, issued)| parse(issued).map(|it| it.issuer.to_vec()) == name)
    };
    let (others, strays): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, it)| issues_one(it));
    for (line, _) in &strays {
        remarks.push(format!(
            "the certificate in line {line} has no part in the chain of the key's own, and is not \
             sent"
        ));
    }
    chain.extend(others);
    let is_sent = |line: &&usize| strays.iter().all(|(stray, _)| stray != *line);
    if !lines.iter().filter(is_sent).eq(chain.iter().map(|(line, _)| line)) {
        remarks.push(
            "the certificates are not in the order of TLS; the key's own is sent first, then who \
             issued it, and so on"
                .to_owned(),
        );
    }
    chain.into_iter().map(|(_, certificate)| certificate).collect()
}

fn position_of_issuer(
    issued: &CertificateDer<'_>,
    among: &[(usize, CertificateDer<'_>)],
) -> Option<usize> {
    let issued = parse(issued).filter(|it| !it.is_self_issued())?;
    among.iter().position(|(_, it)| parse(it).is_some_and(|it| it.subject == issued.issuer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{
        INTERMEDIATE, LEAF, LEAF_KEY, ROOT, VERSION_1, VERSION_1_KEY,
    };
    use crate::tls::testing::pem::{CERTIFICATE, Folder};

    fn identity(certificates: &str, key: &str) -> Result<Identity, CredentialError> {
        let folder = Folder::new();
        let chain = Chain::read(&folder.write("chain.pem", certificates))?;
        Identity::new(chain, PrivateKey::read(&folder.write("key.pem", key))?)
    }

    #[test]
    fn a_chain_is_sent_in_the_order_of_tls_whatever_the_order_of_the_file() {
        let sent = |text: &str| {
            let identity = identity(text, LEAF_KEY).unwrap();
            (identity.chain().to_vec(), identity.remarks.len())
        };
        let (want, none) = sent(&[LEAF, INTERMEDIATE, ROOT].concat());
        assert_eq!((want.len(), none), (3, 0));
        for text in [
            [ROOT, INTERMEDIATE, LEAF],
            [INTERMEDIATE, LEAF, ROOT],
            [LEAF, ROOT, INTERMEDIATE],
            [INTERMEDIATE, ROOT, LEAF],
            [ROOT, LEAF, INTERMEDIATE],
        ] {
            assert_eq!(sent(&text.concat()), (want.clone(), 1));
        }
        assert_eq!(sent(&[LEAF, INTERMEDIATE].concat()), (want[..2].to_vec(), 0));
        assert_eq!(sent(&[INTERMEDIATE, LEAF].concat()), (want[..2].to_vec(), 1));
        let with_stray = [LEAF, CERTIFICATE, INTERMEDIATE].concat();
        assert_eq!(sent(&with_stray), (want[..2].to_vec(), 1));
    }

    #[test]
    fn a_remark_says_how_what_is_sent_differs_from_the_file() {
        let remarks =
            identity(&[INTERMEDIATE, CERTIFICATE, LEAF].concat(), LEAF_KEY).unwrap().remarks;
        let line = INTERMEDIATE.lines().count() + 1;
        assert!(remarks[0].contains(&format!("in line {line} has no part")), "{remarks:?}");
        assert!(remarks[1].contains("not in the order of TLS"), "{remarks:?}");
    }

    #[test]
    fn a_certificate_of_version_1_is_refused_with_the_reason() {
        let error = identity(VERSION_1, VERSION_1_KEY).unwrap_err().to_string();
        assert!(error.contains("it is of X.509 version 1, which no client accepts"), "{error}");
    }
}
