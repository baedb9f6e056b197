//! Warnings about limits that stay reached: a line now and then, not one for each connection.

use crate::limits::LIMIT_LOGGED_EVERY;
use crate::net::admission::LimitReached;
use crate::telemetry::targets::LIMITS;
use std::cell::Cell;
use std::net::SocketAddr;
use tokio::time::Instant;

/// When each warning was last given.
#[derive(Default)]
pub(super) struct Warnings {
    pub(super) descriptors: Cell<Option<Instant>>,
    pub(super) missing_proxy_headers: Cell<Option<Instant>>,
    pub(super) malformed_proxy_headers: Cell<Option<Instant>>,
    connections: Cell<Option<Instant>>,
    address: Cell<Option<Instant>>,
    room: Cell<Option<Instant>>,
}

impl Warnings {
    /// Warns when the number of `connections` comes near the `room` for them, which the limit of
    /// open files sets.
    pub(super) fn connected(&self, connections: usize, room: usize) {
        if connections > room / 10 * 9 && is_news(&self.room) {
            tracing::warn!(
                target: LIMITS,
                connections,
                room,
                "open files are running out: raise their limit (LimitNOFILE of systemd), or lower \
                 limits.connections"
            );
        }
    }

    pub(super) fn limit_reached(&self, limit: LimitReached, client: SocketAddr) {
        match limit {
            LimitReached::Connections if is_news(&self.connections) => {
                tracing::warn!(
                    target: LIMITS,
                    "limits.connections is reached; turning connections away"
                );
            }
            LimitReached::Address if is_news(&self.address) => tracing::warn!(
                target: LIMITS,
                client = %client.ip(),
                "limits.connections_per_address is reached; turning connections away"
            ),
            LimitReached::Connections | LimitReached::Address => {}
        }
    }
}

/// Whether a warning is due again; if so, it is taken for given.
pub(super) fn is_news(told: &Cell<Option<Instant>>) -> bool {
    let is_news = told.get().is_none_or(|told| told.elapsed() >= LIMIT_LOGGED_EVERY);
    if is_news {
        told.set(Some(Instant::now()));
    }
    is_news
}
