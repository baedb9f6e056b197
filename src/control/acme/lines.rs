//! What the log says of orders. Texts of an authority are shortened and escaped by `acme`.

use crate::acme::failure::Failure;
use crate::acme::identifier::Identifier;
use crate::control::acme::stored::{Stored, Unusable};
use crate::control::acme::time::written;
use crate::telemetry::targets::ACME;
use std::path::Path;
use tokio::time::Instant;

/// Most names in one line.
const NAMES_SHOWN_MAX: usize = 5;
const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

/// An order begins.
pub(super) fn ordering(names: &[Identifier], authority: &str, stored: Option<&Stored>) {
    let names = listed(names);
    match stored {
        None => tracing::info!(
            target: ACME,
            names,
            authority,
            "a certificate is being ordered; until it is here, handshakes for these names are \
             refused"
        ),
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
    }
}

/// An order has succeeded.
pub(super) fn issued(names: &[Identifier], stored: &Stored, renewal: i64, begun: Instant) {
    let not_after = written(stored.lifetime.not_after);
    let (renewal, took_ms) = (written(renewal), begun.elapsed().as_millis());
    let names = listed(names);
    tracing::info!(target: ACME, names, not_after, renewal, took_ms, "a certificate was issued");
}

/// An order has failed.
pub(super) fn failed(
    names: &[Identifier],
    authority: &str,
    failure: &Failure,
    stored: Option<&Stored>,
    now: i64,
    next: i64,
) {
    let (names, next, text) = (listed(names), written(next), &failure.text);
    let advice = failure.advice.as_deref();
    let left = stored.map(|it| it.lifetime.not_after - now).filter(|left| *left > 0);
    match left {
        None => tracing::error!(
            target: ACME,
            names,
            authority,
            advice,
            next,
            "no certificate: {text}; handshakes for these names fail until there is one"
        ),
        Some(left) => {
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
    }
}

/// An order has to wait, so that the authority's limit holds.
pub(super) fn waits(names: &[Identifier], next: i64) {
    let (names, next) = (listed(names), written(next));
    tracing::warn!(
        target: ACME,
        names,
        next,
        "not ordered yet: the authority limits how many validations of a name may fail in an hour"
    );
}

/// A new certificate cannot be stored.
pub(super) fn not_stored(names: &[Identifier], error: &str) {
    let names = listed(names);
    tracing::error!(
        target: ACME,
        names,
        "a certificate was issued and cannot be stored: {error}; it is kept in memory, and tried \
         again"
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
