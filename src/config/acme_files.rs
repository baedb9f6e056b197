//! Finds the state directory, and checks the files that `[acme]` names. They are read anew for use.

use super::keys::acme::{AcmeConfig, ExternalAccount};
use super::keys::top::Config;
use super::managed::account_file;
use super::problem::Location;
use super::tls_files::TlsFiles;
use crate::tls::credential_file::read_file;
use std::path::{Path, PathBuf};

/// The state directory, if a listener needs it. Notes what is wrong with the files for orders.
pub(super) fn state_directory(config: &Config, files: &mut TlsFiles<'_>) -> Option<PathBuf> {
    let needs = config.listeners.iter().find(|it| !it.domains.is_empty())?;
    let state = config.acme.state_directory();
    check_files(&config.acme, state.as_deref(), files);
    if state.is_none() {
        let what = "there is no directory to keep certificates in: the environment has neither \
                    STATE_DIRECTORY nor HOME";
        let help = match &needs.domains_location {
            Location::Argument(_) => "add --state DIR".to_owned(),
            Location::File { .. } => "write below [acme]: state = \"/var/lib/narrows\"".to_owned(),
        };
        files.problems.add_with_help(&needs.domains_location, what, [help]);
    }
    state
}

fn check_files(acme: &AcmeConfig, state: Option<&Path>, files: &mut TlsFiles<'_>) {
    if let Some(ca) = &acme.ca {
        files.roots(ca);
    }
    // A new account needs it, and none later.
    let account = acme.external_account.as_ref().filter(|_| !files.is_renewal());
    if let Some(ExternalAccount { key_id, key_file }) = account {
        let problem = match read_file(&key_file.path) {
            Err(error) => Some(error.to_string()),
            Ok(key) if is_base64(&key) => None,
            Ok(_) => Some("this file does not hold a key in base64url, alone".to_owned()),
        };
        if let Some(what) = problem {
            let help = "save the MAC key as the authority shows it, and nothing else".to_owned();
            let account = state.map(|it| account_file(it, &acme.directory, &key_id.0));
            let noted = match account.is_some_and(|it| it.exists()) {
                true => &mut files.remarks,
                false => &mut files.problems,
            };
            noted.add_with_help(&key_file.location, what, [help]);
        }
    }
}

/// What `acme::base64url` decodes: the standard alphabet and padding are allowed, because some
/// authorities show the key in that form.
fn is_base64(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let end = text.iter().rposition(|it| *it != b'=').map_or(0, |last| last + 1);
    let is_allowed =
        |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'+' | b'/');
    end > 0 && end % 4 != 1 && text.len() - end <= 2 && text[..end].iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Files;
    use crate::config::testing::{MINIMAL, read};
    use crate::tls::testing::pem::{CERTIFICATE, Folder};
    use std::fs;

    #[test]
    fn a_key_that_is_gone_is_in_the_way_of_a_new_account_alone() {
        let text = format!(
            "{MINIMAL}\n[acme]\nexternal_account = {{ key_id = \"a\", key_file = \"/gone\" }}\n"
        );
        let (acme, kept) = (read(&text).unwrap().acme, Files::default());
        let mut files = TlsFiles::new(None);
        let folder = Folder::new();
        let state = folder.path("");
        check_files(&acme, Some(&state), &mut files);
        assert!(!files.problems.is_empty() && files.remarks.is_empty());
        let mut files = TlsFiles::new(None).keeping(&kept);
        check_files(&acme, Some(&state), &mut files);
        assert!(files.problems.is_empty(), "{}", files.problems);
        let account = account_file(&state, &acme.directory, "a");
        fs::create_dir_all(account.parent().unwrap()).unwrap();
        fs::write(account, "").unwrap();
        let mut files = TlsFiles::new(None);
        check_files(&acme, Some(&state), &mut files);
        assert!(files.problems.is_empty() && !files.remarks.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_file_of_acme_is_said_at_its_key() {
        let folder = Folder::new();
        let check = |ca: &str, key: &str| {
            let (ca, key) = (folder.write("ca.pem", ca), folder.write("eab.key", key));
            let text = format!(
                "{MINIMAL}\n[acme]\nca = {ca:?}\n\
                 external_account = {{ key_id = \"a\", key_file = {key:?} }}\n"
            );
            let mut files = TlsFiles::new(None);
            check_files(&read(&text).unwrap().acme, None, &mut files);
            files.problems.to_string()
        };
        for key in ["aZ0-_w==\n", "aZ0+/w==", "aZ0+/w"] {
            assert_eq!(check(CERTIFICATE, key), "");
        }
        for key in ["", "a b", "a", "=", "a===", CERTIFICATE] {
            let problem = check(CERTIFICATE, key);
            assert!(problem.starts_with("f:11: acme.external_account.key_file: this"), "{problem}");
        }
        let problem = check("", "ab");
        assert!(problem.starts_with("f:10: acme.ca: "), "{problem}");
    }
}
