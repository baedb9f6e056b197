//! Signals: those that ask us for something, and those that must not end the process.

use crate::control::request::{Request, Requests};
use crate::telemetry::targets::SIGNALS;
use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Catches the signals that would end a process that does not serve yet, and are not meant to. What
/// arrives from now on is answered when it serves. A signal to stop still ends it at once: there is
/// nothing to finish, and it may wait for a file, or for its operator to type a configuration.
pub fn catch_signals() {
    let runtime = Builder::new_current_thread().enable_io().build();
    let Ok(runtime) = runtime else { return };
    let _inside = runtime.enter();
    for kind in [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()] {
        // A handler stays for good. One that is refused is told of when the process serves.
        let _installed = signal(kind);
    }
}

/// The signals that operators and scripts send. None of them kills the process once this exists.
#[derive(Debug)]
pub(super) struct Signals {
    stopping: [(Stream, &'static str); 3],
    hangup: Stream,
    user1: Stream,
    user2: Stream,
    /// Sent for each write beyond the limit of a file's size, for the log itself too. Only its
    /// handler is needed: by default it kills the process.
    _file_size: Stream,
}

impl Signals {
    /// Installs the handlers. Must be called in a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            stopping: [
                (signal(SignalKind::terminate())?, "SIGTERM"),
                (signal(SignalKind::interrupt())?, "SIGINT"),
                // nginx's signal for a graceful stop. By default it would cut every stream, and
                // write the keys of this process into a core dump.
                (signal(SignalKind::quit())?, "SIGQUIT"),
            ],
            hangup: signal(SignalKind::hangup())?,
            // It makes other servers reopen log files, so scripts that rotate logs send it.
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(Number::XFSZ.as_raw()))?,
        })
    }

    /// Passes on what the signals ask for, for as long as anyone receives it.
    pub(super) async fn forward(mut self, requests: Requests) {
        while requests.send(self.recv().await).is_ok() {}
    }

    /// Waits for the next signal that asks for something. Signals of one kind that arrive before
    /// the call count as one.
    async fn recv(&mut self) -> Request {
        poll_fn(|context| {
            while self.user1.poll_recv(context).is_ready() {
                tracing::warn!(target: SIGNALS, "SIGUSR1 is ignored: it has no meaning here");
            }
            for (stopping, name) in &mut self.stopping {
                if stopping.poll_recv(context).is_ready() {
                    return Poll::Ready(Request::Stop(name));
                }
            }
            if self.hangup.poll_recv(context).is_ready() {
                return Poll::Ready(Request::Reload);
            }
            if self.user2.poll_recv(context).is_ready() {
                return Poll::Ready(Request::HandOver);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getpid, kill_process};

    /// One test for all signals: they belong to the process, and tests run in parallel.
    #[tokio::test]
    async fn each_signal_is_received_as_what_it_asks_for() {
        let mut signals = Signals::new().unwrap();
        for (number, request) in [
            (Number::TERM, Request::Stop("SIGTERM")),
            (Number::INT, Request::Stop("SIGINT")),
            (Number::QUIT, Request::Stop("SIGQUIT")),
            (Number::HUP, Request::Reload),
            (Number::USR2, Request::HandOver),
        ] {
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.recv().await, request);
        }
    }
}
