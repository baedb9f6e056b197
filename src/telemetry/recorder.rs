//! What is remembered of an exchange, or of a connection in tcp mode, while it lasts: a
//! [`Recorder`]. At the end it makes a [`Record`] of it for the observer.

use super::observer::ended;
use super::record::{ConnectionFacts, Detail, ExchangeFacts, MethodName, Outcome, Record, Subject};
use crate::error::{DialFailure, ExchangeError, Fault};
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Duration;
use tokio::time::Instant;

/// The recorder of an exchange.
pub type ExchangeRecorder = Recorder<ExchangeLaps>;
/// The recorder of a connection in tcp mode.
pub type ConnectionRecorder = Recorder<ConnectionFacts>;

/// What is known so far.
///
/// It stays in its place in the session: handed from one future to the next, it would take its
/// size in each of them.
#[derive(Debug)]
pub struct Recorder<F: Facts> {
    /// Since when, while there is something to record: each exchange has exactly one record.
    started: Option<Instant>,
    client: SocketAddr,
    name: Option<Arc<str>>,
    connect: Option<Lap>,
    to_upstream: u64,
    to_client: u64,
    facts: F,
}

/// What is known of exchanges alone, or of connections alone.
pub trait Facts: Default {
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

impl<F: Facts> Recorder<F> {
    fn begun(client: SocketAddr, started: Option<Instant>) -> Self {
        let (name, connect, to_upstream, to_client, facts) = Default::default();
        Self { started, client, name, connect, to_upstream, to_client, facts }
    }

    /// Whose exchange or connection it is.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// How long ago it began.
    pub fn elapsed(&self) -> Duration {
        self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    /// Bytes so far, in both directions.
    pub fn bytes(&mut self, to_upstream: u64, to_client: u64) {
        (self.to_upstream, self.to_client) = (to_upstream, to_client);
    }

    /// So many bytes behind the last ones that were counted for the client went nowhere.
    pub fn not_sent(&mut self, bytes: usize) {
        self.to_client = self.to_client.saturating_sub(bytes as u64);
    }

    /// It has ended.
    pub fn end_with(&mut self, outcome: Outcome, detail: Detail) {
        let record = Record {
            client: self.client,
            name: self.name.take(),
            connect: self.connect.map(Duration::from),
            total: self.elapsed(),
            to_upstream: self.to_upstream,
            to_client: self.to_client,
            subject: self.facts.take(),
            outcome,
            detail,
        };
        self.started = None;
        ended(&record);
    }

    /// It has ended in order.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_with(outcome, Detail::default());
    }

    fn lap(&self) -> Lap {
        let nanoseconds = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Lap(NonZero::new(nanoseconds).unwrap_or(NonZero::<u64>::MIN))
    }
}

impl ExchangeRecorder {
    /// For the exchanges of one client, before the first.
    pub fn new(client: SocketAddr) -> Self {
        Self::begun(client, None)
    }

    /// The first byte of a request is here.
    pub fn start(&mut self) {
        *self = Self::begun(self.client, Some(Instant::now()));
    }

    /// The request's method.
    pub fn method(&mut self, method: &[u8]) {
        self.facts.method = MethodName::of(method);
    }

    /// The route, by its name.
    pub fn route(&mut self, name: &Arc<str>) {
        self.name = Some(Arc::clone(name));
    }

    /// The exchange has its connection to the upstream: an idle one, or one just opened.
    pub fn connected(&mut self, reused: bool) {
        self.connect = (!reused).then(|| self.lap());
        self.facts.reused = Some(reused);
    }

    /// The head of the upstream's final response is complete.
    pub fn response_head(&mut self, status: u16) {
        self.facts.head = Some(self.lap());
        self.facts.status = Some(status);
    }

    /// We answer ourselves.
    pub fn answered(&mut self, status: u16) {
        self.facts.status = Some(status);
    }

    /// Content goes to the client.
    pub fn first_byte(&mut self) {
        if self.facts.first_byte.is_none() {
            self.facts.first_byte = Some(self.lap());
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
    pub fn new(client: SocketAddr) -> Self {
        Self::begun(client, Some(Instant::now()))
    }

    /// The name that the client asks for.
    pub fn asked_for(&mut self, server_name: Option<Box<str>>) {
        self.facts.server_name = server_name;
    }

    /// The same.
    pub fn server_name(&self) -> Option<&str> {
        self.facts.server_name.as_deref()
    }

    /// The forward, by its name.
    pub fn forward(&mut self, name: &Arc<str>) {
        self.name = Some(Arc::clone(name));
    }

    /// The connection to the upstream is ready.
    pub fn connected(&mut self) {
        self.connect = Some(self.lap());
    }

    /// The connection becomes one of the HTTP relay: its exchanges have records, it has none.
    pub fn hand_over(&mut self) {
        self.started = None;
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
        if self.started.is_some() {
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
            let mut recorder = ExchangeRecorder::new(SocketAddr::from(([192, 0, 2, 7], 4711)));
            recorder.connected(reused);
            (recorder.facts.reused, recorder.connect.is_some())
        };
        assert_eq!(connected(false), (Some(false), true));
        assert_eq!(connected(true), (Some(true), false));
    }
}
