//! The main thread: it starts the workers, waits for a signal, and stops them. What takes long or
//! may block is done here and never by a worker.
//!
//! # The main loop and its tasks
//!
//! The runtime of the main thread runs the loop of `Control`, and beside it tasks that wait for
//! something of their own: signals, files that change, the end of a certificate, the number of
//! lines left out. Tasks
//! read the `State`, send commands to the `Workers`, and ask the loop for what only it may do by a
//! `Request`.

mod admin;
mod descriptors;
mod error;
mod listeners;
mod reminder;
mod request;
mod signals;
mod state;
mod watch;
mod workers;

pub use descriptors::raise_descriptor_limit;
pub use error::RunError;

use crate::config::Config;
use crate::config::admin_address::AdminConfig;
use crate::config::problem::Problems;
use crate::config::snapshot::Snapshot;
use crate::control::admin::{Admin, AdminListener, RelayPages};
use crate::control::descriptors::check_descriptors;
use crate::control::listeners::{Listening, open_listeners};
use crate::control::reminder::{remind, tell_remarks};
use crate::control::request::Request;
use crate::control::signals::Signals;
use crate::control::state::{Phase, State};
use crate::control::watch::{Change, tell_changed, watch_files};
use crate::control::workers::{Event, Events, Workers};
use crate::limits::STOP_AT_ONCE_MAX;
use crate::telemetry::refusals::{tell_last_left_out_lines, tell_left_out_lines};
use crate::telemetry::targets::{READY, SERVER, SIGNALS};
use crate::worker::{Command, Stop};
use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, channel, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// A running server. One that is dropped stops at once, without waiting for its workers.
///
/// A program that has nothing else to do calls [`Server::run`]. One that goes on with its own work
/// calls [`Server::start`], and [`Server::stop`] at its end.
pub struct Server {
    workers: Workers,
    events: Events,
    state: State,
    addresses: Vec<SocketAddr>,
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
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        let runtime = builder.build_local(LocalOptions::default()).map_err(RunError::Start)?;
        let ended = runtime.block_on(run(snapshot, source));
        // Nothing that a task still waits for is waited for.
        runtime.shutdown_background();
        tell_last_left_out_lines();
        ended
    }

    /// Listens, and starts the workers. Raises the process's limit of open files, and leaves its
    /// signals to the program. There is no admin listener, because no main thread serves it.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be had.
    pub fn start(snapshot: Snapshot) -> Result<Self, RunError> {
        check_descriptors(snapshot.limits.connections);
        tell_remarks(&snapshot.remarks);
        let snapshot = Arc::new(snapshot);
        let listening = open_listeners(&snapshot)?;
        let addresses = listening.iter().map(|it| it.address).collect();
        let (workers, events) = Workers::start(&snapshot, &listening)?;
        let state = State::new(snapshot, listening);
        Ok(Self { workers, events, state, addresses })
    }

    /// Where it listens, in the order of the configuration, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lets running exchanges end, and returns when all workers have ended. Must not be called
    /// inside an asynchronous runtime, because it blocks.
    pub fn stop(mut self) {
        self.state.close_sockets();
        self.workers.tell(&Command::Stop(Stop::WhenDone));
        self.events.wait_until_ended();
        tell_last_left_out_lines();
    }
}

async fn run(
    snapshot: Snapshot,
    source: impl Fn() -> Result<Config, Problems>,
) -> Result<(), RunError> {
    // First of all: without its handler, a signal kills the process.
    let signals = Signals::new().map_err(RunError::Start)?;
    let (asking, requests) = unbounded_channel();
    let listener = open_admin(&snapshot.config)?;
    let Server { workers, events, state, .. } = Server::start(snapshot)?;
    let state = Rc::new(state);
    let mut admin = Admin::new(RelayPages::new(Rc::clone(&state)));
    admin.serve(listener);
    let (finding, changes) = channel(1);
    spawn_local(watch_files(state.snapshots(), finding));
    spawn_local(signals.forward(asking));
    spawn_local(tell_left_out_lines());
    spawn_local(remind(state.snapshots(), SystemTime::now));
    let ended = Control { state, workers, events, requests, changes, source }.run().await;
    // It has answered to the end.
    drop(admin);
    ended
}

/// The admin listener, if there is to be one.
fn open_admin(config: &Config) -> Result<Option<AdminListener>, RunError> {
    let Some(AdminConfig { address, .. }) = &config.admin else { return Ok(None) };
    let opened = AdminListener::open(address);
    opened.map(Some).map_err(|error| RunError::Admin(address.clone(), error))
}

/// The main loop, with what it alone changes.
struct Control<S> {
    state: Rc<State>,
    workers: Workers,
    events: Events,
    requests: UnboundedReceiver<Request>,
    changes: Receiver<Change>,
    source: S,
}

impl<S: Fn() -> Result<Config, Problems>> Control<S> {
    async fn run(mut self) -> Result<(), RunError> {
        let signal = self.serve().await?;
        tracing::info!(target: SERVER, signal, "stopping; running exchanges may end");
        self.stop().await;
        Ok(())
    }

    /// Serves until it is asked to stop, and returns the name of the signal.
    async fn serve(&mut self) -> Result<&'static str, RunError> {
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Event::Ready) => self.note_ready(),
                    Some(Event::Ended) | None => return Err(RunError::WorkerEnded),
                },
                Some(request) = self.requests.recv() => match request {
                    Request::Stop(signal) => return Ok(signal),
                    Request::Reload => self.reload(),
                    Request::HandOver => self.hand_over(),
                },
                Some(change) = self.changes.recv() => self.take(change),
            }
        }
    }

    /// Says that all workers accept, once they do.
    fn note_ready(&self) {
        if self.events.all_are_ready() && self.state.phase() == Phase::Starting {
            self.state.enter(Phase::Ready);
            let urls: Vec<_> = self.state.listening().iter().map(Listening::url).collect();
            tracing::info!(target: READY, addresses = urls.join(" "), "ready");
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

    /// Serves what the files hold now, unless something else was loaded since they were looked at:
    /// then the next look finds what is left.
    fn take(&mut self, change: Change) {
        let Change { before, after, files } = change;
        if Arc::ptr_eq(&before, &self.state.snapshot()) {
            tell_remarks(&after.remarks);
            let after = Arc::new(after);
            self.workers.tell(&Command::Site(Arc::clone(&after)));
            self.state.replace(after);
            tell_changed(&files);
        }
    }

    /// Starts the program file anew, and leaves the listeners to it.
    fn hand_over(&mut self) {
        tracing::warn!(target: SIGNALS, "SIGUSR2 is ignored: it has no meaning here");
    }

    /// Lets running exchanges end. A second signal ends at once.
    async fn stop(&mut self) {
        let Self { state, workers, events, requests, .. } = self;
        state.enter(Phase::Draining);
        state.close_sockets();
        workers.tell(&Command::Stop(Stop::WhenDone));
        tokio::select! {
            () = events.ended() => tracing::info!(target: SERVER, "stopped"),
            signal = next_stop(requests) => {
                tracing::warn!(target: SERVER, signal, "stopping at once");
                workers.tell(&Command::Stop(Stop::AtOnce));
                // What is cut has its line of the log. A worker in the middle of something long
                // has none to give.
                let _ = timeout(STOP_AT_ONCE_MAX, events.ended()).await;
            }
        }
    }
}

/// The name of the next signal that asks to stop. Nothing else is done any more.
async fn next_stop(requests: &mut UnboundedReceiver<Request>) -> &'static str {
    loop {
        match requests.recv().await {
            Some(Request::Stop(signal)) => return signal,
            Some(Request::Reload | Request::HandOver) => {}
            // The task that forwards signals is gone: no other can come.
            None => pending().await,
        }
    }
}
