//! Loading a configuration beside the main loop: [`Loader`].
//!
//! Files are read on a thread of its own, because a file system may hang, and the main loop has to
//! hear of a stop. That thread is nice: a thousand routes take milliseconds, in which exchanges
//! come first. One configuration is loaded at a time. A reload that is asked for meanwhile begins
//! when the first is over, so that the last one has seen the last change.

use crate::config::Config;
use crate::config::problem::Problems;
use crate::config::snapshot::Snapshot;
use crate::control::error::RunError;
use crate::limits::RELOAD_SLOW;
use crate::telemetry::targets::SERVER;
use rustix::process::nice;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// What the thread that loads adds to its niceness (see nice(2)).
const LOADING_NICENESS: i32 = 10;

/// What the current configuration was read from, read again. `None`: it cannot be read twice.
pub(super) type Reread = Option<Result<Arc<Config>, Problems>>;
/// Reads it again. It is the current one if nothing has changed.
pub(super) type Source = dyn Fn(&Arc<Config>) -> Reread + Send + Sync;

/// Loads configurations, one at a time.
pub(super) struct Loader {
    source: Arc<Source>,
    running: Option<oneshot::Receiver<Result<Snapshot, Problems>>>,
    begun: Instant,
    /// The log says that what runs takes long.
    is_slow: bool,
    /// The files may have changed since what runs has begun.
    is_outdated: bool,
}

/// What has been loaded.
pub(super) struct Loaded {
    pub(super) snapshot: Result<Snapshot, NotReloaded>,
    /// When loading began.
    pub(super) begun: Instant,
}

/// Why a reload changes nothing.
#[derive(Debug)]
pub(super) enum NotReloaded {
    /// The configuration is wrong.
    Problems(Problems),
    /// Something that it needs cannot be had.
    Refused(RunError),
    /// Loading panicked, or there is no thread for it. The log has the reason.
    Failed,
}

impl Loader {
    /// Loads nothing yet.
    pub(super) fn new(source: Arc<Source>) -> Self {
        let begun = Instant::now();
        Self { source, running: None, begun, is_slow: false, is_outdated: false }
    }

    /// Begins to load what is to be served after `current`, now or when the load that runs is over.
    pub(super) fn begin(&mut self, current: &Arc<Snapshot>) {
        if self.running.is_some() {
            self.is_outdated = true;
            return;
        }
        let (source, current) = (Arc::clone(&self.source), Arc::clone(current));
        (self.begun, self.is_slow) = (Instant::now(), false);
        let (done, running) = oneshot::channel();
        let work = move || {
            // It is the kernel's business if it refuses: nothing depends on it.
            let _nice = nice(LOADING_NICENESS);
            // The receiver is gone at a stop.
            let _stopping = done.send(load(&*source, &current));
        };
        let started = thread::Builder::new().name("narrows-load".to_owned()).spawn(work);
        if let Err(error) = started {
            tracing::error!(target: SERVER, %error, "cannot start a thread");
        }
        self.running = Some(running);
    }

    /// Waits for the end of the load that runs, and says if that takes long. Cancel-safe.
    pub(super) async fn loaded(&mut self) -> Loaded {
        let Some(running) = &mut self.running else { return pending().await };
        let slow_at = self.begun + RELOAD_SLOW;
        let loaded = match self.is_slow {
            true => running.await,
            false => match timeout_at(slow_at, &mut *running).await {
                Ok(loaded) => loaded,
                Err(_elapsed) => {
                    self.is_slow = true;
                    tracing::warn!(
                        target: SERVER,
                        "reading the configuration takes long; the old one is served meanwhile"
                    );
                    running.await
                }
            },
        };
        self.running = None;
        let snapshot = match loaded {
            Ok(loaded) => loaded.map_err(NotReloaded::Problems),
            Err(_gone) => Err(NotReloaded::Failed),
        };
        Loaded { snapshot, begun: self.begun }
    }

    /// Whether nothing is being loaded.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Begins again, if that was asked for while the last load ran.
    pub(super) fn begin_again(&mut self, current: &Arc<Snapshot>) {
        if std::mem::take(&mut self.is_outdated) {
            self.begin(current);
        }
    }
}

impl NotReloaded {
    /// How many problems there are; at least one.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Problems(problems) => problems.iter().len(),
            Self::Refused(_) | Self::Failed => 1,
        }
    }

    /// Logs each problem.
    pub(super) fn log(&self) {
        let log = |problem: &dyn fmt::Display| tracing::error!(target: SERVER, "{problem}");
        match self {
            Self::Problems(problems) => problems.iter().for_each(|it| log(it)),
            Self::Refused(error) => log(error),
            Self::Failed => log(&"the configuration was not loaded, see above"),
        }
    }
}

fn load(source: &Source, current: &Snapshot) -> Result<Snapshot, Problems> {
    let loaded = match source(&current.config) {
        Some(config) => Snapshot::load_after(config?, current),
        None => {
            tracing::warn!(
                target: SERVER,
                "the configuration was read from stdin and cannot be read again; only the files \
                 that it names are"
            );
            Snapshot::load_after(Arc::clone(&current.config), current)
        }
    }?;
    loaded.config.forget_text();
    // Who reloads may have paid for them.
    loaded
        .routes
        .iter()
        .filter_map(|it| it.access.as_ref()?.keys.as_ref())
        .for_each(|it| it.forgive());
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LogFormat, logged};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};
    use tokio::runtime::Builder;
    use tokio::time::{advance, timeout};
    use tracing::Level;

    const GUARD: std::time::Duration = std::time::Duration::from_secs(10);

    #[tokio::test]
    async fn a_reload_that_is_asked_for_while_another_is_read_reads_again() {
        let (reading, begun) = mpsc::channel();
        let (go, waits) = mpsc::channel();
        let (reading, waits) = (Mutex::new(reading), Mutex::new(waits));
        let mut loader = Loader::new(Arc::new(move |_| {
            reading.lock().unwrap().send(()).unwrap();
            waits.lock().unwrap().recv().unwrap();
            Some(config("/").map(Arc::new))
        }));
        let current = Arc::new(Snapshot::load(config("/").unwrap()).unwrap());
        loader.begin(&current);
        begun.recv().unwrap();
        // Two more in quick succession are one: both see what there is when it begins.
        loader.begin(&current);
        loader.begin(&current);
        for _ in 0..2 {
            go.send(()).unwrap();
            timeout(GUARD, loader.loaded()).await.unwrap().snapshot.unwrap();
            loader.begin_again(&current);
        }
        assert!(loader.running.is_none());
        begun.recv().unwrap();
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_load_that_fails_says_why_and_the_next_begins_anew() {
        let count = AtomicUsize::new(0);
        let mut loader =
            Loader::new(Arc::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
                0 => Some(config("no slash").map(Arc::new)),
                1 => panic!("on purpose"),
                _ => None,
            }));
        let current = Arc::new(Snapshot::load(config("/").unwrap()).unwrap());
        let mut loaded = async || {
            loader.begin(&current);
            timeout(GUARD, loader.loaded()).await.unwrap().snapshot
        };
        let problems = loaded().await.unwrap_err();
        assert!(matches!(problems, NotReloaded::Problems(_)) && problems.count() == 1);
        assert!(matches!(loaded().await.unwrap_err(), NotReloaded::Failed));
        let again = loaded().await.unwrap();
        assert!(Arc::ptr_eq(&again.config, &current.config), "of stdin only the files are read");
    }

    #[test]
    fn a_load_that_takes_long_is_reported_once_and_goes_on() {
        let (go, waits) = mpsc::channel();
        let waits = Mutex::new(waits);
        let mut loader = Loader::new(Arc::new(move |_| {
            waits.lock().unwrap().recv().unwrap();
            Some(config("/").map(Arc::new))
        }));
        let current = Arc::new(Snapshot::load(config("/").unwrap()).unwrap());
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                loader.begin(&current);
                for _ in 0..3 {
                    // Cancelled each time, as by another event of the main loop.
                    tokio::select! {
                        biased;
                        _ = loader.loaded() => unreachable!(),
                        () = advance(RELOAD_SLOW) => {}
                    }
                }
                go.send(()).unwrap();
                loader.loaded().await.snapshot.unwrap();
            });
        });
        assert_eq!(log.matches("reading the configuration takes long").count(), 1, "{log}");
    }

    fn config(path: &str) -> Result<Config, Problems> {
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[route]]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:9/\"\n"
        );
        Config::parse("narrows.toml", Path::new("."), &toml)
    }
}
