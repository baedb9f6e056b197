//! What systemd is told of this process (`sd_notify(3)`): datagrams to the socket that
//! `NOTIFY_SOCKET` names.
//!
//! Each method is one datagram. Without `NOTIFY_SOCKET` nothing is sent. A datagram that the socket
//! does not accept at once is dropped: a service manager that hangs must not stop the main thread.

use crate::telemetry::targets::SERVER;
use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager, if there is one.
pub(super) struct Notifier {
    manager: Option<Manager>,
}

struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether it was said that it cannot be reached.
    has_failed: Cell<bool>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET` says.
    pub(super) fn from_environment() -> Self {
        let name = env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty());
        let manager = name.and_then(|name| {
            let reached = Manager::reach(&name);
            reached.inspect_err(failed).ok()
        });
        Self { manager }
    }

    /// Whether there is a service manager that wants to hear of us.
    pub(super) fn has_manager(&self) -> bool {
        self.manager.is_some()
    }

    /// The start is over.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// A stop begins.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// From now on `pid` is the main process, and speaks for the service. Answers the watchdog for
    /// the last time, so that the new one has the whole of its time.
    ///
    /// # Errors
    /// It cannot be told, and would take the end of this process for the end of the service.
    pub(super) fn main_process(&self, pid: u32) -> io::Result<()> {
        let Some(manager) = &self.manager else { return Ok(()) };
        manager.send(&format!("MAINPID={pid}\nWATCHDOG=1"))
    }

    fn send(&self, message: &str) {
        let Some(manager) = &self.manager else { return };
        if let Err(error) = manager.send(message)
            && !manager.has_failed.replace(true)
        {
            failed(&error);
        }
    }
}

impl Manager {
    fn reach(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            // An abstract address: a name without a file.
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, has_failed: Cell::new(false) })
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.socket.send_to_addr(message.as_bytes(), &self.address).map(drop)
    }
}

fn failed(error: &io::Error) {
    tracing::warn!(target: SERVER, %error, "the service manager cannot be notified");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    fn to(name: &OsStr) -> Notifier {
        Notifier { manager: Some(Manager::reach(name).unwrap()) }
    }

    #[track_caller]
    fn assert_received(socket: &UnixDatagram, want: &str) {
        let mut message = [0; 256];
        let len = socket.recv(&mut message).unwrap();
        assert_eq!(str::from_utf8(&message[..len]).unwrap(), want);
    }

    #[test]
    fn each_message_is_one_datagram_to_an_abstract_address() {
        let name = format!("narrows-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = to(format!("@{name}").as_ref());
        notifier.ready();
        assert_received(&manager, "READY=1");
        notifier.stopping();
        assert_received(&manager, "STOPPING=1");
        notifier.main_process(77).unwrap();
        assert_received(&manager, "MAINPID=77\nWATCHDOG=1");
    }

    #[test]
    fn a_manager_that_does_not_read_blocks_nothing() {
        let name = format!("narrows-full-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _silent = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = to(format!("@{name}").as_ref());
        // More than the queue of any system holds.
        for _ in 0..100_000 {
            notifier.ready();
        }
        assert!(notifier.manager.unwrap().has_failed.get());
    }
}
