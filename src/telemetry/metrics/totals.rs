//! The numbers of one worker, or the sums of all: [`Totals`]. Plain data that goes to the main
//! thread.

use super::client::ClientReport;
use super::route::{RouteReport, add_counts};
use super::running::Running;
use super::upstream::UpstreamReport;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// What was counted, by names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// What runs, by the name of its route or forward; empty for what has none yet.
    pub running: HashMap<Arc<str>, Running>,
    /// Client connections, by the address that they came to.
    pub connections: BTreeMap<SocketAddr, usize>,
    /// What ended, likewise; empty for what never had a route.
    pub routes: HashMap<Arc<str>, RouteReport>,
    /// Upstreams, by their `host:port`.
    pub upstreams: HashMap<Arc<str>, UpstreamReport>,
    /// Clients with tokens, by their names.
    pub clients: HashMap<Arc<str>, ClientReport>,
    /// What runs of theirs.
    pub clients_running: HashMap<Arc<str>, Running>,
    /// Connections and requests that were refused before an upstream saw any of them, by the word
    /// for the reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// The sums of what workers report.
    pub fn of<'t>(reports: impl IntoIterator<Item = &'t Self>) -> Self {
        let mut sum = Self::default();
        for report in reports {
            sum.add(report);
        }
        sum
    }

    /// All that runs.
    pub fn all_running(&self) -> Running {
        let mut sum = Running::default();
        self.running.values().for_each(|running| sum.add(running));
        sum
    }

    /// The worker has ended: what it counted remains, and what ran has ended with it.
    pub fn nothing_runs(&mut self) {
        self.running.clear();
        self.clients_running.clear();
        self.connections.clear();
        for upstream in self.upstreams.values_mut() {
            (upstream.idle, upstream.busy, upstream.opening) = (0, 0, 0);
        }
    }

    /// Adds what was counted `before` by names that `now` has no more.
    pub fn add_forgotten(&mut self, before: &Self, now: &Self) {
        let routes = missing(&before.routes, &now.routes);
        let upstreams = missing(&before.upstreams, &now.upstreams);
        let clients = missing(&before.clients, &now.clients);
        let mut forgotten = Self { routes, upstreams, clients, ..Self::default() };
        forgotten.nothing_runs();
        self.add(&forgotten);
    }

    /// Forgets the names that none of `others` has.
    pub fn keep_names_of<'t>(&mut self, others: impl Iterator<Item = &'t Self> + Clone) {
        let others = || others.clone();
        self.routes.retain(|name, _| others().any(|it| it.routes.contains_key(name)));
        self.upstreams.retain(|name, _| others().any(|it| it.upstreams.contains_key(name)));
        self.clients.retain(|name, _| others().any(|it| it.clients.contains_key(name)));
    }

    fn add(&mut self, other: &Self) {
        for (name, running) in &other.running {
            self.running.entry(Arc::clone(name)).or_default().add(running);
        }
        for (address, count) in &other.connections {
            *self.connections.entry(*address).or_default() += count;
        }
        for (name, report) in &other.routes {
            self.routes.entry(Arc::clone(name)).or_default().add(report);
        }
        for (name, report) in &other.upstreams {
            self.upstreams.entry(Arc::clone(name)).or_default().add(report);
        }
        for (name, report) in &other.clients {
            self.clients.entry(Arc::clone(name)).or_default().add(report);
        }
        for (name, running) in &other.clients_running {
            self.clients_running.entry(Arc::clone(name)).or_default().add(running);
        }
        add_counts(&mut self.refused, &other.refused);
    }
}

/// What `now` has no more.
fn missing<R: Clone>(
    before: &HashMap<Arc<str>, R>,
    now: &HashMap<Arc<str>, R>,
) -> HashMap<Arc<str>, R> {
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    gone.map(|(name, report)| (Arc::clone(name), report.clone())).collect()
}
