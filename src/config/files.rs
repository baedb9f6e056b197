//! The files that a snapshot was loaded from, to be known again when they change: [`Files`].
//!
//! What counts is the content. Times, inodes and events of the file system would miss a symbolic
//! link that is swapped on the way to a file (certbot's `live`, Kubernetes' `..data`), or a file
//! system of another machine.

use crate::net::descriptors::is_lack;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::read_file;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Paths of files, and what each held when it was first read; `None`: it did not exist, and may
/// come to.
#[derive(Clone, Default)]
pub struct Files(BTreeMap<PathBuf, Option<Content>>);

/// It may be secret, so it is overwritten when it is dropped.
type Content = Arc<Zeroizing<Vec<u8>>>;

impl Files {
    /// Reads a file and parses it. One that was read before counts with what it held then: if it
    /// has changed since, it is found to have changed.
    pub(super) fn parse<T, E: From<CredentialError>>(
        &mut self,
        file: &Path,
        parse: impl FnOnce(&Path, &[u8]) -> Result<T, E>,
    ) -> Result<T, E> {
        let content = read_file(file)?;
        let parsed = parse(file, &content);
        self.0.entry(file.into()).or_insert_with(|| Some(Arc::new(content)));
        parsed
    }

    /// Counts `file` as one that does not exist, unless it has been read.
    pub(super) fn is_awaited(&mut self, file: &Path) {
        self.0.entry(file.into()).or_insert(None);
    }

    /// What a file held.
    pub fn content(&self, file: &Path) -> Option<&[u8]> {
        self.0.get(file)?.as_deref().map(|content| content.as_slice())
    }

    /// Lets `file` count with what it held in `before`.
    pub(super) fn keep(&mut self, file: &Path, before: &Self) {
        let content = before.0.get(file).cloned();
        self.0.extend(content.map(|content| (file.into(), content)));
    }

    /// Whether no file was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files that held something else in `before`.
    pub fn changed_since(&self, before: &Self) -> Vec<&Path> {
        let is_changed = |(file, content): &(&PathBuf, &Option<Content>)| {
            before.0.get(*file).is_some_and(|it| it != *content)
        };
        self.0.iter().filter(is_changed).map(|(file, _)| &**file).collect()
    }

    /// The files that hold something else now, or cannot be read. This reads all of them, which may
    /// take for ever.
    ///
    /// # Errors
    /// There is no descriptor for one, which says nothing about the file.
    pub fn changed(&self) -> io::Result<Vec<&Path>> {
        let mut changed = Vec::new();
        for (file, content) in &self.0 {
            let now = match read_file(file) {
                Err(CredentialError::Unreadable(_, error)) if is_lack(&error) => return Err(error),
                now => now.ok(),
            };
            if now.as_ref() != content.as_deref() {
                changed.push(&**file);
            }
        }
        Ok(changed)
    }
}

/// Without the contents, which may be secret.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::fs;
    use std::os::unix::fs::symlink;

    const NONE: [&Path; 0] = [];

    fn read(files: &mut Files, file: &Path) -> Vec<u8> {
        let parse = |_: &Path, content: &[u8]| Ok::<_, CredentialError>(content.to_vec());
        files.parse(file, parse).unwrap()
    }

    #[test]
    fn a_file_has_changed_when_its_content_has_however_that_came_about() {
        let folder = Folder::new();
        for name in ["old", "new"] {
            fs::create_dir(folder.path(name)).unwrap();
            folder.write(&format!("{name}/key.pem"), name);
        }
        symlink("old", folder.path("data")).unwrap();
        symlink("data/key.pem", folder.path("key.pem")).unwrap();
        let (mut files, link) = (Files::default(), folder.path("key.pem"));
        let plain = folder.write("plain.pem", "one");
        assert_eq!(read(&mut files, &link), b"old");
        assert_eq!(read(&mut files, &plain), b"one");
        assert_eq!(files.changed().unwrap(), NONE);
        // A link on the way is swapped, as by Kubernetes.
        symlink("new", folder.path("swapped")).unwrap();
        fs::rename(folder.path("swapped"), folder.path("data")).unwrap();
        assert_eq!(files.changed().unwrap(), [&*link]);
        symlink("old/key.pem", folder.path("swapped")).unwrap();
        fs::rename(folder.path("swapped"), &link).unwrap();
        assert_eq!(files.changed().unwrap(), NONE, "the same again, by another way");
        // Written in place, replaced, and away.
        folder.write("plain.pem", "two");
        assert_eq!(files.changed().unwrap(), [&*plain]);
        fs::rename(folder.write("other.pem", "one"), &plain).unwrap();
        assert_eq!(files.changed().unwrap(), NONE);
        fs::remove_file(&plain).unwrap();
        assert_eq!(files.changed().unwrap(), [&*plain]);
        fs::create_dir(&plain).unwrap();
        assert_eq!(files.changed().unwrap(), [&*plain]);
    }

    #[test]
    fn an_awaited_file_has_changed_when_it_exists() {
        let folder = Folder::new();
        let (mut before, file) = (Files::default(), folder.path("awaited.pem"));
        before.is_awaited(&file);
        assert_eq!((before.changed().unwrap(), before.content(&file)), (NONE.to_vec(), None));
        folder.write("awaited.pem", "one");
        assert_eq!(before.changed().unwrap(), [&*file]);
        let mut after = Files::default();
        read(&mut after, &file);
        after.is_awaited(&file);
        assert_eq!(
            (after.changed().unwrap(), after.changed_since(&before)),
            (NONE.to_vec(), vec![&*file])
        );
    }

    #[test]
    fn what_is_read_twice_counts_with_what_it_held_first() {
        let folder = Folder::new();
        let (mut files, file) = (Files::default(), folder.write("both.pem", "one"));
        assert_eq!(read(&mut files, &file), b"one");
        folder.write("both.pem", "two");
        assert_eq!(read(&mut files, &file), b"two");
        assert_eq!(files.changed().unwrap(), [&*file]);
    }
}
