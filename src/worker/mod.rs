//! One worker: a thread with a runtime of its own, its own sockets to accept from, its own
//! connections to the upstreams, and a task for each client connection. Workers share nothing that
//! an exchange touches.
//!
//! # The life of a connection
//!
//! `accept` takes a connection from the kernel's queue and gives it to `admit`, which counts it
//! against `limits.connections` and `limits.connections_per_address`. A connection over a limit is
//! closed, with a 503 if that is cheap. So is one for which there are no descriptors, with its
//! upstream's: before that, connections that wait for a request give way. If the peer is a proxy
//! that sends a PROXY header, the connection first waits for that header, in a task of its own:
//! until then it is unknown who the client is, and so whose limit counts.
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
//! [`Command::Serve`] brings a new snapshot, and all sockets that the worker is to have.
//! `upstreams` turns the snapshot into the [`Site`](crate::proxy::Site) that the next exchange and
//! the next connection use; those that run keep what they began with. New sockets are accepted
//! from, and sockets that are missing drain. [`Command::Stop`] ends the worker: accepted
//! connections get their last response, idle ones have [`DRAIN_GRACE`] for their last request,
//! exchanges that still run after `timeouts.stop` are cut, and what was received of them is
//! delivered within [`DRAIN_CUT_MAX`]. [`Command::HandOver`] before it says which sockets another
//! process accepts from. [`Command::Report`] asks for the counters; a worker answers it while it
//! stops, too.

mod accept;
mod admit;
mod balance;
mod incoming;
mod listening;
mod live;
mod serve;
mod upstreams;
mod warnings;

pub use balance::{Balance, Passed};
pub use incoming::{Incoming, deal};

use crate::config::snapshot::{Listener, Snapshot};
use crate::limits::{DRAIN_CUT_MAX, DRAIN_GRACE};
use crate::net::admission::Admission;
use crate::net::descriptors;
use crate::proxy::Context;
use crate::task::spawn;
use crate::telemetry::metrics::{Totals, WorkerMetrics};
use crate::telemetry::targets::WORKER;
use crate::telemetry::write_gathered_lines;
use crate::tls::challenges::Challenges;
use crate::upstream::registry::Registry;
use crate::worker::accept::{accept, take_passed};
use crate::worker::admit::Admitter;
use crate::worker::listening::Listening;
use crate::worker::upstreams::Upstreams;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

/// What a worker starts with.
pub struct Setup {
    /// What it serves.
    pub serve: Serve,
    /// Client connections of all workers, against their limits.
    pub admission: Arc<Admission>,
    /// What all workers know of the upstreams.
    pub registry: Arc<Registry>,
    /// What to answer to authorities.
    pub challenges: Arc<Challenges>,
    /// Commands of the main thread.
    pub commands: UnboundedReceiver<Command>,
}

/// A command of the main thread.
#[derive(Debug)]
pub enum Command {
    /// Serve this from now on.
    Serve(Serve),
    /// Leave the accept queues of these sockets to another process when the stop comes.
    HandOver(Arc<HashSet<SocketId>>),
    /// A stop comes: end each connection after its next response.
    AnnounceStop,
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
    /// Lets the asker count the requests that are not answered.
    pub asked: Arc<()>,
}

/// What a worker serves, and all the sockets that it serves it from.
#[derive(Debug)]
pub struct Serve {
    /// What the operator configured. The limits of connections and the number of workers are not a
    /// worker's own.
    pub snapshot: Arc<Snapshot>,
    /// Its sockets. One that is no longer among them drains.
    pub sockets: Vec<Socket>,
}

/// A socket of one worker.
#[derive(Debug)]
pub struct Socket {
    /// Which one it is, among those of all addresses.
    pub id: SocketId,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The listener that its connections belong to from now on.
    pub listener: Arc<Listener>,
    /// Where its connections come from, if the worker does not have that yet.
    pub opened: Incoming,
}

/// A number for an address that is listened on, from its opening to its end. No other has it, even
/// if its address or its descriptor are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// One that no other has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When all exchanges have ended, or have had `timeouts.stop` and are cut. Idle connections
    /// have [`DRAIN_GRACE`] for their last request.
    WhenDone,
    /// The same, but another process serves, and nobody waits for the end of this one: idle
    /// connections have `timeouts.stop` as well.
    HandedOver,
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
    let Setup { serve, admission, registry, challenges, mut commands } = setup;
    let Serve { snapshot, sockets } = serve;
    let mut worker = Worker::new(&snapshot, admission, registry, challenges).await;
    for socket in sockets {
        worker.listen(socket)?;
    }
    ready();
    match worker.serve(&mut commands).await {
        Stop::WhenDone => worker.drain(DRAIN_GRACE, &mut commands).await,
        Stop::HandedOver => worker.drain(Duration::MAX, &mut commands).await,
        Stop::AtOnce => {}
    }
    Ok(())
}

/// What a worker serves, and from where.
struct Worker {
    context: Context,
    upstreams: Upstreams,
    admitter: Rc<Admitter>,
    listening: HashMap<SocketId, Rc<Listening>>,
    /// Sockets that are no longer listened on, while they have connections.
    draining: Vec<Rc<Listening>>,
}

impl Worker {
    async fn new(
        snapshot: &Snapshot,
        admission: Arc<Admission>,
        registry: Arc<Registry>,
        challenges: Arc<Challenges>,
    ) -> Self {
        let metrics = Rc::<WorkerMetrics>::default();
        let mut upstreams = Upstreams::new(registry, Rc::clone(&metrics));
        let context = Context::new(upstreams.site(snapshot).await, metrics);
        let context = context.answering(challenges).counting(Arc::clone(&admission));
        let admitter = Rc::new(Admitter::new(admission));
        let (listening, draining) = Default::default();
        Self { context, upstreams, admitter, listening, draining }
    }

    /// Accepts connections from a socket that the worker does not have yet. A socket that it has
    /// goes on with its new listener.
    fn listen(&mut self, socket: Socket) -> io::Result<()> {
        let Socket { id, address, listener, opened } = socket;
        if let Some(known) = self.listening.get(&id) {
            known.replace_listener(listener);
            return Ok(());
        }
        // Everything that can fail comes first, so that nothing is half begun.
        let sockets = opened.sockets.into_iter().map(TcpListener::from_std);
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let (balance, passed) = opened.others.unzip();
        let (context, share) =
            (self.context.of_another_socket(), balance.as_ref().map(|it| it.share().clone()));
        let listening = Rc::new(Listening::new(listener, address, context, share));
        let (admitter, at) = (|| Rc::clone(&self.admitter), || Rc::clone(&listening));
        for socket in sockets {
            spawn(accept(admitter(), socket, balance.clone(), at()));
        }
        if let Some(passed) = passed {
            spawn(take_passed(admitter(), passed, at()));
        }
        self.listening.insert(id, listening);
        Ok(())
    }

    /// Serves until a stop. If the main thread has gone away, stops at once.
    async fn serve(&mut self, commands: &mut UnboundedReceiver<Command>) -> Stop {
        let mut asked_for_places = self.admitter.admission.asked_for_places();
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                Ok(()) = asked_for_places.changed() => {
                    self.wake_connections();
                    continue;
                }
                () = descriptors::asked() => {
                    self.upstreams.close_idle();
                    continue;
                }
            };
            match command {
                Some(Command::Serve(serve)) => self.change(serve).await,
                Some(Command::HandOver(sockets)) => self.hand_over(&sockets),
                Some(Command::AnnounceStop) => {
                    self.listening.values().for_each(|it| it.context.drain.announce());
                }
                Some(Command::Report(request)) => self.report(&request),
                Some(Command::Stop(stop)) => return stop,
                None => return Stop::AtOnce,
            }
        }
    }

    /// Lets each connection that waits for a request see whether it is to give way.
    fn wake_connections(&self) {
        self.listening.values().chain(&self.draining).for_each(|it| it.context.drain.wake());
    }

    fn report(&self, ReportRequest { worker, reports, .. }: &ReportRequest) {
        let mut totals = self.context.metrics.report();
        for listening in self.listening.values().chain(&self.draining) {
            *totals.connections.entry(listening.address).or_default() += listening.live.count();
        }
        // The receiver is gone if it has waited for too long.
        let _late = reports.send((*worker, totals));
    }

    /// Serves something else, as soon as all of it is ready.
    async fn change(&mut self, Serve { snapshot, sockets }: Serve) {
        self.context.replace_site(self.upstreams.site(&snapshot).await);
        let clients = &snapshot.config.clients.all;
        self.context.metrics.forget_unused(clients.iter().map(|it| &*it.name));
        let stay: HashSet<_> = sockets.iter().map(|it| it.id).collect();
        let removed = self.listening.extract_if(|id, _| !stay.contains(id));
        let removed: Vec<_> = removed.map(|(_, listening)| listening).collect();
        for socket in sockets {
            let address = socket.listener.address;
            if let Err(error) = self.listen(socket) {
                tracing::error!(target: WORKER, %address, %error, "cannot accept connections");
            }
        }
        self.draining.retain(|it| !it.has_ended());
        for listening in removed {
            spawn(Rc::clone(&listening).drain(snapshot.timeouts.stop));
            self.draining.push(listening);
        }
    }

    fn hand_over(&self, sockets: &HashSet<SocketId>) {
        for (id, listening) in &self.listening {
            if sockets.contains(id) {
                listening.hand_over();
            }
        }
    }

    /// Lets each connection end after its next response, for which idle ones have `idle`, and cuts
    /// what takes too long. What was received of that is still delivered.
    async fn drain(&self, idle: Duration, commands: &mut UnboundedReceiver<Command>) {
        let stop = self.context.site().timeouts.stop;
        let all = || self.listening.values().chain(&self.draining);
        all().for_each(|it| it.context.drain.begin(idle.min(stop)));
        let mut none = pin!(async {
            for listening in all() {
                listening.ended().await;
            }
        });
        let mut at_once = pin!(self.told_to_stop_at_once(commands));
        for time in [stop, DRAIN_CUT_MAX] {
            tokio::select! {
                () = none.as_mut() => return,
                () = sleep(time) => all().for_each(|it| it.context.drain.cut()),
                () = at_once.as_mut() => return,
            }
        }
    }

    async fn told_to_stop_at_once(&self, commands: &mut UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Stop(Stop::AtOnce) => return,
                Command::Stop(Stop::WhenDone) => {
                    let all = self.listening.values().chain(&self.draining);
                    all.for_each(|it| it.context.drain.begin(DRAIN_GRACE));
                }
                Command::Report(request) => self.report(&request),
                // Exchanges that still begin use the site that is there.
                Command::Stop(Stop::HandedOver)
                | Command::AnnounceStop
                | Command::Serve(_)
                | Command::HandOver(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
