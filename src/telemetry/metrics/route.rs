//! What one worker counts of the exchanges of one route, or of the connections of one forward:
//! [`RouteMetrics`], and the [`RouteReport`] of it.

use super::histogram::{Distribution, Histogram};
use super::running::{RunningList, Runs};
use crate::telemetry::record::{End, Record, StatusClass};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The counters of one route. They take no memory before the route is used.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    /// Of this worker's own, so that a record shares it without an atomic count; `None` for those
    /// of exchanges that have no route.
    name: Option<Rc<str>>,
    running: RunningList,
    cells: OnceCell<Box<Cells>>,
}

#[derive(Debug, Default)]
struct Cells {
    ended: [[Cell<u64>; StatusClass::COUNT]; End::COUNT],
    faults: RefCell<Faults>,
    repeats: Cell<u64>,
    key_cooldowns: Cell<u64>,
    to_upstream: Cell<u64>,
    to_client: Cell<u64>,
    response_head: Histogram,
    first_byte: Histogram,
    longest_gap: Histogram,
    exchange: Histogram,
}

/// How often an exchange went wrong, by the words for whose fault it was and for the cause.
type Faults = BTreeMap<(&'static str, &'static str), u64>;

/// What one route has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteReport {
    /// Exchanges without a client's token, by how they ended and by the class of the status.
    pub ended: BTreeMap<(End, StatusClass), u64>,
    /// Those that went wrong, by the words for whose fault it was and for the cause.
    pub faults: BTreeMap<(&'static str, &'static str), u64>,
    /// Requests that were sent once more.
    pub repeats: u64,
    /// How often an API has refused a key that was usable.
    pub key_cooldowns: u64,
    /// Bytes of content from clients.
    pub to_upstream: u64,
    /// Bytes of content from the upstream.
    pub to_client: u64,
    /// From the first byte of a request to the end of the response's head.
    pub response_head: Distribution,
    /// To the first byte of the response's content.
    pub first_byte: Distribution,
    /// The longest silence within the content of a response.
    pub longest_gap: Distribution,
    /// To the end of the exchange.
    pub exchange: Distribution,
}

impl RouteMetrics {
    /// For the route or forward with this name.
    pub fn new(name: &str) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The name of the route, if it is one.
    pub fn name(&self) -> Option<&Rc<str>> {
        self.name.as_ref()
    }

    /// Counts an exchange or a connection at its end.
    pub fn ended(&self, record: &Record) {
        let cells = self.cells();
        // That of a client is counted there.
        if !record.has_token {
            let (end, class) = (record.outcome.end(), record.status_class());
            increase(&cells.ended[end as usize][class.number()], 1);
        }
        cells.exchange.observe(record.total);
        if let Some(gap) = record.longest_gap() {
            cells.longest_gap.observe(gap);
        }
        if let Some(fault) = record.outcome.fault() {
            let cause = record.outcome.cause().unwrap_or_default();
            *cells.faults.borrow_mut().entry((fault.name(), cause)).or_default() += 1;
        }
    }

    /// The head of the upstream's final response was complete after so long.
    pub fn response_head(&self, after: Duration) {
        self.cells().response_head.observe(after);
    }

    /// The first byte of content went to the client after so long.
    pub fn first_byte(&self, after: Duration) {
        self.cells().first_byte.observe(after);
    }

    /// A request is sent once more.
    pub fn repeated(&self) {
        increase(&self.cells().repeats, 1);
    }

    /// A key of the API was refused, and is not used for a while.
    pub fn key_refused(&self) {
        increase(&self.cells().key_cooldowns, 1);
    }

    /// So many bytes more were forwarded.
    pub fn moved(&self, to_upstream: u64, to_client: u64) {
        let cells = self.cells();
        increase(&cells.to_upstream, to_upstream);
        increase(&cells.to_client, to_client);
    }

    /// What was counted so far; `None` if the route was not used.
    pub(super) fn report(&self) -> Option<RouteReport> {
        let cells = self.cells.get()?;
        let ended =
            End::ALL.into_iter().flat_map(|end| StatusClass::all().map(move |class| (end, class)));
        let ended = ended.filter_map(|(end, class)| {
            let count = cells.ended[end as usize][class.number()].get();
            (count > 0).then_some(((end, class), count))
        });
        let mut report = RouteReport {
            ended: BTreeMap::new(),
            faults: cells.faults.borrow().clone(),
            repeats: cells.repeats.get(),
            key_cooldowns: cells.key_cooldowns.get(),
            to_upstream: cells.to_upstream.get(),
            to_client: cells.to_client.get(),
            response_head: cells.response_head.report(),
            first_byte: cells.first_byte.report(),
            longest_gap: cells.longest_gap.report(),
            exchange: cells.exchange.report(),
        };
        report.ended.extend(ended);
        Some(report)
    }

    fn cells(&self) -> &Cells {
        self.cells.get_or_init(Box::default)
    }
}

impl Runs for RouteMetrics {
    fn running(&self) -> &RunningList {
        &self.running
    }
}

impl RouteReport {
    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        add_counts(&mut self.ended, &other.ended);
        add_counts(&mut self.faults, &other.faults);
        self.repeats += other.repeats;
        self.key_cooldowns += other.key_cooldowns;
        self.to_upstream += other.to_upstream;
        self.to_client += other.to_client;
        self.response_head.add(&other.response_head);
        self.first_byte.add(&other.first_byte);
        self.longest_gap.add(&other.longest_gap);
        self.exchange.add(&other.exchange);
    }
}

/// Adds the counts of another worker.
pub(super) fn add_counts<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *counts.entry(*key).or_default() += count;
    }
}

pub(super) fn increase(count: &Cell<u64>, by: u64) {
    count.set(count.get() + by);
}
