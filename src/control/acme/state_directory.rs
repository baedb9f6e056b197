//! The state directory: keys and certificates that outlive the process.
//!
//! A file is replaced whole or not at all: its new content is written beside it, synced, and
//! renamed. So a kill or a loss of power at any moment leaves the old content or the new, and at
//! worst a file whose name ends in `.new`, which the next write replaces. Files are for their owner
//! alone (0600), and so are the directories that are created for them (0700). What root makes
//! belongs to the owner of the folder that it is made in, so that a service with a user of its own
//! can go on with what was tried as root.
//!
//! Several processes may share the directory. The one that has the [`Lock`] writes, and the others
//! read. A file that cannot be used is set aside under another name, and never deleted: it may
//! belong to another version.
//!
//! Everything here blocks, on a file system that may hang.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// What a file must have room for, so that nothing is asked of a directory in vain: some times as
/// much as a certificate with its chain and its key.
const ROOM_BYTES: usize = 64 * 1024;

/// The state directory.
#[derive(Clone, Debug)]
pub(super) struct StateDirectory(PathBuf);

/// Held by the process that writes, until its last write has ended. Dropping it lets another
/// process write.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Something that could not be done with a file of the state directory.
#[derive(Debug)]
pub(super) struct StateError {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl StateDirectory {
    /// The one at this path, which need not exist yet.
    pub(super) fn at(path: &Path) -> Self {
        Self(path.into())
    }

    /// The file of this name in it.
    pub(super) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The lock, unless another process has it.
    ///
    /// # Errors
    /// The directory cannot be written to, or its file system has no locks.
    pub(super) fn lock(&self) -> Result<Option<Lock>, StateError> {
        let path = self.file("lock");
        create_folder(&self.0)?;
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(failed("open", &path))?;
        give_to_owner_of_folder(&file, &path).map_err(failed("hand over", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    /// Shows that files beside `path` can be written, so that what costs a directory work is not
    /// begun in vain.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn check_room(path: &Path) -> Result<(), StateError> {
        let beside = write_beside(path, &[b'\n'; ROOM_BYTES])?;
        fs::remove_file(&beside).map_err(failed("remove", &beside))
    }
}

/// Replaces a file by one that holds `content`, or leaves it as it is.
///
/// # Errors
/// The file cannot be written.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let beside = write_beside(path, content)?;
    fs::rename(&beside, path).map_err(failed("replace", path))?;
    // Without this, a loss of power could undo the rename.
    let folder = path.parent().unwrap_or(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("sync", folder))
}

/// What a file holds, if there is one.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// A certificate's folder and file, which stay the same if the state directory is moved.
pub(super) fn key_of(certificate: &Path) -> String {
    let mut parts = certificate.iter().rev().take(2).collect::<Vec<_>>();
    parts.reverse();
    parts.iter().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// Gives a file that cannot be used another name, which is returned: `NAME.unusable-1`, or the next
/// number that is free.
///
/// # Errors
/// It cannot be renamed.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".unusable-{number}"));
        PathBuf::from(name)
    };
    let is_free = |it: &PathBuf| fs::symlink_metadata(it).is_err();
    let aside = (1..=u32::MAX).map(name).find(is_free);
    let aside = aside.ok_or_else(|| failed("rename", path)(ErrorKind::AlreadyExists.into()))?;
    fs::rename(path, &aside).map_err(failed("rename", path))?;
    Ok(aside)
}

/// Writes `content` to a new file beside `path`, and syncs it. Only the holder of the lock writes,
/// so one that is there already is left over from a process that was killed.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, StateError> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = remove_if_there(&beside).and_then(|()| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        give_to_owner_of_folder(&file, &beside)?;
        file.write_all(content)?;
        file.sync_all()
    });
    if written.is_err() {
        // A part of it would only take room.
        let _ = remove_if_there(&beside);
    }
    written.map_err(failed("write", &beside))?;
    Ok(beside)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn create_folder(path: &Path) -> Result<(), StateError> {
    if path.is_dir() {
        return Ok(());
    }
    create_folder(folder_of(path))?;
    let created = match DirBuilder::new().mode(0o700).create(path) {
        // Of another process that began at the same time.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(path).and_then(|folder| give_to_owner_of_folder(&folder, path)),
    };
    created.map_err(failed("create", path))
}

/// If root made it, and the folder is another user's. That user may put a link in its place
/// meanwhile, so it has to be what has this name, and have no other.
fn give_to_owner_of_folder(made: &File, path: &Path) -> io::Result<()> {
    let folder = fs::metadata(folder_of(path))?;
    let (held, named) = (made.metadata()?, fs::symlink_metadata(path)?);
    let is_named = (held.dev(), held.ino()) == (named.dev(), named.ino());
    let is_alone = held.is_dir() || held.nlink() == 1;
    if held.uid() == 0 && folder.uid() != 0 && is_named && is_alone {
        fchown(made, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    // Of `/`, which is there, and of a name alone.
    parent.unwrap_or(if path.has_root() { path } else { Path::new(".") })
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_path_buf();
    move |error| StateError { what, path, error }
}

impl fmt::Display for StateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {} {}: {}", self.what, self.path.display(), self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::env;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::process::{Command, Stdio};
    use std::thread;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_for_its_owner_alone_and_replaces_what_was_there() {
        let folder = Folder::new();
        let file = StateDirectory::at(&folder.path("state")).file("certificates/ca/a.pem");
        assert_eq!(read(&file).unwrap(), None);
        for content in [b"one", b"two"] {
            replace(&file, content).unwrap();
            assert_eq!(read(&file).unwrap().unwrap(), content);
            assert_eq!(mode(&file), 0o600);
        }
        assert_eq!(mode(&folder.path("state")), 0o700);
        assert_eq!(mode(&folder.path("state/certificates/ca")), 0o700);
        StateDirectory::check_room(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path("state/certificates/ca")).unwrap().count(), 1);
    }

    #[test]
    fn the_folder_of_a_name_alone_is_the_one_that_the_process_is_in() {
        for (path, folder) in [("state", "."), ("./state", "."), ("/a", "/"), ("a/b", "a")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder));
        }
    }

    /// Only root can give files away, so others have nothing to see here.
    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_folder_and_links_stay_as_they_are() {
        const USER: u32 = 4711;
        let folder = Folder::new();
        let own = folder.path("of-root");
        fs::write(&own, "").unwrap();
        let state = folder.path("state");
        fs::create_dir(&state).unwrap();
        if chown(&state, Some(USER), Some(USER)).is_err() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let file = StateDirectory::at(&state).file("certificates/ca/a.pem");
        replace(&file, b"one").unwrap();
        drop(StateDirectory::at(&state).lock().unwrap().unwrap());
        for made in ["certificates", "certificates/ca", "certificates/ca/a.pem", "lock"] {
            let made = fs::metadata(state.join(made)).unwrap();
            assert_eq!((made.uid(), made.gid()), (USER, USER));
        }
        fs::remove_file(state.join("lock")).unwrap();
        symlink(&own, state.join("lock")).unwrap();
        drop(StateDirectory::at(&state).lock().unwrap().unwrap());
        fs::remove_file(state.join("lock")).unwrap();
        fs::hard_link(&own, state.join("lock")).unwrap();
        drop(StateDirectory::at(&state).lock().unwrap().unwrap());
        assert_eq!(fs::metadata(&own).unwrap().uid(), 0);
    }

    #[test]
    fn a_write_that_was_cut_is_not_in_the_way_of_the_next_and_does_not_follow_a_link() {
        let folder = Folder::new();
        let file = folder.write("a.pem", "old");
        folder.write("b.pem", "of another");
        symlink(folder.path("b.pem"), folder.path("a.pem.new")).unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read(folder.path("b.pem")).unwrap(), b"of another");
    }

    #[test]
    fn a_directory_that_cannot_be_written_says_so_and_keeps_what_is_there() {
        let folder = Folder::new();
        let file = folder.write("file", "");
        let below = StateDirectory::at(&file).file("a.pem");
        let error = replace(&below, b"x").unwrap_err().to_string();
        assert!(error.starts_with("cannot create ") && error.contains("file: "), "{error}");
        assert!(StateDirectory::check_room(&below).is_err());
        assert!(StateDirectory::at(&file).lock().is_err());
    }

    #[test]
    fn a_file_that_is_of_no_use_is_set_aside_under_the_next_free_name() {
        let folder = Folder::new();
        for number in 1..=120 {
            set_aside(&folder.write("a.pem", format!("{number}"))).unwrap();
        }
        for number in 1..=120 {
            let aside = folder.path(&format!("a.pem.unusable-{number}"));
            assert_eq!(fs::read(aside).unwrap(), format!("{number}").as_bytes());
        }
        assert!(!folder.path("a.pem").exists());
    }

    #[test]
    fn one_holds_the_lock_at_a_time() {
        let folder = Folder::new();
        let state = StateDirectory::at(&folder.path("state"));
        let lock = state.lock().unwrap().unwrap();
        assert!(state.lock().unwrap().is_none());
        drop(lock);
        assert!(state.lock().unwrap().is_some());
    }

    const FILE: &str = "NARROWS_TEST_STATE_FILE";
    const THIS_TEST: &str = concat!(
        "control::acme::state_directory::tests::",
        "a_kill_at_any_moment_leaves_the_old_content_or_the_new"
    );

    #[test]
    fn a_kill_at_any_moment_leaves_the_old_content_or_the_new() {
        // The process that is killed: this test once more, which then writes for ever.
        if let Some(file) = env::var_os(FILE) {
            for letter in (b'a'..=b'z').cycle() {
                replace(Path::new(&file), &[letter; 20_000]).unwrap();
            }
        }
        let folder = Folder::new();
        let file = folder.path("state/a.pem");
        replace(&file, &[b'-'; 20_000]).unwrap();
        for round in 0..20 {
            let mut writer = Command::new(env::current_exe().unwrap())
                .args([THIS_TEST, "--exact"])
                .env(FILE, &file)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let (mut before, mut changes) = (read(&file).unwrap().unwrap(), 0);
            // Killed after another number of writes each time.
            while changes <= round % 5 {
                let now = read(&file).unwrap().unwrap();
                assert_eq!(now.len(), 20_000);
                assert!(now.iter().all(|byte| *byte == now[0]), "half of it is of another write");
                changes += usize::from(now != before);
                before = now;
                thread::yield_now();
            }
            writer.kill().unwrap();
            writer.wait().unwrap();
            let left = read(&file).unwrap().unwrap();
            assert!(left.len() == 20_000 && left.iter().all(|byte| *byte == left[0]));
        }
    }
}
