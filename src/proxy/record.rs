//! What is remembered of an exchange for its access-log line.

use crate::error::{ExchangeError, Peer};
use crate::ops::{ExchangeRecord, MethodName, Outcome};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::panicking;
use tokio::time::Instant;

/// The record of the exchange that a session is at, while it is being filled in.
///
/// It stays in its place in the session: handed from one future to the next, it would take its
/// size in each of them.
#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    record: ExchangeRecord,
    /// An exchange has begun, and its line is not written: each exchange has exactly one.
    is_open: bool,
}

impl Recorder {
    /// A recorder for the exchanges of one client.
    pub(super) fn new(client: SocketAddr) -> Self {
        let record = ExchangeRecord::new(client);
        Self { started: Instant::now(), record, is_open: false }
    }

    /// Starts the clock: the first byte of a request is here.
    pub(super) fn start(&mut self) {
        self.started = Instant::now();
        self.record = ExchangeRecord::new(self.record.client);
        self.is_open = true;
    }

    pub(super) fn method(&mut self, method: &[u8]) {
        self.record.method = MethodName::of(method);
    }

    pub(super) fn route(&mut self, name: &Arc<str>) {
        self.record.route = Some(Arc::clone(name));
    }

    /// The exchange has its connection to the upstream: an idle one, or one just opened.
    pub(super) fn connected(&mut self, reused: bool) {
        self.record.connect = (!reused).then(|| self.started.elapsed());
        self.record.reused = Some(reused);
    }

    pub(super) fn response_head(&mut self, status: u16) {
        self.record.head = Some(self.started.elapsed());
        self.record.status = Some(status);
    }

    pub(super) fn answered(&mut self, status: u16) {
        self.record.status = Some(status);
    }

    pub(super) fn first_byte(&mut self) {
        if self.record.first_byte.is_none() {
            self.record.first_byte = Some(self.started.elapsed());
        }
    }

    pub(super) fn bytes(&mut self, to_upstream: u64, to_client: u64) {
        self.record.to_upstream = to_upstream;
        self.record.to_client = to_client;
    }

    /// Writes the line of an exchange that ended as it should.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.record.total = self.started.elapsed();
        self.record.outcome = outcome;
        self.record.emit();
        self.is_open = false;
    }

    /// Writes the line of an exchange that did not. `answered`: the client was told.
    pub(super) fn fail(&mut self, error: &ExchangeError, answered: bool) {
        let outcome = if answered {
            Outcome::Answered { fault: error.peer, code: error.name() }
        } else {
            Outcome::Aborted { fault: error.peer, cause: error.name() }
        };
        self.end(outcome);
    }
}

/// An exchange whose task is dropped has its line, too: a stop came before its end, or a panic.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_open {
            let cause = if panicking() { "panic" } else { "stopped" };
            self.end(Outcome::Aborted { fault: Peer::Narrows, cause });
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
            (recorder.record.reused, recorder.record.connect.is_some())
        };
        assert_eq!(connected(false), (Some(false), true));
        assert_eq!(connected(true), (Some(true), false));
    }
}
