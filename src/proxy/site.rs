//! What a worker serves: the routes and forwards of one snapshot, with the worker's own connections
//! to their upstreams.
//!
//! A [`Site`] never changes: a new configuration is a new site, which takes the place of the old
//! one in the [`Context`](crate::proxy::Context). An exchange takes its route from the site that is
//! current at its head, and a connection in tcp mode its forward from the one that is current when
//! it is accepted. Both keep what they took until they end. A connection that waits for a request
//! holds no part of a site.

use crate::config::snapshot::{Snapshot, UpstreamConfig};
use crate::gateway;
use crate::gateway::access::ApiKeys;
use crate::gateway::redirect::HttpsNames;
use crate::gateway::route::RouteTable;
use crate::gateway::server_name::ForwardTable;
use crate::h1::limits::HeadLimits;
use crate::proxy::refusal::LastRefusal;
use crate::telemetry::metrics::{RouteMetrics, WorkerMetrics};
use crate::timeouts::Timeouts;
use crate::upstream::{Dial, Upstream};
use std::rc::Rc;
use std::sync::Arc;

/// A route with the worker's own connections to its upstream.
pub type Route = gateway::route::Route<RouteUpstream>;

/// The upstream of one route.
#[derive(Clone)]
pub struct RouteUpstream {
    /// The connections to it, which routes may share.
    pub connections: Upstream,
    /// The counters of what goes to it on this route.
    pub metrics: Rc<RouteMetrics>,
    /// What its API has said when no key could be used, where there are several.
    pub last_refusal: Option<Rc<LastRefusal>>,
}

impl RouteUpstream {
    /// Of a route, whose exchanges are counted in `metrics` by its name.
    pub fn of<U>(
        route: &gateway::route::Route<U>,
        connections: Upstream,
        metrics: &WorkerMetrics,
    ) -> Self {
        Self::new(connections, metrics.route(&route.name), route.keys())
    }

    /// With these connections, on a route with these keys.
    pub fn new(connections: Upstream, metrics: Rc<RouteMetrics>, keys: Option<&ApiKeys>) -> Self {
        let has_several = keys.is_some_and(ApiKeys::are_several);
        Self { connections, metrics, last_refusal: has_several.then(Rc::default) }
    }
}

/// The routes and forwards of one snapshot, and its limits.
pub struct Site {
    /// Path to route.
    pub routes: RouteTable<RouteUpstream>,
    /// Server name to forward.
    pub forwards: ForwardTable<Rc<dyn Dial>>,
    /// The counters of the forwards, which connections find by name.
    pub forward_metrics: Vec<Rc<RouteMetrics>>,
    /// What listeners that lead to https lead to.
    pub https_names: Arc<HttpsNames>,
    /// The upstream of all routes, where they have but one.
    pub sole_upstream: Option<Upstream>,
    /// What may take how long while no route is known.
    pub timeouts: Arc<Timeouts>,
    /// How large the head of a request may be.
    pub head_limits: HeadLimits,
}

impl Site {
    /// The site of `snapshot`, with `routes` made of its routes, in their order. Its forwards lead
    /// to what `dialer` gives. Their connections are counted in `metrics`, by their names.
    pub fn new(
        snapshot: &Snapshot,
        metrics: &WorkerMetrics,
        routes: Vec<Route>,
        mut dialer: impl FnMut(&Arc<UpstreamConfig>) -> Rc<dyn Dial>,
    ) -> Self {
        let mut configs = snapshot.routes.iter().map(|route| &route.upstream);
        let sole = configs.next().filter(|first| configs.all(|it| Arc::ptr_eq(it, first)));
        let sole_upstream = sole.and(routes.first()).map(|it| it.upstream.connections.clone());
        let forwards = snapshot.forwards.iter();
        Self {
            routes: RouteTable::new(routes),
            forward_metrics: forwards.map(|forward| metrics.route(&forward.name)).collect(),
            forwards: ForwardTable::new(snapshot.forwards.iter().map(|it| it.map(&mut dialer))),
            https_names: Arc::clone(&snapshot.https_names),
            sole_upstream,
            timeouts: Arc::clone(&snapshot.timeouts),
            head_limits: snapshot.limits.head,
        }
    }
}
