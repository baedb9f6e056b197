//! The tasks of a worker, counted, so that a stop knows when they have ended.

use crate::worker::balance::Share;
use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;

/// The tasks that a stop has to wait for.
#[derive(Debug, Default)]
pub(super) struct Live(Rc<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    count: Cell<usize>,
    none: Notify,
    /// Where other workers see how many they are.
    share: Option<Share>,
}

impl Live {
    /// No task yet. They count in `share`, too.
    pub(super) fn counted_in(share: Option<Share>) -> Self {
        Self(Rc::new(Tasks { share, ..Tasks::default() }))
    }

    /// Counts a task, until the guard is dropped.
    pub(super) fn enter(&self) -> LiveGuard {
        self.0.count.set(self.0.count.get() + 1);
        if let Some(share) = &self.0.share {
            share.enter();
        }
        LiveGuard(Rc::clone(&self.0))
    }

    /// How many tasks there are.
    pub(super) fn count(&self) -> usize {
        self.0.count.get()
    }

    /// Whether no task is left.
    pub(super) fn is_none(&self) -> bool {
        self.count() == 0
    }

    /// Waits until no task is left.
    pub(super) async fn none(&self) {
        loop {
            let changed = self.0.none.notified();
            if self.is_none() {
                return;
            }
            changed.await;
        }
    }
}

/// One task.
pub(super) struct LiveGuard(Rc<Tasks>);

impl Drop for LiveGuard {
    fn drop(&mut self) {
        let Tasks { count, none, share } = &*self.0;
        if let Some(share) = share {
            share.leave();
        }
        count.set(count.get() - 1);
        if count.get() == 0 {
            none.notify_waiters();
        }
    }
}
