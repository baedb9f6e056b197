//! Another route in place of the one that the bench begins with.

use super::bench::Bench;
use crate::gateway::access::RouteAccess;
use crate::gateway::route::RouteTable;
use crate::gateway::server_name::ForwardTable;
use crate::proxy::Site;
use crate::proxy::site::{Route, RouteUpstream};
use std::sync::Arc;

/// From now on the only route is what `change` makes of it.
pub(super) fn replace_route(bench: &Bench, change: impl FnOnce(&Route) -> Route) {
    let site = bench.context.site();
    let route = change(site.routes.iter().next().unwrap());
    bench.context.replace_site(Site {
        routes: RouteTable::new([route]),
        forwards: ForwardTable::new([]),
        forward_metrics: Vec::new(),
        https_names: Arc::clone(&site.https_names),
        sole_upstream: site.sole_upstream.clone(),
        timeouts: Arc::clone(&site.timeouts),
        head_limits: site.head_limits,
    });
}

/// From now on the only route has these rules.
pub(super) fn rule(bench: &Bench, access: RouteAccess) {
    replace_route(bench, |route| {
        let RouteUpstream { connections, metrics, .. } = route.upstream.clone();
        let upstream = RouteUpstream::new(connections, metrics, access.keys.as_deref());
        Route { access: Some(Arc::new(access)), ..route.to(upstream) }
    });
}
