//! One certificate from the first request to its chain: [`Order`] (RFC 8555, section 7.1). The
//! stages that it passes are in `stage`.
//!
//! Every stage is left in bounded time: a request is repeated a few times at most, and polls end
//! with the order's deadline. All names are validated at the same time.

use super::account::{Account, Lack};
use super::base64url;
use super::certificate_key::CertificateKey;
use super::chain::Issued;
use super::exchange::{Call, Exchange, Outcome};
use super::failure::{Cause, Failure};
use super::message::{Request, Response, checked_url};
use super::order_objects::{OrderObject, Status};
use super::stage::Stage;
pub use super::step::Step;
use super::validation::Validation;
use super::wanted::Wanted;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// How long an order may take. CAs validate and issue within a minute; some take several.
const ORDER_SECONDS_MAX: i64 = 15 * 60;
/// Longest pause between two polls, whatever the CA asks for; and if it asks for none.
const PAUSE_SECONDS_MAX: i64 = 60;
const OWN_PAUSE_SECONDS_MAX: i64 = 10;
/// A larger difference between the CA's clock and ours is reported.
const CLOCK_SECONDS_MAX: i64 = 5 * 60;

/// An order under way. It borrows the account for each step alone, so that several orders may be
/// under way.
pub struct Order {
    wanted: Wanted,
    stage: Stage,
    exchange: Exchange,
    /// Steps that come before the next request.
    queue: VecDeque<Step>,
    deadline: i64,
    wait_until: i64,
    polls: i64,
    /// Where the CA keeps it, finalizes it, and has its certificate.
    url: String,
    finalize: String,
    certificate: String,
    validation: Validation,
    key: Option<CertificateKey>,
    has_compared_clocks: bool,
    has_lost_account: bool,
}

impl Order {
    /// Nothing is sent before the first [`next`](Self::next).
    pub fn new(wanted: Wanted, now: i64) -> Self {
        Self {
            wanted,
            stage: Stage::Directory,
            exchange: Exchange::default(),
            queue: VecDeque::new(),
            deadline: now.saturating_add(ORDER_SECONDS_MAX),
            wait_until: now,
            polls: 0,
            url: String::new(),
            finalize: String::new(),
            certificate: String::new(),
            validation: Validation::default(),
            key: None,
            has_compared_clocks: false,
            has_lost_account: false,
        }
    }

    /// What to do now. After [`Step::Done`] and [`Step::Failed`] there is nothing left to do. The
    /// account is the same each time.
    pub fn next(&mut self, account: &mut Account, now: i64) -> Step {
        if let Some(step) = self.queue.pop_front() {
            return step;
        }
        // No pause is longer, unless the clock was set back.
        let has_to_wait = (1..=PAUSE_SECONDS_MAX).contains(&(self.wait_until - now));
        if self.stage == Stage::Ended {
            return Step::Failed(Failure::of_machine("go on with an order that has ended"));
        } else if now >= self.deadline {
            self.fail(Failure::new(Cause::Server, "the CA did not finish the order in time"));
        } else if has_to_wait {
            return Step::Wait(self.wait_until.min(self.deadline));
        } else {
            match self.request(account, now) {
                Ok(request) => return Step::Request(request),
                Err(failure) => self.fail(failure),
            }
        }
        self.next(account, now)
    }

    /// Moves on by the answer to the last request.
    pub fn answer(&mut self, account: &mut Account, response: &Response, now: i64) {
        self.compare_clocks(response, now);
        match self.exchange.outcome(account, self.stage.what(), response, now) {
            Outcome::Again(at) => self.wait_until = at,
            Outcome::Failed(failure) => self.refused(account, failure, response, now),
            Outcome::Answered => {
                self.exchange = Exchange::default();
                if let Err(failure) = self.answered(account, response, now) {
                    self.fail(failure);
                }
            }
        }
    }

    /// Ends the order, such as when no answer comes. [`next`](Self::next) says how.
    pub fn fail(&mut self, mut failure: Failure) {
        // A validation that has begun counts with the CA, also if we do not learn its result.
        let is_validation = failure.cause == Cause::Validation || self.stage.is_validation();
        if is_validation && failure.names.is_empty() {
            let validated = self.validation.names();
            failure.names =
                if validated.is_empty() { self.wanted.names.clone() } else { validated };
        }
        self.stage = Stage::Ended;
        self.queue.push_back(Step::Failed(failure));
    }

    fn request(&mut self, account: &mut Account, now: i64) -> Result<Request, Failure> {
        if self.stage == Stage::Directory {
            match account.directory_request(now) {
                Some(request) => return Ok(request),
                None => self.begin(account)?,
            }
        }
        let call = self.call(account)?;
        self.exchange.request(account, &call)
    }

    fn call(&mut self, account: &Account) -> Result<Call, Failure> {
        let (new_account, new_order) = match account.directory() {
            Some(directory) => (&*directory.new_account, &*directory.new_order),
            None => return Err(Failure::unusable("there is no directory")),
        };
        let (url, payload) = match self.stage {
            Stage::FindAccount => (new_account, json!({ "onlyReturnExisting": true })),
            Stage::UpdateAccount => (account.url().unwrap_or_default(), account.contacts()),
            Stage::CreateAccount => (new_account, account.registration()),
            Stage::CreateOrder => (new_order, self.wanted.json()),
            Stage::Authorize(number) | Stage::Explain(number) => {
                (self.validation.authorization(number).unwrap_or_default(), Value::Null)
            }
            Stage::Respond(number) => {
                (self.validation.response(number).unwrap_or_default(), json!({}))
            }
            Stage::Finalize => (&*self.finalize, self.certificate_request()?),
            Stage::Download => (&*self.certificate, Value::Null),
            Stage::Directory | Stage::Validate | Stage::Issue | Stage::Ended => {
                (&*self.url, Value::Null)
            }
        };
        if url.is_empty() {
            return Err(Failure::unusable("a URL is missing"));
        }
        Ok(Call {
            url: url.to_owned(),
            payload: if payload.is_null() { String::new() } else { payload.to_string() },
            by_key: matches!(self.stage, Stage::FindAccount | Stage::CreateAccount),
            accept: match self.stage {
                Stage::Download => "application/pem-certificate-chain",
                _ => "application/json",
            },
        })
    }

    /// Reads the answer to a request that succeeded.
    fn answered(
        &mut self,
        account: &mut Account,
        response: &Response,
        now: i64,
    ) -> Result<(), Failure> {
        match self.stage {
            Stage::Directory => {
                account.read_directory(response, now)?;
                self.begin(account)?;
            }
            Stage::FindAccount => {
                account.found(location(response)?);
                self.stage = match account.has_other_contacts(&response.body) {
                    true => Stage::UpdateAccount,
                    false => Stage::CreateOrder,
                };
            }
            Stage::CreateAccount => {
                account.found(location(response)?);
                self.stage = Stage::CreateOrder;
            }
            Stage::UpdateAccount => self.stage = Stage::CreateOrder,
            Stage::CreateOrder => {
                self.url = location(response)?;
                self.follow(response, now)?;
            }
            Stage::Authorize(number) => self.authorize(account, number, response, now)?,
            Stage::Respond(number) => self.respond(number + 1, now),
            Stage::Validate | Stage::Finalize | Stage::Issue => self.follow(response, now)?,
            Stage::Explain(number) => {
                self.validation.explain(&response.body, &self.wanted.names)?;
                self.explain(number + 1)?;
            }
            Stage::Download => self.finish(response, now)?,
            Stage::Ended => {}
        }
        Ok(())
    }

    /// Leaves the first stage, once the directory is known.
    fn begin(&mut self, account: &Account) -> Result<(), Failure> {
        if let Some(offered) = account.directory() {
            let warning = self.wanted.adapt(&offered.profiles, offered.renewal_info.is_some());
            self.queue.extend(warning.map(Step::Warn));
        }
        self.stage = match account.lack()? {
            Lack::Search => Stage::FindAccount,
            Lack::Account => Stage::CreateAccount,
            Lack::Nothing => Stage::CreateOrder,
        };
        Ok(())
    }

    /// Moves to the stage that follows from the order's status.
    fn follow(&mut self, response: &Response, now: i64) -> Result<(), Failure> {
        let order = OrderObject::parse(&response.body, self.wanted.names.len())
            .ok_or_else(|| Failure::unusable("an order that cannot be read"))?;
        // The key is made for the first request for the certificate.
        let has_asked = self.key.is_some();
        match order.status {
            Status::Pending if self.stage == Stage::CreateOrder => {
                self.finalize = order.finalize;
                self.validation = Validation::new(order.authorizations);
                self.stage = Stage::Authorize(0);
            }
            Status::Ready if self.stage != Stage::Finalize => {
                self.finalize = order.finalize;
                self.queue.push_back(Step::Validated);
                self.key = self.key.take().or_else(CertificateKey::generate);
                self.stage = Stage::Finalize;
            }
            Status::Pending | Status::Processing | Status::Ready => {
                self.stage = if has_asked { Stage::Issue } else { Stage::Validate };
                self.pause(response, now);
            }
            Status::Valid => {
                let certificate = order.certificate.filter(|_| has_asked);
                self.certificate = certificate.ok_or_else(|| {
                    Failure::unusable("an order that is valid before it was finalized")
                })?;
                self.stage = Stage::Download;
            }
            Status::Invalid => match order.error {
                Some(problem) if has_asked => return Err(Failure::of_order(&problem)),
                problem => {
                    self.validation.given_up(problem);
                    self.explain(0)?;
                }
            },
        }
        Ok(())
    }

    fn authorize(
        &mut self,
        account: &Account,
        number: usize,
        answer: &Response,
        now: i64,
    ) -> Result<(), Failure> {
        let Wanted { names, challenges, .. } = &self.wanted;
        let challenge = self.validation.begin(&answer.body, names, challenges, account.key())?;
        self.queue.extend(challenge.map(Step::Prepare));
        match self.validation.authorization(number + 1) {
            Some(_) => self.stage = Stage::Authorize(number + 1),
            None => {
                let names = self.validation.names();
                self.queue.extend((!names.is_empty()).then_some(Step::Validation(names)));
                self.respond(0, now);
            }
        }
        Ok(())
    }

    fn respond(&mut self, number: usize, now: i64) {
        match self.validation.response(number) {
            Some(_) => self.stage = Stage::Respond(number),
            None => {
                self.stage = Stage::Validate;
                self.wait_until = now.saturating_add(1);
            }
        }
    }

    fn explain(&mut self, number: usize) -> Result<(), Failure> {
        match self.validation.authorization(number) {
            Some(_) => self.stage = Stage::Explain(number),
            None => return Err(self.validation.failure()),
        }
        Ok(())
    }

    /// The payload of the request for the certificate. Within an order the key stays the same.
    fn certificate_request(&self) -> Result<Value, Failure> {
        let request = self.key.as_ref().and_then(|key| key.request(&self.wanted.names));
        let request = request.ok_or_else(|| Failure::of_machine("make a certificate's key"))?;
        Ok(json!({ "csr": base64url::encode(request) }))
    }

    fn finish(&mut self, response: &Response, now: i64) -> Result<(), Failure> {
        let Some(key) = &self.key else { return Err(Failure::unusable("there is no key")) };
        let issued = Issued::read(&response.body, key, &self.wanted.names)?;
        if issued.not_before > now {
            let seconds = issued.not_before - now;
            self.queue.push_back(Step::Warn(format!(
                "the new certificate is valid only in {seconds} s: check the clock of this machine"
            )));
        }
        self.stage = Stage::Ended;
        self.queue.push_back(Step::Done(issued));
        Ok(())
    }

    /// Ends the order, or does without what was refused.
    fn refused(&mut self, account: &mut Account, failure: Failure, response: &Response, now: i64) {
        self.exchange = Exchange::default();
        let is_replacement = failure.cause == Cause::Refused && self.wanted.replaces.is_some();
        let is_refusal = failure.cause == Cause::Refused && failure.kind != "unauthorized";
        match (&*failure.kind, self.stage) {
            // Not every CA says accountDoesNotExist, as it should.
            (_, Stage::FindAccount) if is_refusal => {
                account.forget();
                self.stage = Stage::Directory;
            }
            // The CA has lost the account.
            ("accountDoesNotExist", _) if !self.has_lost_account => {
                self.has_lost_account = true;
                account.forget();
                self.stage = Stage::Directory;
            }
            (_, Stage::Directory) if is_refusal => self.fail(failure.with_directory()),
            ("unauthorized", Stage::CreateAccount) => self.fail(failure.with_external_account()),
            // The order does not depend on the contacts.
            (_, Stage::UpdateAccount) if is_refusal => {
                self.queue.push_back(Step::Warn(failure.text));
                self.stage = Stage::CreateOrder;
            }
            // RFC 9773, section 5: it has been replaced already, or is another account's or CA's.
            (_, Stage::CreateOrder) if is_replacement => self.wanted.replaces = None,
            ("orderNotReady", Stage::Finalize) => {
                self.stage = Stage::Validate;
                self.pause(response, now);
            }
            _ => self.fail(failure),
        }
    }

    /// When to poll next.
    fn pause(&mut self, response: &Response, now: i64) {
        self.polls += 1;
        let own = now.saturating_add(self.polls.min(OWN_PAUSE_SECONDS_MAX));
        let range = (now.saturating_add(1), now.saturating_add(PAUSE_SECONDS_MAX));
        self.wait_until = response.retry_at(now).unwrap_or(own).clamp(range.0, range.1);
    }

    fn compare_clocks(&mut self, response: &Response, now: i64) {
        let Some(ahead) = response.clock_difference(now) else { return };
        if ahead.saturating_abs() > CLOCK_SECONDS_MAX && !self.has_compared_clocks {
            let (off, way) =
                (ahead.saturating_abs(), if ahead > 0 { "behind" } else { "ahead of" });
            let text = format!("the clock of this machine is {off} s {way} the CA's: correct it");
            self.queue.push_back(Step::Warn(text));
        }
        self.has_compared_clocks = true;
    }
}

/// Where the CA keeps what it has made.
fn location(response: &Response) -> Result<String, Failure> {
    let url = response.location.as_deref().and_then(checked_url).map(str::to_owned);
    url.ok_or_else(|| Failure::unusable("there is no Location"))
}
