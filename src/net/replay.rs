//! The copy of what was sent on one connection, in case it has to be sent again on another:
//! [`Replay`].
//!
//! A copy is complete or does not exist. It ends at its own limit, and when all copies of a worker
//! together reach [`REPLAY_BYTES_OF_WORKER_MAX`], because a thousand models may think at once.

use crate::limits::REPLAY_BYTES_OF_WORKER_MAX;
use crate::net::buffer::Buffer;
use std::cell::Cell;
use std::mem;
use std::num::NonZeroU32;

/// A copy of everything that was sent.
#[derive(Debug)]
pub(super) struct Replay {
    /// Its bytes are booked in the worker's budget.
    sent: Buffer,
    /// Of this type, so that `Option<Replay>` is no larger than `Replay`.
    limit: NonZeroU32,
}

thread_local! {
    /// Bytes that all copies of this worker hold.
    static BOOKED: Cell<usize> = const { Cell::new(0) };
}

impl Replay {
    /// An empty copy that may hold `limit` bytes; `None` if that is none at all.
    pub(super) fn new(limit: usize) -> Option<Self> {
        let limit = NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX))?;
        Some(Self { sent: Buffer::default(), limit })
    }

    /// Adds what is sent next. If there is no room for it, the copy has to be given up.
    #[must_use]
    pub(super) fn add(&mut self, pieces: &[&[u8]]) -> bool {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let has_room = self.book(len);
        if has_room {
            pieces.iter().for_each(|piece| self.sent.to_append().extend_from_slice(piece));
        }
        has_room
    }

    /// The copy, which no longer counts in the worker's budget.
    pub(super) fn into_bytes(mut self) -> Buffer {
        self.take()
    }

    fn book(&mut self, len: usize) -> bool {
        let all = BOOKED.get() + len;
        let limit = self.limit.get() as usize;
        let has_room = self.sent.len() + len <= limit && all <= REPLAY_BYTES_OF_WORKER_MAX;
        if has_room {
            BOOKED.set(all);
        }
        has_room
    }

    fn take(&mut self) -> Buffer {
        // The thread may be ending, its count gone.
        let _ = BOOKED.try_with(|all| all.set(all.get() - self.sent.len()));
        mem::take(&mut self.sent)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_copies_of_a_worker_together_are_bounded() {
        let each = REPLAY_BYTES_OF_WORKER_MAX / 4;
        let copy = || {
            let mut replay = Replay::new(each).unwrap();
            replay.add(&[&vec![0; each]]).then_some(replay)
        };
        let copies: Vec<_> = (0..5).filter_map(|_| copy()).collect();
        assert_eq!(copies.len(), 4);
        drop(copies);
        assert!(copy().is_some(), "the bytes of those that were dropped are free again");
    }

    #[test]
    fn what_is_taken_no_longer_counts() {
        let mut replay = Replay::new(9).unwrap();
        assert!(replay.add(&[b"head", b"body"]) && replay.add(&[b"!"]) && !replay.add(&[b"?"]));
        assert_eq!(BOOKED.get(), 9);
        assert_eq!(&replay.into_bytes()[..], b"headbody!");
        assert_eq!(BOOKED.get(), 0);
    }
}
