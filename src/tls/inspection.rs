//! A handshake with a server for a diagnosis: verified as always, but what the server shows is
//! remembered, also if it is refused ([`Inspector`]).

use crate::error::TlsFault;
use crate::net::tcp::MeteredTcp;
use crate::net::tls_stream::TlsStream;
use crate::net::transport::Transport;
use crate::tls::client::{self, ClientSide};
use crate::tls::credential_error::CredentialError;
use crate::tls::fault;
use crate::tls::roots::Verifier;
use crate::tls::x509::Certificate;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

/// A client of servers that are inspected. It remembers sessions.
#[derive(Debug)]
pub struct Inspector {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

/// A handshake that has succeeded.
#[derive(Debug)]
pub struct Shaken {
    /// The connection.
    pub transport: Transport,
    /// Whether a session was resumed.
    pub is_resumed: bool,
    /// `TLS 1.3`
    pub version: &'static str,
}

/// What is of interest in the certificates that a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Who issued the first one: common name or organization, as it is written there.
    pub issuer: Option<String>,
    /// Whom it is for.
    pub names: Vec<String>,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// How many there were.
    pub certificates: usize,
    /// Whether it was issued by its own name.
    pub is_self_issued: bool,
}

impl Inspector {
    /// One that trusts, shows and offers what `side` says.
    ///
    /// # Errors
    /// TLS cannot use a certificate of `side`.
    pub fn new(side: ClientSide<'_>) -> Result<Self, CredentialError> {
        let verifier = Arc::new(Verifier::new(side.ca)?.remembering());
        let config = client::config_with(side, Arc::clone(&verifier))?;
        Ok(Self { config, verifier })
    }

    /// Shakes hands as a client of `name`. The caller limits the time.
    ///
    /// # Errors
    /// As for [`client::connect`].
    pub async fn connect(
        &self,
        name: &ServerName<'static>,
        tcp: TcpStream,
    ) -> Result<Shaken, TlsFault> {
        let side = UnbufferedClientConnection::new(Arc::clone(&self.config), name.clone());
        let side = side.map_err(|error| fault::of_rustls(&error))?;
        let shaken = TlsStream::shake_hands(side, MeteredTcp::new(tcp)).await;
        let tls = shaken.map_err(|(error, _)| fault::of(&error))?;
        let is_resumed = tls.records().is_resumed();
        let version = match tls.records().version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(_) | None => "TLS",
        };
        Ok(Shaken { transport: tls.into(), is_resumed, version })
    }

    /// What the last server has shown, whether it was accepted or not.
    pub fn shown(&self) -> Option<Shown> {
        let chain = self.verifier.shown();
        let first = Certificate::parse(chain.first()?)?;
        Some(Shown {
            issuer: first.issuer_name(),
            names: first.names(),
            not_before: first.not_before,
            not_after: first.not_after,
            certificates: chain.len(),
            is_self_issued: first.is_self_issued(),
        })
    }
}
