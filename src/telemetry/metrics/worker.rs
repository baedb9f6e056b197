//! All that one worker counts: [`WorkerMetrics`].

use super::client::ClientMetrics;
use super::named::Named;
use super::route::RouteMetrics;
use super::running::{Entry, RunningList};
use super::totals::Totals;
use super::upstream::UpstreamMetrics;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The counters of one worker, in plain cells: no other thread reads them.
///
/// They are found by name when a site is made, and kept by what uses them, so that they outlive a
/// reload. The data path has handles and does not search.
#[derive(Default)]
pub struct WorkerMetrics {
    running: RunningList,
    /// Of exchanges that never had a route.
    unrouted: RouteMetrics,
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

    /// Lists a client connection, until [`WorkerMetrics::leave`].
    pub(in crate::telemetry) fn enter(&self, entry: Rc<dyn Entry>) {
        self.running.enter(entry);
    }

    /// Takes a client connection off the list.
    pub(in crate::telemetry) fn leave(&self, entry: &dyn Entry) {
        self.running.leave(entry);
    }

    /// The counters of `route`, or of what never had one.
    pub(in crate::telemetry) fn of<'m>(
        &'m self,
        route: Option<&'m RouteMetrics>,
    ) -> &'m RouteMetrics {
        route.unwrap_or(&self.unrouted)
    }

    /// What was counted so far. The caller knows the client connections. One at a time: each counts
    /// what runs anew.
    pub async fn report(&self) -> Totals {
        self.running.count().await;
        let mut totals = Totals {
            running: self.routes.reports(|route| route.running.take()),
            routes: self.routes.reports(RouteMetrics::report),
            upstreams: self.upstreams.reports(UpstreamMetrics::report_if_used),
            clients: self.clients.reports(ClientMetrics::report),
            clients_running: self.clients.reports(|client| client.running.take()),
            refused: self.refused.borrow().clone(),
            ..Totals::default()
        };
        if let Some(running) = self.unrouted.running.take() {
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
