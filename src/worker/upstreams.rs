//! A worker's connections to its upstreams, from one site to the next.

use crate::config::snapshot::{Snapshot, UpstreamConfig};
use crate::limits::UPSTREAMS_BEGIN_APART;
use crate::proxy::{RouteUpstream, Site};
use crate::task::spawn;
use crate::telemetry::metrics::WorkerMetrics;
use crate::timeouts::Timeouts;
use crate::upstream::Upstream;
use crate::upstream::dial::NetworkDialer;
use crate::upstream::registry::{Identity, Registry};
use std::collections::HashMap;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::yield_now;

/// Routes of a new site that are made before connections have a turn: some 50 us of work.
const ROUTES_PER_TURN: usize = 16;

/// The upstreams of the current site.
pub(super) struct Upstreams {
    registry: Arc<Registry>,
    metrics: Rc<WorkerMetrics>,
    current: HashMap<Identity, Upstream>,
    /// The limits of time of their dials.
    timeouts: Option<Arc<Timeouts>>,
}

impl Upstreams {
    pub(super) fn new(registry: Arc<Registry>, metrics: Rc<WorkerMetrics>) -> Self {
        Self { registry, metrics, current: HashMap::new(), timeouts: None }
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        self.current.values().for_each(Upstream::close_idle);
    }

    /// The site of `snapshot`. An upstream that stays keeps its connections and what is known of
    /// it. One that is no longer in the snapshot closes its idle connections, keeps none any more,
    /// and ends when the last exchange with it has ended.
    ///
    /// A thousand upstreams take milliseconds, so the worker's connections have their turn in
    /// between. Must be awaited to its end.
    #[expect(clippy::mutable_key_type, reason = "what identifies an upstream never changes")]
    pub(super) async fn site(&mut self, snapshot: &Snapshot) -> Site {
        let Self { registry, metrics, current, timeouts: timeouts_before } = self;
        let mut before = mem::take(current);
        let timeouts = &snapshot.timeouts;
        let timeouts_before = timeouts_before.replace(Arc::clone(timeouts));
        let same_timeouts = timeouts_before.is_some_and(|it| Arc::ptr_eq(&it, timeouts));
        let dialer = |config: &UpstreamConfig| {
            let metrics = metrics.upstream(&config.label);
            NetworkDialer::new(config, Arc::clone(timeouts), &registry.resolver, metrics)
        };
        let mut new = 0;
        let mut upstream = |config: &Arc<UpstreamConfig>| {
            let identity = Identity::from(config);
            if let Some(known) = current.get(&identity) {
                return known.clone();
            }
            let age_max = config.connection_age;
            let upstream = match before.remove_entry(&identity) {
                // Most reloads change nothing about most upstreams.
                Some((known, stays)) if same_timeouts && known.is_unchanged(config) => stays,
                Some((_, stays)) => {
                    stays.change(Box::new(dialer(config)), config.warm, age_max);
                    stays
                }
                None => {
                    let (dialer, health) = (Box::new(dialer(config)), registry.health(&identity));
                    let upstream = Upstream::sharing(dialer, health, age_max);
                    upstream.put_off(UPSTREAMS_BEGIN_APART * new);
                    new += 1;
                    upstream
                }
            };
            current.insert(identity, upstream.clone());
            upstream
        };
        let mut routes = Vec::with_capacity(snapshot.routes.len());
        for some in snapshot.routes.chunks(ROUTES_PER_TURN) {
            if !routes.is_empty() {
                yield_now().await;
            }
            routes.extend(some.iter().map(|route| {
                let connections = upstream(&route.upstream);
                route.to(RouteUpstream::of(route, connections, metrics))
            }));
        }
        let site = Site::new(snapshot, metrics, routes, |forward| Rc::new(dialer(forward)));
        if !before.is_empty() {
            spawn(retire(before.into_values().collect()));
        }
        site
    }
}

/// Closes the idle connections of each upstream in a turn of its own: of a thousand upstreams they
/// may be many, and each close takes some microseconds.
async fn retire(upstreams: Vec<Upstream>) {
    for upstream in upstreams {
        upstream.retire();
        drop(upstream);
        yield_now().await;
    }
}
