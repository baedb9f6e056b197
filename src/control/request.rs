//! What the main loop is asked for: by signals, and by the tasks beside it.

use crate::telemetry::targets::SIGNALS;
use std::future::pending;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Something that the main loop is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To stop; a second time, to stop at once. The name of the signal: `"SIGTERM"`, `"SIGINT"` or
    /// `"SIGQUIT"`.
    Stop(&'static str),
    /// To read the configuration again.
    Reload,
    /// To start the program file anew, and to leave the listeners to it.
    HandOver,
}

impl Request {
    /// The name of the signal that asks for it.
    pub(super) fn signal(self) -> &'static str {
        match self {
            Self::Stop(signal) => signal,
            Self::Reload => "SIGHUP",
            Self::HandOver => "SIGUSR2",
        }
    }
}

/// The way to ask. No bound is needed: signals of one kind count as one until they are received,
/// and a task asks once and waits for what comes of it.
pub(super) type Requests = UnboundedSender<Request>;

/// The main loop's end of the way.
pub(super) struct Asked {
    requests: UnboundedReceiver<Request>,
    /// Requests that have to wait.
    later: Vec<Request>,
}

impl Asked {
    pub(super) fn new(requests: UnboundedReceiver<Request>) -> Self {
        Self { requests, later: Vec::new() }
    }

    /// The next request: one that had to wait, or a new one. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Option<Request> {
        match self.later.pop() {
            None => self.requests.recv().await,
            waited => waited,
        }
    }

    /// The signal of the next new request to stop. Because of what is `under_way`, what is asked
    /// for before it has to wait, if it is among `waiting`, and is ignored otherwise. Cancel-safe.
    pub(super) async fn stop_signal(
        &mut self,
        under_way: &str,
        waiting: &[Request],
    ) -> &'static str {
        loop {
            let request = match self.requests.recv().await {
                Some(Request::Stop(signal)) => return signal,
                Some(request) => request,
                None => pending().await,
            };
            let signal = request.signal();
            if !waiting.contains(&request) {
                tracing::warn!(target: SIGNALS, "{signal} is ignored: {under_way} is under way");
                continue;
            }
            tracing::info!(target: SIGNALS, "{signal} waits: {under_way} is under way");
            // Of equal ones, one is enough.
            if !self.is_put_off(request) {
                self.later.push(request);
            }
        }
    }

    /// Whether a request like this one has to wait.
    pub(super) fn is_put_off(&self, request: Request) -> bool {
        self.later.contains(&request)
    }
}
