//! What the process serves, and how far it is in its life: [`State`].
//!
//! There is one, on the main thread. The main loop changes it; the tasks beside the loop read it,
//! and wait for its changes. Only what is wrong with files is noted by the task that watches them.

use crate::config::problem::Problems;
use crate::config::snapshot::Snapshot;
use crate::control::listeners::Listening;
use crate::control::progress::Progress;
use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{Notify, watch};

/// How far the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not all workers accept yet.
    Starting,
    /// All workers accept.
    Ready,
    /// It is going to stop: it serves as before, but says that it is not ready.
    StopDelay,
    /// It accepts nothing more; running exchanges may end.
    Draining,
    /// The same, and a new process accepts in its place.
    HandedOver,
}

/// What the process serves, and how far it is in its life.
pub(super) struct State {
    snapshot: watch::Sender<Arc<Snapshot>>,
    phase: watch::Sender<Phase>,
    listening: RefCell<Vec<Listening>>,
    reloads: Cell<Reloads>,
    unusable_files: RefCell<Problems>,
    progress: Progress,
    files_changed: Notify,
    /// Those that this process has written, and that were not seen to change since.
    files_written: RefCell<HashSet<PathBuf>>,
}

/// The results of all reloads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reloads {
    /// Those that took effect.
    pub(super) succeeded: u64,
    /// Those that changed nothing, because something was wrong.
    pub(super) failed: u64,
    /// The last one.
    pub(super) last: Option<LastReload>,
}

/// The result of a reload.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastReload {
    /// When it was over.
    pub(super) at: SystemTime,
    /// How many problems there were; none if it took effect.
    pub(super) problems: usize,
}

impl State {
    /// A process that starts to serve `snapshot` from the sockets of `listening`.
    pub(super) fn new(snapshot: Arc<Snapshot>, listening: Vec<Listening>) -> Self {
        let (snapshot, phase) = (watch::Sender::new(snapshot), watch::Sender::new(Phase::Starting));
        let listening = RefCell::new(listening);
        let (reloads, unusable_files) = (Cell::default(), RefCell::default());
        let (progress, files_changed, files_written) = Default::default();
        Self {
            snapshot,
            phase,
            listening,
            reloads,
            unusable_files,
            progress,
            files_changed,
            files_written,
        }
    }

    /// What is served now, and a way to wait for the next.
    pub(super) fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// What is served now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// How far the process is.
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// How far the process is, and a way to wait for the next step.
    #[cfg(feature = "acme")]
    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The process has come this far.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// The sockets that are listened on, in the order of the configuration.
    pub(super) fn listening(&self) -> Ref<'_, [Listening]> {
        Ref::map(self.listening.borrow(), Vec::as_slice)
    }

    /// Something else is served from now on. The handles of sockets that are not among `listening`
    /// are closed here; the workers have to be told after that.
    pub(super) fn replace(&self, snapshot: Arc<Snapshot>, listening: Vec<Listening>) {
        self.listening.replace(listening);
        self.snapshot.send_replace(snapshot);
    }

    /// Asks for a look at the files of what is served, because one of them has changed.
    #[cfg(any(feature = "acme", test))]
    pub(super) fn note_changed_file(&self) {
        self.files_changed.notify_one();
    }

    /// The same for a file that this process has written, and said so.
    #[cfg(feature = "acme")]
    pub(super) fn note_written_file(&self, file: &Path) {
        self.files_written.borrow_mut().insert(file.into());
        self.note_changed_file();
    }

    /// Whether this process has written a file since this was asked.
    pub(super) fn take_written_file(&self, file: &Path) -> bool {
        self.files_written.borrow_mut().remove(file)
    }

    /// Waits until that is asked for.
    pub(super) async fn file_changed(&self) {
        self.files_changed.notified().await;
    }

    /// How far the orders of certificates are.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The results of all reloads.
    pub(super) fn reloads(&self) -> Reloads {
        self.reloads.get()
    }

    /// Notes the result of a reload: how many problems there were.
    pub(super) fn note_reload(&self, problems: usize) -> Reloads {
        let mut reloads = self.reloads.get();
        if problems == 0 {
            reloads.succeeded += 1;
        } else {
            reloads.failed += 1;
        }
        reloads.last = Some(LastReload { at: SystemTime::now(), problems });
        self.reloads.set(reloads);
        reloads
    }

    /// What is wrong with files that have changed. What they held before is in use.
    pub(super) fn unusable_files(&self) -> Ref<'_, Problems> {
        self.unusable_files.borrow()
    }

    /// Notes what is wrong with files now, and returns what was before.
    pub(super) fn note_unusable_files(&self, problems: Problems) -> Problems {
        self.unusable_files.replace(problems)
    }

    /// Further handles of all listening sockets.
    ///
    /// # Errors
    /// There is no descriptor for one.
    pub(super) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let listening = self.listening.borrow();
        let sockets = listening.iter().flat_map(Listening::sockets);
        sockets.map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Closes the main thread's handles of the listening sockets. A socket that a worker closes
    /// would otherwise go on to queue connections that no one accepts.
    pub(super) fn close_sockets(&self) {
        self.listening.borrow_mut().clear();
    }
}
