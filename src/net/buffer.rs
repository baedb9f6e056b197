//! Memory that belongs to a worker, not to a connection: the scratch buffer that every read goes
//! into, and a free list of [`Buffer`]s for the bytes that have to wait.
//!
//! Both are thread-local, so taking one needs no lock and, once a worker has run for a while, no
//! allocation. A connection that waits for its peer holds none.

use crate::limits::{
    BUFFER_BYTES, BUFFER_KEPT_BYTES_MAX, BUFFERS_KEPT_MAX, SCRATCH_BYTES, TLS_SCRATCH_BYTES,
};
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The memory of a buffer with bytes. Boxed, because a connection has several buffers, and nearly
/// all of them are empty.
type Memory = Box<BytesMut>;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static TLS_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; TLS_SCRATCH_BYTES].into());
    static FREE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's scratch buffer for one call, which must not borrow it again.
pub fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

/// Lends the worker's scratch buffer for TLS records for one call, which must not borrow it again.
/// It is not [`with_scratch`]'s, which holds the content meanwhile.
pub fn with_tls_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    TLS_SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

/// A growable buffer. It has memory only while it holds bytes, and then returns it to its worker's
/// free list.
#[derive(Debug, Default)]
pub struct Buffer(Option<Memory>);

impl Buffer {
    /// An empty buffer that already has its memory, from the free list if possible.
    pub fn take() -> Self {
        Self(Some(free_or_new()))
    }

    /// A buffer that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::take();
        buffer.to_append().extend_from_slice(bytes);
        buffer
    }

    /// The bytes, for more to be appended.
    pub fn to_append(&mut self) -> &mut BytesMut {
        self.0.get_or_insert_with(free_or_new)
    }

    /// Consumes the first `len` bytes; there must be as many. What remains of a large buffer does
    /// not keep its memory.
    pub fn consume(&mut self, len: usize) {
        if let Some(bytes) = &mut self.0 {
            if len == bytes.len() {
                *self = Self::default();
                return;
            }
            bytes.advance(len);
            if len > BUFFER_KEPT_BYTES_MAX / 2 {
                *self = Self::copy_of(bytes);
            }
        }
    }
}

fn free_or_new() -> Memory {
    let free = FREE.with_borrow_mut(Vec::pop);
    free.unwrap_or_else(|| Box::new(BytesMut::with_capacity(BUFFER_BYTES)))
}

/// Returns `memory` to the free list.
fn keep(mut memory: Memory) {
    memory.clear();
    // Reclaims what was consumed from the front; the length is 0, so nothing is moved.
    memory.reserve(BUFFER_BYTES);
    if memory.capacity() > BUFFER_KEPT_BYTES_MAX {
        return;
    }
    // The thread may be ending, its free list gone: then the memory is simply freed.
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < BUFFERS_KEPT_MAX {
            free.push(memory);
        }
    });
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |bytes| bytes)
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().map_or(&mut [], |bytes| bytes)
    }
}

impl Drop for Buffer {
    // Most buffers hold nothing when they are dropped.
    #[inline]
    fn drop(&mut self) {
        if let Some(memory) = self.0.take() {
            keep(memory);
        }
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

    #[test]
    fn a_dropped_buffer_is_taken_again_without_an_allocation() {
        let mut first = Buffer::copy_of(b"hello");
        first.consume(3);
        let place = first.as_ptr() as usize - 3;
        drop(first);
        let mut second = Buffer::take();
        assert!(second.is_empty());
        assert_eq!(second.as_ptr() as usize, place);
        assert!(second.to_append().capacity() >= BUFFER_BYTES);
    }

    #[test]
    fn a_buffer_without_bytes_has_no_memory() {
        FREE.with_borrow_mut(Vec::clear);
        let mut buffer = Buffer::default();
        buffer.consume(0);
        assert!(buffer.is_empty() && free_buffers() == 0);
        buffer.to_append().extend_from_slice(b"hello");
        buffer.consume(4);
        assert_eq!((&buffer[..], free_buffers()), (&b"o"[..], 0));
        buffer.consume(1);
        assert_eq!((&buffer[..], free_buffers()), (&b""[..], 1));
    }

    #[test]
    fn what_remains_after_many_bytes_does_not_keep_their_memory() {
        let mut buffer = Buffer::copy_of(&vec![b'x'; BUFFER_KEPT_BYTES_MAX]);
        buffer.consume(BUFFER_KEPT_BYTES_MAX - 5);
        assert_eq!(&buffer[..], b"xxxxx");
        assert!(buffer.to_append().capacity() <= BUFFER_BYTES);
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
