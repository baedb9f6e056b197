//! Rate limits for log lines about refusals, so that no client can fill the disk with them.
//!
//! A refused request of 16 bytes makes a line of 200, and a client may send a million of them a
//! second. So lines about mistakes of clients have a rate limit, for each address and in total.
//! Those left out are counted, and one line now and then gives their number. No other line is ever
//! left out: neither faults of an upstream or of ours, nor exchanges that went well.
//!
//! Each worker has its own limits, so there is no lock. They remember no more addresses than lines
//! can have been written lately.

use super::dropped::count_dropped;
use super::log::hears;
use super::targets::LOG;
use crate::limits::{
    LEFT_OUT_LOGGED_EVERY, REFUSAL_LINE_EVERY, REFUSAL_LINE_OF_WORKER_EVERY, REFUSAL_LINES_AT_ONCE,
    REFUSAL_LINES_OF_WORKER_AT_ONCE, REFUSED_ADDRESSES_MAX,
};
use crate::net::admission::Block;
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::Level;

/// What a line would have been about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A request, or what came in place of one.
    Request,
    /// A connection of a tcp listener.
    Connection,
    /// A TLS handshake with a client, or what came in place of one.
    Handshake,
}

/// Whether to write a line of this level about a refusal of `client` now. If there were too many,
/// the line is counted as left out.
pub fn may_tell(level: Level, client: IpAddr, what: Refused) -> bool {
    // A line below the log level would not have been written anyway.
    if !hears(level) {
        return false;
    }
    let admits = |limits: &RefCell<RateLimits>| limits.borrow_mut().admit(client, Instant::now());
    // The thread may be ending, and has few lines left.
    let may_tell = LIMITS.try_with(admits).unwrap_or(true);
    if !may_tell {
        LEFT_OUT.count(what);
    }
    may_tell
}

/// Logs now and then how many lines were left out, if any were. For one task of the process.
pub async fn tell_left_out_lines() -> Infallible {
    loop {
        LEFT_OUT.wait().await;
        LEFT_OUT.tell();
    }
}

/// Logs what was left out since, when the server ends.
pub fn tell_last_left_out_lines() {
    LEFT_OUT.tell();
}

thread_local! {
    static LIMITS: RefCell<RateLimits> = RefCell::default();
}

static LEFT_OUT: LeftOut = LeftOut::new();

/// The limits of one worker.
#[derive(Debug, Default)]
struct RateLimits {
    all: Bucket,
    addresses: HashMap<Block, Bucket>,
}

const OF_ALL: Rate =
    Rate { at_once: REFUSAL_LINES_OF_WORKER_AT_ONCE, every: REFUSAL_LINE_OF_WORKER_EVERY };
const OF_ADDRESS: Rate = Rate { at_once: REFUSAL_LINES_AT_ONCE, every: REFUSAL_LINE_EVERY };

impl RateLimits {
    /// Whether a line about `address` may be written; if so, it is counted. A line that may not be
    /// written is not counted, so that a flood from one address leaves lines to the others.
    fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        let block = Block::of(address);
        let mut bucket = self.addresses.get(&block).copied().unwrap_or_default();
        if !bucket.has_room(OF_ADDRESS, now) || !self.all.has_room(OF_ALL, now) {
            return false;
        }
        bucket.take(OF_ADDRESS, now);
        self.all.take(OF_ALL, now);
        if self.addresses.len() >= REFUSED_ADDRESSES_MAX {
            self.addresses.retain(|_, bucket| !bucket.is_full(now));
        }
        self.addresses.insert(block, bucket);
        true
    }
}

/// So many at once, and one more each time that `every` has passed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    at_once: u32,
    every: Duration,
}

/// How much of a rate is used up, as the time when it is full again.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    fn has_room(self, rate: Rate, now: Instant) -> bool {
        self.missing(now) + rate.every <= rate.every * rate.at_once
    }

    fn is_full(self, now: Instant) -> bool {
        self.missing(now).is_zero()
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(now + self.missing(now) + rate.every);
    }

    fn missing(self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// How many lines were left out, in the whole process.
#[derive(Debug)]
struct LeftOut {
    requests: AtomicU64,
    connections: AtomicU64,
    handshakes: AtomicU64,
    news: Notify,
}

impl LeftOut {
    const fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            news: Notify::const_new(),
        }
    }

    fn count(&self, what: Refused) {
        count_dropped(1);
        let count = match what {
            Refused::Request => &self.requests,
            Refused::Connection => &self.connections,
            Refused::Handshake => &self.handshakes,
        };
        // Relaxed: the count orders nothing but itself.
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.news.notify_one();
        }
    }

    /// Waits until a line was left out, and then until it is time to say so.
    async fn wait(&self) {
        self.news.notified().await;
        sleep(LEFT_OUT_LOGGED_EVERY).await;
    }

    fn tell(&self) {
        let taken = |count: &AtomicU64| Some(count.swap(0, Ordering::Relaxed)).filter(|it| *it > 0);
        let requests = taken(&self.requests);
        let connections = taken(&self.connections);
        let handshakes = taken(&self.handshakes);
        if requests.or(connections).or(handshakes).is_some() {
            tracing::info!(
                target: LOG,
                requests,
                connections,
                handshakes,
                "lines about refusals were left out"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::line::LogFormat;
    use crate::telemetry::log::capture::logged;
    use tokio::runtime::Builder;
    use tokio::time::advance;

    const AT_ONCE: usize = REFUSAL_LINES_AT_ONCE as usize;
    const OF_WORKER: usize = REFUSAL_LINES_OF_WORKER_AT_ONCE as usize;

    /// How many of `count` lines about this address are written now.
    fn written(limits: &mut RateLimits, address: &str, count: usize) -> usize {
        let address = address.parse().unwrap();
        (0..count).filter(|_| limits.admit(address, Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_some_lines_at_once_and_then_one_a_second() {
        let mut limits = RateLimits::default();
        assert_eq!(written(&mut limits, "192.0.2.1", 1000), AT_ONCE);
        assert_eq!(written(&mut limits, "::ffff:192.0.2.1", 1000), 0, "the same one");
        for _ in 0..5 {
            advance(REFUSAL_LINE_EVERY - Duration::from_millis(1)).await;
            assert_eq!(written(&mut limits, "192.0.2.1", 1000), 0);
            advance(Duration::from_millis(1)).await;
            assert_eq!(written(&mut limits, "192.0.2.1", 1000), 1);
        }
        advance(REFUSAL_LINE_EVERY * 10 * REFUSAL_LINES_AT_ONCE).await;
        assert_eq!(written(&mut limits, "192.0.2.1", 1000), AT_ONCE, "and no more after a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_or_one_block_of_ipv6_leaves_the_others_their_lines() {
        let mut limits = RateLimits::default();
        assert_eq!(written(&mut limits, "192.0.2.1", 1000), AT_ONCE);
        assert_eq!(written(&mut limits, "192.0.2.2", 3), 3);
        let mut block = 0;
        for host in 0..1000 {
            block += written(&mut limits, &format!("2001:db8::{host:x}"), 1);
        }
        assert_eq!(block, AT_ONCE);
        assert_eq!(written(&mut limits, "2001:db8:0:1::1", 3), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_together_have_a_limit_in_lines_and_in_memory() {
        let mut limits = RateLimits::default();
        let flood = |limits: &mut RateLimits| {
            let from = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            (0..1000).filter(|number| limits.admit(from(*number), Instant::now())).count()
        };
        assert_eq!(flood(&mut limits), OF_WORKER);
        for _ in 0..500 {
            advance(REFUSAL_LINE_OF_WORKER_EVERY).await;
            assert_eq!(flood(&mut limits), 1);
            assert!(limits.addresses.len() <= REFUSED_ADDRESSES_MAX, "{}", limits.addresses.len());
        }
    }

    #[test]
    fn what_was_left_out_is_told_once_in_a_while_by_its_kind() {
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let left_out = LeftOut::new();
                for _ in 0..3 {
                    left_out.count(Refused::Request);
                }
                left_out.count(Refused::Handshake);
                let begun = Instant::now();
                left_out.wait().await;
                assert_eq!(begun.elapsed(), LEFT_OUT_LOGGED_EVERY);
                left_out.tell();
                left_out.tell();
                left_out.count(Refused::Connection);
                left_out.wait().await;
                left_out.tell();
            });
        });
        let lines: Vec<&str> =
            log.lines().filter_map(|it| it.split_once("Z  ")).map(|it| it.1).collect();
        let told = "INFO narrows::log: lines about refusals were left out";
        assert_eq!(
            lines,
            [format!("{told} requests=3 handshakes=1"), format!("{told} connections=1")]
        );
    }

    #[test]
    fn a_line_that_nobody_would_see_takes_nobodys_place() {
        let client = IpAddr::from([192, 0, 2, 1]);
        logged(LogFormat::Text, Level::INFO, || {
            for _ in 0..2 * AT_ONCE {
                assert!(!may_tell(Level::DEBUG, client, Refused::Handshake));
            }
            assert!(may_tell(Level::INFO, client, Refused::Request));
        });
    }
}
