//! What a relay writes to its stderr.

use crate::GUARD;
use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::watch;

/// The lines, collected by a thread so that the relay never blocks on them.
pub(super) struct Log {
    lines: Mutex<Vec<String>>,
    /// Changes with each line; its sender is dropped with the collector.
    news: watch::Receiver<()>,
}

impl Log {
    /// Collects until stderr ends, and so does the thread.
    pub(super) fn collect(stderr: ChildStderr) -> (Arc<Self>, JoinHandle<()>) {
        let (sender, news) = watch::channel(());
        let log = Arc::new(Self { lines: Mutex::default(), news });
        let collector = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                collector.lines.lock().unwrap().push(line);
                sender.send_replace(());
            }
        });
        (log, reader)
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line that contains `part`, or `None` when stderr ended without one.
    pub(super) async fn wait_for(&self, part: &str) -> Option<String> {
        let mut news = self.news.clone();
        let found = async {
            loop {
                news.borrow_and_update();
                let over = news.has_changed().is_err();
                let line = self.lines.lock().unwrap().iter().find(|it| it.contains(part)).cloned();
                if line.is_some() || over {
                    return line;
                }
                // An error means that the collector ended: one more turn reads what it left.
                let _ended = news.changed().await;
            }
        };
        let waiting = tokio::time::timeout(GUARD, found).await;
        waiting.unwrap_or_else(|_elapsed| {
            // A copy: a panic that holds the lock would poison it for the relay's drop.
            let lines = self.lines();
            panic!("waited {GUARD:?} for {part:?} in the relay's log, which is {lines:#?}")
        })
    }
}
