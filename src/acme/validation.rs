//! The validation of the names of an order (RFC 8555, section 7.5): [`Validation`] keeps the
//! challenges, and why names are invalid.

use super::account_key::AccountKey;
use super::challenge::{Challenge, ChallengeKind};
use super::failure::{Cause, Failure};
use super::identifier::Identifier;
use super::order_objects::{Authorization, Offer, Status};
use super::problem::Problem;

/// All names of one order. Each number is a place in one of the lists.
#[derive(Default)]
pub(super) struct Validation {
    authorizations: Vec<String>,
    /// The challenges that are served, and for whom.
    responses: Vec<(Identifier, Offer)>,
    invalid: Vec<(Identifier, ChallengeKind, Problem)>,
    /// Why the order is invalid, if the CA says it there.
    problem: Option<Problem>,
}

impl Validation {
    /// With the URLs of the authorizations.
    pub(super) fn new(authorizations: Vec<String>) -> Self {
        Self { authorizations, ..Self::default() }
    }

    pub(super) fn authorization(&self, number: usize) -> Option<&str> {
        self.authorizations.get(number).map(String::as_str)
    }

    /// Where the CA is told that a challenge is served.
    pub(super) fn response(&self, number: usize) -> Option<&str> {
        self.responses.get(number).map(|(_, offer)| offer.url.as_str())
    }

    /// The names that have to be validated.
    pub(super) fn names(&self) -> Vec<Identifier> {
        self.responses.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Reads an authorization, and chooses a challenge. `None` if the name is valid already.
    pub(super) fn begin(
        &mut self,
        body: &[u8],
        names: &[Identifier],
        wanted: &[ChallengeKind],
        key: &AccountKey,
    ) -> Result<Option<Challenge>, Failure> {
        let authorization = parse(body, names)?;
        let name = &authorization.name;
        match authorization.status {
            Status::Valid => return Ok(None),
            Status::Pending | Status::Processing | Status::Ready => {}
            Status::Invalid => {
                self.record(authorization);
                return Err(self.failure());
            }
        }
        let Some(offer) = authorization.choose(wanted) else {
            let kinds: Vec<String> = wanted.iter().map(ChallengeKind::to_string).collect();
            let text = format!("the CA does not validate {name} by {}", kinds.join(" or "));
            return Err(Failure::new(Cause::Refused, text));
        };
        let challenge = Challenge::new(offer.kind, name, &offer.token, key)
            .ok_or_else(|| Failure::of_machine("make the certificate of a challenge"))?;
        self.responses.push((name.clone(), offer.clone()));
        Ok(Some(challenge))
    }

    /// Reads an authorization after the order has become invalid.
    pub(super) fn explain(&mut self, body: &[u8], names: &[Identifier]) -> Result<(), Failure> {
        let authorization = parse(body, names)?;
        match authorization.status {
            Status::Invalid => self.record(authorization),
            // The order may become invalid before the authorization.
            _ if authorization.error.is_some() => self.record(authorization),
            Status::Valid | Status::Pending | Status::Processing | Status::Ready => {}
        }
        Ok(())
    }

    /// The order is invalid, perhaps for a reason.
    pub(super) fn given_up(&mut self, problem: Option<Problem>) {
        self.problem = problem;
    }

    /// Why the order is invalid, as far as is known.
    pub(super) fn failure(&mut self) -> Failure {
        let invalid = std::mem::take(&mut self.invalid);
        match &self.problem {
            _ if !invalid.is_empty() => Failure::of_validation(invalid),
            Some(problem) => Failure::of_order(problem),
            None => Failure::new(Cause::Validation, "the CA gave up the order without a reason"),
        }
    }

    fn record(&mut self, authorization: Authorization) {
        let (kind, problem) = authorization.error.unwrap_or_else(|| {
            let kind = self.responses.first();
            let kind = kind.map_or(ChallengeKind::TlsAlpn01, |(_, offer)| offer.kind);
            (kind, Problem::default())
        });
        self.invalid.push((authorization.name, kind, problem));
    }
}

fn parse(body: &[u8], names: &[Identifier]) -> Result<Authorization, Failure> {
    Authorization::parse(body, names)
        .ok_or_else(|| Failure::unusable("an authorization that cannot be read"))
}
