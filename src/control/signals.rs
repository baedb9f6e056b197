//! Signals: the operator's wish to stop, and those that must not end the process by the way.

use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean something to us, or to the habits of those who send them. From its making
/// on, none of them kills the process.
#[derive(Debug)]
pub(super) struct StopSignals {
    stopping: [(Signal, &'static str); 3],
    hangup: Signal,
    ignored: [(Signal, &'static str); 2],
    /// Comes with each write beyond the size that a file may have, which is lost then. To be told
    /// of in the log is the last thing it needs.
    _file_size: Signal,
}

impl StopSignals {
    /// Takes them over. Must be called in a tokio runtime with I/O enabled; fails when the kernel
    /// refuses a handler.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            stopping: [
                (signal(SignalKind::terminate())?, "SIGTERM"),
                (signal(SignalKind::interrupt())?, "SIGINT"),
                // nginx's word for a graceful stop. By default it would end every stream, and
                // leave the keys of this process in a core dump.
                (signal(SignalKind::quit())?, "SIGQUIT"),
            ],
            hangup: signal(SignalKind::hangup())?,
            // Elsewhere they open log files anew, or change a binary; scripts that rotate logs
            // send them to whatever is there.
            ignored: [
                (signal(SignalKind::user_defined1())?, "SIGUSR1"),
                (signal(SignalKind::user_defined2())?, "SIGUSR2"),
            ],
            _file_size: signal(SignalKind::from_raw(Number::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next one that asks to stop, and names it: `"SIGTERM"`, `"SIGINT"` or
    /// `"SIGQUIT"`.
    ///
    /// Cancel-safe. Call it again for the second signal, which means "at once". Signals of one kind
    /// that arrive while nobody waits count as one.
    pub(super) async fn recv(&mut self) -> &'static str {
        poll_fn(|context| {
            while self.hangup.poll_recv(context).is_ready() {
                // Elsewhere it means to reload; to be killed by it would cut every stream.
                tracing::warn!("SIGHUP is ignored: a change of the configuration needs a restart");
            }
            for (ignored, name) in &mut self.ignored {
                while ignored.poll_recv(context).is_ready() {
                    tracing::warn!("{name} is ignored: it has no meaning here");
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

    /// One test for all, because signals belong to the process and tests run side by side.
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
