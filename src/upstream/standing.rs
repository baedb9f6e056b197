//! One upstream as all workers see it: [`Standing`]. Which connections may be opened to it that no
//! client has asked for, and what the operator is told of it.
//!
//! Three things bound those connections. Each failure, and each one that the upstream ends before a
//! request came, doubles a pause before the next. Of those that no request was sent on, only so
//! many may be opened in a time, whatever becomes of them. And those that stand ready are counted
//! for all workers together. What a client asks for is opened without a question to any of this.
//!
//! Nothing here is touched by an exchange that finds its connection in the pool.

use crate::error::{Cause, DialFailure, Fault, Step};
use crate::limits::{
    TROUBLE_CHANGES_TOLD_EVERY, TROUBLE_TOLD_EVERY, UNASKED_FORGIVEN_AFTER, UNASKED_MAX,
    UNASKED_PAUSE_MAX, UNASKED_PAUSE_MIN,
};
use crate::telemetry::unreachable_upstream;
use crate::tls::fault;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Of all lines of the log about upstreams.
const TARGET: &str = "narrows::upstream";

/// What is known of one upstream, shared by all workers.
#[derive(Debug)]
pub struct Standing {
    label: Box<str>,
    warm: usize,
    workers: usize,
    /// When this was made: the zero of `suspected`.
    origin: Instant,
    /// Connections that have been idle since then or before may be dead: milliseconds since
    /// `origin`, 0 for none.
    suspected: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Idle connections of each worker.
    idle: Vec<Arc<AtomicUsize>>,
    /// Connections being opened unasked.
    opening: usize,
    /// Connections that were opened unasked, and that no request was sent on, less those forgiven.
    wasted: usize,
    forgiven_at: Instant,
    pause: Duration,
    not_before: Instant,
    /// When the pause last became longer. What had begun by then makes it no longer.
    paused_at: Option<Instant>,
    trouble: Option<Trouble>,
    /// When it was last met with.
    trouble_at: Instant,
    told: Option<Told>,
    has_clients: bool,
    /// The upstream has ended a connection before the first client came.
    waits_for_clients: bool,
}

/// What is wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No connection can be opened.
    Unreachable(Option<Step>, Cause),
    /// Connections are ended before a request comes.
    EndsUnused(Ending),
}

/// How the upstream ended a connection that no request was sent on, in words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    cause: &'static str,
    reason: Option<&'static str>,
}

impl Ending {
    /// By a FIN.
    pub(super) const CLOSED: Self = Self { cause: "closed", reason: None };
    /// By bytes that answer nothing: no request may be sent behind those.
    pub(super) const BYTES: Self = Self { cause: "unasked_bytes", reason: None };

    /// By a reset, an alert, or what else makes a read fail.
    pub(super) fn failed(error: &io::Error) -> Self {
        let failure = fault::of_io(Fault::Upstream, error);
        match (failure.cause, error.kind()) {
            (Cause::Tls(_), _) => Self { cause: failure.name(), reason: failure.reason() },
            (_, ErrorKind::ConnectionReset) => Self { cause: "reset", reason: None },
            (_, ErrorKind::UnexpectedEof) => Self::CLOSED,
            (_, _) => Self { cause: "failed", reason: None },
        }
    }
}

/// The last line of the log about it.
#[derive(Clone, Copy, Debug)]
struct Told {
    trouble: Trouble,
    at: Instant,
    /// It was told since that this is over.
    is_over: bool,
}

/// What the keeper of one worker may do about lines that should stand ready.
#[derive(Debug)]
pub(super) enum Turn {
    /// Open one.
    Open(Unasked),
    /// Ask again then.
    NotBefore(Instant),
    /// Nothing: there are enough, here or elsewhere.
    Enough,
}

/// The idle connections of one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// All of them.
    pub(super) idle: usize,
    /// Those that will not end in a moment.
    pub(super) ready: usize,
}

impl Standing {
    /// Of an upstream called `label`, of whose connections `warm` stand ready at all of the
    /// `workers` together.
    pub fn new(label: &str, warm: usize, workers: usize) -> Self {
        let now = Instant::now();
        let state = State {
            idle: Vec::new(),
            opening: 0,
            wasted: 0,
            forgiven_at: now,
            pause: Duration::ZERO,
            not_before: now,
            paused_at: None,
            trouble: None,
            trouble_at: now,
            told: None,
            has_clients: false,
            waits_for_clients: false,
        };
        let (label, suspected) = (label.into(), AtomicU64::new(0));
        Self { label, warm, workers, origin: now, suspected, state: Mutex::new(state) }
    }

    /// Connections that stand ready.
    pub(super) fn warm(&self) -> usize {
        self.warm
    }

    /// Where a worker that joins says how many idle connections it has.
    pub(super) fn join(&self) -> Arc<AtomicUsize> {
        let idle = Arc::<AtomicUsize>::default();
        self.state().idle.push(Arc::clone(&idle));
        idle
    }

    /// A client has come.
    pub(super) fn client_came(&self) {
        self.state().has_clients = true;
    }

    /// Whether a worker that has `own` connections may open one to stand ready.
    pub(super) fn keep_warm(self: &Arc<Self>, own: Own, now: Instant) -> Turn {
        let mut state = self.state();
        let elsewhere = state.idle.iter().map(|it| it.load(Ordering::Relaxed)).sum::<usize>();
        let elsewhere = elsewhere.saturating_sub(own.idle) + state.opening;
        let share = self.warm.div_ceil(self.workers.max(1));
        let waits = state.waits_for_clients && !state.has_clients;
        if waits || own.ready >= share || own.ready + elsewhere >= self.warm {
            return Turn::Enough;
        }
        match self.may_open(&mut state, now) {
            Ok(unasked) => Turn::Open(unasked),
            Err(not_before) => Turn::NotBefore(not_before),
        }
    }

    /// Whether a connection may be opened for a client that has only just connected.
    pub(super) fn prepare(self: &Arc<Self>, now: Instant) -> Option<Unasked> {
        self.may_open(&mut self.state(), now).ok()
    }

    fn may_open(self: &Arc<Self>, state: &mut State, now: Instant) -> Result<Unasked, Instant> {
        if now < state.not_before {
            return Err(state.not_before);
        }
        let for_each = UNASKED_FORGIVEN_AFTER / u32::try_from(self.warm.max(1)).unwrap_or(1);
        state.forgive(now, for_each);
        if state.wasted >= UNASKED_MAX + self.warm {
            return Err(state.forgiven_at + for_each);
        }
        state.wasted += 1;
        state.opening += 1;
        Ok(Unasked { standing: Arc::clone(self), is_open: false })
    }

    /// A connection could be opened.
    pub(super) fn reached(&self) {
        let mut state = self.state();
        if let Some(Trouble::Unreachable(..)) = state.trouble {
            state.not_before = Instant::now();
            self.is_over(&mut state);
        }
    }

    /// A connection begun at `begun` could not be opened.
    pub(super) fn failed(&self, failure: &DialFailure, begun: Instant) {
        let mut state = self.state();
        state.pause_longer(begun);
        if state.is_news(Trouble::Unreachable(failure.step, failure.error.cause)) {
            unreachable_upstream(&self.label, failure);
        }
    }

    /// The upstream has ended a connection opened at `opened` that no request was sent on. `why` is
    /// known where it was ended so early that it could hardly have been of use.
    pub(super) fn ended_unused(&self, opened: Instant, why: Option<Ending>) {
        let mut state = self.state();
        state.pause_longer(opened);
        state.waits_for_clients = !state.has_clients;
        if let Some(why) = why.filter(|why| state.is_news(Trouble::EndsUnused(*why))) {
            let (upstream, Ending { cause, reason }) = (&*self.label, why);
            tracing::warn!(
                target: TARGET,
                upstream,
                cause,
                reason,
                "the upstream ends connections before a request"
            );
        }
    }

    /// A connection opened at `opened` has lived for as long as one needs to be of use, although no
    /// request came.
    pub(super) fn survived(&self, opened: Instant) {
        let mut state = self.state();
        if matches!(state.trouble, Some(Trouble::EndsUnused(_))) && opened >= state.trouble_at {
            self.is_over(&mut state);
        }
    }

    /// A connection that had stood ready was used, or ended when we wanted it to.
    pub(super) fn kept(&self) {
        let mut state = self.state();
        state.pause = Duration::ZERO;
        state.not_before = state.not_before.min(Instant::now());
    }

    /// If a connection that lives on would be news: since when it has to have been open for that.
    pub(super) fn ends_unused(&self) -> Option<Instant> {
        let state = self.state();
        let is_so = matches!(state.trouble, Some(Trouble::EndsUnused(_)));
        is_so.then_some(state.trouble_at)
    }

    /// A connection that had been idle for `idle` died without a word, as those do that a router on
    /// the way has forgotten: others that have been idle for as long are hardly better.
    pub(super) fn suspect(&self, idle: Duration, now: Instant) {
        let Some(since) = now.checked_sub(idle) else { return };
        self.suspected.fetch_max(self.milliseconds(since), Ordering::Relaxed);
    }

    /// Whether a connection that has been idle since `since` is one of those.
    pub(super) fn is_suspect(&self, since: Instant) -> bool {
        match self.suspected.load(Ordering::Relaxed) {
            0 => false,
            suspected => self.milliseconds(since) <= suspected,
        }
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        // From 1, because 0 stands for no moment at all.
        let since = at.saturating_duration_since(self.origin).as_millis() + 1;
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two states.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, state: &mut State) {
        state.trouble = None;
        let Some(told) = state.told.as_mut().filter(|told| !told.is_over) else { return };
        told.is_over = true;
        let upstream = &*self.label;
        match told.trouble {
            Trouble::Unreachable(..) => {
                tracing::warn!(target: TARGET, upstream, "the upstream can be reached again");
            }
            Trouble::EndsUnused(_) => {
                let message = "the upstream keeps connections open again";
                tracing::warn!(target: TARGET, upstream, "{message}");
            }
        }
    }
}

impl State {
    /// Notes a trouble; whether the operator has to be told.
    fn is_news(&mut self, trouble: Trouble) -> bool {
        let now = Instant::now();
        (self.trouble, self.trouble_at) = (Some(trouble), now);
        let is_news = self.told.is_none_or(|told| {
            let elapsed = now.duration_since(told.at);
            match told.trouble == trouble {
                true => told.is_over && elapsed >= TROUBLE_TOLD_EVERY,
                false => elapsed >= TROUBLE_CHANGES_TOLD_EVERY,
            }
        });
        if is_news {
            self.told = Some(Told { trouble, at: now, is_over: false });
        }
        is_news
    }

    fn pause_longer(&mut self, begun: Instant) {
        if self.paused_at.is_some_and(|paused| begun < paused) {
            return;
        }
        let now = Instant::now();
        self.pause = (self.pause * 2).clamp(UNASKED_PAUSE_MIN, UNASKED_PAUSE_MAX);
        self.not_before = now + self.pause;
        self.paused_at = Some(now);
    }

    fn forgive(&mut self, now: Instant, for_each: Duration) {
        while self.wasted > 0 && now >= self.forgiven_at + for_each {
            self.wasted -= 1;
            self.forgiven_at += for_each;
        }
        if self.wasted == 0 {
            self.forgiven_at = now;
        }
    }
}

/// A connection that no client has asked for, from the beginning of its dial.
#[derive(Debug)]
pub(super) struct Unasked {
    standing: Arc<Standing>,
    is_open: bool,
}

impl Unasked {
    /// Its dial is over, and the worker counts it among its own.
    pub(super) fn opened(&mut self) {
        if !self.is_open {
            self.standing.state().opening -= 1;
            self.is_open = true;
        }
    }

    /// A request is sent on it after all.
    pub(super) fn used(self) {
        let mut state = self.standing.state();
        state.wasted = state.wasted.saturating_sub(1);
    }
}

impl Drop for Unasked {
    fn drop(&mut self) {
        self.opened();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ExchangeError, LookupFault, SocketError};
    use crate::telemetry::{LogFormat, logged};
    use tokio::runtime::Builder;
    use tokio::time::sleep;
    use tracing::Level;

    const REFUSED: Cause = Cause::Unreachable(SocketError::ConnectionRefused);

    /// What a test on virtual time logs: level, message and cause of each line.
    fn log_of(test: impl AsyncFnOnce(&Standing)) -> Vec<String> {
        let log = logged(LogFormat::Text, Level::TRACE, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(test(&Standing::new("a.example:443", 1, 1)));
        });
        log.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect()
    }

    fn fail(standing: &Standing, cause: Cause) {
        let error = ExchangeError::upstream(cause);
        let failure = DialFailure::at(Step::Connect, None, Duration::ZERO, error);
        standing.failed(&failure, Instant::now());
    }

    #[track_caller]
    fn check(log: &[String], want: &[&str]) {
        assert_eq!(log.len(), want.len(), "{log:#?}");
        for (line, want) in log.iter().zip(want) {
            assert!(
                line.trim_start().starts_with("WARN narrows::upstream: ") && line.contains(want),
                "{want}: {line}"
            );
            assert!(line.contains("upstream=\"a.example:443\""), "{line}");
        }
    }

    const UNREACHABLE: &str = "the upstream cannot be reached";
    const ENDS_UNUSED: &str = "the upstream ends connections before a request";
    const REACHED: &str = "the upstream can be reached again";
    const KEEPS: &str = "the upstream keeps connections open again";

    #[test]
    fn a_trouble_is_told_when_it_begins_when_it_changes_and_when_it_ends() {
        let log = log_of(async |standing| {
            for _ in 0..100 {
                fail(standing, REFUSED);
                sleep(Duration::from_secs(60)).await;
            }
            fail(standing, Cause::NameNotResolved(LookupFault::Failed));
            sleep(TROUBLE_CHANGES_TOLD_EVERY).await;
            standing.reached();
            standing.reached();
            standing.ended_unused(Instant::now(), Some(Ending::CLOSED));
            sleep(Duration::from_secs(5)).await;
            standing.reached();
            standing.survived(Instant::now());
            standing.survived(Instant::now());
        });
        check(&log, &[UNREACHABLE, "upstream_name_not_resolved", REACHED, ENDS_UNUSED, KEEPS]);
        assert!(log[0].contains("reason=\"ECONNREFUSED\" step=\"connect\""), "{}", log[0]);
        assert!(log[3].contains("cause=\"closed\""), "{}", log[3]);
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_told_now_and_then() {
        let log = log_of(async |standing| {
            for _ in 0..TROUBLE_TOLD_EVERY.as_secs() {
                fail(standing, REFUSED);
                standing.reached();
                sleep(Duration::from_secs(1)).await;
            }
            fail(standing, REFUSED);
        });
        check(&log, &[UNREACHABLE, REACHED, UNREACHABLE]);
        let log = log_of(async |standing| {
            for _ in 0..TROUBLE_CHANGES_TOLD_EVERY.as_secs() {
                fail(standing, REFUSED);
                fail(standing, Cause::NameNotResolved(LookupFault::Failed));
                sleep(Duration::from_secs(1)).await;
            }
            fail(standing, REFUSED);
            fail(standing, Cause::NameNotResolved(LookupFault::Failed));
        });
        check(&log, &["ECONNREFUSED", "upstream_name_not_resolved"]);
    }

    #[test]
    fn what_ends_at_its_idle_limit_is_no_trouble() {
        let log = log_of(async |standing| {
            standing.ended_unused(Instant::now(), None);
            standing.survived(Instant::now());
            standing.kept();
            standing.reached();
        });
        check(&log, &[]);
    }

    #[test]
    fn failures_of_dials_that_began_together_are_one() {
        log_of(async |standing| {
            let begun = Instant::now();
            for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
                let begun = Instant::now();
                sleep(Duration::from_millis(1)).await;
                for _ in 0..8 {
                    standing.ended_unused(begun, None);
                }
                let not_before = standing.state().not_before;
                assert_eq!(not_before, Instant::now() + Duration::from_secs(pause));
            }
            standing.kept();
            assert!(standing.state().not_before <= Instant::now());
            standing.ended_unused(begun + Duration::from_secs(1), None);
            assert_eq!(standing.state().pause, UNASKED_PAUSE_MIN, "and then from the beginning");
        });
    }
}
