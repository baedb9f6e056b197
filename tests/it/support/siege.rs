//! A relay under attack: what that costs it, and that honest clients are served meanwhile.
//!
//! Each bound on memory is for the whole process of the relay, as the kernel counts it, and is the
//! sum of its named parts. An honest exchange, with a new connection on both sides, may
//! take as long as anything in these tests; on an idle machine it takes some milliseconds.
//! `--nocapture` shows what was measured.

use narrows::limits::PIPES_KEPT_MAX;
use narrows_kit::relay::Relay;
use narrows_kit::{GUARD, within};
use std::cell::Cell;
use std::ops::Deref;
use std::time::Instant;
use tokio::task::JoinHandle;

/// How many attackers there are at one time, unless a test says otherwise.
pub const CROWD: usize = 200;
/// What the relay may grow by without a particular cause: lists, timers, the allocator.
const SLACK_KIB: usize = 2 * 1024;
/// A connection that waits: its task, its session, its entry in the runtime. TLS comes on top.
pub const CONNECTION_KIB: usize = 8;
/// A handshake in progress, or the state of TLS after it with its buffers.
pub const TLS_KIB: usize = 40;
/// A pooled buffer with a part of a head, or of a body that a receiver does not take.
pub const BUFFER_KIB: usize = 8;
/// What one read may bring.
pub const READ_KIB: usize = 64;

/// A relay, and what it had before the attack.
pub struct Besieged {
    relay: Relay,
    resident_kib: Cell<usize>,
    descriptors: usize,
    pipes: usize,
}

impl Besieged {
    /// One that has just started.
    pub fn new(relay: Relay) -> Self {
        Self {
            resident_kib: Cell::new(relay.resident_kib()),
            descriptors: relay.descriptors(),
            pipes: relay.pipes(),
            relay,
        }
    }
}

impl Deref for Besieged {
    type Target = Relay;

    fn deref(&self) -> &Relay {
        &self.relay
    }
}

/// A relay, attackers, and honest clients.
pub trait Siege {
    /// The relay under attack.
    fn relay(&self) -> &Besieged;

    /// Whether a new client is served.
    async fn try_to_serve(&self) -> bool;

    /// Serves a few clients, so that what only the first ones cost is no growth.
    async fn warm_up(&self) {
        for _ in 0..10 {
            self.serve_an_honest_client().await;
        }
        self.relay().resident_kib.set(self.relay().resident_kib());
    }

    /// Asserts that a new client is served, and shows how long that takes.
    async fn serve_an_honest_client(&self) {
        let since = Instant::now();
        let served = within("an honest exchange", self.try_to_serve()).await;
        assert!(served, "an honest client is turned away");
        println!("an honest exchange: {:?} of {GUARD:?}", since.elapsed());
    }

    /// Serves honest clients until `attack` is over, and watches the relay's memory.
    async fn serve_during<T>(
        &self,
        name: &str,
        bound_kib: usize,
        attack: impl Future<Output = T>,
    ) -> T {
        let over = Cell::new(false);
        let attacking = async {
            let result = attack.await;
            over.set(true);
            result
        };
        let serving = async {
            while !over.get() {
                self.serve_an_honest_client().await;
                self.assert_growth(name, bound_kib);
            }
        };
        tokio::join!(attacking, serving).0
    }

    /// Asserts that the relay has not grown by more than this since before the attack.
    #[track_caller]
    fn assert_growth(&self, attack: &str, bound_kib: usize) {
        let before = self.relay().resident_kib.get();
        let growth = self.relay().resident_kib().saturating_sub(before);
        let bound = bound_kib + SLACK_KIB;
        println!("{attack}: {growth} KiB of {bound} KiB");
        assert!(growth <= bound, "{attack}: grown by {growth} KiB, {bound} KiB are allowed");
    }

    /// The pipes that it has opened since.
    fn new_pipes(&self) -> usize {
        self.relay().pipes().saturating_sub(self.relay().pipes)
    }

    /// Waits until it has no descriptor more than before, but the two of each pipe that it keeps.
    async fn wait_for_descriptors(&self) {
        let most = self.relay().descriptors + 2 * PIPES_KEPT_MAX;
        self.relay().wait_for_descriptors(most).await;
    }
}

/// Waits until all of these are over, and fails as one of them has failed.
pub async fn all_of(crowd: Vec<JoinHandle<()>>) {
    for attacker in crowd {
        attacker.await.unwrap();
    }
}
