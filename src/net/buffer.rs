//! Buffers that belong to a worker, not to a connection: the scratch buffer that every read goes
//! into, and a free list for the bytes that have to wait.
//!
//! Both live in the thread that uses them, so taking one is neither a lock nor, once a worker is
//! warm, an allocation. A connection that waits for its peer holds none.

use crate::limits::{BUFFER_BYTES, BUFFER_KEPT_BYTES_MAX, BUFFERS_KEPT_MAX, SCRATCH_BYTES};
use bytes::BytesMut;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's scratch buffer for the length of one call.
///
/// The call must not lend it again: one read is in the works at a time.
pub fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

/// A growable buffer that goes back to its worker's free list when it is dropped.
#[derive(Debug)]
pub struct Buffer(BytesMut);

impl Buffer {
    /// An empty buffer: a free one if there is one.
    pub fn take() -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        Self(free.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES)))
    }

    /// A buffer that holds nothing and is not from the free list.
    pub fn empty() -> Self {
        Self(BytesMut::new())
    }

    /// A buffer that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::take();
        buffer.extend_from_slice(bytes);
        buffer
    }
}

impl Deref for Buffer {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() == 0 {
            return;
        }
        bytes.clear();
        // Reclaims what was consumed from the front; the length is 0, so nothing is moved.
        bytes.reserve(BUFFER_BYTES);
        if bytes.capacity() > BUFFER_KEPT_BYTES_MAX {
            return;
        }
        // The thread may be ending, its free list gone: then the memory is simply freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < BUFFERS_KEPT_MAX {
                free.push(bytes);
            }
        });
    }
}

/// How many free buffers this thread keeps, for tests of who holds one.
#[cfg(any(test, fuzzing))]
pub(crate) fn free_buffers() -> usize {
    FREE.with_borrow(Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn a_dropped_buffer_is_taken_again_without_an_allocation() {
        let mut first = Buffer::copy_of(b"hello");
        first.advance(3);
        let place = first.as_ptr() as usize - 3;
        drop(first);
        let second = Buffer::take();
        assert!(second.is_empty());
        assert_eq!(second.as_ptr() as usize, place);
        assert!(second.capacity() >= BUFFER_BYTES);
    }

    #[test]
    fn a_buffer_that_grew_large_is_not_kept() {
        FREE.with_borrow_mut(Vec::clear);
        drop(Buffer::copy_of(&vec![0; BUFFER_KEPT_BYTES_MAX * 2]));
        assert_eq!(free_buffers(), 0);
    }

    #[test]
    fn the_free_list_is_bounded() {
        let many: Vec<_> = (0..BUFFERS_KEPT_MAX + 1).map(|_| Buffer::take()).collect();
        drop(many);
        assert_eq!(free_buffers(), BUFFERS_KEPT_MAX);
    }
}
