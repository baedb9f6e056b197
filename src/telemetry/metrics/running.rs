//! What runs on a worker: its exchanges and connections in tcp mode.
//!
//! Each client connection has one entry, from its beginning to its end, so that an exchange which
//! begins or ends changes no list. An entry without an exchange is idle.

use super::totals::Running;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// The entries of one worker's client connections.
#[derive(Default)]
pub(super) struct RunningList(RefCell<Vec<Rc<dyn Entry>>>);

/// What a client connection is at.
pub(in crate::telemetry) trait Entry {
    /// Where it is in the list.
    fn position(&self) -> &Cell<usize>;

    /// Since when an exchange runs, and the name of its route; `None` when the connection is idle.
    fn current(&self) -> Option<(Instant, Option<Arc<str>>)>;

    /// Counts what is not counted before the end: the bytes so far, and the connection in use.
    fn count(&self);
}

impl RunningList {
    /// How many run on each route.
    pub(super) fn by_route(&self) -> BTreeMap<Arc<str>, Running> {
        let now = Instant::now();
        let mut routes: BTreeMap<Arc<str>, Running> = BTreeMap::new();
        for (since, name) in self.0.borrow().iter().filter_map(|entry| entry.current()) {
            let name = name.unwrap_or_default();
            routes.entry(name).or_default().count(now.duration_since(since));
        }
        routes
    }

    /// Counts what is not counted before the end, of all that runs.
    pub(super) fn count(&self) {
        self.0.borrow().iter().for_each(|entry| entry.count());
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
