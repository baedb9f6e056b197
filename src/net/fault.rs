//! Errors of the system as errors of ours: an errno is a [`SocketError`], an `io::ErrorKind` an
//! [`IoFault`].

use crate::error::{IoFault, SocketError};
use rustix::io::Errno;
use std::io::ErrorKind;

impl From<Errno> for SocketError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS => Self::AccessDenied,
            Errno::ADDRINUSE => Self::AddressInUse,
            Errno::ADDRNOTAVAIL => Self::AddressNotAvailable,
            Errno::AFNOSUPPORT => Self::FamilyNotSupported,
            Errno::CONNABORTED => Self::ConnectionAborted,
            Errno::CONNREFUSED => Self::ConnectionRefused,
            Errno::CONNRESET => Self::ConnectionReset,
            Errno::HOSTDOWN => Self::HostDown,
            Errno::HOSTUNREACH => Self::HostUnreachable,
            Errno::INVAL => Self::InvalidArgument,
            Errno::IO => Self::InputOutput,
            Errno::MFILE => Self::ProcessFilesExhausted,
            Errno::NETDOWN => Self::NetworkDown,
            Errno::NETRESET => Self::NetworkReset,
            Errno::NETUNREACH => Self::NetworkUnreachable,
            Errno::NFILE => Self::SystemFilesExhausted,
            Errno::NOBUFS => Self::BuffersExhausted,
            Errno::NODEV => Self::NoDevice,
            Errno::NOMEM => Self::MemoryExhausted,
            Errno::NOPROTOOPT => Self::ProtocolNotAvailable,
            Errno::NOTCONN => Self::NotConnected,
            Errno::PERM => Self::NotPermitted,
            Errno::PIPE => Self::BrokenPipe,
            Errno::PROTO => Self::ProtocolError,
            Errno::TIMEDOUT => Self::TimedOut,
            _ => Self::Other,
        }
    }
}

impl From<ErrorKind> for IoFault {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            // TLS without close_notify.
            ErrorKind::UnexpectedEof => Self::Truncated,
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}
