//! What orders of one directory share, and do: [`Ordering`]. `acme::order` decides.

use crate::acme::account::Account;
use crate::acme::chain::Issued;
use crate::acme::challenge::Challenge;
use crate::acme::failure::{Cause, Failure};
use crate::acme::identifier::Identifier;
use crate::acme::message::{Request, Response};
use crate::acme::order::{Order, Step};
use crate::acme::renewal::{self, RenewalInfo};
use crate::acme::wanted::Wanted;
use crate::config::snapshot::UpstreamTls;
use crate::control::acme::blocking::blocking_with;
use crate::control::acme::failed_validations::{Begun, FailedValidations};
use crate::control::acme::https::{HttpsClient, HttpsError};
use crate::control::acme::state_directory::Lock;
use crate::control::acme::time::{Steady, now};
use crate::limits::ACME_ASK_PAUSES;
use crate::telemetry::targets::ACME;
use crate::tls::challenges::Challenges;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// What orders share. Several may be under way, but not for one name: its challenges are answered
/// for one of them.
pub(super) struct Ordering {
    tls: UpstreamTls,
    account: RefCell<Account>,
    /// Held by the order that finds or makes the account, so that there is one account.
    registering: Mutex<()>,
    /// Locked until it is written.
    failed: Rc<Mutex<FailedValidations>>,
    challenges: Arc<Challenges>,
    lock: Arc<Lock>,
}

/// How an order has ended.
pub(super) struct Ended {
    pub(super) issued: Result<Issued, Failure>,
    /// The validations whose result is not noted.
    pub(super) begun: Option<Begun>,
}

impl Ordering {
    pub(super) fn new(
        tls: UpstreamTls,
        account: Account,
        failed: Rc<Mutex<FailedValidations>>,
        challenges: Arc<Challenges>,
        lock: Arc<Lock>,
    ) -> Self {
        let (account, registering) = (RefCell::new(account), Mutex::default());
        Self { tls, account, registering, failed, challenges, lock }
    }

    /// Orders a certificate. Its challenges are answered until this ends, or is dropped.
    pub(super) async fn order(&self, wanted: Wanted) -> Ended {
        let mut begun = None;
        let issued = self.issue(wanted, &mut begun).await;
        Ended { issued, begun }
    }

    async fn issue(&self, wanted: Wanted, begun: &mut Option<Begun>) -> Result<Issued, Failure> {
        let mut registering = Some(self.registering.lock().await);
        let mut client = HttpsClient::new(self.tls.clone());
        // A clock that is set meanwhile must not keep it from its deadline.
        let clock = Steady::start();
        let mut order = Order::new(wanted, clock.now());
        let challenges = Arc::clone(&self.challenges);
        let mut answered = Answered { challenges, prepared: Vec::new() };
        loop {
            registering.take_if(|_| self.account.borrow().is_registered());
            let step = order.next(&mut self.account.borrow_mut(), clock.now());
            match step {
                Step::Request(request) => match ask(&mut client, &request).await {
                    Ok(response) => {
                        order.answer(&mut self.account.borrow_mut(), &response, clock.now());
                    }
                    Err(failure) => order.fail(failure),
                },
                Step::Prepare(challenge) => answered.prepare(challenge)?,
                Step::Validation(names) => *begun = Some(self.begin(names).await?),
                Step::Validated => {
                    if let Some(begun) = begun.take() {
                        self.validated(begun).await;
                    }
                }
                Step::Wait(until) => clock.sleep_until(until).await,
                Step::Warn(what) => tracing::warn!(target: ACME, "{what}"),
                Step::Done(issued) => return Ok(issued),
                Step::Failed(failure) => return Err(failure),
            }
        }
    }

    /// Notes that validations begin.
    async fn begin(&self, names: Vec<Identifier>) -> Result<Begun, Failure> {
        let mut failed = self.failed.lock().await;
        let (begun, write) = failed.begin(names, now());
        blocking_with(&self.lock, write).await.map_err(|error| {
            let text = format!("a validation cannot be noted: {error}");
            Failure { cause: Cause::Server, ..Failure::unreachable(text) }
        })?;
        Ok(begun)
    }

    /// Forgets what was noted when it began.
    async fn validated(&self, begun: Begun) {
        let mut failed = self.failed.lock().await;
        let write = failed.end(Some(begun), &[], now());
        // A directory that cannot be written is told of when the certificate is stored.
        let _told_later = blocking_with(&self.lock, write).await;
    }

    /// When the authority wants the certificate of this identifier to be renewed, if it says so.
    ///
    /// # Errors
    /// Why it does not say it now.
    pub(super) async fn renewal_info(&self, id: &str) -> Result<Option<RenewalInfo>, Failure> {
        let mut client = HttpsClient::new(self.tls.clone());
        let directory = self.account.borrow().directory_request(now());
        if let Some(request) = directory {
            let response = ask(&mut client, &request).await?;
            self.account.borrow_mut().read_directory(&response, now())?;
        }
        let request = self.account.borrow().renewal_request(id);
        let Some(request) = request else { return Ok(None) };
        let response = ask(&mut client, &request).await?;
        renewal::read(&response, now()).map(Some)
    }
}

/// Sends a request, and once more after a pause if the connection failed: the certificate of the
/// server does not become better by that, and a directory that is down is asked again later.
async fn ask(client: &mut HttpsClient, request: &Request) -> Result<Response, Failure> {
    for pause in ACME_ASK_PAUSES {
        match client.ask(request).await {
            Err(HttpsError::Unanswered(_) | HttpsError::Response(..)) => sleep(pause).await,
            ended => return ended.map_err(|error| unreachable(&error)),
        }
    }
    client.ask(request).await.map_err(|error| unreachable(&error))
}

/// The challenges that are answered for one order.
struct Answered {
    challenges: Arc<Challenges>,
    prepared: Vec<Challenge>,
}

/// What helps is said, if it is clear.
fn unreachable(error: &HttpsError) -> Failure {
    let advice = error.advice().map(str::to_owned);
    Failure { advice, ..Failure::unreachable(error.to_string()) }
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
