//! A new site takes the place of the current one while an exchange waits for its connection.

use super::bench::{DialOutcome, EMPTY, GET, run, settle};
use super::new_route::replace_route;
use crate::proxy::site::Route;
use std::rc::Rc;

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

        let old = Rc::downgrade(bench.context.site().routes.iter().next().unwrap());
        let replacement = b"/new/".as_slice().into();
        replace_route(bench, |old| Route { replacement, ..old.to(old.upstream.clone()) });

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
