//! Limits of log lines about refusals, so that no client can fill the disk with them.
//!
//! A refused request of 16 bytes makes a line of 200, and a client may send a million of them a
//! second; scanners of the whole Internet send some to everyone. So of the lines about mistakes of
//! clients only the first of each minute are written, of each address and in total. Those left out
//! are counted, and one line a minute gives their number. No other line is ever left out: neither
//! faults of an upstream or of ours, nor exchanges that went well.
//!
//! Each worker has its own limits, so there is no lock. They remember no more addresses than lines
//! were written in the minute.

use super::dropped::count_dropped;
use super::log::hears;
use super::targets::LOG;
use crate::limits::{REFUSAL_LINES_MAX, REFUSAL_LINES_OF_ADDRESS_MAX, REFUSALS_LOGGED_EVERY};
use crate::net::block::Block;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
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
    let admits = |written: &RefCell<Written>| written.borrow_mut().admit(client, Instant::now());
    // The thread may be ending, and has few lines left.
    let may_tell = WRITTEN.try_with(admits).unwrap_or(true);
    if !may_tell {
        LEFT_OUT.count(what);
    }
    may_tell
}

/// Logs now and then how many lines were left out, if any were. For one task of the process.
pub async fn tell_left_out_lines() {
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
    static WRITTEN: RefCell<Written> = RefCell::default();
}

static LEFT_OUT: LeftOut = LeftOut::new();

/// The lines that a worker has written in this minute.
#[derive(Debug, Default)]
struct Written {
    since: Option<Instant>,
    lines: usize,
    of_address: HashMap<Block, usize>,
}

impl Written {
    /// Whether a line about `address` may be written; if so, it is counted. A line that may not be
    /// written is not counted, so that a flood from one address leaves lines to the others.
    fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= REFUSALS_LOGGED_EVERY) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        if self.lines >= REFUSAL_LINES_MAX {
            return false;
        }
        let of_address = self.of_address.entry(Block::of(address)).or_default();
        if *of_address >= REFUSAL_LINES_OF_ADDRESS_MAX {
            return false;
        }
        *of_address += 1;
        self.lines += 1;
        true
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
        sleep(REFUSALS_LOGGED_EVERY).await;
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
    use std::time::Duration;
    use tokio::runtime::Builder;
    use tokio::time::advance;

    /// How many of `count` lines about this address are written now.
    fn lines(written: &mut Written, address: &str, count: usize) -> usize {
        let address = address.parse().unwrap();
        (0..count).filter(|_| written.admit(address, Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_first_lines_of_each_minute() {
        let mut written = Written::default();
        for _ in 0..3 {
            let first = lines(&mut written, "192.0.2.1", 1000);
            assert_eq!(first, REFUSAL_LINES_OF_ADDRESS_MAX);
            assert_eq!(lines(&mut written, "::ffff:192.0.2.1", 1000), 0, "the same one");
            advance(REFUSALS_LOGGED_EVERY - Duration::from_millis(1)).await;
            assert_eq!(lines(&mut written, "192.0.2.1", 1000), 0);
            advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_or_one_block_of_ipv6_leaves_the_others_their_lines() {
        let mut written = Written::default();
        assert_eq!(lines(&mut written, "192.0.2.1", 1000), REFUSAL_LINES_OF_ADDRESS_MAX);
        assert_eq!(lines(&mut written, "192.0.2.2", 3), 3);
        let hosts = (0..1000).map(|host| format!("2001:db8::{host:x}"));
        let of_block: usize = hosts.map(|host| lines(&mut written, &host, 1)).sum();
        assert_eq!(of_block, REFUSAL_LINES_OF_ADDRESS_MAX);
        assert_eq!(lines(&mut written, "2001:db8:0:1::1", 3), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_together_have_a_limit_in_lines_and_in_memory() {
        let mut written = Written::default();
        for _ in 0..3 {
            let from = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let admitted = (0..1000).filter(|it| written.admit(from(*it), Instant::now())).count();
            assert_eq!(admitted, REFUSAL_LINES_MAX);
            assert_eq!(written.of_address.len(), REFUSAL_LINES_MAX);
            advance(REFUSALS_LOGGED_EVERY).await;
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
                assert_eq!(begun.elapsed(), REFUSALS_LOGGED_EVERY);
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
            for _ in 0..2 * REFUSAL_LINES_MAX {
                assert!(!may_tell(Level::DEBUG, client, Refused::Handshake));
            }
            assert!(may_tell(Level::INFO, client, Refused::Request));
        });
    }
}
