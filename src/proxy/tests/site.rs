//! A new site takes the place of the current one while an exchange waits for its connection.

use super::bench::{DialOutcome, EMPTY, GET, run, settle};
use crate::gateway::route::RouteTable;
use crate::gateway::server_name::ForwardTable;
use crate::proxy::Site;
use crate::proxy::site::Route;
use std::rc::Rc;
use std::sync::Arc;

#[test]
fn an_exchange_that_waits_for_its_connection_keeps_its_route() {
    let log = run(async |bench| {
        let (mut first, mut second) = (bench.client(), bench.client());
        first.send(GET).await;
        let mut upstream = bench.upstream().await;
        assert!(upstream.read().await.starts_with("GET /v1 "));
        bench.dials_are(DialOutcome::Never);
        second.send(GET).await;
        settle().await;

        let site = bench.context.site();
        let old = site.routes.iter().next().unwrap();
        let new = Route { replacement: b"/new/".as_slice().into(), ..old.to(old.upstream.clone()) };
        bench.context.replace_site(Site {
            routes: RouteTable::new([new]),
            forwards: ForwardTable::new([]),
            forward_metrics: Vec::new(),
            https_names: Arc::clone(&site.https_names),
            sole_upstream: site.sole_upstream.clone(),
            timeouts: Arc::clone(&site.timeouts),
            head_limits: site.head_limits,
        });
        let old = Rc::downgrade(old);
        drop(site);

        upstream.send(EMPTY).await;
        assert_eq!(first.read().await, EMPTY);
        assert!(upstream.read().await.starts_with("GET /v1 "), "by the route of its head");
        upstream.send(EMPTY).await;
        assert_eq!(second.read().await, EMPTY);
        settle().await;
        assert_eq!(old.strong_count(), 0, "no connection that waits for a request holds a route");
        second.send(GET).await;
        assert!(upstream.read().await.starts_with("GET /new/v1 "));
        upstream.send(EMPTY).await;
        assert_eq!(second.read().await, EMPTY);
    });
    assert_eq!(log, ["200 completed"; 3]);
}
