//! What the counters of a worker say while exchanges begin, run and end.

use super::*;
use crate::error::{Cause, ExchangeError};
use crate::gateway::client_limits::{ClientLimits, ClientUse};
use crate::telemetry::metrics::Running;
use crate::telemetry::record::{DialTimes, End, StatusClass};
use crate::telemetry::{ConnectionRecorder, Detail, ExchangeRecorder, Outcome};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn the_oldest_of_each_route_is_known_whatever_began_and_ended_meanwhile() {
    let metrics = Rc::<WorkerMetrics>::default();
    let [gpt, other] = ["/gpt/", "/other/"].map(|name| metrics.route(&name.into()));
    let mut recorders: Vec<_> = (0..3).map(|_| ExchangeRecorder::new(client(), &metrics)).collect();
    assert_eq!(running(&metrics), [], "a connection without a request is idle");
    for recorder in &mut recorders {
        recorder.start();
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(running(&metrics), [("".into(), 3, 3)]);
    recorders[0].route(&other);
    recorders[1].route(&gpt);
    recorders[2].route(&gpt);
    assert_eq!(running(&metrics), [("/gpt/".into(), 2, 2), ("/other/".into(), 1, 3)]);

    recorders[1].end(Outcome::Completed);
    assert_eq!(running(&metrics), [("/gpt/".into(), 1, 1), ("/other/".into(), 1, 3)]);
    recorders[1].start();
    let without = ("".into(), 1, 0);
    assert_eq!(running(&metrics)[0], without);
    drop(recorders.remove(0));
    assert_eq!(running(&metrics), [without, ("/gpt/".into(), 1, 1)]);
    drop(recorders.remove(0));
    drop(recorders);
    assert_eq!(running(&metrics), []);
    assert_eq!(metrics.report().all_running(), Running::default());
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_tcp_mode_counts_for_its_forward_from_its_acceptance_to_its_end() {
    let (metrics, upstream) = (Rc::<WorkerMetrics>::default(), Rc::default());
    let mut recorder = ConnectionRecorder::new(client(), &metrics);
    assert_eq!(running(&metrics), [("".into(), 1, 0)]);
    recorder.forward(&"*".into());
    recorder.connected(&upstream, DialTimes::default());
    recorder.bytes(3, 5, 0);
    assert_eq!(running(&metrics), [("*".into(), 1, 0)]);
    recorder.tunnelled(Ok(()));
    let report = metrics.report();
    assert_eq!(report.all_running().count, 0);
    let forward = &report.routes["*"];
    assert_eq!(forward.ended, [((End::Closed, StatusClass::default()), 1)].into());
    assert_eq!((forward.to_upstream, forward.to_client), (3, 5));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_counted_by_its_route_its_end_its_status_and_its_times() {
    let metrics = Rc::<WorkerMetrics>::default();
    let (route, upstream) = (metrics.route(&"/gpt/".into()), metrics.upstream("api.test:443"));
    let mut recorder = ExchangeRecorder::new(client(), &metrics);
    recorder.start();
    recorder.route(&route);
    recorder.connected(&upstream, true, None);
    advance(Duration::from_secs(1)).await;
    recorder.response_head(200);
    advance(Duration::from_secs(1)).await;
    recorder.first_byte();
    recorder.first_byte();
    let report = metrics.report();
    assert_eq!(report.upstreams["api.test:443"].busy, 1);
    let [head, first] = [&report.routes["/gpt/"].response_head, &report.routes["/gpt/"].first_byte];
    assert_eq!((head.count(), head.seconds()), (1, 1.0), "known before the end");
    assert_eq!((first.count(), first.seconds()), (1, 2.0));

    advance(Duration::from_secs(1)).await;
    recorder.end(Outcome::Completed);
    recorder.start();
    recorder.route(&route);
    recorder.repeated();
    let error = ExchangeError::upstream(Cause::ClosedEarly);
    recorder.answered(502);
    recorder.fail(&error, true);

    let report = metrics.report();
    let route = &report.routes["/gpt/"];
    let ended = |end, status| ((end, StatusClass::of(Some(status))), 1);
    assert_eq!(route.ended, [ended(End::Completed, 200), ended(End::Answered, 502)].into());
    assert_eq!(route.faults, [(("upstream", "upstream_closed_early"), 1)].into());
    assert_eq!((route.repeats, route.exchange.count(), route.exchange.seconds()), (1, 2, 3.0));
    let upstream = &report.upstreams["api.test:443"];
    assert_eq!((upstream.busy, upstream.reused), (0, 1));
    assert!(report.refused.is_empty(), "an upstream was at work");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_with_a_token_is_counted_once_for_its_client_and_keeps_its_place_until_its_end()
{
    let metrics = Rc::<WorkerMetrics>::default();
    let [gpt, other] = ["/gpt/", "/other/"].map(|name| metrics.route(&name.into()));
    let (used, one) = (Arc::<ClientUse>::default(), Some(1));
    let limits = ClientLimits { exchanges: one, requests_per_minute: None };
    let mut recorder = ExchangeRecorder::new(client(), &metrics);
    for route in [&gpt, &gpt, &other] {
        recorder.start();
        recorder.route(route);
        recorder.of_client("alice", used.acquire(&limits, || Duration::ZERO).unwrap());
        assert!(used.acquire(&limits, || Duration::ZERO).is_err());
        advance(Duration::from_secs(1)).await;
        let running = metrics.report().clients_running["alice"];
        assert_eq!((running.count, running.oldest), (1, Duration::from_secs(1)));
        recorder.answered(200);
        recorder.end(Outcome::Completed);
    }
    // A panic or a stop ends an exchange, too.
    recorder.start();
    recorder.of_client("alice", used.acquire(&limits, || Duration::ZERO).unwrap());
    drop(recorder);
    assert!(used.acquire(&limits, || Duration::ZERO).is_ok());

    let report = metrics.report();
    assert!(report.clients_running.is_empty());
    let completed = |count| [((End::Completed, StatusClass::of(Some(200))), count)].into();
    let aborted = [((End::Aborted, StatusClass::default()), 1)].into();
    let by_route = [("/gpt/", completed(2)), ("/other/", completed(1)), ("", aborted)];
    let want = by_route.map(|(route, ended)| (route.into(), ended)).into();
    assert_eq!(report.clients["alice"].ended, want);
    assert!(report.routes.values().all(|route| route.ended.is_empty()));
    assert_eq!(report.routes["/gpt/"].exchange.count(), 2);
}

#[test]
fn a_client_is_forgotten_when_it_is_no_longer_configured() {
    let metrics = Rc::<WorkerMetrics>::default();
    let mut recorder = ExchangeRecorder::new(client(), &metrics);
    let route = metrics.route(&"/gpt/".into());
    for name in ["alice", "bob"] {
        recorder.start();
        recorder.route(&route);
        recorder.of_client(name, None);
        recorder.end(Outcome::Completed);
    }
    let names = || {
        let mut names: Vec<_> = metrics.report().clients.into_keys().collect();
        names.sort_unstable();
        names
    };
    for want in [&["alice", "bob"][..], &["alice"], &["alice"]] {
        metrics.forget_unused(["alice"].into_iter());
        assert_eq!(names(), want.iter().map(|&name| name.into()).collect::<Vec<Arc<str>>>());
    }
    drop(route);
    (0..2).for_each(|_| metrics.forget_unused(["alice"].into_iter()));
    assert_eq!(names(), [], "what it had on a route that is gone");
}

#[test]
fn bytes_are_counted_while_an_exchange_runs_and_never_go_back() {
    let metrics = Rc::<WorkerMetrics>::default();
    let route = metrics.route(&"/gpt/".into());
    let mut recorder = ExchangeRecorder::new(client(), &metrics);
    let counted = || {
        let report = metrics.report();
        (report.routes["/gpt/"].to_upstream, report.routes["/gpt/"].to_client)
    };
    for _ in 0..2 {
        let before = metrics.report().routes.get("/gpt/").map_or(0, |it| it.to_client);
        recorder.start();
        recorder.route(&route);
        recorder.bytes(2, 100, 0);
        assert_eq!(counted().1, before + 100);
        recorder.bytes(2, 250, 100);
        assert_eq!(counted().1, before + 150, "what the client has not taken does not count yet");
        recorder.bytes(2, 260, 120);
        assert_eq!(counted().1, before + 150, "its frames are among what it has not taken");
        recorder.not_sent(110);
        recorder.end(Outcome::Completed);
        assert_eq!(counted().1, before + 150);
    }
    assert_eq!(counted(), (4, 300));
}

#[test]
fn what_a_client_alone_did_wrong_is_counted_by_the_reason() {
    let metrics = Rc::<WorkerMetrics>::default();
    let mut recorder = ExchangeRecorder::new(client(), &metrics);
    let mut refuse = |cause| {
        recorder.start();
        recorder.fail(&ExchangeError::client(cause), true);
    };
    refuse(Cause::NoRoute);
    refuse(Cause::NoRoute);
    refuse(Cause::Request(crate::error::RequestError::BadHost));
    let mut connection = ConnectionRecorder::new(client(), &metrics);
    let refused = Outcome::Refused { fault: crate::error::Fault::Client, cause: "some_cause" };
    connection.end_with(refused, Detail::default());
    metrics.refused("connections");

    let report = metrics.report();
    let counts = [("route_not_found", 2), ("bad_host", 1), ("some_cause", 1), ("connections", 1)];
    assert_eq!(report.refused, counts.into());
    let ended = &report.routes[""].ended;
    assert_eq!(ended[&(End::Answered, StatusClass::default())], 3, "without a route");
}

fn client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4711))
}

/// What runs: name, number, and the oldest's age in seconds.
fn running(metrics: &WorkerMetrics) -> Vec<(Arc<str>, usize, u64)> {
    let running = metrics.report().running.into_iter();
    let mut running: Vec<_> =
        running.map(|(name, it)| (name, it.count, it.oldest.as_secs())).collect();
    running.sort_unstable();
    running
}
