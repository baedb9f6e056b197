//! Signals: those that ask us to stop, and those that must not end the process.

use crate::telemetry::targets::SIGNALS;
use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask us to stop, and others that operators and scripts send out of habit. None
/// of them kills the process once this exists.
#[derive(Debug)]
pub(super) struct StopSignals {
    stopping: [(Signal, &'static str); 3],
    hangup: Signal,
    ignored: [(Signal, &'static str); 2],
    /// Sent for each write beyond the limit of a file's size, for the log itself too. Only its
    /// handler is needed: by default it kills the process.
    _file_size: Signal,
}

impl StopSignals {
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
            // They make other servers reopen log files or replace their binary, so scripts that
            // rotate logs send them.
            ignored: [
                (signal(SignalKind::user_defined1())?, "SIGUSR1"),
                (signal(SignalKind::user_defined2())?, "SIGUSR2"),
            ],
            _file_size: signal(SignalKind::from_raw(Number::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next signal that asks us to stop, and returns its name: `"SIGTERM"`,
    /// `"SIGINT"` or `"SIGQUIT"`.
    ///
    /// Cancel-safe. Call it again for the second signal, which means "at once". Signals of one kind
    /// that arrive before the call count as one.
    pub(super) async fn recv(&mut self) -> &'static str {
        poll_fn(|context| {
            while self.hangup.poll_recv(context).is_ready() {
                // It makes other servers reload. By default it would cut every stream.
                tracing::warn!(
                    target: SIGNALS,
                    "SIGHUP is ignored: a change of the configuration needs a restart"
                );
            }
            for (ignored, name) in &mut self.ignored {
                while ignored.poll_recv(context).is_ready() {
                    tracing::warn!(target: SIGNALS, "{name} is ignored: it has no meaning here");
                }
            }
            for (stopping, name) in &mut self.stopping {
                if stopping.poll_recv(context).is_ready() {
                    return Poll::Ready(*name);
                }
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
    async fn each_signal_is_received_under_its_name() {
        let mut signals = StopSignals::new().unwrap();
        for (number, name) in
            [(Number::TERM, "SIGTERM"), (Number::INT, "SIGINT"), (Number::QUIT, "SIGQUIT")]
        {
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.recv().await, name);
        }
    }
}
