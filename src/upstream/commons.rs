//! What all workers share about all upstreams: [`Commons`]. An exchange that finds its connection
//! in the pool needs none of it.

use crate::config::snapshot::Snapshot;
use crate::upstream::health::Health;
use crate::upstream::resolver::Resolver;
use std::sync::Arc;

/// One resolver, and the health of each upstream.
#[derive(Debug)]
pub struct Commons {
    /// The addresses of all names.
    pub resolver: Arc<Resolver>,
    /// In the order of `snapshot.upstreams`.
    pub standings: Vec<Arc<Health>>,
}

impl Commons {
    /// For the workers that serve `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let standings = snapshot
            .upstreams
            .iter()
            .map(|it| Arc::new(Health::new(&it.label, it.warm, snapshot.workers)));
        Self { resolver: Arc::default(), standings: standings.collect() }
    }
}
