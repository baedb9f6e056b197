//! Files that systemd passes to a service: `LoadCredential=` and `LoadCredentialEncrypted=`.
//!
//! They are in a directory that only the service can read, which `$CREDENTIALS_DIRECTORY` names.

use super::table::Entry;
use super::value::NamedFile;
use std::env;
use std::path::{Path, PathBuf};

/// The name of a file. One without a slash is that of a credential, if there is one; otherwise a
/// relative name starts from the folder of the configuration file.
pub(super) fn file_or_credential(entry: Entry<'_, '_>) -> Option<NamedFile> {
    let is_bare = entry.is_bare_name();
    let file = entry.file()?;
    let name = file.path.file_name().filter(|_| is_bare);
    let credential = name.and_then(|name| Some(directory()?.join(name)));
    match credential.filter(|it| it.is_file()) {
        Some(path) => Some(NamedFile { path, ..file }),
        None => Some(file),
    }
}

/// Whether systemd has passed it.
pub(super) fn is_credential(file: &Path) -> bool {
    directory().is_some_and(|it| file.starts_with(it))
}

/// Whether systemd has passed any.
pub(super) fn are_passed() -> bool {
    directory().is_some()
}

fn directory() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|it| it.is_absolute())
}
