//! Certificates that serve until the right one is there: [`stand_ins`].
//!
//! A set of names that gains or loses one needs another certificate. Until that is ordered, the
//! certificates of other sets that have some of its names are in the state directory, and clients
//! of those names need not be refused.

use super::acme_values::DirectoryUrl;
use super::identifier::Identifier;
use super::managed::folder_of;
use crate::tls::credential_file::{Chain, PrivateKey, read_file};
use crate::tls::identity::Identity;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most files that are read to find some.
const FILES_MAX: usize = 1000;

/// The certificates in `state` that have one of `names` and have not expired, the one that is valid
/// for longest first. Files that cannot be used are passed over.
pub(super) fn stand_ins(
    state: &Path,
    directory: &DirectoryUrl,
    names: &[Identifier],
) -> Vec<Rc<Identity>> {
    let is_useful = |it: &Identity| is_unexpired(it) && covers_any(it, names);
    let files = files(state, directory).into_iter();
    let mut found: Vec<_> = files.filter_map(|it| read(&it)).filter(is_useful).collect();
    found.sort_by_key(|it| -it.validity.not_after());
    found.into_iter().map(Rc::new).collect()
}

/// Whether a certificate may be valid now.
pub(super) fn is_unexpired(own: &Identity) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() as i64);
    own.validity.not_after() > now
}

/// Whether a certificate is for `name`.
pub(super) fn covers(own: &Identity, name: &Identifier) -> bool {
    own.names.iter().any(|it| Identifier::from_str(it).as_ref() == Ok(name))
}

fn covers_any(own: &Identity, names: &[Identifier]) -> bool {
    names.iter().any(|name| covers(own, name))
}

/// The files of certificates, those of `directory` first, each folder in the order of names.
fn files(state: &Path, directory: &DirectoryUrl) -> Vec<PathBuf> {
    let first = folder_of(state, directory);
    let others = in_folder(&state.join("certificates")).into_iter().filter(|it| *it != first);
    let folders = [first.clone()].into_iter().chain(others);
    let is_pem = |it: &PathBuf| it.extension().is_some_and(|it| it == "pem");
    folders.flat_map(|it| in_folder(&it)).filter(is_pem).take(FILES_MAX).collect()
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.take(FILES_MAX).map(|it| it.path()).collect();
    paths.sort();
    paths
}

fn read(file: &Path) -> Option<Identity> {
    let content = read_file(file).ok()?;
    let (chain, key) = (Chain::parse(file, &content).ok()?, PrivateKey::parse(file, &content));
    Identity::new(chain, key.ok()?).ok()
}
