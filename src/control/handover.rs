//! A hand-over: the program file is started anew, and takes the listening sockets.
//!
//! The old process is the [`Predecessor`] of the new one, the new process its [`Successor`]. They
//! have a Unix socket in common, which is the new one's stdin:
//!
//! 1. The old process sends its listening sockets ([`send_descriptors`]), then the configuration,
//!    if it came from its own stdin. Then it ends its direction, so that the new process can read
//!    stdin as usual.
//! 2. The new process starts. Once it accepts on all of its listeners, it sends `ready` and the
//!    numbers of the sockets that it does not use, in one line. Both processes now accept.
//! 3. The old process tells the service manager which process is the main one, and closes the
//!    socket. From then on the new process speaks for the service.
//!
//! If the new process ends before it is ready, or takes longer than [`HAND_OVER_MAX`], the old one
//! goes on as if nothing had happened. The new one writes to the same stderr, so the log says why.

use crate::control::error::RunError;
use crate::control::notify::Notifier;
use crate::control::program::Program;
use crate::control::request::{Asked, Request};
use crate::control::workers::Events;
use crate::limits::HAND_OVER_MAX;
use crate::net::passing::{receive_descriptors, send_descriptors};
use crate::telemetry::targets::SERVER;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{self, ExitStatus};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The variable that says that stdin is the socket of a predecessor.
pub(super) const HANDED_OVER: &str = "NARROWS_HANDED_OVER";

/// Variables of systemd that are about the old process only. Without a pid, the watchdog's time is
/// the new one's, too.
const ABOUT_THIS_PROCESS: [&str; 4] =
    ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"];

/// Longest line by which a new process says that it is ready: a number of up to 5 digits for each
/// of the sockets.
const REPLY_BYTES_MAX: u64 = 64 * 1024;

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
    let mut successor = Successor::start(program)?;
    let pid = successor.child.id().unwrap_or_default();
    let file = program.path.display();
    tracing::info!(target: SERVER, pid, program = %file, "a new process is to take over");
    let unused = successor.serves(&sockets, &program.stdin).await?;
    notifier.main_process(pid).map_err(HandOverError::Manager)?;
    successor.is_trusted = true;
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

/// A new process that is to take over. One that is dropped is asked to end.
struct Successor {
    child: Child,
    control: UnixStream,
    /// Whether it may live on without this process.
    is_trusted: bool,
}

/// Why a hand-over failed.
#[derive(Debug)]
enum HandOverError {
    /// The program file cannot be started.
    Start(PathBuf, io::Error),
    /// A socket or a process cannot be had.
    Socket(io::Error),
    /// This process is the first one of a container, which would end with it.
    First,
    /// The service manager cannot be told.
    Manager(io::Error),
    /// The new process ended before it was ready.
    Ended(ExitStatus),
    /// It was not ready in time.
    Late,
}

impl Successor {
    /// Starts `program`.
    fn start(program: &Program) -> Result<Self, HandOverError> {
        let (ours, theirs) = StdUnixStream::pair().map_err(HandOverError::Socket)?;
        ours.set_nonblocking(true).map_err(HandOverError::Socket)?;
        let control = UnixStream::from_std(ours).map_err(HandOverError::Socket)?;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).stdin(OwnedFd::from(theirs)).env(HANDED_OVER, "1");
        for name in ABOUT_THIS_PROCESS {
            command.env_remove(name);
        }
        let failed = |error| HandOverError::Start(program.path.clone(), error);
        Ok(Self { child: command.spawn().map_err(failed)?, control, is_trusted: false })
    }

    /// Gives it `sockets` and `stdin`, and waits until it serves. Returns the numbers of the
    /// sockets that it does not use.
    async fn serves(
        &mut self,
        sockets: &[OwnedFd],
        stdin: &str,
    ) -> Result<Vec<usize>, HandOverError> {
        let Self { child, control, .. } = self;
        let serves = async {
            match instruct(control, sockets, stdin).await {
                Ok(unused) => unused,
                // It is about to end, or has nothing to do with us.
                Err(_) => pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = child.wait() => {
                Err(ended.map_or_else(HandOverError::Socket, HandOverError::Ended))
            }
            unused = serves => Ok(unused),
            () = sleep(HAND_OVER_MAX) => {
                // It hangs, so it is not asked.
                let _ = child.start_kill();
                Err(HandOverError::Late)
            }
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id().filter(|_| !self.is_trusted) {
            // Not killed: it may accept already, and then has clients of its own.
            signal(pid, Signal::TERM);
        }
    }
}

/// Sends a signal to a new process, which may be gone.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _gone = kill_process(pid, signal);
    }
}

/// The part of the old process in the conversation.
async fn instruct(
    control: &mut UnixStream,
    sockets: &[OwnedFd],
    stdin: &str,
) -> io::Result<Vec<usize>> {
    let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    send_descriptors(control, &borrowed).await?;
    control.write_all(stdin.as_bytes()).await?;
    control.shutdown().await?;
    let mut reply = String::new();
    BufReader::new(control.take(REPLY_BYTES_MAX)).read_line(&mut reply).await?;
    read_reply(&reply).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_reply(line: &str) -> Option<Vec<usize>> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    (words.next() == Some("ready")).then_some(())?;
    words.map(|number| number.parse().ok()).collect()
}

impl fmt::Display for HandOverError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(path, error) => write!(out, "cannot start {}: {error}", path.display()),
            Self::Socket(error) => write!(out, "cannot talk to a new process: {error}"),
            Self::First => write!(
                out,
                "this is process 1 of its container, which would end with it: start a new container"
            ),
            Self::Manager(error) => {
                write!(out, "the service manager cannot be told of the new process: {error}")
            }
            Self::Ended(status) => {
                write!(out, "the new process ended before it was ready ({status})")
            }
            Self::Late => write!(
                out,
                "the new process was not ready within {} s, and was killed",
                HAND_OVER_MAX.as_secs()
            ),
        }
    }
}

/// The process that this one takes over from.
#[derive(Debug)]
pub(super) struct Predecessor(StdUnixStream);

impl Predecessor {
    /// The one at the other end of stdin, and the sockets that it sends.
    pub(super) fn on_stdin() -> io::Result<(Self, Vec<OwnedFd>)> {
        let control = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        control.set_read_timeout(Some(HAND_OVER_MAX))?;
        let descriptors = receive_descriptors(&control)?;
        control.set_read_timeout(None)?;
        Ok((Self(control), descriptors))
    }

    /// Says that this process serves, without the sockets of these numbers, and waits until the old
    /// one has said so to the service manager, or is gone.
    pub(super) async fn relieve(self, unused: &[usize]) {
        let numbers: String = unused.iter().map(|number| format!(" {number}")).collect();
        let relieved = spawn_blocking(move || {
            let Self(mut control) = self;
            control.write_all(format!("ready{numbers}\n").as_bytes())?;
            // Nothing more is sent, so a read would say nothing: only the close is waited for.
            let limit = Timespec::try_from(HAND_OVER_MAX).ok();
            poll(&mut [PollFd::new(&control, PollFlags::empty())], limit.as_ref())?;
            io::Result::Ok(())
        });
        // If the old process is gone, this one serves alone all the same.
        let _gone = relieved.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paused clock moves only when nothing else is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn a_new_process_that_hangs_is_given_up_and_killed() {
        let program = Program {
            path: "/bin/sleep".into(),
            arguments: vec!["1000".into()],
            ..Program::default()
        };
        let mut successor = Successor::start(&program).unwrap();
        let failed = successor.serves(&[], "").await.unwrap_err();
        assert!(matches!(failed, HandOverError::Late), "{failed}");
        assert!(!successor.child.wait().await.unwrap().success());
    }

    #[test]
    fn a_reply_is_ready_with_the_numbers_of_unused_sockets() {
        assert_eq!(read_reply("ready\n"), Some(vec![]));
        assert_eq!(read_reply("ready 0 17\n"), Some(vec![0, 17]));
        for other in ["", "ready", "ready \n", "ready x\n", "already\n", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(read_reply(other), None, "{other:?}");
        }
    }
}
