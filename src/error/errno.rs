//! The names of errno(3), for the log: fixed words, the same in every language.

use rustix::io::Errno;

/// What a socket failed with, in one byte: errors are handed about with every exchange, and Linux
/// has numbers up to 133.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError(u8);

impl SocketError {
    /// No connection is accepted there.
    pub const REFUSED: Self = Self::new(Errno::CONNREFUSED);

    /// Of an errno.
    pub const fn new(errno: Errno) -> Self {
        Self(errno.raw_os_error() as u8)
    }

    /// The name of the errno; `EOTHER` of one that is not expected of a socket.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(known, _)| Self::new(*known) == self).map_or("EOTHER", |(_, name)| name)
    }
}

const NAMES: &[(Errno, &str)] = &[
    (Errno::ACCESS, "EACCES"),
    (Errno::ADDRINUSE, "EADDRINUSE"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
    (Errno::CONNABORTED, "ECONNABORTED"),
    (Errno::CONNREFUSED, "ECONNREFUSED"),
    (Errno::CONNRESET, "ECONNRESET"),
    (Errno::HOSTDOWN, "EHOSTDOWN"),
    (Errno::HOSTUNREACH, "EHOSTUNREACH"),
    (Errno::INVAL, "EINVAL"),
    (Errno::IO, "EIO"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NETDOWN, "ENETDOWN"),
    (Errno::NETRESET, "ENETRESET"),
    (Errno::NETUNREACH, "ENETUNREACH"),
    (Errno::NFILE, "ENFILE"),
    (Errno::NOBUFS, "ENOBUFS"),
    (Errno::NODEV, "ENODEV"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::NOPROTOOPT, "ENOPROTOOPT"),
    (Errno::NOTCONN, "ENOTCONN"),
    (Errno::PERM, "EPERM"),
    (Errno::PIPE, "EPIPE"),
    (Errno::PROTO, "EPROTO"),
    (Errno::TIMEDOUT, "ETIMEDOUT"),
];
