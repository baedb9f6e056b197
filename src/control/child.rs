//! A process that this one has started: [`Child`].
//!
//! A thread waits for its end, in waitid(2). tokio has such a type, too, with which each turn of
//! every runtime asks whether a process has ended, on the threads of the workers as well: 1 % of an
//! event's instructions. SIGCHLD would not do: a parent may have left it blocked.

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::io;
use std::process::{self, Command, ExitStatus};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A process that this one has started. It lives on when this is dropped.
pub(super) struct Child {
    process: process::Child,
    /// Comes when it has ended.
    end: oneshot::Receiver<()>,
}

impl Child {
    /// Starts it. Must be called in a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The program or a thread cannot be started, or a signal cannot be caught.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Where it is ignored, as the parent of this process may have left it, the kernel keeps the
        // status of no child.
        let _caught = signal(SignalKind::child())?;
        let (ended, end) = oneshot::channel();
        let mut child = Self { process: command.spawn()?, end };
        let waiter = thread::Builder::new().name("narrows-child".to_owned());
        let pid = Pid::from_child(&child.process);
        if let Err(error) = waiter.spawn(move || watch(pid, ended)) {
            child.kill();
            child.process.wait()?;
            return Err(error);
        }
        Ok(child)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end. May be dropped, and called again.
    ///
    /// # Errors
    /// The kernel does not know it.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.process.try_wait()? {
            return Ok(status);
        }
        let _ended = (&mut self.end).await;
        self.process.wait()
    }

    /// Kills it, unless it has ended.
    pub(super) fn kill(&mut self) {
        let _ended = self.process.kill();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end.close();
        // If it has not ended yet, its thread removes it from the table of processes.
        let _status = self.process.try_wait();
    }
}

/// Waits for the end of a child, and removes it from the table of processes if nobody else does.
fn watch(pid: Pid, ended: oneshot::Sender<()>) {
    let wait = |how| retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | how));
    // So its number stays its own as long as someone may kill it.
    let _unknown = wait(WaitIdOptions::NOWAIT);
    if ended.send(()).is_err() {
        let _unknown = wait(WaitIdOptions::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Stdio;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn the_end_of_a_child_is_waited_for_and_known_from_then_on() {
        let mut command = Command::new("sh");
        let mut child = Child::start(command.args(["-c", "exit 7"])).unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap().code(), Some(7));
        }
        let mut child = Child::start(Command::new("sleep").arg("1000")).unwrap();
        child.kill();
        assert!(!child.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_child_that_no_one_waits_for_leaves_the_table_of_processes() {
        for is_killed in [true, false] {
            let mut command = Command::new("cat");
            let mut child = Child::start(command.stdin(Stdio::piped())).unwrap();
            let entry = format!("/proc/{}", child.id());
            if is_killed {
                child.kill();
            }
            let stdin = child.process.stdin.take();
            drop(child);
            assert!(is_killed || fs::exists(&entry).unwrap());
            drop(stdin);
            while fs::exists(&entry).unwrap() {
                yield_now().await;
            }
        }
    }
}
