//! One upstream as one worker sees it: [`Upstream`]. Nothing here knows clients or exchanges.
//!
//! A request gets the first connection that becomes available: an idle one, one that another
//! exchange gives back, or one being opened.
//!
//! From the ground up:
//!
//! - [`resolver`] looks names up, and remembers the addresses for all workers.
//! - [`dial`] opens a connection: it races the addresses to the end of TLS (happy eyeballs).
//! - `trouble_log` (what is logged about it), `speculative` (how many connections may be opened
//!   before a request asks for them) and [`health`] are what all workers share about an upstream.
//! - [`connection`], `idle_limit` (when the upstream closes idle connections) and `pool` keep
//!   connections for the next request.
//! - `dispatcher` brings connections and waiting requests together: `queue` has the requests, and
//!   `checkout` is how one waits.
//! - `maintenance` looks after the idle connections, and keeps some warm.
//! - [`registry`] has what all workers share about all upstreams, and says which upstreams of two
//!   configurations are the same.

mod checkout;
pub mod connection;
pub mod dial;
mod dispatcher;
pub mod health;
mod idle_limit;
mod maintenance;
mod pool;
mod queue;
pub mod registry;
pub mod resolver;
mod speculative;
mod trouble_log;

pub use checkout::Checkout;
pub use dial::{Dial, Dialing, NewConnection, ProxyHeader};

use crate::clock::now;
use crate::limits::SPECULATIVE_DIALS_MAX;
use crate::task::spawn;
use crate::telemetry::metrics::UpstreamMetrics;
use crate::upstream::connection::UpstreamConnection;
use crate::upstream::dispatcher::Dispatcher;
use crate::upstream::health::Health;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One upstream of one worker.
#[derive(Clone)]
pub struct Upstream(Rc<Dispatcher>);

impl Upstream {
    /// An upstream that no other worker has, and that keeps `warm` connections ready. Must be
    /// called inside a local runtime, because its maintenance starts here.
    pub fn new(dialer: Box<dyn Dial>, warm: usize) -> Self {
        Self::sharing(dialer, Arc::new(Health::new("upstream", warm, 1)), None)
    }

    /// One worker's part of the upstream with this `health`. Connections leave the pool at
    /// `age_max`. Must be called inside a local runtime, too.
    pub fn sharing(dialer: Box<dyn Dial>, health: Arc<Health>, age_max: Option<Duration>) -> Self {
        let dispatcher = Rc::new(Dispatcher::new(dialer, health, age_max));
        spawn(maintenance::run(Rc::downgrade(&dispatcher)));
        Self(dispatcher)
    }

    /// What counts the connections to it.
    pub fn metrics(&self) -> &Rc<UpstreamMetrics> {
        &self.0.metrics
    }

    /// Opens no warm connection for so long, so that many new upstreams do not shake hands at once.
    pub fn put_off(&self, pause: Duration) {
        self.0.maintenance.opens_from.set(Some(Instant::now() + pause));
    }

    /// Closes the idle connections, and keeps none any more: no new exchange will ask for one.
    pub fn retire(&self) {
        let Dispatcher { pool, maintenance, .. } = &*self.0;
        pool.limit_age(Some(Duration::ZERO));
        maintenance.opens_from.set(None);
        maintenance.wake();
    }

    /// Closes the connections that are idle now.
    pub fn close_idle(&self) {
        self.0.pool.clear();
    }

    /// Changes what may change while connections stay: how they are opened (the way is the same,
    /// but not its limits of time), how many are kept ready, and how old they become.
    pub fn change(&self, dialer: Box<dyn Dial>, warm: usize, age_max: Option<Duration>) {
        let Dispatcher { pool, health, maintenance, .. } = &*self.0;
        self.0.replace_dialer(dialer);
        health.keep_warm(warm);
        pool.limit_age(age_max);
        maintenance.wake();
    }

    /// The most recently used idle connection that is known to be open.
    pub fn take_idle(&self) -> Option<UpstreamConnection> {
        let Dispatcher { pool, health, last_use, maintenance, .. } = &*self.0;
        let now = now();
        last_use.set(now);
        self.0.client_came();
        let connection = pool.take(now);
        if pool.len() < health.warm() && now >= maintenance.warms_up_at.get() {
            maintenance.wake();
        }
        connection
    }

    /// Waits for a connection, and opens one unless enough are being opened already.
    pub fn checkout(&self) -> Checkout {
        Checkout::begin(&self.0)
    }

    /// Opens a connection on behalf of one client; it does not come from the pool.
    pub fn dial(&self, proxy_header: &ProxyHeader) -> Dialing {
        self.0.dialer().dial(Some(proxy_header))
    }

    /// Whether each connection names its client in a PROXY header. Then all have to come from
    /// [`Upstream::dial`], and none may be given back.
    pub fn sends_proxy_header(&self) -> bool {
        self.0.dialer().sends_proxy_header()
    }

    /// Hands on a connection whose exchange ended cleanly, unless it is too old.
    pub fn give_back(&self, connection: UpstreamConnection) {
        if self.0.pool.is_aged(&connection) {
            return;
        }
        let checked = connection.check(&self.0.maintenance.waker.borrow());
        if let Some(checked) = checked {
            self.0.deliver(checked);
        }
    }

    /// Reports that a connection which had been idle for `idle` died without a FIN or a reset, so
    /// that no other which has been idle for as long is used.
    pub fn suspect(&self, idle: Duration) {
        self.0.pool.suspect(idle);
    }

    /// Reports that a client has connected that will probably need a connection. If none is free,
    /// one is opened while the client still shakes hands and writes its request.
    pub fn preconnect(&self) -> Option<Preconnect> {
        let dispatcher = &self.0;
        if dispatcher.health.warm() == 0 {
            return None;
        }
        dispatcher.client_came();
        dispatcher.expected.set(dispatcher.expected.get() + 1);
        // Clients that never ask for anything must not fill the pool with connections.
        let expected = dispatcher.expected.get().min(SPECULATIVE_DIALS_MAX);
        let needed = expected + dispatcher.queue.len();
        if dispatcher.pool.len() + dispatcher.attempts.get() < needed
            && let Some(speculative) = dispatcher.health.preconnect(Instant::now())
        {
            dispatcher.start_attempt(Some(speculative));
        }
        Some(Preconnect(Rc::downgrade(dispatcher)))
    }
}

/// A client that is expected to need a connection, until this is dropped. A client may be silent
/// for long, so it does not keep an upstream that nothing else needs.
pub struct Preconnect(Weak<Dispatcher>);

impl Drop for Preconnect {
    fn drop(&mut self) {
        if let Some(upstream) = self.0.upgrade() {
            upstream.expected.set(upstream.expected.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests;
