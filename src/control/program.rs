//! The program file of this process: where a hand-over finds its successor.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};

/// The program file and its arguments, so that it can be started anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// What it was given on stdin.
    pub(super) stdin: String,
}

impl Program {
    /// Those of this process. Afterwards another file may have its name.
    pub(super) fn of_this_process() -> Self {
        let mut arguments = env::args_os();
        let named = arguments.next().and_then(|name| find(&name));
        // `/proc/self/exe` is read now: after an upgrade it names a file that was deleted.
        let path = named.or_else(|| env::current_exe().ok()).unwrap_or_default();
        Self { path, arguments: arguments.collect(), stdin: String::new() }
    }
}

/// The path of the running program by the name that it was started by. It keeps symbolic links,
/// because an upgrade may change where they lead. `None` if the name leads to another file.
fn find(name: &OsStr) -> Option<PathBuf> {
    let named = if Path::new(name).components().count() > 1 {
        path::absolute(name).ok()?
    } else {
        let folders = env::var_os("PATH")?;
        env::split_paths(&folders).map(|folder| folder.join(name)).find(|it| it.is_file())?
    };
    is_running(&named).then_some(named)
}

fn is_running(file: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|it| (it.dev(), it.ino()));
    match (identity(file), identity(Path::new("/proc/self/exe"))) {
        (Ok(file), Ok(running)) => file == running,
        // Without /proc the name is all there is.
        (file, Err(_)) => file.is_ok(),
        (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_program_is_found_by_the_link_that_it_was_started_by() {
        let folder = Folder::new();
        let link = folder.path("narrows");
        symlink(env::current_exe().unwrap(), &link).unwrap();
        assert_eq!(find(link.as_os_str()), Some(link.clone()));
        fs::remove_file(&link).unwrap();
        symlink("/bin/sh", &link).unwrap();
        assert_eq!(find(link.as_os_str()), None, "another program");
        assert_eq!(find(OsStr::new("sh")), None, "another program, in PATH");
        assert_eq!(find(OsStr::new("no-such-program")), None);
    }

    #[test]
    fn without_a_name_that_leads_to_it_the_program_is_the_file_that_runs() {
        let program = Program::of_this_process();
        assert!(is_running(&program.path), "{program:?}");
    }
}
