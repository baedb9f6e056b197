//! The last descriptors of the process, which clients and upstreams leave alone.
//!
//! The kernel gives a new descriptor the lowest number that is free, so the number says how many
//! are in use. It is compared where a descriptor may be kept for long: at accept, at a dial, and
//! when a pipe is opened. Nothing has to be counted, and what other parts of the program have open
//! is included.
//!
//! The limit of open files belongs to the process, and so does what is remembered here.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The lowest number that is spare.
static SPARE_FROM: AtomicU64 = AtomicU64::new(u64::MAX);
static SHORTAGE: Notify = Notify::const_new();

/// Keeps the descriptors from this number on for what is neither a client nor an upstream.
pub fn spare_from(number: u64) {
    SPARE_FROM.store(number, Ordering::Relaxed);
}

/// Whether this one is to be closed at once, because no other than the spare ones are left.
pub fn is_spare(descriptor: &impl AsFd) -> bool {
    let number = u64::try_from(descriptor.as_fd().as_raw_fd());
    number.is_ok_and(|number| number >= SPARE_FROM.load(Ordering::Relaxed))
}

/// Whether this error means that the process, or the machine, has no descriptor left.
pub fn is_lack(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Asks all workers to close what they keep open only for later.
pub fn ask_for_some() {
    SHORTAGE.notify_waiters();
}

/// Waits for the next [`ask_for_some`].
pub async fn asked() {
    SHORTAGE.notified().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_told_from_other_errors() {
        for (errno, is) in [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::NOENT, false)] {
            assert_eq!(is_lack(&errno.into()), is, "{errno:?}");
        }
        assert!(!is_lack(&io::Error::other("it is not a regular file")));
    }
}
