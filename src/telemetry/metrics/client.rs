//! What one worker counts of the exchanges of one client: [`ClientMetrics`], and the
//! [`ClientReport`] of it.

use super::route::add_counts;
use super::running::{RunningList, Runs};
use crate::telemetry::record::{End, Record, StatusClass};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The counters of one client, whose name is the operator's.
#[derive(Debug, Default)]
pub struct ClientMetrics {
    name: Arc<str>,
    running: RunningList,
    ended: RefCell<HashMap<Arc<str>, Ended>>,
}

/// Exchanges, by how they ended and by the class of the status.
type Ended = BTreeMap<(End, StatusClass), u64>;

/// What one client has had, by route; empty for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientReport {
    /// Exchanges, by how they ended and by the class of the status.
    pub ended: HashMap<Arc<str>, BTreeMap<(End, StatusClass), u64>>,
}

impl ClientMetrics {
    /// For the client with this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The name of the client.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Counts an exchange at its end.
    pub(in crate::telemetry) fn ended(&self, record: &Record) {
        let key = (record.outcome.end(), record.status_class());
        let mut routes = self.ended.borrow_mut();
        let route = record.name.as_deref().unwrap_or_default();
        match routes.get_mut(route) {
            Some(ended) => *ended.entry(key).or_default() += 1,
            None => {
                routes.insert(route.into(), [(key, 1)].into());
            }
        }
    }

    /// What was counted so far; `None` if nothing was.
    pub(super) fn report(&self) -> Option<ClientReport> {
        let ended = self.ended.borrow().clone();
        (!ended.is_empty()).then_some(ClientReport { ended })
    }

    /// Forgets the routes for which `is_known` does not hold.
    pub(super) fn keep_routes(&self, is_known: impl Fn(&str) -> bool) {
        self.ended.borrow_mut().retain(|route, _| route.is_empty() || is_known(route));
    }
}

impl Runs for ClientMetrics {
    fn running(&self) -> &RunningList {
        &self.running
    }
}

impl ClientReport {
    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (route, ended) in &other.ended {
            add_counts(self.ended.entry(Arc::clone(route)).or_default(), ended);
        }
    }
}
