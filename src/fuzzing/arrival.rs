//! Ways in which the same bytes may arrive.

/// Positions up to which an input has arrived, step by step: all of it at once, byte by byte, and
/// in pieces that depend on the input alone, so that a failure can be repeated.
pub(super) fn arrivals(input: &[u8]) -> [Vec<usize>; 3] {
    let mut random = Random::of(input);
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let longest = [1, 3, 9, 40][random.below(4)];
        at += 1 + random.below(longest);
        pieces.push(at.min(input.len()));
    }
    [vec![input.len()], (1..=input.len()).collect(), pieces]
}

/// Xorshift: enough for arrivals.
pub(super) struct Random(u64);

impl Random {
    /// A series of numbers that depends on `seed` alone.
    pub(super) fn of(seed: &[u8]) -> Self {
        // FNV-1a, which is never 0 in practice. Even then, a series of zeros would do.
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(seed.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
