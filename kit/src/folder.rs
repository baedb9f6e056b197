//! A folder of its own for a test or a benchmark.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

/// A new folder, removed when it is dropped.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// Makes a folder whose name begins with `narrows` and contains `name`.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("narrows-{name}-{}-{number}", process::id()));
        fs::create_dir(&path).expect("a new folder");
        Self { path }
    }

    /// Writes a file in it; gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).expect("a file in the folder");
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Not removed at worst: no reason to fail a test that has passed.
        let _left = fs::remove_dir_all(&self.path);
    }
}
