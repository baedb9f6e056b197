//! The rustls configurations of a snapshot, and those that it has in common with the one before.
//!
//! What is unchanged by content stays the same `Arc`, with the sessions in it. A listener that
//! shows another certificate has another configuration, but the same keys of tickets, so that
//! clients resume their sessions. No two listeners share them, not even with the same certificate,
//! and none keeps them when its rules for the certificates of clients change: a session must not
//! lead from the rules of one listener to those of another.

use super::value::Mode;
use crate::tls::alpn::Alpn;
use crate::tls::certificates::Certificates;
use crate::tls::client::ClientSide;
use crate::tls::client_rules::ClientRules;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::{Chain, Roots};
use crate::tls::key_exchange::KeyExchange;
use crate::tls::{client, server};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// All configurations of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsConfigs {
    servers: HashMap<Place, Server>,
    clients: HashMap<Trust, Arc<ClientConfig>>,
}

/// What a configuration for upstreams depends on, by content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trust {
    /// The certificates of `ca`, if it is set.
    pub roots: Option<Roots>,
    /// The certificate that we show, with its chain. The key belongs to it.
    identity: Option<Roots>,
    key_exchange: KeyExchange,
    alpn: Alpn,
}

/// Where TLS ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The address of the listener.
    pub(super) address: SocketAddr,
    /// Its mode.
    pub(super) mode: Mode,
    /// What is spoken inside of TLS.
    pub(super) alpn: Alpn,
    /// Whom it lets in.
    pub(super) rules: Option<ClientRules>,
    /// Of listeners with port 0, which is another port each time, the how manieth.
    number: usize,
}

#[derive(Clone, Debug)]
struct Server {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl TlsConfigs {
    /// The configuration with which TLS ends at `place`, as `before` has it if it shows the same.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn server(
        &mut self,
        mut place: Place,
        certificates: Certificates,
        before: Option<&Self>,
    ) -> Result<Arc<ServerConfig>, CredentialError> {
        while self.servers.contains_key(&place) {
            place.number += 1;
        }
        let before = before.and_then(|it| it.servers.get(&place));
        let server = match before {
            Some(before) if before.certificates.is_same(&certificates) => before.clone(),
            _ => {
                let (certificates, rules) = (Arc::new(certificates), place.rules.as_ref());
                let before = before.map(|it| &*it.config);
                let config = server::config(Arc::clone(&certificates), rules, place.alpn, before)?;
                Server { config, certificates }
            }
        };
        let config = Arc::clone(&server.config);
        self.servers.insert(place, server);
        Ok(config)
    }

    /// The configuration for upstreams, as `before` has it if it can.
    ///
    /// # Errors
    /// TLS cannot use a certificate in `ca`.
    pub(super) fn client(
        &mut self,
        side: ClientSide<'_>,
        before: Option<&Self>,
    ) -> Result<(Arc<ClientConfig>, Trust), CredentialError> {
        let trust = Trust::of(side);
        let known = self.clients.get(&trust).or_else(|| before?.clients.get(&trust));
        let config = match known {
            Some(known) => Arc::clone(known),
            None => client::config(side)?,
        };
        self.clients.insert(trust.clone(), Arc::clone(&config));
        Ok((config, trust))
    }
}

impl Trust {
    fn of(ClientSide { ca, identity, key_exchange, alpn }: ClientSide<'_>) -> Self {
        let roots = ca.map(Chain::certificates);
        let identity = identity.map(|it| it.chain().to_vec().into());
        Self { roots, identity, key_exchange, alpn }
    }
}

impl Place {
    /// The listener at `address`, for connections in which clients that `rules` let in speak
    /// `alpn`.
    pub(super) fn new(
        address: SocketAddr,
        mode: Mode,
        alpn: Alpn,
        rules: Option<ClientRules>,
    ) -> Self {
        Self { address, mode, alpn, rules, number: 0 }
    }
}
