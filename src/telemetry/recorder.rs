//! What is remembered of an exchange, or of a connection in tcp mode, while it lasts: a
//! [`Recorder`]. At the end it makes a [`Record`] of it for the observer.

use super::observer::ended;
use super::record::{
    ConnectionFacts, Detail, DialTimes, ExchangeFacts, MethodName, Outcome, Record, Subject,
};
use super::running::{Entry, Running};
use crate::error::{DialFailure, ExchangeError, Fault};
use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Duration;
use tokio::time::Instant;

/// The recorder of an exchange.
pub type ExchangeRecorder = Recorder<ExchangeLaps>;
/// The recorder of a connection in tcp mode.
pub type ConnectionRecorder = Recorder<ConnectionFacts>;

/// What is known so far is in a slot that the worker lists, one for each connection, used by one
/// exchange after the other. So it takes no room in the connection's task.
pub struct Recorder<F: Facts>(Rc<Slot<F>>);

/// What is known of a client connection's current exchange, or of a connection in tcp mode.
struct Slot<F> {
    client: SocketAddr,
    known: RefCell<Known<F>>,
    /// The list that it is in, and where.
    running: Running,
    position: Cell<usize>,
}

/// What is known so far.
#[derive(Default)]
struct Known<F> {
    /// Since when, while there is something to record: each exchange has exactly one record.
    started: Option<Instant>,
    name: Option<Arc<str>>,
    connect: Option<Lap>,
    /// In a box, because most exchanges have none.
    dial: Option<Box<DialTimes>>,
    to_upstream: u64,
    to_client: u64,
    facts: F,
}

/// What is known of exchanges alone, or of connections alone.
pub trait Facts: Default + 'static {
    /// All of it, at the end.
    fn take(&mut self) -> Subject;
}

/// What is known so far of exchanges alone.
#[derive(Debug, Default)]
pub struct ExchangeLaps {
    method: MethodName,
    status: Option<u16>,
    reused: Option<bool>,
    head: Option<Lap>,
    first_byte: Option<Lap>,
}

impl Facts for ExchangeLaps {
    fn take(&mut self) -> Subject {
        Subject::Exchange(ExchangeFacts {
            method: self.method,
            status: self.status,
            reused: self.reused,
            head: self.head.map(Duration::from),
            first_byte: self.first_byte.map(Duration::from),
        })
    }
}

impl Facts for ConnectionFacts {
    fn take(&mut self) -> Subject {
        Subject::Connection(std::mem::take(self))
    }
}

impl<F: Facts> Entry for Slot<F> {
    fn position(&self) -> &Cell<usize> {
        &self.position
    }

    fn current(&self) -> Option<(Instant, Option<Arc<str>>)> {
        let known = self.known.borrow();
        known.started.map(|started| (started, known.name.clone()))
    }
}

impl<F> Known<F> {
    fn elapsed(&self) -> Duration {
        self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    fn lap(&self) -> Lap {
        let nanoseconds = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Lap(NonZero::new(nanoseconds).unwrap_or(NonZero::<u64>::MIN))
    }
}

impl<F: Facts> Recorder<F> {
    fn begun(client: SocketAddr, running: &Running, started: Option<Instant>) -> Self {
        let known = RefCell::new(Known { started, ..Known::default() });
        let (running, position) = (running.clone(), Cell::default());
        let slot = Rc::new(Slot { client, known, running, position });
        slot.running.enter(Rc::clone(&slot) as Rc<dyn Entry>);
        Self(slot)
    }

    fn known(&self) -> RefMut<'_, Known<F>> {
        self.0.known.borrow_mut()
    }

    /// Whose exchange or connection it is.
    pub fn client(&self) -> SocketAddr {
        self.0.client
    }

    /// How long ago it began.
    pub fn elapsed(&self) -> Duration {
        self.known().elapsed()
    }

    /// Bytes so far, in both directions.
    pub fn bytes(&mut self, to_upstream: u64, to_client: u64) {
        let mut known = self.known();
        (known.to_upstream, known.to_client) = (to_upstream, to_client);
    }

    /// So many bytes behind the last ones that were counted for the client went nowhere.
    pub fn not_sent(&mut self, bytes: usize) {
        let mut known = self.known();
        known.to_client = known.to_client.saturating_sub(bytes as u64);
    }

    /// It has ended.
    pub fn end_with(&mut self, outcome: Outcome, detail: Detail) {
        let mut known = self.known();
        let record = Record {
            client: self.client(),
            name: known.name.take(),
            connect: known.connect.map(Duration::from),
            dial: known.dial.take().map(|dial| *dial),
            total: known.elapsed(),
            to_upstream: known.to_upstream,
            to_client: known.to_client,
            subject: known.facts.take(),
            outcome,
            detail,
        };
        known.started = None;
        drop(known);
        ended(&record);
    }

    /// It has ended in order.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_with(outcome, Detail::default());
    }
}

impl ExchangeRecorder {
    /// For the exchanges of one client, before the first. `running` lists the one that runs.
    pub fn new(client: SocketAddr, running: &Running) -> Self {
        Self::begun(client, running, None)
    }

    /// The first byte of a request is here.
    pub fn start(&mut self) {
        *self.known() = Known { started: Some(Instant::now()), ..Known::default() };
    }

    /// The request's method.
    pub fn method(&mut self, method: &[u8]) {
        self.known().facts.method = MethodName::of(method);
    }

    /// The route, by its name.
    pub fn route(&mut self, name: &Arc<str>) {
        self.known().name = Some(Arc::clone(name));
    }

    /// The exchange has its connection to the upstream: an idle one, or one just opened. `dial` is
    /// how long it took to open one that was waited for.
    pub fn connected(&mut self, reused: bool, dial: Option<DialTimes>) {
        let mut known = self.known();
        known.connect = (!reused).then(|| known.lap());
        known.dial = dial.map(Box::new);
        known.facts.reused = Some(reused);
    }

    /// The head of the upstream's final response is complete.
    pub fn response_head(&mut self, status: u16) {
        let mut known = self.known();
        known.facts.head = Some(known.lap());
        known.facts.status = Some(status);
    }

    /// We answer ourselves.
    pub fn answered(&mut self, status: u16) {
        self.known().facts.status = Some(status);
    }

    /// Content goes to the client.
    pub fn first_byte(&mut self) {
        let mut known = self.known();
        if known.facts.first_byte.is_none() {
            known.facts.first_byte = Some(known.lap());
        }
    }

    /// The exchange has failed. `answered`: the client gets an answer of ours.
    pub fn fail(&mut self, error: &ExchangeError, answered: bool) {
        self.end_with(Outcome::of(error, answered), error.into());
    }

    /// There was no connection to the upstream for the exchange.
    pub fn fail_to_dial(&mut self, failure: Box<DialFailure>, answered: bool) {
        self.end_with(Outcome::of(&failure.error, answered), failure.into());
    }
}

impl ConnectionRecorder {
    /// A connection from `client` was accepted. `running` lists it.
    pub fn new(client: SocketAddr, running: &Running) -> Self {
        Self::begun(client, running, Some(Instant::now()))
    }

    /// The name that the client asks for.
    pub fn asked_for(&mut self, server_name: Option<Box<str>>) {
        self.known().facts.server_name = server_name;
    }

    /// What `find` finds for the name that the client asks for.
    pub fn with_server_name<T>(&self, find: impl FnOnce(Option<&str>) -> T) -> T {
        find(self.known().facts.server_name.as_deref())
    }

    /// The forward, by its name.
    pub fn forward(&mut self, name: &Arc<str>) {
        self.known().name = Some(Arc::clone(name));
    }

    /// The connection to the upstream is ready.
    pub fn connected(&mut self, dial: DialTimes) {
        let mut known = self.known();
        known.connect = Some(known.lap());
        known.dial = Some(Box::new(dial));
    }

    /// The connection becomes one of the HTTP relay: its exchanges have records, it has none.
    pub fn hand_over(&mut self) {
        self.known().started = None;
    }

    /// The tunnel is over.
    pub fn tunnelled(&mut self, result: Result<(), ExchangeError>) {
        match result {
            Ok(()) => self.end(Outcome::Closed),
            Err(error) => self.end_with(Outcome::of(&error, false), (&error).into()),
        }
    }
}

/// A time since the start, in nanoseconds, never 0: an optional one is half as large as an optional
/// [`Duration`], and a session has three for as long as it lasts.
#[derive(Clone, Copy, Debug)]
struct Lap(NonZero<u64>);

impl From<Lap> for Duration {
    fn from(Lap(nanoseconds): Lap) -> Self {
        Self::from_nanos(nanoseconds.get())
    }
}

/// What is dropped while it lasts has its record, too: a stop came before its end, or a panic.
impl<F: Facts> Drop for Recorder<F> {
    fn drop(&mut self) {
        let is_running = self.known().started.is_some();
        if is_running {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end(Outcome::Aborted { fault: Fault::Internal, cause });
        }
        self.0.running.leave(&*self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_was_opened_has_a_time_of_opening() {
        let connected = |reused| {
            let client = SocketAddr::from(([192, 0, 2, 7], 4711));
            let mut recorder = ExchangeRecorder::new(client, &Running::default());
            recorder.connected(reused, None);
            let known = recorder.known();
            (known.facts.reused, known.connect.is_some())
        };
        assert_eq!(connected(false), (Some(false), true));
        assert_eq!(connected(true), (Some(true), false));
    }

    /// With the counts of its `Rc`. Each client connection has one, next to its task.
    #[test]
    fn the_slot_of_a_connection_stays_small() {
        let counts = 2 * size_of::<usize>();
        let of_exchange = counts + size_of::<Slot<ExchangeLaps>>();
        let of_connection = counts + size_of::<Slot<ConnectionFacts>>();
        assert!(of_exchange <= 168, "{of_exchange}");
        assert!(of_connection <= 160, "{of_connection}");
    }
}
