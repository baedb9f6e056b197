//! Whether the state directory can be used by this user: a warning of `narrows check` if not. A
//! process that serves finds out by itself.

use super::problem::{Location, Problems};
use super::snapshot::Snapshot;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::path::Path;

/// What is wrong with the state directory, if `snapshot` needs one.
pub fn state_warnings(snapshot: &Snapshot) -> Problems {
    let mut warnings = Problems::default();
    let (Some(state), Some(first)) = (&snapshot.state, snapshot.managed.first()) else {
        return warnings;
    };
    let help = "check as the user of the service: sudo -u narrows narrows check …".to_owned();
    let configured = snapshot.config.acme.state.as_ref();
    let location = configured.map_or(&first.location, |it| &it.location);
    let mut warn = |what: &str, error: Errno, location: &Location| {
        let what = format!("the state directory {} {what}: {error}", state.display());
        warnings.add_with_help(location, what, [help.clone()]);
    };
    let there = existing(state);
    if let Err(error) = access(there, Access::READ_OK | Access::EXEC_OK) {
        warn("cannot be read by this user, so what is stored is not known", error, location);
    } else if snapshot.managed.iter().any(|it| it.is_unreadable) {
        let what = "has certificates that this user may not read";
        warn(what, Errno::ACCESS, location);
    } else if let Err(error) = access(there, Access::WRITE_OK) {
        warn("cannot be written by this user, and no certificate can be ordered", error, location);
    }
    warnings
}

/// The directory, or else the one that it would be made in.
fn existing(state: &Path) -> &Path {
    let exists = |it: &&Path| !matches!(access(*it, Access::EXISTS), Err(Errno::NOENT));
    state.ancestors().find(exists).unwrap_or(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tls::testing::pem::Folder;
    use rustix::process::geteuid;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn of(state: &Path) -> String {
        let text = format!(
            "[acme]\nstate = {state:?}\n[[listener]]\naddress = \":443\"\n\
             domains = [\"a.example\", \"192.0.2.1\"]\n[[route]]\npath = \"/\"\n\
             upstream = \"https://h/\"\n"
        );
        let snapshot = Snapshot::load(Config::parse("f", Path::new(""), &text).unwrap()).unwrap();
        assert!(snapshot.remarks.is_empty(), "{}", snapshot.remarks);
        state_warnings(&snapshot).to_string()
    }

    #[test]
    fn a_directory_that_can_be_used_or_made_is_not_warned_about() {
        let folder = Folder::new();
        assert_eq!(of(&folder.path("")), "");
        assert_eq!(of(&folder.path("a/b")), "");
    }

    #[test]
    fn a_directory_that_this_user_cannot_use_is_warned_about_once() {
        // Nothing is forbidden to root.
        if geteuid().is_root() {
            let warning = of(Path::new("/proc/narrows"));
            assert!(warning.is_empty() || warning.contains("cannot be written"), "{warning}");
            return;
        }
        let folder = Folder::new();
        let state = folder.path("state");
        for (mode, what) in [(0o000, "cannot be read by"), (0o500, "cannot be written by")] {
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, Permissions::from_mode(mode)).unwrap();
            let warning = of(&state);
            fs::remove_dir(&state).unwrap();
            assert!(warning.starts_with("f:2: acme.state: the state directory"), "{warning}");
            assert!(warning.contains(what) && warning.contains("sudo -u narrows"), "{warning}");
            assert_eq!(warning.lines().count(), 1, "{warning}");
        }
    }
}
