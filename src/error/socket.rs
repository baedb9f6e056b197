//! Errors of sockets, by the names of errno(3): fixed words, the same in every language.

/// Why an operation on a socket failed.
///
/// Each variant is one errno. One byte, because errors travel with every exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketError {
    /// Permission denied.
    AccessDenied,
    /// The address is in use.
    AddressInUse,
    /// The address cannot be assigned, or no port is left for it.
    AddressNotAvailable,
    /// This machine does not have the address family.
    FamilyNotSupported,
    /// The connection was aborted here.
    ConnectionAborted,
    /// Nothing listens there.
    ConnectionRefused,
    /// The peer reset the connection.
    ConnectionReset,
    /// The host is down.
    HostDown,
    /// There is no route to the host.
    HostUnreachable,
    /// An argument was invalid.
    InvalidArgument,
    /// Input or output failed.
    InputOutput,
    /// The process has no descriptor left.
    ProcessFilesExhausted,
    /// The network is down.
    NetworkDown,
    /// The network dropped the connection.
    NetworkReset,
    /// There is no route to the network.
    NetworkUnreachable,
    /// The system has no descriptor left.
    SystemFilesExhausted,
    /// The kernel has no buffer left.
    BuffersExhausted,
    /// There is no such device.
    NoDevice,
    /// The kernel has no memory left.
    MemoryExhausted,
    /// The protocol is not available.
    ProtocolNotAvailable,
    /// The socket is not connected.
    NotConnected,
    /// A firewall, or a missing privilege, forbids it.
    NotPermitted,
    /// The peer no longer reads.
    BrokenPipe,
    /// The protocol failed.
    ProtocolError,
    /// The peer did not respond in time.
    TimedOut,
    /// An errno that a socket should not return.
    Other,
}

impl SocketError {
    /// The name of the errno.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "EACCES",
            Self::AddressInUse => "EADDRINUSE",
            Self::AddressNotAvailable => "EADDRNOTAVAIL",
            Self::FamilyNotSupported => "EAFNOSUPPORT",
            Self::ConnectionAborted => "ECONNABORTED",
            Self::ConnectionRefused => "ECONNREFUSED",
            Self::ConnectionReset => "ECONNRESET",
            Self::HostDown => "EHOSTDOWN",
            Self::HostUnreachable => "EHOSTUNREACH",
            Self::InvalidArgument => "EINVAL",
            Self::InputOutput => "EIO",
            Self::ProcessFilesExhausted => "EMFILE",
            Self::NetworkDown => "ENETDOWN",
            Self::NetworkReset => "ENETRESET",
            Self::NetworkUnreachable => "ENETUNREACH",
            Self::SystemFilesExhausted => "ENFILE",
            Self::BuffersExhausted => "ENOBUFS",
            Self::NoDevice => "ENODEV",
            Self::MemoryExhausted => "ENOMEM",
            Self::ProtocolNotAvailable => "ENOPROTOOPT",
            Self::NotConnected => "ENOTCONN",
            Self::NotPermitted => "EPERM",
            Self::BrokenPipe => "EPIPE",
            Self::ProtocolError => "EPROTO",
            Self::TimedOut => "ETIMEDOUT",
            Self::Other => "EOTHER",
        }
    }
}

/// How a read or a write failed, as far as the difference matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoFault {
    /// The peer ended TLS without a close_notify.
    Truncated,
    /// The peer acknowledged nothing for too long.
    TimedOut,
    /// A reset, or another failure.
    Failed,
}
