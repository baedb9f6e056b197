//! The idle connections to one upstream (RFC 9112, section 9.3): last in, first out, bounded in
//! number and age.
//!
//! The most recently used connection goes out first, so that the surplus of a burst ages and is
//! closed. A connection ends before the upstream would end it, by what its closes have taught
//! (`idle_limit`) and by what its Keep-Alive fields say.
//!
//! Not here: who polls the idle connections when something happens to them (`maintenance`).

use crate::clock::now;
use crate::limits::{
    POOL_CONNECTIONS_MAX, POOL_IDLE_MAX, POOL_PEEK_AGE, WARM_LIFE_MIN, WARM_RENEWAL,
};
use crate::net::transport::Peek;
use crate::telemetry::metrics::UpstreamMetrics;
use crate::upstream::connection::{Checked, Heard, UpstreamConnection};
use crate::upstream::health::{Health, IdleCounts, Speculative};
use crate::upstream::idle_limit::{IdleLimits, safely_below};
use crate::upstream::trouble_log::Ending;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// The idle connections of one upstream and worker.
#[derive(Debug)]
pub(super) struct Pool {
    /// The least recently used first.
    idle: RefCell<Vec<Idle>>,
    /// How many they are, for the other workers and the metrics.
    count: Arc<AtomicUsize>,
    health: Arc<Health>,
    /// Connections older than this are not kept.
    age_max: Cell<Option<Duration>>,
    limits: Cell<IdleLimits>,
}

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    since: Instant,
    /// When we close it.
    until: Instant,
    /// No request has asked for it yet.
    speculative: Option<Speculative>,
}

impl Pool {
    /// The empty pool of one worker.
    pub(super) fn new(
        health: Arc<Health>,
        metrics: &UpstreamMetrics,
        age_max: Option<Duration>,
    ) -> Self {
        let count = health.join();
        metrics.include_pool(&count);
        let (idle, limits) = Default::default();
        Self { idle, count, health, age_max: Cell::new(age_max), limits }
    }

    /// Changes the greatest age of connections, also of those that are idle now.
    pub(super) fn limit_age(&self, age_max: Option<Duration>) {
        if self.age_max.replace(age_max) != age_max {
            for idle in &mut *self.idle.borrow_mut() {
                idle.until = self.end_of(&idle.connection, idle.since);
            }
        }
    }

    /// The most recently used connection that is still open and silent at `now`.
    pub(super) fn take(&self, now: Instant) -> Option<UpstreamConnection> {
        loop {
            let popped = self.idle.borrow_mut().pop();
            self.publish();
            let mut idle = popped?;
            let idle_for = now.duration_since(idle.since);
            let is_over = now >= idle.until || self.health.is_suspect(idle.since);
            match idle.connection.listen_again() {
                Heard::Silence if !is_over && idle.is_silent_in_the_kernel(idle_for) => {
                    return Some(self.hand_out(idle, idle_for));
                }
                Heard::Silence => {}
                Heard::End(ending) => self.ended(&idle, ending),
            }
        }
    }

    /// Keeps a connection if it is silent; the oldest one makes room. From now on its readiness
    /// wakes `maintenance`.
    pub(super) fn put(&self, checked: Checked, maintenance: &Waker) {
        let Checked { mut connection, speculative } = checked;
        let since = now();
        let until = self.end_of(&connection, since);
        if !connection.was_idle {
            // A fresh one has not been polled yet.
            if let Heard::End(ending) = connection.listen(&mut Context::from_waker(maintenance)) {
                return self.ended(&Idle { connection, since, until, speculative }, ending);
            }
        }
        if until <= since {
            return;
        }
        let connection = UpstreamConnection { was_idle: true, ..connection };
        let added = Idle { connection, since, until, speculative };
        let mut idle = self.idle.borrow_mut();
        if idle.len() == POOL_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push(added);
        drop(idle);
        self.publish();
    }

    /// Closes all connections.
    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.publish();
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// How many connections are idle, and how many of them have more than [`WARM_RENEWAL`] to live.
    pub(super) fn counts(&self, now: Instant) -> IdleCounts {
        let idle = self.idle.borrow();
        let ready = idle.iter().filter(|idle| now + WARM_RENEWAL < idle.until).count();
        IdleCounts { all: idle.len(), ready }
    }

    /// Of the unused connections opened at `since` or later, the oldest: when it was opened, and
    /// when it will have stayed open for as long as a warm one has to.
    pub(super) fn oldest_unused(&self, since: Instant) -> Option<(Instant, Instant)> {
        let idle = self.idle.borrow();
        let unused = idle.iter().filter(|idle| !idle.connection.used && idle.since >= since);
        unused.map(|idle| (idle.since, idle.since + WARM_LIFE_MIN)).min()
    }

    /// Whether `connection` is too old to be kept.
    pub(super) fn is_aged(&self, connection: &UpstreamConnection) -> bool {
        self.age_max.get().is_some_and(|age| connection.transport.opened().elapsed() >= age)
    }

    /// Removes the connections that may be as dead as one that was idle for `idle` and then died
    /// without a FIN or a reset. The other workers remove theirs when they take one.
    pub(super) fn suspect(&self, idle: Duration) {
        self.health.suspect(idle, Instant::now());
        self.idle.borrow_mut().retain(|idle| !self.health.is_suspect(idle.since));
        self.publish();
    }

    /// Removes the connections that have ended or are due to end, and learns from them. Returns
    /// when the next one is due.
    pub(super) fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| match idle.connection.listen(cx) {
            Heard::Silence => {
                let stays = now < idle.until;
                if !stays && !idle.connection.used {
                    self.health.was_of_use();
                }
                stays
            }
            Heard::End(ending) => {
                self.ended(idle, ending);
                false
            }
        });
        let next = idle.iter().map(|idle| idle.until).min();
        drop(idle);
        self.publish();
        next
    }

    /// How long connections may stay idle, by what the upstream's closes have taught.
    pub(super) fn learned_limit(&self, used: bool) -> Option<Duration> {
        self.limits.get().get(used, now())
    }

    /// Gives a connection away that was idle for `idle_for`.
    fn hand_out(&self, idle: Idle, idle_for: Duration) -> UpstreamConnection {
        let Idle { connection, since, speculative, .. } = idle;
        if !connection.used && idle_for >= WARM_LIFE_MIN {
            self.health.survived(since);
            self.health.was_of_use();
        }
        if let Some(speculative) = speculative {
            speculative.used();
        }
        let idle_ms = u32::try_from(idle_for.as_millis()).unwrap_or(u32::MAX);
        UpstreamConnection { idle_ms, ..connection }
    }

    fn publish(&self) {
        self.count.store(self.len(), Ordering::Relaxed);
    }

    /// When we close `connection`, idle since `since`.
    fn end_of(&self, connection: &UpstreamConnection, since: Instant) -> Instant {
        let idle = since + self.idle_limit(connection);
        self.age_max.get().map_or(idle, |age| idle.min(connection.transport.opened() + age))
    }

    /// How long `connection` may stay idle.
    fn idle_limit(&self, connection: &UpstreamConnection) -> Duration {
        let learned = self.learned_limit(connection.used);
        let announced = connection.keep_alive.map(safely_below);
        [learned, announced].into_iter().flatten().fold(POOL_IDLE_MAX, Duration::min)
    }

    /// Learns from a connection that the upstream has ended.
    fn ended(&self, idle: &Idle, ending: Ending) {
        let Idle { connection, since, .. } = idle;
        let mut limits = self.limits.get();
        limits.learn(connection.used, since.elapsed(), Instant::now());
        self.limits.set(limits);
        if !connection.used {
            let opened = connection.transport.opened();
            let is_early = opened.elapsed() < WARM_LIFE_MIN;
            self.health.ended_unused(opened, is_early.then_some(ending));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.count.store(0, Ordering::Relaxed);
    }
}

impl Idle {
    /// Whether the kernel knows of no byte and no FIN; the runtime learns of them only in its next
    /// round.
    ///
    /// Only connections that have been idle for [`POOL_PEEK_AGE`], which their upstream may be
    /// closing, are worth the system call: for the others it would win microseconds, while a FIN
    /// takes milliseconds to arrive (RFC 9112, section 9.5).
    fn is_silent_in_the_kernel(&self, idle_for: Duration) -> bool {
        if idle_for < POOL_PEEK_AGE {
            return true;
        }
        match self.connection.transport.peek() {
            Peek::Silence => true,
            // Session tickets follow a handshake.
            Peek::Bytes => !self.connection.used && self.connection.transport.is_tls(),
            Peek::End => false,
        }
    }
}

#[cfg(test)]
mod tests;
