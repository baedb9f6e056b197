//! What one worker counts of one upstream: [`UpstreamMetrics`], and the [`UpstreamReport`] of it.

use super::histogram::{Distribution, Histogram};
use super::route::{add_counts, increase};
use crate::error::DialFailure;
use crate::gateway::answer::name_of;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// The counters of one upstream, by its `host:port`. Upstreams that differ only in how they are
/// verified share them.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    opening: Cell<usize>,
    busy: Cell<usize>,
    reused: Cell<u64>,
    /// The numbers of idle connections.
    pools: RefCell<Vec<Weak<AtomicUsize>>>,
    dials: OnceCell<Box<Dials>>,
}

#[derive(Debug, Default)]
struct Dials {
    results: RefCell<BTreeMap<&'static str, u64>>,
    connect: Histogram,
    last_failure: Cell<Option<(&'static str, Instant)>>,
}

/// What the result of a dial is called that opened a connection. The others have the word for the
/// cause in the log.
const OPENED: &str = "ok";
/// The result of a dial that was given up, because its client left.
const ABANDONED: &str = "abandoned";

/// What one upstream has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamReport {
    /// Open connections that no exchange uses.
    pub idle: usize,
    /// Connections that an exchange or a tunnel uses.
    pub busy: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Dials, by their results.
    pub opened: BTreeMap<&'static str, u64>,
    /// Exchanges that got a connection of an earlier one.
    pub reused: u64,
    /// How long it took to open a connection, with its handshake.
    pub connect: Distribution,
    /// The cause of the last dial that failed, and how long ago that was.
    pub last_failure: Option<(&'static str, Duration)>,
}

/// A connection being opened. A dial that is dropped before its end counts as abandoned.
#[derive(Debug)]
pub struct OpeningMetrics {
    upstream: Rc<UpstreamMetrics>,
    begun: Instant,
    has_ended: bool,
}

/// A connection in use, until it is dropped.
#[derive(Debug)]
pub(in crate::telemetry) struct InUse(Rc<UpstreamMetrics>);

impl UpstreamMetrics {
    /// An exchange got a connection of an earlier one.
    pub fn reused(&self) {
        increase(&self.reused, 1);
    }

    /// A dial begins.
    pub fn opening(self: &Rc<Self>) -> OpeningMetrics {
        self.opening.set(self.opening.get() + 1);
        OpeningMetrics { upstream: Rc::clone(self), begun: Instant::now(), has_ended: false }
    }

    /// Includes the pool whose number of connections is `idle`, as long as it exists.
    pub fn include_pool(&self, idle: &Arc<AtomicUsize>) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(idle));
    }

    /// An exchange or a tunnel uses a connection.
    pub(in crate::telemetry) fn in_use(self: &Rc<Self>) -> InUse {
        self.busy.set(self.busy.get() + 1);
        InUse(Rc::clone(self))
    }

    /// What was counted so far; `None` if the upstream was not used.
    pub(super) fn report_if_used(&self) -> Option<UpstreamReport> {
        Some(self.report()).filter(|report| *report != UpstreamReport::default())
    }

    fn report(&self) -> UpstreamReport {
        let pools = self.pools.borrow();
        let idle = pools.iter().filter_map(Weak::upgrade).map(|idle| idle.load(Ordering::Relaxed));
        let mut report = UpstreamReport {
            idle: idle.sum(),
            busy: self.busy.get(),
            opening: self.opening.get(),
            reused: self.reused.get(),
            ..UpstreamReport::default()
        };
        if let Some(dials) = self.dials.get() {
            report.opened = dials.results.borrow().clone();
            report.connect = dials.connect.report();
            let last = dials.last_failure.get();
            report.last_failure = last.map(|(cause, at)| (cause, at.elapsed()));
        }
        report
    }

    fn dials(&self) -> &Dials {
        self.dials.get_or_init(Box::default)
    }

    fn ended(&self, result: &'static str) {
        self.opening.set(self.opening.get() - 1);
        *self.dials().results.borrow_mut().entry(result).or_default() += 1;
    }
}

impl OpeningMetrics {
    /// The dial has ended.
    pub fn end<T>(mut self, dialed: &Result<T, Box<DialFailure>>) {
        self.has_ended = true;
        let dials = self.upstream.dials();
        match dialed {
            Ok(_) => {
                dials.connect.observe(self.begun.elapsed());
                self.upstream.ended(OPENED);
            }
            Err(failure) => {
                let cause = name_of(&failure.error);
                dials.last_failure.set(Some((cause, Instant::now())));
                self.upstream.ended(cause);
            }
        }
    }
}

impl Drop for OpeningMetrics {
    fn drop(&mut self) {
        if !self.has_ended {
            self.upstream.ended(ABANDONED);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

impl UpstreamReport {
    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.idle += other.idle;
        self.busy += other.busy;
        self.opening += other.opening;
        self.reused += other.reused;
        add_counts(&mut self.opened, &other.opened);
        self.connect.add(&other.connect);
        let failures = [self.last_failure, other.last_failure].into_iter().flatten();
        self.last_failure = failures.min_by_key(|(_, ago)| *ago);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, ExchangeError, IoFault};
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_dial_is_counted_while_it_lasts_and_then_by_its_result() {
        let upstream = Rc::new(UpstreamMetrics::default());
        let [opened, failed, abandoned] = [(); 3].map(|()| upstream.opening());
        assert_eq!(upstream.report().opening, 3);
        advance(Duration::from_millis(20)).await;
        opened.end(&Ok(()));
        let error = ExchangeError::upstream(Cause::Io(IoFault::Failed));
        failed.end::<()>(&Err(error.into()));
        drop(abandoned);
        advance(Duration::from_secs(5)).await;

        let report = upstream.report();
        let cause = name_of(&error);
        assert_eq!(report.opened, BTreeMap::from([("ok", 1), (cause, 1), ("abandoned", 1)]));
        assert_eq!((report.opening, report.connect.seconds()), (0, 0.02));
        assert_eq!(report.last_failure, Some((cause, Duration::from_secs(5))));
    }

    #[test]
    fn an_upstream_that_was_not_used_has_no_series() {
        let upstream = Rc::new(UpstreamMetrics::default());
        assert_eq!(upstream.report_if_used(), None);
        drop(upstream.opening());
        assert!(upstream.report_if_used().is_some());
    }

    #[test]
    fn the_idle_connections_of_a_pool_count_as_long_as_it_exists() {
        let upstream = UpstreamMetrics::default();
        let [one, other] = [2, 3].map(|idle| Arc::new(AtomicUsize::new(idle)));
        upstream.include_pool(&one);
        upstream.include_pool(&other);
        assert_eq!(upstream.report().idle, 5);
        drop(one);
        assert_eq!(upstream.report().idle, 3);
    }

    #[test]
    fn the_latest_failure_of_all_workers_is_the_last_one() {
        let failed = |cause, ago| UpstreamReport {
            last_failure: Some((cause, Duration::from_secs(ago))),
            ..UpstreamReport::default()
        };
        let mut sum = UpstreamReport::default();
        sum.add(&failed("one", 9));
        sum.add(&failed("two", 3));
        sum.add(&failed("three", 5));
        assert_eq!(sum.last_failure, Some(("two", Duration::from_secs(3))));
    }
}
