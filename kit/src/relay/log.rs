//! What a relay writes to its stderr.

use crate::GUARD;
use crate::secrets::found_in;
use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::watch;

/// What marks a line below `info`, in each of the forms.
const DETAIL: [&str; 4] =
    [" DEBUG narrows::", " TRACE narrows::", "\"level\":\"DEBUG\"", "\"level\":\"TRACE\""];

/// The lines, collected by a thread so that the relay never blocks on them.
pub(super) struct Log {
    lines: Mutex<Vec<String>>,
    /// Lines with a secret, also those that are left out above.
    leaks: Mutex<Vec<String>>,
    /// Changes with each line; its sender is dropped with the collector.
    news: watch::Receiver<()>,
}

impl Log {
    /// Collects until stderr ends, and so does the thread. Lines below `info` may be left out, but
    /// no secret in them is missed.
    pub(super) fn collect(
        stderr: ChildStderr,
        leaves_out_detail: bool,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let (sender, news) = watch::channel(());
        let (lines, leaks) = Default::default();
        let log = Arc::new(Self { lines, leaks, news });
        let collector = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if found_in(&line).is_some() {
                    collector.leaks.lock().unwrap().push(line.clone());
                }
                if !leaves_out_detail || !is_detail(&line) {
                    collector.lines.lock().unwrap().push(line);
                    sender.send_replace(());
                }
            }
        });
        (log, reader)
    }

    /// The lines so far that hold a secret.
    pub(super) fn leaks(&self) -> Vec<String> {
        self.leaks.lock().unwrap().clone()
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

fn is_detail(line: &str) -> bool {
    line.starts_with("<7>") || DETAIL.iter().any(|mark| line.contains(mark))
}
