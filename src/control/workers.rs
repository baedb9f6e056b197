//! The threads of the workers, as the main thread sees them: it sends commands, they report.

use crate::config::snapshot::Snapshot;
use crate::control::descriptors::connections_with_room;
use crate::control::error::RunError;
use crate::control::listeners::Listeners;
use crate::net::admission::Admission;
use crate::telemetry::targets::SERVER;
use crate::telemetry::write_gathered_lines;
use crate::upstream::registry::Registry;
use crate::worker::{self, Command, Setup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// All workers. Dropping this stops them at once.
pub(super) struct Workers {
    commands: Vec<UnboundedSender<Command>>,
    reports: UnboundedReceiver<Report>,
    /// How many have not said yet that they are ready.
    waiting: usize,
}

/// What a worker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It accepts connections.
    Ready,
    /// It has ended.
    Ended,
}

impl Workers {
    /// Starts a thread for each of `listeners`.
    pub(super) fn start(snapshot: Snapshot, listeners: Listeners) -> Result<Self, RunError> {
        let waiting = listeners.len();
        let limits = &snapshot.limits;
        let admission = Arc::new(Admission::new(limits.connections, limits.per_address));
        let snapshot = Arc::new(snapshot);
        let registry = Arc::new(Registry::new(snapshot.workers));
        let room = connections_with_room();
        // At most two reports a worker, and a command is rare: no bound is needed.
        let (reporter, reports) = unbounded_channel();
        let mut senders = Vec::new();
        for (number, listeners) in listeners.into_iter().enumerate() {
            let (sender, commands) = unbounded_channel();
            senders.push(sender);
            let (snapshot, admission) = (Arc::clone(&snapshot), Arc::clone(&admission));
            let registry = Arc::clone(&registry);
            let setup = Setup { snapshot, listeners, admission, room, registry, commands };
            let reporter = reporter.clone();
            let named = thread::Builder::new().name(format!("narrows-{number}"));
            named.spawn(move || run_worker(setup, &reporter)).map_err(RunError::Start)?;
        }
        Ok(Self { commands: senders, reports, waiting })
    }

    /// Sends a command to all workers.
    pub(super) fn tell(&self, command: &Command) {
        for worker in &self.commands {
            // One that has ended already needs no command.
            let _ended = worker.send(command.clone());
        }
    }

    /// The next report; `None` when all have ended.
    pub(super) async fn report(&mut self) -> Option<Report> {
        let report = self.reports.recv().await;
        if report == Some(Report::Ready) {
            self.waiting -= 1;
        }
        report
    }

    /// Whether all accept connections.
    pub(super) fn are_ready(&self) -> bool {
        self.waiting == 0
    }

    /// Waits until every worker has ended.
    pub(super) async fn ended(&mut self) {
        while self.reports.recv().await.is_some() {}
    }

    /// The same, outside of a runtime.
    pub(super) fn wait_until_ended(&mut self) {
        while self.reports.blocking_recv().is_some() {}
    }
}

fn run_worker(setup: Setup, reports: &UnboundedSender<Report>) {
    // The receiver is gone only if the process is about to end.
    let ready = || drop(reports.send(Report::Ready));
    // A panic outside of a connection's task must not leave the others to serve alone unnoticed.
    let ended = catch_unwind(AssertUnwindSafe(|| worker::run(setup, ready)));
    if let Ok(Err(error)) = ended {
        tracing::error!(target: SERVER, %error, "a worker failed");
    }
    // The process may end as soon as all have reported, and this thread's end with it.
    write_gathered_lines();
    drop(reports.send(Report::Ended));
}
