//! Happy eyeballs (RFC 8305): [`race`] starts attempts one after the other, and takes the first
//! that succeeds.
//!
//! With one difference to the RFC: an attempt has succeeded when TLS is done, not when TCP is. On
//! some paths TCP connects and the handshake never arrives; a race that stops at TCP never leaves
//! such a path.

use crate::error::{Cause, DialFailure, DialStep, ExchangeError, LookupFault, SocketError};
use crate::limits::ATTEMPT_STAGGER;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::time::{Instant, sleep};

/// Starts each attempt [`ATTEMPT_STAGGER`] after the one before, or as soon as no other is running.
/// Returns the first that succeeds, and drops the others. If all fail, returns the failure that
/// says most; of several such, the first, whose address the resolver preferred.
pub(super) async fn race<T, F>(attempts: impl Iterator<Item = F>) -> Result<T, Box<DialFailure>>
where
    F: Future<Output = Result<T, Box<DialFailure>>>,
{
    let mut waiting = attempts;
    let mut running: Vec<Option<Pin<Box<F>>>> = Vec::new();
    let mut first_error = None;
    let mut next_start = pin!(sleep(ATTEMPT_STAGGER));
    poll_fn(|cx| {
        loop {
            if let Some(done) = poll_running(cx, &mut running, &mut first_error) {
                return Poll::Ready(Ok(done));
            }
            let none_runs = running.iter().all(Option::is_none);
            if !none_runs && next_start.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match waiting.next() {
                Some(attempt) => {
                    running.push(Some(Box::pin(attempt)));
                    next_start.as_mut().reset(Instant::now() + ATTEMPT_STAGGER);
                }
                None if none_runs => {
                    let none = || {
                        ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed)).into()
                    };
                    return Poll::Ready(Err(first_error.take().unwrap_or_else(none)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

/// Polls each running attempt. Returns the first that has succeeded, and removes those that have
/// failed.
fn poll_running<T, F>(
    cx: &mut Context<'_>,
    running: &mut [Option<Pin<Box<F>>>],
    first_error: &mut Option<Box<DialFailure>>,
) -> Option<T>
where
    F: Future<Output = Result<T, Box<DialFailure>>>,
{
    for slot in running {
        let Some(attempt) = slot else { continue };
        match attempt.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(done)) => return Some(done),
            Poll::Ready(Err(error)) => {
                if first_error.as_ref().is_none_or(|first| weight(&error) > weight(first)) {
                    *first_error = Some(error);
                }
                *slot = None;
            }
        }
    }
    None
}

/// How much a failure says about the upstream. That this machine has no route to one family of
/// addresses says nothing; a failed handshake says more than a failed connection.
fn weight(failure: &DialFailure) -> u8 {
    const NO_ROUTE: [SocketError; 3] = [
        SocketError::NetworkUnreachable,
        SocketError::AddressNotAvailable,
        SocketError::FamilyNotSupported,
    ];
    match (failure.step, failure.error.cause) {
        (_, Cause::Unreachable(errno)) if NO_ROUTE.contains(&errno) => 0,
        (Some(DialStep::Tls), _) => 2,
        (Some(DialStep::Lookup | DialStep::Connect) | None, _) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeouts::Timer;
    use std::time::Duration;

    const REFUSED: ExchangeError =
        ExchangeError::upstream(Cause::Unreachable(SocketError::ConnectionRefused));

    /// Races attempts that end after so many milliseconds; returns what won, and when.
    async fn check(
        attempts: &[(u64, Result<u8, ExchangeError>)],
    ) -> (Result<u8, ExchangeError>, u64) {
        let begun = Instant::now();
        let attempts = attempts.iter().map(|&(milliseconds, result)| async move {
            sleep(Duration::from_millis(milliseconds)).await;
            result.map_err(Box::from)
        });
        let result = race(attempts).await.map_err(|failure| failure.error);
        (result, begun.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_wins_when_it_is_quick() {
        assert_eq!(check(&[(100, Ok(1)), (1, Ok(2))]).await, (Ok(1), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_overtaken_after_the_stagger() {
        assert_eq!(check(&[(5000, Ok(1)), (10, Ok(2))]).await, (Ok(2), 260));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_address_makes_the_next_one_start_at_once() {
        assert_eq!(check(&[(10, Err(REFUSED)), (10, Ok(2))]).await, (Ok(2), 20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overtaken_address_may_still_win() {
        assert_eq!(check(&[(300, Ok(1)), (100, Ok(2))]).await, (Ok(1), 300));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_first_failure_is_returned() {
        let slow = ExchangeError::expired(Timer::UpstreamHandshake);
        assert_eq!(check(&[(10, Err(REFUSED)), (5, Err(slow))]).await, (Err(REFUSED), 15));
        assert_eq!(check(&[(900, Err(slow)), (5, Err(REFUSED))]).await, (Err(REFUSED), 900));
        let none = ExchangeError::upstream(Cause::NameNotResolved(LookupFault::Failed));
        assert_eq!(check(&[]).await, (Err(none), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_cannot_be_reached_from_here_does_not_hide_why_the_other_failed() {
        let no_route = SocketError::NetworkUnreachable;
        let no_route = ExchangeError::upstream(Cause::Unreachable(no_route));
        assert_eq!(check(&[(0, Err(no_route)), (5, Err(REFUSED))]).await, (Err(REFUSED), 5));
        assert_eq!(check(&[(0, Err(no_route)), (5, Err(no_route))]).await, (Err(no_route), 5));
    }
}
