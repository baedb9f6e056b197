//! A worker's connections to its upstreams, from one site to the next.

use crate::config::snapshot::{Snapshot, UpstreamConfig};
use crate::proxy::Site;
use crate::telemetry::metrics::WorkerMetrics;
use crate::timeouts::Timeouts;
use crate::upstream::Upstream;
use crate::upstream::dial::NetworkDialer;
use crate::upstream::registry::Registry;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

/// The upstreams of the current site, by their configuration.
pub(super) struct Upstreams {
    registry: Arc<Registry>,
    metrics: Rc<WorkerMetrics>,
    current: Vec<KnownUpstream>,
}

struct KnownUpstream {
    config: Arc<UpstreamConfig>,
    /// They limit its dials.
    timeouts: Arc<Timeouts>,
    upstream: Upstream,
}

impl Upstreams {
    pub(super) fn new(registry: Arc<Registry>, metrics: Rc<WorkerMetrics>) -> Self {
        Self { registry, metrics, current: Vec::new() }
    }

    /// The site of `snapshot`. An upstream whose configuration is unchanged keeps its connections.
    /// One that is no longer in the snapshot closes its idle ones when the last exchange with it
    /// has ended.
    pub(super) fn site(&mut self, snapshot: &Snapshot) -> Site {
        let Self { registry, metrics, current } = self;
        let before = mem::take(current);
        let timeouts = &snapshot.timeouts;
        let dialer = |config: &UpstreamConfig| {
            let metrics = metrics.upstream(&config.label);
            NetworkDialer::new(config, Arc::clone(timeouts), &registry.resolver, metrics)
        };
        let upstream = |config: &Arc<UpstreamConfig>| {
            let same = |it: &&KnownUpstream| it.config == *config && it.timeouts == *timeouts;
            let upstream = match before.iter().find(same) {
                Some(known) => known.upstream.clone(),
                None => {
                    let (dialer, health) = (Box::new(dialer(config)), registry.health(config));
                    Upstream::sharing(dialer, health, config.connection_age)
                }
            };
            let (config, timeouts) = (Arc::clone(config), Arc::clone(timeouts));
            current.push(KnownUpstream { config, timeouts, upstream: upstream.clone() });
            upstream
        };
        Site::new(snapshot, metrics, upstream, |forward| Rc::new(dialer(forward)))
    }
}
