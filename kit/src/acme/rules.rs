//! How a directory behaves, for a test to choose and to change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a directory demands, issues and does wrong.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where TLS-ALPN-01 is validated, in place of port 443. A validation waits for it.
    pub tls_alpn_port: Option<u16>,
    /// Where HTTP-01 is validated, in place of port 80: no one listens there without it.
    pub http_port: Option<u16>,
    /// The challenges that it offers, in this order.
    pub challenges: Vec<&'static str>,
    /// Where names lead that do not lead to 127.0.0.1; `None` if they do not exist.
    pub hosts: HashMap<String, Option<IpAddr>>,
    /// Names whose CAA record is for another authority.
    pub forbidden_by_caa: Vec<String>,
    /// Every so many nonces, a good one is refused. 0 refuses none.
    pub nonce_rejection: usize,
    /// The only one that may open accounts; without one, anyone may.
    pub external_account: Option<ExternalAccount>,
    /// The first is the default. Without any, the directory names none and takes none.
    pub profiles: Vec<Profile>,
    /// What it says about renewals; without it, it has no renewal information.
    pub renewal: Option<RenewalInformation>,
    /// How much of its lifetime a certificate has behind it when it is issued.
    pub age: Duration,
    /// How far its clock is ahead of this machine's, in seconds.
    pub clock: i64,
    /// In answers about what is not done yet.
    pub retry_after: Option<u64>,
    /// What goes wrong, first come first served.
    pub faults: Vec<Planned>,
    /// Whether every connection is reset.
    pub is_down: bool,
}

/// An account elsewhere, which accounts of ACME are bound to (RFC 8555, section 7.3.4).
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// Its key identifier.
    pub key_id: String,
    /// Its HMAC key.
    pub key: Vec<u8>,
}

/// A kind of certificates.
#[derive(Clone, Debug)]
pub struct Profile {
    /// As an order names it.
    pub name: &'static str,
    /// How long one is valid.
    pub lifetime: Duration,
    /// Whether one may be for an address.
    pub for_addresses: bool,
}

/// When to renew (RFC 9773).
#[derive(Clone, Debug)]
pub struct RenewalInformation {
    /// The suggested window, in seconds from now.
    pub window: (i64, i64),
    /// When to ask again, in seconds.
    pub retry_after: u64,
}

/// What a request may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The directory itself.
    Directory,
    /// A first nonce.
    NewNonce,
    /// An account, new or found again.
    NewAccount,
    /// A new order.
    NewOrder,
    /// How an order is.
    Order,
    /// An authorization and its challenges.
    Authorization,
    /// A challenge to be validated.
    Challenge,
    /// The certificate request of an order.
    Finalize,
    /// A certificate to download.
    Certificate,
    /// When to renew.
    RenewalInformation,
}

/// What goes wrong, so many times.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where.
    pub endpoint: Endpoint,
    /// What.
    pub fault: Fault,
    /// How often yet; `usize::MAX` for always.
    pub times: usize,
}

/// What goes wrong with a request. It is not served.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A problem document.
    Problem {
        /// The status of the response.
        status: u16,
        /// The last part of its URN.
        kind: &'static str,
        /// What it says.
        detail: &'static str,
        /// The value of Retry-After.
        retry_after: Option<u64>,
    },
    /// A response with this status and body, which is no problem document.
    Response(u16, Vec<u8>),
    /// No answer until the rules change.
    Hang,
    /// RST.
    Reset,
}

impl Default for Rules {
    fn default() -> Self {
        let profile =
            |name, days, for_addresses| Profile { name, lifetime: DAY * days, for_addresses };
        Self {
            tls_alpn_port: None,
            http_port: None,
            challenges: vec!["http-01", "dns-01", "tls-alpn-01"],
            hosts: HashMap::new(),
            forbidden_by_caa: Vec::new(),
            nonce_rejection: 5,
            external_account: None,
            profiles: vec![profile("classic", 90, false), profile("shortlived", 6, true)],
            renewal: Some(RenewalInformation {
                window: (40 * 86_400, 41 * 86_400),
                retry_after: 21_600,
            }),
            age: Duration::ZERO,
            clock: 0,
            retry_after: Some(1),
            faults: Vec::new(),
            is_down: false,
        }
    }
}

impl Rules {
    /// Makes this go wrong `times` times.
    pub fn plan(&mut self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.faults.push(Planned { endpoint, fault, times });
    }

    /// What goes wrong now, if anything.
    pub(super) fn take_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let planned = self.faults.iter_mut().find(|it| it.endpoint == endpoint && it.times > 0)?;
        planned.times -= usize::from(planned.times != usize::MAX);
        Some(planned.fault.clone())
    }
}
