//! An upstream with its files loaded: [`UpstreamConfig`].

use super::reach::Reach;
use super::tls_configs::{TlsConfigs, Trust};
use crate::tls::client::ClientSide;
use crate::tls::credential_error::CredentialError;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// One upstream. Its connections are interchangeable, also with those to an equal upstream of
/// another snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// How it is reached.
    pub reach: Reach,
    /// For TLS: roots, sessions, and the name to verify.
    pub tls: Option<UpstreamTls>,
    /// Connections kept ready, all workers together; 0: none is opened before a request needs it.
    pub warm: usize,
    /// Greatest age of a kept connection.
    pub connection_age: Option<Duration>,
    /// Its name in log lines.
    pub label: Box<str>,
}

/// What TLS to an upstream needs.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Roots, ALPN, sessions to resume.
    pub config: Arc<ClientConfig>,
    /// Name to verify, and to send as SNI unless it is an address.
    pub server_name: ServerName<'static>,
    /// Whom we trust, what we show, and what we offer.
    pub trust: Trust,
}

impl UpstreamTls {
    /// For a server of this name that no route or forward leads to.
    ///
    /// # Errors
    /// TLS cannot use a certificate of `side`.
    pub fn new(
        side: ClientSide<'_>,
        server_name: ServerName<'static>,
    ) -> Result<Self, CredentialError> {
        let (config, trust) = TlsConfigs::default().client(side, None)?;
        Ok(Self { config, server_name, trust })
    }
}

/// A `ClientConfig` cannot be compared, but `trust` is all that it depends on.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.server_name == other.server_name && self.trust == other.trust
    }
}

impl Eq for UpstreamTls {}
