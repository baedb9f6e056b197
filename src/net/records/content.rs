//! Where the content of records goes: [`Content`].

use crate::net::buffer::Buffer;

/// What a read has found: in the caller's room, and beyond it in a buffer.
#[derive(Debug)]
pub struct Content<'r> {
    room: &'r mut [u8],
    filled: usize,
    excess: Buffer,
}

impl<'r> Content<'r> {
    /// Nothing yet.
    pub fn new(room: &'r mut [u8]) -> Self {
        Self { room, filled: 0, excess: Buffer::default() }
    }

    /// How much of the room is filled, and what came after it.
    pub fn into_parts(self) -> (usize, Buffer) {
        (self.filled, self.excess)
    }

    /// The next `len` bytes of the room, if there are as many.
    pub(super) fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.room.get_mut(self.filled..self.filled + len)
    }

    /// The first `len` bytes of [`room`](Self::room) are content.
    pub(super) fn fill(&mut self, len: usize) {
        self.filled += len;
    }

    /// Appends a copy.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.room.len() - self.filled);
        self.room[self.filled..self.filled + len].copy_from_slice(&bytes[..len]);
        self.filled += len;
        if len < bytes.len() {
            self.excess.to_append().extend_from_slice(&bytes[len..]);
        }
    }
}
