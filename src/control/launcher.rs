//! The process between an old one and the new one that takes over: [`Launcher`].
//!
//! The new process is to be a child of the service manager, as the old one is: a manager waits for
//! its own children only, so that of another process it learns late that it has ended, or never.
//! The kernel gives a process whose parent has ended to the manager (process 1, or the nearest
//! subreaper). So the old process starts a launcher, from the program that it runs itself; the
//! launcher starts the new program, and is killed once that serves.
//!
//! Until then it waits for the new process, and ends as that does. If the old process closes the
//! socket between them, because it gives up or has died, the new one is asked to end.

use crate::control::child::Child;
use crate::control::predecessor::HANDED_OVER;
use crate::control::program::Program;
use crate::control::signals::Signals;
use crate::task::blocking;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::env;
use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use tokio::runtime::Builder;

/// The variable that makes this program a launcher.
const LAUNCHES: &str = "NARROWS_LAUNCHES";
/// The file of the program that runs, even if it was replaced or deleted.
const OURSELVES: &str = "/proc/self/exe";
/// Variables of systemd that are about the old process only. Without a pid, the watchdog's time is
/// the new one's, too.
const ABOUT_ANOTHER_PROCESS: [&str; 4] =
    ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"];

/// The process that starts a new one, and is its parent until the old one lets go.
#[derive(Debug)]
pub struct Launcher {
    /// The new program.
    program: OsString,
    arguments: Vec<OsString>,
}

/// What a launcher says, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launched {
    /// The new process has this number.
    Started(u32),
    /// It cannot be started, for this reason (`errno`).
    Failed(i32),
}

impl Launcher {
    /// The one that this process is, if the environment says so.
    pub fn of_this_process() -> Option<Self> {
        env::var_os(LAUNCHES)?;
        let mut arguments = env::args_os().skip(1);
        Some(Self { program: arguments.next()?, arguments: arguments.collect() })
    }

    /// The command that starts one for `program`, with the new end of the control socket.
    pub(super) fn command(program: &Program, control: OwnedFd) -> Command {
        let mut command = Command::new(OURSELVES);
        command.arg(&program.path).args(&program.arguments).stdin(control).env(LAUNCHES, "1");
        for name in ABOUT_ANOTHER_PROCESS {
            command.env_remove(name);
        }
        command
    }

    /// Starts the new process, and waits for its end. Gives its status; if that was a signal, ends
    /// by it.
    pub fn run(self) -> ExitCode {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(_) => return ExitCode::FAILURE,
        };
        let ended = runtime.block_on(self.launch());
        runtime.shutdown_background();
        match ended {
            Ok(status) => end_like(status),
            Err(_) => ExitCode::FAILURE,
        }
    }

    async fn launch(self) -> io::Result<ExitStatus> {
        // Signals to the whole service are not for this process.
        let _handled = Signals::new()?;
        let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_remove(LAUNCHES).env(HANDED_OVER, "1");
        let started = Child::start(&mut command);
        let launched = match &started {
            Ok(child) => Launched::Started(child.id()),
            Err(error) => Launched::Failed(error.raw_os_error().unwrap_or_default()),
        };
        // If the old process is gone by now, that is noticed below.
        let _gone = (&control).write_all(launched.line().as_bytes());
        let mut child = started?;
        tokio::select! {
            ended = child.wait() => return ended,
            () = hung_up(control) => {}
        }
        // Not killed: it may accept already, and then has clients of its own.
        signal(child.id(), Signal::TERM);
        child.wait().await
    }
}

impl Launched {
    fn line(self) -> String {
        match self {
            Self::Started(pid) => format!("started {pid}\n"),
            Self::Failed(errno) => format!("failed {errno}\n"),
        }
    }

    /// What such a line says.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (word, number) = line.split_once(' ')?;
        match word {
            "started" => number.parse().ok().map(Self::Started),
            "failed" => number.parse().ok().map(Self::Failed),
            _ => None,
        }
    }
}

/// Waits until the old process has closed its end. The socket is the new one's, too: nothing may be
/// read from it, and it must go on to block.
async fn hung_up(control: UnixStream) {
    let polled =
        blocking(move || poll(&mut [PollFd::new(&control, PollFlags::empty())], None).map(drop));
    match polled.await {
        Ok(Ok(())) => {}
        // It cannot be told. The end of the new process can.
        Ok(Err(_)) | Err(_) => pending().await,
    }
}

/// Sends a signal to a new process, which may be gone.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _gone = kill_process(pid, signal);
    }
}

/// Ends by the same signal, or gives the same code.
fn end_like(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        // There is nothing to look at in a core of this process.
        let _refused = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _refused = kill_process(getpid(), signal);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_says_what_became_of_the_new_process_in_one_line() {
        for launched in [Launched::Started(77), Launched::Failed(13)] {
            assert_eq!(Launched::read(launched.line().trim_end()), Some(launched));
        }
        for other in ["", "started", "started x", "failed ", "begun 7", "ready"] {
            assert_eq!(Launched::read(other), None, "{other:?}");
        }
    }
}
