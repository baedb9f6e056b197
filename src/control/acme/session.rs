//! All certificates from one directory, while this process has the lock: [`Session`].
//!
//! One thing is done at a time, the one that is due first. What is stored is read again before
//! each order, so that a certificate that another process or the operator has put there counts.

use crate::acme::account::Account;
use crate::acme::challenge::ChallengeKind;
use crate::acme::failure::{Cause, Failure};
use crate::acme::renewal;
use crate::acme::schedule::validation_allowed_at;
use crate::acme::wanted::Wanted;
use crate::config::snapshot::{Listener, Snapshot, UpstreamTls};
use crate::config::value::Mode;
use crate::control::acme::blocking::blocking_with;
use crate::control::acme::entry::{Entry, Task, identifiers};
use crate::control::acme::failed_validations::FailedValidations;
use crate::control::acme::https::HttpsClient;
use crate::control::acme::lines;
use crate::control::acme::opening::{Opened, Settings};
use crate::control::acme::ordering::{ask, issue};
use crate::control::acme::parts::Parts;
use crate::control::acme::state_directory::{Lock, StateDirectory, StateError, replace};
use crate::control::acme::stored;
use crate::control::acme::time::{Steady, now, sleep_until};
use crate::control::acme::trouble::Trouble;
use crate::limits::ACME_STATE_TRIED_EVERY;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause until it is looked whether all that is stored is still there. The clock may
/// be set, too, and a machine may be suspended.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The work for one directory.
pub(super) struct Session<'p> {
    parts: &'p Parts,
    settings: Settings,
    tls: UpstreamTls,
    account: Account,
    failed: FailedValidations,
    entries: Vec<Entry>,
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
        let Opened { tls, account, failed } = opened;
        let (entries, trouble) = Default::default();
        let clock = Steady::start();
        Self { parts, settings, tls, account, failed, entries, trouble, clock, lock }
    }

    /// Orders and renews until the configuration has another directory, or nothing to order.
    pub(super) async fn run(mut self) {
        let mut snapshots = self.parts.state.snapshots();
        let mut before = Arc::clone(&snapshots.borrow());
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if !self.settings.are_those_of(&snapshot) {
                return;
            }
            self.follow(&snapshot);
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
            let next = self.entries.iter().map(Entry::next).enumerate();
            let Some((number, (at, task))) = next.min_by_key(|(_, (at, _))| *at) else { return };
            tokio::select! {
                () = sleep_until(at, LOOK_EVERY) => if at <= now() {
                    self.act(number, task, &snapshot).await;
                },
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// Has an entry for each certificate of `snapshot`, and for no other.
    fn follow(&mut self, snapshot: &Snapshot) {
        let managed = &snapshot.managed;
        self.entries.retain(|entry| managed.iter().any(|it| it.file == entry.file));
        self.parts.state.progress().keep(|file| managed.iter().any(|it| it.file == file));
        for managed in managed {
            match self.entries.iter_mut().find(|entry| entry.file == managed.file) {
                Some(entry) => entry.awaited = identifiers(&managed.awaited),
                None => self.entries.push(Entry::new(managed, now())),
            }
        }
    }

    /// Reads the roots and keys for the directory again. Without them it goes on as before.
    async fn open_again(&mut self) {
        let settings = self.settings.clone();
        match blocking_with(&self.lock, move || settings.open()).await {
            Ok(Opened { tls, account, .. }) => (self.tls, self.account) = (tls, account),
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

    async fn act(&mut self, number: usize, task: Task, snapshot: &Snapshot) {
        if let Err(error) = self.look(number).await {
            self.block(number, &error);
        } else {
            match task {
                Task::AskRenewal if self.entries[number].stored.is_none() => {}
                Task::AskRenewal => self.ask_renewal(number).await,
                Task::Order => self.order_if_due(number, kinds(snapshot)).await,
            }
        }
        let Some(entry) = self.entries.get(number) else { return };
        self.parts.state.progress().note(&entry.file, entry.standing(false));
    }

    /// Reads what is stored, after storing what was not stored yet.
    async fn look(&mut self, number: usize) -> Result<(), StateError> {
        let entry = &mut self.entries[number];
        if let Some(content) = entry.unsaved.clone() {
            let file = entry.file.clone();
            blocking_with(&self.lock, move || replace(&file, &content)).await?;
            entry.unsaved = None;
            self.parts.state.note_changed_file();
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
        let allowed = |name| validation_allowed_at(self.failed.of(name), now);
        let allowed = entry.names.iter().map(allowed).max().unwrap_or(now);
        if allowed > now {
            lines::waits(entry, allowed, now);
            let last = entry.standing(false).last_error.map(|it| it.text);
            let why = last.unwrap_or_else(|| "too many validations have failed".to_owned());
            return entry.blocked(why, allowed, now);
        }
        // An order that cannot be stored would be one in vain.
        let file = entry.file.clone();
        match blocking_with(&self.lock, move || StateDirectory::check_room(&file)).await {
            Ok(()) => {
                self.trouble.is_over();
                self.order(number, kinds).await;
            }
            Err(error) => self.block(number, &error),
        }
    }

    async fn order(&mut self, number: usize, kinds: Vec<ChallengeKind>) {
        let (entry, begun, kinds_count) = (&mut self.entries[number], Instant::now(), kinds.len());
        let authority = self.settings.authority();
        if !entry.has_failed() {
            lines::ordering(entry, authority);
        }
        self.parts.state.progress().note(&entry.file, entry.standing(true));
        let stored = entry.stored.as_ref();
        let wanted = Wanted {
            names: entry.names.clone(),
            profile: self.settings.profile(),
            replaces: stored.and_then(|it| renewal::certificate_id(&it.leaf)),
            challenges: entry.challenges(kinds),
        };
        let mut client = HttpsClient::new(self.tls.clone());
        let ordered = issue(&mut client, &mut self.account, wanted, &self.parts.challenges).await;
        drop(client);
        self.parts.state.progress().count(ordered.is_ok());
        match ordered {
            Ok(issued) => {
                let content = [issued.chain_pem, issued.key_pem].concat();
                self.store(number, content.into_bytes(), begun).await;
            }
            Err(failure) => self.fail(number, &failure, kinds_count).await,
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
        match self.look(number).await {
            Ok(()) => {
                lines::issued(&self.entries[number], begun);
            }
            Err(error) => {
                lines::not_stored(&self.entries[number].names, &error.to_string());
                self.block(number, &error);
            }
        }
    }

    async fn fail(&mut self, number: usize, failure: &Failure, kinds: usize) {
        let (entry, now) = (&mut self.entries[number], now());
        entry.failed(failure, kinds, now);
        // Before anyone can know of it: who reads the line may start this process anew.
        if !failure.names.is_empty() {
            let write = self.failed.add(&failure.names, now);
            if let Err(error) = blocking_with(&self.lock, write).await {
                self.trouble.tell(&error.to_string());
            }
        }
        lines::failed(&self.entries[number], self.settings.authority(), failure, now);
    }

    async fn ask_renewal(&mut self, number: usize) {
        let asked = self.renewal_of(number).await;
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

    /// When the authority wants this certificate to be renewed, if it says so.
    async fn renewal_of(&mut self, number: usize) -> Result<Option<renewal::RenewalInfo>, Failure> {
        let stored = self.entries[number].stored.as_ref();
        let Some(id) = stored.and_then(|it| renewal::certificate_id(&it.leaf)) else {
            return Ok(None);
        };
        let mut client = HttpsClient::new(self.tls.clone());
        if let Some(request) = self.account.directory_request(now()) {
            let response = ask(&mut client, &request).await?;
            self.account.read_directory(&response, now())?;
        }
        let Some(request) = self.account.renewal_request(&id) else { return Ok(None) };
        let response = ask(&mut client, &request).await?;
        renewal::read(&response, now()).map(Some)
    }
}

/// The challenges that can be answered. A listener with names for certificates has TLS.
fn kinds(snapshot: &Snapshot) -> Vec<ChallengeKind> {
    let mut kinds = vec![ChallengeKind::TlsAlpn01];
    let is_on_port_80 = snapshot.listeners.iter().any(|it| is_on_port_80(it));
    kinds.extend(is_on_port_80.then_some(ChallengeKind::Http01));
    kinds
}

/// Whether an authority that asks at port 80 may come to this listener. The port may be mapped, and
/// a listener that redirects is made for that.
fn is_on_port_80(listener: &Listener) -> bool {
    let Listener { address, mode, tls, redirect, has_socket, .. } = listener;
    let is_public = *has_socket && address.port() == 80 && !address.ip().is_loopback();
    *mode == Mode::Http && tls.is_none() && (*redirect || is_public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn http_01_is_for_who_can_be_reached_at_port_80() {
        use ChallengeKind::{Http01, TlsAlpn01};
        let kinds_of = |listener: &str| {
            let text = format!(
                "[acme]\nstate = \"/none\"\n[[listener]]\naddress = \"127.0.0.1:443\"\n\
                 domains = [\"a.example\"]\n[[listener]]\n{listener}\n[[route]]\npath = \"/\"\n\
                 upstream = \"http://127.0.0.1:9/\"\n"
            );
            kinds(&Snapshot::load(Config::parse("f", Path::new(""), &text).unwrap()).unwrap())
        };
        for listener in [
            "address = \"0.0.0.0:80\"",
            "address = \"[::]:80\"",
            "address = \"127.0.0.1:8080\"\nredirect = true",
        ] {
            assert_eq!(kinds_of(listener), [TlsAlpn01, Http01], "{listener}");
        }
        for listener in ["address = \"127.0.0.1:80\"", "address = \"0.0.0.0:8080\""] {
            assert_eq!(kinds_of(listener), [TlsAlpn01], "{listener}");
        }
    }
}
