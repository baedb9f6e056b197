//! All certificates from one directory, while this process has the lock: [`Session`].
//!
//! What is due first is begun first, a few things side by side, so that an order that takes long
//! does not hold up the others. What is stored is read again before each order, so that a
//! certificate that another process or the operator has put there counts.

use crate::acme::challenge::ChallengeKind;
use crate::acme::failure::{Cause, Failure};
use crate::acme::renewal::{self, RenewalInfo};
use crate::acme::wanted::Wanted;
use crate::config::snapshot::Snapshot;
use crate::control::acme::blocking::blocking_with;
use crate::control::acme::due::first_due;
use crate::control::acme::elsewhere::Ordered;
use crate::control::acme::entry::{Entry, Task, identifiers};
use crate::control::acme::failed_validations::FailedValidations;
use crate::control::acme::kinds::kinds;
use crate::control::acme::lines::{self, Wait};
use crate::control::acme::opening::{Opened, Settings};
use crate::control::acme::ordering::{Ended, Ordering};
use crate::control::acme::parts::Parts;
use crate::control::acme::pauses::Pauses;
use crate::control::acme::running::{Done, Running, What};
use crate::control::acme::state_directory::{Lock, StateDirectory, StateError, replace};
use crate::control::acme::stored;
use crate::control::acme::time::{Steady, now, sleep_until};
use crate::control::acme::trouble::Trouble;
use crate::limits::ACME_STATE_TRIED_EVERY;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The longest pause until it is looked whether all that is stored is still there. The clock may
/// be set, too, and a machine may be suspended.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The work for one directory.
pub(super) struct Session<'p> {
    parts: &'p Parts,
    settings: Settings,
    ordering: Rc<Ordering>,
    failed: Rc<Mutex<FailedValidations>>,
    pauses: Pauses,
    entries: Vec<Entry>,
    ordered: Ordered,
    /// What is being done, for one entry each.
    running: Running,
    trouble: Trouble,
    clock: Steady,
    /// Held until the last write has ended.
    lock: Arc<Lock>,
}

impl<'p> Session<'p> {
    pub(super) fn new(
        parts: &'p Parts,
        settings: Settings,
        opened: Opened,
        lock: Arc<Lock>,
    ) -> Self {
        let Opened { tls, account, failed, pauses } = opened;
        let failed = Rc::new(Mutex::new(failed));
        let challenges = Arc::clone(&parts.challenges);
        let ordering =
            Ordering::new(tls, account, Rc::clone(&failed), challenges, Arc::clone(&lock));
        Self {
            parts,
            settings,
            ordering: Rc::new(ordering),
            failed,
            pauses,
            entries: Vec::new(),
            ordered: Ordered::default(),
            running: Running::new(),
            trouble: Trouble::default(),
            clock: Steady::start(),
            lock,
        }
    }

    /// Orders and renews until the configuration has another directory, or nothing to order.
    pub(super) async fn run(mut self) {
        self.run_on().await;
        // The lock is free when nothing is done any more.
        self.running.end().await;
    }

    async fn run_on(&mut self) {
        let mut snapshots = self.parts.state.snapshots();
        let mut before = Arc::clone(&snapshots.borrow());
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if !self.settings.are_those_of(&snapshot) {
                return;
            }
            self.follow(&snapshot);
            let ordered = self.ordered.write(&snapshot, self.settings.state(), &self.lock);
            ordered.await.unwrap_or_else(|error| self.trouble.tell(&error.to_string()));
            self.follow_clock();
            self.check_files().await;
            // A reload has read the configuration anew; a certificate that changes has not.
            if !Arc::ptr_eq(&before.config, &snapshot.config)
                || self.settings.has_changed_file(&before, &snapshot)
            {
                self.open_again().await;
                self.entries.iter_mut().for_each(|entry| entry.retry(now()));
            }
            before = Arc::clone(&snapshot);
            let next = if self.running.is_full() { None } else { first_due(&self.entries) };
            let at = next.map_or(i64::MAX, |(_, (at, _))| at);
            tokio::select! {
                () = sleep_until(at, LOOK_EVERY) => if let Some((number, (at, task))) = next
                    && at <= now()
                {
                    self.begin(number, task, &snapshot).await;
                },
                done = self.running.done() => self.end(done).await,
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// Has an entry for each certificate of `snapshot`, and for no other but what is ordered now.
    fn follow(&mut self, snapshot: &Snapshot) {
        let managed = &snapshot.managed;
        let is_managed = |file: &Path| managed.iter().any(|it| it.file == file);
        self.entries.retain(|entry| entry.busy.is_some() || is_managed(&entry.file));
        self.parts.state.progress().keep(is_managed);
        for managed in managed {
            match self.entries.iter_mut().find(|entry| entry.file == managed.file) {
                Some(entry) => entry.awaited = identifiers(&managed.awaited),
                None => {
                    let now = now();
                    let not_before = self.pauses.end_for(&managed.file, now);
                    self.entries.push(Entry::new(managed, now, not_before));
                }
            }
        }
    }

    /// Reads the roots and keys for the directory again. Without them it goes on as before.
    async fn open_again(&mut self) {
        let settings = self.settings.clone();
        match blocking_with(&self.lock, move || settings.open()).await {
            Ok(Opened { tls, account, .. }) => {
                let challenges = Arc::clone(&self.parts.challenges);
                let (failed, lock) = (Rc::clone(&self.failed), Arc::clone(&self.lock));
                self.ordering = Rc::new(Ordering::new(tls, account, failed, challenges, lock));
            }
            Err(error) => self.trouble.tell(&error),
        }
    }

    /// Keeps the pauses as long as they were if the clock was set back.
    fn follow_clock(&mut self) {
        if let Some(by) = self.clock.set_back(now()) {
            self.entries.iter_mut().for_each(|entry| entry.clock_was_set_back(by));
        }
        self.clock = Steady::start();
    }

    /// Looks for certificates that were removed or damaged. What was loaded of them serves on, but
    /// not after a restart.
    async fn check_files(&mut self) {
        let is_stored = |it: &&mut Entry| it.stored.is_some() && it.unsaved.is_none();
        for entry in self.entries.iter_mut().filter(is_stored) {
            let file = entry.file.clone();
            if !blocking_with(&self.lock, move || stored::is_there(&file)).await {
                entry.misses_file(now());
            }
        }
    }

    /// Begins what is due for an entry.
    async fn begin(&mut self, number: usize, task: Task, snapshot: &Snapshot) {
        if let Err(error) = self.look(number).await {
            self.block(number, &error);
        } else {
            match task {
                Task::AskRenewal => self.ask_renewal(number),
                Task::Order => self.order_if_due(number, kinds(snapshot)).await,
            }
        }
        self.note(number);
    }

    /// Something has been done.
    async fn end(&mut self, done: Done) {
        let Done { file, what } = done;
        // It stays while it is busy.
        let Some(number) = self.entries.iter().position(|it| it.file == file) else { return };
        self.entries[number].busy = None;
        match what {
            What::Ordered { ended, begun, kinds } => {
                self.ordered(number, ended, begun, kinds).await;
            }
            What::AskedRenewal(asked) => self.asked_renewal(number, asked),
        }
        self.note(number);
    }

    fn note(&self, number: usize) {
        let entry = &self.entries[number];
        self.parts.state.progress().note(&entry.file, entry.standing());
    }

    /// Begins something that takes long.
    fn start(&mut self, number: usize, task: Task, what: Pin<Box<dyn Future<Output = What>>>) {
        let entry = &mut self.entries[number];
        entry.busy = Some(task);
        let file = entry.file.clone();
        self.running.begin(file, what);
    }

    /// Reads what is stored, after storing what was not stored yet.
    async fn look(&mut self, number: usize) -> Result<(), StateError> {
        let entry = &mut self.entries[number];
        if let Some(content) = entry.unsaved.clone() {
            let file = entry.file.clone();
            blocking_with(&self.lock, move || replace(&file, &content)).await?;
            entry.unsaved = None;
            self.parts.state.note_written_file(&entry.file);
        }
        let file = entry.file.clone();
        let found = blocking_with(&self.lock, move || stored::look(&file)).await?;
        let stored = found.unwrap_or_else(|unusable| {
            lines::set_aside(&unusable);
            None
        });
        entry.found(stored, now());
        Ok(())
    }

    /// The state directory cannot be used: it is tried again soon.
    fn block(&mut self, number: usize, error: &StateError) {
        let (text, now) = (error.to_string(), now());
        self.trouble.tell(&text);
        let until = now + ACME_STATE_TRIED_EVERY.as_secs().cast_signed();
        let entry = &mut self.entries[number];
        entry.ask_at = entry.ask_at.map(|at| at.max(until));
        entry.blocked(text, until, now);
    }

    async fn order_if_due(&mut self, number: usize, kinds: Vec<ChallengeKind>) {
        let (entry, now) = (&mut self.entries[number], now());
        if entry.renewal(now) > now {
            return entry.rests(now);
        }
        // It was lost, and the authority does not want to be asked yet.
        if entry.due > now {
            return;
        }
        let validations = self.failed.lock().await.allowed_at(&entry.names, now);
        let waits = [(Wait::Asked, entry.not_before), (Wait::Validations, validations)];
        if let Some((wait, until)) = waits.into_iter().find(|(_, until)| *until > now) {
            lines::waits(entry, wait, until, now);
            let last = entry.standing().last_error.map(|it| it.text);
            return entry.blocked(last.unwrap_or_else(|| wait.why().to_owned()), until, now);
        }
        // An order that cannot be stored would be one in vain.
        let file = entry.file.clone();
        match blocking_with(&self.lock, move || StateDirectory::check_room(&file)).await {
            Ok(()) => {
                self.trouble.is_over();
                self.order(number, kinds);
            }
            Err(error) => self.block(number, &error),
        }
    }

    fn order(&mut self, number: usize, kinds: Vec<ChallengeKind>) {
        let (entry, begun, kinds_count) = (&mut self.entries[number], Instant::now(), kinds.len());
        if !entry.has_failed() {
            lines::ordering(entry, self.settings.authority());
        }
        let stored = entry.stored.as_ref();
        let wanted = Wanted {
            names: entry.names.clone(),
            profile: self.settings.profile(),
            replaces: stored.and_then(|it| renewal::certificate_id(&it.leaf)),
            challenges: entry.challenges(kinds),
        };
        let ordering = Rc::clone(&self.ordering);
        let order = async move {
            What::Ordered { ended: ordering.order(wanted).await, begun, kinds: kinds_count }
        };
        self.start(number, Task::Order, Box::pin(order));
    }

    async fn ordered(&mut self, number: usize, ended: Ended, begun: Instant, kinds: usize) {
        let Ended { issued, begun: validations } = ended;
        self.parts.state.progress().count(issued.is_ok());
        let failed = issued.as_ref().err().map_or(&[][..], |failure| &failure.names);
        if validations.is_some() || !failed.is_empty() {
            // Before anyone can know of it: who reads the line may start this process anew.
            let mut all = self.failed.lock().await;
            let write = all.end(validations, failed, now());
            if let Err(error) = blocking_with(&self.lock, write).await {
                self.trouble.tell(&error.to_string());
            }
        }
        match issued {
            Ok(issued) => {
                let content = [issued.chain_pem, issued.key_pem].concat();
                self.store(number, content.into_bytes(), begun).await;
            }
            Err(failure) => self.fail(number, &failure, kinds).await,
        }
    }

    async fn store(&mut self, number: usize, content: Vec<u8>, begun: Instant) {
        let entry = &mut self.entries[number];
        let stored = match stored::parse(&entry.file, &content) {
            Ok(stored) => stored,
            Err(why) => {
                let text = format!("the CA issued what cannot be used: {why}");
                let failure = Failure { cause: Cause::Server, ..Failure::unreachable(text) };
                return self.fail(number, &failure, 1).await;
            }
        };
        entry.unsaved = Some(content);
        entry.found(Some(stored), now());
        entry.issued(now());
        self.keep_pause(number, now()).await;
        match self.look(number).await {
            Ok(()) => lines::issued(&self.entries[number], begun),
            Err(error) => {
                lines::not_stored(&self.entries[number].names, &error.to_string());
                self.block(number, &error);
            }
        }
    }

    async fn fail(&mut self, number: usize, failure: &Failure, kinds: usize) {
        let (entry, now) = (&mut self.entries[number], now());
        entry.failed(failure, kinds, now);
        self.keep_pause(number, now).await;
        lines::failed(&self.entries[number], self.settings.authority(), failure, now);
    }

    /// Stores until when the authority wants to be left alone.
    async fn keep_pause(&mut self, number: usize, now: i64) {
        let entry = &self.entries[number];
        if let Some(write) = self.pauses.set(&entry.file, entry.not_before, now)
            && let Err(error) = blocking_with(&self.lock, write).await
        {
            self.trouble.tell(&error.to_string());
        }
    }

    /// Asks the authority when a stored certificate should be renewed.
    fn ask_renewal(&mut self, number: usize) {
        let entry = &mut self.entries[number];
        let Some(stored) = &entry.stored else {
            entry.ask_at = None;
            return;
        };
        let (id, ordering) = (renewal::certificate_id(&stored.leaf), Rc::clone(&self.ordering));
        let ask = async move {
            What::AskedRenewal(match id {
                Some(id) => ordering.renewal_info(&id).await,
                None => Ok(None),
            })
        };
        self.start(number, Task::AskRenewal, Box::pin(ask));
    }

    fn asked_renewal(&mut self, number: usize, asked: Result<Option<RenewalInfo>, Failure>) {
        let (entry, now) = (&mut self.entries[number], now());
        let Ok(Some(info)) = asked else {
            // The lifetime decides, as before.
            let retry_at = asked.err().and_then(|it| it.retry_at);
            entry.ask_at = Some(renewal::check_at(retry_at, now));
            return;
        };
        let before = entry.renewal(now);
        (entry.window, entry.ask_at) = (Some(info.window), Some(info.check_at));
        let renewal = entry.renewal(now);
        if renewal != before {
            lines::renewal_moved(&entry.names, renewal, info.explanation.as_deref());
        }
        // A failed order keeps its pause.
        if !entry.has_failed() {
            entry.rests(now);
        }
    }
}
