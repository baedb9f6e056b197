//! A process that is not, or no longer, the one that serves.

use crate::within;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, by a handle that never means another one.
pub struct Former {
    process: OwnedFd,
}

impl Former {
    pub(super) fn new(pid: Pid) -> Self {
        Self { process: pidfd_open(pid, PidfdFlags::empty()).expect("the process runs") }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal).expect("the process runs");
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        let _gone = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&Default::default())).unwrap()
            > 0
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        let ended = tokio::task::spawn_blocking(move || {
            poll(&mut [PollFd::new(&self.process, PollFlags::IN)], None).unwrap()
        });
        within("the process to end", ended).await.unwrap();
    }
}
