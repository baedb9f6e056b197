//! What all workers know of one upstream: [`Health`].
//!
//! It decides which connections may be opened that no request has asked for, to keep some warm or
//! for a client that has only just connected: within a budget, and counted for all workers
//! together. It knows which idle connections may be dead, and reports troubles to the operator.
//!
//! There is a lock, and an exchange takes it only if it is the first on its connection.

use crate::error::DialFailure;
use crate::upstream::speculative::Budget;
use crate::upstream::trouble_log::{Ending, Troubles};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of one upstream, shared by all workers.
#[derive(Debug)]
pub struct Health {
    warm: AtomicUsize,
    workers: usize,
    /// The zero of `suspected`.
    origin: Instant,
    /// Connections that have been idle since then or before may be dead: milliseconds since
    /// `origin`, 0 for none.
    suspected: AtomicU64,
    state: Mutex<HealthState>,
}

#[derive(Debug)]
struct HealthState {
    /// The number of idle connections of each worker.
    idle: Vec<Arc<AtomicUsize>>,
    /// Connections being opened that no request has asked for.
    opening: usize,
    budget: Budget,
    troubles: Troubles,
    has_clients: bool,
    /// The upstream ended a connection before the first client came.
    waits_for_clients: bool,
}

/// What the maintenance of one worker may do about warm connections.
#[derive(Debug)]
pub(super) enum WarmUp {
    /// Open one.
    Open(Speculative),
    /// Ask again then.
    NotBefore(Instant),
    /// Nothing: there are enough, here or at other workers.
    Enough,
}

/// The idle connections of one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleCounts {
    /// All of them.
    pub(super) all: usize,
    /// Those that do not end in a moment.
    pub(super) ready: usize,
}

impl Health {
    /// Of the upstream `label`, for which `workers` workers together keep `warm` connections
    /// ready.
    pub fn new(label: &str, warm: usize, workers: usize) -> Self {
        let now = Instant::now();
        let state = HealthState {
            idle: Vec::new(),
            opening: 0,
            budget: Budget::new(warm, now),
            troubles: Troubles::new(label, now),
            has_clients: false,
            waits_for_clients: false,
        };
        let suspected = AtomicU64::new(0);
        Self { warm: warm.into(), workers, origin: now, suspected, state: Mutex::new(state) }
    }

    /// All workers together keep so many connections ready from now on.
    pub(super) fn keep_warm(&self, warm: usize) {
        if self.warm.swap(warm, Ordering::Relaxed) != warm {
            self.state().budget.keep_warm(warm);
        }
    }

    /// How many connections all workers together keep ready.
    pub(super) fn warm(&self) -> usize {
        self.warm.load(Ordering::Relaxed)
    }

    /// Adds a worker, which stores the number of its idle connections in what this returns.
    pub(super) fn join(&self) -> Arc<AtomicUsize> {
        let idle = Arc::<AtomicUsize>::default();
        let mut state = self.state();
        // A worker that has left, or has joined again, has dropped its own.
        state.idle.retain(|it| Arc::strong_count(it) > 1);
        state.idle.push(Arc::clone(&idle));
        idle
    }

    /// A client has come.
    pub(super) fn client_came(&self) {
        self.state().has_clients = true;
    }

    /// Whether a worker with `own` idle connections may open one to keep it warm.
    pub(super) fn warm_up(self: &Arc<Self>, own: IdleCounts, now: Instant) -> WarmUp {
        let mut state = self.state();
        let idle = state.idle.iter().map(|it| it.load(Ordering::Relaxed)).sum::<usize>();
        let elsewhere = idle.saturating_sub(own.all) + state.opening;
        let warm = self.warm();
        let share = warm.div_ceil(self.workers.max(1));
        let waits = state.waits_for_clients && !state.has_clients;
        if waits || own.ready >= share || own.ready + elsewhere >= warm {
            return WarmUp::Enough;
        }
        match self.open(&mut state, now) {
            Ok(speculative) => WarmUp::Open(speculative),
            Err(not_before) => WarmUp::NotBefore(not_before),
        }
    }

    /// A connection for a client that has only just connected, if one may be opened.
    pub(super) fn preconnect(self: &Arc<Self>, now: Instant) -> Option<Speculative> {
        self.open(&mut self.state(), now).ok()
    }

    fn open(
        self: &Arc<Self>,
        state: &mut HealthState,
        now: Instant,
    ) -> Result<Speculative, Instant> {
        state.budget.spend(now)?;
        state.opening += 1;
        Ok(Speculative { health: Arc::clone(self), is_open: false })
    }

    /// A connection was opened.
    pub(super) fn reached(&self) {
        let mut state = self.state();
        if state.troubles.reached() {
            state.budget.reached(Instant::now());
        }
    }

    /// A dial begun at `begun` failed.
    pub(super) fn failed(&self, failure: &DialFailure, begun: Instant) {
        let (mut state, now) = (self.state(), Instant::now());
        state.budget.failed(begun, now);
        state.troubles.unreachable(failure, now);
    }

    /// The upstream ended a connection opened at `opened` that had carried no request. `early` says
    /// how, if no client could have used it.
    pub(super) fn ended_unused(&self, opened: Instant, early: Option<Ending>) {
        let (mut state, now) = (self.state(), Instant::now());
        state.budget.failed(opened, now);
        state.waits_for_clients = !state.has_clients;
        if let Some(ending) = early {
            state.troubles.ends_unused(ending, now);
        }
    }

    /// A connection opened at `opened` has stayed open for as long as a warm one has to, without a
    /// request.
    pub(super) fn survived(&self, opened: Instant) {
        self.state().troubles.survived(opened);
    }

    /// A warm connection was used, or stayed open until we closed it.
    pub(super) fn was_of_use(&self) {
        self.state().budget.was_of_use(Instant::now());
    }

    /// If the upstream's trouble is that it ends unused connections: since when one has to have
    /// been open to prove that this is over.
    pub(super) fn ends_unused_since(&self) -> Option<Instant> {
        self.state().troubles.ends_unused_since()
    }

    /// A connection that had been idle for `idle` died without a FIN or a reset, as happens when a
    /// router on the way forgets it: others that have been idle for as long may be dead, too.
    pub(super) fn suspect(&self, idle: Duration, now: Instant) {
        let Some(since) = now.checked_sub(idle) else { return };
        self.suspected.fetch_max(self.milliseconds(since), Ordering::Relaxed);
    }

    /// Whether a connection that has been idle since `since` may be dead.
    pub(super) fn is_suspect(&self, since: Instant) -> bool {
        match self.suspected.load(Ordering::Relaxed) {
            0 => false,
            suspected => self.milliseconds(since) <= suspected,
        }
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        // From 1, because 0 means none.
        let since = at.saturating_duration_since(self.origin).as_millis() + 1;
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        // Nothing in here panics between two states.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that no request has asked for, from the beginning of its dial.
#[derive(Debug)]
pub(super) struct Speculative {
    health: Arc<Health>,
    is_open: bool,
}

impl Speculative {
    /// The dial is over, and the worker counts the connection among its idle ones.
    pub(super) fn opened(&mut self) {
        if !self.is_open {
            self.health.state().opening -= 1;
            self.is_open = true;
        }
    }

    /// A request is sent on it after all.
    pub(super) fn used(self) {
        self.health.state().budget.refund();
    }
}

impl Drop for Speculative {
    fn drop(&mut self) {
        self.opened();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, DialStep, ExchangeError, LookupFault, SocketError};
    use crate::limits::{TROUBLE_CHANGES_LOGGED_EVERY, TROUBLE_LOGGED_EVERY};
    use crate::telemetry::{LogFormat, logged};
    use tokio::runtime::Builder;
    use tokio::time::sleep;
    use tracing::Level;

    const REFUSED: Cause = Cause::Unreachable(SocketError::ConnectionRefused);

    /// What a test on virtual time logs: level, message and cause of each line.
    fn log_of(test: impl AsyncFnOnce(&Health)) -> Vec<String> {
        let log = logged(LogFormat::Text, Level::TRACE, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(test(&Health::new("a.example:443", 1, 1)));
        });
        log.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect()
    }

    fn fail(health: &Health, cause: Cause) {
        let error = ExchangeError::upstream(cause);
        let failure = DialFailure::at(DialStep::Connect, None, Duration::ZERO, error);
        health.failed(&failure, Instant::now());
    }

    #[track_caller]
    fn check(log: &[String], want: &[&str]) {
        assert_eq!(log.len(), want.len(), "{log:#?}");
        for (line, want) in log.iter().zip(want) {
            assert!(
                line.trim_start().starts_with("WARN narrows::upstream: ") && line.contains(want),
                "{want}: {line}"
            );
            assert!(line.contains("upstream=\"a.example:443\""), "{line}");
        }
    }

    #[test]
    fn a_worker_that_joins_again_is_counted_once() {
        let health = Health::new("a.example:443", 1, 1);
        let mut idle = None;
        for _ in 0..9 {
            // Its new part of the upstream is there before the old one goes.
            idle.replace(health.join());
        }
        assert!(health.state().idle.len() <= 2, "{idle:?}");
    }

    const UNREACHABLE: &str = "the upstream cannot be reached";
    const ENDS_UNUSED: &str = "the upstream ends connections before a request";
    const REACHED: &str = "the upstream can be reached again";
    const KEEPS: &str = "the upstream keeps connections open again";

    #[test]
    fn a_trouble_is_logged_when_it_begins_when_it_changes_and_when_it_ends() {
        let log = log_of(async |health| {
            for _ in 0..100 {
                fail(health, REFUSED);
                sleep(Duration::from_secs(60)).await;
            }
            fail(health, Cause::NameNotResolved(LookupFault::Failed));
            sleep(TROUBLE_CHANGES_LOGGED_EVERY).await;
            health.reached();
            health.reached();
            health.ended_unused(Instant::now(), Some(Ending::CLOSED));
            sleep(Duration::from_secs(5)).await;
            health.reached();
            health.survived(Instant::now());
            health.survived(Instant::now());
        });
        check(&log, &[UNREACHABLE, "upstream_name_not_resolved", REACHED, ENDS_UNUSED, KEEPS]);
        assert!(log[0].contains("reason=\"ECONNREFUSED\" step=\"connect\""), "{}", log[0]);
        assert!(log[3].contains("cause=\"closed\""), "{}", log[3]);
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_logged_now_and_then() {
        let log = log_of(async |health| {
            for _ in 0..TROUBLE_LOGGED_EVERY.as_secs() {
                fail(health, REFUSED);
                health.reached();
                sleep(Duration::from_secs(1)).await;
            }
            fail(health, REFUSED);
        });
        check(&log, &[UNREACHABLE, REACHED, UNREACHABLE]);
        let log = log_of(async |health| {
            for _ in 0..TROUBLE_CHANGES_LOGGED_EVERY.as_secs() {
                fail(health, REFUSED);
                fail(health, Cause::NameNotResolved(LookupFault::Failed));
                sleep(Duration::from_secs(1)).await;
            }
            fail(health, REFUSED);
            fail(health, Cause::NameNotResolved(LookupFault::Failed));
        });
        check(&log, &["ECONNREFUSED", "upstream_name_not_resolved"]);
    }

    #[test]
    fn a_connection_that_ends_at_its_idle_limit_is_not_a_trouble() {
        let log = log_of(async |health| {
            health.ended_unused(Instant::now(), None);
            health.survived(Instant::now());
            health.was_of_use();
            health.reached();
        });
        check(&log, &[]);
    }
}
