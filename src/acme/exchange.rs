//! One request until its answer: [`Exchange`] gets nonces, signs, and repeats a request whose nonce
//! was rejected or that met an error of the CA.

use super::account::Account;
use super::failure::{Cause, Failure};
use super::message::{Method, Request, Response};
use super::problem::Problem;

/// Most rejected nonces of one request. If a CA rejects every second one, one request in a thousand
/// fails.
const BAD_NONCES_MAX: u32 = 10;
/// How often a request is repeated within an order because the CA had an error.
const TROUBLES_MAX: u32 = 3;
/// The pause before the first repetition; each next one is twice as long.
const TROUBLE_SECONDS: i64 = 2;
/// Longest such pause. If the CA asks for a longer one, the order fails, and is tried again later.
const PAUSE_SECONDS_MAX: i64 = 60;

/// What to ask the CA.
pub(super) struct Call {
    pub(super) url: String,
    /// Empty for a POST-as-GET.
    pub(super) payload: String,
    /// Signed by the key, because there is no account yet.
    pub(super) by_key: bool,
    pub(super) accept: &'static str,
}

/// What follows from an answer.
pub(super) enum Outcome {
    /// The CA did it.
    Answered,
    /// Send it again, not before this time.
    Again(i64),
    Failed(Failure),
}

/// What has gone wrong with a request so far.
#[derive(Default)]
pub(super) struct Exchange {
    asked_for_nonce: bool,
    bad_nonces: u32,
    troubles: u32,
}

impl Exchange {
    /// What to send next.
    pub(super) fn request(
        &mut self,
        account: &mut Account,
        call: &Call,
    ) -> Result<Request, Failure> {
        let request = account.sign(&call.url, &call.payload, call.by_key, call.accept)?;
        self.asked_for_nonce = request.method == Method::Head;
        Ok(request)
    }

    /// Reads what all answers have in common.
    pub(super) fn outcome(
        &mut self,
        account: &mut Account,
        what: &str,
        response: &Response,
        now: i64,
    ) -> Outcome {
        let problem = Problem::parse(&response.body);
        let is_bad_nonce = problem.is_some_and(|it| it.kind() == "badNonce");
        if !response.is_success() && is_bad_nonce {
            account.forget_nonces();
        }
        account.keep_nonce(response);
        if self.asked_for_nonce && response.is_success() {
            return match &response.nonce {
                Some(_) if self.bad_nonces < BAD_NONCES_MAX => {
                    self.bad_nonces += 1;
                    Outcome::Again(now)
                }
                Some(_) | None => Outcome::Failed(Failure::unusable("it gives no nonce")),
            };
        }
        if response.is_success() {
            return Outcome::Answered;
        }
        let what = if self.asked_for_nonce { "to give a nonce" } else { what };
        if is_bad_nonce && self.bad_nonces < BAD_NONCES_MAX {
            self.bad_nonces += 1;
            return Outcome::Again(now);
        }
        let failure = Failure::of_response(what, response, now);
        match self.pause(&failure, now) {
            Some(until) => Outcome::Again(until),
            None => Outcome::Failed(failure),
        }
    }

    /// When to repeat the request; `None` if not within this order.
    fn pause(&mut self, failure: &Failure, now: i64) -> Option<i64> {
        let own = TROUBLE_SECONDS << self.troubles;
        let until = match failure.cause {
            Cause::Server if !failure.kind.starts_with("badNonce") => {
                failure.retry_at.unwrap_or(0).max(now + own)
            }
            // If the CA does not say when, it may be hours.
            Cause::RateLimited => failure.retry_at?.max(now + own),
            Cause::Server | Cause::Unreachable | Cause::Validation | Cause::Refused => return None,
        };
        let is_soon = self.troubles < TROUBLES_MAX && until <= now + PAUSE_SECONDS_MAX;
        self.troubles += 1;
        is_soon.then_some(until)
    }
}
