//! Whether a request may be sent once more, on a fresh connection, after the connection that it
//! was sent on ended without a byte of a response (RFC 9110, section 9.2.2; RFC 9112, 9.3.1), or
//! with a 408 that was not about it (RFC 9110, section 15.5.9).
//!
//! A pure decision. A chat completion is a POST, and sent twice it is paid for twice; so a method
//! that does not repeat safely is repeated only when the upstream provably never saw the request.

use crate::limits::IDLE_LIMIT_TOLD_WITHIN;
use core::time::Duration;

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
        self.was_idle && (self.elapsed <= IDLE_LIMIT_TOLD_WITHIN || unseen)
    }
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
    /// Some were, or nobody can tell.
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

    #[test]
    fn a_408_is_the_answer_unless_it_crossed_the_request_or_came_too_soon_to_be_about_it() {
        let elapsed = IDLE_LIMIT_TOLD_WITHIN;
        let crossed = TimedOut { was_idle: true, elapsed, acknowledged: SEEN };
        assert!(crossed.may_be_repeated());
        let late = TimedOut { elapsed: elapsed + Duration::from_millis(1), ..crossed };
        assert!(!late.may_be_repeated());
        assert!(TimedOut { acknowledged: Acknowledged::Nothing, ..late }.may_be_repeated());
        assert!(!TimedOut { was_idle: false, ..crossed }.may_be_repeated());
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
