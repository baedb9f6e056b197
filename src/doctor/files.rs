//! The files that the configuration names: whether they can be read, and who else can.

use super::finding::Finding;
use crate::config::Config;
use crate::config::credentials::CredentialFiles;
use crate::config::keys::acme::AcmeConfig;
use crate::config::value::NamedFile;
use rustix::process::geteuid;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const STEP: &str = "file";

/// What a file is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whoever reads it can pretend to be us.
    PrivateKey,
    /// Whoever reads it can use the API.
    ApiKeys,
    /// Everyone may read it.
    Public,
}

impl Kind {
    /// How a service that is not root gets to read it. Tools for certificates keep a group.
    fn given_by(self) -> &'static str {
        match self {
            Self::ApiKeys => "give it to the user that the service has (chown USER, chmod 600)",
            Self::PrivateKey | Self::Public => {
                "give it to the group that the service has (chgrp GROUP, then chmod 640)"
            }
        }
    }
}

/// What was seen of one file.
struct Seen {
    file: PathBuf,
    kind: Kind,
    opened: Result<(), ErrorKind>,
    /// Of the file, if that can be found out.
    owner_and_mode: Option<(u32, u32)>,
    /// The folder that cannot be entered, if one is in the way.
    closed_folder: Option<PathBuf>,
    /// Who asks.
    user: u32,
}

/// The files, and whether all can be read.
pub(super) fn examine(config: &Config) -> (Vec<Finding>, bool) {
    let seen: Vec<_> = named(config).into_iter().map(|(file, kind)| see(file, kind)).collect();
    let all_readable = seen.iter().all(|it| it.opened.is_ok());
    let mut findings: Vec<_> = seen.iter().map(verdict).collect();
    if config.listeners.iter().any(|it| !it.domains.is_empty()) {
        findings.extend(state_directory(&config.acme));
    }
    (findings, all_readable)
}

/// Each file once. Not from a snapshot, because there is none if a file cannot be read; and without
/// the key of an external account, which may be gone once the account is made.
fn named(config: &Config) -> Vec<(PathBuf, Kind)> {
    let mut all: Vec<(PathBuf, Kind)> = Vec::new();
    let mut add = |file: &NamedFile, kind| {
        if !all.iter().any(|(known, _)| *known == file.path) {
            all.push((file.path.clone(), kind));
        }
    };
    let mut add_pair = |files: &CredentialFiles| {
        // A key in the file of the certificate makes that a secret.
        add(&files.key, Kind::PrivateKey);
        add(&files.certificate, Kind::Public);
    };
    config.listeners.iter().flat_map(|it| &it.certificates).for_each(&mut add_pair);
    let reaches = || {
        let of_forwards = config.forwards.iter().filter_map(|it| it.reach.as_ref());
        config.routes.iter().map(|it| &it.reach).chain(of_forwards)
    };
    reaches().filter_map(|it| it.client.as_ref()).for_each(add_pair);
    let accesses = || config.routes.iter().map(|it| &it.access);
    let keys = accesses().filter_map(|it| it.keys.as_ref()?.file());
    keys.for_each(|it| add(it, Kind::ApiKeys));
    let client_ca = config.listeners.iter().filter_map(|it| it.client_ca.as_ref());
    let client_ca = client_ca.flat_map(|it| iter::once(&it.roots).chain(&it.crl));
    let ca = reaches().map(|it| &it.ca).chain([&config.acme.ca]).flatten();
    // Only their digests.
    let tokens = config.clients.files.iter().map(|(_, it)| it);
    let listeners = config.listeners.iter().flat_map(|it| [&it.allow, &it.trusted_proxies]);
    let ranges = listeners.chain(accesses().map(|it| &it.allow)).flatten().flat_map(|it| &it.files);
    client_ca.chain(ca).chain(tokens).chain(ranges).for_each(|it| add(it, Kind::Public));
    all
}

fn see(file: PathBuf, kind: Kind) -> Seen {
    let is_denied = |it: &io::Result<_>| {
        it.as_ref().is_err_and(|it: &io::Error| it.kind() == ErrorKind::PermissionDenied)
    };
    // From the root down, so that it is the first one in the way.
    let mut ancestors: Vec<_> = file.ancestors().collect();
    ancestors.reverse();
    let denied = ancestors.into_iter().find(|it| is_denied(&fs::metadata(it).map(drop)));
    let closed_folder = denied.and_then(Path::parent).map(Path::to_owned);
    let owner_and_mode = fs::metadata(&file).ok().map(|it| (it.uid(), it.mode() & 0o7777));
    // To open a pipe may take for ever; the configuration refuses one.
    let opened = match fs::metadata(&file) {
        Ok(it) if it.is_file() => File::open(&file).map(drop),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    let opened = opened.map_err(|it| it.kind());
    Seen { file, kind, opened, owner_and_mode, closed_folder, user: geteuid().as_raw() }
}

fn verdict(seen: &Seen) -> Finding {
    let about = seen.file.display().to_string();
    match seen.opened {
        Ok(()) => readable(seen, &about),
        Err(ErrorKind::NotFound) => Finding::failure(
            STEP,
            &about,
            "there is no such file",
            "correct its name; a relative one starts from the folder of the configuration file",
        ),
        Err(ErrorKind::PermissionDenied) => {
            let user = seen.user;
            let (what, remedy) = match (&seen.closed_folder, seen.owner_and_mode) {
                (Some(folder), _) => (
                    format!("user {user} may not enter {}", folder.display()),
                    "copy the file to /etc/narrows, or open the folder to the group that the \
                     service has (chgrp GROUP, then chmod 750)",
                ),
                (None, Some((owner, mode))) => (
                    format!("user {user} may not read it (owner {owner}, mode {mode:04o})"),
                    seen.kind.given_by(),
                ),
                (None, None) => {
                    (format!("user {user} may not read it"), "give the service access to it")
                }
            };
            Finding::failure(STEP, &about, what, remedy)
        }
        Err(kind) => {
            let what = format!("cannot be read: {}", io::Error::from(kind));
            Finding::failure(STEP, &about, what, "check the disk that it is on")
        }
    }
}

fn readable(seen: &Seen, about: &str) -> Finding {
    const READ_BY_OTHERS: u32 = 0o004;
    const WRITTEN_BY_OTHERS: u32 = 0o002;
    let mode = seen.owner_and_mode.map_or(0, |(_, mode)| mode);
    if mode & WRITTEN_BY_OTHERS != 0 {
        let what = format!("every user of this machine can change it (mode {mode:04o})");
        return Finding::warning(STEP, about, what, format!("chmod o-w {about}"));
    }
    let is_secret = seen.kind != Kind::Public;
    if is_secret && mode & READ_BY_OTHERS != 0 {
        let what = format!("every user of this machine can read this key (mode {mode:04o})");
        return Finding::warning(STEP, about, what, format!("chmod o= {about}"));
    }
    const GROUP_AND_OTHERS: u32 = 0o077;
    let is_roots = seen.owner_and_mode.is_some_and(|(owner, _)| owner == 0);
    if is_secret && is_roots && mode & GROUP_AND_OTHERS == 0 && seen.user == 0 {
        let given_by = seen.kind.given_by();
        let what = format!("can be read by root alone: for a service of another user, {given_by}");
        return Finding::ok(STEP, about, what);
    }
    Finding::ok(STEP, about, "can be read")
}

/// Whether certificates can be stored.
fn state_directory(acme: &AcmeConfig) -> Option<Finding> {
    const WRITE: u32 = 0o222;
    let state = acme.state_directory()?;
    let about = state.display().to_string();
    let user = geteuid();
    let there = state.ancestors().find_map(|it| fs::metadata(it).ok())?;
    // Only the owner's bits are certain; groups and ACLs may allow it, too.
    let may_write =
        user.is_root() || there.uid() == user.as_raw() || there.mode() & WRITE & 0o022 != 0;
    Some(match may_write {
        true => Finding::ok(STEP, &about, "certificates are kept here"),
        false => Finding::warning(
            STEP,
            &about,
            format!("user {} may not be able to write here", user.as_raw()),
            "if the service runs as another user, run doctor as that one; otherwise chown it, or \
             add --state DIR",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn seen(kind: Kind, opened: Result<(), ErrorKind>, mode: u32) -> Seen {
        let (file, owner_and_mode) = (PathBuf::from("/etc/narrows/a.key"), Some((0, mode)));
        Seen { file, kind, opened, owner_and_mode, closed_folder: None, user: 65534 }
    }

    #[test]
    fn every_file_is_named_once_with_what_it_is_to_us() {
        let toml = "[[listener]]\naddress = \":443\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n\
                    client_ca = \"c.pem\"\nclient_crl = \"c.crl\"\nallow = [\"allow.txt\"]\n\
                    trusted_proxies = [\"proxies.txt\", \"10.0.0.0/8\"]\n\
                    [[client]]\nname = \"alice\"\ntoken_file = \"alice.tokens\"\n\
                    [[route]]\npath = \"/\"\nupstream = \"https://api.example/\"\n\
                    key_file = \"api.keys\"\nallow = [\"allow.txt\"]\nca = \"c.pem\"\n";
        let config = Config::parse("f", Path::new("/etc"), toml).unwrap();
        let named = named(&config);
        let of = |kind| {
            let named = named.iter().filter(|it| it.1 == kind);
            named.map(|it| it.0.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::PrivateKey), ["/etc/a.key"]);
        assert_eq!(of(Kind::ApiKeys), ["/etc/api.keys"]);
        let public = ["a.pem", "c.pem", "c.crl", "alice.tokens", "allow.txt", "proxies.txt"];
        assert_eq!(of(Kind::Public), public.map(|it| format!("/etc/{it}")));
    }

    #[test]
    fn a_key_that_everyone_can_read_is_a_warning_and_a_certificate_is_not() {
        assert_eq!(verdict(&seen(Kind::PrivateKey, Ok(()), 0o644)).verdict, Verdict::Warning);
        assert_eq!(verdict(&seen(Kind::PrivateKey, Ok(()), 0o640)).verdict, Verdict::Ok);
        assert_eq!(verdict(&seen(Kind::Public, Ok(()), 0o644)).verdict, Verdict::Ok);
        let of_root = Seen { user: 0, ..seen(Kind::PrivateKey, Ok(()), 0o600) };
        assert!(verdict(&of_root).what.contains("chgrp GROUP"));
        // `check` warns of one that a group can read.
        let of_root = Seen { kind: Kind::ApiKeys, ..of_root };
        assert!(verdict(&of_root).what.contains("chown USER, chmod 600"));
        assert_eq!(verdict(&seen(Kind::Public, Ok(()), 0o666)).verdict, Verdict::Warning);
    }

    #[test]
    fn a_file_that_cannot_be_read_says_for_whom_and_why() {
        let denied = Err(ErrorKind::PermissionDenied);
        let finding = verdict(&seen(Kind::PrivateKey, denied, 0o600));
        assert_eq!(finding.what, "user 65534 may not read it (owner 0, mode 0600)");
        assert!(finding.remedy.unwrap().contains("chmod 640"));
        let keys = verdict(&seen(Kind::ApiKeys, denied, 0o600));
        assert!(keys.remedy.unwrap().contains("chown USER, chmod 600"));
        let folder = Some(PathBuf::from("/etc/letsencrypt/live"));
        let closed = Seen { closed_folder: folder, ..seen(Kind::PrivateKey, denied, 0) };
        assert_eq!(verdict(&closed).what, "user 65534 may not enter /etc/letsencrypt/live");
        let missing = verdict(&seen(Kind::Public, Err(ErrorKind::NotFound), 0));
        assert_eq!((missing.verdict, &*missing.what), (Verdict::Failure, "there is no such file"));
    }
}
