//! The old process, as the new one sees it: [`Predecessor`].

use crate::limits::HAND_OVER_MAX;
use crate::net::passing::receive_descriptors;
use crate::task::blocking;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;

/// The variable that says that stdin is the socket of a predecessor.
pub(super) const HANDED_OVER: &str = "NARROWS_HANDED_OVER";

/// The first line of a new process: it is one of ours, and speaks this version.
pub(super) const GREETING: &str = "narrows 1";

/// The process that this one takes over from.
#[derive(Debug)]
pub(super) struct Predecessor(StdUnixStream);

impl Predecessor {
    /// The one at the other end of stdin, and the sockets that it sends.
    pub(super) fn on_stdin() -> io::Result<(Self, Vec<OwnedFd>)> {
        let control = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        (&control).write_all(format!("{GREETING}\n").as_bytes())?;
        control.set_read_timeout(Some(HAND_OVER_MAX))?;
        let descriptors = receive_descriptors(&control)?;
        control.set_read_timeout(None)?;
        Ok((Self(control), descriptors))
    }

    /// Says that this process serves, without the sockets of these numbers, and waits until the old
    /// one has said so to the service manager, or is gone.
    pub(super) async fn relieve(self, unused: &[usize]) {
        let numbers: String = unused.iter().map(|number| format!(" {number}")).collect();
        let relieved = blocking(move || {
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
