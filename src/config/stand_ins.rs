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
use crate::tls::validity::since_1970;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::SystemTime;

/// Most files that are read to find some.
const FILES_MAX: usize = 1000;

/// The certificates in `state` that have one of `names` and have not expired. Those from
/// `directory` come first, because clients may not trust another authority, such as one for tests;
/// of each kind, the one that is valid for longest. Files that cannot be used are passed over.
pub(super) fn stand_ins(
    state: &Path,
    directory: &DirectoryUrl,
    names: &[Identifier],
) -> Vec<Rc<Identity>> {
    let is_useful = |it: &Identity| is_unexpired(it) && covers_any(it, names);
    let own = folder_of(state, directory);
    let folders = own.parent().map(folders).unwrap_or_default().into_iter();
    let others: Vec<_> = folders.filter(|it| *it != own).flat_map(|it| files(&it)).collect();
    let mut stand_ins = Vec::new();
    for files in [files(&own), others] {
        let files = files.iter().take(FILES_MAX);
        let mut found: Vec<_> = files.filter_map(|it| read(it)).filter(is_useful).collect();
        found.sort_by_cached_key(|it| -it.validity.not_after());
        stand_ins.extend(found.into_iter().map(Rc::new));
    }
    stand_ins
}

/// Whether a certificate may be valid now.
pub(super) fn is_unexpired(own: &Identity) -> bool {
    own.validity.not_after() > since_1970(SystemTime::now())
}

/// Whether a certificate is for `name` that has the name `certified`, which may be a wildcard for
/// one label.
pub(super) fn covers(certified: &str, name: &Identifier) -> bool {
    match (certified.strip_prefix("*."), name) {
        (Some(parent), Identifier::Dns(name)) => {
            let parent = parent.strip_suffix('.').unwrap_or(parent);
            name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
        _ => Identifier::from_str(certified).as_ref() == Ok(name),
    }
}

fn covers_any(own: &Identity, names: &[Identifier]) -> bool {
    own.every_name().iter().any(|it| names.iter().any(|name| covers(it, name)))
}

/// The files of certificates in `folder`, in the order of names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = paths(folder);
    files.retain(|it| it.extension().is_some_and(|it| it == "pem"));
    files
}

/// The folders of all authorities.
fn folders(certificates: &Path) -> Vec<PathBuf> {
    let mut folders = paths(certificates);
    folders.retain(|it| it.is_dir());
    folders
}

/// What is in a folder, in the order of names.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.take(FILES_MAX).map(|it| it.path()).collect();
    paths.sort_unstable();
    paths
}

fn read(file: &Path) -> Option<Identity> {
    let content = read_file(file).ok()?;
    let (chain, key) = (Chain::parse(file, &content).ok()?, PrivateKey::parse(file, &content));
    Identity::new(chain, key.ok()?).ok()
}
