//! What all sessions of one worker share.

use crate::config::snapshot::Snapshot;
use crate::upstream::Upstream;
use std::cell::Cell;
use std::sync::Arc;
use tokio::sync::Notify;

/// The configuration, the upstreams and the wish to stop.
pub struct Context {
    /// What the operator configured.
    pub snapshot: Arc<Snapshot>,
    /// In the order of `snapshot.upstreams`.
    pub upstreams: Vec<Upstream>,
    /// Whether this worker is asked to stop.
    pub drain: Drain,
}

/// The wish to stop: running exchanges end, idle connections close.
#[derive(Debug, Default)]
pub struct Drain {
    draining: Cell<bool>,
    begun: Notify,
}

impl Drain {
    /// Asks every session to end after its exchange.
    pub fn begin(&self) {
        self.draining.set(true);
        self.begun.notify_waiters();
    }

    /// Whether [`Drain::begin`] was called.
    pub fn has_begun(&self) -> bool {
        self.draining.get()
    }

    /// Waits for [`Drain::begin`].
    pub async fn begun(&self) {
        // Created before the look at the flag, so that a call in between is not missed.
        let notified = self.begun.notified();
        if !self.has_begun() {
            notified.await;
        }
    }
}
