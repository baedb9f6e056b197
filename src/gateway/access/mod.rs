//! Who may use a route, and with which credentials it asks its upstream.
//!
//! A [`Client`] has one or more tokens, of which only the digests are known ([`Clients`]). A route
//! may have keys of its API ([`ApiKeys`]), which its requests carry in place of a client's token.
//! [`RouteAccess`] is both for one route, with what else decides before a request is forwarded.
//!
//! Not here: what the operator wrote (`config`).

mod api_keys;
mod clients;
mod key_choice;

pub use api_keys::{ApiKey, ApiKeys, BadKeys, KeyField};
pub use clients::{Client, ClientRules, Clients, Digest};
pub use key_choice::{KeyRefusal, KeyTurn, Refused};

use crate::gateway::address_ranges::AddressRanges;
use alloc::sync::Arc;

/// The rules of one route. A route without any has none of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAccess {
    /// All clients, also where no token is needed: a token must not reach an upstream.
    pub clients: Arc<Clients>,
    /// Addresses that may use it; `None`: all that the listener serves.
    pub allow: Option<Arc<AddressRanges>>,
    /// Whether a request needs the token of a client.
    pub needs_token: bool,
    /// Whether the operator says that it is for everyone.
    pub is_for_anyone: bool,
    /// The keys of the upstream's API. No other credential is forwarded on a route with keys.
    pub keys: Option<Arc<ApiKeys>>,
    /// Where the key goes.
    pub key_field: KeyField,
    /// Whether clients may switch to the WebSocket protocol.
    pub websocket: bool,
    /// Whether CORS preflights (Fetch, section 3.3.2) are answered by us.
    pub cors: bool,
}

impl RouteAccess {
    /// Whether it is for those who reach the listener, but not for what web pages have their
    /// browsers send: its keys need no token, and nothing says that it is for everyone.
    pub fn keeps_other_sites_out(&self) -> bool {
        self.keys.is_some() && !self.needs_token && !self.is_for_anyone && !self.cors
    }
}

/// Everyone may do everything, with credentials of their own.
impl Default for RouteAccess {
    fn default() -> Self {
        Self {
            clients: Arc::default(),
            allow: None,
            needs_token: false,
            is_for_anyone: false,
            keys: None,
            key_field: KeyField::default(),
            websocket: true,
            cors: false,
        }
    }
}
