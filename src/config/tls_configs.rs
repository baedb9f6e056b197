//! The rustls configurations of a snapshot, and those that it has in common with the one before.
//!
//! What is unchanged by content stays the same `Arc`, with the sessions in it. A listener that
//! shows another certificate has another configuration, but the same keys of tickets, so that
//! clients resume their sessions. No two listeners share them, not even with the same certificate:
//! a session must not lead from the rules of one listener to those of another.

use super::value::Mode;
use crate::tls::alpn::Alpn;
use crate::tls::credential_error::CredentialError;
use crate::tls::credential_file::{Chain, Roots};
use crate::tls::identity::Identity;
use crate::tls::{client, server};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// All configurations of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsConfigs {
    servers: HashMap<Place, Server>,
    clients: HashMap<(Option<Roots>, Alpn), Arc<ClientConfig>>,
}

/// Where TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The address of the listener.
    pub(super) address: SocketAddr,
    /// Its mode.
    pub(super) mode: Mode,
    /// What is spoken inside of TLS.
    pub(super) alpn: Alpn,
    /// Of listeners with port 0, which is another port each time, the how manieth.
    number: usize,
}

#[derive(Clone, Debug)]
struct Server {
    config: Arc<ServerConfig>,
    /// What it shows. The key belongs to the first certificate, so it is the same where that is.
    chain: Vec<CertificateDer<'static>>,
}

impl TlsConfigs {
    /// The configuration with which TLS ends at `place`, as `before` has it if it shows the same.
    ///
    /// # Errors
    /// TLS cannot use the certificate.
    pub(super) fn server(
        &mut self,
        mut place: Place,
        identity: &Identity,
        before: Option<&Self>,
    ) -> Result<Arc<ServerConfig>, CredentialError> {
        while self.servers.contains_key(&place) {
            place.number += 1;
        }
        let (chain, before) = (identity.chain(), before.and_then(|it| it.servers.get(&place)));
        let config = match before {
            Some(before) if before.chain == chain => Arc::clone(&before.config),
            _ => server::config(identity, place.alpn, before.map(|it| &*it.config))?,
        };
        let server = Server { config: Arc::clone(&config), chain: chain.to_vec() };
        self.servers.insert(place, server);
        Ok(config)
    }

    /// The configuration for upstreams with these roots, as `before` has it if it can.
    ///
    /// # Errors
    /// TLS cannot use a certificate in `ca`.
    pub(super) fn client(
        &mut self,
        ca: Option<&Chain>,
        alpn: Alpn,
        before: Option<&Self>,
    ) -> Result<(Arc<ClientConfig>, Option<Roots>), CredentialError> {
        let trust = (ca.map(Chain::certificates), alpn);
        let known = self.clients.get(&trust).or_else(|| before?.clients.get(&trust));
        let config = match known {
            Some(known) => Arc::clone(known),
            None => client::config(ca, alpn)?,
        };
        self.clients.insert(trust.clone(), Arc::clone(&config));
        Ok((config, trust.0))
    }
}

impl Place {
    /// The listener at `address`, for connections in which `alpn` is spoken.
    pub(super) fn new(address: SocketAddr, mode: Mode, alpn: Alpn) -> Self {
        Self { address, mode, alpn, number: 0 }
    }
}
