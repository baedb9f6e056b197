//! A small certificate authority that speaks ACME (RFC 8555), to test a client with.
//!
//! [`Directory`] checks what a public one checks: nonces, signatures, that the key is the
//! account's, that the certificate request has the names of the order. It validates for real, by
//! TLS-ALPN-01 and HTTP-01, at ports that [`Rules`] names. It knows profiles, external accounts,
//! addresses (RFC 8738) and renewal information (RFC 9773), and fails as told ([`Fault`]).
//!
//! [`pebble`] starts Debian's Pebble, and [`forward`] gives its validator a port before there is a
//! server.

mod answer;
mod api;
mod authority;
mod der;
pub mod forward;
mod identifier;
mod jws;
mod orders;
pub mod pebble;
mod problem;
mod rules;
mod serve;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validation;

pub use rules::{Endpoint, ExternalAccount, Fault, Planned, Profile, RenewalInformation, Rules};
pub use state::Event;

use crate::within;
use authority::Authority;
use state::State;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running certificate authority. It stops when this is dropped.
pub struct Directory {
    ca: Arc<Ca>,
    server: JoinHandle<()>,
}

/// What all its tasks share.
struct Ca {
    /// Where it listens.
    address: SocketAddr,
    authority: Authority,
    rules: watch::Sender<Rules>,
    state: Mutex<State>,
    history: watch::Sender<Vec<Event>>,
}

impl Directory {
    /// Listens on a port of 127.0.0.1, with `certs/server.pem`.
    pub async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ca = Arc::new(Ca {
            address: listener.local_addr().unwrap(),
            authority: Authority::new(),
            rules: watch::Sender::new(rules),
            state: Mutex::default(),
            history: watch::Sender::default(),
        });
        let server = tokio::spawn(serve::accept(Arc::clone(&ca), listener));
        Self { ca, server }
    }

    /// The URL of the directory; `certs/ca.pem` has the root of its own HTTPS.
    pub fn url(&self) -> String {
        self.ca.url("directory")
    }

    /// The root of the certificates that it issues, as PEM.
    pub fn root(&self) -> &str {
        self.ca.authority.root()
    }

    /// Changes its rules from now on.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.ca.rules.send_modify(change);
    }

    /// What has happened so far.
    pub fn history(&self) -> Vec<Event> {
        self.ca.history.borrow().clone()
    }

    /// How many requests an endpoint has had.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.count(|event| *event == Event::Request(endpoint))
    }

    /// How many certificates it has issued.
    pub fn issued(&self) -> usize {
        self.count(|event| matches!(event, Event::Issued { .. }))
    }

    /// Waits until it has happened `count` times that `is_it`.
    pub async fn wait_for(&self, what: &str, count: usize, is_it: impl Fn(&Event) -> bool) {
        let mut history = self.ca.history.subscribe();
        let happened =
            history.wait_for(|events| events.iter().filter(|it| is_it(it)).count() >= count);
        within(what, happened).await.expect("the directory runs");
    }

    fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.ca.history.borrow().iter().filter(|it| is_it(it)).count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.server.abort();
        // Connections that are served end at their next request.
        self.ca.rules.send_modify(|rules| rules.is_down = true);
    }
}

impl Ca {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.address.port())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no other task has panicked")
    }

    fn happened(&self, event: Event) {
        self.history.send_modify(|events| events.push(event));
    }
}
