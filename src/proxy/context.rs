//! What all connections of a listening socket share: the worker's current [`Site`], and whether
//! they are to end.

use crate::clock::now;
use crate::gateway::client_address::AddressRules;
use crate::limits::{
    CLIENT_AUTHORITY_BYTES_MAX, CROWDED_IDLE_MAX, CROWDED_SILENCE_MAX, DRAIN_GRACE,
};
use crate::net::admission::Admission;
use crate::net::transport::Transport;
use crate::proxy::site::Site;
use crate::telemetry::metrics::WorkerMetrics;
use crate::tls::challenges::Challenges;
use crate::tls::x509::Certificate;
use crate::upstream::ProxyHeader;
use std::cell::{Cell, Ref, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Who a client is, and where it meant to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: the one in the PROXY header, if there is one.
    pub address: SocketAddr,
    /// The address that it connected to, if a PROXY header says so. Otherwise it is ours.
    pub destination: Option<SocketAddr>,
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Self { address, destination: None }
    }
}

/// What is known of some clients for as long as their connection lasts. Most connections have
/// nothing of it, so it is allocated when there is something.
#[derive(Default)]
pub(super) struct About(Option<Box<ClientFacts>>);

#[derive(Default)]
struct ClientFacts {
    /// The authority in the client's last request: our name, as the client knows it.
    authority: Box<[u8]>,
    /// The token in its last request, where the upstream may repeat the key in place of it.
    token: Zeroizing<Vec<u8>>,
    /// The token in its last request, where a URL may hold it.
    token_for_urls: Zeroizing<Vec<u8>>,
    /// Its last request came to a proxy in front of us by https, as that says.
    is_behind_https: bool,
    /// Where it connected to, if a PROXY header says so.
    destination: Option<SocketAddr>,
    /// Its requests are only led to https.
    leads_to_https: bool,
}

impl About {
    /// Of a client whose PROXY header may have said where it connected to.
    pub(super) fn new(destination: Option<SocketAddr>) -> Self {
        let known = |destination| Box::new(ClientFacts { destination, ..ClientFacts::default() });
        Self(destination.map(|destination| known(Some(destination))))
    }

    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|known| known.destination)
    }

    pub(super) fn lead_to_https(&mut self) {
        self.0.get_or_insert_default().leads_to_https = true;
    }

    pub(super) fn leads_to_https(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.leads_to_https)
    }

    /// The authority in the client's last request; empty when there was none.
    pub(super) fn authority(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", |known| &known.authority)
    }

    /// Remembers the authority in a request, which is rarely new.
    pub(super) fn remember_authority(&mut self, authority: &[u8]) {
        let authority = if authority.len() > CLIENT_AUTHORITY_BYTES_MAX { b"" } else { authority };
        if self.authority() != authority {
            self.0.get_or_insert_default().authority = authority.into();
        }
    }

    /// Whether a proxy in front of us says that the client's last request came to it by https. It
    /// need not be trusted: a client that says so itself finds its own word in its redirects.
    pub(super) fn is_behind_https(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.is_behind_https)
    }

    /// Remembers that.
    pub(super) fn remember_https(&mut self, is_behind_https: bool) {
        if self.is_behind_https() != is_behind_https {
            self.0.get_or_insert_default().is_behind_https = is_behind_https;
        }
    }

    /// The token in the client's last request that the upstream may repeat; empty when there was
    /// none.
    pub(super) fn token(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", |known| &known.token)
    }

    /// The token in the client's last request, if it stands for the key in URLs that the upstream
    /// makes; empty otherwise.
    pub(super) fn token_for_urls(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", |known| &known.token_for_urls)
    }

    /// Remembers these two.
    pub(super) fn remember_token(&mut self, token: &[u8], token_for_urls: &[u8]) {
        if is_other(token, self.token()) {
            self.0.get_or_insert_default().token = token.to_vec().into();
        }
        if is_other(token_for_urls, self.token_for_urls()) {
            self.0.get_or_insert_default().token_for_urls = token_for_urls.to_vec().into();
        }
    }
}

/// Most requests have no token, and a comparison of two empty slices, which have no address, would
/// take a quarter of a microsecond where glibc makes it with AVX-512.
fn is_other(token: &[u8], known: &[u8]) -> bool {
    !(token.is_empty() && known.is_empty()) && token != known
}

/// The name in the certificate that a client has shown, for the log.
pub(super) fn client_name(transport: &Transport) -> Option<Arc<str>> {
    let certificate = Certificate::parse(transport.client_certificate()?)?;
    certificate.holder().map(Into::into)
}

impl Client {
    /// The PROXY header that an upstream gets for the client at the other end of `transport`.
    pub(super) fn proxy_header(&self, transport: &Transport) -> ProxyHeader {
        let destination = self.destination.or_else(|| transport.local_address());
        ProxyHeader { source: self.address, destination }
    }
}

/// What the connections of one listening socket share. The sites and what runs are those of the
/// whole worker.
pub struct Context {
    site: Rc<RefCell<Rc<Site>>>,
    /// Whether these connections are to end.
    pub drain: Drain,
    /// What this worker counts.
    pub metrics: Rc<WorkerMetrics>,
    /// What to answer to authorities.
    pub challenges: Arc<Challenges>,
    /// The counts of clients, and who of them is slowed.
    pub admission: Arc<Admission>,
    /// What the listener of its HTTP clients knows of addresses, if anything.
    address_rules: RefCell<Option<Arc<AddressRules>>>,
}

impl Context {
    /// A worker that serves `site`, and counts in `metrics`.
    pub fn new(site: Site, metrics: Rc<WorkerMetrics>) -> Self {
        let site = Rc::new(RefCell::new(Rc::new(site)));
        let (challenges, admission) = Default::default();
        let address_rules = RefCell::default();
        Self { site, drain: Drain::default(), metrics, challenges, admission, address_rules }
    }

    /// A worker that answers these challenges.
    pub fn answering(self, challenges: Arc<Challenges>) -> Self {
        Self { challenges, ..self }
    }

    /// A worker that counts its clients there.
    pub fn counting(self, admission: Arc<Admission>) -> Self {
        Self { admission, ..self }
    }

    /// Another listening socket of this worker, which can be drained alone.
    pub fn of_another_socket(&self) -> Self {
        Self {
            site: Rc::clone(&self.site),
            drain: Drain::default(),
            metrics: Rc::clone(&self.metrics),
            challenges: Arc::clone(&self.challenges),
            admission: Arc::clone(&self.admission),
            address_rules: RefCell::default(),
        }
    }

    /// Until when a connection that has been idle since `since` may wait for a request, if not for
    /// the whole of `keep_alive`. `crowded_since` is when it first met a lack of descriptors in
    /// this wait.
    pub(super) fn request_due(
        &self,
        since: Instant,
        has_asked: bool,
        crowded_since: &mut Option<Instant>,
    ) -> Option<Instant> {
        let drained = self.drain.last_request_by(since);
        if !self.admission.is_crowded() {
            *crowded_since = None;
            return drained;
        }
        let patience = if has_asked { CROWDED_IDLE_MAX } else { CROWDED_SILENCE_MAX };
        let gives_way = *crowded_since.get_or_insert_with(now) + patience;
        Some(drained.map_or(gives_way, |it| it.min(gives_way)))
    }

    /// The current site. A caller that waits keeps only the part that it needs.
    pub fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// What is known of the addresses of the HTTP clients. No caller keeps it while it waits.
    pub(super) fn address_rules(&self) -> Ref<'_, Option<Arc<AddressRules>>> {
        self.address_rules.borrow()
    }

    /// These rules count from the next request on.
    pub fn replace_address_rules(&self, rules: Option<Arc<AddressRules>>) {
        self.address_rules.replace(rules);
    }

    /// The whole worker serves `site` from now on. What has begun goes on with what it took of the
    /// old one.
    pub fn replace_site(&self, site: Site) {
        self.site.replace(Rc::new(site));
    }
}

/// A stop in two steps: each connection ends after its next response, or when none has been asked
/// for in time; then what still runs is cut.
#[derive(Debug, Default)]
pub struct Drain {
    /// Whether each response is to end its connection, for a stop that comes.
    is_announced: Cell<bool>,
    /// Until when idle connections may wait for their last request, if it has begun.
    idle_until: Cell<Option<Instant>>,
    begun: Notify,
    over: Cell<bool>,
    watchers: RefCell<Watchers>,
}

/// The tasks that [`Drain::begin`] and [`Drain::cut`] have to wake.
#[derive(Debug, Default)]
struct Watchers {
    wakers: Vec<Option<Waker>>,
    /// Numbers of tasks that have ended. They begin at 1.
    free: Vec<NonZeroU32>,
}

/// The number of a task that a [`Drain`] wakes. Small, because each connection has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watch(Option<NonZeroU32>);

impl Drain {
    /// From now on each response ends its connection, so that clients go elsewhere. Idle ones stay.
    pub fn announce(&self) {
        self.is_announced.set(true);
    }

    /// Whether a response is to end its connection.
    pub fn is_announced(&self) -> bool {
        self.is_announced.get() || self.has_begun()
    }

    /// Asks all connections to end after their next response. Idle ones have `idle` for that
    /// request; a second call can only shorten this.
    pub fn begin(&self, idle: Duration) {
        let until = Instant::now() + idle;
        let until = self.idle_until.get().map_or(until, |it| it.min(until));
        self.idle_until.set(Some(until));
        self.begun.notify_waiters();
        self.wake();
    }

    /// Whether [`Drain::begin`] was called.
    pub fn has_begun(&self) -> bool {
        self.idle_until.get().is_some()
    }

    /// Until when a connection that has been idle since `since` may wait for its last request, if
    /// the drain has begun. Each has [`DRAIN_GRACE`] after its last response.
    pub(super) fn last_request_by(&self, since: Instant) -> Option<Instant> {
        let idle_until = self.idle_until.get()?;
        Some(if self.is_over() { since } else { idle_until.max(since + DRAIN_GRACE) })
    }

    /// Waits for [`Drain::begin`].
    pub async fn begun(&self) {
        // Created before the flag is read, so that no call in between is missed.
        let notified = self.begun.notified();
        if !self.has_begun() {
            notified.await;
        }
    }

    /// Cuts what still runs: what has come for either side still arrives, and nothing more is read.
    pub fn cut(&self) {
        self.over.set(true);
        self.wake();
    }

    /// Wakes all tasks that wait.
    pub fn wake(&self) {
        self.watchers.borrow().wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Whether [`Drain::cut`] was called.
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Makes [`Drain::begin`] and [`Drain::cut`] wake the calling task, until [`Drain::forget`].
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

    /// Wakes this task no more: it ends.
    pub(super) fn forget(&self, Watch(number): Watch) {
        let Some(number) = number else { return };
        let Watchers { wakers, free } = &mut *self.watchers.borrow_mut();
        wakers[number.get() as usize - 1] = None;
        free.push(number);
    }
}
