//! What is wrong with an upstream, and when that is logged: [`Troubles`].
//!
//! A trouble is logged when it begins, when it changes and when it is over. One that comes and goes
//! is logged once in [`TROUBLE_LOGGED_EVERY`], and different ones in turns once in
//! [`TROUBLE_CHANGES_LOGGED_EVERY`].

use crate::error::{Cause, DialFailure, DialStep, Fault};
use crate::gateway::answer::name_of;
use crate::limits::{TROUBLE_CHANGES_LOGGED_EVERY, TROUBLE_LOGGED_EVERY};
use crate::telemetry::targets::UPSTREAM;
use crate::telemetry::unreachable_upstream;
use crate::tls::fault;
use std::io::{self, ErrorKind};
use tokio::time::Instant;

/// What is wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No connection can be opened.
    Unreachable(Option<DialStep>, Cause),
    /// The upstream ends connections before a request.
    EndsUnused(Ending),
}

/// How the upstream ended a connection that had carried no request, in words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    cause: &'static str,
    reason: Option<&'static str>,
}

impl Ending {
    /// By a FIN.
    pub(super) const CLOSED: Self = Self { cause: "closed", reason: None };
    /// By bytes that answer nothing: no request may follow them.
    pub(super) const BYTES: Self = Self { cause: "unasked_bytes", reason: None };

    /// By a reset, an alert, or another error of a read.
    pub(super) fn failed(error: &io::Error) -> Self {
        let failure = fault::of_io(Fault::Upstream, error);
        match (failure.cause, error.kind()) {
            (Cause::Tls(_), _) => Self { cause: name_of(&failure), reason: failure.reason() },
            (_, ErrorKind::ConnectionReset) => Self { cause: "reset", reason: None },
            (_, ErrorKind::UnexpectedEof) => Self::CLOSED,
            (_, _) => Self { cause: "failed", reason: None },
        }
    }
}

/// The trouble with one upstream.
#[derive(Debug)]
pub(super) struct Troubles {
    /// The upstream, for the log.
    label: Box<str>,
    current: Option<Trouble>,
    /// When a trouble was last met with.
    met_at: Instant,
    logged: Option<Logged>,
}

/// The last log line about a trouble.
#[derive(Clone, Copy, Debug)]
struct Logged {
    trouble: Trouble,
    at: Instant,
    /// Its end has been logged, too.
    is_over: bool,
}

impl Troubles {
    /// No trouble yet.
    pub(super) fn new(label: &str, now: Instant) -> Self {
        Self { label: label.into(), current: None, met_at: now, logged: None }
    }

    /// No connection could be opened.
    pub(super) fn unreachable(&mut self, failure: &DialFailure, now: Instant) {
        if self.is_news(Trouble::Unreachable(failure.step, failure.error.cause), now) {
            unreachable_upstream(&self.label, failure);
        }
    }

    /// The upstream ended a connection before a request, and so early that no client could have
    /// used it.
    pub(super) fn ends_unused(&mut self, ending: Ending, now: Instant) {
        if self.is_news(Trouble::EndsUnused(ending), now) {
            let (upstream, Ending { cause, reason }) = (&*self.label, ending);
            tracing::warn!(
                target: UPSTREAM,
                upstream,
                cause,
                reason,
                "the upstream ends connections before a request"
            );
        }
    }

    /// A connection was opened; whether that ends a trouble.
    pub(super) fn reached(&mut self) -> bool {
        let is_over = matches!(self.current, Some(Trouble::Unreachable(..)));
        if is_over {
            self.end();
        }
        is_over
    }

    /// A connection opened at `opened` has stayed open for long enough.
    pub(super) fn survived(&mut self, opened: Instant) {
        if self.ends_unused_since().is_some_and(|since| opened >= since) {
            self.end();
        }
    }

    /// When the upstream last ended a connection before a request, if that is its trouble. One
    /// opened since then that stays open proves that it is over.
    pub(super) fn ends_unused_since(&self) -> Option<Instant> {
        matches!(self.current, Some(Trouble::EndsUnused(_))).then_some(self.met_at)
    }

    /// Notes a trouble, and says whether to log it.
    fn is_news(&mut self, trouble: Trouble, now: Instant) -> bool {
        (self.current, self.met_at) = (Some(trouble), now);
        let is_news = self.logged.is_none_or(|logged| {
            let elapsed = now.duration_since(logged.at);
            match logged.trouble == trouble {
                true => logged.is_over && elapsed >= TROUBLE_LOGGED_EVERY,
                false => elapsed >= TROUBLE_CHANGES_LOGGED_EVERY,
            }
        });
        if is_news {
            self.logged = Some(Logged { trouble, at: now, is_over: false });
        }
        is_news
    }

    /// Ends the trouble, and logs that if its beginning was.
    fn end(&mut self) {
        self.current = None;
        let Some(logged) = self.logged.as_mut().filter(|logged| !logged.is_over) else { return };
        logged.is_over = true;
        let upstream = &*self.label;
        match logged.trouble {
            Trouble::Unreachable(..) => {
                tracing::warn!(target: UPSTREAM, upstream, "the upstream can be reached again");
            }
            Trouble::EndsUnused(_) => {
                let message = "the upstream keeps connections open again";
                tracing::warn!(target: UPSTREAM, upstream, "{message}");
            }
        }
    }
}
