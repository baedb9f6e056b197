//! The handshake with an upstream: SNI sent, the certificate verified, always.

use crate::error::TlsFault;
use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use crate::tls::fault;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Shakes hands as a client of `name`. The caller limits the time.
///
/// # Errors
/// What is wrong with the upstream's certificate, or that the handshake failed otherwise.
pub async fn connect(
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    tcp: TcpStream,
) -> Result<Transport, TlsFault> {
    let connector = TlsConnector::from(Arc::clone(config));
    match connector.connect(name.clone(), MeteredTcp::new(tcp)).await {
        Ok(tls) => Ok(tls.into()),
        Err(error) => Err(fault::of(&error)),
    }
}
