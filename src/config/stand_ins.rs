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

/// The certificates from `directory` in `state` that have one of `names` and have not expired, the
/// one that is valid for longest first. Files that cannot be used are passed over. So are those of
/// other authorities, which clients may not trust, such as one for tests.
pub(super) fn stand_ins(
    state: &Path,
    directory: &DirectoryUrl,
    names: &[Identifier],
) -> Vec<Rc<Identity>> {
    let is_useful = |it: &Identity| is_unexpired(it) && covers_any(it, names);
    let files = files(&folder_of(state, directory)).into_iter();
    let mut found: Vec<_> = files.filter_map(|it| read(&it)).filter(is_useful).collect();
    found.sort_by_key(|it| -it.validity.not_after());
    found.into_iter().map(Rc::new).collect()
}

/// Whether a certificate may be valid now.
pub(super) fn is_unexpired(own: &Identity) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() as i64);
    own.validity.not_after() > now
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
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path());
    let is_pem = |it: &PathBuf| it.extension().is_some_and(|it| it == "pem");
    let mut files: Vec<_> = paths.filter(is_pem).take(FILES_MAX).collect();
    files.sort();
    files
}

fn read(file: &Path) -> Option<Identity> {
    let content = read_file(file).ok()?;
    let (chain, key) = (Chain::parse(file, &content).ok()?, PrivateKey::parse(file, &content));
    Identity::new(chain, key.ok()?).ok()
}
