//! What all sessions of one worker share.

use crate::config::snapshot::Snapshot;
use crate::limits::CLIENT_AUTHORITY_BYTES_MAX;
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

/// What is known of some clients, and is kept for as long as their connection lasts. In a place of
/// its own, once there is anything, because most of its size is not needed.
#[derive(Debug, Default)]
pub(super) struct About(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Host and perhaps port by which the client called us in its last request.
    called: Box<[u8]>,
    /// Where it connected to, if a PROXY header says so.
    destination: Option<SocketAddr>,
}

impl About {
    /// With what a PROXY header said.
    pub(super) fn new(destination: Option<SocketAddr>) -> Self {
        let known = |destination| Box::new(Known { destination, ..Known::default() });
        Self(destination.map(|destination| known(Some(destination))))
    }

    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|known| known.destination)
    }

    /// What the client calls us; empty when it did not say.
    pub(super) fn called(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", |known| &known.called)
    }

    /// Remembers what the client calls us. The requests of a connection rarely differ in it.
    pub(super) fn is_called(&mut self, authority: &[u8]) {
        let authority = if authority.len() > CLIENT_AUTHORITY_BYTES_MAX { b"" } else { authority };
        if self.called() != authority {
            self.0.get_or_insert_default().called = authority.into();
        }
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
