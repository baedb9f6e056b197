//! The threads of the workers, as the main thread sees them: it sends commands, they report.

use crate::config::snapshot::Snapshot;
use crate::control::descriptors::connections_with_room;
use crate::control::error::RunError;
use crate::control::listeners::Listening;
use crate::net::admission::Admission;
use crate::telemetry::targets::SERVER;
use crate::telemetry::write_gathered_lines;
use crate::upstream::registry::Registry;
use crate::worker::{self, Command, Setup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The way to all workers. When no copy of it is left, they stop at once.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    commands: Arc<[UnboundedSender<Command>]>,
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
    /// Starts a thread for each worker, with its sockets of `listening`.
    pub(super) fn start(
        snapshot: &Arc<Snapshot>,
        listening: &[Listening],
    ) -> Result<(Self, Events), RunError> {
        let limits = &snapshot.limits;
        let admission = Arc::new(Admission::new(limits.connections, limits.per_address));
        let registry = Arc::new(Registry::new(snapshot.workers));
        let room = connections_with_room();
        // At most two events a worker, and a command is rare: no bound is needed.
        let (reporter, events) = unbounded_channel();
        let mut senders = Vec::new();
        for number in 0..snapshot.workers {
            let (sender, commands) = unbounded_channel();
            senders.push(sender);
            let (snapshot, admission) = (Arc::clone(snapshot), Arc::clone(&admission));
            let registry = Arc::clone(&registry);
            let listeners = listening.iter().map(|it| it.socket_for(number));
            let listeners = listeners.collect::<Result<_, _>>().map_err(RunError::Start)?;
            let setup = Setup { snapshot, listeners, admission, room, registry, commands };
            let reporter = reporter.clone();
            let named = thread::Builder::new().name(format!("narrows-{number}"));
            named.spawn(move || run_worker(setup, &reporter)).map_err(RunError::Start)?;
        }
        let events = Events { events, waiting: snapshot.workers };
        Ok((Self { commands: senders.into() }, events))
    }

    /// Sends a command to all workers.
    pub(super) fn tell(&self, command: &Command) {
        for worker in &*self.commands {
            // One that has ended already needs no command.
            let _ended = worker.send(command.clone());
        }
    }
}

impl Events {
    /// The next event; `None` when all workers have ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if event == Some(Event::Ready) {
            self.waiting -= 1;
        }
        event
    }

    /// Whether all workers have said that they are ready.
    pub(super) fn all_are_ready(&self) -> bool {
        self.waiting == 0
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
