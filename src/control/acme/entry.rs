//! What is known of one certificate that is ordered, and when something is due: [`Entry`].

use crate::acme::challenge::ChallengeKind;
use crate::acme::failure::{Cause, Failure};
use crate::acme::identifier::Identifier;
use crate::acme::renewal::Window;
use crate::acme::schedule::{allowed_at, renew_at, retry_at};
use crate::config::identifier::Identifier as Configured;
use crate::config::managed::ManagedCertificate;
use crate::control::acme::stored::Stored;
use crate::control::acme::time::system_time;
use crate::control::progress::{OrderError, OrderPhase, Standing};
use crate::limits::{ACME_ORDER_PAUSE, FILES_LOOKED_AT_EVERY};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

/// One certificate.
pub(super) struct Entry {
    pub(super) names: Vec<Identifier>,
    pub(super) file: PathBuf,
    pub(super) stored: Option<Stored>,
    /// The names that no other certificate serves meanwhile.
    pub(super) awaited: Vec<Identifier>,
    /// What was issued and could not be stored yet.
    pub(super) unsaved: Option<Vec<u8>>,
    /// When the authority suggests the renewal.
    pub(super) window: Option<Window>,
    /// When to ask it for that.
    pub(super) ask_at: Option<i64>,
    /// When to look whether an order is due.
    pub(super) due: i64,
    /// What is being done.
    pub(super) busy: Option<Task>,
    /// When the last certificates were issued to this process.
    issued: VecDeque<i64>,
    /// When orders have failed since the last one that succeeded.
    failures: Vec<i64>,
    /// How many of them failed because of a challenge, so that the other kind has its turn.
    challenges_failed: usize,
    last_error: Option<OrderError>,
    /// The authority does not want to be asked before this time.
    pub(super) not_before: i64,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// To order it, if it is not stored or has to be renewed.
    Order,
    /// To ask the authority when it should be renewed.
    AskRenewal,
}

/// Most failures that are remembered: the pauses do not grow any more.
const FAILURES_MAX: usize = 64;

impl Entry {
    /// One of which nothing is known yet, so that it is looked at now. The authority does not want
    /// to be asked for it before the second time.
    pub(super) fn new(managed: &ManagedCertificate, now: i64, not_before: i64) -> Self {
        Self {
            names: identifiers(&managed.names),
            file: managed.file.clone(),
            stored: None,
            awaited: identifiers(&managed.awaited),
            unsaved: None,
            window: None,
            ask_at: None,
            due: now,
            busy: None,
            issued: VecDeque::new(),
            failures: Vec::new(),
            challenges_failed: 0,
            last_error: None,
            not_before,
        }
    }

    /// What is next, and when.
    pub(super) fn next(&self) -> (i64, Task) {
        match self.ask_at {
            Some(at) if at <= self.due => (at, Task::AskRenewal),
            Some(_) | None => (self.due, Task::Order),
        }
    }

    /// This is stored now.
    pub(super) fn found(&mut self, stored: Option<Stored>, now: i64) {
        let leaf = |it: &Option<Stored>| it.as_ref().map(|it| it.leaf.clone());
        if leaf(&self.stored) != leaf(&stored) {
            (self.window, self.ask_at) = (None, stored.is_some().then_some(now));
        }
        let is_lost = self.stored.is_some() && stored.is_none();
        self.stored = stored;
        if is_lost {
            self.due = now.max(self.not_before).max(self.earliest(now));
        }
    }

    /// Its file cannot be used. Who is writing it has a moment; then it is looked at.
    pub(super) fn misses_file(&mut self, now: i64) {
        let soon = now + FILES_LOOKED_AT_EVERY.as_secs().cast_signed();
        self.due = self.due.min(soon.max(self.not_before));
    }

    /// The clock was set back by so many seconds: the pauses stay as long as they were.
    pub(super) fn clock_was_set_back(&mut self, by: i64) {
        let times = [&mut self.due, &mut self.not_before].into_iter().chain(&mut self.ask_at);
        let times = times.chain(&mut self.issued).chain(&mut self.failures);
        times.for_each(|it| *it = it.saturating_sub(by));
    }

    /// When it has to be renewed; at once if it is not stored.
    pub(super) fn renewal(&self, now: i64) -> i64 {
        let renewal = |it: &Stored| renew_at(it.lifetime, &it.leaf, self.window);
        self.stored.as_ref().map_or(now, renewal)
    }

    /// It was issued, and is stored.
    pub(super) fn issued(&mut self, now: i64) {
        self.issued.push_front(now);
        self.issued.truncate(2);
        self.rests(now);
    }

    /// Nothing is to be done before its renewal.
    pub(super) fn rests(&mut self, now: i64) {
        self.failures.clear();
        (self.challenges_failed, self.last_error) = (0, None);
        self.due = self.renewal(now).max(self.earliest(now));
    }

    /// Whether the last attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        self.last_error.is_some()
    }

    /// The operator may have mended what was wrong: the next attempt is made as soon as the
    /// authority allows it.
    pub(super) fn retry(&mut self, now: i64) {
        if self.has_failed() {
            self.due = self.due.min(now.max(self.not_before));
        }
    }

    /// An authority may issue what has to be renewed at once, or a clock may be wrong. So there is
    /// a pause after a certificate; after the second one, if the authority asks for a renewal, or
    /// the first one is lost.
    fn earliest(&self, now: i64) -> i64 {
        let most = usize::from(self.window.is_some() || self.stored.is_none());
        let left = self.stored.as_ref().map_or(0, |it| it.lifetime.not_after - now);
        let pause = ACME_ORDER_PAUSE.as_secs().cast_signed();
        let pause = if left > 0 { pause.min(left / 4) } else { pause };
        self.issued.get(most).map_or(now, |issued| issued + pause)
    }

    /// An order failed. Says when the next one is due.
    pub(super) fn failed(&mut self, failure: &Failure, kinds: usize, now: i64) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(now);
        let is_challenge = failure.cause == Cause::Validation;
        self.challenges_failed += usize::from(is_challenge);
        let is_other_untried = is_challenge && self.challenges_failed < kinds;
        let ends = self.stored.as_ref().map(|it| it.lifetime.not_after);
        let random = RandomState::new().hash_one(now) as u32;
        self.not_before = allowed_at(failure, now);
        self.due = retry_at(failure, &self.failures, ends, is_other_untried, now, random);
        self.blocked(failure.text.clone(), self.due, now);
    }

    /// Nothing can be done before this time.
    pub(super) fn blocked(&mut self, why: String, until: i64, now: i64) {
        self.due = until;
        self.last_error = Some(OrderError { text: why, at: system_time(now) });
    }

    /// The kinds of challenges in the order in which they are tried.
    pub(super) fn challenges(&self, mut kinds: Vec<ChallengeKind>) -> Vec<ChallengeKind> {
        let turn = self.challenges_failed % kinds.len().max(1);
        kinds.rotate_left(turn);
        kinds
    }

    /// For `/status`.
    pub(super) fn standing(&self) -> Standing {
        let is_ordering = self.busy == Some(Task::Order);
        let phase = match (is_ordering, &self.last_error) {
            (true, _) => OrderPhase::Ordering,
            (false, Some(_)) => OrderPhase::Retrying,
            (false, None) => OrderPhase::Stored,
        };
        let next = (!is_ordering).then(|| system_time(self.due));
        Standing { phase, next, last_error: self.last_error.clone() }
    }
}

/// The names of a configuration as those of an order.
pub(super) fn identifiers(configured: &[Configured]) -> Vec<Identifier> {
    let identifier = |name: &Configured| match name {
        Configured::Dns(name) => Identifier::Dns(name.clone()),
        Configured::Ip(address) => Identifier::Ip(*address),
    };
    configured.iter().map(identifier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::schedule::Lifetime;
    use crate::config::problem::Location;
    use ChallengeKind::{Http01, TlsAlpn01};

    const DAY: i64 = 24 * 60 * 60;
    const KINDS: [ChallengeKind; 2] = [TlsAlpn01, Http01];

    fn entry() -> Entry {
        let names = vec!["a.example".parse().unwrap(), "203.0.113.7".parse().unwrap()];
        let (stand_ins, awaited) = Default::default();
        let location = Location::Argument("--domain");
        let file = "a.pem".into();
        let (stored, is_unreadable) = (None, false);
        let managed =
            ManagedCertificate { names, file, location, stored, is_unreadable, stand_ins, awaited };
        Entry::new(&managed, 0, 0)
    }

    fn stored(not_before: i64, not_after: i64) -> Option<Stored> {
        Some(Stored { leaf: b"leaf".into(), lifetime: Lifetime { not_before, not_after } })
    }

    fn unvalidated() -> Failure {
        Failure { cause: Cause::Validation, ..Failure::unreachable("no one answers") }
    }

    #[test]
    fn what_is_not_stored_is_ordered_at_once_and_what_is_stored_is_asked_about() {
        let mut entry = entry();
        assert_eq!(entry.next(), (0, Task::Order));
        assert_eq!(entry.renewal(5), 5);
        entry.found(stored(0, 90 * DAY), 5);
        entry.rests(5);
        assert_eq!(entry.next(), (5, Task::AskRenewal));
        entry.ask_at = None;
        let (at, task) = entry.next();
        assert!((58 * DAY..=60 * DAY).contains(&at) && task == Task::Order, "{at}");
        entry.window = Some(Window { start: 10 * DAY, end: 11 * DAY });
        assert!((10 * DAY..=11 * DAY).contains(&entry.renewal(5)));
        // Another certificate: what was said of the first one is not about it.
        entry.found(Some(Stored { leaf: b"other".into(), ..stored(0, 90 * DAY).unwrap() }), 7);
        assert_eq!((entry.window, entry.ask_at), (None, Some(7)));
    }

    #[test]
    fn after_a_failed_challenge_the_other_kind_has_its_turn_soon() {
        let mut entry = entry();
        assert_eq!(entry.challenges(KINDS.into()), KINDS);
        entry.failed(&unvalidated(), 2, 1000);
        assert_eq!(entry.challenges(KINDS.into()), [Http01, TlsAlpn01]);
        assert!(entry.due < 1010, "{}", entry.due);
        let due = entry.due;
        entry.failed(&unvalidated(), 2, due);
        assert_eq!(entry.challenges(KINDS.into()), KINDS);
        assert!(entry.due >= due + 60, "both have failed");
        assert_eq!(entry.challenges(vec![TlsAlpn01]), [TlsAlpn01]);
        assert_eq!(entry.challenges(Vec::new()), []);
    }

    #[test]
    fn pauses_after_failures_grow_and_a_reload_ends_one() {
        let (mut entry, mut pauses) = (entry(), Vec::new());
        for _ in 0..100 {
            let now = entry.due;
            entry.failed(&Failure::unreachable("down"), 1, now);
            pauses.push(entry.due - now);
        }
        assert!(pauses[0] < 60 && pauses[8] > 600, "{pauses:?}");
        assert_eq!(entry.failures.len(), FAILURES_MAX);
        assert_eq!(entry.standing().phase, OrderPhase::Retrying);
        let soon = entry.due - 5;
        entry.retry(soon);
        assert_eq!(entry.due, soon);
        entry.found(stored(0, 90 * DAY), soon);
        entry.issued(soon);
        assert_eq!(entry.standing().phase, OrderPhase::Stored);
        let due = entry.due;
        entry.retry(soon + 1);
        assert_eq!(entry.due, due, "nothing has failed");
        let retry_at = Some(soon + 5000);
        entry.failed(&Failure { retry_at, ..Failure::unreachable("down") }, 1, soon + 2);
        entry.retry(soon + 3);
        assert_eq!(entry.due, soon + 5000, "the authority's wish counts");
    }

    #[test]
    fn an_authority_that_issues_what_is_due_at_once_is_not_asked_in_a_loop() {
        let pause = ACME_ORDER_PAUSE.as_secs().cast_signed();
        let mut entry = entry();
        let now = 100 * DAY;
        entry.found(stored(now - 80 * DAY, now + 10 * DAY), now);
        entry.issued(now);
        assert_eq!(entry.due, now + pause);
        // One that has ended already.
        entry.found(stored(now - 80 * DAY, now - 10 * DAY), now);
        entry.issued(now);
        assert_eq!(entry.due, now + pause);
    }

    #[test]
    fn a_renewal_that_the_authority_asks_for_comes_at_once_but_only_once() {
        let pause = ACME_ORDER_PAUSE.as_secs().cast_signed();
        let (mut entry, now) = (entry(), 100 * DAY);
        let past = Some(Window { start: now - DAY, end: now - 1 });
        entry.found(stored(now, now + 90 * DAY), now);
        entry.issued(now);
        entry.window = past;
        entry.rests(now);
        assert_eq!(entry.due, now);
        entry.issued(now + 10);
        entry.window = past;
        entry.rests(now + 10);
        assert_eq!(entry.due, now + pause);
    }

    #[test]
    fn what_is_lost_is_ordered_again_at_once_but_not_in_a_loop() {
        let pause = ACME_ORDER_PAUSE.as_secs().cast_signed();
        let (mut entry, now) = (entry(), 100 * DAY);
        entry.found(stored(now, now + 90 * DAY), now);
        entry.issued(now);
        entry.ask_at = Some(now + 600);
        assert!(entry.due > now + 50 * DAY);
        entry.misses_file(now);
        assert!((now..now + 60).contains(&entry.due));
        entry.found(None, now);
        assert_eq!(entry.next(), (now, Task::Order));
        entry.found(stored(now, now + 90 * DAY), now + 10);
        entry.issued(now + 10);
        entry.found(None, now + 20);
        assert_eq!(entry.due, now + pause);
        // The authority's wish counts.
        entry.found(stored(now, now + 90 * DAY), now + 30);
        let retry_at = Some(now + 5 * pause);
        entry.failed(&Failure { retry_at, ..Failure::unreachable("down") }, 1, now + 30);
        entry.found(None, now + 40);
        assert_eq!(entry.due, now + 5 * pause);
    }

    #[test]
    fn pauses_stay_as_long_as_they_were_when_the_clock_is_set_back() {
        let (mut entry, now) = (entry(), 100 * DAY);
        let retry_at = Some(now + 3600);
        entry.failed(&Failure { retry_at, ..Failure::unreachable("down") }, 1, now);
        entry.ask_at = Some(now + 600);
        entry.clock_was_set_back(50 * DAY);
        assert_eq!((entry.due, entry.ask_at), (50 * DAY + 3600, Some(50 * DAY + 600)));
        entry.retry(50 * DAY);
        assert_eq!(entry.due, 50 * DAY + 3600);
    }
}
