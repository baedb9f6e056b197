//! The key of the account, one for each directory: loaded, or made and stored.

use crate::acme::account_key::AccountKey;
use crate::acme::pem;
use crate::config::acme_values::DirectoryUrl;
use crate::config::managed::account_file;
use crate::control::acme::state_directory::{StateDirectory, StateError, read, replace, set_aside};
use crate::tls::pem::{Content, blocks};
use std::path::PathBuf;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The key of an account.
pub(super) struct StoredKey {
    pub(super) key: AccountKey,
    /// It was just made, so the directory does not know it.
    pub(super) is_new: bool,
    /// The name of a file that could not be used.
    pub(super) set_aside: Option<PathBuf>,
}

/// The key for `directory`, and for this external account.
///
/// # Errors
/// The state directory cannot be used. `None`: this machine cannot make a key.
pub(super) fn load_or_make(
    state: &StateDirectory,
    directory: &DirectoryUrl,
    key_id: &str,
) -> Result<Option<StoredKey>, StateError> {
    let file = account_file(&state.file(""), directory, key_id);
    let mut aside = None;
    if let Some(content) = read(&file)? {
        if let Some(key) = parse(&content) {
            return Ok(Some(StoredKey { key, is_new: false, set_aside: None }));
        }
        aside = Some(set_aside(&file)?);
    }
    let Some(key) = AccountKey::generate() else { return Ok(None) };
    replace(&file, pem::encode("PRIVATE KEY", key.pkcs8()).as_bytes())?;
    Ok(Some(StoredKey { key, is_new: true, set_aside: aside }))
}

fn parse(content: &[u8]) -> Option<AccountKey> {
    let [block] = &*blocks(content).ok()? else { return None };
    match &block.content {
        Content::Key(PrivateKeyDer::Pkcs8(key)) => AccountKey::from_pkcs8(key.secret_pkcs8_der()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::fs;

    const DIRECTORY: &str = "https://ca.example:9000/acme/directory";

    fn load(folder: &Folder, url: &str, key_id: &str) -> StoredKey {
        let state = StateDirectory::at(&folder.path("state"));
        load_or_make(&state, &url.parse().unwrap(), key_id).unwrap().unwrap()
    }

    #[test]
    fn a_directory_has_one_key_that_is_used_again() {
        let folder = Folder::new();
        let first = load(&folder, DIRECTORY, "");
        assert!(first.is_new);
        let again = load(&folder, DIRECTORY, "");
        assert!(!again.is_new && again.key.pkcs8() == first.key.pkcs8());
        for (url, key_id) in [("https://ca.example:9000/other", ""), (DIRECTORY, "kid-1")] {
            assert!(load(&folder, url, key_id).is_new, "{url} {key_id}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_is_set_aside_and_another_is_made() {
        let folder = Folder::new();
        let first = load(&folder, DIRECTORY, "");
        let state = StateDirectory::at(&folder.path("state"));
        let file = account_file(&state.file(""), &DIRECTORY.parse().unwrap(), "");
        fs::write(&file, "{\"version\": 2}").unwrap();
        let second = load(&folder, DIRECTORY, "");
        assert!(second.is_new && second.key.pkcs8() != first.key.pkcs8());
        assert_eq!(fs::read(second.set_aside.unwrap()).unwrap(), b"{\"version\": 2}");
        assert!(!load(&folder, DIRECTORY, "").is_new);
    }
}
