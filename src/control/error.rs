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
    /// A worker ended without being asked to.
    WorkerEnded,
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(out, "cannot listen on {address}: {error}"),
            Self::Admin(address, error) => {
                write!(out, "cannot listen on {address} for the admin listener: {error}")
            }
            Self::Start(error) => write!(out, "cannot start: {error}"),
            Self::WorkerEnded => write!(out, "a worker ended unexpectedly"),
        }
    }
}

impl std::error::Error for RunError {}
