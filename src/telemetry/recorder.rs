//! What is remembered of an exchange, or of a connection in tcp mode, while it lasts: a
//! [`Recorder`]. At the end it makes a [`Record`] of it for the observer.

use super::facts::{ExchangeLaps, Facts, Rare};
use super::lap::Lap;
use super::metrics::{Entered, InUse, RouteMetrics, UpstreamMetrics, WorkerMetrics};
use super::observer::{count, ended};
use super::record::{ConnectionFacts, Detail, DialTimes, MethodName, Outcome, Record};
use super::request_ids::new_request_id;
use super::waits::Awaited;
use super::who::Who;
use crate::clock::now;
use crate::error::{DialFailure, ExchangeError, Fault};
use crate::gateway::client_limits::Permit;
use crate::gateway::event_stream::EventCounter;
use crate::gateway::request_id::RequestId;
use crate::net::admission::Place;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Duration;
use tokio::time::Instant;

/// The recorder of an exchange.
pub type ExchangeRecorder = Recorder<ExchangeLaps>;
/// The recorder of a connection in tcp mode.
pub type ConnectionRecorder = Recorder<ConnectionFacts>;

/// What is known so far is in a box, used by one exchange after the other. So it takes no room in
/// the connection's task.
pub struct Recorder<F: Facts>(Box<Slot<F>>);

/// What is known of a client connection's current exchange, or of a connection in tcp mode.
struct Slot<F: Facts> {
    who: Who,
    known: Known<F>,
    /// What counts it.
    metrics: Rc<WorkerMetrics>,
}

/// What is known so far.
#[derive(Default)]
struct Known<F> {
    /// Where it runs, its route or forward or what has none, while there is something to record:
    /// each exchange has exactly one record.
    runs: Option<Entered<RouteMetrics>>,
    /// The upstream, while there is a connection to it.
    upstream: Option<InUse>,
    connect: Option<Lap>,
    /// In a box, because most exchanges have none of it.
    rare: Option<Box<Rare>>,
    to_upstream: u64,
    to_client: u64,
    /// The bytes in both directions that the route has counted.
    counted: (u64, u64),
    facts: F,
}

impl<F> Known<F> {
    /// How long ago it began, at `now`.
    fn age(&self, now: Instant) -> Duration {
        self.runs.as_ref().map_or(Duration::ZERO, |it| now.duration_since(it.began()))
    }

    fn lap(&self, now: Instant) -> Lap {
        self.age(now).into()
    }

    fn set_dial(&mut self, dial: Option<DialTimes>) {
        if dial.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().dial = dial;
        }
    }

    /// It runs on `route` from now on.
    fn moves_to(&mut self, route: &Rc<RouteMetrics>) {
        if let Some(runs) = &mut self.runs {
            *runs = Entered::new(Rc::clone(route), runs.began());
        }
    }

    /// Lets `count` count it where it runs.
    fn count(&self, count: impl FnOnce(&RouteMetrics)) {
        if let Some(route) = &self.runs {
            count(route);
        }
    }

    /// Counts the bytes since the last time. A counter never goes back.
    fn count_bytes(&mut self, to_upstream: u64, to_client: u64) {
        let (up, down) = self.counted;
        let counted = (up.max(to_upstream), down.max(to_client));
        if counted != (up, down) {
            self.count(|route| route.moved(counted.0 - up, counted.1 - down));
            self.counted = counted;
        }
    }
}

impl<F: Facts> Recorder<F> {
    fn begun(who: Who, metrics: &Rc<WorkerMetrics>) -> Self {
        Self(Box::new(Slot { who, known: Known::default(), metrics: Rc::clone(metrics) }))
    }

    /// It begins, with no route yet.
    fn begin(&mut self, facts: F) {
        let runs = Some(Entered::new(self.0.metrics.unrouted(), now()));
        self.0.known = Known { runs, facts, ..Known::default() };
    }

    /// Whose exchange or connection it is.
    pub fn client(&self) -> SocketAddr {
        self.0.who.address()
    }

    /// How long ago it began.
    pub fn elapsed(&self) -> Duration {
        self.0.known.age(now())
    }

    /// Bytes so far, in both directions. Of those to the client, `held` have not left.
    pub fn bytes(&mut self, to_upstream: u64, to_client: u64, held: usize) {
        let known = &mut self.0.known;
        (known.to_upstream, known.to_client) = (to_upstream, to_client);
        known.count_bytes(to_upstream, to_client.saturating_sub(held as u64));
    }

    /// So many bytes of content of an answer of ours go to the client.
    pub fn own_content(&mut self, bytes: usize) {
        self.0.known.to_client += bytes as u64;
    }

    /// Of the bytes to the client so far, the last ones, so many, went nowhere.
    pub fn not_sent(&mut self, bytes: usize) {
        let known = &mut self.0.known;
        known.to_client = known.to_client.saturating_sub(bytes as u64);
    }

    /// It has ended.
    pub fn end_with(&mut self, outcome: Outcome, detail: Detail) {
        let (now, Slot { who, known, metrics }) = (now(), &mut *self.0);
        known.count_bytes(known.to_upstream, known.to_client);
        known.upstream = None;
        let total = known.age(now);
        let route = known.runs.take();
        // The permit and the place are given back.
        let Rare { dial, client, key, .. } =
            known.rare.take().map(|rare| *rare).unwrap_or_default();
        let name = client.as_ref().map(|client| Arc::clone(client.name()));
        let record = Record {
            client: who.address(),
            client_name: name.or_else(|| who.name()),
            peer: who.proxy(),
            has_token: client.is_some(),
            key,
            name: route.as_ref().and_then(|route| route.name().cloned()),
            connect: known.connect.map(Duration::from),
            dial,
            total,
            to_upstream: known.to_upstream,
            to_client: known.to_client,
            subject: known.facts.take(now),
            outcome,
            detail,
        };
        count(&record, metrics, route.as_deref(), client.as_deref());
        ended(&record);
    }

    /// It has ended in order.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_with(outcome, Detail::default());
    }
}

impl ExchangeRecorder {
    /// For the exchanges of one client, before the first.
    pub fn new(client: impl Into<Who>, metrics: &Rc<WorkerMetrics>) -> Self {
        Self::begun(client.into(), metrics)
    }

    /// The first byte of a request is here.
    pub fn start(&mut self) {
        let facts = ExchangeLaps { id: Some(new_request_id()), ..ExchangeLaps::default() };
        // Until its head says something else.
        self.is_of(self.peer());
        self.begin(facts);
    }

    /// The other end of the connection, which may be a proxy.
    pub fn peer(&self) -> SocketAddr {
        self.0.who.peer()
    }

    /// The exchange is of `client`: that peer, or a client that it speaks for.
    pub fn is_of(&mut self, client: SocketAddr) {
        self.0.who.speaks_for(client);
    }

    /// The id of the exchange; `None` before the first one.
    pub fn request_id(&self) -> Option<RequestId> {
        self.0.known.facts.id
    }

    /// Since `since`, the exchange waits for `awaited` and for no one else.
    pub fn waits(&mut self, awaited: Awaited, since: Instant) {
        self.0.known.facts.waits.begin(awaited, since);
    }

    /// The request was forwarded to its end, at `now`. If nothing had to be waited for, that is
    /// when it came.
    pub fn request_sent(&mut self, now: Instant) {
        let known = &mut self.0.known;
        if known.facts.waits.is_waiting() {
            known.facts.request = Some(known.lap(now));
        }
    }

    /// The request's method.
    pub fn method(&mut self, method: &[u8]) {
        self.0.known.facts.method = MethodName::of(method);
    }

    /// The route.
    pub fn route(&mut self, route: &Rc<RouteMetrics>) {
        self.0.known.moves_to(route);
    }

    /// It has the token of this client, and keeps `permit` until its end.
    pub fn of_client(&mut self, name: &str, permit: Option<Permit>) {
        let Slot { known, metrics, .. } = &mut *self.0;
        let Some(runs) = &known.runs else { return };
        let client = Entered::new(metrics.client(name), runs.began());
        let rare = known.rare.get_or_insert_default();
        (rare.client, rare.permit) = (Some(client), permit);
    }

    /// It holds `place` until its end, and no other.
    pub fn holds(&mut self, place: Option<Place>) {
        self.0.known.rare.get_or_insert_default().place = place;
    }

    /// It gets the key of the API in this line.
    pub fn key(&mut self, line: u32) {
        self.0.known.rare.get_or_insert_default().key = Some(line);
    }

    /// The exchange has its connection to `upstream`: an idle one, or one just opened. `dial` is
    /// how long it took to open one that was waited for.
    pub fn connected(
        &mut self,
        upstream: &Rc<UpstreamMetrics>,
        reused: bool,
        dial: Option<DialTimes>,
    ) {
        let known = &mut self.0.known;
        if reused {
            upstream.reused();
        }
        known.upstream = Some(upstream.in_use());
        known.connect = (!reused).then(|| known.lap(now()));
        known.set_dial(dial);
        known.facts.reused = Some(reused);
    }

    /// The head of the upstream's final response is complete.
    pub fn response_head(&mut self, status: u16) {
        let (now, known) = (now(), &mut self.0.known);
        let lap = known.lap(now);
        known.facts.waits.end(now);
        known.facts.head = Some(lap);
        known.facts.status = Some(status);
        known.count(|route| route.response_head(lap.into()));
    }

    /// The request is sent once more.
    pub fn repeated(&mut self) {
        self.0.known.count(RouteMetrics::repeated);
    }

    /// The response is an event stream, whose events `counter` can count if they are readable.
    pub fn event_stream(&mut self, counter: Option<EventCounter>) {
        let known = &mut self.0.known;
        (known.facts.is_event_stream, known.facts.events) = (true, counter);
    }

    /// What counts the events of the response, if any.
    pub fn events(&mut self) -> Option<&mut EventCounter> {
        self.0.known.facts.events.as_mut()
    }

    /// We answer ourselves.
    pub fn answered(&mut self, status: u16) {
        self.0.known.facts.status = Some(status);
    }

    /// Content goes to the client.
    pub fn first_byte(&mut self) {
        let known = &mut self.0.known;
        if known.facts.first_byte.is_none() {
            let lap = known.lap(now());
            known.facts.first_byte = Some(lap);
            known.count(|route| route.first_byte(lap.into()));
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
    /// A connection from `client` was accepted.
    pub fn new(client: SocketAddr, metrics: &Rc<WorkerMetrics>) -> Self {
        let mut recorder = Self::begun(client.into(), metrics);
        recorder.begin(ConnectionFacts::default());
        recorder
    }

    /// The client has this name in its certificate.
    pub fn named(&mut self, name: Arc<str>) {
        self.0.who = Who::new(self.0.who.address(), Some(name));
    }

    /// The name that the client asks for.
    pub fn asked_for(&mut self, server_name: Option<Box<str>>) {
        self.0.known.facts.server_name = server_name;
    }

    /// What `find` finds for the name that the client asks for.
    pub fn with_server_name<T>(&self, find: impl FnOnce(Option<&str>) -> T) -> T {
        find(self.0.known.facts.server_name.as_deref())
    }

    /// The forward, by its name.
    pub fn forward(&mut self, name: &Arc<str>) {
        let forward = self.0.metrics.route(name);
        self.0.known.moves_to(&forward);
    }

    /// The connection to the upstream is ready.
    pub fn connected(&mut self, upstream: &Rc<UpstreamMetrics>, dial: DialTimes) {
        let known = &mut self.0.known;
        known.upstream = Some(upstream.in_use());
        known.connect = Some(known.lap(now()));
        known.set_dial(Some(dial));
    }

    /// The connection becomes one of the HTTP relay: its exchanges have records, it has none.
    pub fn hand_over(&mut self) {
        self.0.known.runs = None;
    }

    /// The tunnel is over.
    pub fn tunnelled(&mut self, result: Result<(), ExchangeError>) {
        match result {
            Ok(()) => self.end(Outcome::Closed),
            Err(error) => self.end_with(Outcome::of(&error, false), (&error).into()),
        }
    }
}

/// What is dropped while it lasts has its record, too: a stop came before its end, or a panic.
impl<F: Facts> Drop for Recorder<F> {
    fn drop(&mut self) {
        if self.0.known.runs.is_some() {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end(Outcome::Aborted { fault: Fault::Internal, cause });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_was_opened_has_a_time_of_opening() {
        let connected = |reused| {
            let client = SocketAddr::from(([192, 0, 2, 7], 4711));
            let mut recorder = ExchangeRecorder::new(client, &Rc::default());
            recorder.connected(&Rc::default(), reused, None);
            let known = &recorder.0.known;
            (known.facts.reused, known.connect.is_some())
        };
        assert_eq!(connected(false), (Some(false), true));
        assert_eq!(connected(true), (Some(true), false));
    }

    /// Each client connection has one, next to its task.
    #[test]
    fn the_slot_of_a_connection_stays_small() {
        let of_exchange = size_of::<Slot<ExchangeLaps>>();
        let of_connection = size_of::<Slot<ConnectionFacts>>();
        assert!(of_exchange <= 248, "{of_exchange}");
        assert!(of_connection <= 144, "{of_connection}");
    }
}
