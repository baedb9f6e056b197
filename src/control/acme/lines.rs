//! What the log says of orders. Texts of an authority are shortened and escaped by `acme`.

use crate::acme::failure::{Cause, Failure};
use crate::acme::identifier::Identifier;
use crate::control::acme::entry::Entry;
use crate::control::acme::stored::Unusable;
use crate::control::acme::time::written;
use crate::limits::ACME_STATE_TRIED_EVERY;
use crate::telemetry::targets::ACME;
use std::path::Path;
use tokio::time::Instant;

/// Most names in one line.
const NAMES_SHOWN_MAX: usize = 5;
const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

/// An order begins.
pub(super) fn ordering(entry: &Entry, authority: &str) {
    let (names, awaited) = (listed(&entry.names), listed(&entry.awaited));
    match &entry.stored {
        Some(stored) => {
            let not_after = written(stored.lifetime.not_after);
            tracing::info!(
                target: ACME,
                names,
                authority,
                not_after,
                "a certificate is being renewed"
            );
        }
        None if entry.awaited.is_empty() => tracing::info!(
            target: ACME,
            names,
            authority,
            "a certificate is being ordered; until it arrives, certificates stored for other sets \
             of names are used"
        ),
        None => tracing::info!(
            target: ACME,
            awaited,
            names,
            authority,
            "a certificate is being ordered; until it arrives, TLS handshakes for these names are \
             refused"
        ),
    }
}

/// An order has succeeded.
pub(super) fn issued(entry: &Entry, begun: Instant) {
    let names = listed(&entry.names);
    let not_after = entry.stored.as_ref().map(|it| written(it.lifetime.not_after));
    let (renewal, took_ms) = (written(entry.due), begun.elapsed().as_millis());
    tracing::info!(target: ACME, names, not_after, renewal, took_ms, "a certificate was issued");
}

/// An order has failed.
pub(super) fn failed(entry: &Entry, authority: &str, failure: &Failure, now: i64) {
    let (names, next, text) = (listed(&entry.names), written(entry.due), &failure.text);
    let advice = failure.advice.as_deref().or_else(|| general_advice(failure.cause));
    let left = entry.stored.as_ref().map(|it| it.lifetime.not_after - now);
    match left {
        Some(left @ 1..) => {
            let days_left = left / SECONDS_OF_A_DAY;
            tracing::warn!(
                target: ACME,
                names,
                authority,
                advice,
                days_left,
                next,
                "the certificate is not renewed: {text}; the old one serves on"
            );
        }
        None if entry.awaited.is_empty() => tracing::warn!(
            target: ACME,
            names,
            authority,
            advice,
            next,
            "no certificate: {text}; certificates stored for other sets of names are used \
             meanwhile"
        ),
        Some(_) | None => {
            let awaited = (left.is_none()).then(|| listed(&entry.awaited));
            tracing::error!(
                target: ACME,
                names,
                authority,
                awaited,
                advice,
                next,
                "no certificate: {text}; clients cannot connect until there is one"
            );
        }
    }
}

/// Why an order has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The authority has asked for a pause.
    Asked,
    /// Too many validations have failed.
    Validations,
}

impl Wait {
    /// For `/status`.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Asked => "the authority does not want to be asked yet",
            Self::Validations => "too many validations have failed",
        }
    }
}

/// An order has to wait, so that the authority's limit holds.
pub(super) fn waits(entry: &Entry, wait: Wait, next: i64, now: i64) {
    let (names, next) = (listed(&entry.names), written(next));
    let last_error = entry.standing().last_error.map(|it| it.text);
    let serves = match &entry.stored {
        Some(stored) => stored.lifetime.not_after > now,
        None => entry.awaited.is_empty(),
    };
    let limit = match wait {
        Wait::Asked => "the authority has asked not to be asked again before",
        Wait::Validations => {
            "the authority limits how many validations of a name may fail in an hour"
        }
    };
    let why = format!("{limit}, and neither a reload nor a restart ends the wait");
    if serves {
        tracing::warn!(
            target: ACME,
            names,
            last_error,
            next,
            "not ordered yet: {why}; stored certificates are used meanwhile"
        );
    } else {
        tracing::error!(
            target: ACME,
            names,
            last_error,
            next,
            "not ordered yet: {why}; clients cannot connect until there is one"
        );
    }
}

/// Another process has the lock, and does not order these names.
pub(super) fn not_ordered_elsewhere(names: &[Identifier], awaited: &[Identifier]) {
    let awaited = (!awaited.is_empty()).then(|| listed(awaited));
    let advice = "give this service a state directory of its own (--state, or state in [acme]), \
                  or stop the other one";
    tracing::warn!(
        target: ACME,
        names = listed(names),
        awaited,
        advice,
        "another process orders certificates in the same state directory, but none for these \
         names: they are neither ordered nor renewed"
    );
}

/// A new certificate cannot be stored.
pub(super) fn not_stored(names: &[Identifier], error: &str) {
    let (names, pause) = (listed(names), ACME_STATE_TRIED_EVERY.as_secs());
    tracing::error!(
        target: ACME,
        names,
        "a certificate was issued and cannot be stored: {error}; it is kept in memory, and stored \
         as soon as that is possible, which is tried every {pause} s"
    );
}

/// The authority wants another time for a renewal.
pub(super) fn renewal_moved(names: &[Identifier], renewal: i64, explanation: Option<&str>) {
    let (names, renewal) = (listed(names), written(renewal));
    tracing::info!(
        target: ACME,
        names,
        renewal,
        explanation,
        "the authority suggests another time for the renewal"
    );
}

/// A file was set aside.
pub(super) fn set_aside(unusable: &Unusable) {
    let Unusable { why, set_aside } = unusable;
    let file = set_aside.display();
    tracing::warn!(
        target: ACME,
        %file,
        "a stored certificate cannot be used, and was set aside: {why}"
    );
}

/// Another file was set aside.
pub(super) fn set_aside_other(what: &str, file: &Path) {
    let file = file.display();
    tracing::warn!(target: ACME, %file, "{what} cannot be used, and was set aside");
}

/// What usually helps after a failure about which the authority has said nothing.
fn general_advice(cause: Cause) -> Option<&'static str> {
    (cause == Cause::Unreachable).then_some(
        "usual causes: the CA is down, or cannot be reached from here; its URL is wrong \
         (--acme-directory, or directory in [acme]); its own certificate needs a root that is not \
         built in (--acme-ca, or ca in [acme])",
    )
}

/// The first names, and how many more there are.
pub(super) fn listed(names: &[Identifier]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_SHOWN_MAX).map(Identifier::to_string).collect();
    let shown = shown.join(" ");
    match names.len().checked_sub(NAMES_SHOWN_MAX) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_some_are_shown() {
        let names = |count| {
            let names = (0..count).map(|it| Identifier::Dns(format!("{it}.example").into()));
            listed(&names.collect::<Vec<_>>())
        };
        assert_eq!(names(1), "0.example");
        assert_eq!(names(5), "0.example 1.example 2.example 3.example 4.example");
        assert_eq!(names(7), "0.example 1.example 2.example 3.example 4.example and 2 more");
    }
}
