//! What a step has found: [`Finding`]. Verdicts are made elsewhere, each a function of what was
//! observed.
//!
//! A finding may be pasted into a public issue: it names hosts, addresses, ports, files and
//! programs, and never a path of a URL, a key, or what a peer wrote, except through [`shown`].

use crate::config::problem::Problem;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// Most characters that are shown of what a peer wrote.
const SHOWN_CHARS_MAX: usize = 64;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and costs something or may break.
    Warning,
    /// Requests fail because of it.
    Failure,
    /// It was not tried.
    Skipped,
}

impl Verdict {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

/// What a finding says: mostly the same each time.
pub(super) type Text = Cow<'static, str>;

/// What one step has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The kind of step: `tcp`, `tls`, `clock`.
    pub(super) step: &'static str,
    /// What was examined: a file, an address, a server.
    pub(super) about: String,
    /// How it ended.
    pub(super) verdict: Verdict,
    /// What was found, or why nothing was tried.
    pub(super) what: Text,
    /// What to do about it: a warning or a failure has one.
    pub(super) remedy: Option<Text>,
    /// How long it took, if it took time.
    pub(super) took: Option<Duration>,
}

impl Finding {
    pub(super) fn ok(step: &'static str, about: &str, what: impl Into<Text>) -> Self {
        Self::new(step, about, Verdict::Ok, what.into(), None)
    }

    pub(super) fn warning(
        step: &'static str,
        about: &str,
        what: impl Into<Text>,
        remedy: impl Into<Text>,
    ) -> Self {
        Self::new(step, about, Verdict::Warning, what.into(), Some(remedy.into()))
    }

    pub(super) fn failure(
        step: &'static str,
        about: &str,
        what: impl Into<Text>,
        remedy: impl Into<Text>,
    ) -> Self {
        Self::new(step, about, Verdict::Failure, what.into(), Some(remedy.into()))
    }

    pub(super) fn skipped(step: &'static str, about: &str, why: impl Into<Text>) -> Self {
        Self::new(step, about, Verdict::Skipped, why.into(), None)
    }

    /// What the configuration says about itself. If it does not say what helps, this does.
    pub(super) fn of_problem(
        step: &'static str,
        verdict: Verdict,
        problem: &Problem,
        remedy: Text,
    ) -> Self {
        let remedy = match problem.help.is_empty() {
            true => remedy,
            false => problem.help.join("; ").into(),
        };
        let about = problem.location.to_string();
        Self::new(step, &about, verdict, problem.what.clone().into(), Some(remedy))
    }

    #[cold]
    fn new(
        step: &'static str,
        about: &str,
        verdict: Verdict,
        what: Text,
        remedy: Option<Text>,
    ) -> Self {
        Self { step, about: about.to_owned(), verdict, what, remedy, took: None }
    }

    /// The same, and how long it took.
    pub(super) fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }
}

/// What a peer or a foreign program wrote, as a report may show it: printable ASCII, and short.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|it| if matches!(it, ' '..='~') { it } else { '?' })
        .collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_is_shortened_and_has_no_control_characters() {
        assert_eq!(shown("Corp\u{1b}[31m CA\n"), "Corp?[31m CA?");
        assert_eq!(shown(&"a".repeat(65)), format!("{}...", "a".repeat(64)));
        assert_eq!(shown(&"é".repeat(64)), "?".repeat(64));
    }
}
