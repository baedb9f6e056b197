//! What has happened, counted by all threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub enum Count {
    Honest,
    BytesChecked,
    AtOrigin,
    Aborts,
    Faults,
    Attacks,
    TurnedAway,
    Reloads,
}

const COUNTS: [Count; 8] = [
    Count::Honest,
    Count::BytesChecked,
    Count::AtOrigin,
    Count::Aborts,
    Count::Faults,
    Count::Attacks,
    Count::TurnedAway,
    Count::Reloads,
];

static TALLY: [AtomicU64; COUNTS.len()] = [const { AtomicU64::new(0) }; COUNTS.len()];
/// Of small honest exchanges, in microseconds.
static LATENCIES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

pub fn tally(what: Count, count: usize) {
    TALLY[what as usize].fetch_add(count as u64, Ordering::Relaxed);
}

pub fn tallied(what: Count) -> u64 {
    TALLY[what as usize].load(Ordering::Relaxed)
}

pub fn took(duration: Duration) {
    LATENCIES.lock().unwrap().push(duration.as_micros() as u32);
}

/// One line for each count, and the latencies.
pub fn print() {
    for count in COUNTS {
        println!("  {count:?}: {}", tallied(count));
    }
    let mut latencies = LATENCIES.lock().unwrap();
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    println!(
        "  small honest exchanges, ms: median {:.1}, 99 % {:.1}, longest {:.1}",
        f64::from(at(0.5)) / 1000.0,
        f64::from(at(0.99)) / 1000.0,
        f64::from(at(1.0)) / 1000.0,
    );
}
