//! Warnings about limits that stay reached: a line now and then, not one for each connection.

use crate::limits::LIMIT_LOGGED_EVERY;
use crate::net::admission::LimitReached;
use crate::telemetry::targets::LIMITS;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
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
    no_room: Cell<Option<Instant>>,
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
            LimitReached::OpenFiles if is_news(&self.no_room) => tracing::warn!(
                target: LIMITS,
                "the limit of open files has no room for another client; turning connections away: \
                 raise it (LimitNOFILE of systemd, ulimit -Hn)"
            ),
            LimitReached::Address if is_news(&self.address) => tracing::warn!(
                target: LIMITS,
                client = %client.ip(),
                "limits.connections_per_address is reached; turning connections away"
            ),
            LimitReached::Connections | LimitReached::OpenFiles | LimitReached::Address => {}
        }
    }
}

/// Whether a warning is due again; if so, it is taken for given.
pub(super) fn is_news(told: &Cell<Option<Instant>>) -> bool {
    is_due(told, LIMIT_LOGGED_EVERY)
}

/// Whether something was `last` done so long ago; if so, it is taken for done.
pub(super) fn is_due(last: &Cell<Option<Instant>>, every: Duration) -> bool {
    let is_due = last.get().is_none_or(|last| last.elapsed() >= every);
    if is_due {
        last.set(Some(Instant::now()));
    }
    is_due
}
