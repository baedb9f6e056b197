//! What is ordered elsewhere: by the process that has the lock of the state directory.
//!
//! That process writes which certificates it orders ([`Ordered`]). The others read it, and say so
//! if that is less than they serve ([`Elsewhere`]): two services with different names must not
//! share a directory, because one of them would wait for ever.

use crate::acme::identifier::Identifier;
use crate::config::managed::ManagedCertificate;
use crate::config::snapshot::Snapshot;
use crate::control::acme::blocking::{blocking, blocking_with};
use crate::control::acme::entry::identifiers;
use crate::control::acme::lines;
use crate::control::acme::parts::Parts;
use crate::control::acme::state_directory::{
    Lock, StateDirectory, StateError, key_of, read, replace,
};
use crate::control::acme::time::{now, system_time};
use crate::control::progress::{OrderError, OrderPhase, Standing};
use crate::telemetry::targets::ACME;
use std::sync::Arc;

/// Its name in the state directory. It has a certificate's key in each line.
const FILE: &str = "ordered";
/// How often the lock is tried before it is said that another process does not order something. At
/// a hand-over the old process has it for a moment.
const PATIENCE: u32 = 3;

/// What this process orders, as it is written for others.
#[derive(Default)]
pub(super) struct Ordered(Option<String>);

impl Ordered {
    /// Writes what `snapshot` has to order, unless that is written.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) async fn write(
        &mut self,
        snapshot: &Snapshot,
        state: StateDirectory,
        lock: &Arc<Lock>,
    ) -> Result<(), StateError> {
        let lines = snapshot.managed.iter().map(|it| key_of(&it.file) + "\n");
        let content: String = lines.collect();
        if self.0.as_ref() != Some(&content) {
            let (file, written) = (state.file(FILE), content.clone());
            blocking_with(lock, move || replace(&file, written.as_bytes())).await?;
            self.0 = Some(content);
        }
        Ok(())
    }
}

/// What was said of the process that has the lock.
#[derive(Default)]
pub(super) struct Elsewhere {
    tries: u32,
    missing: Vec<Identifier>,
}

impl Elsewhere {
    /// The lock is not to be had. Says so, and for which names that is a mistake.
    pub(super) async fn note(&mut self, parts: &Parts, state: StateDirectory) {
        self.tries = self.tries.saturating_add(1);
        if self.tries == 1 {
            tracing::info!(
                target: ACME,
                "another process orders certificates in the same state directory; this one \
                 serves what it stores"
            );
        }
        let ordered = blocking(move || read(&state.file(FILE))).await;
        // Without it, the other process is of an earlier version.
        let ordered = ordered.ok().flatten().filter(|_| self.tries >= PATIENCE);
        let ordered = ordered.map(|it| String::from_utf8_lossy(&it).into_owned());
        let is_missing = |it: &&ManagedCertificate| {
            ordered.as_ref().is_some_and(|keys| !keys.lines().any(|key| key == key_of(&it.file)))
        };
        let snapshot = parts.state.snapshot();
        for managed in &snapshot.managed {
            let at = system_time(now());
            let text = "another process orders certificates in the same state directory, but not \
                        this one";
            let error = is_missing(&managed).then(|| OrderError { text: text.to_owned(), at });
            let phase = OrderPhase::Elsewhere;
            parts
                .state
                .progress()
                .note(&managed.file, Standing { phase, next: None, last_error: error });
        }
        let missing: Vec<_> = snapshot.managed.iter().filter(is_missing).collect();
        let names: Vec<_> = missing.iter().flat_map(|it| identifiers(&it.names)).collect();
        if names != self.missing && !names.is_empty() {
            let awaited: Vec<_> = missing.iter().flat_map(|it| identifiers(&it.awaited)).collect();
            lines::not_ordered_elsewhere(&names, &awaited);
        }
        self.missing = names;
    }
}
