//! What is remembered of an exchange for its access-log line.

use crate::error::{DialFailure, ExchangeError, Fault};
use crate::telemetry::{
    ConnectionEnd, ConnectionRecord, Detail, ExchangeRecord, MethodName, Outcome,
};
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Duration;
use tokio::time::Instant;

/// What is known so far of the exchange that a session is at.
///
/// It stays in its place in the session: handed from one future to the next, it would take its
/// size in each of them.
#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    client: SocketAddr,
    route: Option<Arc<str>>,
    method: MethodName,
    status: Option<u16>,
    reused: Option<bool>,
    connect: Option<Lap>,
    head: Option<Lap>,
    first_byte: Option<Lap>,
    to_upstream: u64,
    to_client: u64,
    /// An exchange has begun, and its line is not written: each exchange has exactly one.
    is_open: bool,
}

impl Recorder {
    /// A recorder for the exchanges of one client.
    pub(super) fn new(client: SocketAddr) -> Self {
        Self {
            started: Instant::now(),
            client,
            route: None,
            method: MethodName::OTHER,
            status: None,
            reused: None,
            connect: None,
            head: None,
            first_byte: None,
            to_upstream: 0,
            to_client: 0,
            is_open: false,
        }
    }

    /// Starts the clock: the first byte of a request is here.
    pub(super) fn start(&mut self) {
        *self = Self::new(self.client);
        self.is_open = true;
    }

    /// How long ago the exchange began.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whose exchanges these are.
    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(super) fn method(&mut self, method: &[u8]) {
        self.method = MethodName::of(method);
    }

    pub(super) fn route(&mut self, name: &Arc<str>) {
        self.route = Some(Arc::clone(name));
    }

    /// The exchange has its connection to the upstream: an idle one, or one just opened.
    pub(super) fn connected(&mut self, reused: bool) {
        self.connect = (!reused).then(|| Lap::since(self.started));
        self.reused = Some(reused);
    }

    pub(super) fn response_head(&mut self, status: u16) {
        self.head = Some(Lap::since(self.started));
        self.status = Some(status);
    }

    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    pub(super) fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(Lap::since(self.started));
        }
    }

    pub(super) fn bytes(&mut self, to_upstream: u64, to_client: u64) {
        self.to_upstream = to_upstream;
        self.to_client = to_client;
    }

    /// So many bytes behind the last ones that were counted for the client went nowhere.
    pub(super) fn not_sent(&mut self, bytes: usize) {
        self.to_client = self.to_client.saturating_sub(bytes as u64);
    }

    /// Writes the line of an exchange that ended as it should.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.end_with(outcome, Detail::default());
    }

    fn end_with(&mut self, outcome: Outcome, detail: Detail) {
        self.is_open = false;
        let record = ExchangeRecord {
            client: self.client,
            route: self.route.take(),
            method: self.method,
            status: self.status,
            reused: self.reused,
            connect: self.connect.map(Duration::from),
            head: self.head.map(Duration::from),
            first_byte: self.first_byte.map(Duration::from),
            total: self.started.elapsed(),
            to_upstream: self.to_upstream,
            to_client: self.to_client,
            outcome,
            detail,
        };
        record.emit();
    }

    /// Writes the line of an exchange that did not. `answered`: the client was told.
    pub(super) fn fail(&mut self, error: &ExchangeError, answered: bool) {
        self.end_with(outcome(error, answered), error.into());
    }

    /// Writes the line of an exchange for which there was no connection to the upstream.
    pub(super) fn fail_to_dial(&mut self, failure: Box<DialFailure>, answered: bool) {
        self.end_with(outcome(&failure.error, answered), failure.into());
    }
}

fn outcome(error: &ExchangeError, answered: bool) -> Outcome {
    match answered {
        true => Outcome::Answered { fault: error.fault, code: error.name() },
        false => Outcome::Aborted { fault: error.fault, cause: error.name() },
    }
}

/// A time since the start, in nanoseconds, never 0: an optional one is half as large as an optional
/// [`Duration`], and a session has three for as long as it lasts.
#[derive(Clone, Copy, Debug)]
struct Lap(NonZero<u64>);

impl Lap {
    fn since(started: Instant) -> Self {
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Self(NonZero::new(nanoseconds).unwrap_or(NonZero::<u64>::MIN))
    }
}

impl From<Lap> for Duration {
    fn from(Lap(nanoseconds): Lap) -> Self {
        Self::from_nanos(nanoseconds.get())
    }
}

/// An exchange whose task is dropped has its line, too: a stop came before its end, or a panic.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_open {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end(Outcome::Aborted { fault: Fault::Internal, cause });
        }
    }
}

/// What is remembered of a connection for its line of the log.
pub(super) struct ConnectionRecorder {
    started: Instant,
    client: SocketAddr,
    forward: Option<Arc<str>>,
    pub(super) server_name: Option<Box<str>>,
    connect: Option<Duration>,
    to_upstream: u64,
    to_client: u64,
    /// Its line is not written: each connection has exactly one.
    is_open: bool,
}

impl ConnectionRecorder {
    pub(super) fn new(client: SocketAddr) -> Self {
        let (forward, server_name, connect, to_upstream, to_client) = Default::default();
        let started = Instant::now();
        let is_open = true;
        Self { started, client, forward, server_name, connect, to_upstream, to_client, is_open }
    }

    /// A forward was found.
    pub(super) fn forward(&mut self, name: &Arc<str>) {
        self.forward = Some(Arc::clone(name));
    }

    /// The connection to the upstream is ready.
    pub(super) fn connected(&mut self) {
        self.connect = Some(self.started.elapsed());
    }

    /// Somebody else writes a line about the connection.
    pub(super) fn hand_over(&mut self) {
        self.is_open = false;
    }

    pub(super) fn bytes(&mut self, to_upstream: u64, to_client: u64) {
        (self.to_upstream, self.to_client) = (to_upstream, to_client);
    }

    pub(super) fn tunnelled(&mut self, result: Result<(), ExchangeError>) {
        match result {
            Ok(()) => self.end_with(ConnectionEnd::Closed, Detail::default()),
            Err(error) => {
                let end = ConnectionEnd::Aborted { fault: error.fault, cause: error.name() };
                self.end_with(end, (&error).into());
            }
        }
    }

    pub(super) fn end_with(&mut self, end: ConnectionEnd, detail: Detail) {
        self.is_open = false;
        let record = ConnectionRecord {
            client: self.client,
            forward: self.forward.take(),
            server_name: self.server_name.take(),
            connect: self.connect,
            total: self.started.elapsed(),
            to_upstream: self.to_upstream,
            to_client: self.to_client,
            end,
            detail,
        };
        record.emit();
    }
}

/// A connection whose task is dropped has its line, too: a stop came before its end, or a panic.
impl Drop for ConnectionRecorder {
    fn drop(&mut self) {
        if self.is_open {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end_with(
                ConnectionEnd::Aborted { fault: Fault::Internal, cause },
                Detail::default(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_was_opened_has_a_time_of_opening() {
        let connected = |reused| {
            let mut recorder = Recorder::new(SocketAddr::from(([192, 0, 2, 7], 4711)));
            recorder.connected(reused);
            (recorder.reused, recorder.connect.is_some())
        };
        assert_eq!(connected(false), (Some(false), true));
        assert_eq!(connected(true), (Some(true), false));
    }
}
