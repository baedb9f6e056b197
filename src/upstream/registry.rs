//! What all workers share about all upstreams: [`Registry`]. An exchange that finds its connection
//! in the pool needs none of it.

use crate::config::snapshot::UpstreamConfig;
use crate::upstream::health::Health;
use crate::upstream::resolver::Resolver;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One resolver, and the health of each upstream.
#[derive(Debug)]
pub struct Registry {
    /// The addresses of all names.
    pub resolver: Arc<Resolver>,
    workers: usize,
    /// Of each upstream that a worker has.
    healths: Mutex<Vec<(Arc<UpstreamConfig>, Weak<Health>)>>,
}

impl Registry {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        let (resolver, healths) = Default::default();
        Self { resolver, workers, healths }
    }

    /// The health of this upstream, or of an equal one, as long as a worker has it.
    pub fn health(&self, upstream: &Arc<UpstreamConfig>) -> Arc<Health> {
        // Nothing in here panics between two states.
        let mut healths = self.healths.lock().unwrap_or_else(PoisonError::into_inner);
        healths.retain(|(_, health)| health.strong_count() > 0);
        let known = healths.iter().find(|(known, _)| known == upstream);
        if let Some(health) = known.and_then(|(_, health)| health.upgrade()) {
            return health;
        }
        let health = Health::new(&upstream.label, upstream.warm, self.workers);
        let health = Arc::new(health);
        healths.push((Arc::clone(upstream), Arc::downgrade(&health)));
        health
    }
}
