//! Which clients a listener lets in, by their certificates: [`ClientRules`].

use crate::error::TlsFault;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::{Chain, RevocationLists, Roots};
use crate::tls::provider::PROVIDER;
use crate::tls::roots;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateRevocationListDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

/// Each client has to show a certificate for clients that is valid and that one of these roots has
/// issued. With lists of revoked certificates, each issuer in its chain has to have one, and the
/// list must not have what it issued.
///
/// A list counts also after the date of its next update. Otherwise the failure of the job that
/// fetches it would lock every client out.
#[derive(Clone, Debug)]
pub struct ClientRules {
    roots: Roots,
    lists: Arc<[CertificateRevocationListDer<'static>]>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientRules {
    /// For certificates that a root in `ca` has issued, and that are in none of `lists`.
    ///
    /// # Errors
    /// TLS cannot use a certificate in `ca`.
    pub fn new(ca: &Chain, lists: Option<&RevocationLists>) -> Result<Self, CredentialError> {
        let lists: Arc<[_]> = lists.map(|it| it.lists.clone()).unwrap_or_default().into();
        let roots = Arc::new(roots::named(ca)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, PROVIDER.clone())
            .with_crls(lists.iter().cloned())
            .build()
            // There is a root, and the lists were parsed.
            .map_err(|_| CredentialError::Tls(TlsFault::Other))?;
        Ok(Self { roots: ca.certificates(), lists, verifier })
    }
}

/// The verifier depends on nothing else.
impl PartialEq for ClientRules {
    fn eq(&self, other: &Self) -> bool {
        self.roots == other.roots && self.lists == other.lists
    }
}

impl Eq for ClientRules {}

impl Hash for ClientRules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.roots.hash(state);
        self.lists.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fault;
    use std::path::Path;
    use std::time::Duration;
    use tokio_rustls::rustls::pki_types::UnixTime;

    const CA: &str = include_str!("../../certs/clients-ca.pem");
    const LISTS: &str = include_str!("../../certs/clients-crl.pem");
    const CLIENT: &str = include_str!("../../certs/client.pem");
    const REVOKED: &str = include_str!("../../certs/client-revoked.pem");
    const EXPIRED: &str = include_str!("../../certs/client-expired.pem");
    const FOREIGN: &str = include_str!("../../certs/client-foreign.pem");
    const SERVER: &str = include_str!("../../certs/wildcard.pem");
    const NAMES_CA: &str = include_str!("../../certs/names-ca.pem");

    fn rules(ca: &str, lists: Option<&str>) -> ClientRules {
        let lists = lists
            .map(|text| RevocationLists::parse(Path::new("crl.pem"), text.as_bytes()).unwrap());
        ClientRules::new(&chain(ca), lists.as_ref()).unwrap()
    }

    fn chain(text: &str) -> Chain {
        Chain::parse(Path::new("ca.pem"), text.as_bytes()).unwrap()
    }

    fn verify(rules: &ClientRules, shown: &str) -> Result<(), &'static str> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let shown = chain(shown).certificates();
        let verified = rules.verifier.verify_client_cert(&shown[0], &shown[1..], now);
        verified.map(|_| ()).map_err(|error| fault::of_rustls(&error).reason())
    }

    #[test]
    fn a_client_is_let_in_by_a_valid_certificate_of_a_named_root_that_is_not_revoked() {
        for lists in [None, Some(LISTS)] {
            let rules = rules(CA, lists);
            assert_eq!(verify(&rules, CLIENT), Ok(()));
            assert_eq!(verify(&rules, EXPIRED), Err("expired"));
            assert_eq!(verify(&rules, FOREIGN), Err("unknown_ca"));
            assert_eq!(verify(&rules, REVOKED), lists.map_or(Ok(()), |_| Err("revoked")));
        }
    }

    #[test]
    fn a_certificate_of_a_server_is_none_of_a_client() {
        assert_eq!(verify(&rules(NAMES_CA, None), SERVER), Err("wrong_purpose"));
    }

    #[test]
    fn a_certificate_whose_issuer_has_no_list_is_refused() {
        let both = [CA, NAMES_CA].concat();
        assert_eq!(verify(&rules(&both, None), FOREIGN), Ok(()));
        assert_eq!(verify(&rules(&both, Some(LISTS)), FOREIGN), Err("revocation_unknown"));
        assert_eq!(verify(&rules(&both, Some(LISTS)), CLIENT), Ok(()));
    }

    #[test]
    fn rules_are_the_same_if_roots_and_lists_are() {
        let one = rules(CA, Some(LISTS));
        assert_eq!(one, rules(CA, Some(LISTS)));
        assert_ne!(one, rules(CA, None));
        assert_ne!(one, rules(&[CA, NAMES_CA].concat(), Some(LISTS)));
    }
}
