//! The admin listener: what an operator, an orchestrator or a scraper of metrics asks the process.
//!
//! It is served by the main thread, so that nothing it does takes time from a worker, and none of
//! its connections the place of a client's. `page` is what there is, and `relay` what it says;
//! `request` is what a request asks for, `exposition` in which format of metrics, and `connection`
//! one connection; `listener` is the socket and all of its connections.
//!
//! One that takes the place of another is opened while that is still served ([`Admin::serve`]).

mod connection;
mod exposition;
mod listener;
mod page;
mod relay;
mod request;
mod shared;
mod status;

use crate::control::admin::connection::Context;
use crate::control::admin::listener::accept;
use crate::control::admin::page::Pages;
use crate::limits::{DELIVERY_LOOK_MAX, DRAIN_GRACE, STOP_AT_ONCE_MAX};
use crate::proxy::context::Drain;
use crate::task::spawn;
use crate::telemetry::targets::SERVER;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

pub(super) use listener::AdminListener;
pub(super) use relay::RelayPages;

/// The admin listener of the process, if there is one. Dropping this closes it.
pub(super) struct Admin<P> {
    pages: Rc<P>,
    serving: Option<Serving<P>>,
}

struct Serving<P> {
    listener: Rc<AdminListener>,
    context: Rc<Context<P>>,
    accepting: AbortHandle,
}

impl<P: Pages + 'static> Admin<P> {
    /// No listener, and these pages.
    pub(super) fn new(pages: P) -> Self {
        Self { pages: Rc::new(pages), serving: None }
    }

    /// Serves this listener from now on, or none. Connections of the one before, also those that
    /// wait to be accepted, end after their answer.
    pub(super) fn serve(&mut self, listener: Option<AdminListener>) {
        if let Some(before) = self.serving.take() {
            before.context.drain.begin(DRAIN_GRACE);
        }
        let Some(listener) = listener else { return };
        let addresses = listener.addresses().join(" ");
        tracing::info!(target: SERVER, addresses, "the admin listener answers");
        let (pages, names) = (Rc::clone(&self.pages), listener.names());
        let context = Rc::new(Context { pages, names, drain: Drain::default() });
        let listener = Rc::new(listener);
        let accepting = spawn(accept(Rc::clone(&listener), Rc::clone(&context)));
        self.serving = Some(Serving { listener, context, accepting });
    }

    /// How many sockets it has.
    pub(super) fn socket_count(&self) -> usize {
        self.serving.as_ref().map_or(0, |serving| serving.listener.count())
    }

    /// Where it listens by TCP.
    pub(super) fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.serving.as_ref().map_or(Vec::new(), |serving| serving.listener.tcp_addresses())
    }

    /// Further handles of the sockets, for a new process.
    ///
    /// # Errors
    /// There is no descriptor for one.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        self.serving.as_ref().map_or(Ok(Vec::new()), |serving| serving.listener.handles())
    }

    /// Leaves the listener to a new process. The future ends when what was asked here is answered,
    /// or after [`STOP_AT_ONCE_MAX`].
    pub(super) fn leave(&mut self) -> impl Future<Output = ()> + use<P> {
        let context = self.serving.as_ref().map(|serving| {
            serving.listener.leave_file();
            // What waits to be accepted is for the new process.
            serving.accepting.abort();
            Rc::downgrade(&serving.context)
        });
        self.serve(None);
        // Each connection has the context.
        let is_asked = move || context.as_ref().is_some_and(|it| it.strong_count() > 0);
        async move {
            let begun = Instant::now();
            while is_asked() && begun.elapsed() < STOP_AT_ONCE_MAX {
                sleep(DELIVERY_LOOK_MAX).await;
            }
        }
    }
}

impl<P> Drop for Admin<P> {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.accepting.abort();
        }
    }
}

#[cfg(test)]
mod tests;
