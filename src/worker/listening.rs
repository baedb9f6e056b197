//! One listening socket of a worker, from its opening to the end of its last connection.

use crate::config::snapshot::Listener;
use crate::proxy::Context;
use crate::worker::balance::Share;
use crate::worker::live::Live;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A listening socket, and the connections that came from it.
///
/// A reload may give it another listener, for the connections that come from then on. If a reload
/// removes it, it drains alone, so its connections have a `Drain` of their own.
pub(super) struct Listening {
    listener: RefCell<Arc<Listener>>,
    /// Where it is bound.
    pub(super) address: SocketAddr,
    /// What its connections are served, and whether they are to end.
    pub(super) context: Rc<Context>,
    /// Its accept loop.
    pub(super) accepting: Live,
    /// Its connections.
    pub(super) live: Live,
    /// Whether another process accepts from it as well.
    is_handed_over: Cell<bool>,
}

impl Listening {
    /// A socket, bound to `address`, whose connections belong to `listener`. With `share`, other
    /// workers serve the address, too.
    pub(super) fn new(
        listener: Arc<Listener>,
        address: SocketAddr,
        context: Context,
        share: Option<Share>,
    ) -> Self {
        let (accepting, live) = (Live::default(), Live::counted_in(share));
        context.replace_address_rules(listener.rules_of_requests());
        let (listener, context) = (RefCell::new(listener), Rc::new(context));
        let is_handed_over = Cell::new(false);
        Self { listener, address, context, accepting, live, is_handed_over }
    }

    /// Whether it accepts nothing more, and has no connection.
    pub(super) fn has_ended(&self) -> bool {
        self.accepting.is_none() && self.live.is_none()
    }

    /// Waits for that.
    pub(super) async fn ended(&self) {
        self.accepting.none().await;
        self.live.none().await;
    }

    /// Another process accepts from the socket, too.
    pub(super) fn hand_over(&self) {
        self.is_handed_over.set(true);
    }

    /// Whether [`Listening::hand_over`] was called.
    pub(super) fn is_handed_over(&self) -> bool {
        self.is_handed_over.get()
    }

    /// The listener that the next connection belongs to.
    pub(super) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }

    /// The next connection belongs to `listener`, whose `allow` and `trusted_proxies` count for the
    /// next request of any connection.
    pub(super) fn replace_listener(&self, listener: Arc<Listener>) {
        self.context.replace_address_rules(listener.rules_of_requests());
        self.listener.replace(listener);
    }

    /// Accepts what is queued and nothing more, and lets each connection end after its next
    /// response. Cuts what takes longer than `stop`.
    pub(super) async fn drain(self: Rc<Self>, stop: Duration) {
        self.context.drain.begin(stop);
        if timeout(stop, self.ended()).await.is_err() {
            self.context.drain.cut();
        }
    }
}
