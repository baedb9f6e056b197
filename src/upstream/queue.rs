//! The requests that wait for a connection, the longest wait first: [`Queue`].

use crate::error::DialFailure;
use crate::upstream::connection::Checked;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use tokio::time::Instant;

/// What comes of a wait.
pub(super) type WaitOutcome = Result<Checked, Box<DialFailure>>;

/// The waiters of one upstream and worker.
#[derive(Debug, Default)]
pub(super) struct Queue(RefCell<VecDeque<Weak<Waiter>>>);

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    since: Instant,
    outcome: RefCell<Option<WaitOutcome>>,
    waker: RefCell<Option<Waker>>,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Puts `waiter` at the end.
    pub(super) fn join(&self, waiter: &Rc<Waiter>) {
        self.0.borrow_mut().push_back(Rc::downgrade(waiter));
    }

    /// Removes `waiter`, wherever it is. One whose wait is over is not in the queue, as most are
    /// when they leave; only a queue refers to a waiter weakly.
    pub(super) fn leave(&self, waiter: &Rc<Waiter>) {
        if Rc::weak_count(waiter) > 0 {
            let own = Rc::downgrade(waiter);
            self.0.borrow_mut().retain(|waiter| !waiter.ptr_eq(&own));
        }
    }

    /// Gives a connection to the longest waiter.
    ///
    /// # Errors
    /// The connection, because no one waits.
    pub(super) fn deliver(&self, checked: Checked) -> Result<(), Checked> {
        match self.pop() {
            Some(waiter) => {
                waiter.settle(Ok(checked));
                Ok(())
            }
            None => Err(checked),
        }
    }

    /// Fails the longest waiter, unless it began to wait after `begun`.
    pub(super) fn fail(&self, failure: Box<DialFailure>, begun: Instant) {
        let Some(waiter) = self.pop() else { return };
        if waiter.since <= begun {
            waiter.settle(Err(failure));
        } else {
            self.0.borrow_mut().push_front(Rc::downgrade(&waiter));
        }
    }

    fn pop(&self) -> Option<Rc<Waiter>> {
        let mut waiters = self.0.borrow_mut();
        while let Some(waiter) = waiters.pop_front() {
            if let Some(waiter) = waiter.upgrade() {
                return Some(waiter);
            }
        }
        None
    }
}

impl Waiter {
    /// One that waits from now on, once it has joined a queue.
    pub(super) fn new() -> Rc<Self> {
        let (outcome, waker) = Default::default();
        Rc::new(Self { since: Instant::now(), outcome, waker })
    }

    /// What came of the wait, if that is settled.
    pub(super) fn take_outcome(&self) -> Option<WaitOutcome> {
        self.outcome.take()
    }

    /// Wakes the task of `cx` when the wait is settled.
    pub(super) fn wake_when_settled(&self, cx: &Context<'_>) {
        self.waker.replace(Some(cx.waker().clone()));
    }

    fn settle(&self, outcome: WaitOutcome) {
        self.outcome.replace(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
