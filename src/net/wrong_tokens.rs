//! Slows floods of wrong tokens: [`WrongTokens`].
//!
//! A token cannot be guessed, but each attempt costs a hash, an answer and perhaps a line of the
//! log. So an address has some answers at once, and more of them only at a slow pace. What waits is
//! the answer to a wrong token and nothing else: who has a right one is served at once, also from
//! the same address.
//!
//! A waiting answer holds a connection, so only so many wait at a time. Behind a trusted proxy,
//! whose connections count for no address, a flood would hold all of them otherwise.
//!
//! All workers share it. It is touched only by a wrong token.

use crate::limits::{
    WRONG_TOKEN_ADDRESSES_MAX, WRONG_TOKEN_EVERY, WRONG_TOKEN_WAIT_MAX, WRONG_TOKENS_AT_ONCE,
};
use crate::net::block::Block;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two searches for addresses that can be forgotten.
const SWEPT_EVERY: Duration = Duration::from_secs(1);

/// The addresses that wrong tokens have come from lately.
#[derive(Debug, Default)]
pub struct WrongTokens {
    lately: Mutex<Lately>,
    /// Answers that wait now.
    waiting: AtomicUsize,
}

/// What becomes of the answer to a wrong token.
#[derive(Debug)]
pub enum Pace<'a> {
    /// It is sent.
    AtOnce,
    /// It waits for so long, while it holds this.
    After(Duration, Waiting<'a>),
    /// It would wait if not too many did: it is sent, and ends its connection.
    AtOnceAndLast,
}

/// Counts an answer that waits.
#[derive(Debug)]
pub struct Waiting<'a>(&'a AtomicUsize);

#[derive(Debug, Default)]
struct Lately {
    /// Until when the pace of an address is used up by the answers it had.
    paid_until: HashMap<Block, Instant>,
    swept: Option<Instant>,
}

impl WrongTokens {
    /// When the answer to one more wrong token from `address` is sent, while no more than
    /// `waiting_max` may wait.
    pub fn pace(&self, address: IpAddr, now: Instant, waiting_max: usize) -> Pace<'_> {
        let wait = self.wait(address, now);
        if wait.is_zero() {
            return Pace::AtOnce;
        }
        // Relaxed: the count orders nothing but itself.
        let others = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if others < waiting_max { Pace::After(wait, waiting) } else { Pace::AtOnceAndLast }
    }

    /// How long the answer to one more wrong token from `address` waits.
    ///
    /// If too many addresses are known, that of a new one does not wait.
    fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        // Nothing in here panics between two states.
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let block = Block::of(address);
        if !lately.has_room(block, now) {
            return Duration::ZERO;
        }
        let at_once = WRONG_TOKENS_AT_ONCE * WRONG_TOKEN_EVERY;
        let paid_until = lately.paid_until.entry(block).or_insert(now);
        let next = (*paid_until).max(now) + WRONG_TOKEN_EVERY;
        let wait = next.duration_since(now).saturating_sub(at_once).min(WRONG_TOKEN_WAIT_MAX);
        *paid_until = next.min(now + at_once + WRONG_TOKEN_WAIT_MAX);
        wait
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lately {
    /// Whether `block` is known, or can be.
    fn has_room(&mut self, block: Block, now: Instant) -> bool {
        if self.paid_until.len() < WRONG_TOKEN_ADDRESSES_MAX || self.paid_until.contains_key(&block)
        {
            return true;
        }
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEPT_EVERY) {
            self.swept = Some(now);
            self.paid_until.retain(|_, until| *until > now);
        }
        self.paid_until.len() < WRONG_TOKEN_ADDRESSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: usize = WRONG_TOKENS_AT_ONCE as usize;

    fn waits(tokens: &WrongTokens, address: &str, count: usize, now: Instant) -> Vec<Duration> {
        let address = address.parse().unwrap();
        (0..count).map(|_| tokens.wait(address, now)).collect()
    }

    #[test]
    fn the_first_answers_come_at_once_the_next_at_a_pace_and_none_waits_for_longer_than_the_limit()
    {
        let (tokens, now) = (WrongTokens::default(), Instant::now());
        assert_eq!(waits(&tokens, "192.0.2.1", AT_ONCE, now), [Duration::ZERO; AT_ONCE]);
        let next = waits(&tokens, "192.0.2.1", 3, now);
        assert_eq!(next, [1, 2, 3].map(|it| it * WRONG_TOKEN_EVERY));
        let flood = waits(&tokens, "192.0.2.1", 1000, now);
        assert_eq!(flood.last(), Some(&WRONG_TOKEN_WAIT_MAX));
        assert!(flood.iter().all(|it| *it <= WRONG_TOKEN_WAIT_MAX));
    }

    #[test]
    fn a_flood_from_one_address_or_one_block_of_ipv6_slows_no_other() {
        let (tokens, now) = (WrongTokens::default(), Instant::now());
        waits(&tokens, "192.0.2.1", 1000, now);
        assert_eq!(waits(&tokens, "192.0.2.2", 1, now), [Duration::ZERO]);
        for host in 0..1000 {
            waits(&tokens, &format!("2001:db8::{host:x}"), 1, now);
        }
        assert_eq!(waits(&tokens, "2001:db8::ffff", 1, now), [WRONG_TOKEN_WAIT_MAX]);
        assert_eq!(waits(&tokens, "2001:db8:0:1::1", 1, now), [Duration::ZERO]);
        assert_eq!(waits(&tokens, "::ffff:192.0.2.1", 1, now), [WRONG_TOKEN_WAIT_MAX]);
    }

    #[test]
    fn beyond_its_share_of_the_connections_a_flood_waits_no_longer_and_loses_its_own() {
        let (tokens, now) = (WrongTokens::default(), Instant::now());
        let address = "192.0.2.1".parse().unwrap();
        waits(&tokens, "192.0.2.1", AT_ONCE, now);
        let held: Vec<_> = (0..3).map(|_| tokens.pace(address, now, 3)).collect();
        assert!(held.iter().all(|it| matches!(it, Pace::After(..))), "{held:?}");
        for _ in 0..2 {
            assert!(matches!(tokens.pace(address, now, 3), Pace::AtOnceAndLast));
        }
        let other = "192.0.2.2".parse().unwrap();
        assert!(matches!(tokens.pace(other, now, 3), Pace::AtOnce), "it would not wait anyway");
        drop(held);
        assert!(matches!(tokens.pace(address, now, 3), Pace::After(..)));
        assert_eq!(tokens.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_address_that_stops_is_soon_like_a_new_one() {
        let (tokens, now) = (WrongTokens::default(), Instant::now());
        waits(&tokens, "192.0.2.1", 1000, now);
        let later = now + WRONG_TOKENS_AT_ONCE * WRONG_TOKEN_EVERY + WRONG_TOKEN_WAIT_MAX;
        assert_eq!(waits(&tokens, "192.0.2.1", AT_ONCE, later), [Duration::ZERO; AT_ONCE]);
    }

    #[test]
    fn a_flood_from_many_addresses_takes_no_more_than_its_memory_and_is_forgotten() {
        let (tokens, now) = (WrongTokens::default(), Instant::now());
        let from = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let known = || tokens.lately.lock().unwrap().paid_until.len();
        for number in 0..3 * WRONG_TOKEN_ADDRESSES_MAX as u32 {
            assert_eq!(tokens.wait(from(number), now), Duration::ZERO);
            assert!(known() <= WRONG_TOKEN_ADDRESSES_MAX);
        }
        tokens.wait(from(u32::from(u16::MAX)), now + WRONG_TOKEN_EVERY + SWEPT_EVERY);
        assert_eq!(known(), 1);
    }
}
