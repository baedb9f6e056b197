//! What runs on a worker: its exchanges and connections in tcp mode.
//!
//! Each client connection has one entry, from its beginning to its end, so that an exchange which
//! begins or ends changes no list. An entry without an exchange is idle.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Entries that are counted before others have their turn: some 0.2 ms.
const COUNTED_AT_ONCE: usize = 1024;

/// What runs on one route: exchanges, or connections in tcp mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// How many.
    pub count: usize,
    /// The age of the oldest.
    pub oldest: Duration,
}

/// What runs on one route or of one client, while a report counts it.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct RunningCount(Cell<Running>);

impl RunningCount {
    /// Counts one that began so long ago.
    pub(in crate::telemetry) fn add(&self, age: Duration) {
        let mut running = self.0.get();
        running.add(&Running { count: 1, oldest: age });
        self.0.set(running);
    }

    /// What was counted, if anything. The next report counts anew.
    pub(super) fn take(&self) -> Option<Running> {
        Some(self.0.take()).filter(|running| running.count > 0)
    }
}

impl Running {
    /// Adds those of another worker or route.
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.oldest = self.oldest.max(other.oldest);
    }
}

/// The entries of one worker's client connections.
#[derive(Default)]
pub(super) struct RunningList(RefCell<Vec<Rc<dyn Entry>>>);

/// What a client connection is at.
pub(in crate::telemetry) trait Entry {
    /// Where it is in the list.
    fn position(&self) -> &Cell<usize>;

    /// Counts the exchange that runs `now`, if one does: for its route with the bytes so far, and
    /// for its upstream with the connection in use.
    fn count(&self, now: Instant);
}

impl RunningList {
    /// Counts all that runs, for a report. Once for each entry, because most of the time goes into
    /// bringing them into the cache. Of thousands, those that begin or end meanwhile may be missed.
    pub(super) async fn count(&self) {
        let mut counted = 0;
        while self.count_next(counted) {
            counted += COUNTED_AT_ONCE;
            yield_now().await;
        }
    }

    /// Counts the next ones behind those that were `counted`. Whether there are more.
    fn count_next(&self, counted: usize) -> bool {
        let (now, entries) = (Instant::now(), self.0.borrow());
        let next = entries.iter().skip(counted).take(COUNTED_AT_ONCE);
        next.for_each(|entry| entry.count(now));
        counted + COUNTED_AT_ONCE < entries.len()
    }

    /// Adds an entry, until [`RunningList::leave`].
    pub(super) fn enter(&self, entry: Rc<dyn Entry>) {
        let mut entries = self.0.borrow_mut();
        entry.position().set(entries.len());
        entries.push(entry);
    }

    /// Removes an entry. The last one takes its place.
    pub(super) fn leave(&self, entry: &dyn Entry) {
        let mut entries = self.0.borrow_mut();
        let at = entry.position().get();
        let _left = entries.swap_remove(at);
        if let Some(moved) = entries.get(at) {
            moved.position().set(at);
        }
    }
}
