//! The bytes of a script, one after the other: [`Script`].

/// What is left of a script.
pub(super) struct Script<'s>(pub(super) &'s [u8]);

impl<'s> Script<'s> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or 0.
    pub(super) fn number(&mut self) -> usize {
        self.byte().map_or(0, usize::from)
    }

    /// At most `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> &'s [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A length of content, up to 40 KiB: small ones, and those about the size of a record.
    pub(super) fn len(&mut self) -> usize {
        match self.number() {
            small @ 0..200 => small,
            large @ 200..240 => (large - 199) * 1024,
            edge => (1 << 14) + edge - 248,
        }
    }
}
