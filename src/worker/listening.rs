//! One listening socket of a worker, from its opening to the end of its last connection.

use crate::config::snapshot::Listener;
use crate::proxy::Context;
use crate::worker::live::Live;
use std::cell::RefCell;
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
    /// Its accept loop, and its connections.
    pub(super) live: Live,
}

impl Listening {
    /// A socket, bound to `address`, whose connections belong to `listener`.
    pub(super) fn new(listener: Arc<Listener>, address: SocketAddr, context: Context) -> Self {
        let (listener, live) = (RefCell::new(listener), Live::default());
        Self { listener, address, context: Rc::new(context), live }
    }

    /// How many connections it has.
    pub(super) fn connections(&self) -> usize {
        let accept_loops = usize::from(!self.context.drain.has_begun());
        self.live.count().saturating_sub(accept_loops)
    }

    /// The listener that the next connection belongs to.
    pub(super) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }

    /// The next connection belongs to `listener`.
    pub(super) fn replace_listener(&self, listener: Arc<Listener>) {
        self.listener.replace(listener);
    }

    /// Accepts what is queued and nothing more, lets running exchanges end, and cuts those that
    /// take longer than `stop`.
    pub(super) async fn drain(self: Rc<Self>, stop: Duration) {
        self.context.drain.begin();
        if timeout(stop, self.live.none()).await.is_err() {
            self.context.drain.cut();
        }
    }
}
