//! What the main loop is asked for: by signals, and by the tasks beside it.

use tokio::sync::mpsc::UnboundedSender;

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
