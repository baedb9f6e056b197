//! What accept(2) fails with.

use rustix::io::Errno;
use std::io;

/// Errors of accept(2) that belong to the connection, not to us; the next one may be fine.
pub(super) fn is_about_one_connection(error: &io::Error) -> bool {
    const ABOUT_ONE: [Errno; 14] = [
        Errno::ACCESS,
        Errno::CONNABORTED,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NONET,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ABOUT_ONE.contains(&errno))
}
