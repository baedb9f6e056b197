//! The new process, as the old one sees it: [`Successor`].

use crate::control::child::Child;
use crate::control::launcher::{Launched, Launcher, signal};
use crate::control::predecessor::GREETING;
use crate::control::program::Program;
use crate::limits::HAND_OVER_MAX;
use crate::net::passing::send_descriptors;
use rustix::fd::OwnedFd;
use rustix::process::Signal;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::WriteHalf;
use tokio::time::timeout;

/// Most bytes that a new process says until it is ready: a number of up to 5 digits for each of the
/// sockets.
const REPLY_BYTES_MAX: u64 = 64 * 1024;
/// How long what it has said is waited for after its end.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// A new process that is to take over. Until [`Successor::release`] it does not outlive this, and
/// the launcher asks it to end.
pub(super) struct Successor {
    path: PathBuf,
    launcher: Child,
    control: UnixStream,
    pid: Option<u32>,
}

/// Why a hand-over failed.
#[derive(Debug)]
pub(super) enum HandOverError {
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

/// What the other end of the socket says at last.
enum Said {
    /// It serves, without the sockets of these numbers.
    Serves(Vec<usize>),
    /// The program file cannot be started.
    CannotStart(io::Error),
    /// It says nothing more: it is about to end, or has nothing to do with us.
    NothingMore,
}

impl Successor {
    /// Starts `program`.
    pub(super) fn start(program: &Program) -> Result<Self, HandOverError> {
        Self::started_by(|control| Launcher::command(program, control), &program.path)
    }

    fn started_by(
        launcher: impl FnOnce(OwnedFd) -> Command,
        path: &Path,
    ) -> Result<Self, HandOverError> {
        let started = || {
            let (ours, theirs) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            Ok((UnixStream::from_std(ours)?, Child::start(&mut launcher(theirs.into()))?))
        };
        let (control, launcher) = started().map_err(HandOverError::Socket)?;
        Ok(Self { path: path.to_owned(), launcher, control, pid: None })
    }

    /// Gives it `sockets` and `stdin`, and waits until it serves. Returns the numbers of the
    /// sockets that it does not use.
    pub(super) async fn serves(
        &mut self,
        sockets: &[OwnedFd],
        stdin: &str,
    ) -> Result<Vec<usize>, HandOverError> {
        let Ok(served) = timeout(HAND_OVER_MAX, self.attempt(sockets, stdin)).await else {
            // It hangs, so it is not asked.
            match self.pid {
                Some(pid) => signal(pid, Signal::KILL),
                None => self.launcher.kill(),
            }
            return Err(HandOverError::Late);
        };
        served
    }

    async fn attempt(
        &mut self,
        sockets: &[OwnedFd],
        stdin: &str,
    ) -> Result<Vec<usize>, HandOverError> {
        let Self { launcher, control, pid, .. } = self;
        let mut said = pin!(instruct(control, pid, sockets, stdin));
        let (said, ended) = tokio::select! {
            biased;
            said = &mut said => (said, None),
            ended = launcher.wait() => {
                // Its last words may not be read yet.
                let said = timeout(LAST_WORDS_MAX, said).await;
                (said.unwrap_or(Said::NothingMore), Some(ended))
            }
        };
        let ended = match (said, ended) {
            (Said::Serves(unused), None) => return Ok(unused),
            (Said::CannotStart(error), _) => {
                return Err(HandOverError::Start(self.path.clone(), error));
            }
            (_, Some(ended)) => ended,
            (_, None) => launcher.wait().await,
        };
        Err(ended.map_or_else(HandOverError::Socket, HandOverError::Ended))
    }

    /// Lets it live on without this process, as a child of the service manager. Returns its number.
    pub(super) async fn release(&mut self) -> u32 {
        // Its parent: the kernel gives it another one.
        self.launcher.kill();
        let _gone = self.launcher.wait().await;
        self.pid.unwrap_or_default()
    }
}

/// The part of the old process in the conversation. Notes the number of the new one.
async fn instruct(
    control: &mut UnixStream,
    pid: &mut Option<u32>,
    sockets: &[OwnedFd],
    stdin: &str,
) -> Said {
    let (read, mut write) = control.split();
    let mut lines = BufReader::new(read.take(REPLY_BYTES_MAX)).lines();
    let (mut is_ours, mut unused) = (false, None);
    while let Ok(Some(line)) = lines.next_line().await {
        match Launched::read(&line) {
            Some(Launched::Started(number)) => *pid = Some(number),
            Some(Launched::Failed(errno)) => {
                return Said::CannotStart(io::Error::from_raw_os_error(errno));
            }
            // Another program would keep the sockets open, and accept nothing.
            None if line == GREETING => {
                is_ours = true;
                if give(&mut write, sockets, stdin).await.is_err() {
                    break;
                }
            }
            None if is_ours => unused = read_reply(&line),
            None => {}
        }
        // Who has started it may be slower to say so.
        if let (Some(_), Some(unused)) = (*pid, &mut unused) {
            return Said::Serves(mem::take(unused));
        }
    }
    Said::NothingMore
}

async fn give(write: &mut WriteHalf<'_>, sockets: &[OwnedFd], stdin: &str) -> io::Result<()> {
    let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    send_descriptors(write.as_ref(), &borrowed).await?;
    write.write_all(stdin.as_bytes()).await?;
    write.shutdown().await
}

fn read_reply(line: &str) -> Option<Vec<usize>> {
    let mut words = line.split(' ');
    (words.next() == Some("ready")).then_some(())?;
    words.map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paused clock moves only when nothing else is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn a_new_process_that_hangs_is_given_up_and_killed() {
        // The launcher and the new process are one here.
        let hangs = |control: OwnedFd| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo started $$ >&0; exec sleep 1000"]).stdin(control);
            command
        };
        let mut successor = Successor::started_by(hangs, Path::new("narrows")).unwrap();
        let failed = successor.serves(&[], "").await.unwrap_err();
        assert!(matches!(failed, HandOverError::Late), "{failed}");
        assert!(!successor.launcher.wait().await.unwrap().success());
    }

    #[test]
    fn a_reply_is_ready_with_the_numbers_of_unused_sockets() {
        assert_eq!(read_reply("ready"), Some(vec![]));
        assert_eq!(read_reply("ready 0 17"), Some(vec![0, 17]));
        for other in ["", "ready ", "ready x", "already", "HTTP/1.1 200 OK\r"] {
            assert_eq!(read_reply(other), None, "{other:?}");
        }
    }
}
