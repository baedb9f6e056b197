//! Why a server does not run.

use crate::config::admin_address::AdminAddress;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why the server could not start, or stopped by itself.
#[derive(Debug)]
pub enum RunError {
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The admin listener cannot listen there.
    Admin(AdminAddress, io::Error),
    /// A thread, a runtime or a signal handler cannot be had.
    Start(io::Error),
    /// So many open files are allowed, and at least so many are needed.
    OpenFiles(u64, u64),
    /// A worker ended without being asked to.
    WorkerEnded,
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                let advice = advice(address.port(), error);
                write!(out, "cannot listen on {address}: {error}{advice}")
            }
            Self::Admin(address, error) => {
                let of_path = || advice_for_path(error).to_owned();
                let advice = address.port().map_or_else(of_path, |port| advice(port, error));
                write!(out, "cannot listen on {address} for the admin listener: {error}{advice}")
            }
            Self::Start(error) => write!(out, "cannot start: {error}"),
            Self::OpenFiles(allowed, needed) => write!(
                out,
                "cannot start: the limit of open files is {allowed}, and {needed} is the least \
                 for this configuration; raise it (LimitNOFILE= in the unit, ulimit -Hn in a \
                 shell, --ulimit nofile= of docker)"
            ),
            Self::WorkerEnded => write!(out, "a worker ended unexpectedly"),
        }
    }
}

impl std::error::Error for RunError {}

/// What to do about a port that cannot be listened on, as the end of a line.
pub(super) fn advice(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another process listens there: `ss -ltnp sport = :{port}` shows which")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("; this machine does not have the address: \":{port}\" means all that it has")
        }
        io::ErrorKind::PermissionDenied if port < 1024 => "; a port below 1024 needs root or \
             CAP_NET_BIND_SERVICE, as in packaging/narrows.service"
            .to_owned(),
        _ => String::new(),
    }
}

/// The same about the path of a unix socket.
fn advice_for_path(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process answers there, or the path is that of another file or a folder"
        }
        io::ErrorKind::NotFound => "; its folder does not exist",
        io::ErrorKind::PermissionDenied => "; its folder has to belong to the user of narrows",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn an_address_that_cannot_be_listened_on_comes_with_advice() {
        for (kind, address, want) in [
            (ErrorKind::AddrInUse, "127.0.0.1:8080", "`ss -ltnp sport = :8080` shows which"),
            (ErrorKind::AddrNotAvailable, "203.0.113.5:443", "\":443\" means all that it has"),
            (ErrorKind::PermissionDenied, "0.0.0.0:443", "packaging/narrows.service"),
            (ErrorKind::PermissionDenied, "0.0.0.0:8443", ": permission denied"),
        ] {
            let message = RunError::Listen(address.parse().unwrap(), kind.into()).to_string();
            assert!(message.starts_with(&format!("cannot listen on {address}: ")), "{message}");
            assert!(message.ends_with(want), "{message}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_listened_on_is_not_advised_about_as_a_port() {
        for (kind, want) in [
            (ErrorKind::AddrInUse, "that of another file or a folder"),
            (ErrorKind::NotFound, "; its folder does not exist"),
            (ErrorKind::PermissionDenied, "belong to the user of narrows"),
        ] {
            let address = "unix:/run/admin.sock".parse().unwrap();
            let message = RunError::Admin(address, kind.into()).to_string();
            assert!(message.ends_with(want), "{message}");
        }
        let address = "127.0.0.1:9145".parse().unwrap();
        let message = RunError::Admin(address, ErrorKind::AddrInUse.into()).to_string();
        assert!(message.ends_with("`ss -ltnp sport = :9145` shows which"), "{message}");
    }
}
