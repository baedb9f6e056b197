//! Whether a request may be sent once more, on a fresh connection, after the connection that it
//! was sent on ended without a byte of a response (RFC 9110, section 9.2.2; RFC 9112, 9.3.1), or
//! with a 408 that was not about it (RFC 9110, section 15.5.9).
//!
//! A chat completion is a POST, and sent twice it is paid for twice. So a request whose method is
//! not idempotent is repeated only if the upstream provably never saw it. [`Failure`] is what the
//! driver knows. The kernel is asked only if its answer decides, because that is a system call.

use crate::error::{Cause, ExchangeError, Fault, IoFault};
use crate::gateway::request::persists;
use crate::h1::head::ResponseHead;
use crate::limits::IDLE_LIMIT_408_WITHIN;
use core::time::Duration;

/// An attempt to send a request that failed, before the client had the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: ExchangeError,
    /// The connection had been idle before.
    pub was_idle: bool,
    /// The upstream has sent a byte.
    pub is_answered: bool,
}

impl Failure {
    /// Whether a connection that was idle broke without an answer, or let a limit run out without
    /// taking a byte, as those do that a router on the way has forgotten. Then others that have
    /// been idle for as long are dead as well.
    pub fn is_silent_death(&self, acknowledged: impl FnOnce() -> Acknowledged) -> bool {
        let Self { error, was_idle, is_answered } = *self;
        if !was_idle || is_answered || error.fault != Fault::Upstream {
            return false;
        }
        match error.cause {
            Cause::Io(fault) => fault != IoFault::Truncated,
            Cause::Timeout(_) => acknowledged() == Acknowledged::Nothing,
            _ => false,
        }
    }

    /// Whether the request may be sent once more. `repeatable`: it repeats safely.
    pub fn may_be_repeated(
        &self,
        repeatable: bool,
        acknowledged: impl FnOnce() -> Acknowledged,
    ) -> bool {
        let Some(ended) = self.ended() else { return false };
        if self.is_answered {
            return false;
        }
        let acknowledged = match ended {
            Ended::Clean if !repeatable => acknowledged(),
            Ended::Clean | Ended::Failed => Acknowledged::SomethingOrUnknown,
        };
        Unanswered { was_idle: self.was_idle, repeatable, ended, acknowledged }.may_be_repeated()
    }

    /// How the connection ended; `None` when it is not the end of the connection that is wrong.
    fn ended(&self) -> Option<Ended> {
        match (self.error.fault, self.error.cause) {
            (Fault::Upstream, Cause::ClosedEarly | Cause::Io(IoFault::Truncated)) => {
                Some(Ended::Clean)
            }
            (Fault::Upstream, Cause::Io(_) | Cause::Tls(_)) => Some(Ended::Failed),
            _ => None,
        }
    }
}

/// What is known about a request that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The connection had been idle before. One that fails freshly opened fails for a reason, and
    /// would again.
    pub was_idle: bool,
    /// The method repeats safely, or the client gave an Idempotency-Key.
    pub repeatable: bool,
    /// How the connection ended.
    pub ended: Ended,
    /// Whether the upstream's kernel acknowledged any byte of the request.
    pub acknowledged: Acknowledged,
}

/// What is known about a request that was answered by a 408 which ends the connection. Some servers
/// say that when they close an idle connection, and it may cross a request on its way. By its
/// definition no complete request was received, whatever its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// The connection had been idle before.
    pub was_idle: bool,
    /// How long ago the request began.
    pub elapsed: Duration,
    /// Whether the upstream's kernel acknowledged any byte of the request.
    pub acknowledged: Acknowledged,
}

impl TimedOut {
    /// Whether the request may be sent once more: the answer was on its way before the request
    /// can have been seen, or came too soon to be about it.
    pub fn may_be_repeated(self) -> bool {
        let unseen = self.acknowledged == Acknowledged::Nothing;
        self.was_idle && (self.elapsed <= IDLE_LIMIT_408_WITHIN || unseen)
    }
}

/// Whether a final response is what some servers say when they close an idle connection (RFC 9110,
/// section 15.5.9). It may also be an answer: [`TimedOut`] decides.
pub fn may_tell_an_idle_limit(head: &ResponseHead<'_>) -> bool {
    head.status == 408 && !persists(head.version, &head.fields)
}

/// How the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a FIN; for TLS, with or without close_notify.
    Clean,
    /// By a reset or another failure.
    Failed,
}

/// What TCP knows about the bytes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// Not one was acknowledged.
    Nothing,
    /// Some were, or it is unknown.
    SomethingOrUnknown,
}

impl Unanswered {
    /// Whether the request may be sent once more.
    ///
    /// A reset proves nothing, whatever the counters say: a server that reads a request and resets
    /// at once may leave them as they were.
    pub fn may_be_repeated(self) -> bool {
        let unseen = self.ended == Ended::Clean && self.acknowledged == Acknowledged::Nothing;
        self.was_idle && (self.repeatable || unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeouts::Timer;

    #[test]
    fn a_408_is_the_answer_unless_it_crossed_the_request_or_came_too_soon_to_be_about_it() {
        let elapsed = IDLE_LIMIT_408_WITHIN;
        let crossed = TimedOut { was_idle: true, elapsed, acknowledged: SEEN };
        assert!(crossed.may_be_repeated());
        let late = TimedOut { elapsed: elapsed + Duration::from_millis(1), ..crossed };
        assert!(!late.may_be_repeated());
        assert!(TimedOut { acknowledged: Acknowledged::Nothing, ..late }.may_be_repeated());
        assert!(!TimedOut { was_idle: false, ..crossed }.may_be_repeated());
    }

    #[test]
    fn an_idle_connection_that_breaks_or_takes_nothing_died_without_a_word() {
        let upstream = |cause| Failure {
            error: ExchangeError::upstream(cause),
            was_idle: true,
            is_answered: false,
        };
        let nothing = || Acknowledged::Nothing;
        let reset = upstream(Cause::Io(IoFault::Failed));
        let late = upstream(Cause::Timeout(Timer::ResponseHead));
        assert!(reset.is_silent_death(|| panic!("the kernel need not be asked")));
        assert!(late.is_silent_death(nothing));
        assert!(!late.is_silent_death(|| SEEN));
        for other in [
            upstream(Cause::ClosedEarly),
            upstream(Cause::Io(IoFault::Truncated)),
            Failure { was_idle: false, ..reset },
            Failure { is_answered: true, ..reset },
            Failure { error: ExchangeError::client(Cause::Io(IoFault::Failed)), ..reset },
        ] {
            assert!(!other.is_silent_death(nothing), "{other:?}");
        }
    }

    #[test]
    fn only_the_end_of_an_unanswered_connection_lets_a_request_be_repeated() {
        let failure = |error| Failure { error, was_idle: true, is_answered: false };
        let closed = failure(ExchangeError::upstream(Cause::ClosedEarly));
        assert!(closed.may_be_repeated(true, || panic!("the kernel need not be asked")));
        assert!(closed.may_be_repeated(false, || Acknowledged::Nothing));
        assert!(!closed.may_be_repeated(false, || SEEN));
        assert!(!Failure { is_answered: true, ..closed }.may_be_repeated(true, || SEEN));
        let reset = failure(ExchangeError::upstream(Cause::Io(IoFault::Failed)));
        assert!(reset.may_be_repeated(true, || SEEN));
        assert!(!reset.may_be_repeated(false, || Acknowledged::Nothing));
        for error in [
            ExchangeError::upstream(Cause::Timeout(Timer::ResponseHead)),
            ExchangeError::client(Cause::Gone),
            ExchangeError::client(Cause::ClosedEarly),
        ] {
            assert!(!failure(error).may_be_repeated(true, || SEEN), "{error:?}");
        }
    }

    const UNSEEN_POST: Unanswered = Unanswered {
        was_idle: true,
        repeatable: false,
        ended: Ended::Clean,
        acknowledged: Acknowledged::Nothing,
    };
    const SEEN: Acknowledged = Acknowledged::SomethingOrUnknown;

    #[test]
    fn a_post_is_repeated_only_when_it_was_provably_not_seen() {
        assert!(UNSEEN_POST.may_be_repeated());
        assert!(!Unanswered { acknowledged: SEEN, ..UNSEEN_POST }.may_be_repeated());
        assert!(!Unanswered { ended: Ended::Failed, ..UNSEEN_POST }.may_be_repeated());
    }

    #[test]
    fn what_repeats_safely_is_repeated_however_the_connection_ended() {
        for ended in [Ended::Clean, Ended::Failed] {
            let get = Unanswered { repeatable: true, ended, acknowledged: SEEN, ..UNSEEN_POST };
            assert!(get.may_be_repeated());
        }
    }

    #[test]
    fn nothing_is_repeated_after_a_fresh_connection() {
        let fresh = Unanswered { was_idle: false, repeatable: true, ..UNSEEN_POST };
        assert!(!fresh.may_be_repeated());
    }
}
