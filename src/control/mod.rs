//! The main thread: it starts the workers, waits for a signal, and stops them. What takes long or
//! may block is done here and never by a worker.

mod descriptors;
mod error;
mod listeners;
mod reminder;
mod signals;
mod workers;

pub use descriptors::raise_descriptor_limit;
pub use error::RunError;

use crate::config::Config;
use crate::config::problem::Problems;
use crate::config::snapshot::Snapshot;
use crate::control::descriptors::check_descriptors;
use crate::control::listeners::{addresses, open_listeners};
use crate::control::reminder::{remind, tell_remarks};
use crate::control::signals::{Request, Signals};
use crate::control::workers::{Report, Workers};
use crate::limits::STOP_AT_ONCE_MAX;
use crate::telemetry::refusals::{tell_last_left_out_lines, tell_left_out_lines};
use crate::telemetry::targets::{READY, SERVER, SIGNALS};
use crate::worker::{Command, Stop};
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// A running server. One that is dropped stops at once, without waiting for its workers.
///
/// A program that has nothing else to do calls [`Server::run`]. One that goes on with its own work
/// calls [`Server::start`], and [`Server::stop`] at its end.
pub struct Server {
    workers: Workers,
    addresses: Vec<SocketAddr>,
    /// The same with what is spoken there.
    urls: String,
}

impl Server {
    /// Serves until SIGTERM, SIGINT or SIGQUIT, then lets running exchanges end; a second signal
    /// ends at once. Handles these signals, SIGHUP, SIGUSR1 and SIGUSR2 from the beginning of the
    /// call. `source` reads again what `snapshot` was loaded from.
    ///
    /// # Errors
    /// Something that the server needs at the start cannot be had, or a worker ended by itself.
    pub fn run(
        snapshot: Snapshot,
        source: impl Fn() -> Result<Config, Problems>,
    ) -> Result<(), RunError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(RunError::Start)?;
        let ended = runtime.block_on(async {
            // First of all: without its handler, a signal kills the process.
            let signals = Signals::new().map_err(RunError::Start)?;
            let certificates = snapshot.certificates.clone();
            let Self { workers, urls, .. } = Self::start(snapshot)?;
            let control = Control { workers, signals, urls, source };
            tokio::select! {
                ended = control.run() => ended,
                never = tell_left_out_lines() => match never {},
                never = remind(certificates, SystemTime::now) => match never {},
            }
        });
        tell_last_left_out_lines();
        ended
    }

    /// Listens, and starts the workers. Raises the process's limit of open files, and leaves its
    /// signals to the program.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be had.
    pub fn start(snapshot: Snapshot) -> Result<Self, RunError> {
        check_descriptors(snapshot.limits.connections);
        tell_remarks(&snapshot.remarks);
        let listeners = open_listeners(&snapshot)?;
        let addresses = addresses(&snapshot, &listeners);
        let urls: Vec<_> =
            snapshot.sockets().zip(&addresses).map(|(it, address)| it.url(*address)).collect();
        let workers = Workers::start(snapshot, listeners)?;
        Ok(Self { workers, addresses, urls: urls.join(" ") })
    }

    /// Where it listens, in the order of the configuration, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lets running exchanges end, and returns when all workers have ended. Must not be called
    /// inside an asynchronous runtime, because it blocks.
    pub fn stop(mut self) {
        self.workers.tell(&Command::Stop(Stop::WhenDone));
        self.workers.wait_until_ended();
        tell_last_left_out_lines();
    }
}

/// What the main thread has in hand while it serves.
struct Control<S> {
    workers: Workers,
    signals: Signals,
    /// The addresses of the listeners, with what is spoken there.
    urls: String,
    source: S,
}

impl<S: Fn() -> Result<Config, Problems>> Control<S> {
    async fn run(mut self) -> Result<(), RunError> {
        let signal = self.serve().await?;
        tracing::info!(target: SERVER, signal, "stopping; running exchanges may end");
        self.stop().await;
        Ok(())
    }

    /// Serves until a signal asks to stop, and returns its name.
    async fn serve(&mut self) -> Result<&'static str, RunError> {
        loop {
            tokio::select! {
                report = self.workers.report() => match report {
                    Some(Report::Ready) => self.note_ready(),
                    Some(Report::Ended) | None => return Err(RunError::WorkerEnded),
                },
                request = self.signals.recv() => match request {
                    Request::Stop(signal) => return Ok(signal),
                    Request::Reload => self.reload(),
                    Request::HandOver => self.hand_over(),
                },
            }
        }
    }

    /// Says that all workers accept, once they do.
    fn note_ready(&self) {
        if self.workers.are_ready() {
            tracing::info!(target: READY, addresses = self.urls, "ready");
        }
    }

    /// Reads the configuration again.
    fn reload(&mut self) {
        let _ = &self.source;
        tracing::warn!(
            target: SIGNALS,
            "SIGHUP is ignored: a change of the configuration needs a restart"
        );
    }

    /// Starts the program file anew, and leaves the listeners to it.
    fn hand_over(&mut self) {
        tracing::warn!(target: SIGNALS, "SIGUSR2 is ignored: it has no meaning here");
    }

    /// Lets running exchanges end. A second signal ends at once.
    async fn stop(&mut self) {
        self.workers.tell(&Command::Stop(Stop::WhenDone));
        let again = async {
            loop {
                if let Request::Stop(signal) = self.signals.recv().await {
                    return signal;
                }
            }
        };
        tokio::select! {
            () = self.workers.ended() => tracing::info!(target: SERVER, "stopped"),
            signal = again => {
                tracing::warn!(target: SERVER, signal, "stopping at once");
                self.workers.tell(&Command::Stop(Stop::AtOnce));
                // What is cut has its line of the log. A worker in the middle of something long
                // has none to give.
                let _ = timeout(STOP_AT_ONCE_MAX, self.workers.ended()).await;
            }
        }
    }
}
