//! A process that this one has started: [`Child`].
//!
//! tokio has such a type, too. With it, each turn of every runtime asks whether a process has
//! ended, on the threads of the workers as well: 1 % of an event's instructions.

use rustix::process::{Pid, WaitOptions, waitpid};
use std::io;
use std::process::{self, Command, ExitStatus};
use std::thread::{self, JoinHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A process that this one has started. It lives on when this is dropped.
pub(super) struct Child {
    process: process::Child,
    /// The kernel sends one for each child that has ended.
    ends: Signal,
}

impl Child {
    /// Starts it. Must be called in a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The program cannot be started, or the signal cannot be caught.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Before it can end.
        let ends = signal(SignalKind::child())?;
        Ok(Self { process: command.spawn()?, ends })
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
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            self.ends.recv().await;
        }
    }

    /// Kills it, unless it has ended.
    pub(super) fn kill(&mut self) {
        let _ended = self.process.kill();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _waits = reap(self.id());
        }
    }
}

/// Waits on a thread for the end of a child, which would stay in the table of processes else.
fn reap(id: u32) -> io::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name("narrows-reaper".to_owned());
    let pid = Pid::from_raw(id.cast_signed());
    thread.spawn(move || _ = waitpid(pid, WaitOptions::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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

    #[test]
    #[expect(clippy::zombie_processes, reason = "that it is no zombie is what is tested")]
    fn a_child_that_no_one_waits_for_leaves_the_table_of_processes() {
        let child = Command::new("true").spawn().unwrap();
        let entry = format!("/proc/{}", child.id());
        assert!(fs::exists(&entry).unwrap());
        reap(child.id()).unwrap().join().unwrap();
        assert!(!fs::exists(&entry).unwrap());
    }
}
