//! Certificates by ACME (RFC 8555): what waits, while `acme` decides.
//!
//! One task of the main thread orders and renews all certificates, a few side by side ([`manage`]).
//! It writes files in the state directory, and everything else follows from that: the files are
//! those of a snapshot, and one that changes is served as after a reload (`control::watch`).
//!
//! Of all processes with one state directory, the one that has its lock orders (`session`); the
//! others serve what it writes, and try to get the lock. A process that drains lets go of it.

mod account_file;
mod blocking;
mod due;
mod elsewhere;
mod entry;
mod failed_validations;
mod https;
mod kinds;
mod lines;
mod message;
mod opening;
mod ordering;
mod parts;
mod pauses;
mod restart;
mod running;
mod session;
mod state_directory;
mod stored;
mod time;
mod times_file;
mod trouble;

use crate::config::snapshot::Snapshot;
use crate::control::acme::blocking::{blocking, blocking_with};
use crate::control::acme::elsewhere::Elsewhere;
use crate::control::acme::opening::{Opened, Settings};
use crate::control::acme::restart::restarted;
use crate::control::acme::session::Session;
use crate::control::acme::state_directory::Lock;
use crate::control::acme::time::{now, system_time};
use crate::control::acme::trouble::Trouble;
use crate::control::progress::{OrderError, OrderPhase, Standing};
use crate::control::state::Phase;
use crate::limits::{ACME_LOCK_TRIED_EVERY, ACME_STATE_TRIED_EVERY};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

pub(super) use parts::Parts;

/// Orders and renews the certificates of what is served, from when all workers accept until the
/// process drains. Then another process may: it accepts already, so a challenge of this one would
/// fail.
pub(super) async fn manage(parts: Parts) {
    let parts = Rc::new(parts);
    restarted(|| manage_until_drain(Rc::clone(&parts))).await;
}

async fn manage_until_drain(parts: Rc<Parts>) {
    let mut phases = parts.state.phases();
    drop(phases.wait_for(|phase| *phase != Phase::Starting).await);
    let drains = |phase: &Phase| matches!(phase, Phase::Draining | Phase::HandedOver);
    tokio::select! {
        () = manage_on(&parts) => {}
        _drains = phases.wait_for(drains) => {}
    }
}

async fn manage_on(parts: &Parts) {
    let mut snapshots = parts.state.snapshots();
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        match Settings::of(&snapshot) {
            None => {
                parts.state.progress().keep(|_| false);
                if snapshots.changed().await.is_err() {
                    return;
                }
            }
            Some(settings) => {
                let Some(lock) = lock(parts, &settings).await else { continue };
                let lock = Arc::new(lock);
                if let Some(opened) = open(parts, &settings, &lock).await {
                    Session::new(parts, settings, opened, lock).run().await;
                }
            }
        }
    }
}

/// Waits for the lock of the state directory. `None`: the configuration has changed meanwhile.
async fn lock(parts: &Parts, settings: &Settings) -> Option<Lock> {
    let (mut trouble, mut elsewhere) = (Trouble::default(), Elsewhere::default());
    loop {
        let state = settings.state();
        match blocking(move || state.lock()).await {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) => elsewhere.note(parts, settings.state()).await,
            Err(error) => tell(parts, &mut trouble, error.to_string()),
        }
        is_unchanged_for(parts, settings, ACME_LOCK_TRIED_EVERY).await?;
    }
}

/// Loads what a session needs, as soon as that is possible. `None`: the configuration has changed
/// meanwhile.
async fn open(parts: &Parts, settings: &Settings, lock: &Arc<Lock>) -> Option<Opened> {
    let mut trouble = Trouble::default();
    loop {
        let settings_there = settings.clone();
        match blocking_with(lock, move || settings_there.open()).await {
            Ok(opened) => return Some(opened),
            Err(error) => tell(parts, &mut trouble, error),
        }
        is_unchanged_for(parts, settings, ACME_STATE_TRIED_EVERY).await?;
    }
}

/// Waits for this time, or until other settings are served, which is `None`.
async fn is_unchanged_for(parts: &Parts, settings: &Settings, time: Duration) -> Option<()> {
    let mut snapshots = parts.state.snapshots();
    let other = |snapshot: &Arc<Snapshot>| !settings.are_those_of(snapshot);
    timeout(time, snapshots.wait_for(other)).await.is_err().then_some(())
}

/// Nothing can be ordered now.
fn tell(parts: &Parts, trouble: &mut Trouble, text: String) {
    trouble.tell(&text);
    let last_error = Some(OrderError { text, at: system_time(now()) });
    for managed in &parts.state.snapshot().managed {
        let phase = OrderPhase::Retrying;
        let standing = Standing { phase, next: None, last_error: last_error.clone() };
        parts.state.progress().note(&managed.file, standing);
    }
}
