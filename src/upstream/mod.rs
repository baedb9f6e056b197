//! One upstream as one worker sees it: how to reach it, and the connections that are open.
//!
//! Nothing in here knows of clients or exchanges.

pub mod connect;
pub mod pool;

use crate::error::ExchangeError;
use crate::net::transport::Transport;
use crate::upstream::pool::Pool;
use std::pin::Pin;
use std::rc::Rc;

/// A way to open connections. The network is one; tests bring their own.
pub trait Dial {
    /// Opens one connection, ready for a request.
    ///
    /// Boxed, because a dial costs a round trip at least, and an allocation nothing beside it.
    fn dial(&self) -> Dialing;
}

/// A connection being opened. It owns what it needs, so that it may outlive whoever began it.
pub type Dialing = Pin<Box<dyn Future<Output = Result<Transport, ExchangeError>>>>;

/// One upstream of one worker.
pub struct Upstream {
    dialer: Box<dyn Dial>,
    pool: Rc<Pool>,
}

impl Upstream {
    /// An upstream without open connections. Must be called inside a local runtime, because the
    /// keeper of the idle connections starts here.
    pub fn new(dialer: Box<dyn Dial>) -> Self {
        let pool = Rc::new(Pool::default());
        let kept = Rc::downgrade(&pool);
        tokio::task::spawn_local(pool::keep(kept));
        Self { dialer, pool }
    }

    /// An idle connection that is known to be open, the most recently used first.
    pub fn checkout(&self) -> Option<Transport> {
        self.pool.take()
    }

    /// Opens a new connection.
    pub fn dial(&self) -> Dialing {
        self.dialer.dial()
    }

    /// Keeps a connection whose exchange ended cleanly for the next one.
    pub fn give_back(&self, connection: Transport) {
        self.pool.put(connection);
    }
}
