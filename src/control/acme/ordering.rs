//! One order, from its request to its certificate: [`issue`] does what `acme::order` decides.

use crate::acme::account::Account;
use crate::acme::chain::Issued;
use crate::acme::challenge::Challenge;
use crate::acme::failure::Failure;
use crate::acme::message::{Request, Response};
use crate::acme::order::{Order, Step};
use crate::acme::wanted::Wanted;
use crate::control::acme::https::{HttpsClient, HttpsError};
use crate::control::acme::time::Steady;
use crate::limits::ACME_ASK_PAUSES;
use crate::telemetry::targets::ACME;
use crate::tls::challenges::Challenges;
use std::sync::Arc;
use tokio::time::sleep;

/// Orders a certificate. Its challenges are answered until this ends, or is dropped.
///
/// # Errors
/// Why there is none.
pub(super) async fn issue(
    client: &mut HttpsClient,
    account: &mut Account,
    wanted: Wanted,
    challenges: &Arc<Challenges>,
) -> Result<Issued, Failure> {
    // A clock that is set meanwhile must not keep it from its deadline.
    let clock = Steady::start();
    let mut order = Order::new(account, wanted, clock.now());
    let mut answered = Answered { challenges: Arc::clone(challenges), prepared: Vec::new() };
    loop {
        match order.next(clock.now()) {
            Step::Request(request) => match ask(client, &request).await {
                Ok(response) => order.answer(&response, clock.now()),
                Err(failure) => order.fail(failure),
            },
            Step::Prepare(challenge) => answered.prepare(challenge)?,
            Step::Wait(until) => clock.sleep_until(until).await,
            Step::Warn(what) => tracing::warn!(target: ACME, "{what}"),
            Step::Done(issued) => return Ok(issued),
            Step::Failed(failure) => return Err(failure),
        }
    }
}

/// Sends a request, and once more after a pause if the connection failed: the certificate of the
/// server does not become better by that, and a directory that is down is asked again later.
///
/// # Errors
/// There is no response.
pub(super) async fn ask(client: &mut HttpsClient, request: &Request) -> Result<Response, Failure> {
    for pause in ACME_ASK_PAUSES {
        match client.ask(request).await {
            Err(HttpsError::Unanswered(_) | HttpsError::Response(..)) => sleep(pause).await,
            ended => return ended.map_err(|error| Failure::unreachable(error.to_string())),
        }
    }
    client.ask(request).await.map_err(|error| Failure::unreachable(error.to_string()))
}

/// The challenges that are answered for one order.
struct Answered {
    challenges: Arc<Challenges>,
    prepared: Vec<Challenge>,
}

impl Answered {
    fn prepare(&mut self, challenge: Challenge) -> Result<(), Failure> {
        match &challenge {
            Challenge::TlsAlpn { name, certificate, key } => {
                let set = self.challenges.set_tls_alpn(name, certificate.clone(), key.clone());
                set.map_err(|_| Failure::unreachable("a challenge certificate cannot be used"))?;
            }
            Challenge::Http { token, key_authorization } => {
                self.challenges.set_http(token, key_authorization);
            }
        }
        self.prepared.push(challenge);
        Ok(())
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        for challenge in &self.prepared {
            match challenge {
                Challenge::TlsAlpn { name, .. } => self.challenges.clear(name),
                Challenge::Http { token, .. } => self.challenges.clear(token),
            }
        }
    }
}
