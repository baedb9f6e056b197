//! The wait for a connection: [`Checkout`].

use crate::error::DialFailure;
use crate::upstream::connection::UpstreamConnection;
use crate::upstream::dispatcher::Dispatcher;
use crate::upstream::queue::Waiter;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Resolves to the first connection that becomes available to it. When it is dropped, a connection
/// that was meant for it goes to the next waiter.
pub struct Checkout {
    dispatcher: Rc<Dispatcher>,
    waiter: Rc<Waiter>,
}

impl Checkout {
    /// Begins to wait.
    pub(super) fn begin(dispatcher: &Rc<Dispatcher>) -> Self {
        let waiter = Waiter::new();
        dispatcher.wait(&waiter);
        Self { dispatcher: Rc::clone(dispatcher), waiter }
    }
}

impl Future for Checkout {
    type Output = Result<UpstreamConnection, Box<DialFailure>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.waiter.take_outcome() {
            Some(Err(error)) => return Poll::Ready(Err(error)),
            Some(Ok(checked)) => match checked.take() {
                Some(connection) => return Poll::Ready(Ok(connection)),
                // It ended between delivery and this poll: wait for another.
                None => self.dispatcher.wait(&self.waiter),
            },
            None => {}
        }
        self.waiter.wake_when_settled(cx);
        Poll::Pending
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.dispatcher.queue.leave(&self.waiter);
        if let Some(Ok(checked)) = self.waiter.take_outcome() {
            self.dispatcher.deliver(checked);
        }
    }
}
