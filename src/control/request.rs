//! What the main loop is asked for: by signals, and by the tasks beside it.

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
            None => self.recv_new().await,
            waited => waited,
        }
    }

    /// The next new request. Cancel-safe.
    pub(super) async fn recv_new(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    /// Lets a request wait. Of equal ones, one is enough.
    pub(super) fn put_off(&mut self, request: Request) {
        if !self.is_put_off(request) {
            self.later.push(request);
        }
    }

    /// Whether a request like this one has to wait.
    pub(super) fn is_put_off(&self, request: Request) -> bool {
        self.later.contains(&request)
    }
}
