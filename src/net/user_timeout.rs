//! The kernel's limit on what a peer leaves unacknowledged (`TCP_USER_TIMEOUT`), for one socket:
//! [`UserTimeout`].
//!
//! Linux also counts a shut window, from its first probe, answered or not, and begins anew only
//! when the window is as large as what it wants to send at a time. A peer that reads more slowly
//! than it is sent to would be cut after that time, however much it took in between. So the limit
//! is lifted where our own limits, and looks at what is acknowledged, take its place.

use crate::limits::USER_TIMEOUT_MAX;
use socket2::SockRef;
use std::cell::Cell;
use std::time::Duration;
use tokio::net::TcpStream;

/// Whether the limit of a socket is another than that of most.
#[derive(Debug, Default)]
pub(super) struct UserTimeout {
    is_lifted: Cell<bool>,
}

impl UserTimeout {
    /// Leaves it to the caller how long the peer may keep its window shut, or bytes unacknowledged.
    pub(super) fn lift(&self, tcp: &TcpStream) {
        if !self.is_lifted.replace(true) {
            set(tcp, None);
        }
    }

    /// The same, and for how long keepalive probes may go unanswered, which is under this limit if
    /// there is one.
    pub(super) fn lift_for_probes(&self, tcp: &TcpStream) {
        self.is_lifted.set(true);
        set(tcp, Some(USER_TIMEOUT_MAX));
    }

    /// Leaves that to the kernel again, with the limit `time`, if it was lifted.
    pub(super) fn restore(&self, tcp: &TcpStream, time: Duration) {
        if self.is_lifted.replace(false) {
            set(tcp, Some(time));
        }
    }

    /// The socket is being closed: the kernel does not bound with a limit of days what it still has
    /// for the peer, but with those of its own, which are some minutes.
    pub(super) fn close(&self, tcp: &TcpStream) {
        if self.is_lifted.get() {
            set(tcp, None);
        }
    }
}

/// Best effort: otherwise the limit of before holds.
fn set(tcp: &TcpStream, time: Option<Duration>) {
    let _ = SockRef::from(tcp).set_tcp_user_timeout(time);
}
