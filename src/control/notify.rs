//! What systemd is told of this process (`sd_notify(3)`): datagrams to the socket that
//! `NOTIFY_SOCKET` names.
//!
//! Each method is one datagram. Without `NOTIFY_SOCKET` nothing is sent. A datagram that the socket
//! does not accept at once is dropped: a service manager that hangs must not stop the main thread.

use crate::telemetry::targets::SERVER;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

/// Tells the service manager, if there is one.
pub(super) struct Notifier {
    manager: Option<Manager>,
    /// Of the watchdog: how long this process may be silent.
    silence_max: Option<Duration>,
    /// Whether another process speaks for the service.
    is_relieved: Cell<bool>,
}

struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether it was said that it cannot be reached.
    has_failed: Cell<bool>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(super) fn from_environment() -> Self {
        let name = env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty());
        let manager = name.and_then(|name| {
            let reached = Manager::reach(&name);
            reached.inspect_err(failed).ok()
        });
        let variable = |name| env::var(name).ok();
        let silence_max = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        Self { manager, silence_max, is_relieved: Cell::new(false) }
    }

    /// Whether there is a service manager that wants to hear of us.
    pub(super) fn has_manager(&self) -> bool {
        self.manager.is_some()
    }

    /// How long this process may be silent before the watchdog ends it, if there is one.
    pub(super) fn silence_max(&self) -> Option<Duration> {
        self.silence_max
    }

    /// The start, or a reload, is over.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub(super) fn reloading(&self) {
        // `Type=notify-reload` needs both in one datagram, to tell this reload from an earlier one.
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
    }

    /// A stop begins.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// What is under way may take so long from now on.
    pub(super) fn extend_timeout(&self, time: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// What `systemctl status` shows. One line.
    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// This process is well. Nothing is sent if there is no watchdog.
    pub(super) fn watchdog(&self) {
        if self.silence_max.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// From now on `pid` is the main process, and speaks for the service; this one says no more.
    /// Answers the watchdog for the last time, so that the new one has the whole of its time.
    ///
    /// # Errors
    /// It cannot be told, and would take the end of this process for the end of the service.
    pub(super) fn main_process(&self, pid: u32) -> io::Result<()> {
        let Some(manager) = &self.manager else { return Ok(()) };
        manager.send(&format!("MAINPID={pid}\nWATCHDOG=1"))?;
        self.is_relieved.set(true);
        Ok(())
    }

    fn send(&self, message: &str) {
        let Some(manager) = self.manager.as_ref().filter(|_| !self.is_relieved.get()) else {
            return;
        };
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

/// The time of the watchdog, unless it is meant for another process.
fn watchdog(micros: Option<String>, pid: Option<String>) -> Option<Duration> {
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(process::id()));
    is_ours.then_some(Duration::from_micros(micros))
}

/// The clock that systemd compares by.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // Time since the boot is not negative.
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(name: &OsStr) -> Notifier {
        let manager = Some(Manager::reach(name).unwrap());
        let silence_max = Some(Duration::from_secs(30));
        Notifier { manager, silence_max, is_relieved: Cell::new(false) }
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
        notifier.status("1 exchange");
        assert_received(&manager, "STATUS=1 exchange");
        notifier.extend_timeout(Duration::from_millis(1500));
        assert_received(&manager, "EXTEND_TIMEOUT_USEC=1500000");
        notifier.watchdog();
        assert_received(&manager, "WATCHDOG=1");
        notifier.main_process(77).unwrap();
        assert_received(&manager, "MAINPID=77\nWATCHDOG=1");
        notifier.ready();
        manager.set_nonblocking(true).unwrap();
        assert!(manager.recv(&mut [0; 256]).is_err(), "another process speaks now");
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let name = format!("narrows-reload-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let before = monotonic();
        to(format!("@{name}").as_ref()).reloading();
        let mut message = [0; 256];
        let len = manager.recv(&mut message).unwrap();
        let text = str::from_utf8(&message[..len]).unwrap();
        let micros = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        let told = Duration::from_micros(micros);
        assert!(told.as_micros() >= before.as_micros() && told <= monotonic(), "{text}");
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

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let text = |text: &str| Some(text.to_owned());
        let ours = process::id().to_string();
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(text("1000000"), Some(ours)), second);
        assert_eq!(watchdog(text("1000000"), None), second);
        assert_eq!(watchdog(text("1000000"), text("1")), None);
        assert_eq!(watchdog(text("0"), None), None);
        assert_eq!(watchdog(text("soon"), None), None);
        assert_eq!(watchdog(None, None), None);
    }
}
