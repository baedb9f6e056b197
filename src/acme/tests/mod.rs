//! Whole orders, with a CA in memory.

mod recorded;
mod refusals;
mod success;

use super::account::{Account, Registration};
use super::account_key::AccountKey;
use super::challenge::{Challenge, ChallengeKind};
use super::identifier::Identifier;
use super::order::{Order, Step};
use super::testing::{Ca, DIRECTORY};
use super::wanted::Wanted;

const NOW: i64 = 1_700_000_000;

/// What an order asked for, and how it ended.
#[derive(Default)]
struct Course {
    prepared: Vec<Challenge>,
    /// The names that were to be validated, and how many challenges had been responded to; no
    /// names: they are valid.
    validated: Vec<(Vec<Identifier>, usize)>,
    warnings: Vec<String>,
    end: Option<Step>,
    /// How long it took.
    seconds: i64,
}

impl Course {
    #[track_caller]
    fn failure(self) -> super::failure::Failure {
        match self.end {
            Some(Step::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn issued(self) -> super::chain::Issued {
        match self.end {
            Some(Step::Done(issued)) => issued,
            other => panic!("{other:?}"),
        }
    }
}

fn account() -> Account {
    let registration = Registration { is_new: true, ..Registration::default() };
    Account::new(DIRECTORY, AccountKey::generate().unwrap(), registration)
}

fn dns(name: &str) -> Identifier {
    Identifier::Dns(name.into())
}

fn wanted(names: &[&str]) -> Wanted {
    Wanted {
        names: names.iter().map(|it| dns(it)).collect(),
        profile: None,
        replaces: None,
        challenges: vec![ChallengeKind::TlsAlpn01, ChallengeKind::Http01],
    }
}

/// Runs an order to its end, without waiting.
fn run(ca: &mut Ca, account: &mut Account, wanted: Wanted) -> Course {
    let mut now = NOW;
    let mut course = Course::default();
    let mut order = Order::new(wanted, now);
    for _ in 0..10_000 {
        match order.next(account, now) {
            Step::Request(request) => order.answer(account, &ca.answer(&request), now),
            Step::Prepare(challenge) => course.prepared.push(challenge),
            Step::Validation(names) => {
                let responded = ca.requests.iter().filter(|it| it.0.starts_with("/challenge/"));
                course.validated.push((names, responded.count()));
            }
            Step::Validated => course.validated.push((Vec::new(), ca.count("/finalize"))),
            Step::Warn(text) => course.warnings.push(text),
            Step::Wait(until) => {
                assert!(until > now, "a pause that is over");
                now = until;
            }
            end @ (Step::Done(_) | Step::Failed(_)) => {
                assert!(matches!(order.next(account, now), Step::Failed(_)), "after the end");
                return Course { end: Some(end), seconds: now - NOW, ..course };
            }
        }
    }
    panic!("it does not end")
}
