//! A certificate in the state directory: what is known of it, and how it is written.

use crate::acme::schedule::Lifetime;
use crate::control::acme::state_directory::{StateError, read, set_aside};
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::{Chain, PrivateKey};
use crate::tls::identity::Identity;
use crate::tls::x509::Certificate;
use std::path::{Path, PathBuf};

/// A certificate that serves.
#[derive(Debug)]
pub(super) struct Stored {
    /// The certificate itself, in DER.
    pub(super) leaf: Vec<u8>,
    pub(super) lifetime: Lifetime,
}

/// A file that does not hold one.
#[derive(Debug)]
pub(super) struct Unusable {
    /// Why.
    pub(super) why: String,
    /// Its name now.
    pub(super) set_aside: PathBuf,
}

/// What a file holds. One that cannot be used is set aside.
///
/// # Errors
/// It cannot be read, or cannot be renamed.
pub(super) fn look(file: &Path) -> Result<Result<Option<Stored>, Unusable>, StateError> {
    let Some(content) = read(file)? else { return Ok(Ok(None)) };
    match parse(file, &content) {
        Ok(stored) => Ok(Ok(Some(stored))),
        Err(why) => Ok(Err(Unusable { why, set_aside: set_aside(file)? })),
    }
}

/// Whether a file holds one, or may: it cannot be read now.
pub(super) fn is_there(file: &Path) -> bool {
    match read(file) {
        Ok(content) => content.is_some_and(|content| parse(file, &content).is_ok()),
        Err(_) => true,
    }
}

/// The certificate of a chain and its key.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn parse(file: &Path, content: &[u8]) -> Result<Stored, String> {
    let explain = |error: CredentialError| error.to_string();
    let chain = Chain::parse(file, content).map_err(explain)?;
    let key = PrivateKey::parse(file, content).map_err(explain)?;
    let identity = Identity::new(chain, key).map_err(explain)?;
    let leaf = identity.chain().first().map(|it| it.to_vec()).unwrap_or_default();
    let parsed = Certificate::parse(&leaf).ok_or("the certificate is damaged")?;
    let (not_before, not_after) = (parsed.not_before, parsed.not_after);
    Ok(Stored { leaf, lifetime: Lifetime { not_before, not_after } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::chain::{INTERMEDIATE, LEAF, LEAF_KEY};
    use crate::tls::testing::pem::{Folder, KEY_OF_ANOTHER};

    #[test]
    fn a_chain_with_its_key_is_used_and_everything_else_is_set_aside() {
        let folder = Folder::new();
        assert!(look(&folder.path("none.pem")).unwrap().unwrap().is_none());
        let file = folder.write("a.pem", [LEAF, INTERMEDIATE, LEAF_KEY].concat());
        let stored = look(&file).unwrap().unwrap().unwrap();
        assert!(stored.lifetime.not_before < stored.lifetime.not_after);
        assert!(is_there(&file) && !is_there(&folder.path("none.pem")));
        for content in ["", LEAF, LEAF_KEY, &[LEAF, KEY_OF_ANOTHER].concat(), "version 2"] {
            let file = folder.write("b.pem", content);
            assert!(!is_there(&file));
            let unusable = look(&file).unwrap().unwrap_err();
            assert!(!unusable.why.is_empty() && !file.exists() && unusable.set_aside.exists());
        }
    }
}
