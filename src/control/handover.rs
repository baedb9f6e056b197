//! A hand-over: the program file is started anew, and takes the listening sockets.
//!
//! The old process is the [`Predecessor`] of the new one, the new process its [`Successor`]. They
//! have a Unix socket in common, which is the new one's stdin:
//!
//! 1. The old process starts a [`Launcher`], and that the new one. It says `started` and the number
//!    of the new process.
//! 2. The new process sends a [`GREETING`]. A program that does not gets no socket: it would keep
//!    the addresses, and accept nothing.
//! 3. The old process sends its listening sockets ([`send_descriptors`]), then the configuration,
//!    if it came from its own stdin. Then it ends its direction, so that the new process can read
//!    stdin as usual.
//! 4. The new process starts. Once it accepts on all of its listeners, it sends `ready` and the
//!    numbers of the sockets that it does not use, in one line. Both processes now accept.
//! 5. The old process ends the launcher, so that the new process is a child of the service manager,
//!    tells that which process is the main one, and closes the socket. From then on the new process
//!    speaks for the service.
//!
//! If the new process ends before it is ready, or takes longer than [`HAND_OVER_MAX`], the old one
//! goes on as if nothing had happened. The new one writes to the same stderr, so the log says why.
//!
//! [`Predecessor`]: crate::control::predecessor::Predecessor
//! [`Launcher`]: crate::control::launcher::Launcher
//! [`GREETING`]: crate::control::predecessor::GREETING
//! [`send_descriptors`]: crate::net::passing::send_descriptors
//! [`HAND_OVER_MAX`]: crate::limits::HAND_OVER_MAX

use crate::control::error::RunError;
use crate::control::launcher::signal;
use crate::control::notify::Notifier;
use crate::control::program::Program;
use crate::control::request::{Asked, Request};
use crate::control::successor::{HandOverError, Successor};
use crate::control::workers::Events;
use crate::telemetry::targets::SERVER;
use rustix::fd::OwnedFd;
use rustix::process::Signal;
use std::io::{self, IsTerminal};
use std::process;

/// A hand-over that succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HandedOver {
    /// The new process.
    pub(super) pid: u32,
    /// Numbers of the sockets that it does not use.
    pub(super) unused: Vec<usize>,
}

/// Why the main loop ends.
pub(super) enum End {
    /// By this signal.
    Signal(&'static str),
    /// A new process serves.
    HandedOver(HandedOver),
}

/// Waits for the end of an attempt to hand over. Meanwhile a stop is obeyed, and ends the attempt;
/// what else is asked for has to wait.
pub(super) async fn until_handed_over(
    attempt: impl Future<Output = Option<HandedOver>>,
    events: &mut Events,
    requests: &mut Asked,
) -> Result<Option<End>, RunError> {
    tokio::select! {
        handed_over = attempt => Ok(handed_over.map(End::HandedOver)),
        () = events.one_ended() => Err(RunError::WorkerEnded),
        signal = requests.stop_signal("a hand-over", &[Request::Reload]) => {
            Ok(Some(End::Signal(signal)))
        }
    }
}

/// Starts `program`, gives it `sockets` and what this process got on stdin, and makes it the main
/// process once it serves. `None`: that failed, and the log says why.
pub(super) async fn hand_over(
    program: &Program,
    sockets: io::Result<Vec<OwnedFd>>,
    notifier: &Notifier,
) -> Option<HandedOver> {
    let handed_over = attempt(program, sockets, notifier).await;
    handed_over
        .inspect_err(|reason| {
            let reason = reason.to_string();
            tracing::error!(
                target: SERVER,
                reason,
                "the hand-over failed, and this process serves on"
            );
        })
        .ok()
}

async fn attempt(
    program: &Program,
    sockets: io::Result<Vec<OwnedFd>>,
    notifier: &Notifier,
) -> Result<HandedOver, HandOverError> {
    if process::id() == 1 {
        return Err(HandOverError::First);
    }
    let sockets = sockets.map_err(HandOverError::Socket)?;
    let file = program.path.display();
    tracing::info!(target: SERVER, program = %file, "a new process is to take over");
    let mut successor = Successor::start(program)?;
    let unused = successor.serves(&sockets, &program.stdin).await?;
    let pid = successor.release().await;
    if let Err(error) = notifier.main_process(pid) {
        signal(pid, Signal::TERM);
        return Err(HandOverError::Manager(error));
    }
    Ok(HandedOver { pid, unused })
}

impl HandedOver {
    /// Asks the new process to reload: it may have read the configuration before this one was
    /// asked to.
    pub(super) fn reload(&self) {
        signal(self.pid, Signal::HUP);
    }

    /// Says what happens now.
    pub(super) fn log(&self, has_manager: bool) {
        let pid = self.pid;
        if has_manager {
            tracing::info!(
                target: SERVER,
                pid,
                "a new process serves; running exchanges may end here"
            );
        } else if io::stderr().is_terminal() {
            tracing::info!(
                target: SERVER,
                pid,
                "a new process serves, in the background of this terminal; running exchanges may \
                 end here"
            );
        } else {
            tracing::info!(
                target: SERVER,
                pid,
                "a new process serves; running exchanges may end here. What started this process, \
                 a shell or a supervisor, is not told of the new one"
            );
        }
    }
}
