//! The pieces of a write: [`Pieces`].

use std::io::IoSlice;

/// What is left of the pieces of a write.
pub(super) struct Pieces<'p> {
    pieces: &'p [IoSlice<'p>],
    /// How much of the first one has been taken.
    offset: usize,
}

impl<'p> Pieces<'p> {
    /// All of them.
    pub(super) fn new(pieces: &'p [IoSlice<'p>]) -> Self {
        let mut pieces = Self { pieces, offset: 0 };
        pieces.advance(0);
        pieces
    }

    /// Whether all of them have been taken.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes `most` bytes, or all that are left, if they are in one piece.
    pub(super) fn next_whole(&mut self, most: usize) -> Option<&'p [u8]> {
        let first = self.first();
        if first.len() < most && self.pieces.len() > 1 {
            return None;
        }
        let whole = &first[..first.len().min(most)];
        self.advance(whole.len());
        Some(whole)
    }

    /// Takes as many bytes as there is space for, and returns how many they are.
    pub(super) fn gather(&mut self, space: &mut [u8]) -> usize {
        let mut len = 0;
        while len < space.len() && !self.pieces.is_empty() {
            let first = self.first();
            let part = first.len().min(space.len() - len);
            space[len..len + part].copy_from_slice(&first[..part]);
            len += part;
            self.advance(part);
        }
        len
    }

    fn first(&self) -> &'p [u8] {
        self.pieces.first().map_or(&[], |first| &first[self.offset..])
    }

    /// Skips `len` bytes, no more than the first piece has left, and pieces without any.
    fn advance(&mut self, len: usize) {
        self.offset += len;
        while self.pieces.first().is_some_and(|first| first.len() == self.offset) {
            (self.pieces, self.offset) = (&self.pieces[1..], 0);
        }
    }
}
