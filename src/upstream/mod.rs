//! One upstream as one worker sees it: how to reach it, and the connections that are open.
//!
//! Whoever needs a connection gets the first that becomes available: an idle one, one that
//! another exchange gives back, or one being opened. Connections are opened by tasks of their
//! own, so that a handshake is not lost when the client that caused it leaves.
//!
//! Nothing in here knows of clients or exchanges.

pub mod commons;
pub mod dial;
pub mod pool;
pub mod resolver;
pub mod standing;

use crate::error::{Cause, DialFailure, ExchangeError, Fault, IoFault};
use crate::limits::SPECULATIVE_DIALS_MAX;
use crate::net::transport::Transport;
use crate::upstream::pool::{Checked, Pool, UpstreamConnection};
use crate::upstream::standing::{Standing, Unasked};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::panicking;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// A way to open connections. The network is one; tests bring their own.
pub trait Dial {
    /// Opens one connection, ready for a request. It begins with `announcement` where there is one
    /// and the upstream wants it.
    ///
    /// Boxed, because a dial costs a round trip at least, and an allocation nothing beside it.
    fn dial(&self, proxy_header: Option<&ProxyHeader>) -> Dialing;

    /// Whether each connection is announced as somebody's, and so of no use to anybody else.
    fn sends_proxy_header(&self) -> bool {
        false
    }
}

/// On whose behalf a connection is opened, as a PROXY header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The one who asks.
    pub source: SocketAddr,
    /// Where it asked, if that is known.
    pub destination: Option<SocketAddr>,
}

/// A connection being opened. It owns what it needs, so that it may outlive whoever began it.
pub type Dialing = Pin<Box<dyn Future<Output = Result<Transport, Box<DialFailure>>>>>;

/// One upstream of one worker.
#[derive(Clone)]
pub struct Upstream(Rc<Shared>);

/// What the upstream's users, its attempts and its keeper share.
struct Shared {
    dialer: Box<dyn Dial>,
    pool: Pool,
    /// What all workers know of the upstream.
    standing: Arc<Standing>,
    last_use: Cell<Instant>,
    /// A client has come to this worker.
    has_clients: Cell<bool>,
    /// Before then, the keeper need not be asked for another warm line.
    look_again: Cell<Instant>,
    /// Who waits for a line, the longest wait first.
    waiting: RefCell<VecDeque<Weak<Waiter>>>,
    /// Connections being opened. Never fewer than are waited for.
    attempts: Cell<usize>,
    /// Clients that have connected and will probably need a line soon.
    expected: Cell<usize>,
    keeper: RefCell<Waker>,
    /// The keeper will look again by itself.
    keeper_alarmed: Cell<bool>,
}

impl Upstream {
    /// An upstream that no other worker has, and that keeps `warm` connections ready. Must be
    /// called inside a local runtime, because its keeper starts here.
    pub fn new(dialer: Box<dyn Dial>, warm: usize) -> Self {
        Self::sharing(dialer, Arc::new(Standing::new("upstream", warm, 1)), None)
    }

    /// One worker's part of the upstream that `standing` is of. Connections leave the pool at
    /// `age_max`. Must be called inside a local runtime, too.
    pub fn sharing(
        dialer: Box<dyn Dial>,
        standing: Arc<Standing>,
        age_max: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let shared = Rc::new(Shared {
            dialer,
            pool: Pool::new(Arc::clone(&standing), age_max),
            standing,
            last_use: Cell::new(now),
            has_clients: Cell::new(false),
            look_again: Cell::new(now),
            waiting: RefCell::default(),
            attempts: Cell::new(0),
            expected: Cell::new(0),
            keeper: RefCell::new(Waker::noop().clone()),
            keeper_alarmed: Cell::new(false),
        });
        spawn_local(maintenance::keep(Rc::downgrade(&shared)));
        Self(shared)
    }

    /// An idle connection that is known to be open, the most recently used first.
    pub fn take_idle(&self) -> Option<UpstreamConnection> {
        let shared = &self.0;
        let now = Instant::now();
        shared.last_use.set(now);
        shared.client_came();
        let connection = shared.pool.take(now);
        if shared.pool.len() < shared.standing.warm() && now >= shared.look_again.get() {
            shared.keeper.borrow().wake_by_ref();
        }
        connection
    }

    /// Waits for a connection, and opens one unless enough are being opened already.
    pub fn checkout(&self) -> Checkout {
        let (outcome, waker) = (RefCell::default(), RefCell::default());
        let waiter = Rc::new(Waiter { since: Instant::now(), outcome, waker });
        Shared::wait(&self.0, &waiter);
        Checkout { shared: Rc::clone(&self.0), waiter }
    }

    /// Opens a connection for one purpose alone; it does not come from the pool.
    pub fn dial(&self, proxy_header: &ProxyHeader) -> Dialing {
        self.0.dialer.dial(Some(proxy_header))
    }

    /// Whether connections are announced as somebody's: then all have to come from
    /// [`Upstream::dial`], and none may be given back.
    pub fn sends_proxy_header(&self) -> bool {
        self.0.dialer.sends_proxy_header()
    }

    /// Hands on a connection whose exchange ended cleanly, unless it is too old.
    pub fn give_back(&self, connection: UpstreamConnection) {
        if self.0.pool.is_aged(&connection) {
            return;
        }
        let checked = connection.check(&self.0.keeper.borrow());
        if let Some(checked) = checked {
            self.0.deliver(checked);
        }
    }

    /// Tells that a connection which had been idle for `idle` died without a word, so that no other
    /// that was idle for as long is used.
    pub fn suspect(&self, idle: Duration) {
        self.0.pool.suspect(idle);
    }

    /// Tells that a client has connected that will probably need a connection: one is opened when
    /// none is free, while the client still shakes hands and writes its request.
    pub fn preconnect(&self) -> Option<Preconnect> {
        let shared = &self.0;
        if shared.standing.warm() == 0 {
            return None;
        }
        shared.client_came();
        shared.expected.set(shared.expected.get() + 1);
        // Clients that never ask for anything must not fill the pool with connections.
        let expected = shared.expected.get().min(SPECULATIVE_DIALS_MAX);
        let needed = expected + shared.waiting.borrow().len();
        if shared.pool.len() + shared.attempts.get() < needed
            && let Some(unasked) = shared.standing.prepare(Instant::now())
        {
            Shared::start_attempt(shared, Some(unasked));
        }
        Some(Preconnect(Rc::clone(shared)))
    }
}

/// A client that is expected to need a connection, until this is dropped.
pub struct Preconnect(Rc<Shared>);

impl Drop for Preconnect {
    fn drop(&mut self) {
        self.0.expected.set(self.0.expected.get() - 1);
    }
}

/// The wait for a connection.
pub struct Checkout {
    shared: Rc<Shared>,
    waiter: Rc<Waiter>,
}

struct Waiter {
    since: Instant,
    outcome: RefCell<Option<Result<Checked, Box<DialFailure>>>>,
    waker: RefCell<Option<Waker>>,
}

impl Future for Checkout {
    type Output = Result<UpstreamConnection, Box<DialFailure>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.waiter.outcome.take() {
            Some(Err(error)) => return Poll::Ready(Err(error)),
            Some(Ok(checked)) => match checked.take() {
                Some(connection) => return Poll::Ready(Ok(connection)),
                // It ended on its way to us: wait for another.
                None => Shared::wait(&self.shared, &self.waiter),
            },
            None => {}
        }
        self.waiter.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let own = Rc::downgrade(&self.waiter);
        self.shared.waiting.borrow_mut().retain(|waiter| !waiter.ptr_eq(&own));
        // A line that came while its taker left is for the next one.
        if let Some(Ok(checked)) = self.waiter.outcome.take() {
            self.shared.deliver(checked);
        }
    }
}

impl Shared {
    /// The first client of this worker may be the first of all: there may be warm lines to open.
    fn client_came(&self) {
        if !self.has_clients.replace(true) {
            self.standing.client_came();
            self.keeper.borrow().wake_by_ref();
        }
    }

    /// Puts `waiter` in the row, and opens a connection unless enough are being opened already.
    fn wait(shared: &Rc<Self>, waiter: &Rc<Waiter>) {
        shared.waiting.borrow_mut().push_back(Rc::downgrade(waiter));
        Self::start_missing_attempts(shared);
    }

    fn start_missing_attempts(shared: &Rc<Self>) {
        while shared.waiting.borrow().len() > shared.attempts.get() {
            Self::start_attempt(shared, None);
        }
    }

    /// Opens a connection in a task of its own, for whoever waits longest then.
    fn start_attempt(shared: &Rc<Self>, mut unasked: Option<Unasked>) {
        let attempt = AttemptGuard::begin(shared);
        let dialing = shared.dialer.dial(None);
        spawn_local(async move {
            let result = dialing.await;
            let AttemptGuard { shared, begun } = &attempt;
            let (shared, begun) = (Rc::clone(shared), *begun);
            drop(attempt);
            match result {
                Ok(transport) => {
                    shared.standing.reached();
                    if let Some(unasked) = &mut unasked {
                        unasked.opened();
                    }
                    shared.deliver(Checked::fresh(transport, unasked));
                }
                Err(failure) => {
                    drop(unasked);
                    shared.standing.failed(&failure, begun);
                    shared.fail(failure, begun);
                }
            }
            // Whoever waits for nothing that is under way gets an attempt of its own.
            Self::start_missing_attempts(&shared);
            shared.keeper.borrow().wake_by_ref();
        });
    }

    /// Gives a line to whoever waits longest, or to the pool.
    fn deliver(&self, checked: Checked) {
        if let Some(waiter) = self.next_waiter() {
            waiter.settle(Ok(checked));
            return;
        }
        let keeper = self.keeper.borrow();
        self.pool.put(checked, &keeper);
        if !self.keeper_alarmed.get() {
            keeper.wake_by_ref();
        }
    }

    /// Tells whoever waits longest that an attempt begun at `begun` has failed. Who came later
    /// than that has not had an attempt yet, and while there is one for each, nobody is told.
    fn fail(&self, failure: Box<DialFailure>, begun: Instant) {
        if self.waiting.borrow().len() <= self.attempts.get() {
            return;
        }
        if let Some(waiter) = self.next_waiter() {
            if waiter.since <= begun {
                waiter.settle(Err(failure));
            } else {
                self.waiting.borrow_mut().push_front(Rc::downgrade(&waiter));
            }
        }
    }

    fn next_waiter(&self) -> Option<Rc<Waiter>> {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(waiter) = waiting.pop_front() {
            if let Some(waiter) = waiter.upgrade() {
                return Some(waiter);
            }
        }
        None
    }
}

impl Waiter {
    fn settle(&self, outcome: Result<Checked, Box<DialFailure>>) {
        self.outcome.replace(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Counts an attempt for as long as it lasts, however it ends.
struct AttemptGuard {
    shared: Rc<Shared>,
    begun: Instant,
}

impl AttemptGuard {
    fn begin(shared: &Rc<Shared>) -> Self {
        shared.attempts.set(shared.attempts.get() + 1);
        Self { shared: Rc::clone(shared), begun: Instant::now() }
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.shared.attempts.set(self.shared.attempts.get() - 1);
        if panicking() {
            // Whoever waits for this attempt would wait for ever.
            let cause = Cause::Io(IoFault::Failed);
            let error = ExchangeError { fault: Fault::Internal, cause };
            self.shared.fail(error.into(), self.begun);
        }
    }
}

mod maintenance;
#[cfg(test)]
mod tests;
