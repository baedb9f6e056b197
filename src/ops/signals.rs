//! SIGTERM and SIGINT: the operator's wish to stop.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the process to stop. From its making on, they no longer kill it, and
/// neither does SIGHUP.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Takes both signals over. Must be called in a tokio runtime with I/O enabled; fails when the
    /// kernel refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them, and names it: `"SIGTERM"` or `"SIGINT"`.
    ///
    /// Cancel-safe. Call it again for the second signal, which means "at once". Signals of one kind
    /// that arrive while nobody waits count as one.
    pub async fn recv(&mut self) -> &'static str {
        poll_fn(|context| {
            while self.hangup.poll_recv(context).is_ready() {
                // Elsewhere it means to reload; to be killed by it would cut every stream.
                tracing::warn!("SIGHUP is ignored: a change of the configuration needs a restart");
            }
            if self.terminate.poll_recv(context).is_ready() {
                return Poll::Ready("SIGTERM");
            }
            self.interrupt.poll_recv(context).map(|_| "SIGINT")
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Number, getpid, kill_process};

    /// One test for both, because signals belong to the process and tests run side by side.
    #[tokio::test]
    async fn each_signal_is_received_under_its_name() {
        let mut signals = StopSignals::new().unwrap();
        for (number, name) in [(Number::TERM, "SIGTERM"), (Number::INT, "SIGINT")] {
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.recv().await, name);
        }
    }
}
