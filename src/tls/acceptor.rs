//! The handshake with a client.

use crate::net::tcp::MeteredTcp;
use crate::net::transport::Transport;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Shakes hands as a server. The caller limits the time.
///
/// # Errors
/// The client speaks no TLS, or nothing that we speak; an alert has been sent to it.
pub async fn accept(config: &Arc<ServerConfig>, tcp: MeteredTcp) -> io::Result<Transport> {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    Ok(acceptor.accept(tcp).await?.into())
}
