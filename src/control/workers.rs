//! The threads of the workers, as the main thread sees them: it sends commands, they report.

use crate::config::snapshot::Snapshot;
use crate::control::error::RunError;
use crate::control::reports::{Reporting, Reports};
use crate::net::admission::Admission;
use crate::telemetry::targets::SERVER;
use crate::telemetry::write_gathered_lines;
use crate::tls::challenges::Challenges;
use crate::upstream::registry::Registry;
use crate::worker::{self, Command, Serve, Setup, Socket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The way to all workers. When no copy of it is left, they stop at once.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    commands: Arc<[UnboundedSender<Command>]>,
    admission: Arc<Admission>,
    registry: Arc<Registry>,
    #[cfg_attr(not(feature = "acme"), expect(dead_code, reason = "nothing is ordered"))]
    challenges: Arc<Challenges>,
    reporting: Reporting,
}

/// What the workers say of themselves.
#[derive(Debug)]
pub(super) struct Events {
    events: UnboundedReceiver<Event>,
    /// How many have not said yet that they are ready.
    waiting: usize,
}

/// What a worker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It accepts connections.
    Ready,
    /// It has ended.
    Ended,
}

impl Workers {
    /// Starts a thread for each worker, with its sockets. The limit of open files has `room` for so
    /// many client connections.
    pub(super) fn start(
        snapshot: &Arc<Snapshot>,
        sockets: Vec<Vec<Socket>>,
        room: usize,
    ) -> Result<(Self, Events), RunError> {
        let limits = &snapshot.limits;
        let admission = Arc::new(Admission::new(limits.connections, limits.per_address));
        admission.set_room(room);
        let (count, mut senders) = (sockets.len(), Vec::new());
        let registry = Arc::new(Registry::new(count));
        let challenges = Arc::<Challenges>::default();
        // At most two events a worker, and a command is rare: no bound is needed.
        let (reporter, events) = unbounded_channel();
        for (number, sockets) in sockets.into_iter().enumerate() {
            let (sender, commands) = unbounded_channel();
            senders.push(sender);
            let serve = Serve { snapshot: Arc::clone(snapshot), sockets };
            let (admission, registry) = (Arc::clone(&admission), Arc::clone(&registry));
            let challenges = Arc::clone(&challenges);
            let setup = Setup { serve, admission, registry, challenges, commands };
            let reporter = reporter.clone();
            let named = thread::Builder::new().name(format!("narrows-{number}"));
            named.spawn(move || run_worker(setup, &reporter)).map_err(RunError::Start)?;
        }
        let events = Events { events, waiting: count };
        let reporting = Reporting::new(count);
        let commands = senders.into();
        Ok((Self { commands, admission, registry, challenges, reporting }, events))
    }

    /// What all workers answer to authorities.
    #[cfg(feature = "acme")]
    pub(super) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// How many workers there are.
    pub(super) fn count(&self) -> usize {
        self.commands.len()
    }

    /// Says what it takes to have as many as are `configured` now, if there is another number.
    pub(super) fn tell_of_another_number(&self, configured: usize) {
        let workers = self.count();
        if configured != workers {
            tracing::warn!(
                target: SERVER,
                workers,
                configured,
                "another number of workers needs a hand-over (SIGUSR2) or a restart"
            );
        }
    }

    /// Changes how many client connections the limit of open files has room for.
    pub(super) fn set_room(&self, room: usize) {
        self.admission.set_room(room);
    }

    /// Lets all workers serve `snapshot` from now on, each from its sockets.
    pub(super) fn serve(&self, snapshot: &Arc<Snapshot>, sockets: Vec<Vec<Socket>>) {
        let limits = &snapshot.limits;
        self.admission.set_limits(limits.connections, limits.per_address);
        for (worker, sockets) in self.commands.iter().zip(sockets) {
            let serve = Serve { snapshot: Arc::clone(snapshot), sockets };
            // One that has ended already needs no command.
            let _ended = worker.send(Command::Serve(serve));
        }
    }

    /// Waits until all workers serve `snapshot`, as they were told to, and forgets the addresses of
    /// names that are no longer served. A worker that has answered does, so none looks them up
    /// again but for an exchange that still runs.
    pub(super) async fn forget_names(&self, snapshot: &Snapshot) {
        self.reports().await;
        self.registry.keep_names(snapshot.upstreams());
    }

    /// Sends a command to all workers.
    pub(super) fn tell(&self, command: impl Fn() -> Command) {
        for worker in &*self.commands {
            let _ended = worker.send(command());
        }
    }

    /// What the workers have counted so far.
    pub(super) async fn reports(&self) -> Reports {
        self.reporting.ask(&self.commands).await
    }
}

impl Events {
    /// Waits until all workers accept connections.
    ///
    /// # Errors
    /// One of them has ended.
    pub(super) async fn ready(&mut self) -> Result<(), RunError> {
        while self.waiting > 0 {
            match self.events.recv().await {
                Some(Event::Ready) => self.waiting -= 1,
                Some(Event::Ended) | None => return Err(RunError::WorkerEnded),
            }
        }
        Ok(())
    }

    /// Waits until a worker ends. Cancel-safe.
    pub(super) async fn one_ended(&mut self) {
        // All of them have said by now that they are ready.
        self.events.recv().await;
    }

    /// Waits until every worker has ended.
    pub(super) async fn ended(&mut self) {
        while self.events.recv().await.is_some() {}
    }

    /// The same, outside of a runtime.
    pub(super) fn wait_until_ended(&mut self) {
        while self.events.blocking_recv().is_some() {}
    }
}

fn run_worker(setup: Setup, events: &UnboundedSender<Event>) {
    // The receiver is gone only if the process is about to end.
    let ready = || drop(events.send(Event::Ready));
    // A panic outside of a connection's task must not leave the others to serve alone unnoticed.
    let ended = catch_unwind(AssertUnwindSafe(|| worker::run(setup, ready)));
    if let Ok(Err(error)) = ended {
        tracing::error!(target: SERVER, %error, "a worker failed");
    }
    // The process may end as soon as all have reported, and this thread's end with it.
    write_gathered_lines();
    drop(events.send(Event::Ended));
}
