//! Finds the state directory, and checks the files that `[acme]` names. They are read anew for use.

use super::keys::acme::{AcmeConfig, ExternalAccount};
use super::keys::top::Config;
use super::managed::{account_file, file_of, sets};
use super::problem::Location;
use super::tls_files::TlsFiles;
use crate::tls::credential_file::read_file;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The state directory, if a listener needs it. Notes what is wrong with the files for orders.
pub(super) fn state_directory(config: &Config, files: &mut TlsFiles<'_>) -> Option<PathBuf> {
    let needs = config.listeners.iter().find(|it| !it.domains.is_empty())?;
    let state = config.acme.state_directory();
    check_files(&config.acme, state.as_deref(), files);
    if let Some(state) = state.as_deref().filter(|_| !files.is_renewal()) {
        let location = config.acme.state.as_ref().map(|it| &it.location);
        check_modes(config, state, location.unwrap_or(&needs.domains_location), files);
    }
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

/// Remarks on what other users of this machine can do there. All that is stored has keys, and is
/// made for its owner alone.
fn check_modes(config: &Config, state: &Path, location: &Location, files: &mut TlsFiles<'_>) {
    const WRITE: u32 = 0o002;
    const READ_OR_WRITE: u32 = 0o006;
    let acme = &config.acme;
    let key_id = acme.external_account.as_ref().map_or("", |it| &*it.key_id.0);
    let sets = config.listeners.iter().flat_map(|it| sets(&it.domains));
    let stored = sets.map(|names| file_of(state, &acme.directory, &names));
    let mut stored: Vec<_> = stored.chain([account_file(state, &acme.directory, key_id)]).collect();
    stored.sort();
    stored.dedup();
    let folder = [(state.to_owned(), WRITE, "write into it", "o-w")];
    let stored = stored.into_iter().map(|it| (it, READ_OR_WRITE, "read or change it", "o="));
    for (path, bits, what, change) in folder.into_iter().chain(stored) {
        let mode = fs::metadata(&path).map_or(0, |it| it.permissions().mode() & 0o777);
        if mode & bits != 0 {
            let path = path.display();
            let what =
                format!("{path} has mode {mode:04o}: other users of this machine can {what}");
            files.remarks.add_with_help(location, what, [format!("chmod {change} {path}")]);
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
    use std::fs::Permissions;

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
    fn what_other_users_could_read_or_change_is_remarked_on() {
        let folder = Folder::new();
        let state = folder.path("state");
        let text = MINIMAL.replace("127.0.0.1:8080\"", ":443\"\ndomains = [\"a.example\"]");
        let config = read(&format!("{text}\n[acme]\nstate = {state:?}\n")).unwrap();
        let account = account_file(&state, &config.acme.directory, "");
        let names = &config.listeners[0].domains;
        let stored = file_of(&state, &config.acme.directory, names);
        let remarks = |modes: [u32; 3]| {
            for (path, mode) in [&state, &account, &stored].into_iter().zip(modes) {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            let mut files = TlsFiles::new(None);
            assert_eq!(state_directory(&config, &mut files).as_ref(), Some(&state));
            files.remarks.to_string()
        };
        for file in [&account, &stored] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(remarks([0o755, 0o600, 0o660]), "");
        let can = "other users of this machine can";
        for (modes, path, what) in [
            (
                [0o777, 0o600, 0o600],
                &state,
                format!("has mode 0777: {can} write into it; chmod o-w"),
            ),
            ([0o700, 0o644, 0o600], &account, format!("has mode 0644: {can} read or change it")),
            ([0o700, 0o600, 0o602], &stored, format!("has mode 0602: {can} read or change it")),
        ] {
            let remarks = remarks(modes);
            assert!(
                remarks.contains(&format!("acme.state: {} {what}", path.display())),
                "{remarks}"
            );
            assert_eq!(remarks.lines().count(), 1, "{remarks}");
        }
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
