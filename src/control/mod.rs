//! All workers: starting them, waiting for a signal, stopping them.

mod descriptors;
mod reminder;
mod signals;

pub use descriptors::raise_descriptor_limit;

use crate::config::snapshot::Snapshot;
use crate::control::descriptors::connections_with_room;
use crate::control::signals::StopSignals;
use crate::limits::{STOP_AT_ONCE_MAX, TCP_USER_TIMEOUT};
use crate::net::admission::Admission;
use crate::net::listen::listen;
use crate::telemetry::refusals::{tell_last_left_out_lines, tell_left_out_lines};
use crate::telemetry::{READY, write_gathered_lines};
use crate::upstream::commons::Commons;
use crate::worker::{self, Setup, Stop};
use reminder::{remind, tell_remarks};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Why the server could not start, or stopped by itself.
#[derive(Debug)]
pub enum RunError {
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// A thread, a runtime or a signal handler cannot be had.
    Start(io::Error),
    /// A worker ended without being asked to.
    WorkerEnded,
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(out, "cannot listen on {address}: {error}"),
            Self::Start(error) => write!(out, "cannot start: {error}"),
            Self::WorkerEnded => write!(out, "a worker ended unexpectedly"),
        }
    }
}

impl std::error::Error for RunError {}

/// Serves until SIGTERM or SIGINT, then lets running exchanges end; a second signal ends at once.
///
/// # Errors
/// Something the server needs at start cannot be had, or a worker ended by itself.
pub fn run(snapshot: Snapshot) -> Result<(), RunError> {
    check_descriptors(&snapshot);
    tell_remarks(&snapshot.remarks);
    let certificates = snapshot.certificates.clone();
    let listeners = open_listeners(&snapshot)?;
    let addresses = addresses(&snapshot, &listeners);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(RunError::Start)?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = serve(snapshot, listeners, &addresses) => ended,
            never = tell_left_out_lines() => match never {},
            never = remind(certificates, SystemTime::now) => match never {},
        }
    });
    tell_last_left_out_lines();
    ended
}

/// Runs the workers, and waits for a signal.
async fn serve(snapshot: Snapshot, listeners: Listeners, addresses: &str) -> Result<(), RunError> {
    let mut signals = StopSignals::new().map_err(RunError::Start)?;
    let mut workers = Workers::start(snapshot, listeners)?;
    loop {
        tokio::select! {
            report = workers.reports.recv() => match report {
                Some(Report::Ready) => workers.waiting -= 1,
                Some(Report::Ended) | None => return Err(RunError::WorkerEnded),
            },
            signal = signals.recv() => {
                tracing::info!(signal, "stopping; running exchanges may end");
                break;
            }
        }
        if workers.waiting == 0 {
            tracing::info!(target: READY, addresses, "ready");
        }
    }
    workers.stop.send_replace(Stop::WhenDone);
    tokio::select! {
        () = workers.ended() => tracing::info!("stopped"),
        signal = signals.recv() => {
            tracing::warn!(signal, "stopping at once");
            workers.stop.send_replace(Stop::AtOnce);
            // What is cut has its line of the log. A worker in the middle of something long
            // has none to give.
            let _ = timeout(STOP_AT_ONCE_MAX, workers.ended()).await;
        }
    }
    Ok(())
}

/// The threads, as the main thread sees them.
struct Workers {
    reports: mpsc::UnboundedReceiver<Report>,
    stop: watch::Sender<Stop>,
    /// How many have not said yet that they are ready.
    waiting: usize,
}

enum Report {
    Ready,
    Ended,
}

impl Workers {
    fn start(snapshot: Snapshot, listeners: Listeners) -> Result<Self, RunError> {
        let waiting = listeners.len();
        let limits = &snapshot.limits;
        let admission = Arc::new(Admission::new(limits.connections, limits.per_address));
        let snapshot = Arc::new(snapshot);
        let commons = Arc::new(Commons::new(snapshot.workers));
        let room = connections_with_room();
        // At most two reports a worker: no bound is needed.
        let (sender, reports) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(Stop::Never);
        for (number, listeners) in listeners.into_iter().enumerate() {
            let snapshot = Arc::clone(&snapshot);
            let admission = Arc::clone(&admission);
            let (commons, stop) = (Arc::clone(&commons), stopped.clone());
            let setup = Setup { snapshot, listeners, admission, room, commons, stop };
            let sender = sender.clone();
            let body = move || run_worker(setup, &sender);
            let named = thread::Builder::new().name(format!("narrows-{number}"));
            named.spawn(body).map_err(RunError::Start)?;
        }
        Ok(Self { reports, stop, waiting })
    }

    /// Waits until every worker has ended.
    async fn ended(&mut self) {
        while self.reports.recv().await.is_some() {}
    }
}

fn run_worker(setup: Setup, reports: &mpsc::UnboundedSender<Report>) {
    // Nobody listens any more only when the process is about to end.
    let ready = || drop(reports.send(Report::Ready));
    // A panic outside of a connection's task must not leave the others to serve alone unnoticed.
    let ended = catch_unwind(AssertUnwindSafe(|| worker::run(setup, ready)));
    if let Ok(Err(error)) = ended {
        tracing::error!(%error, "a worker failed");
    }
    // The process may end as soon as all have reported, and this thread's end with it.
    write_gathered_lines();
    drop(reports.send(Report::Ended));
}

/// For each worker, a listener for each configured address.
type Listeners = Vec<Vec<TcpListener>>;

fn open_listeners(snapshot: &Snapshot) -> Result<Listeners, RunError> {
    let mut workers: Listeners = (0..snapshot.workers).map(|_| Vec::new()).collect();
    // A client that takes nothing is given up by our own limit first, by the kernel's second.
    let user_timeout = snapshot.timeouts.to_client_write.max(TCP_USER_TIMEOUT);
    for listener in snapshot.sockets() {
        let opened = listen(listener.address, snapshot.workers, user_timeout)
            .map_err(|error| RunError::Listen(listener.address, error))?;
        for (worker, listener) in workers.iter_mut().zip(opened) {
            worker.push(listener);
        }
    }
    Ok(workers)
}

/// What is listened on, with the ports that the kernel chose, as URLs.
fn addresses(snapshot: &Snapshot, listeners: &Listeners) -> String {
    let opened = listeners.first().into_iter().flatten();
    let urls = snapshot.sockets().zip(opened).map(|(configured, opened)| {
        configured.url(opened.local_addr().unwrap_or(configured.address))
    });
    urls.collect::<Vec<_>>().join(" ")
}

/// An exchange takes two descriptors. Says so at start when that many cannot be had; the workers
/// warn when the connections come near.
fn check_descriptors(snapshot: &Snapshot) {
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let (connections, room) = (snapshot.limits.connections, connections_with_room());
    if room < connections {
        tracing::info!(
            connections = room,
            "the limit of open files has room for fewer connections than limits.connections = \
             {connections}: raise it (LimitNOFILE of systemd) if there will ever be more"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::listen::assert_tuned;
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_kernel_waits_for_a_client_no_less_than_its_own_limit_says() {
        for (write, limit) in [("1s", TCP_USER_TIMEOUT), ("61s", Duration::from_secs(61))] {
            let toml = format!(
                "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                 [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n\
                 [timeouts]\nto_client = {{ write = \"{write}\" }}\n"
            );
            let config = Config::parse("narrows.toml", Path::new("."), &toml).unwrap();
            let listeners = open_listeners(&Snapshot::load(&config).unwrap()).unwrap();
            let listener = &listeners[0][0];
            let _far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = loop {
                match listener.accept() {
                    Ok((accepted, _)) => break accepted,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            };
            assert_tuned(&accepted, limit);
        }
    }
}
