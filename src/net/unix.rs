//! Unix sockets that are listened on, and their files.

use crate::limits::LISTEN_BACKLOG;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{Permissions, remove_file, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The permissions of the file: the user and the group of this process may connect.
const MODE: u32 = 0o660;

/// The file of a socket that this process listens on. It is removed when this is dropped, unless
/// another file has taken its place. To be dropped before the socket, which holds the number of the
/// file: no other file can get it before.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number of the file; `None` if it is not ours to remove.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// The file at `path`, whoever made it.
    ///
    /// # Errors
    /// There is none, or it cannot be examined.
    pub fn adopt(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: Some(identity(path)?) })
    }

    /// Leaves the file to another process that listens on the same socket.
    pub fn leave(&mut self) {
        self.identity = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path).ok() == self.identity {
            // A file that is left behind is replaced at the next start.
            let _ = remove_file(&self.path);
        }
    }
}

/// Listens at `path`, and replaces the socket of a process that has ended.
///
/// # Errors
/// Those of the file system. A socket that a process listens on, and a file that is not a socket,
/// are `AddrInUse`.
pub fn listen_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != ErrorKind::AddrInUse || !is_stale(path, &address)? {
            return Err(error);
        }
        remove_file(path)?;
        socket.bind(&address)?;
    }
    let file = SocketFile::adopt(path)?;
    // No one can connect before it listens.
    set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok((socket.into(), file))
}

/// Whether the file is a socket that no process listens on.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let refused = probe.connect(address).map_err(|error| error.kind());
    Ok(refused == Err(ErrorKind::ConnectionRefused))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::pem::Folder;
    use std::fs;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_file_lets_user_and_group_connect_and_is_gone_in_the_end() {
        let folder = Folder::new();
        let path = folder.path("a.sock");
        let (_listener, file) = listen_unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_without_a_process_is_replaced_and_one_with_a_process_is_not() {
        let folder = Folder::new();
        let path = folder.path("a.sock");
        let (first, mut file) = listen_unix(&path).unwrap();
        assert_eq!(listen_unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        // As a process leaves it that was killed.
        file.leave();
        drop((first, file));
        let (_second, _file) = listen_unix(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_has_taken_the_place_of_ours_stays() {
        let folder = Folder::new();
        let path = folder.path("a.sock");
        let (_first, file) = listen_unix(&path).unwrap();
        remove_file(&path).unwrap();
        let (_second, _file) = listen_unix(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = Folder::new();
        let path = folder.write("a", b"data");
        assert_eq!(listen_unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[test]
    fn a_file_that_is_left_to_a_successor_stays() {
        let folder = Folder::new();
        let path = folder.path("a.sock");
        let (_listener, mut file) = listen_unix(&path).unwrap();
        file.leave();
        drop(file);
        let adopted = SocketFile::adopt(&path).unwrap();
        drop(adopted);
        assert!(!path.exists());
    }
}
