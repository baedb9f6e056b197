//! One worker: a thread with a runtime of its own, its own sockets to accept from, its own
//! connections to the upstreams, and a task for each client connection. Workers share nothing that
//! an exchange touches.
//!
//! # The life of a connection
//!
//! `accept` takes a connection from the kernel's queue and gives it to `admit`, which counts it
//! against `limits.connections` and `limits.connections_per_address`. A connection over a limit is
//! closed, with a 503 if that is cheap. If the peer is a proxy that sends a PROXY header, the
//! connection first waits for that header, in a task of its own: until then it is unknown who the
//! client is, and so whose limit counts.
//!
//! `serve` then takes over, by the mode of its listener. In http mode there are up to two tasks,
//! one after the other: the TLS handshake, which takes the most memory and is over soon, and the
//! [`Session`](crate::proxy::Session), which reads requests until the connection ends. During the
//! client's handshake, a connection to the upstream is opened, if there is only one upstream. In
//! tcp mode one task does it all ([`proxy::tcp`](crate::proxy::tcp)): it inspects the
//! `ClientHello`, finds the forward, dials, and then moves bytes; a connection that a forward hands
//! to the http relay comes back to `serve` as one of the http listener.
//!
//! From its admission to its end, whichever task it is in, a connection holds a `Guard`: its
//! permit, and its entry among the tasks that a stop waits for.
//!
//! # Commands
//!
//! [`Command::Site`] brings a new snapshot. `upstreams` turns it into the
//! [`Site`](crate::proxy::Site) that the next exchange and the next connection use; those that run
//! keep what they began with. [`Command::Stop`] ends the worker: accepted connections get their
//! last response, idle ones end, exchanges that still run after `timeouts.stop` are cut, and what
//! was received of them is delivered within [`DRAIN_CUT_MAX`]. [`Command::Report`] asks
//! for the counters; a worker answers it while it stops, too.

mod accept;
mod admit;
mod live;
mod serve;
mod upstreams;
mod warnings;

use crate::config::snapshot::{Listener, Snapshot};
use crate::limits::DRAIN_CUT_MAX;
use crate::net::admission::Admission;
use crate::proxy::Context;
use crate::telemetry::metrics::{Totals, WorkerMetrics};
use crate::telemetry::write_gathered_lines;
use crate::upstream::registry::Registry;
use crate::worker::accept::accept;
use crate::worker::admit::Admitter;
use crate::worker::upstreams::Upstreams;
use std::cell::RefCell;
use std::io;
use std::net::TcpListener as StdListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::spawn_local;
use tokio::time::sleep;

/// What a worker starts with.
pub struct Setup {
    /// What the operator configured.
    pub snapshot: Arc<Snapshot>,
    /// This worker's sockets, in the order of `snapshot.sockets()`.
    pub listeners: Vec<StdListener>,
    /// Client connections of all workers, against their limits.
    pub admission: Arc<Admission>,
    /// Connections that the limit of open files has room for.
    pub room: usize,
    /// What all workers know of the upstreams.
    pub registry: Arc<Registry>,
    /// Commands of the main thread.
    pub commands: UnboundedReceiver<Command>,
}

/// A command of the main thread.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve this from now on. A socket serves the listener that has its address, or goes on with
    /// the one it has if there is none. What is not a worker's own stays as it was at the start:
    /// the sockets, the number of workers, and the limits of connections.
    Site(Arc<Snapshot>),
    /// Report what was counted so far.
    Report(ReportRequest),
    /// Stop.
    Stop(Stop),
}

/// Asks a worker for its counters.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// The number by which the asker knows the worker.
    pub worker: usize,
    /// Where that number and the counters go.
    pub reports: UnboundedSender<(usize, Totals)>,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When all exchanges have ended, or have had `timeouts.stop` and are cut.
    WhenDone,
    /// At once: what still runs is cut.
    AtOnce,
}

/// Runs a worker on the calling thread until it has stopped. Calls `ready` once it accepts from all
/// its sockets.
///
/// # Errors
/// The runtime cannot be built, or a socket cannot be registered with it.
pub fn run(setup: Setup, ready: impl FnOnce()) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder.on_thread_park(write_gathered_lines);
    let runtime = builder.build_local(LocalOptions::default())?;
    let ended = runtime.block_on(work(setup, ready));
    // Nothing that still runs is waited for.
    runtime.shutdown_background();
    ended
}

async fn work(setup: Setup, ready: impl FnOnce()) -> io::Result<()> {
    let Setup { snapshot, listeners, admission, room, registry, mut commands } = setup;
    let mut worker = Worker::new(&snapshot, admission, room, registry);
    for (socket, listener) in listeners.into_iter().zip(snapshot.sockets()) {
        worker.accept(TcpListener::from_std(socket)?, listener);
    }
    ready();
    if worker.serve(&mut commands).await == Stop::WhenDone {
        worker.drain(&mut commands).await;
    }
    Ok(())
}

/// What a worker serves, and from where.
struct Worker {
    context: Rc<Context>,
    upstreams: Upstreams,
    admitter: Rc<Admitter>,
    /// Of each socket the listener that its connections belong to.
    listeners: Vec<Rc<RefCell<Arc<Listener>>>>,
}

impl Worker {
    fn new(
        snapshot: &Snapshot,
        admission: Arc<Admission>,
        room: usize,
        registry: Arc<Registry>,
    ) -> Self {
        let metrics = Rc::<WorkerMetrics>::default();
        let mut upstreams = Upstreams::new(registry, Rc::clone(&metrics));
        let context = Rc::new(Context::new(upstreams.site(snapshot), metrics));
        let admitter = Rc::new(Admitter::new(Rc::clone(&context), admission, room));
        Self { context, upstreams, admitter, listeners: Vec::new() }
    }

    /// Accepts the connections of `listener` from `socket`.
    fn accept(&mut self, socket: TcpListener, listener: &Arc<Listener>) {
        let listener = Rc::new(RefCell::new(Arc::clone(listener)));
        self.listeners.push(Rc::clone(&listener));
        spawn_local(accept(Rc::clone(&self.admitter), socket, listener));
    }

    /// Serves until a stop. If the main thread has gone away, stops at once.
    async fn serve(&mut self, commands: &mut UnboundedReceiver<Command>) -> Stop {
        loop {
            match commands.recv().await {
                Some(Command::Site(snapshot)) => self.replace_site(&snapshot),
                Some(Command::Report(request)) => self.report(&request),
                Some(Command::Stop(stop)) => return stop,
                None => return Stop::AtOnce,
            }
        }
    }

    fn report(&self, ReportRequest { worker, reports }: &ReportRequest) {
        // The receiver is gone if it has waited for too long.
        let _late = reports.send((*worker, self.context.metrics.report()));
    }

    fn replace_site(&mut self, snapshot: &Snapshot) {
        self.context.replace_site(self.upstreams.site(snapshot));
        self.context.metrics.forget_unused();
        // Port 0 is another port each time, so no listener is for two sockets.
        let mut listeners: Vec<_> = snapshot.sockets().collect();
        for current in &self.listeners {
            let address = current.borrow().address;
            if let Some(at) = listeners.iter().position(|it| it.address == address) {
                current.replace(Arc::clone(listeners.remove(at)));
            }
        }
    }

    /// Lets running exchanges end, and cuts those that take too long. What was received of those is
    /// still delivered.
    async fn drain(&self, commands: &mut UnboundedReceiver<Command>) {
        self.context.drain.begin();
        let mut at_once = pin!(self.told_to_stop_at_once(commands));
        let stop = self.context.site().timeouts.stop;
        for time in [stop, DRAIN_CUT_MAX] {
            tokio::select! {
                () = self.admitter.live.none() => return,
                () = sleep(time) => self.context.drain.cut(),
                () = at_once.as_mut() => return,
            }
        }
    }

    async fn told_to_stop_at_once(&self, commands: &mut UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Stop(Stop::AtOnce) => return,
                Command::Report(request) => self.report(&request),
                // Exchanges that still begin use the site that is there.
                Command::Stop(Stop::WhenDone) | Command::Site(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
