//! The main thread: it starts the workers, waits for a signal, and stops them. What takes long or
//! may block is done here and never by a worker.
//!
//! # The main loop and its tasks
//!
//! The runtime of the main thread runs the loop of `Control`, and beside it tasks that wait for
//! something of their own: signals, files that change, the end of a certificate, the number of
//! lines left out. Tasks read the `State`, send commands to the `Workers`, and ask the loop for
//! what only it may do by a `Request`.

#[cfg(feature = "acme")]
mod acme;
mod admin;
mod changes;
mod child;
pub(crate) mod descriptors;
mod error;
mod handover;
mod launch;
mod launcher;
mod listeners;
mod notify;
mod predecessor;
mod program;
mod progress;
mod reload;
mod reminder;
mod reports;
mod request;
mod service;
mod signals;
mod state;
mod stop;
mod successor;
mod watch;
mod workers;

pub use descriptors::raise_descriptor_limit;
pub use error::RunError;
pub use launch::Launch;
pub use launcher::Launcher;
pub use signals::catch_signals;

use crate::config::Config;
use crate::config::admin_address::AdminConfig;
use crate::config::snapshot::Snapshot;
#[cfg(feature = "acme")]
use crate::control::acme::{Parts, manage};
use crate::control::admin::{Admin, AdminListener, RelayPages};
use crate::control::changes::changes;
use crate::control::descriptors::{room_after, room_at_start};
use crate::control::handover::{End, hand_over, until_handed_over};
use crate::control::launch::Relief;
use crate::control::listeners::{
    Listening, log_difference, open_listeners, sockets_for_workers, sockets_in_use,
};
use crate::control::notify::Notifier;
use crate::control::program::Program;
use crate::control::reload::{Loaded, Loader, NotReloaded, Reread};
use crate::control::reminder::{remind, tell_remarks};
use crate::control::request::{Asked, Request};
use crate::control::service::inform;
use crate::control::signals::Signals;
use crate::control::state::{Phase, State};
use crate::control::stop::{Reason, stop};
use crate::control::watch::{Change, tell_changed, watch_files};
use crate::control::workers::{Events, Workers};
use crate::net::activation::Inherited;
use crate::task::spawn;
use crate::telemetry::change_log;
use crate::telemetry::refusals::{tell_last_left_out_lines, tell_left_out_lines};
use crate::telemetry::targets::{READY, SERVER};
use crate::worker::{Command, Stop};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{Receiver, channel, unbounded_channel};

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
    /// call. At SIGHUP, `source` reads again what `snapshot` was loaded from, unless it returns
    /// `None`, because that cannot be read twice. `launch` is how this process was started.
    ///
    /// # Errors
    /// Something that the server needs at the start cannot be had, or a worker ended by itself.
    pub fn run(
        snapshot: Snapshot,
        source: impl Fn(&Arc<Config>) -> Reread + Send + Sync + 'static,
        launch: Launch,
    ) -> Result<(), RunError> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        let runtime = builder.build_local(LocalOptions::default()).map_err(RunError::Start)?;
        let ended = runtime.block_on(run(snapshot, Loader::new(Arc::new(source)), launch));
        // A task, or a thread that reads files, may still wait for something.
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
        Self::start_from(snapshot, &mut Inherited::default())
    }

    fn start_from(snapshot: Snapshot, inherited: &mut Inherited) -> Result<Self, RunError> {
        let room = room_at_start(&snapshot)?;
        tell_remarks(&snapshot.remarks, None);
        reminder::tell_clear_text(&snapshot.config, None);
        let snapshot = Arc::new(snapshot);
        let listening = open_listeners(&snapshot, snapshot.workers, &[], inherited)?;
        let addresses = listening.iter().map(Listening::address).collect();
        let sockets = sockets_for_workers(&listening, snapshot.workers, &[]);
        let (workers, events) = Workers::start(&snapshot, sockets.map_err(RunError::Start)?, room)?;
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
        self.workers.tell(|| Command::Stop(Stop::WhenDone));
        self.events.wait_until_ended();
        tell_last_left_out_lines();
    }
}

async fn run(snapshot: Snapshot, loader: Loader, launch: Launch) -> Result<(), RunError> {
    // First of all: without its handler, a signal kills the process.
    let signals = Signals::new().map_err(RunError::Start)?;
    let (asking, requests) = unbounded_channel();
    let Launch { program, mut inherited, predecessor } = launch;
    let listener = open_admin(&snapshot.config, &mut inherited, &[])?;
    let started = Server::start_from(snapshot, &mut inherited)?;
    let Server { workers, events, state, .. } = started;
    let state = Rc::new(state);
    let mut admin = Admin::new(RelayPages::new(Rc::clone(&state), workers.clone()));
    let mut relief = Relief::new(predecessor, inherited);
    match listener {
        // An old process that has the socket, too, answers until this one is ready.
        Some(listener) if listener.is_inherited => relief.admin = Some(listener),
        opened => admin.serve(opened),
    }
    let (finding, changes) = channel(1);
    spawn(watch_files(Rc::clone(&state), finding));
    #[cfg(feature = "acme")]
    spawn(manage(Parts { state: Rc::clone(&state), challenges: Arc::clone(workers.challenges()) }));
    spawn(signals.forward(asking));
    spawn(tell_left_out_lines());
    spawn(remind(state.snapshots(), SystemTime::now));
    let notifier = Rc::new(Notifier::from_environment());
    let (relief, requests) = (Some(relief), Asked::new(requests));
    let control = Control {
        state,
        workers,
        events,
        requests,
        changes,
        loader,
        admin,
        program,
        notifier,
        relief,
    };
    control.run().await
}

/// The admin listener, if there is to be one, beside the addresses of the one `before`.
fn open_admin(
    config: &Config,
    inherited: &mut Inherited,
    before: &[SocketAddr],
) -> Result<Option<AdminListener>, RunError> {
    let Some(AdminConfig { address, .. }) = &config.admin else { return Ok(None) };
    let opened = AdminListener::open(address, inherited, before);
    opened.map(Some).map_err(|error| RunError::Admin(address.clone(), error))
}

/// The main loop, with what it alone changes.
struct Control {
    state: Rc<State>,
    workers: Workers,
    events: Events,
    requests: Asked,
    changes: Receiver<Change>,
    loader: Loader,
    /// It answers until the end.
    admin: Admin<RelayPages>,
    program: Program,
    notifier: Rc<Notifier>,
    /// Until this process serves.
    relief: Option<Relief>,
}

impl Control {
    async fn run(mut self) -> Result<(), RunError> {
        let end = match self.start().await? {
            Some(end) => end,
            None => self.serve().await?,
        };
        let Self { state, workers, events, requests, admin, notifier, .. } = &mut self;
        match end {
            End::Signal(signal) => {
                notifier.stopping();
                stop(Reason::Signal(signal), state, workers, events, requests).await;
            }
            // The new process speaks for the service, and the manager does not listen to this one.
            End::HandedOver(new) => {
                new.log(notifier.has_manager());
                if requests.is_put_off(Request::Reload) {
                    new.reload();
                }
                let first = admin.socket_count();
                let used = Arc::new(sockets_in_use(&state.listening(), first, &new.unused));
                workers.tell(|| Command::HandOver(Arc::clone(&used)));
                let answered = admin.leave();
                stop(Reason::HandedOver(new.pid), state, workers, events, requests).await;
                answered.await;
            }
        }
        Ok(())
    }

    /// Waits until all workers accept, and says so. What is asked for meanwhile waits, so that
    /// nothing moves which the process before this one still has; but a stop does not.
    async fn start(&mut self) -> Result<Option<End>, RunError> {
        let Self { state, events, requests, admin, notifier, relief, .. } = self;
        let announced = async {
            events.ready().await?;
            state.enter(Phase::Ready);
            let urls: Vec<_> = state.listening().iter().map(Listening::url).collect();
            tracing::info!(target: READY, addresses = urls.join(" "), "ready");
            if let Some(mut relief) = relief.take() {
                if let Some(listener) = relief.admin.take() {
                    admin.serve(Some(listener));
                }
                relief.announce(notifier).await;
            }
            Ok(())
        };
        tokio::select! {
            announced = announced => announced?,
            signal = requests.stop_signal("the start", &[Request::Reload, Request::HandOver]) => {
                return Ok(Some(End::Signal(signal)));
            }
        }
        spawn(inform(Rc::clone(&self.notifier), Rc::clone(&self.state), self.workers.clone()));
        Ok(None)
    }

    /// Serves until it is asked to stop, or has handed over.
    async fn serve(&mut self) -> Result<End, RunError> {
        loop {
            tokio::select! {
                () = self.events.one_ended() => return Err(RunError::WorkerEnded),
                Some(request) = self.requests.recv() => match request {
                    Request::Stop(signal) => return Ok(End::Signal(signal)),
                    Request::Reload => {
                        self.notifier.reloading();
                        self.loader.begin(&self.state.snapshot());
                    }
                    Request::HandOver => if let Some(end) = self.hand_over().await? {
                        return Ok(end);
                    },
                },
                Some(change) = self.changes.recv() => self.take(change).await,
                loaded = self.loader.loaded() => {
                    self.reload(loaded).await;
                    self.loader.begin_again(&self.state.snapshot());
                    if self.loader.is_idle() {
                        self.notifier.ready();
                    }
                }
            }
        }
    }

    /// Serves a configuration that was loaded, or says why not.
    async fn reload(&mut self, loaded: Loaded) {
        let before = self.state.snapshot();
        let reloaded = match loaded.snapshot {
            Ok(snapshot) => self.adopt(Arc::new(snapshot)).await,
            Err(reasons) => Err(reasons),
        };
        let took_ms = loaded.begun.elapsed().as_millis();
        match reloaded {
            Ok(snapshot) => {
                let number = self.state.note_reload(0).succeeded;
                let changes = changes(&before, &snapshot);
                tracing::info!(target: SERVER, number, changes, took_ms, "reloaded");
            }
            Err(reasons) => {
                reasons.log();
                let problems = reasons.count();
                let failed = self.state.note_reload(problems).failed;
                tracing::error!(
                    target: SERVER,
                    problems,
                    failed,
                    "not reloaded; nothing has changed"
                );
            }
        }
    }

    /// Serves `snapshot` from now on: all workers do when this returns, but for one that hangs.
    /// Everything that can fail comes first, so that nothing changes if it does.
    async fn adopt(&mut self, snapshot: Arc<Snapshot>) -> Result<Arc<Snapshot>, NotReloaded> {
        let Self { state, workers, admin, .. } = self;
        let count = workers.count();
        let address = |it: &Snapshot| it.config.admin.as_ref().map(|it| it.address.clone());
        let admin_moves = address(&state.snapshot()) != address(&snapshot);
        let opened = {
            let before = state.listening();
            open_listeners(&snapshot, count, &before, &mut Inherited::default()).and_then(
                |listening| {
                    let sockets = sockets_for_workers(&listening, count, &before);
                    Ok((listening, sockets.map_err(RunError::Start)?))
                },
            )
        };
        let (listening, sockets) = opened.map_err(NotReloaded::Refused)?;
        if admin_moves {
            let before = admin.tcp_addresses();
            let opened = open_admin(&snapshot.config, &mut Inherited::default(), &before);
            admin.serve(opened.map_err(NotReloaded::Refused)?);
        }
        if let Some(room) = room_after(&state.snapshot(), &snapshot, count) {
            workers.set_room(room);
        }
        if snapshot.workers != state.snapshot().workers {
            workers.tell_of_another_number(snapshot.workers);
        }
        change_log(snapshot.config.log);
        tell_remarks(&snapshot.remarks, Some(&state.snapshot().remarks));
        reminder::tell_clear_text(&snapshot.config, Some(&state.snapshot().config));
        log_difference(&state.listening(), &listening);
        listening.iter().for_each(|it| it.follow(&snapshot.timeouts));
        state.replace(Arc::clone(&snapshot), listening);
        workers.serve(&snapshot, sockets);
        workers.forget_names(&snapshot).await;
        Ok(snapshot)
    }

    /// Serves what the files hold now, unless something else was loaded since they were looked at:
    /// then the next look finds what is left.
    async fn take(&mut self, change: Change) {
        let Change { before, after, files } = change;
        if !Arc::ptr_eq(&before, &self.state.snapshot()) {
            return;
        }
        match self.adopt(Arc::new(after)).await {
            Ok(now) => tell_changed(&files, &now.config, &self.state),
            Err(reasons) => reasons.log(),
        }
    }

    /// Starts the program file anew, and leaves the listeners to it. `None`: that failed, and this
    /// process serves on.
    async fn hand_over(&mut self) -> Result<Option<End>, RunError> {
        let Self { state, events, requests, admin, program, notifier, .. } = self;
        let sockets = admin.handles().and_then(|mut sockets| {
            sockets.extend(state.sockets()?);
            Ok(sockets)
        });
        let attempt = hand_over(program, sockets, notifier);
        until_handed_over(attempt, events, requests).await
    }
}
