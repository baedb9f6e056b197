//! What a directory remembers: nonces, accounts, orders, certificates.

use super::identifier::Identifier;
use super::jws::Jwk;
use super::problem::Problem;
use super::rules::Endpoint;
use std::collections::BTreeSet;

/// Something that happened, for a test to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request came in. It may have been refused.
    Request(Endpoint),
    /// A good nonce was refused, as the rules demand.
    NonceRefused,
    /// A challenge was validated, with this result.
    Validated {
        /// Of which name or address.
        identifier: String,
        /// The type of the challenge.
        challenge: &'static str,
        /// Whether it was met.
        is_valid: bool,
    },
    /// A certificate was issued.
    Issued {
        /// Its names and addresses, in the order's order.
        names: Vec<String>,
        /// Its profile, if the directory has some.
        profile: Option<&'static str>,
        /// Whether its order said that it replaces another one.
        is_replacement: bool,
    },
}

/// All that is remembered. Everything has its index as its number.
#[derive(Default)]
pub(super) struct State {
    nonces: BTreeSet<String>,
    nonces_given: usize,
    nonces_used: usize,
    pub(super) accounts: Vec<Account>,
    pub(super) orders: Vec<Order>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) certificates: Vec<Issued>,
}

pub(super) struct Account {
    pub(super) key: Jwk,
    pub(super) contact: serde_json::Value,
}

pub(super) struct Order {
    pub(super) account: usize,
    pub(super) identifiers: Vec<Identifier>,
    /// The numbers of their authorizations.
    pub(super) authorizations: Vec<usize>,
    pub(super) profile: Option<&'static str>,
    /// The certificate that it replaces.
    pub(super) replaces: Option<String>,
    pub(super) stage: Stage,
}

/// How far an order is, apart from its authorizations.
pub(super) enum Stage {
    /// Not finalized.
    Open,
    /// To be issued when the client asks again; the chain and the id of the certificate.
    Processing(String, String),
    /// The number of the certificate.
    Issued(usize),
}

pub(super) struct Authorization {
    pub(super) account: usize,
    pub(super) identifier: Identifier,
    pub(super) token: String,
    pub(super) challenges: Vec<Challenge>,
}

pub(super) struct Challenge {
    pub(super) kind: &'static str,
    pub(super) status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Processing,
    Valid,
    Invalid(Problem),
}

pub(super) struct Issued {
    pub(super) account: usize,
    pub(super) id: String,
    pub(super) chain: String,
    pub(super) names: Vec<Identifier>,
    /// Whether an order that replaces it led to a certificate.
    pub(super) is_replaced: bool,
}

impl State {
    pub(super) fn new_nonce(&mut self) -> String {
        self.nonces_given += 1;
        let nonce = format!("nonce-{:06}", self.nonces_given);
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Uses a nonce up. `Err(true)` if it was good, and is refused because it is the `nth` one.
    pub(super) fn use_nonce(&mut self, nonce: &str, nth: usize) -> Result<(), bool> {
        if !self.nonces.remove(nonce) {
            return Err(false);
        }
        self.nonces_used += 1;
        if nth > 0 && self.nonces_used.is_multiple_of(nth) { Err(true) } else { Ok(()) }
    }

    pub(super) fn account_with(&self, key: &Jwk) -> Option<usize> {
        self.accounts.iter().position(|it| it.key == *key)
    }

    /// The status of an order (RFC 8555, section 7.1.6).
    pub(super) fn order_status(&self, order: &Order) -> &'static str {
        let authorizations = || order.authorizations.iter().map(|it| &self.authorizations[*it]);
        match order.stage {
            Stage::Issued(_) => "valid",
            Stage::Processing(..) => "processing",
            Stage::Open if authorizations().any(|it| it.status() == "invalid") => "invalid",
            Stage::Open if authorizations().all(|it| it.status() == "valid") => "ready",
            Stage::Open => "pending",
        }
    }

    /// Ends the first stage of an order that is to be issued.
    pub(super) fn issue(&mut self, number: usize) -> Option<Event> {
        let order = &mut self.orders[number];
        let Stage::Processing(chain, id) = &mut order.stage else { return None };
        let issued = Issued {
            account: order.account,
            id: std::mem::take(id),
            chain: std::mem::take(chain),
            names: order.identifiers.clone(),
            is_replaced: false,
        };
        order.stage = Stage::Issued(self.certificates.len());
        if let Some(replaced) =
            self.certificates.iter_mut().find(|it| order.replaces.as_ref() == Some(&it.id))
        {
            replaced.is_replaced = true;
        }
        self.certificates.push(issued);
        Some(Event::Issued {
            names: order.identifiers.iter().map(ToString::to_string).collect(),
            profile: order.profile,
            is_replacement: order.replaces.is_some(),
        })
    }
}

impl Authorization {
    pub(super) fn status(&self) -> &'static str {
        let any = |is: fn(&Status) -> bool| self.challenges.iter().any(|it| is(&it.status));
        if any(|it| matches!(it, Status::Invalid(_))) {
            "invalid"
        } else if any(|it| *it == Status::Valid) {
            "valid"
        } else {
            "pending"
        }
    }
}

impl Status {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid(_) => "invalid",
        }
    }
}
