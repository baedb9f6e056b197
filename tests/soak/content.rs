//! Content that both ends can make from a number, and chance that is the same each time.

/// Bytes `from` to `from + len` of the content called `seed`.
pub fn content(seed: u64, from: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 16);
    for word in from / 8..(from + len).div_ceil(8) {
        bytes.extend_from_slice(&mixed(seed ^ (word as u64)).to_le_bytes());
    }
    bytes.drain(..from % 8);
    bytes.truncate(len);
    bytes
}

/// What chance decides: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(GOLDEN);
        (mixed(self.0) % end as u64) as usize
    }

    pub fn is_one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A name for content.
    pub fn seed(&mut self) -> u64 {
        self.below(1 << 40) as u64
    }

    /// A length: mostly small, sometimes a few reads, seldom a megabyte.
    pub fn len(&mut self) -> usize {
        let most = self.one_of(&[10, 2000, 2000, 2000, 2000, 2000, 100_000, 1_000_000]);
        self.below(most)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(word: u64) -> u64 {
    let word = word.wrapping_mul(GOLDEN);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
