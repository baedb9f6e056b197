//! What all sessions of one worker share.

use crate::config::snapshot::Snapshot;
use crate::net::transport::Transport;
use crate::upstream::{Announcement, Dial, Upstream};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;

/// Whom a connection is from, and whom it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: behind a PROXY header the one announced.
    pub address: SocketAddr,
    /// The address that it connected to, where a PROXY header says so. Otherwise it is ours.
    pub destination: Option<SocketAddr>,
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Self { address, destination: None }
    }
}

impl Client {
    /// What an upstream is told of the client at the other end of `transport`.
    pub(super) fn announcement(&self, transport: &Transport) -> Announcement {
        let destination = self.destination.or_else(|| transport.local_address());
        Announcement { source: self.address, destination }
    }
}

/// The configuration, the upstreams and the wish to stop.
pub struct Context {
    /// What the operator configured.
    pub snapshot: Arc<Snapshot>,
    /// In the order of `snapshot.upstreams`.
    pub upstreams: Vec<Upstream>,
    /// In the order of `snapshot.forward_upstreams`.
    pub forward_dialers: Vec<Box<dyn Dial>>,
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
