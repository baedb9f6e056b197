//! A bounded number of threads for jobs that block and that nothing can stop: [`Threads`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A job that blocks.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Threads that end when no job is left. Jobs beyond their number wait for one that is done.
pub(super) struct Threads {
    threads_max: usize,
    work: Arc<Mutex<Work>>,
}

#[derive(Default)]
struct Work {
    threads: usize,
    waiting: VecDeque<Job>,
}

impl Threads {
    /// At most `threads_max` at a time.
    pub(super) fn new(threads_max: usize) -> Self {
        Self { threads_max, work: Arc::default() }
    }

    /// Runs `job`, now or when a thread is free. It is dropped if no thread can be started.
    pub(super) fn run(&self, job: Job) {
        let mut work = lock(&self.work);
        if work.threads >= self.threads_max {
            work.waiting.push_back(job);
            return;
        }
        work.threads += 1;
        drop(work);
        let mut seat = Seat { work: Arc::clone(&self.work), is_counted: true };
        let body = move || {
            let mut next = Some(job);
            while let Some(job) = next {
                // A panic must not keep the jobs that wait for this thread from theirs.
                let _ = catch_unwind(AssertUnwindSafe(job));
                next = seat.next();
            }
        };
        let _ = thread::Builder::new().name("narrows-names".to_owned()).spawn(body);
    }
}

/// A thread, counted until no job waits for it, or until it could not be started.
struct Seat {
    work: Arc<Mutex<Work>>,
    is_counted: bool,
}

impl Seat {
    /// The next job. If there is none, this thread no longer counts, under the same lock: a job
    /// that comes later starts another.
    fn next(&mut self) -> Option<Job> {
        let mut work = lock(&self.work);
        let next = work.waiting.pop_front();
        if next.is_none() {
            work.threads -= 1;
            self.is_counted = false;
        }
        next
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_counted {
            lock(&self.work).threads -= 1;
        }
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Threads {
    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        lock(&self.work).threads
    }
}
