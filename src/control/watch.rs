//! Certificates, keys and roots that change while we serve: [`watch_files`] loads them again.
//!
//! A tool for renewal writes the certificate and its key one after the other, so what is found may
//! not fit together yet, or be gone. Then what was loaded before stays in use, and the files are
//! tried again at the next look. Until that succeeds, the `State` has what is wrong with them.
//! Files are read on a thread of their own, because a file system may hang: neither the main loop
//! nor a worker ever waits for it.
//!
//! Not here: the configuration file, which only a reload reads again.

use crate::config::Config;
use crate::config::problem::{Location, Problems};
use crate::config::snapshot::Snapshot;
use crate::control::state::State;
use crate::limits::{FILES_LOOKED_AT_EVERY, FILES_SLOW};
use crate::task::blocking;
use crate::telemetry::targets::CERTIFICATE;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

/// What the files of a snapshot have become.
#[derive(Debug)]
pub(super) struct Change {
    /// The snapshot.
    pub(super) before: Arc<Snapshot>,
    /// The same configuration, with what the files hold now.
    pub(super) after: Snapshot,
    /// Those that hold something else than before.
    pub(super) files: Vec<PathBuf>,
}

/// Looks at the files of what is served, for as long as anyone receives the changes: from time to
/// time, and at once when the state says that one has changed.
pub(super) async fn watch_files(state: Rc<State>, changes: Sender<Change>) {
    let mut is_blind = false;
    loop {
        let _elapsed = timeout(FILES_LOOKED_AT_EVERY, state.file_changed()).await;
        let looked = look(&state).await;
        let was_blind = mem::replace(&mut is_blind, matches!(looked, Ok(Found::Nothing(_))));
        match looked {
            Ok(Found::Unchanged) => {
                if !state.note_unusable_files(Problems::default()).is_empty() {
                    tracing::info!(target: CERTIFICATE, "the files are again what they were");
                }
            }
            Ok(Found::Change(change, problems)) => {
                note(&state, problems);
                if changes.send(*change).await.is_err() {
                    return;
                }
            }
            Ok(Found::Trouble(problems)) => note(&state, problems),
            Ok(Found::Nothing(error)) if !was_blind => {
                tracing::warn!(
                    target: CERTIFICATE,
                    %error,
                    "the files of certificates, keys or roots cannot be checked now; it is tried \
                     again every {} s",
                    FILES_LOOKED_AT_EVERY.as_secs()
                );
            }
            Ok(Found::Nothing(_)) => {}
            // Its panic has been logged. The next look may do better.
            Err(_panic) => {}
        }
    }
}

/// Says that new connections use what these files hold now, or new requests, if they are files of
/// tokens or of API keys. Nothing is said of a file that we have written ourselves.
pub(super) fn tell_changed(files: &[PathBuf], config: &Config, state: &State) {
    let of_clients = config.clients.files.iter().map(|(_, it)| it);
    let of_routes = config.routes.iter().filter_map(|it| it.access.keys.as_ref()?.file());
    let of_access: Vec<_> = of_clients.chain(of_routes).map(|it| &it.path).collect();
    for file in files.iter().filter(|it| !state.take_written_file(it)) {
        let what = if of_access.contains(&file) { "requests" } else { "connections" };
        tracing::info!(
            target: CERTIFICATE,
            file = %file.display(),
            "a file has changed; new {what} use what it holds now"
        );
    }
}

/// What a look finds.
enum Found {
    Unchanged,
    /// With what is wrong with other files.
    Change(Box<Change>, Problems),
    Trouble(Problems),
    /// There is no descriptor to read them with, so nothing is known about them.
    Nothing(io::Error),
}

/// Looks on another thread.
async fn look(state: &State) -> thread::Result<Found> {
    let snapshot = state.snapshot();
    if snapshot.files.is_empty() {
        return Ok(Found::Unchanged);
    }
    let mut looking = pin!(blocking(move || find(snapshot)));
    if let Ok(found) = timeout(FILES_SLOW, &mut looking).await {
        return found;
    }
    const SLOW: &str = "the files of certificates, keys or roots cannot be read in time";
    tracing::warn!(target: CERTIFICATE, "{SLOW}; what was read before stays in use");
    let mut problems = state.unusable_files().clone();
    problems.add(&Location::Argument("files"), SLOW);
    state.note_unusable_files(problems);
    looking.await
}

fn find(before: Arc<Snapshot>) -> Found {
    let expired = before.expired_stand_ins(SystemTime::now());
    match before.files.changed() {
        Ok(changed) if changed.is_empty() && expired.is_empty() => return Found::Unchanged,
        Ok(_) => {}
        Err(error) => return Found::Nothing(error),
    }
    let renewed = before.renewed();
    // The last descriptor may have been taken since.
    if let Err(error) = before.files.changed() {
        return Found::Nothing(error);
    }
    let (after, trouble) = match renewed {
        Ok(renewed) => renewed,
        Err(problems) => return Found::Trouble(problems),
    };
    let files = after.files.changed_since(&before.files).into_iter();
    let files: Vec<_> = files.map(Path::to_path_buf).collect();
    for names in &expired {
        tracing::warn!(
            target: CERTIFICATE,
            names,
            "a certificate that was used until another is ordered has expired, and is no longer \
             used"
        );
    }
    match (files.is_empty() && expired.is_empty(), trouble.is_empty()) {
        (false, _) => Found::Change(Box::new(Change { before, after, files }), trouble),
        (true, false) => Found::Trouble(trouble),
        // As it was again, in the meantime.
        (true, true) => Found::Unchanged,
    }
}

/// Notes `problems`, and logs them, unless they were the same at the last look.
fn note(state: &State, problems: Problems) {
    let before = state.note_unusable_files(problems.clone());
    if before != problems {
        tell_trouble(&problems);
    }
}

fn tell_trouble(problems: &Problems) {
    for problem in problems.iter() {
        tracing::warn!(
            target: CERTIFICATE,
            at = %problem.location,
            "a file has changed and cannot be used: {}; what it held before stays in use, and it \
             is tried again every {} s",
            problem.what,
            FILES_LOOKED_AT_EVERY.as_secs()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LogFormat, logged};
    use crate::tls::testing::chain::{INTERMEDIATE, LEAF, LEAF_KEY};
    use crate::tls::testing::pem::{CERTIFICATE, Folder, KEY};
    use std::fs;
    use std::time::Duration;
    use tokio::runtime::Builder;
    use tokio::sync::mpsc::{Receiver, channel};
    use tokio::time::Instant;
    use tracing::Level;

    const TEXT: &str = r#"
        [[listener]]
        address = "127.0.0.1:1"
        certificate = "certificate.pem"
        key = "key.pem"
        [[route]]
        path = "/"
        upstream = "https://127.0.0.1:1/"
        ca = "ca.pem"
    "#;

    /// Files that are watched.
    struct Scene {
        folder: Folder,
        state: Rc<State>,
        changes: Receiver<Change>,
    }

    impl Scene {
        fn with(watching: impl AsyncFnOnce(&mut Self)) -> String {
            logged(LogFormat::Text, Level::INFO, || {
                let runtime =
                    Builder::new_current_thread().enable_time().start_paused(true).build();
                runtime.unwrap().block_on(async {
                    let folder = Folder::new();
                    for (name, text) in
                        [("certificate.pem", CERTIFICATE), ("key.pem", KEY), ("ca.pem", LEAF)]
                    {
                        folder.write(name, text);
                    }
                    let config = Config::read(&folder.write("narrows.toml", TEXT)).unwrap();
                    let first = Arc::new(Snapshot::load(config).unwrap());
                    let state = Rc::new(State::new(first, Vec::new()));
                    let (sender, changes) = channel(1);
                    let mut scene = Self { folder, state: Rc::clone(&state), changes };
                    tokio::select! {
                        () = watch_files(state, sender) => panic!("no one watches any more"),
                        () = watching(&mut scene) => {}
                    }
                });
            })
        }

        /// The next change, which takes effect.
        async fn change(&mut self) -> Vec<String> {
            let Change { before, after, files } = self.changes.recv().await.unwrap();
            assert!(Arc::ptr_eq(&before, &self.state.snapshot()));
            self.state.replace(Arc::new(after), Vec::new());
            let name = |it: &PathBuf| it.file_name().unwrap().to_string_lossy().into_owned();
            files.iter().map(name).collect()
        }

        /// The problems that the status shows.
        fn problems(&self) -> String {
            self.state.unusable_files().to_string()
        }

        /// So many looks find nothing that can be used. Ends between two looks.
        async fn nothing_for(&mut self, looks: u32) {
            let time = FILES_LOOKED_AT_EVERY * looks + Duration::from_secs(1);
            let none = timeout(time, self.changes.recv()).await;
            assert!(none.is_err());
        }
    }

    #[test]
    fn a_renewed_certificate_is_found_within_a_minute_and_found_once() {
        let log = Scene::with(async |scene| {
            scene.nothing_for(3).await;
            let renewed = Instant::now();
            scene.folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
            scene.folder.write("key.pem", LEAF_KEY);
            assert_eq!(scene.change().await, ["certificate.pem", "key.pem"]);
            assert!(renewed.elapsed() <= Duration::from_secs(60));
            scene.nothing_for(3).await;
            scene.folder.write("ca.pem", CERTIFICATE);
            assert_eq!(scene.change().await, ["ca.pem"]);
        });
        assert_eq!(log, "");
    }

    #[test]
    fn a_certificate_that_is_announced_is_found_at_once() {
        let log = Scene::with(async |scene| {
            scene.nothing_for(1).await;
            let renewed = Instant::now();
            scene.folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
            scene.folder.write("key.pem", LEAF_KEY);
            scene.state.note_changed_file();
            assert_eq!(scene.change().await, ["certificate.pem", "key.pem"]);
            assert_eq!(renewed.elapsed(), Duration::ZERO);
        });
        assert_eq!(log, "");
    }

    #[test]
    fn half_a_pair_is_told_of_once_and_tried_again_until_it_fits() {
        let log = Scene::with(async |scene| {
            scene.folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
            scene.nothing_for(5).await;
            let problems = scene.problems();
            assert!(problems.contains("narrows.toml:5: listener.key: "), "{problems}");
            scene.folder.write("key.pem", LEAF_KEY);
            assert_eq!(scene.change().await, ["certificate.pem", "key.pem"]);
            assert_eq!(scene.problems(), "");
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(" WARN narrows::certificate: a file has changed and cannot"), "{log}");
        assert!(log.contains("does not belong to the certificate"), "{log}");
        assert!(log.contains("narrows.toml:5: listener.key"), "{log}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_not_in_the_way_of_others() {
        let log = Scene::with(async |scene| {
            scene.folder.write("ca.pem", "no PEM");
            scene.nothing_for(2).await;
            scene.folder.write("certificate.pem", [LEAF, INTERMEDIATE].concat());
            scene.folder.write("key.pem", LEAF_KEY);
            assert_eq!(scene.change().await, ["certificate.pem", "key.pem"]);
            scene.nothing_for(2).await;
            assert!(scene.problems().contains("ca.pem"), "{}", scene.problems());
            fs::remove_file(scene.folder.path("key.pem")).unwrap();
            scene.folder.write("ca.pem", CERTIFICATE);
            assert_eq!(scene.change().await, ["ca.pem"]);
            scene.nothing_for(2).await;
            assert!(!scene.problems().contains("ca.pem"), "{}", scene.problems());
        });
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(lines[0].contains("ca.pem"), "{log}");
        assert!(lines[1].contains("key.pem"), "{log}");
    }

    #[test]
    fn a_file_that_vanishes_and_returns_changes_nothing() {
        let log = Scene::with(async |scene| {
            fs::remove_file(scene.folder.path("key.pem")).unwrap();
            scene.nothing_for(3).await;
            fs::create_dir(scene.folder.path("key.pem")).unwrap();
            scene.nothing_for(3).await;
            fs::remove_dir(scene.folder.path("key.pem")).unwrap();
            scene.folder.write("key.pem", KEY);
            scene.nothing_for(3).await;
        });
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 3, "{log}");
        assert!(lines[0].contains("cannot be read: No such file"), "{log}");
        assert!(lines[1].contains("is not a regular file"), "{log}");
        assert!(lines[2].contains(" INFO narrows::certificate: the files are again"), "{log}");
    }

    #[test]
    fn a_certificate_that_stands_in_is_no_longer_used_when_it_has_expired() {
        let folder = Folder::new();
        let text = format!(
            "[acme]\nstate = {:?}\n[[listener]]\naddress = \":443\"\n\
             domains = [\"localhost\", \"new.example\"]\n[[route]]\npath = \"/\"\n\
             upstream = \"https://h/\"\n",
            folder.path("")
        );
        let load = || {
            let config = Config::parse("f", Path::new(""), &text).unwrap();
            Snapshot::load(config).unwrap()
        };
        let stored = load().managed[0].file.with_file_name("other.pem");
        fs::create_dir_all(stored.parent().unwrap()).unwrap();
        fs::write(stored, format!("{CERTIFICATE}{KEY}")).unwrap();
        let mut snapshot = load();
        assert!(matches!(find(Arc::new(snapshot.clone())), Found::Unchanged));
        snapshot.managed[0].stand_ins[0].not_after = 1;
        let log = logged(LogFormat::Text, Level::INFO, || {
            let Found::Change(change, _) = find(Arc::new(snapshot)) else { panic!("no change") };
            assert!(change.files.is_empty());
        });
        assert!(log.contains("has expired, and is no longer used"), "{log}");
        assert!(log.contains("names=\"localhost"), "{log}");
    }

    #[test]
    fn a_problem_with_a_file_ends_when_no_file_is_named_any_more() {
        let log = Scene::with(async |scene| {
            fs::remove_file(scene.folder.path("key.pem")).unwrap();
            scene.nothing_for(2).await;
            assert_ne!(scene.problems(), "");
            let text = "[[listener]]\naddress = \"127.0.0.1:1\"\n\
                        [[route]]\npath = \"/\"\nupstream = \"https://127.0.0.1:1/\"\n";
            let config = Config::read(&scene.folder.write("narrows.toml", text)).unwrap();
            scene.state.replace(Arc::new(Snapshot::load(config).unwrap()), Vec::new());
            scene.nothing_for(2).await;
            assert_eq!(scene.problems(), "");
        });
        assert_eq!(log.lines().count(), 2, "{log}");
    }
}
