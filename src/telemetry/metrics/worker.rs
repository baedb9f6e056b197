//! All that one worker counts: [`WorkerMetrics`].

use super::client::ClientMetrics;
use super::named::Named;
use super::route::RouteMetrics;
use super::running::Runs;
use super::totals::Totals;
use super::upstream::UpstreamMetrics;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// The counters of one worker, in plain cells: no other thread reads them.
///
/// They are found by name when a site is made, and kept by what uses them, so that they outlive a
/// reload. The data path has handles and does not search.
#[derive(Default)]
pub struct WorkerMetrics {
    /// Of exchanges that have no route, or not yet.
    unrouted: Rc<RouteMetrics>,
    routes: Named<RouteMetrics>,
    upstreams: Named<UpstreamMetrics>,
    clients: Named<ClientMetrics>,
    refused: RefCell<BTreeMap<&'static str, u64>>,
}

impl WorkerMetrics {
    /// The counters of the route or forward with this name.
    pub fn route(&self, name: &Arc<str>) -> Rc<RouteMetrics> {
        self.routes.get(name, || RouteMetrics::new(name))
    }

    /// The counters of the upstream with this `host:port`.
    pub fn upstream(&self, label: &str) -> Rc<UpstreamMetrics> {
        self.upstreams.get(label, UpstreamMetrics::default)
    }

    /// The counters of the client with this name.
    pub fn client(&self, name: &str) -> Rc<ClientMetrics> {
        self.clients.get(name, || ClientMetrics::new(name))
    }

    /// A connection or a request was refused before an upstream saw any of it.
    pub fn refused(&self, reason: &'static str) {
        *self.refused.borrow_mut().entry(reason).or_default() += 1;
    }

    /// Forgets the routes and upstreams that were removed before the last reload, and that nothing
    /// uses, and likewise all but these clients. To be called when a new
    /// site has taken the place of the old one.
    pub fn forget_unused<'n>(&self, clients: impl Iterator<Item = &'n str>) {
        self.routes.forget_unused();
        self.upstreams.forget_unused();
        self.clients.forget_unless(clients);
        self.clients.each(|client| client.keep_routes(|route| self.routes.has(route)));
    }

    /// The counters of what has no route, or not yet.
    pub(in crate::telemetry) fn unrouted(&self) -> Rc<RouteMetrics> {
        Rc::clone(&self.unrouted)
    }

    /// What was counted so far. The caller knows the client connections. Nothing that runs is
    /// visited.
    pub fn report(&self) -> Totals {
        let now = Instant::now();
        let mut totals = Totals {
            running: self.routes.reports(|route| route.running().report(now)),
            routes: self.routes.reports(RouteMetrics::report),
            upstreams: self.upstreams.reports(UpstreamMetrics::report_if_used),
            clients: self.clients.reports(ClientMetrics::report),
            clients_running: self.clients.reports(|client| client.running().report(now)),
            refused: self.refused.borrow().clone(),
            ..Totals::default()
        };
        if let Some(running) = self.unrouted.running().report(now) {
            totals.running.insert(Arc::default(), running);
        }
        if let Some(report) = self.unrouted.report() {
            totals.routes.insert(Arc::default(), report);
        }
        totals
    }
}

#[cfg(test)]
mod tests;
