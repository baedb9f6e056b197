//! One worker's part of an upstream: [`Dispatcher`], which gives connections to the requests that
//! wait for one. The upstream's handles, its attempts and its maintenance share it.
//!
//! # Attempts
//!
//! An attempt opens one connection, in a task of its own, so that a handshake is not lost when the
//! client that caused it leaves. It belongs to no waiter: what it opens goes to the longest waiter
//! at that time, or to the pool, and so does every connection that an exchange gives back. The
//! rules:
//!
//! - There are never fewer attempts than waiters. One that begins to wait starts another attempt
//!   only if there are fewer.
//! - A failed attempt fails the longest waiter, and only that one: others may have attempts of
//!   their own that succeed. It fails none that began to wait after the attempt began, and none
//!   while there is an attempt left for each.
//! - After each attempt, waiters without one get theirs.

use crate::error::{Cause, DialFailure, ExchangeError, Fault, IoFault};
use crate::telemetry::metrics::UpstreamMetrics;
use crate::upstream::connection::Checked;
use crate::upstream::dial::{Dial, Dialed, NewConnection};
use crate::upstream::health::{Health, Speculative};
use crate::upstream::pool::Pool;
use crate::upstream::queue::{Queue, Waiter};
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::panicking;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// One worker's part of an upstream.
pub(super) struct Dispatcher {
    dialer: RefCell<Box<dyn Dial>>,
    pub(super) pool: Pool,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Rc<UpstreamMetrics>,
    pub(super) queue: Queue,
    /// Connections being opened.
    pub(super) attempts: Cell<usize>,
    /// Clients that have connected and will probably need a connection soon.
    pub(super) expected: Cell<usize>,
    pub(super) last_use: Cell<Instant>,
    /// A client has come to this worker.
    has_clients: Cell<bool>,
    pub(super) maintenance: Maintenance,
}

/// The state of the maintenance task that its wakers need.
pub(super) struct Maintenance {
    pub(super) waker: RefCell<Waker>,
    /// It wakes up by itself.
    pub(super) is_alarmed: Cell<bool>,
    /// From then on it may open connections; `None`: never again.
    pub(super) opens_from: Cell<Option<Instant>>,
    /// Until then, it opens no warm connection.
    pub(super) warms_up_at: Cell<Instant>,
}

/// Ends the maintenance, when no handle to the upstream is left.
impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.maintenance.wake();
    }
}

impl Dispatcher {
    /// Without connections, and without its maintenance task.
    pub(super) fn new(
        dialer: Box<dyn Dial>,
        health: Arc<Health>,
        age_max: Option<Duration>,
    ) -> Self {
        let (now, metrics) = (Instant::now(), dialer.metrics());
        Self {
            dialer: RefCell::new(dialer),
            pool: Pool::new(Arc::clone(&health), &metrics, age_max),
            health,
            metrics,
            queue: Queue::default(),
            attempts: Cell::new(0),
            expected: Cell::new(0),
            last_use: Cell::new(now),
            has_clients: Cell::new(false),
            maintenance: Maintenance {
                waker: RefCell::new(Waker::noop().clone()),
                is_alarmed: Cell::new(false),
                opens_from: Cell::new(Some(now)),
                warms_up_at: Cell::new(now),
            },
        }
    }

    /// Opens connections by `dialer` from now on. Attempts that have begun end as they began.
    pub(super) fn replace_dialer(&self, dialer: Box<dyn Dial>) {
        self.dialer.replace(dialer);
    }

    /// The way to open connections. A dial owns what it needs, so this is not held while one runs.
    pub(super) fn dialer(&self) -> Ref<'_, dyn Dial> {
        Ref::map(self.dialer.borrow(), |dialer| &**dialer)
    }

    /// A client has come. The first one of this worker may be the first of all, so that there are
    /// warm connections to open.
    pub(super) fn client_came(&self) {
        if !self.has_clients.replace(true) {
            self.health.client_came();
            self.maintenance.wake();
        }
    }

    /// Lets `waiter` wait, and opens a connection unless enough are being opened already.
    pub(super) fn wait(self: &Rc<Self>, waiter: &Rc<Waiter>) {
        self.queue.join(waiter);
        self.start_missing_attempts();
    }

    /// Opens a connection in a task of its own.
    pub(super) fn start_attempt(self: &Rc<Self>, speculative: Option<Speculative>) {
        let attempt = DialAttempt::begin(self);
        let dialing = self.dialer().dial(None);
        spawn_local(async move {
            let result = dialing.await;
            attempt.end(result, speculative);
        });
    }

    /// Gives a connection to the longest waiter, or else to the pool.
    pub(super) fn deliver(&self, checked: Checked) {
        if let Err(checked) = self.queue.deliver(checked) {
            self.pool.put(checked, &self.maintenance.waker.borrow());
            if !self.maintenance.is_alarmed.get() {
                self.maintenance.wake();
            }
        }
    }

    fn start_missing_attempts(self: &Rc<Self>) {
        while self.queue.len() > self.attempts.get() {
            self.start_attempt(None);
        }
    }

    /// Fails the longest waiter, unless there is an attempt left for each.
    fn fail(&self, failure: Box<DialFailure>, begun: Instant) {
        if self.queue.len() > self.attempts.get() {
            self.queue.fail(failure, begun);
        }
    }
}

impl Maintenance {
    /// Lets the task run.
    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }
}

/// An attempt, counted for as long as it lasts, however it ends.
struct DialAttempt {
    dispatcher: Rc<Dispatcher>,
    begun: Instant,
}

impl DialAttempt {
    fn begin(dispatcher: &Rc<Dispatcher>) -> Self {
        dispatcher.attempts.set(dispatcher.attempts.get() + 1);
        Self { dispatcher: Rc::clone(dispatcher), begun: Instant::now() }
    }

    fn end(self, result: Dialed<NewConnection>, mut speculative: Option<Speculative>) {
        let (dispatcher, begun) = (Rc::clone(&self.dispatcher), self.begun);
        drop(self);
        match result {
            Ok(connection) => {
                dispatcher.health.reached();
                if let Some(speculative) = &mut speculative {
                    speculative.opened();
                }
                dispatcher.deliver(Checked::fresh(connection, speculative));
            }
            Err(failure) => {
                drop(speculative);
                dispatcher.health.failed(&failure, begun);
                dispatcher.fail(failure, begun);
            }
        }
        dispatcher.start_missing_attempts();
        dispatcher.maintenance.wake();
    }
}

impl Drop for DialAttempt {
    fn drop(&mut self) {
        self.dispatcher.attempts.set(self.dispatcher.attempts.get() - 1);
        if panicking() {
            // The waiter of this attempt would wait for ever.
            let cause = Cause::Io(IoFault::Failed);
            let error = ExchangeError { fault: Fault::Internal, cause };
            self.dispatcher.fail(error.into(), self.begun);
        }
    }
}
