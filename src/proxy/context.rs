//! What all sessions of one worker share.

use crate::limits::CLIENT_AUTHORITY_BYTES_MAX;
use crate::net::transport::Transport;
use crate::proxy::site::Site;
use crate::upstream::ProxyHeader;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::sync::Notify;

/// Whom a connection is from, and whom it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: behind a PROXY header the one announced.
    pub address: SocketAddr,
    /// The address that it connected to, where a PROXY header says so. Otherwise it is ours.
    pub destination: Option<SocketAddr>,
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Self { address, destination: None }
    }
}

/// What is known of some clients, and is kept for as long as their connection lasts. In a place of
/// its own, once there is anything, because most of its size is not needed.
#[derive(Debug, Default)]
pub(super) struct About(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Host and perhaps port by which the client called us in its last request.
    called: Box<[u8]>,
    /// Where it connected to, if a PROXY header says so.
    destination: Option<SocketAddr>,
}

impl About {
    /// With what a PROXY header said.
    pub(super) fn new(destination: Option<SocketAddr>) -> Self {
        let known = |destination| Box::new(Known { destination, ..Known::default() });
        Self(destination.map(|destination| known(Some(destination))))
    }

    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|known| known.destination)
    }

    /// What the client calls us; empty when it did not say.
    pub(super) fn called(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", |known| &known.called)
    }

    /// Remembers what the client calls us. The requests of a connection rarely differ in it.
    pub(super) fn is_called(&mut self, authority: &[u8]) {
        let authority = if authority.len() > CLIENT_AUTHORITY_BYTES_MAX { b"" } else { authority };
        if self.called() != authority {
            self.0.get_or_insert_default().called = authority.into();
        }
    }
}

impl Client {
    /// What an upstream is told of the client at the other end of `transport`.
    pub(super) fn proxy_header(&self, transport: &Transport) -> ProxyHeader {
        let destination = self.destination.or_else(|| transport.local_address());
        ProxyHeader { source: self.address, destination }
    }
}

/// What the worker serves now, and the wish to stop.
pub struct Context {
    site: RefCell<Rc<Site>>,
    /// Whether this worker is asked to stop.
    pub drain: Drain,
}

impl Context {
    /// A worker that serves `site`.
    pub fn new(site: Site) -> Self {
        Self { site: RefCell::new(Rc::new(site)), drain: Drain::default() }
    }

    /// What is served now. Whoever needs it for longer than a moment takes what it needs of it.
    pub fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// From now on `site` is served. What has begun goes on with what it took.
    pub fn replace_site(&self, site: Site) {
        self.site.replace(Rc::new(site));
    }
}

/// The wish to stop: running exchanges end, idle connections close; in the end, exchanges are cut.
#[derive(Debug, Default)]
pub struct Drain {
    draining: Cell<bool>,
    begun: Notify,
    over: Cell<bool>,
    watchers: RefCell<Watchers>,
}

/// The tasks that [`Drain::cut`] has to wake.
#[derive(Debug, Default)]
struct Watchers {
    wakers: Vec<Option<Waker>>,
    /// Numbers, which begin at 1, whose tasks have ended.
    free: Vec<NonZeroU32>,
}

/// Of a task that is woken by [`Drain::cut`]. No larger than it has to be: each connection has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watch(Option<NonZeroU32>);

impl Drain {
    /// Asks every session to end after its exchange.
    pub fn begin(&self) {
        self.draining.set(true);
        self.begun.notify_waiters();
    }

    /// Whether [`Drain::begin`] was called.
    pub fn has_begun(&self) -> bool {
        self.draining.get()
    }

    /// Waits for [`Drain::begin`].
    pub async fn begun(&self) {
        // Created before the look at the flag, so that a call in between is not missed.
        let notified = self.begun.notified();
        if !self.has_begun() {
            notified.await;
        }
    }

    /// Cuts the exchanges that still run: what had come for either side arrives, and no more.
    pub fn cut(&self) {
        self.over.set(true);
        self.watchers.borrow().wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Whether [`Drain::cut`] was called.
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// From now on [`Drain::cut`] wakes the calling task, until [`Drain::forget`].
    pub(super) fn watched(&self) -> impl Future<Output = Watch> {
        poll_fn(|cx| Poll::Ready(self.watch(cx.waker())))
    }

    fn watch(&self, waker: &Waker) -> Watch {
        let Watchers { wakers, free } = &mut *self.watchers.borrow_mut();
        let waker = Some(waker.clone());
        let number = match free.pop() {
            Some(number) => {
                wakers[number.get() as usize - 1] = waker;
                Some(number)
            }
            None => {
                wakers.push(waker);
                u32::try_from(wakers.len()).ok().and_then(NonZeroU32::new)
            }
        };
        Watch(number)
    }

    /// The task ends.
    pub(super) fn forget(&self, Watch(number): Watch) {
        let Some(number) = number else { return };
        let Watchers { wakers, free } = &mut *self.watchers.borrow_mut();
        wakers[number.get() as usize - 1] = None;
        free.push(number);
    }
}
