//! Certificates that are ordered by ACME: [`ManagedCertificate`].
//!
//! The state directory has one PEM file for each, with chain and key, so that a rename replaces
//! both at once. A listener with names and addresses has two, because authorities issue
//! certificates for addresses by other rules.
//!
//! Not here: who orders them.

use super::acme_values::DirectoryUrl;
use super::identifier::Identifier;
use super::own_certificate::OwnCertificate;
use super::problem::Location;
use std::fs;
use std::path::{Path, PathBuf};

/// Most characters of a name in the name of a file, which may have 255 with what follows it.
const PART_CHARS_MAX: usize = 200;

/// A certificate for some of a listener's `domains`.
#[derive(Clone, Debug)]
pub struct ManagedCertificate {
    /// Whom it is for: DNS names, or addresses, in the order of the configuration.
    pub names: Vec<Identifier>,
    /// The file for it in the state directory.
    pub file: PathBuf,
    /// Where the names are.
    pub location: Location,
    /// What the file holds; `None`: there is none yet, or it cannot be used.
    pub stored: Option<OwnCertificate>,
    /// Whether this user may not read the file.
    pub is_unreadable: bool,
    /// If there is none: certificates of other sets that have some of the names.
    pub stand_ins: Vec<OwnCertificate>,
    /// The names that no certificate is there for: clients that ask for them are refused.
    pub awaited: Vec<Identifier>,
}

/// The sets of names that have a certificate each.
pub fn sets(domains: &[Identifier]) -> impl Iterator<Item = Vec<Identifier>> {
    let is_name = |it: &Identifier| matches!(it, Identifier::Dns(_));
    let (names, addresses): (Vec<_>, _) = domains.iter().cloned().partition(is_name);
    [names, addresses].into_iter().filter(|it| !it.is_empty())
}

/// The file of the certificate for `names` from `directory`. Their order makes no difference.
pub fn file_of(state: &Path, directory: &DirectoryUrl, names: &[Identifier]) -> PathBuf {
    let mut names: Vec<_> = names.iter().map(Identifier::to_string).collect();
    names.sort_unstable();
    let first = names.first().map(|it| in_path(it)).unwrap_or_default();
    folder_of(state, directory).join(format!("{first}-{:08x}.pem", digest(&names.join(" "))))
}

/// The folder of the certificates from `directory`: that of its host, unless it belongs to another
/// directory at this host. The authorities of two directories may be trusted by different clients,
/// so the certificates of one are not those of the other.
pub fn folder_of(state: &Path, directory: &DirectoryUrl) -> PathBuf {
    let (folders, host) = (state.join("certificates"), in_path(&directory.authority));
    let of_host = folders.join(&host);
    let url = directory.to_string();
    let owner = fs::read_to_string(owner_file(&of_host));
    match owner {
        Ok(owner) if owner.trim_end() != url => {
            folders.join(format!("{host}-{:08x}", digest(&url)))
        }
        // Its own, or that of no one yet.
        Ok(_) | Err(_) => of_host,
    }
}

/// The file that holds the URL of the directory that a folder belongs to.
pub fn owner_file(folder: &Path) -> PathBuf {
    folder.join("directory")
}

/// The file of the key of an account at `directory`, bound to the external account `key_id` if that
/// is not empty. The directory of an internal authority may have several URLs at one host, so all
/// of it counts.
pub fn account_file(state: &Path, directory: &DirectoryUrl, key_id: &str) -> PathBuf {
    let host = in_path(&directory.authority);
    let digest = digest(&format!("{directory} {key_id}"));
    state.join("accounts").join(format!("{host}-{digest:08x}.pem"))
}

/// `text` as a part of a path: in lower case, with a hyphen for what is not plain, not too long.
fn in_path(text: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    let plain = text.chars().map(|it| if is_plain(it) { it.to_ascii_lowercase() } else { '-' });
    plain.take(PART_CHARS_MAX).collect()
}

/// FNV-1a: the same in every version of this program, and no one gains by a collision.
fn digest(text: &str) -> u32 {
    let step = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::str::FromStr;

    fn identifiers(names: &[&str]) -> Vec<Identifier> {
        names.iter().map(|name| Identifier::from_str(name).unwrap()).collect()
    }

    #[test]
    fn names_and_addresses_have_certificates_of_their_own() {
        let domains = identifiers(&["b.example", "203.0.113.7", "a.example", "2001:db8::1"]);
        let sets: Vec<_> = sets(&domains).collect();
        assert_eq!(sets[0], identifiers(&["b.example", "a.example"]));
        assert_eq!(sets[1], identifiers(&["203.0.113.7", "2001:db8::1"]));
        assert_eq!(super::sets(&domains[..1]).count(), 1);
    }

    #[test]
    fn a_second_directory_at_a_host_has_a_folder_of_its_own() {
        let state = Folder::new();
        let of = |path: &str| {
            let directory = DirectoryUrl::from_str(&format!("https://ca.example/{path}")).unwrap();
            folder_of(&state.path(""), &directory)
        };
        let folder = state.path("certificates/ca.example");
        assert_eq!((of("one"), of("two")), (folder.clone(), folder.clone()), "of no one yet");
        fs::create_dir_all(&folder).unwrap();
        fs::write(owner_file(&folder), "https://ca.example/one\n").unwrap();
        assert_eq!(of("one"), folder);
        let other = of("two").into_os_string().into_string().unwrap();
        assert!(other.contains("/certificates/ca.example-"), "{other}");
    }

    #[test]
    fn a_set_of_names_has_one_file_whatever_its_order() {
        let directory = DirectoryUrl::from_str("https://[::1]:14000/dir").unwrap();
        let file = |names: &[&str]| {
            let file = file_of(Path::new("/s"), &directory, &identifiers(names));
            file.to_str().unwrap().to_owned()
        };
        let one = file(&["a.example", "b.example"]);
        assert_eq!(one, "/s/certificates/---1--14000/a.example-bbb1ff5e.pem");
        assert_eq!(one, file(&["B.example", "a.example"]));
        assert_ne!(one, file(&["a.example"]));
        assert!(file(&["2001:db8::1"]).contains("/2001-db8--1-"));
        let long = format!("{}example.com", "a.".repeat(120));
        let path = file(&[&long]);
        assert!(path.rsplit('/').next().is_some_and(|name| name.len() < 230), "{path}");
    }
}
