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
use crate::proxy::context::Drain;
use crate::telemetry::targets::SERVER;
use std::rc::Rc;
use tokio::task::{AbortHandle, spawn_local};

pub(super) use listener::AdminListener;
pub(super) use relay::RelayPages;

/// The admin listener of the process, if there is one. Dropping this closes it.
pub(super) struct Admin<P> {
    pages: Rc<P>,
    serving: Option<Serving<P>>,
}

struct Serving<P> {
    context: Rc<Context<P>>,
    accepting: AbortHandle,
}

impl<P: Pages + 'static> Admin<P> {
    /// No listener, and these pages.
    pub(super) fn new(pages: P) -> Self {
        Self { pages: Rc::new(pages), serving: None }
    }

    /// Serves this listener from now on, or none. Connections of the one before end after their
    /// answer.
    pub(super) fn serve(&mut self, listener: Option<AdminListener>) {
        if let Some(Serving { context, accepting }) = self.serving.take() {
            accepting.abort();
            context.drain.begin();
        }
        let Some(listener) = listener else { return };
        let addresses = listener.addresses().join(" ");
        tracing::info!(target: SERVER, addresses, "the admin listener answers");
        let (pages, names) = (Rc::clone(&self.pages), listener.names());
        let context = Rc::new(Context { pages, names, drain: Drain::default() });
        let accepting = spawn_local(accept(listener, Rc::clone(&context))).abort_handle();
        self.serving = Some(Serving { context, accepting });
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
