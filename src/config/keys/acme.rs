//! `[acme]`: [`AcmeConfig`] and its keys.

use crate::config::acme_values::{Contact, DirectoryUrl, Word};
use crate::config::key::Default::{Literal, Required, Words};
use crate::config::key::Read::With;
use crate::config::key::{Key, read_table, row};
use crate::config::table::{Reader, Table};
use crate::config::value::NamedFile;
use rustix::process::geteuid;
use std::env;
use std::path::PathBuf;

/// Where certificates are ordered, and where they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The directory for accounts, keys and certificates; `None`: see
    /// [`state_directory`](Self::state_directory).
    pub state: Option<NamedFile>,
    /// The authority's directory.
    pub directory: DirectoryUrl,
    /// How the authority can reach the operator.
    pub contact: Vec<Contact>,
    /// The profile of certificates; `None`: the authority's own choice.
    pub profile: Option<Word>,
    /// Roots for the directory itself instead of the built-in ones.
    pub ca: Option<NamedFile>,
    /// The account that the operator has at the authority.
    pub external_account: Option<ExternalAccount>,
}

/// An account that an ACME account is bound to (RFC 8555, section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its identifier.
    pub key_id: Word,
    /// A file with its MAC key, in base64url.
    pub key_file: NamedFile,
}

impl AcmeConfig {
    /// The directory for accounts, keys and certificates: that of the configuration, or the first
    /// one that the environment names. `None`: it names none, not even a home.
    pub fn state_directory(&self) -> Option<PathBuf> {
        match &self.state {
            Some(state) => Some(state.path.clone()),
            None => default_state(|name| env::var(name).ok(), geteuid().is_root()),
        }
    }
}

/// What systemd gives, what root has, and what other users have (XDG Base Directory).
fn default_state(variable: impl Fn(&str) -> Option<String>, is_root: bool) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
    // systemd separates several directories by colons.
    let of_systemd = variable("STATE_DIRECTORY");
    let of_systemd = of_systemd.and_then(|it| it.split(':').next().map(PathBuf::from));
    let of_root = || is_root.then(|| PathBuf::from("/var/lib/narrows"));
    let of_user = || Some(absolute("XDG_STATE_HOME")?.join("narrows"));
    let of_home = || Some(absolute("HOME")?.join(".local/state/narrows"));
    of_systemd.filter(|it| it.is_absolute()).or_else(of_root).or_else(of_user).or_else(of_home)
}

pub(super) const KEYS: &[Key<AcmeConfig>] = &[
    Key::new(
        "state",
        With(|it, entry| it.state = entry.file()),
        Words(
            "`$STATE_DIRECTORY` (systemd), `/var/lib/narrows` for root, or \
             `$XDG_STATE_HOME/narrows`, `~/.local/state/narrows`",
        ),
        row(
            "Directory for the account's key, certificates and their keys. It is made with mode \
             0700 if it does not exist. Keep it: who loses it orders everything anew, and \
             authorities limit how often.",
            "a directory, relative to this file's folder",
        ),
    ),
    Key::new(
        "directory",
        With(|it, entry| it.directory = entry.value().unwrap_or_default()),
        Literal("\"https://acme-v02.api.letsencrypt.org/directory\""),
        row("The authority's ACME directory.", "an `https://` URL"),
    ),
    Key::new(
        "contact",
        With(|it, entry| it.contact = entry.one_or_more()),
        Words("none"),
        row(
            "Where the authority may write to. Let's Encrypt sends no mail any more; others \
             require an address.",
            "`\"mailto:me@example.com\"`, or a list",
        ),
    ),
    Key::new(
        "profile",
        With(|it, entry| it.profile = entry.value()),
        Words("the authority's own; `\"shortlived\"` for addresses where it exists"),
        row(
            "Which of the authority's kinds of certificate is ordered.",
            "a name that the authority gives, such as `\"shortlived\"`",
        ),
    ),
    Key::new(
        "ca",
        With(|it, entry| it.ca = entry.file()),
        Words("the built-in roots"),
        row(
            "[PEM file](#pem-files) of root certificates that the directory itself is verified \
             against, for an authority of your own.",
            "a file of up to 1 MiB, relative to this file's folder",
        ),
    ),
    Key::new(
        "external_account",
        With(|it, entry| {
            if let Some((reader, table)) = entry.table() {
                it.external_account = read_account(reader, table);
            }
        }),
        Words("none"),
        row(
            "The account at the authority that orders are made for, where it requires one.",
            "a table: `{ key_id = \"kid-1\", key_file = \"eab.key\" }`",
        ),
    ),
];

/// The table `external_account` as it is read.
#[derive(Default)]
pub(super) struct AccountDraft {
    key_id: Option<Word>,
    key_file: Option<NamedFile>,
}

pub(super) const ACCOUNT_KEYS: &[Key<AccountDraft>] = &[
    Key::new(
        "key_id",
        With(|it, entry| it.key_id = entry.value()),
        Required,
        row("The identifier that the authority gave.", "`\"kid-1\"`"),
    ),
    Key::new(
        "key_file",
        With(|it, entry| it.key_file = entry.file()),
        Required,
        row(
            "The file with the MAC key that the authority gave with it, in base64url. It is read \
             when an account is made.",
            "a file, relative to this file's folder",
        ),
    ),
];

fn read_account(reader: &mut Reader, table: Table<'_>) -> Option<ExternalAccount> {
    let mut draft = AccountDraft::default();
    read_table(reader, table, ACCOUNT_KEYS, &mut draft);
    Some(ExternalAccount { key_id: draft.key_id?, key_file: draft.key_file? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MINIMAL, read, refuse};
    use std::path::Path;

    #[test]
    fn every_key_of_acme_is_read() {
        let text = format!(
            r#"{MINIMAL}
            [acme]
            state = "state"
            directory = "https://ca.internal:9000/dir"
            contact = ["mailto:me@example.com"]
            profile = "shortlived"
            ca = "/ca.pem"
            external_account = {{ key_id = "kid-1", key_file = "eab.key" }}
            "#
        );
        let acme = read(&text).unwrap().acme;
        assert_eq!(acme.state_directory().as_deref(), Some(Path::new("folder/state")));
        assert_eq!(acme.directory.to_string(), "https://ca.internal:9000/dir");
        assert_eq!(&*acme.contact[0].0, "mailto:me@example.com");
        assert_eq!(&*acme.profile.unwrap().0, "shortlived");
        assert_eq!(acme.ca.unwrap().path, Path::new("/ca.pem"));
        let account = acme.external_account.unwrap();
        assert_eq!(&*account.key_id.0, "kid-1");
        assert_eq!(account.key_file.path, Path::new("folder/eab.key"));
        assert_eq!(read(MINIMAL).unwrap().acme, AcmeConfig::default());
    }

    #[test]
    fn what_is_wrong_with_a_key_of_acme_is_said() {
        let with = |line: &str| format!("{MINIMAL}\n[acme]\n{line}\n");
        refuse(
            &with("directory = \"zerossl\""),
            "did you mean \"https://acme.zerossl.com/v2/DV90\"",
        );
        refuse(
            &with("contact = \"me@example.com\""),
            "acme.contact: \"…@example.com\" lacks mailto:",
        );
        refuse(
            &with("external_account = { key_id = \"a\" }"),
            "acme.external_account.key_file: this key is missing",
        );
        refuse(&with("email = \"me@example.com\""), "acme: unknown key \"email\"");
    }

    #[test]
    fn the_state_directory_comes_from_systemd_or_from_the_user() {
        let check = |variables: &[(&str, &str)], is_root, want: Option<&str>| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(default_state(variable, is_root), want.map(PathBuf::from), "{variables:?}");
        };
        let home = ("HOME", "/home/a");
        check(&[("STATE_DIRECTORY", "/s:/t"), home], true, Some("/s"));
        check(&[home], true, Some("/var/lib/narrows"));
        check(&[("XDG_STATE_HOME", "/x"), home], false, Some("/x/narrows"));
        check(&[("XDG_STATE_HOME", "x"), home], false, Some("/home/a/.local/state/narrows"));
        check(&[("STATE_DIRECTORY", ""), home], false, Some("/home/a/.local/state/narrows"));
        check(&[], false, None);
    }
}
