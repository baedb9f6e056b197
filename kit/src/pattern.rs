//! Content that a receiver can check byte by byte.

use crate::peer::Peer;

const PART_BYTES: usize = 64 * 1024;

/// A part of the pattern: no two neighbours are alike, and it has no short period.
pub fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

impl Peer {
    /// Sends the pattern from byte `from` to byte `total`.
    pub async fn send_pattern(&mut self, from: usize, total: usize) {
        let mut sent = from;
        while sent < total {
            let part = pattern(sent, (total - sent).min(PART_BYTES));
            self.send(&part).await;
            sent += part.len();
        }
    }

    /// Reads `total` bytes and checks each against the pattern.
    pub async fn expect_pattern(&mut self, total: usize) {
        let mut at = 0;
        while at < total {
            let len = (total - at).min(PART_BYTES);
            let bytes = self.read_exactly(len).await;
            assert!(bytes == pattern(at, len), "bytes {at} to {} are not what was sent", at + len);
            at += len;
        }
    }
}
