//! What the workers share about upstreams. None of it is touched by an exchange that finds its
//! connection in the pool.

use crate::config::snapshot::Snapshot;
use crate::upstream::resolver::Resolver;
use crate::upstream::standing::Standing;
use std::sync::Arc;

/// One resolver, and the standing of each upstream.
#[derive(Debug)]
pub struct Commons {
    /// The addresses of all names.
    pub resolver: Arc<Resolver>,
    /// In the order of `snapshot.upstreams`.
    pub standings: Vec<Arc<Standing>>,
}

impl Commons {
    /// For the workers that serve `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let standings = snapshot
            .upstreams
            .iter()
            .map(|it| Arc::new(Standing::new(&it.label, it.warm, snapshot.workers)));
        Self { resolver: Arc::default(), standings: standings.collect() }
    }
}
